//! The table of contents of a generation.

use crate::base::base64;
use crate::base::order;
use crate::base::tree::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::base::ports::SqlValue;
use crate::base::time::Timestamp;
use crate::model::access::Access;
use crate::model::grant::{Entitlement, Principal};
use crate::model::id::{AccountId, PermissionGroupId, ResourceGroupId, RoleId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::resource::Row;

/// The id of a generation: when its sync began, and the beginning of its digest, such as `20261123T100000Z-7f3a09c1`. Each sorts behind the one
/// before it: where two begin in the same second, the later one has the next second's time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct GenerationId(String);

impl GenerationId {
    /// The id of the generation that a sync begun at `started_at` publishes.
    pub fn new(started_at: Timestamp, digest: &str) -> Self {
        let digest: String = digest.chars().take(8).collect();
        Self(format!("{}-{digest}", started_at.compact()))
    }

    /// The id of the generation that follows another.
    pub fn after(previous: Option<&Self>, started_at: Timestamp, digest: &str) -> Self {
        let id = Self::new(started_at, digest);
        match previous.filter(|previous| id <= **previous) {
            Some(previous) => {
                let at = previous.began_at().unwrap_or(started_at);
                Self::new(at.plus_secs(1), digest)
            }
            None => id,
        }
    }

    /// When its sync began, to the second.
    pub fn began_at(&self) -> Option<Timestamp> {
        Timestamp::parse_compact(&self.0)
    }

    /// Reads an id that came from outside; only what could be one is looked up.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        (plain && !text.is_empty()).then(|| Self(text.to_owned()))
    }
}

impl TryFrom<String> for GenerationId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text).ok_or("no id of a generation")
    }
}

impl From<&GenerationId> for SqlValue {
    fn from(id: &GenerationId) -> Self {
        id.0.as_str().into()
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What turns atoms into entitlements: which resource group is the whole account, and under which role id a permission
/// group is governed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// The resource group that is the whole account; unknown only in an account where nobody holds anything.
    pub account_resource_group: Option<ResourceGroupId>,
    /// The role ids of permission groups that are governed under another id than their own.
    pub roles: BTreeMap<PermissionGroupId, RoleId>,
}

impl Naming {
    /// The role id that a permission group is governed under.
    pub fn role_of(&self, group: PermissionGroupId) -> RoleId {
        self.roles.get(&group).copied().unwrap_or_else(|| group.into())
    }

    /// What an atom is as an entitlement.
    pub fn entitlement_of(&self, permission_group: PermissionGroupId, resource_group: ResourceGroupId) -> Entitlement {
        if self.account_resource_group == Some(resource_group) {
            Entitlement::Role(self.role_of(permission_group))
        } else {
            Entitlement::scoped(permission_group, resource_group)
        }
    }

    /// What the person or group of a row holds, sorted, each once. A denied atom grants nothing.
    pub fn grants_of(&self, row: &Row) -> Vec<(Entitlement, Principal)> {
        let Some((principal, atoms, groups)) = row.holder() else { return Vec::new() };
        let mut held: Vec<(Entitlement, Principal)> = atoms
            .iter()
            .filter(|atom| atom.access == Access::Allow)
            .map(|atom| self.entitlement_of(atom.permission_group, atom.resource_group))
            .chain(groups.iter().map(|&group| Entitlement::Group(group)))
            .map(|entitlement| (entitlement, principal))
            .collect();
        order::sort_by_key(&mut held, |(entitlement, _)| *entitlement);
        held.dedup_by_key(|(entitlement, _)| *entitlement);
        held
    }
}

/// How many there are of each kind, and of what can be granted and is. As JSON an object of numbers, the kinds under the names of their
/// collections; a kind that the writer did not know yet is not in it, and there is none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the order of [`Kind::ALL`].
    kinds: [u64; Kind::ALL.len()],
    /// What can be granted.
    pub entitlements: u64,
    /// What is granted.
    pub grants: u64,
}

