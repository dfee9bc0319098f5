//! What the audit log names beside members, read again by itself: a user group or an account token, as the row that a sweep would make of it.
//!
//! **Invariant:** where a sweep could come to another row, it is left to the sweep.

use std::cell::RefCell;

use super::{history, state};
use crate::account::find;
use crate::account::identity::{self, own_token};
use crate::account::person::Meant;
use crate::base::ports::{Clock, Http, KeyValue, Sql};
use crate::base::tree::BTreeMap;
use crate::cloudflare::{ApiError, Client};
use crate::model::access::{Policy, atoms};
use crate::model::ask::{Action, Subject};
use crate::model::id::{TokenId, UserGroupId};
use crate::model::kind::Kind;
use crate::model::resource::{Group, Reach, Row, Token};
use crate::model::scope::{ObjectKind, Scope};
use crate::snapshot::{Snapshot, SnapshotError};

/// What came of it.
#[derive(Clone, Debug)]
pub enum Reread {
    /// The row with this key is this one now, or none.
    Row(String, Option<Box<Row>>),
    /// It is in no generation, or need not be.
    Nothing,
    /// A sweep is to tell.
    Sweep,
}

impl Reread {
    fn row(row: Row) -> Self {
        Self::Row(row.key(), Some(Box::new(row)))
    }
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RereadError {
    /// Cloudflare did not answer as it should.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The generation cannot be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// A user group's name and policies.
pub async fn group<P: Http + Clock + Sql>(client: &Client<'_, P>, id: UserGroupId) -> Result<Reread, RereadError> {
    let group = match client.user_group(id).await {
        Ok(group) => group,
        // Whoever was in it is another by that.
        Err(ApiError::NotFound(_) | ApiError::Forbidden(_)) => return Ok(Reread::Sweep),
        Err(error) => return Err(error.into()),
    };
    // One that is told without policies may hold nothing, or the answer left them out: the list is asked, too.
    let (Ok(policies), false) = (group.policies.all(), group.is_silent) else { return Ok(Reread::Sweep) };
    let policies: Vec<Policy> = policies.iter().map(crate::cloudflare::PolicyRecord::policy).collect();
    let atoms = atoms(&policies).into_iter().collect();
    Ok(Reread::row(Row::Group(Group { id: group.id, name: group.name, atoms })))
}

/// An account token.
pub async fn token<P: Http + KeyValue + Clock + Sql>(
    ports: &P,
    client: &Client<'_, P>,
    id: TokenId,
) -> Result<Reread, RereadError> {
    let newest = history::generations(ports).map_err(ApiError::from)?.into_iter().next();
    let Some(newest) = newest else { return Ok(Reread::Nothing) };
    let snapshot = Snapshot::open(ports, &newest.generation).await?;
    let lists = &snapshot.manifest().capabilities;
    // A token that may not list others says nothing of them.
    if !lists.get("tokens").is_some_and(|list| list.on) {
        return Ok(Reread::Nothing);
    }
    let own = own_token(ports, client).await.map_err(ApiError::from)?;
    let listed_by = state::load(ports, state::LISTED_BY).map_err(ApiError::from)?;
    let mut token = match client.token(id).await {
        Ok(token) if token.unread.is_some() || !token.untold.is_empty() => return Ok(Reread::Sweep),
        Ok(token) => token,
        // It may be there for others.
        Err(ApiError::NotFound(_)) if identity::may_be_shown_less(own, listed_by) => return Ok(Reread::Sweep),
        Err(ApiError::NotFound(_)) => return Ok(Reread::Row(Row::token_key(id), None)),
        Err(ApiError::Forbidden(_)) => return Ok(Reread::Sweep),
        Err(error) => return Err(error.into()),
    };
    let was = snapshot.get(ports, &Row::token_key(id)).await?;
    let was = was.as_ref().and_then(Row::as_token);
    // The list may leave out what has expired, and its own record tells that of none: where no sweep was shown it, nothing is missing, and where one was
    // shown it before its end, the next one tells whether it still is.
    if token.status == Token::EXPIRED && was.is_none_or(|was| was.status != Token::EXPIRED) {
        return Ok(if was.is_some() { Reread::Sweep } else { Reread::Nothing });
    }
    token.is_own = own.is_some_and(|own| own.token == id);
    token.creator_is = match (&token.creator, was) {
        (None, _) => None,
        (Some(email), Some(was)) if was.creator.as_ref() == Some(email) => was.creator_is.clone(),
        (Some(email), _) => {
            match find::in_snapshot(ports, &snapshot, &Subject::of_email(email), Action::Grant).await? {
                Meant::One(member) => Some(member.principal().to_string()),
                Meant::Nobody if lists.get("members").is_some_and(|members| members.unreadable.is_none()) => None,
                Meant::Nobody | Meant::Unclear(_) => return Ok(Reread::Sweep),
            }
        }
    };
    if let Some((_, Some(client))) = &token.provisioner {
        let key = format!("{}{client}", Kind::OauthClient.prefix());
        token.provisioner_is = snapshot.get(ports, &key).await?.map(|_| key);
    }
    if !name(ports, &snapshot, &mut token).await? {
        return Ok(Reread::Sweep);
    }
    Ok(Reread::row(Row::token(token)))
}

/// Names what a token reaches by what the generation knows; whether all of it has the name that a sweep would give it.
async fn name<P: KeyValue>(ports: &P, snapshot: &Snapshot, token: &mut Token) -> Result<bool, SnapshotError> {
    let scopes = || token.policies.iter().flat_map(|policy| policy.scope.0.iter());
    let has_name = |key: &str| ObjectKind::NAMED.contains(&ObjectKind::of(key).0) && ObjectKind::of(key).1 != "*";
    let wanted: Vec<String> = scopes().map(|(key, _)| key.clone()).filter(|key| has_name(key)).collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    let names: RefCell<BTreeMap<(ObjectKind, String), String>> = RefCell::default();
    let learn = |scope: &Scope| {
        for (key, name) in scope.0.iter().filter(|(key, name)| !name.is_empty() && has_name(key)) {
            let (kind, id) = ObjectKind::of(key);
            if wanted.iter().any(|wanted| ObjectKind::of(wanted) == (kind, id)) {
                names.borrow_mut().insert((kind, id.to_owned()), name.clone());
            }
        }
    };
    let see = |row: Row| match (&row, row.as_token()) {
        (_, Some(token)) => token.policies.iter().for_each(|policy| learn(&policy.scope)),
        (row, None) => row.reach().and_then(Reach::scope).into_iter().for_each(&learn),
    };
    let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| !Kind::PEOPLE.contains(kind)).collect();
    snapshot.each(ports, &kinds, see).await?;
    let names = names.into_inner();
    let mut is_all = true;
    for (key, name) in token.policies.iter_mut().flat_map(|policy| policy.scope.0.iter_mut()) {
        if has_name(key) {
            let (kind, id) = ObjectKind::of(key);
            match names.get(&(kind, id.to_owned())) {
                Some(known) => name.clone_from(known),
                None => is_all = false,
            }
        }
    }
    Ok(is_all)
}
