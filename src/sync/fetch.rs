//! Fetches one page: a call of the client, and what is kept of the answer.

use std::fmt::Display;

use futures::future::Either;
use serde::Serialize;

use super::crawl::{Fetch, List, Off, PageFacts, Verdict, id_hash, ids_hash, judge};
use super::repeated::Repeated;
use super::staging;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::cloudflare::Settings;
use crate::cloudflare::{
    ApiError, Client, Failure, ListPage, MemberRecord, NamedObject, Odd, PageInfo, account_resource_group_name,
};
use crate::model::id::MemberId;

/// What is to be staged of a page.
#[derive(Debug)]
pub(super) enum Rows {
    /// This: members packed, of other lists JSON.
    New(Vec<u8>),
    /// What an earlier run, this one, staged of it.
    AsBefore(String),
}

/// What came of a fetch.
#[derive(Debug)]
pub(super) struct FetchResult {
    pub(super) fetch: Fetch,
    pub(super) outcome: Result<(PageFacts, Rows), Trouble>,
}

/// Why a page did not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Not before then.
    Until(crate::base::time::Timestamp),
    /// Not in this step; and what is to be said of the list where it never comes, and the sync can do without it.
    Later(String, Option<Off>),
    /// Not in this run.
    Failed(String),
}

/// A page with more records that cannot be read than this is not believed: what is kept of each of them takes 300 bytes, and a row of SQLite
/// holds 2 MB.
const MOST_ODD: usize = 1_000;

/// Fetches a page, asking again after a while where the error may pass.
pub(super) async fn fetch<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    client: &Client<'_, P>,
    repeated: &Repeated,
    fetch: Fetch,
) -> FetchResult {
    let mut requests = 0;
    let mut outcome = loop {
        requests += 1;
        let asked_at = ports.now();
        let error = match call(ports, settings, client, repeated, fetch).await {
            Ok((mut facts, mut rows)) => {
                // Beside the rows that can be read there is no room for so many that cannot, and they say nothing of the others.
                if facts.odd.len() > MOST_ODD && fetch.list.is_optional() {
                    let message = format!("{} of its records cannot be read", facts.odd.len());
                    let off = Off { status: None, code: None, message, passing: true };
                    (facts, rows) = (PageFacts { off: Some(off), ..PageFacts::default() }, Rows::New(Vec::new()));
                }
                facts.requests = requests;
                facts.at = asked_at;
                break Ok((facts, rows));
            }
            Err(error) => error,
        };
        let facts = PageFacts { requests, at: asked_at, ..PageFacts::default() };
        match judge(fetch, &error, requests) {
            Verdict::Again(millis) => ports.sleep(millis).await,
            Verdict::Off(off) => break Ok((PageFacts { off: Some(off), ..facts }, Rows::New(Vec::new()))),
            Verdict::Gone => break Ok((facts, packed(&[], ""))),
            Verdict::Until(at) => break Err(Trouble::Until(at)),
            Verdict::Later(message, off) => break Err(Trouble::Later(message, off)),
            Verdict::Failed(message) => break Err(Trouble::Failed(message)),
        }
    };
    if let Ok((facts, Rows::New(rows))) = &mut outcome {
        facts.rows = repeated.print(ports, rows).await;
    }
    FetchResult { fetch, outcome }
}

async fn call<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    settings: &Settings,
    client: &Client<'_, P>,
    repeated: &Repeated,
    Fetch { list, page }: Fetch,
) -> Result<(PageFacts, Rows), ApiError> {
    let account = || account_resource_group_name(settings.account_id);
    let (mut facts, rows) = match list {
        List::ResourceGroups => whole(&client.resource_groups().await?, |group| group.id)?,
        List::PermissionGroups => whole(&client.permission_groups_page(page).await?, |group| group.id)?,
        List::Roles => {
            let (facts, rows) = whole(&client.roles_page(page).await?, |role| role.id)?;
            // Two roles have been seen under one id (`reference/cloudflare.md` 6, no. 4), and neither stands for another.
            (PageFacts { each: Vec::new(), ..facts }, rows)
        }
        List::UserGroups => {
            let mut found = client.user_groups_page(page).await?;
            for group in &mut found.items {
                group.policies = std::mem::take(&mut group.policies).bounded();
            }
            let odd = found.odd.iter().filter_map(Odd::parsed);
            let groups = found.items.iter().map(|group| group.id).chain(odd).collect();
            let (facts, rows) = whole(&found, |group| group.id)?;
            (PageFacts { groups, ..facts }, rows)
        }
        List::GroupMembers(group) => {
            let found = client.user_group_members_page(group, page).await?;
            let ids: Vec<MemberId> = found.items.iter().map(|member| member.id).collect();
            with_rows(facts(&found, |member| member.id), serde_json::to_vec(&ids))?
        }
        List::Tokens => whole(&client.tokens_page(page).await?, |token| token.id)?,
        List::OauthClients => whole(&client.oauth_clients().await?, |client| client.id.clone())?,
        List::Account => {
            let account = client.account().await?;
            let told = serde_json::to_vec(&[(account.enforce_two_factor, account.organization)]);
            with_rows(PageFacts { count: 1, ..PageFacts::default() }, told)?
        }
        List::SsoDomains => named(&client.sso_domains().await?)?,
        List::Zones => named(&client.zones_page(page).await?)?,
        List::Workers => named(&client.workers().await?)?,
        List::AccessApps => named(&client.access_apps_page(page).await?)?,
        List::Members { .. } => {
            let mut print = String::new();
            let known = async |body: &[u8]| {
                print = repeated.print(ports, body).await;
                repeated.before(ports, Fetch { list, page }, &print)
            };
            let found = match client.members_page_unless(page, known).await? {
                Either::Left((run, facts)) => return Ok((facts, Rows::AsBefore(run))),
                Either::Right(found) => bounded(found),
            };
            let facts = PageFacts {
                print,
                members: found
                    .items
                    .iter()
                    .map(|member| member.id)
                    .chain(found.odd.iter().filter_map(Odd::parsed))
                    .collect(),
                unclear: unclear(&found),
                each: Vec::new(),
                ..facts(&found, |member| member.id)
            };
            (facts, packed(&found.items, &account()))
        }
        List::Member(member) => {
            let found = match client.member(member).await {
                // Who declined is no member, whether the list has them or not.
                Ok(found) if !found.status.is_member() => return Ok((PageFacts::default(), packed(&[], ""))),
                Ok(found) => ListPage { items: vec![found.bounded()], odd: Vec::new(), info: None },
                // The membership is there, and what is odd about it stays so.
                Err(ApiError::Unreadable { what, .. }) => return Ok((odd_member(member, what), packed(&[], ""))),
                Err(error) => return Err(error),
            };
            (of_member(member, &found), packed(&found.items, &account()))
        }
    };
    if list.is_one_page() {
        // It ignores `page`, and so has nothing to say of pages.
        (facts.total_count, facts.total_pages, facts.per_page) = (None, None, None);
    }
    Ok((facts, rows))
}

