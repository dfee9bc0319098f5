//! What a crawl has read so far, in the Coordinator's SQLite: one row for each page, not for each member, since rows
//! written cost money. A page counts when its row is there, which is written last: what does not fit into it stands in further
//! rows by then.

use crate::base::json;
use crate::base::tree::BTreeMap;
use std::borrow::Cow;

use super::crawl::{Fetch, List, PageFacts};
use super::packed::{Reader, Writer};
use crate::account::hints::Hints;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::cloudflare::{MemberRecord, PermissionGroup, PolicyRecord};
use crate::model::access::{Access, Atom};
use crate::model::id::{MemberId, PermissionGroupId, ResourceGroupId, RoleId, UserId};
use crate::model::resource::{Member, MemberStatus};
use crate::snapshot::RunId;

/// A row of a Durable Object's SQLite takes 2 MB; each holds at most this many bytes of a page's rows.
const PIECE: usize = 1_500_000;

/// A member, as much of it as a snapshot needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedMember<'a> {
    pub(super) id: MemberId,
    pub(super) user_id: Option<UserId>,
    pub(super) email: Cow<'a, str>,
    pub(super) status: MemberStatus,
    pub(super) first_name: Option<Cow<'a, str>>,
    pub(super) last_name: Option<Cow<'a, str>>,
    pub(super) two_factor: Option<bool>,
    pub(super) policies: Vec<StagedPolicy<'a>>,
    /// Why this is not the whole of what Cloudflare has of the member, where it is not.
    pub(super) unread: Option<Cow<'a, str>>,
}

/// A member's policy. Its id tells whether it comes from a user group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedPolicy<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    access: Access,
    permission_groups: Vec<PermissionGroupId>,
    resource_groups: Vec<ResourceGroupId>,
}

/// The words of a packed member; a byte each.
const ACCESS: [Access; 3] = [Access::Allow, Access::Deny, Access::Unknown];
const STATUS: [MemberStatus; 4] =
    [MemberStatus::Accepted, MemberStatus::Pending, MemberStatus::Rejected, MemberStatus::Other];
const FLAG: [Option<bool>; 3] = [None, Some(false), Some(true)];

fn write_word<T: PartialEq>(writer: &mut Writer, words: &[T], word: &T) {
    let place = words.iter().position(|known| known == word).and_then(|place| u8::try_from(place).ok());
    writer.byte(place.unwrap_or(u8::MAX));
}

fn read_word<T: Copy>(reader: &mut Reader<'_>, words: &[T]) -> Option<T> {
    words.get(usize::from(reader.byte()?)).copied()
}

impl<'a> StagedPolicy<'a> {
    fn of(record: &'a PolicyRecord) -> Self {
        let policy = record.policy();
        Self {
            id: record.id.as_deref().map(Cow::Borrowed),
            access: policy.access,
            permission_groups: policy.permission_groups,
            resource_groups: policy.resource_groups,
        }
    }

    /// The atoms that it stands for.
    pub(super) fn atoms(&self) -> impl Iterator<Item = Atom> + '_ {
        self.permission_groups.iter().flat_map(move |&permission_group| {
            self.resource_groups.iter().map(move |&resource_group| Atom {
                access: self.access,
                permission_group,
                resource_group,
            })
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.maybe_text(self.id.as_deref());
        write_word(writer, &ACCESS, &self.access);
        writer.number(self.permission_groups.len());
        for group in &self.permission_groups {
            writer.id(group.bytes());
        }
        writer.number(self.resource_groups.len());
        for group in &self.resource_groups {
            writer.id(group.bytes());
        }
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            id: reader.maybe_text()?.map(Cow::Borrowed),
            access: read_word(reader, &ACCESS)?,
            permission_groups: reader.list(|reader| reader.id().map(PermissionGroupId::of_bytes))?,
            resource_groups: reader.list(|reader| reader.id().map(ResourceGroupId::of_bytes))?,
        })
    }
}

