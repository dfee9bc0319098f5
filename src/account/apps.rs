//! Which of C1's apps this connector is for: the tasks and the questions of no other are taken.
//!
//! Whoever owns an app in the tenant may give an entitlement any name, so a name counts only in an app that is pinned. An id counts
//! in any app while none is pinned, though a file that is uploaded to any app can carry one: the doctor warns of that where changes are carried out.
//! C1's builtin Access has no id of ours, and every app has it.

use std::borrow::Cow;

use super::Stopped;
use crate::base::remedy::CONNECT;
use crate::model::operation::{Origin, Refusal};

/// The apps that are pinned, if any, and where that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apps {
    ids: Vec<String>,
    from: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    AllowedApps,
    AppId,
    Connect,
}

/// What to do where a task is of no app that is pinned, and where none is.
const PIN: &str = "set ALLOWED_APPS or C1_APP_ID to the id of this account's app in ConductorOne";

impl Apps {
    /// None.
    pub const NONE: Self = Self { ids: Vec::new(), from: None };

    /// What the configuration pins: `ALLOWED_APPS`, else `C1_APP_ID`.
    pub fn configured(allowed: Vec<String>, app_id: Option<&str>) -> Self {
        match app_id {
            _ if !allowed.is_empty() => Self { ids: allowed, from: Some(Source::AllowedApps) },
            Some(id) => Self { ids: vec![id.to_owned()], from: Some(Source::AppId) },
            None => Self::NONE,
        }
    }

    /// The same, and the apps that were connected, be they put back since, where the configuration pins none; only then is that asked for.
    pub fn or_connected<E>(&self, connected: impl FnOnce() -> Result<Vec<String>, E>) -> Result<Cow<'_, Self>, E> {
        let ids = if self.are_pinned() { Vec::new() } else { connected()? };
        if ids.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(Self { ids, from: Some(Source::Connect) }))
    }

    /// Whether any is pinned.
    const fn are_pinned(&self) -> bool {
        self.from.is_some()
    }

    /// Refuses what comes by C1's webhook and is of another app, be it one of two, or of none that it names.
    pub fn admit(&self, origin: &Origin) -> Result<(), Stopped> {
        let Some(source) = self.from.filter(|_| origin.by == WEBHOOK) else { return Ok(()) };
        let of = match &origin.app_id {
            Some(apps) => match apps.split(' ').find(|app| !self.ids.iter().any(|id| id == app)) {
                Some(app) => format!("is of the app {app}"),
                None => return Ok(()),
            },
            None => "names no app".to_owned(),
        };
        let (pinned, remedy) = match source {
            Source::AllowedApps => ("ALLOWED_APPS does not have it", "add the app there"),
            Source::AppId => ("C1_APP_ID is another one", "name every app that this connector is for in ALLOWED_APPS"),
            Source::Connect => (
                "those that this connector was connected to are others",
                "name every app that this connector is for in ALLOWED_APPS",
            ),
        };
        Err(Stopped::refused(
            Refusal::AppNotAllowed,
            format!(
                "The ConductorOne task {of}, which is none that this connector is for: {pinned}; {remedy}, or assign the entitlement's provisioning to the right webhook."
            ),
        ))
    }

    /// Refuses an entitlement that is known by its name alone where no app is pinned.
    pub fn admit_name(&self, name: &str) -> Result<(), Stopped> {
        self.pinned_or(|| {
            format!(
                "ConductorOne names the entitlement {name:?} without an id of this connector's, and a name counts only in an app that is pinned: {PIN}, or {CONNECT}; or sync this connector in ConductorOne, so that the entitlement carries its id."
            )
        })
    }

    /// Refuses C1's builtin entitlement, which every app of the tenant has and which carries no id of ours, where no app is pinned.
    pub fn admit_builtin(&self) -> Result<(), Stopped> {
        self.pinned_or(|| {
            format!(
                "Every app has the builtin entitlement that makes and removes accounts, so it counts only in an app that is pinned: {PIN}, or {CONNECT}."
            )
        })
    }

    fn pinned_or(&self, why: impl FnOnce() -> String) -> Result<(), Stopped> {
        if self.are_pinned() { Ok(()) } else { Err(Stopped::refused(Refusal::AppNotAllowed, why())) }
    }

    /// What the operator should know about it, given the apps that were connected and whether changes are carried out.
    pub fn warning(&self, connected: &[String], carried_out: bool) -> Option<String> {
        if self.are_pinned() {
            let app = connected.iter().find(|app| !self.ids.contains(app))?;
            return Some(format!(
                "the app {app} is connected and its tasks are refused: where this connector is for it, name every app that it is for in ALLOWED_APPS"
            ));
        }
        (carried_out && connected.is_empty()).then(|| {
            format!("PROVISIONING is on and no app is pinned, so every app of the tenant that carries this connector's ids can have its tasks carried out, and those about accounts are refused: {PIN}, or {CONNECT}")
        })
    }
}