impl Counts {
    /// How many there are of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        let mut counted = Kind::ALL.iter().zip(self.kinds);
        counted.find(|(known, _)| **known == kind).map_or(0, |(_, count)| count)
    }

    /// How many people there are, with those who are invited.
    pub fn people(&self) -> u64 {
        Kind::PEOPLE.iter().map(|kind| self.of(*kind)).sum()
    }

    /// Sets how many there are of a kind.
    fn set(&mut self, kind: Kind, count: u64) {
        for (_, place) in Kind::ALL.iter().zip(&mut self.kinds).filter(|(known, _)| **known == kind) {
            *place = count;
        }
    }

    /// These with another number of a kind.
    #[cfg(test)]
    pub(crate) fn with(mut self, kind: Kind, count: u64) -> Self {
        self.set(kind, count);
        self
    }

    /// Makes what was counted of some rows the count of all: those of the generation before, less what these rows were in it.
    pub(super) fn replace(&mut self, old: &Self, before: &Self) {
        let now = |old: u64, before: u64, more: u64| (old + more).saturating_sub(before);
        for &kind in Kind::ALL {
            self.set(kind, now(old.of(kind), before.of(kind), self.of(kind)));
        }
        self.entitlements = now(old.entitlements, before.entitlements, self.entitlements);
        self.grants = now(old.grants, before.grants, self.grants);
    }

    pub(super) fn add(&mut self, row: &Row, grants: usize) {
        self.set(row.kind(), self.of(row.kind()) + 1);
        if row.offered().is_some() {
            self.entitlements += 1;
        }
        self.grants += grants as u64;
    }
}

/// Under which name a kind is counted.
fn counted_as(kind: Kind) -> String {
    kind.facts().collection.replace('-', "_")
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut counts: BTreeMap<String, u64> =
            Kind::ALL.iter().map(|&kind| (counted_as(kind), self.of(kind))).collect();
        counts.insert("entitlements".to_owned(), self.entitlements);
        counts.insert("grants".to_owned(), self.grants);
        counts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let told = Value::deserialize(deserializer)?;
        let number = |name: &str| told.get(name).and_then(Value::as_u64);
        let whole = |name: &'static str| number(name).ok_or_else(|| D::Error::missing_field(name));
        let mut counts = Self { entitlements: whole("entitlements")?, grants: whole("grants")?, ..Self::default() };
        for &kind in Kind::ALL {
            counts.set(kind, number(&counted_as(kind)).unwrap_or_default());
        }
        Ok(counts)
    }
}

/// Whether a list of the account could be read, and if not, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Whether it could be read.
    pub on: bool,
    /// Why it could not, and which permission of the token would mend it, by its name in Cloudflare's dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where the rows of this kind come from an older generation because the list can no longer be read: that generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<GenerationId>,
    /// Records of it that could not be read in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Unreadable>,
}

/// How the message begins of a list that an account does not have.
pub const ABSENT: &str = "this account does not have";

/// How it begins what is told of a list, or a part of one, that Cloudflare failed to tell: the next sync tries it again.
pub const FAILED: &str = "Cloudflare failed to tell";

/// Why a list is off where it told of more than it gave each time. What Cloudflare counts may be wrong for good.
pub const TELLS_MORE: &str = "tells of more than it gives; where what it gives is right, accept that with POST /v1/sync and {\"accept_removals\": true}";

/// What becomes of a list that is empty all of a sudden.
pub const TAKEN_LATER: &str = "a sync ten minutes later takes it as it is then";

impl Capability {
    /// Why it is off for good, without Cloudflare's own words, what may pass beside that, and what is kept; `None` where it is on, or what is wrong may pass
    /// by itself. What a list counts may be wrong until somebody accepts what it gives.
    pub fn lasting(&self) -> Option<&str> {
        let message = self.message.as_deref().unwrap_or_default();
        let [why, more] = [message, TELLS_MORE].map(|text| text.split([':', ';']).next().unwrap_or_default());
        let passes = why.contains(FAILED) && !why.contains(more) || message.contains(TAKEN_LATER);
        (!self.on && !passes).then_some(why)
    }

    /// Whether it was read to its end, be it that there is nothing.
    fn is_read(&self) -> bool {
        (self.on || self.is_absent()) && self.kept_from.is_none()
    }

    /// Whether there is nothing that could be read.
    pub fn is_absent(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.starts_with(ABSENT))
    }
}

/// Records of a list that could not be read in full: what an earlier generation knew of them is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// How many there are.
    pub count: u64,
    /// The first of them, each by its id or name, with what is odd about it.
    pub first: Vec<String>,
}