impl<'a> StagedMember<'a> {
    fn of(member: &'a MemberRecord) -> Self {
        Self {
            policies: member.policies.readable().iter().map(StagedPolicy::of).collect(),
            unread: member.unread().map(Cow::Borrowed),
            id: member.id,
            user_id: member.user_id,
            email: Cow::Borrowed(&member.email),
            status: member.status,
            first_name: member.first_name.as_deref().map(Cow::Borrowed),
            last_name: member.last_name.as_deref().map(Cow::Borrowed),
            two_factor: member.two_factor,
        }
    }

    /// A member as one of our own operations left it: every atom a policy of its own.
    fn of_model(member: &'a Member) -> Self {
        let policy = |atom: &Atom| StagedPolicy {
            id: None,
            access: atom.access,
            permission_groups: vec![atom.permission_group],
            resource_groups: vec![atom.resource_group],
        };
        Self {
            id: member.member_id,
            user_id: member.user_id,
            email: Cow::Borrowed(&member.email),
            status: member.status,
            first_name: member.first_name.as_deref().map(Cow::Borrowed),
            last_name: member.last_name.as_deref().map(Cow::Borrowed),
            two_factor: member.two_factor,
            policies: member.atoms.iter().map(policy).collect(),
            unread: None,
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.id(self.id.bytes());
        match self.user_id {
            None => writer.byte(0),
            Some(user) => {
                writer.byte(1);
                writer.id(user.bytes());
            }
        }
        writer.text(&self.email);
        write_word(writer, &STATUS, &self.status);
        writer.maybe_text(self.first_name.as_deref());
        writer.maybe_text(self.last_name.as_deref());
        write_word(writer, &FLAG, &self.two_factor);
        writer.maybe_text(self.unread.as_deref());
        writer.number(self.policies.len());
        for policy in &self.policies {
            policy.write(writer);
        }
    }

    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self {
            id: MemberId::of_bytes(reader.id()?),
            user_id: match reader.byte()? {
                0 => None,
                _ => Some(UserId::of_bytes(reader.id()?)),
            },
            email: Cow::Borrowed(reader.text()?),
            status: read_word(reader, &STATUS)?,
            first_name: reader.maybe_text()?.map(Cow::Borrowed),
            last_name: reader.maybe_text()?.map(Cow::Borrowed),
            two_factor: read_word(reader, &FLAG)?,
            unread: reader.maybe_text()?.map(Cow::Borrowed),
            policies: reader.list(StagedPolicy::read)?,
        })
    }
}

/// The members of a crawl, as their pages were staged: of each the latest that was taken in. They stay packed, since all of an account
/// are in memory together.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pages: Vec<Vec<u8>>,
    places: BTreeMap<MemberId, Place>,
    /// What some of them do not have of their own for this once, whatever their pages show.
    pub(super) less: Vec<(MemberId, Atom)>,
}

/// Where a member is.
#[derive(Clone, Copy, Debug)]
struct Place {
    page: usize,
    at: usize,
    unread: bool,
}

impl Members {
    /// Takes in a staged page, and gives the members on it and what they tell; `None` where it cannot be read.
    pub(super) fn take(&mut self, staged: &[u8]) -> Option<(Vec<MemberId>, Hints)> {
        let mut reader = Reader(staged);
        let length = reader.number()?;
        let (packed, hints) = reader.0.split_at_checked(length)?;
        let ids = self.add(packed)?;
        Some((ids, read_hints(&mut Reader(hints))?))
    }

    /// Takes in a member as one of our own operations left it.
    pub(super) fn insert(&mut self, member: &Member) {
        let mut writer = Writer::default();
        StagedMember::of_model(member).write(&mut writer);
        // What was just written can be read.
        let _ = self.add(&writer.0);
    }

