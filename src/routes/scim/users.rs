//! `/Users`: one User, inviting, and removing.

use serde_json::Value;

use super::call::Call;
use super::lists;
use crate::model::address;
use crate::model::ask::{Action, Subject};
use crate::model::grant::{Holding, Principal};
use crate::model::operation::{Effect, Target};
use crate::model::resource::Row;
use crate::routes::asking::Ports;
use crate::routes::http::{Answer, Problem};
use crate::routes::{paging, principal, provisioning};
use crate::scim::{ScimError, USER, id, patch, resource};

/// The way it came, in the journal, also where the page's session asks: by it the Coordinator knows that an invitation's id stands for whoever has
/// accepted it as well, and that an account which is there already is none that was granted.
pub(super) const BY: &str = "scim";

/// Shows a User.
pub(super) async fn show<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let (_, user) = find(call, id).await?;
    call.shown(200, user.ok_or_else(|| missing(id))?)
}

/// Invites a person.
pub(super) async fn create<P: Ports>(call: &Call<'_, P>) -> Result<Answer, Problem> {
    let body = call.body()?;
    let email = named_address(&body)?;
    // Who is made is active, unless it says otherwise.
    if active(patch::attribute(&body, "active", USER).filter(|active| !active.is_null()))? == Some(false) {
        return Err(
            ScimError::value("a User who is not active cannot be created: Cloudflare has no such members").into()
        );
    }
    // Without a snapshot the answer could not show the User.
    paging::open(call.ports, None).await?;
    let subject = Subject::of_email(email.as_str());
    let (effect, message, _) =
        provisioning::perform(call.ports, call.request, (BY, None), Action::Grant, Target::Account, subject).await?;
    if effect == Effect::AlreadyGranted {
        return Err(Problem::new(409, "uniqueness", message));
    }
    let snapshot = paging::open(call.ports, None).await?;
    let is_new = |row: &&Row| row.as_member().is_some_and(|member| address::same(&member.email, &email));
    let offered = lists::offered(call, &snapshot).await?;
    let user = snapshot.changed().find(is_new).and_then(|row| lists::user(&call.base, &snapshot, row, &offered));
    let user = user.ok_or_else(|| {
        Problem::unavailable(
            "not_visible_yet",
            format!("{message} It does not show yet; look for it with a filter on userName."),
            5,
        )
    })?;
    call.shown(201, user)
}

/// Replaces a User; only `active` can change.
pub(super) async fn replace<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    let active = active(patch::attribute(&body, "active", USER))?;
    change(call, id, &|user| {
        let known = user.get("userName").and_then(Value::as_str).unwrap_or_default();
        // Whoever is to be removed need not have the right name for it.
        if !user.is_null() && active != Some(false) && !address::same(known, &named_address(&body)?) {
            return Err(ScimError::mutability(
                "userName cannot be changed: in Cloudflare another address is another member; remove this one and create the other",
            )
            .into());
        }
        Ok(active)
    })
    .await
}

/// Changes a User; only `active` can change.
pub(super) async fn patch<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let body = call.body()?;
    change(call, id, &|user| Ok(patch::user(&body, user)?)).await
}

/// Changes a User: `active` works out from the User, `null` where no list has them, whether they are to be active.
async fn change<P: Ports>(
    call: &Call<'_, P>,
    id: &str,
    active: &dyn Fn(&Value) -> Result<Option<bool>, Problem>,
) -> Result<Answer, Problem> {
    let (principal, user) = find(call, id).await?;
    let Some(user) = user else {
        let active = active(&Value::Null)?;
        return settle_unlisted(call, id, principal, active).await;
    };
    call.unchanged(&user)?;
    let active = active(&user)?;
    settle(call, principal, user, active).await
}

/// Removes a member, or cancels an invitation.
pub(super) async fn delete<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<Answer, Problem> {
    let (principal, user) = find(call, id).await?;
    let Some(user) = user else { return settle_unlisted(call, id, principal, Some(false)).await };
    call.unchanged(&user)?;
    remove(call, principal).await?;
    Ok(Answer::no_content())
}

