//! Whether the account is changed, what never is, and what is given where nothing was asked for by name.

use crate::account::apps::Apps;
use crate::account::default_role::Configured;
use crate::base::settings::{Reader, is_plain_id, number, switch, words};
use crate::model::address;

/// Whether the account is changed, what never is, and what is given where nothing was asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `PROVISIONING`: whether grants and revokes are carried out, or only told.
    pub provisioning: Provisioning,
    /// What provisioning must not do.
    pub guards: Guards,
    /// `ALLOWED_APPS`, else `C1_APP_ID`: the C1 apps whose tasks are carried out.
    pub apps: Apps,
    /// `DEFAULT_ROLE`: what a new account gets when it is asked for without a role: the entitlement id of a role or a scoped
    /// role, a role's bare id, or a permission group's name or label.
    pub default_role: Configured,
    /// `RENEW_INVITATIONS_AFTER_DAYS`: how old an invitation of ours must be for a grant of the account to renew it; not set for never.
    pub renew_invitations_after_days: Option<i64>,
}

/// Whether the connector may change the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// It says what it would have done.
    Off,
    /// It carries out what C1 asks for.
    On,
}

/// What provisioning must not do, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guards {
    /// `MIN_SUPER_ADMINS`: how many accepted Super Administrators there are at least after a revoke or a removal.
    pub min_super_admins: usize,
    /// `PROTECTED_MEMBERS`: e-mail addresses, folded, whose access is never changed.
    pub protected: Vec<String>,
    /// `LAST_ROLE`: what the revoke of a member's last access does.
    pub last_role: LastRole,
    /// `MAX_REMOVALS_PER_HOUR`: how many revokes and removals are carried out within an hour at most.
    pub max_removals_per_hour: i64,
}

/// What the revoke of a member's last access does: Cloudflare has no members without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRole {
    /// It is refused.
    Refuse,
    /// The member is left with Minimal Account Access.
    MinimalAccess,
    /// The member is removed.
    RemoveMember,
}

impl Settings {
    /// Reads them.
    ///
    /// `app_id` is the C1 app that the whole connector is for, where that is configured.
    pub fn read(reader: &mut Reader<'_>, app_id: Option<&str>) -> Self {
        let on = reader.protecting("PROVISIONING", switch).unwrap_or(false);
        Self {
            provisioning: if on { Provisioning::On } else { Provisioning::Off },
            guards: Guards::read(reader),
            apps: Apps::configured(reader.protecting("ALLOWED_APPS", apps).unwrap_or_default(), app_id),
            default_role: reader.text("DEFAULT_ROLE").map(|role| Configured::read(&role)).unwrap_or_default(),
            renew_invitations_after_days: reader.optional("RENEW_INVITATIONS_AFTER_DAYS", number(1, 3650)),
        }
    }
}

impl Guards {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            min_super_admins: reader.protecting("MIN_SUPER_ADMINS", number(1, 1000)).unwrap_or(2),
            protected: reader.protecting("PROTECTED_MEMBERS", addresses).unwrap_or_default(),
            last_role: reader.protecting("LAST_ROLE", last_role).unwrap_or(LastRole::Refuse),
            max_removals_per_hour: reader.protecting("MAX_REMOVALS_PER_HOUR", number(0, 1_000_000)).unwrap_or(25),
        }
    }
}

fn last_role(text: &str) -> Result<LastRole, String> {
    match text {
        "refuse" => Ok(LastRole::Refuse),
        "minimal_access" => Ok(LastRole::MinimalAccess),
        "remove_member" => Ok(LastRole::RemoveMember),
        _ => Err("must be refuse, minimal_access or remove_member".to_owned()),
    }
}

fn addresses(text: &str) -> Result<Vec<String>, String> {
    let read = address::read_list(text).map_err(|wrong| {
        let shown: String = wrong.chars().take(100).collect();
        format!("must be e-mail addresses such as jane@example.com with commas between them; {shown:?} is none")
    });
    read.and_then(named)
}

/// A list that protects and names nothing protects nothing: whoever wants that leaves the variable out.
fn named(list: Vec<String>) -> Result<Vec<String>, String> {
    if list.is_empty() { Err("names nothing: fill it in, or leave it out".to_owned()) } else { Ok(list) }
}

fn apps(text: &str) -> Result<Vec<String>, String> {
    let apps = words(text);
    match apps.iter().find(|app| !is_plain_id(app)) {
        None => named(apps),
        Some(wrong) => {
            let shown: String = wrong.chars().take(100).collect();
            Err(format!(
                "must be ids of apps in ConductorOne, each of which stands in the address bar after /apps/, with commas between them; {shown:?} is none"
            ))
        }
    }
}