    fn add(&mut self, packed: &[u8]) -> Option<Vec<MemberId>> {
        let (page, mut reader, mut ids) = (self.pages.len(), Reader(packed), Vec::new());
        while !reader.0.is_empty() {
            let at = packed.len() - reader.0.len();
            let member = StagedMember::read(&mut reader)?;
            self.places.insert(member.id, Place { page, at, unread: member.unread.is_some() });
            ids.push(member.id);
        }
        self.pages.push(packed.to_vec());
        Some(ids)
    }

    pub(super) fn remove(&mut self, id: MemberId) {
        self.places.remove(&id);
    }

    pub(super) fn contains(&self, id: MemberId) -> bool {
        self.places.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether a member is there of whom not everything could be read.
    pub(super) fn is_unread(&self, id: MemberId) -> Option<bool> {
        self.places.get(&id).map(|place| place.unread)
    }

    pub(super) fn any_unread(&self) -> bool {
        self.places.values().any(|place| place.unread)
    }

    pub(super) fn get(&self, id: MemberId) -> Option<StagedMember<'_>> {
        self.at(*self.places.get(&id)?)
    }

    /// All members, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = StagedMember<'_>> {
        // Each was read before it was given a place.
        self.places.values().filter_map(|place| self.at(*place))
    }

    fn at(&self, place: Place) -> Option<StagedMember<'_>> {
        StagedMember::read(&mut Reader(self.pages.get(place.page)?.get(place.at..)?))
    }
}

fn write_hints(hints: &Hints, writer: &mut Writer) {
    writer.number(hints.permission_groups.len());
    for group in hints.permission_groups.values() {
        writer.id(group.id.bytes());
        writer.text(&group.name);
        writer.maybe_text(group.label.as_deref());
        writer.maybe_text(group.scopes.as_deref());
    }
    writer.number(hints.resource_groups.len());
    for (id, name) in &hints.resource_groups {
        writer.id(id.bytes());
        writer.text(name);
    }
    writer.number(hints.pairs.len());
    for (role, group) in &hints.pairs {
        writer.id(role.bytes());
        writer.id(group.bytes());
    }
    writer.number(hints.roles.len());
    for role in &hints.roles {
        writer.id(role.bytes());
    }
}

fn read_hints(reader: &mut Reader<'_>) -> Option<Hints> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let permission_groups = reader.list(|reader| {
        let id = PermissionGroupId::of_bytes(reader.id()?);
        let name = reader.text()?.to_owned();
        let (label, scopes) = (owned(reader.maybe_text()?), owned(reader.maybe_text()?));
        Some((id, PermissionGroup { id, name, description: None, label, scopes, ends: None }))
    })?;
    let resource_groups =
        reader.list(|reader| Some((ResourceGroupId::of_bytes(reader.id()?), reader.text()?.to_owned())))?;
    let pairs =
        reader.list(|reader| Some((RoleId::of_bytes(reader.id()?), PermissionGroupId::of_bytes(reader.id()?))))?;
    let roles = reader.list(|reader| reader.id().map(RoleId::of_bytes))?;
    let mut hints = Hints::default();
    hints.permission_groups.extend(permission_groups);
    hints.resource_groups.extend(resource_groups);
    hints.pairs.extend(pairs);
    hints.roles.extend(roles);
    Some(hints)
}

/// A page of members, packed: the length of the members, the members, what they tell.
pub(super) fn pack(members: &[MemberRecord], account: &str) -> Vec<u8> {
    let (mut hints, mut packed) = (Hints::default(), Writer::default());
    for member in members {
        hints.add(member, account);
        StagedMember::of(member).write(&mut packed);
    }
    let mut page = Writer::default();
    page.number(packed.0.len());
    page.0.append(&mut packed.0);
    write_hints(&hints, &mut page);
    page.0
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    // `facts` stands before `rows`, so that reading it does not touch the pages of the file that the rows fill.
    sql.query(
        "CREATE TABLE IF NOT EXISTS staged ( \
            run TEXT NOT NULL, list TEXT NOT NULL, page INTEGER NOT NULL, facts TEXT NOT NULL, rows BLOB NOT NULL, \
            PRIMARY KEY (run, list, page))",
        &[],
    )?;
    sql.run(
        "CREATE TABLE IF NOT EXISTS staged_rest ( \
            run TEXT NOT NULL, list TEXT NOT NULL, page INTEGER NOT NULL, piece INTEGER NOT NULL, rows BLOB NOT NULL, \
            PRIMARY KEY (run, list, page, piece))",
        &[],
    )
}

