//! The rules by which approvals are decided: JSON in one variable, parsed into types. What is wrong with it is told with the path to the
//! value and what was expected there.

use serde::Serialize;

use super::words::{Comment, Days, Domain, Hours, Name, Object, RoleName, UserId, object, objects};
use crate::base::json;
use crate::base::json::Deserialize;
use crate::conductorone::response::MAX_REASSIGNED;
use crate::model::ask::Action;
use crate::model::kind::Kind;

/// There are at most this many rules and list items; Workers take 5 KB for a variable.
const MAX_ITEMS: usize = 200;

/// The names of the rules that are always there.
pub(super) const WITHOUT_TWO_FACTOR: &str = "privileged-without-two-factor";
pub(super) const OUTSIDE_DOMAINS: &str = "privileged-outside-domains";
pub(super) const LOW_RISK: &str = "low-risk";
/// The name under which a decision stands that no rule made.
pub(super) const OTHERWISE: &str = "otherwise";
/// The name under which a decision stands while the rules cannot be read.
pub(super) const BROKEN: &str = "broken-rules";

/// The rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Roles that nobody gets without two-factor authentication or with an address outside the allowed domains.
    #[serde(default = "privileged")]
    pub(super) privileged_roles: Vec<RoleName>,
    /// What happens then.
    #[serde(default)]
    pub(super) unsafe_privileged: Unsafe,
    /// Roles that are approved without asking anybody.
    #[serde(default)]
    pub(super) low_risk_roles: Vec<RoleName>,
    /// The domains of the addresses of one's own people; without them every address is as good as another.
    #[serde(default)]
    pub(super) allowed_domains: Option<Vec<Domain>>,
    /// Rules of one's own.
    #[serde(rename = "rules", default, deserialize_with = "objects")]
    pub(super) own: Vec<Rule>,
    /// Who is asked where no rule decides, by their C1 ids.
    #[serde(default)]
    pub(super) reassign_to: Vec<UserId>,
    /// Nothing is approved from a snapshot that is older than this.
    #[serde(default)]
    pub(super) max_snapshot_age_hours: Hours,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            privileged_roles: privileged(),
            unsafe_privileged: Unsafe::default(),
            low_risk_roles: Vec::new(),
            allowed_domains: None,
            own: Vec::new(),
            reassign_to: Vec::new(),
            max_snapshot_age_hours: Hours::default(),
        }
    }
}

/// Super Administrator, by Cloudflare's label, which outlives its names.
fn privileged() -> Vec<RoleName> {
    vec![RoleName::from("super_admin".to_owned())]
}

/// What happens to a request for a privileged role that is not safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unsafe {
    #[default]
    Deny,
    Reassign,
}

/// A rule of one's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Name,
    #[serde(default, deserialize_with = "object")]
    pub(super) when: When,
    pub(super) then: Verdict,
    /// What is said to whoever reads the task.
    #[serde(default)]
    pub(super) comment: Option<Comment>,
    /// Who is asked, where `then` is `reassign` and they are others than those of the whole.
    #[serde(default)]
    pub(super) reassign_to: Vec<UserId>,
}

/// What a rule looks at; all that is given must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// Grants, where nothing else is said.
    #[serde(default = "grant")]
    pub(super) action: Option<Action>,
    /// One of these is asked for.
    #[serde(default)]
    pub(super) roles: Option<Vec<RoleName>>,
    /// Something of these kinds is asked for.
    #[serde(default)]
    pub(super) kinds: Option<Vec<RuleTarget>>,
    /// Whether what is asked for is, or brings with it, a privileged role.
    #[serde(default)]
    pub(super) privileged: Option<bool>,
    /// Whether the person has two-factor authentication; unknown is no.
    #[serde(default)]
    pub(super) two_factor: Option<bool>,
    /// The person's address is in one of these domains.
    #[serde(default)]
    pub(super) domains: Option<Vec<Domain>>,
    /// Whether the person's address is in one of the allowed domains.
    #[serde(default)]
    pub(super) in_allowed_domains: Option<bool>,
    /// Whether the person's address is in a domain that logs in through the company's identity provider, verified.
    #[serde(default)]
    pub(super) in_sso_domains: Option<bool>,
    /// Whether the account locks members without two-factor authentication out.
    #[serde(default)]
    pub(super) account_enforces_two_factor: Option<bool>,
    /// Whether the account is in an organization, whose administrators are in no list of members.
    #[serde(default)]
    pub(super) account_in_organization: Option<bool>,
    /// What the person is in the account.
    #[serde(default)]
    pub(super) status: Option<Vec<Status>>,
    /// The person holds one of these already.
    #[serde(default)]
    pub(super) holds: Option<Vec<RoleName>>,
    /// The person gave no sign of life for as many days; not known is not idle.
    #[serde(default)]
    pub(super) idle_days: Option<Days>,
    /// One of these findings is open, about the person or the account.
    #[serde(default)]
    pub(super) findings: Option<Vec<Name>>,
}