impl Unreadable {
    /// Whether all of them are named by their ids, each of which is another one's.
    fn are(&self, is_other: &dyn Fn(&str) -> bool) -> bool {
        let is_other = |odd: &String| {
            odd.split_once(": ").is_some_and(|(of, _)| of.parse::<UserGroupId>().is_ok() && is_other(of))
        };
        self.first.len() as u64 == self.count && self.first.iter().all(is_other)
    }
}

/// How the account itself is set, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Posture {
    /// Whether members without a second factor are locked out; `None` where it is not told.
    pub enforces_two_factor: Option<bool>,
    /// The organization that the account is in, by id and name: its administrators can do everything here, and are in no list of
    /// members.
    pub organization: Option<(String, String)>,
    /// The domains whose people log in through the company's own identity provider, with how each stands: `verified`, `disabled`,
    /// or what its verification waits for.
    pub sso_domains: BTreeMap<String, String>,
}

impl Posture {
    /// The domains of the account's own people, as far as they are verified and in use.
    pub fn verified_domains(&self) -> impl Iterator<Item = &str> {
        self.sso_domains.iter().filter(|(_, state)| *state == "verified").map(|(domain, _)| domain.as_str())
    }
}

/// One chunk, as a manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// SHA-256 of its bytes, 64 hexadecimal digits: its name in KV.
    pub hash: String,
    /// How many rows it has.
    pub rows: u32,
    /// How many bytes.
    pub bytes: u32,
    /// Its first row's key.
    pub first_key: String,
    /// Its last row's key.
    pub last_key: String,
    /// Which of the manifest's entitlements somebody in it holds: one bit each, the first in the lowest bit, base64.
    pub held: String,
}

impl ChunkRef {
    /// Whether its range of keys may have rows of a kind.
    pub fn may_have(&self, kind: Kind) -> bool {
        // Every key of a kind begins `<kind>:`; `;` is the byte after the colon.
        let (low, high) = (kind.prefix(), format!("{};", kind.as_str()));
        self.last_key >= low && self.first_key < high
    }

    /// Whether somebody in the chunk may hold the entitlement at a place in the manifest's list.
    pub(super) fn holds(&self, place: usize) -> bool {
        self.holdings()(place)
    }

    /// The same for many places: what they are read from is decoded once.
    pub(super) fn holdings(&self) -> impl Fn(usize) -> bool {
        let bits = base64::read_any(&self.held).unwrap_or_default();
        move |place| bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }
}

/// One bit for each of these places.
pub(super) fn bits(places: impl IntoIterator<Item = usize>) -> String {
    let mut bits = Vec::new();
    for place in places {
        if bits.len() <= place / 8 {
            bits.resize(place / 8 + 1, 0_u8);
        }
        if let Some(byte) = bits.get_mut(place / 8) {
            *byte |= 1 << (place % 8);
        }
    }
    base64::standard(&bits)
}

/// A generation's table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version.
    pub v: u32,
    /// The generation.
    pub generation: GenerationId,
    /// The account.
    pub account_id: AccountId,
    /// The generation before.
    pub previous: Option<GenerationId>,
    /// When its sync began: what happened to the account later may or may not be in it.
    pub started_at: Timestamp,
    /// When it was published.
    pub finished_at: Timestamp,
    /// SHA-256 over the chunks' hashes: two generations with the same digest are the same account.
    pub digest: String,
    /// How many there are of what.
    pub counts: Counts,
    /// Which lists could be read.
    pub capabilities: BTreeMap<String, Capability>,
    /// What turns atoms into entitlements.
    pub naming: Naming,
    /// How the account itself is set.
    #[serde(default)]
    pub posture: Posture,
    /// The ids of all entitlements that are offered or held, in the order of [`Entitlement`].
    pub entitlements: Vec<String>,
    /// The chunks, in the order of their keys.
    pub chunks: Vec<ChunkRef>,
}

impl Manifest {
    /// The entitlements by their places in the list, which the chunks' bits are of: none at the place of one that this version
    /// cannot read.
    pub fn listed(&self) -> impl Iterator<Item = Option<Entitlement>> {
        self.entitlements.iter().map(|id| id.parse().ok())
    }