/// Stores a page; the same page again replaces it.
pub(super) fn store(
    sql: &dyn Sql,
    run: &RunId,
    fetch: Fetch,
    facts: &PageFacts,
    rows: Vec<u8>,
) -> Result<(), SqlError> {
    let facts = serde_json::to_string(facts)?;
    let place: [SqlValue; 3] = [run.as_str().into(), fetch.list.to_string().into(), i64::from(fetch.page).into()];
    sql.run("DELETE FROM staged_rest WHERE run = ? AND list = ? AND page = ?", &place)?;
    let mut rows = rows;
    let rest = if rows.len() > PIECE { rows.split_off(PIECE) } else { Vec::new() };
    for (piece, rows) in (1_i64..).zip(rest.chunks(PIECE)) {
        let [run, list, page] = place.clone();
        sql.run(
            "INSERT INTO staged_rest (run, list, page, piece, rows) VALUES (?, ?, ?, ?, ?)",
            &[run, list, page, piece.into(), SqlValue::Blob(rows.to_vec())],
        )?;
    }
    let [run, list, page] = place;
    sql.run(
        "INSERT OR REPLACE INTO staged (run, list, page, facts, rows) VALUES (?, ?, ?, ?, ?)",
        &[run, list, page, facts.into(), SqlValue::Blob(rows)],
    )
}

/// What the staged pages of a run say of themselves.
pub(super) fn facts(sql: &dyn Sql, run: &RunId) -> Result<Vec<(Fetch, PageFacts)>, SqlError> {
    let rows = sql.query("SELECT list, page, facts FROM staged WHERE run = ?", &[run.as_str().into()])?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let [list, page, facts] = row.as_slice() else { return None };
            let list = list.text()?.parse().ok()?;
            let page = u32::try_from(page.integer()?).ok()?;
            // A page whose facts cannot be read is fetched again.
            Some((Fetch { list, page }, json::read(facts.text()?.as_bytes()).ok()?))
        })
        .collect())
}

/// What a staged page says of itself.
pub(super) fn facts_of(sql: &dyn Sql, run: &str, Fetch { list, page }: Fetch) -> Result<Option<PageFacts>, SqlError> {
    let place: [SqlValue; 3] = [run.into(), list.to_string().into(), i64::from(page).into()];
    let rows = sql.query("SELECT facts FROM staged WHERE run = ? AND list = ? AND page = ?", &place)?;
    Ok(rows.iter().flatten().find_map(|facts| json::read(facts.text()?.as_bytes()).ok()))
}

/// The rows of a page. One page is in memory at a time: a list may have a thousand.
pub(super) fn rows(sql: &dyn Sql, run: &RunId, Fetch { list, page }: Fetch) -> Result<Vec<u8>, SqlError> {
    let place: [SqlValue; 3] = [run.as_str().into(), list.to_string().into(), i64::from(page).into()];
    let [run, name, page] = place.clone();
    let pieces = sql.query(
        "SELECT 0 AS piece, rows FROM staged WHERE run = ? AND list = ? AND page = ? UNION ALL \
         SELECT piece, rows FROM staged_rest WHERE run = ? AND list = ? AND page = ? ORDER BY piece",
        &[run.clone(), name.clone(), page.clone(), run, name, page],
    )?;
    let mut whole = Vec::new();
    for piece in pieces {
        match piece.into_iter().nth(1) {
            Some(SqlValue::Blob(rows)) if whole.is_empty() => whole = rows,
            Some(SqlValue::Blob(rows)) => whole.extend_from_slice(&rows),
            _ => return Err(unreadable(list)),
        }
    }
    Ok(whole)
}