/// What [`Origin::by`] says of what came by C1's webhook.
pub const WEBHOOK: &str = "webhook";

#[cfg(test)]
mod tests {
    use super::{Apps, WEBHOOK};
    use crate::account::Stopped;
    use crate::model::operation::{Origin, Outcome, Refusal};

    fn origin(by: &str, app: Option<&str>) -> Origin {
        Origin { by: by.to_owned(), app_id: app.map(str::to_owned), ..Origin::default() }
    }

    /// The apps of which tasks are taken, with what refuses the others naming this.
    fn check(apps: &Apps, taken: &[&str], names: &str) {
        for app in ["2one", "2two", "2three"] {
            let admitted = apps.admit(&origin(WEBHOOK, Some(app)));
            assert_eq!(admitted.is_ok(), taken.contains(&app), "{app}: {apps:?}");
            for two in [format!("2one {app}"), format!("{app} 2one")] {
                let is_taken = taken.contains(&"2one") && taken.contains(&app);
                assert_eq!(apps.admit(&origin(WEBHOOK, Some(&two))).is_ok(), is_taken, "{two}: {apps:?}");
            }
            if let Err(stopped) = admitted {
                let Stopped::Ended(Outcome::Refused { code, message }) = stopped else { panic!("{stopped:?}") };
                assert_eq!(code, Refusal::AppNotAllowed);
                assert!(message.contains(names) && message.contains(app), "{message}");
            }
        }
        assert_eq!(apps.admit(&origin(WEBHOOK, None)).is_ok(), !apps.are_pinned(), "a task that names no app");
        assert!(apps.admit(&origin("rest", None)).is_ok(), "what comes by REST is of no app");
        assert_eq!(apps.admit_name("Super Administrator").is_ok(), apps.are_pinned());
        assert_eq!(apps.warning(&[], true).is_none(), apps.are_pinned());
        for app in ["2one", "2two", "2three"] {
            let warning = apps.warning(&["2one".to_owned(), app.to_owned()], false);
            assert_eq!(warning.is_none(), taken.contains(&"2one") && taken.contains(&app), "{app}: {warning:?}");
        }
    }

    #[test]
    fn tasks_are_taken_of_allowed_apps_else_of_the_app_id_else_of_the_apps_that_were_connected() {
        let connected = || Ok::<_, &str>(vec!["2one".to_owned(), "2three".to_owned()]);
        let unreadable = || Err("cannot be read");
        let allowed = Apps::configured(vec!["2one".to_owned(), "2two".to_owned()], Some("2three"));
        check(&allowed.or_connected(unreadable).unwrap(), &["2one", "2two"], "ALLOWED_APPS");
        let id = Apps::configured(Vec::new(), Some("2two"));
        check(&id.or_connected(unreadable).unwrap(), &["2two"], "C1_APP_ID");
        let none = Apps::configured(Vec::new(), None);
        check(&none.or_connected(connected).unwrap(), &["2one", "2three"], "was connected to");
        check(&none.or_connected(|| Ok::<_, &str>(Vec::new())).unwrap(), &["2one", "2two", "2three"], "");
        assert!(none.or_connected(unreadable).is_err(), "which app it is cannot be known, which is not none");
    }
}
