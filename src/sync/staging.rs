//! What a crawl has read so far, in the Coordinator's SQLite: one row for each page, not for each member, since rows
//! written cost money. A page counts when its row is there, which is written last: what does not fit into it stands in further
//! rows by then.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::crawl::{Fetch, List, PageFacts};
use crate::account::hints::Hints;
use crate::base::ports::{Sql, SqlError, SqlValue};
use crate::cloudflare::{MemberRecord, PolicyRecord};
use crate::model::access::{Access, Atom, Policy};
use crate::model::id::{MemberId, PermissionGroupId, ResourceGroupId, UserId};
use crate::model::resource::{Member, MemberStatus};
use crate::snapshot::RunId;

/// A row of a Durable Object's SQLite takes 2 MB; each holds at most this many bytes of a page's rows.
const PIECE: usize = 1_500_000;

/// A member, as much of it as a snapshot needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagedMember {
    #[serde(rename = "i")]
    pub(super) id: MemberId,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<UserId>,
    #[serde(rename = "e")]
    pub(super) email: String,
    #[serde(rename = "s")]
    pub(super) status: MemberStatus,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) first_name: Option<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) last_name: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) two_factor: Option<bool>,
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) policies: Vec<StagedPolicy>,
    /// Why this is not the whole of what Cloudflare has of the member, where it is not.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) unread: Option<String>,
}

/// A member's policy. Its id tells whether it comes from a user group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagedPolicy {
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(rename = "a")]
    access: Access,
    #[serde(rename = "p")]
    permission_groups: Vec<PermissionGroupId>,
    #[serde(rename = "r")]
    resource_groups: Vec<ResourceGroupId>,
}

impl StagedPolicy {
    fn of(record: &PolicyRecord) -> Self {
        let policy = record.policy();
        Self {
            id: record.id.clone(),
            access: policy.access,
            permission_groups: policy.permission_groups,
            resource_groups: policy.resource_groups,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            access: self.access,
            permission_groups: self.permission_groups.clone(),
            resource_groups: self.resource_groups.clone(),
        }
    }
}

impl StagedMember {
    /// A member as one of our own operations left it: every atom a policy of its own.
    pub(super) fn of_model(member: &Member) -> Self {
        let policy = |atom: &Atom| StagedPolicy {
            id: None,
            access: atom.access,
            permission_groups: vec![atom.permission_group],
            resource_groups: vec![atom.resource_group],
        };
        Self {
            id: member.member_id,
            user_id: member.user_id,
            email: member.email.clone(),
            status: member.status,
            first_name: member.first_name.clone(),
            last_name: member.last_name.clone(),
            two_factor: member.two_factor,
            policies: member.atoms.iter().map(policy).collect(),
            unread: None,
        }
    }
}

/// A page of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MembersPage {
    pub(super) members: Vec<StagedMember>,
    pub(super) hints: Hints,
}

impl MembersPage {
    pub(super) fn of(members: Vec<MemberRecord>, account: &str) -> Self {
        let mut page = Self::default();
        for member in members {
            page.hints.add(&member, account);
            page.members.push(StagedMember {
                policies: member.policies.readable().iter().map(StagedPolicy::of).collect(),
                unread: member.unread().map(str::to_owned),
                id: member.id,
                user_id: member.user_id,
                email: member.email,
                status: member.status,
                first_name: member.first_name,
                last_name: member.last_name,
                two_factor: member.two_factor,
            });
        }
        page
    }
}

pub(super) fn init(sql: &dyn Sql) -> Result<(), SqlError> {
    // `facts` stands before `rows`, so that reading it does not touch the pages of the file that the rows fill.
    sql.query(
        "CREATE TABLE IF NOT EXISTS staged (
            run TEXT NOT NULL, list TEXT NOT NULL, page INTEGER NOT NULL, facts TEXT NOT NULL, rows BLOB NOT NULL,
            PRIMARY KEY (run, list, page))",
        &[],
    )?;
    sql.query(
        "CREATE TABLE IF NOT EXISTS staged_rest (
            run TEXT NOT NULL, list TEXT NOT NULL, page INTEGER NOT NULL, piece INTEGER NOT NULL, rows BLOB NOT NULL,
            PRIMARY KEY (run, list, page, piece))",
        &[],
    )?;
    Ok(())
}