/// A page whose rows are not what they should be.
pub(super) fn unreadable(list: List) -> SqlError {
    SqlError::unreadable(&format!("a staged page of {list}"))
}

/// Forgets what is staged of a list: it is fetched again.
pub(super) fn forget(sql: &dyn Sql, run: &RunId, list: List) -> Result<(), SqlError> {
    delete(sql, "run = ? AND list = ?", &[run.as_str().into(), list.to_string().into()])
}

/// Another run of which something is staged.
pub(super) fn another_run(sql: &dyn Sql, run: &RunId) -> Result<Option<String>, SqlError> {
    // Two searches of the index: what is not this run would be looked for among all of its pages.
    let another = "SELECT run FROM staged WHERE run < ?1 UNION ALL SELECT run FROM staged WHERE run > ?1 LIMIT 1";
    let rows = sql.query(another, &[run.as_str().into()])?;
    Ok(rows.iter().flatten().find_map(SqlValue::text).map(str::to_owned))
}

/// Makes what another run staged of a page this run's, which has `facts` to say of it.
pub(super) fn take_over(
    sql: &dyn Sql,
    from: &str,
    run: &RunId,
    Fetch { list, page }: Fetch,
    facts: &PageFacts,
) -> Result<(), SqlError> {
    let (facts, list, page) = (serde_json::to_string(facts)?, list.to_string(), i64::from(page));
    let place: [SqlValue; 4] = [run.as_str().into(), from.into(), list.into(), page.into()];
    let [run, from, list, page] = place.clone();
    // The row that makes the page count comes last here, too.
    sql.query("UPDATE OR REPLACE staged_rest SET run = ? WHERE run = ? AND list = ? AND page = ?", &place)?;
    let taken = sql.query(
        "UPDATE OR REPLACE staged SET run = ?, facts = ? WHERE run = ? AND list = ? AND page = ? RETURNING page",
        &[run, facts.into(), from, list, page],
    )?;
    // A page counts only when its row is there.
    if taken.is_empty() { Err(SqlError::unreadable("a staged page of the sync before")) } else { Ok(()) }
}

/// Forgets what is staged of a run.
pub(super) fn forget_run(sql: &dyn Sql, run: &RunId) -> Result<(), SqlError> {
    delete(sql, "run = ?", &[run.as_str().into()])
}

/// Forgets everything staged but a run's pages that may come again as they are.
pub(super) fn keep_only(sql: &dyn Sql, run: &RunId) -> Result<(), SqlError> {
    delete(sql, "run <> ? OR list NOT LIKE 'members/%'", &[run.as_str().into()])
}

