//! What the Coordinator works by: the settings of the rooms below it, and a few of its own.

use crate::base::settings::{Plan, Reader, number, switch};
use crate::base::signing::SigningKey;
use crate::decide::{self, InvalidRules, Rules};
use crate::{audit, cloudflare, conductorone, findings, provision, push, signal, sync};

/// What the Coordinator works by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account and its API.
    pub cloudflare: cloudflare::Settings,
    /// The tenant and its API.
    pub conductorone: conductorone::Settings,
    /// Whether the account is changed, and what never is.
    pub provision: provision::Settings,
    /// `APPROVAL_RULES`: how approvals are decided. Rules that cannot be read approve nothing, and are nobody else's trouble.
    pub rules: Result<Rules, InvalidRules>,
    /// `SIGNAL_URL` and what belongs to it: where C1 is told of what a sync found.
    pub signal: Option<signal::Settings>,
    /// `SIGNAL_SIGNING_KEY`: signs evidence, and signals where C1 takes JWTs.
    pub signing_key: Option<SigningKey>,
    /// What is pushed after a publication, and where to.
    pub push: Option<push::Settings>,
    /// The thresholds of the rules by which findings are worked out.
    pub findings: findings::Settings,
    /// `PLAN`: the limits a sync step keeps.
    pub plan: Plan,
    /// `JOURNAL_DAYS`: how long settled operations are kept.
    pub journal_days: i64,
    /// What is read of what people do.
    pub audit: audit::Settings,
    /// `SWEEP_MINUTES`: while the audit log is heard, the cron trigger begins a sync at most this often; 0 with each.
    pub sweep_minutes: i64,
    /// `OVERDUE_REVOKE_MINUTES`: a grant that was to end is overdue when C1's revoke has not come for as long.
    pub overdue_minutes: i64,
    /// `ENFORCE_EXPIRY`: whether what is overdue is revoked without being asked.
    pub enforce_expiry: bool,
    /// `AUTO_WIRE`: whether entitlements that C1 learns of later are pointed at this Worker as well.
    pub auto_wire: bool,
}

/// As long as Cloudflare keeps its own audit log (`reference/cloudflare.md` 1.7): 18 months.
const JOURNAL_DAYS: i64 = 548;
const MOST_JOURNAL_DAYS: i64 = 3650;
/// More than the eight days for which what was left to people counts, and what was done here explains what a sync finds. Fewer count as these.
const LEAST_JOURNAL_DAYS: i64 = 9;

impl Settings {
    /// Reads them; `None` where one that is required is missing or wrong.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let cloudflare = cloudflare::Settings::read(reader);
        let conductorone = conductorone::Settings::read(reader);
        let app_id = conductorone.as_ref().and_then(|conductorone| conductorone.app_id.as_deref());
        let provision = provision::Settings::read(reader, app_id);
        let enforces = reader.optional("ENFORCE_EXPIRY", switch) == Some(true);
        let wrong = reader.problems.len();
        let minutes = |text: &str| {
            number(1, 525_600)(text).map_err(|why| format!("{why}, and ENFORCE_EXPIRY is off until it is"))
        };
        let overdue_minutes = reader.or("OVERDUE_REVOKE_MINUTES", minutes, 60);
        // By the default, access would be taken away sooner than somebody meant whose minutes cannot be read.
        let enforce_expiry = enforces && reader.problems.len() == wrong;
        let findings = findings::Settings::read(reader, provision.guards.min_super_admins, overdue_minutes);
        let plan = Plan::read(reader);
        let rules = reader.text("APPROVAL_RULES").map_or_else(
            || Ok(Rules::default()),
            |text| {
                let rules = Rules::parse(&text)?;
                rules.check_findings(&findings::RULES.iter().map(|rule| rule.name).collect::<Vec<_>>())?;
                Ok(rules)
            },
        );
        if let Err(error) = &rules {
            reader.problem(
                "APPROVAL_RULES",
                format!("cannot be read, so every approval that is asked of the connector is denied: {error}"),
            );
        }
        let signing_key = signal::settings::signing_key(reader);
        let signal = signal::Settings::read(reader, conductorone.as_ref(), signing_key.as_ref());
        let push = push::Settings::read(reader, conductorone.as_ref());
        // What is forgotten cannot be had again, so that of days that cannot be read as many are kept as can be set.
        let unread = if reader.text("JOURNAL_DAYS").is_none() { JOURNAL_DAYS } else { MOST_JOURNAL_DAYS };
        let journal_days = reader.optional("JOURNAL_DAYS", number(1, MOST_JOURNAL_DAYS)).unwrap_or(unread);
        let audit = audit::Settings::read(reader);
        let sweep_minutes = reader.or("SWEEP_MINUTES", number(0, 1_440), 0);
        let auto_wire = reader.optional("AUTO_WIRE", switch).unwrap_or(false);
        Some(Self {
            cloudflare: cloudflare?,
            conductorone: conductorone?,
            provision,
            rules,
            signal,
            signing_key,
            push,
            findings,
            plan,
            journal_days: journal_days.max(LEAST_JOURNAL_DAYS),
            audit,
            overdue_minutes,
            enforce_expiry,
            sweep_minutes,
            auto_wire,
        })
    }

    /// What facts for an approval are gathered by.
    pub(super) fn known_by(&self) -> decide::KnownBy<'_> {
        decide::KnownBy {
            apps: &self.provision.apps,
            default_role: &self.provision.default_role,
            found_so_since: sync::found_so_since,
            looked_at: self.rules.as_ref().is_ok_and(Rules::asks_for_findings).then_some(findings::looked_at),
        }
    }

    /// What signals are made and sent by.
    pub(super) fn told_by(&self) -> signal::ToldBy<'_> {
        signal::ToldBy {
            settings: self.signal.as_ref(),
            account_id: self.cloudflare.account_id,
            c1_url: &self.conductorone.url,
            default_role: &self.provision.default_role,
            last_role_is_minimal: self.provision.guards.last_role == provision::LastRole::MinimalAccess,
            found_so_since: sync::found_so_since,
        }
    }
}