/// Stores a page; the same page again replaces it.
pub(super) fn store<T: Serialize>(
    sql: &dyn Sql,
    run: &RunId,
    fetch: Fetch,
    facts: &PageFacts,
    rows: &T,
) -> Result<(), SqlError> {
    let json = |error: serde_json::Error| SqlError(error.to_string());
    let facts = serde_json::to_string(facts).map_err(json)?;
    let rows = serde_json::to_vec(rows).map_err(json)?;
    let place: [SqlValue; 3] = [run.as_str().into(), fetch.list.to_string().into(), i64::from(fetch.page).into()];
    sql.query("DELETE FROM staged_rest WHERE run = ? AND list = ? AND page = ?", &place)?;
    let mut pieces = rows.chunks(PIECE);
    let rows = pieces.next().unwrap_or_default().to_vec();
    for (piece, rows) in (1_i64..).zip(pieces) {
        let [run, list, page] = place.clone();
        sql.query(
            "INSERT INTO staged_rest (run, list, page, piece, rows) VALUES (?, ?, ?, ?, ?)",
            &[run, list, page, piece.into(), SqlValue::Blob(rows.to_vec())],
        )?;
    }
    let [run, list, page] = place;
    sql.query(
        "INSERT OR REPLACE INTO staged (run, list, page, facts, rows) VALUES (?, ?, ?, ?, ?)",
        &[run, list, page, facts.into(), SqlValue::Blob(rows)],
    )?;
    Ok(())
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
            Some((Fetch { list, page }, serde_json::from_slice(facts.text()?.as_bytes()).ok()?))
        })
        .collect())
}

/// The rows of each page of a list, in the order of the pages.
pub(super) fn pages<T: DeserializeOwned>(
    sql: &dyn Sql,
    run: &RunId,
    list: List,
) -> Result<Vec<(PageFacts, T)>, SqlError> {
    let of_list: [SqlValue; 2] = [run.as_str().into(), list.to_string().into()];
    let rows = sql.query("SELECT facts, rows, page FROM staged WHERE run = ? AND list = ? ORDER BY page", &of_list)?;
    let rest =
        sql.query("SELECT page, rows FROM staged_rest WHERE run = ? AND list = ? ORDER BY page, piece", &of_list)?;
    let mut further: BTreeMap<i64, Vec<&[u8]>> = BTreeMap::new();
    for row in &rest {
        let (page, rows) = (row.first().and_then(SqlValue::integer), row.get(1).and_then(SqlValue::blob));
        if let (Some(page), Some(rows)) = (page, rows) {
            further.entry(page).or_default().push(rows);
        }
    }
    let unreadable = || SqlError::unreadable(&format!("a staged page of {list}"));
    rows.iter()
        .map(|row| {
            let [facts, rows, page] = row.as_slice() else { return Err(unreadable()) };
            let facts =
                facts.text().and_then(|text| serde_json::from_slice(text.as_bytes()).ok()).ok_or_else(unreadable)?;
            let first = rows.blob().ok_or_else(unreadable)?;
            let rows = match page.integer().and_then(|page| further.get(&page)) {
                None => serde_json::from_slice(first),
                Some(rest) => serde_json::from_slice(&[&[first], rest.as_slice()].concat().concat()),
            };
            Ok((facts, rows.map_err(|_| unreadable())?))
        })
        .collect()
}

/// Forgets everything staged.
pub(super) fn clear(sql: &dyn Sql) -> Result<(), SqlError> {
    sql.query("DELETE FROM staged", &[])?;
    sql.query("DELETE FROM staged_rest", &[])?;
    Ok(())
}