fn bounded(page: ListPage<MemberRecord>) -> ListPage<MemberRecord> {
    ListPage { items: page.items.into_iter().map(MemberRecord::bounded).collect(), ..page }
}

/// What is kept of a member's own record.
fn of_member(member: MemberId, found: &ListPage<MemberRecord>) -> PageFacts {
    PageFacts { members: vec![member], unclear: unclear(found), ..facts(found, |member| member.id) }
}

/// What is kept of one that cannot be read, or not be had: the membership is there all the same.
fn odd_member(member: MemberId, why: String) -> PageFacts {
    let odd = Odd { id: Some(member.to_string()), name: None, user: None, why };
    of_member(member, &ListPage { items: Vec::new(), odd: vec![odd], info: None })
}

/// What stands for a page that does not come, where the sync can do without it.
pub(super) fn given_up(list: List, off: &Off) -> (PageFacts, Vec<u8>) {
    match list {
        List::Member(member) => (odd_member(member, off.why()), staging::pack(&[], "")),
        _ => (PageFacts { off: Some(off.clone()), ..PageFacts::default() }, Vec::new()),
    }
}

/// A page of a list that is short: its records are staged as they are.
fn whole<T: Serialize, I: Display>(found: &ListPage<T>, id: fn(&T) -> I) -> Result<(PageFacts, Rows), ApiError> {
    with_rows(facts(found, id), serde_json::to_vec(&found.items))
}

/// What is kept of a page of whatever type, with its rows as they were written.
fn with_rows(facts: PageFacts, rows: Result<Vec<u8>, serde_json::Error>) -> Result<(PageFacts, Rows), ApiError> {
    match rows {
        Ok(rows) => Ok((facts, Rows::New(rows))),
        Err(error) => Err(ApiError::Malformed { what: error.to_string(), failure: Failure::default() }),
    }
}

fn packed(members: &[MemberRecord], account: &str) -> Rows {
    Rows::New(staging::pack(members, account))
}

/// A page of names: of each object its id and its name.
fn named(found: &ListPage<NamedObject>) -> Result<(PageFacts, Rows), ApiError> {
    let pairs: Vec<[&str; 2]> = found.items.iter().map(|object| [object.id.as_str(), object.name.as_str()]).collect();
    with_rows(facts(found, |object| object.id.clone()), serde_json::to_vec(&pairs))
}

/// Of whom something is not told.
fn unclear(page: &ListPage<MemberRecord>) -> Vec<MemberId> {
    let partly = page.items.iter().filter(|member| member.unread().is_some()).map(|member| member.id);
    partly.chain(page.odd.iter().filter_map(Odd::parsed)).collect()
}

fn facts<T, I: Display>(page: &ListPage<T>, id: fn(&T) -> I) -> PageFacts {
    let mut each = Vec::with_capacity(page.items.len());
    for item in &page.items {
        each.push(hash_of(&id(item)));
    }
    facts_of(each, &page.odd, page.info.as_ref())
}

fn hash_of(id: &dyn Display) -> u64 {
    id_hash(&id.to_string())
}

/// The facts of a page of whatever type, by the hashes of its records' ids.
fn facts_of(mut each: Vec<u64>, odd: &[Odd], info: Option<&PageInfo>) -> PageFacts {
    let info = info.cloned().unwrap_or_default();
    let count = u32::try_from(each.len() + odd.len()).unwrap_or(u32::MAX);
    let ids = ids_hash(each.iter().copied().chain(odd.iter().map(|odd| id_hash(&odd_id(odd)))));
    each.extend(odd.iter().filter_map(|odd| odd.id.as_deref()).map(id_hash));
    PageFacts {
        count,
        total_count: info.total_count,
        total_pages: info.total_pages,
        per_page: info.per_page.filter(|size| *size > 0),
        ids,
        each,
        odd: odd.to_vec(),
        ..PageFacts::default()
    }
}

/// What tells an odd record from the others of its list.
fn odd_id(odd: &Odd) -> String {
    [&odd.id, &odd.name].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
}