#[allow(clippy::unnecessary_wraps, reason = "a field's default has the field's type")]
const fn grant() -> Option<Action> {
    Some(Action::Grant)
}

impl When {
    /// The kind of task it is about.
    pub(super) fn action(&self) -> Action {
        self.action.unwrap_or(Action::Grant)
    }
}

/// How an approval is answered; the greater the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is approved.
    Approve,
    /// Others are asked.
    Reassign,
    /// It is denied.
    Deny,
}

/// The kind of thing that is asked for: an account, or what an entitlement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum RuleTarget {
    Account,
    Of(Kind),
}

impl TryFrom<String> for RuleTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == ACCOUNT {
            return Ok(Self::Account);
        }
        let kind = Kind::parse(&text).filter(|kind| kind.offers());
        kind.map(Self::Of).ok_or_else(|| {
            let known = Kind::OFFERING.iter().map(|kind| kind.as_str()).chain([ACCOUNT]);
            format!("unknown kind `{text}`, expected one of `{}`", known.collect::<Vec<_>>().join("`, `"))
        })
    }
}

/// What a rule calls an account.
const ACCOUNT: &str = "account";

/// What a person is in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Member,
    Invited,
    None,
}

/// Rules that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct InvalidRules {
    /// Where, such as `rules[1].then`.
    pub path: String,
    /// What is wrong there, and what was expected.
    pub what: String,
}