/// Of whom no list has anything: they may have come since the last sync, or have accepted the invitation whose id is sent. A client takes
/// "there is no such User" for a removal that is done, so Cloudflare is asked before that is said.
async fn settle_unlisted<P: Ports>(
    call: &Call<'_, P>,
    id: &str,
    principal: Principal,
    active: Option<bool>,
) -> Result<Answer, Problem> {
    if active == Some(false) {
        call.unchanged(&Value::Null)?;
        if remove(call, principal).await? == Effect::Removed {
            return Ok(Answer::no_content());
        }
    }
    Err(missing(id))
}

async fn settle<P: Ports>(
    call: &Call<'_, P>,
    principal: Principal,
    user: Value,
    active: Option<bool>,
) -> Result<Answer, Problem> {
    if active == Some(true) {
        stays(call, principal, &user).await?;
    }
    // That a client sends who is active on every occasion asks for nothing: an operation would make void what was asked for before.
    if active != Some(false) {
        return call.shown(200, user);
    }
    remove(call, principal).await?;
    // The last that is to be seen of it: a GET is answered 404 from now on.
    call.shown(200, resource::deactivated(user))
}

/// Whoever is being removed, or waits for that, is not told to be active: a client that has them back takes no further look.
async fn stays<P: Ports>(call: &Call<'_, P>, principal: Principal, user: &Value) -> Result<(), Problem> {
    let name = user.get("userName").and_then(Value::as_str).unwrap_or_default();
    if !call.awaited(Holding::ACCOUNT, &format!("{principal} {name}")).await?.is_empty() {
        let why = "a removal of this account is under way, or waits for its turn, so nothing was changed and it is not told to be active; send this again in a moment, and create the User again where it is gone by then";
        return Err(Problem::not_now(why.to_owned(), None, call.ports.now()));
    }
    Ok(())
}

async fn remove<P: Ports>(call: &Call<'_, P>, principal: Principal) -> Result<Effect, Problem> {
    let subject = provisioning::subject(principal)?;
    let (effect, ..) =
        provisioning::perform(call.ports, call.request, (BY, None), Action::Revoke, Target::Account, subject).await?;
    Ok(effect)
}

fn missing(id: &str) -> Problem {
    let shown: String = id.chars().take(60).collect();
    Problem::new(404, "not_found", format!("there is no User {shown:?}; GET /Users has them"))
}

/// Who is meant by an id, and the User as the lists have them, where they do.
async fn find<P: Ports>(call: &Call<'_, P>, id: &str) -> Result<(Principal, Option<Value>), Problem> {
    let mut principal = id::principal(id).ok_or_else(|| missing(id))?;
    let snapshot = paging::open(call.ports, None).await?;
    let row = loop {
        let row = snapshot.get(call.ports, &principal.to_string()).await.map_err(paging::unreadable)?;
        let (None, Principal::Invitation(invitation)) = (&row, principal) else { break row };
        // Whoever was invited has another id once they have accepted, and a client may know them by the first one alone.
        match principal::accepted(call.ports, &snapshot, &[invitation].into()).await?.get(&invitation) {
            Some(accepted) if *accepted != principal => principal = *accepted,
            _ => break None,
        }
    };
    let Some(row) = row else { return Ok((principal, None)) };
    let offered = lists::offered(call, &snapshot).await?;
    Ok((principal, lists::user(&call.base, &snapshot, &row, &offered)))
}

/// Whether a User is active by what a body says of it, if anything.
fn active(said: Option<&Value>) -> Result<Option<bool>, ScimError> {
    said.map(|active| patch::boolean(Some(active))).transpose()
}

/// The e-mail address of a User in a body: `userName`, or else the primary or first of `emails`. A `userName` that is to be an address and is none
/// stands for nobody else's.
fn named_address(body: &Value) -> Result<String, Problem> {
    let emails = patch::field(body, "emails").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let primary = emails.iter().find(|email| email.get("primary") == Some(&Value::Bool(true))).or(emails.first());
    let texts = [patch::field(body, "userName"), primary.and_then(|email| email.get("value")), primary];
    let mut texts = texts.into_iter().flatten().filter_map(Value::as_str).map(str::trim);
    let named = texts.find(|text| text.contains('@'));
    named.filter(|text| address::is_address(text)).map(str::to_owned).ok_or_else(|| {
        ScimError::value("userName must be the person's e-mail address, of 90 characters at most").into()
    })
}