    /// At which place of the list an entitlement is.
    pub(super) fn place_of(&self, entitlement: Entitlement) -> Option<usize> {
        // One text is compared with many: to parse each of them would cost more.
        let name = entitlement.to_string();
        self.entitlements.iter().position(|known| *known == name)
    }

    /// Whether an entitlement is offered, and nobody holds it.
    pub fn has_unheld(&self, entitlement: Entitlement) -> bool {
        let place = self.place_of(entitlement);
        place.is_some_and(|place| !self.chunks.iter().any(|chunk| chunk.holds(place)))
    }

    /// Whether what a list tells is known, be it from before.
    pub fn knows(&self, list: &str) -> bool {
        self.capabilities.get(list).is_none_or(|told| told.on || told.kept_from.is_some())
    }

    /// Whether a list was read to its end, and each record of it in full. Of the members, which every sync reads, only oddities are told.
    pub fn is_whole(&self, list: &str) -> bool {
        match self.capabilities.get(list) {
            Some(told) => told.is_read() && told.unreadable.is_none(),
            // Where there are no user groups, nobody is in any.
            None => list == "members" || (list == "user_group_members" && self.is_whole("user_groups")),
        }
    }

    /// Whether a record of a list was read in full: where others could not be, each of them must be known for another one.
    pub fn is_read_in_full(&self, list: &str, id: &str) -> bool {
        self.is_read_but(list, &|odd| odd != id)
    }

    /// Whether a list was read to its end, and each of its records that could not be read in full is known, by its id, for another one.
    pub fn is_read_but(&self, list: &str, is_other: &dyn Fn(&str) -> bool) -> bool {
        let is_another =
            |told: &Capability| told.is_read() && told.unreadable.as_ref().is_some_and(|odd| odd.are(is_other));
        self.is_whole(list) || self.capabilities.get(list).is_some_and(is_another)
    }

    /// Whether a record of a list could not be read in full, or may be one of those.
    pub fn is_told_in_part(&self, list: &str, id: &str) -> bool {
        let odd = self.capabilities.get(list).and_then(|told| told.unreadable.as_ref());
        odd.is_some_and(|odd| !odd.are(&|other| other != id))
    }

    /// What the person or group of a row holds; see [`Naming::grants_of`].
    pub fn grants_of(&self, row: &Row) -> Vec<(Entitlement, Principal)> {
        self.naming.grants_of(row)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Counts;
    use crate::base::json;
    use crate::model::kind::Kind;

    #[test]
    fn counts_have_the_names_that_are_stored_and_a_kind_that_is_not_among_them_has_none() {
        let counts = Counts { entitlements: 8, grants: 9, ..Counts::default() };
        let kinds = [
            Kind::User,
            Kind::Invitation,
            Kind::Role,
            Kind::ScopedRole,
            Kind::Group,
            Kind::ApiToken,
            Kind::OauthClient,
        ];
        let counts = (1..).zip(kinds).fold(counts, |counts, (n, kind)| counts.with(kind, n));
        let stored = json!({
            "users": 1, "invitations": 2, "roles": 3, "scoped_roles": 4, "groups": 5, "tokens": 6, "oauth_clients": 7,
            "entitlements": 8, "grants": 9,
        });
        assert_eq!(serde_json::to_value(counts).unwrap(), stored);
        assert_eq!(json::of::<Counts>(&stored).unwrap(), counts);
        assert_eq!((counts.of(Kind::OauthClient), counts.people()), (7, 3));

        let mut newer = stored.clone();
        newer["access_apps"] = json!({ "open": 2 });
        assert_eq!(json::of::<Counts>(&newer).unwrap(), counts);
        let mut older = stored;
        older.as_object_mut().unwrap().remove("oauth_clients");
        assert_eq!(json::of::<Counts>(&older).unwrap(), counts.with(Kind::OauthClient, 0));
        older.as_object_mut().unwrap().remove("grants");
        assert!(json::of::<Counts>(&older).unwrap_err().to_string().contains("grants"));
    }

    #[test]
    fn what_was_counted_of_some_rows_takes_the_place_of_what_they_were() {
        let of = |users, grants| Counts { grants, ..Counts::default() }.with(Kind::User, users);
        let mut counts = of(3, 5);
        counts.replace(&of(100, 700), &of(2, 7));
        assert_eq!(counts, of(101, 698));
    }
}