/// Forgets the pages that a condition is true of, with the rest of those that one row could not take.
fn delete(sql: &dyn Sql, condition: &str, values: &[SqlValue]) -> Result<(), SqlError> {
    for table in ["staged", "staged_rest"] {
        sql.run(&format!("DELETE FROM {table} WHERE {condition}"), values)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Members, pack};
    use crate::cloudflare::PermissionGroup;
    use crate::cloudflare::{LegacyRole, MemberRecord, Policies, PolicyRecord, ResourceGroup};
    use crate::model::access::Access;
    use crate::model::id::MemberId;
    use crate::model::resource::{Member, MemberStatus};

    fn id<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: u8) -> T {
        format!("{n:032x}").parse().unwrap()
    }

    fn record(n: u8, status: MemberStatus, name: Option<&str>) -> MemberRecord {
        let group = PermissionGroup {
            id: id(n),
            name: format!("Role {n}"),
            description: Some("not kept".to_owned()),
            label: name.map(str::to_owned),
            scopes: None,
            ends: None,
        };
        let policy = PolicyRecord {
            id: name.map(str::to_owned),
            access: Access::Allow,
            permission_groups: [group].into(),
            resource_groups: [ResourceGroup { id: id(1), name: "whole".to_owned(), keys: Vec::new() }].into(),
        };
        MemberRecord {
            id: id(n),
            user_id: name.map(|_| id(100 + n)),
            email: format!("žofie{n}@example.com"),
            status,
            first_name: name.map(str::to_owned),
            last_name: Some(String::new()),
            two_factor: name.map(|_| n.is_multiple_of(2)),
            roles: vec![LegacyRole { id: id(50 + n), name: format!("role {n}") }],
            policies: Policies::from(vec![policy]),
        }
    }

    #[test]
    fn a_packed_page_is_read_back_and_the_latest_of_a_member_counts() {
        let records = [
            record(1, MemberStatus::Accepted, Some("A")),
            record(2, MemberStatus::Pending, None),
            record(3, MemberStatus::Other, None),
        ];
        let mut members = Members::default();
        let (ids, hints) = members.take(&pack(&records, "whole")).unwrap();
        assert_eq!(ids, [id(1), id(2), id(3)]);
        assert_eq!(hints.permission_groups[&id(1)].label.as_deref(), Some("A"));
        assert_eq!(hints.resource_groups[&id(1)], "whole");
        assert_eq!(
            hints.pairs.iter().copied().collect::<Vec<_>>(),
            [(id(51), id(1)), (id(52), id(2)), (id(53), id(3))]
        );
        assert_eq!(hints.roles.len(), 3);
        for record in &records {
            let read = members.get(record.id).unwrap();
            assert_eq!(
                (read.user_id, &*read.email, read.status),
                (record.user_id, record.email.as_str(), record.status)
            );
            assert_eq!(read.first_name.as_deref(), record.first_name.as_deref());
            assert_eq!((read.last_name.as_deref(), read.two_factor), (Some(""), record.two_factor));
            assert_eq!(read.policies[0].id.as_deref(), record.policies.readable()[0].id.as_deref());
            assert_eq!(
                read.policies[0].atoms().collect::<Vec<_>>(),
                record.policies.readable()[0].policy().atoms().collect::<Vec<_>>()
            );
        }
        assert_eq!(members.is_unread(id(3)), Some(true), "its status is none that is known");
        assert_eq!(
            (members.is_unread(id(1)), members.is_unread(id(9)), members.any_unread()),
            (Some(false), None, true)
        );

        let mut later = record(1, MemberStatus::Accepted, Some("B"));
        later.email = "later@example.com".to_owned();
        members.take(&pack(&[later], "whole")).unwrap();
        assert_eq!((members.get(id(1)).unwrap().email.as_ref(), members.len()), ("later@example.com", 3));
        let own = Member {
            member_id: id(2),
            user_id: None,
            email: "own@example.com".to_owned(),
            status: MemberStatus::Pending,
            first_name: None,
            last_name: None,
            two_factor: None,
            atoms: vec![],
            groups: vec![],
            signs: crate::model::signs::Signs::default(),
        };
        members.insert(&own);
        assert_eq!(members.iter().map(|member| member.email.into_owned()).nth(1).as_deref(), Some("own@example.com"));
        members.remove(id(2));
        assert!(!members.contains(id(2)) && members.contains(id(3)));
    }

    #[test]
    fn a_page_that_is_damaged_anywhere_is_no_page_or_another_and_never_a_panic() {
        let page =
            pack(&[record(1, MemberStatus::Accepted, Some("A")), record(2, MemberStatus::Pending, None)], "whole");
        for end in 0..page.len() {
            assert!(Members::default().take(&page[..end]).is_none(), "cut off at {end}");
        }
        for at in 0..page.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut page = page.clone();
                page[at] = byte;
                let _ = Members::default().take(&page);
            }
        }
        let none: Option<MemberId> = Members::default().take(&pack(&[], "")).unwrap().0.first().copied();
        assert_eq!(none, None);
    }
}