/// What a log can bear of a text that may have names in it as long as the rules are.
fn beginning(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn invalid(path: impl Into<String>, what: impl Into<String>) -> InvalidRules {
    InvalidRules { path: path.into(), what: what.into() }
}

impl Rules {
    /// Reads rules.
    pub fn parse(text: &str) -> Result<Self, InvalidRules> {
        let Object(rules): Object<Self> = json::read_told(text).map_err(|(path, error)| {
            let path = if path.is_empty() { "the rules" } else { &path };
            invalid(beginning(path, 100), beginning(&error.to_string(), 300))
        })?;
        rules.check()?;
        Ok(rules)
    }

    fn check(&self) -> Result<(), InvalidRules> {
        for (path, count) in [
            ("privileged_roles", self.privileged_roles.len()),
            ("low_risk_roles", self.low_risk_roles.len()),
            ("allowed_domains", self.allowed_domains.as_ref().map_or(0, Vec::len)),
            ("rules", self.own.len()),
        ] {
            if count > MAX_ITEMS {
                return Err(invalid(path, format!("expected {MAX_ITEMS} items at most")));
            }
        }
        if self.allowed_domains.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid("allowed_domains", "expected one domain at least; leave it out to allow any"));
        }
        people("reassign_to", &self.reassign_to)?;
        if self.unsafe_privileged == Unsafe::Reassign && self.reassign_to.is_empty() {
            return Err(invalid("unsafe_privileged", "reassign needs somebody to ask: set reassign_to"));
        }
        for (place, rule) in self.own.iter().enumerate() {
            self.check_rule(place, rule)?;
        }
        Ok(())
    }

    fn check_rule(&self, place: usize, rule: &Rule) -> Result<(), InvalidRules> {
        let at = |field: &str| format!("rules[{place}].{field}");
        let own = [WITHOUT_TWO_FACTOR, OUTSIDE_DOMAINS, LOW_RISK, OTHERWISE, BROKEN];
        let earlier = self.own.iter().take(place);
        if own.contains(&rule.name.0.as_str()) || earlier.into_iter().any(|other| other.name == rule.name) {
            return Err(invalid(at("name"), format!("expected a name that no other rule has, not {:?}", rule.name.0)));
        }
        people(&at("reassign_to"), &rule.reassign_to)?;
        if rule.then == Verdict::Reassign && rule.reassign_to.is_empty() && self.reassign_to.is_empty() {
            return Err(invalid(at("then"), "reassign needs somebody to ask: set reassign_to, here or for all rules"));
        }
        if rule.then != Verdict::Reassign && !rule.reassign_to.is_empty() {
            return Err(invalid(at("reassign_to"), "expected only where then is reassign"));
        }
        let grants = rule.when.action() == Action::Grant;
        if rule.then == Verdict::Approve && grants && rule.when.roles.is_none() {
            return Err(invalid(at("when"), "expected roles: a rule that approves grants must name what it approves"));
        }
        if rule.when.in_allowed_domains.is_some() && self.allowed_domains.is_none() {
            return Err(invalid(at("when.in_allowed_domains"), "expected only where allowed_domains is set"));
        }
        for (field, is_empty) in [
            ("roles", rule.when.roles.as_ref().map(Vec::is_empty)),
            ("kinds", rule.when.kinds.as_ref().map(Vec::is_empty)),
            ("domains", rule.when.domains.as_ref().map(Vec::is_empty)),
            ("status", rule.when.status.as_ref().map(Vec::is_empty)),
            ("holds", rule.when.holds.as_ref().map(Vec::is_empty)),
            ("findings", rule.when.findings.as_ref().map(Vec::is_empty)),
        ] {
            if is_empty == Some(true) {
                let path = at(&format!("when.{field}"));
                return Err(invalid(path, "expected one item at least: nothing matches an empty list"));
            }
        }
        Ok(())
    }

    /// Whether all findings that the rules name are among these; the path to the first that is not, where one is not.
    pub fn check_findings(&self, known: &[&str]) -> Result<(), InvalidRules> {
        for (place, rule) in self.own.iter().enumerate() {
            let unknown = rule.when.findings.iter().flatten().find(|name| !known.contains(&name.0.as_str()));
            if let Some(Name(name)) = unknown {
                let path = format!("rules[{place}].when.findings");
                return Err(invalid(path, format!("there is no finding {name:?}; there are {}", known.join(", "))));
            }
        }
        Ok(())
    }

    /// Whether any rule asks for findings.
    pub fn asks_for_findings(&self) -> bool {
        self.own.iter().any(|rule| rule.when.findings.is_some())
    }

    /// Whether any rule asks how long somebody gave no sign of life.
    pub fn asks_for_silence(&self) -> bool {
        self.own.iter().any(|rule| rule.when.idle_days.is_some())
    }

    /// Each name of a role that the rules have, with where it stands and whether it is in what approves.
    pub(super) fn role_names(&self) -> Vec<(String, &RoleName, bool)> {
        let own = self.own.iter().enumerate().flat_map(|(place, rule)| {
            let lists = [("roles", &rule.when.roles), ("holds", &rule.when.holds)];
            let approves = rule.then == Verdict::Approve;
            lists.map(|(field, names)| {
                (format!("rules[{place}].when.{field}"), names.as_deref().unwrap_or_default(), approves)
            })
        });
        let lists = [
            ("privileged_roles".to_owned(), self.privileged_roles.as_slice(), false),
            ("low_risk_roles".to_owned(), self.low_risk_roles.as_slice(), true),
        ];
        let mut all = Vec::new();
        for (path, names, approves) in lists.into_iter().chain(own) {
            all.extend(names.iter().enumerate().map(|(place, name)| (format!("{path}[{place}]"), name, approves)));
        }
        all
    }
}

fn people(path: &str, users: &[UserId]) -> Result<(), InvalidRules> {
    if users.len() > MAX_REASSIGNED {
        return Err(invalid(
            path,
            format!("expected {MAX_REASSIGNED} users at most, which is what ConductorOne takes"),
        ));
    }
    Ok(())
}
