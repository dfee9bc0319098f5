//! Findings as ConductorOne's security insights: resources of a type of their own in a `.c1z`, each about a person or a resource of the same
//! file (`reference/tokens.md` b.3).

use serde_json::Value;

use crate::base::hash::sha256_hex;
use crate::base::order;
use crate::base::time::Timestamp;
use crate::model::kind::Kind;

/// At most this many are in a file.
pub const MAX_INSIGHTS: i64 = 1_000;

/// A finding that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insight {
    /// The finding's id.
    pub(super) id: String,
    /// The rule in words, and whom or what it is about.
    pub(super) title: String,
    /// What was seen.
    pub(super) evidence: String,
    /// As C1 writes it: `HIGH`, `MEDIUM` or `LOW`.
    pub(super) severity: String,
    /// Since when.
    pub(super) since: Option<Timestamp>,
    /// The row it is about.
    pub(super) kind: Kind,
    /// That row's id without its kind.
    pub(super) about: String,
}

impl Insight {
    /// The key of the row it is about.
    pub(super) fn key(&self) -> String {
        format!("{}{}", self.kind.prefix(), self.about)
    }
}

/// The insights of a file, sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Insights(Vec<Insight>);

impl Insights {
    /// Reads findings as an answer shows them. What is about the account itself is left out: a file has no resource for that.
    pub fn of(findings: &[Value]) -> Self {
        let mut all: Vec<Insight> = findings.iter().filter_map(insight).collect();
        order::sort_by(&mut all, |one, other| one.id.cmp(&other.id));
        Self(all)
    }

    pub(super) fn all(&self) -> &[Insight] {
        &self.0
    }

    /// What tells two files of one generation apart; `None` where there are no insights.
    pub fn tag(&self) -> Option<String> {
        let all = (!self.0.is_empty()).then(|| format!("{:?}", self.0))?;
        sha256_hex(all.as_bytes()).get(..16).map(str::to_owned)
    }
}

fn insight(finding: &Value) -> Option<Insight> {
    let text = |name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default();
    let (kind, about) = text("about").split_once(':')?;
    Some(Insight {
        id: text("id").to_owned(),
        title: format!("{}: {}", text("title"), text("name")),
        evidence: text("evidence").to_owned(),
        severity: text("severity").to_ascii_uppercase(),
        since: Timestamp::parse(text("since")),
        kind: Kind::parse(kind)?,
        about: about.to_owned(),
    })
}
