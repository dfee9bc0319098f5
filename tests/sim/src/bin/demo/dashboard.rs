//! A change that somebody makes in Cloudflare's dashboard, without the connector: it appears by itself, with its author.

use std::time::Duration;

use serde_json::Value;
use sim::cloudflare::{Atom, Membership, PolicySpec, Route};
use sim::stage::Stage;
use tokio::time::Instant;

use crate::account;
use crate::terminal::Terminal;

/// The change must be in `/v1` within this, and in the list of changes within twice as long.
const SOON: Duration = Duration::from_mins(1);

/// Shows a role that is given in the dashboard, until it is told with who gave it.
pub(crate) async fn show(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    let cast = account::cast(&stage.cloudflare)?;
    let (role, whole) = (&cast.role, stage.cloudflare.account_resource_group());
    // Somebody whom the connector has not touched: what it wrote itself a moment ago it does not believe to be undone.
    let is_free = |member: &Membership| {
        let holds = |atom: &Atom| atom.1 == role.id && atom.2 == whole;
        member.id != cast.member.id
            && member.status == "accepted"
            && member.user_id.is_some()
            && !stage.cloudflare.member_atoms(&member.id).iter().any(holds)
    };
    let member = stage.cloudflare.memberships().into_iter().find(is_free).ok_or("everybody has the role already")?;
    terminal.part(&format!("Somebody gives {} to {} in Cloudflare's dashboard", role.name, member.email));
    let user = member.user_id.as_deref().ok_or("the member has no user id")?;
    let path = format!("/v1/users/{user}");
    let held = entitlements(&stage.json(&path).await?);
    let members_read = stage.cloudflare.requests(Route::ListMembers);
    let began = Instant::now();
    stage.cloudflare.add_policy(&member.id, PolicySpec::allow(role.id.clone(), whole));
    while entitlements(&stage.json(&path).await?).len() != held.len() + 1 {
        if began.elapsed() > SOON {
            return Err(format!("{} is not in /v1 after {} s", role.name, SOON.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    terminal.row("in /v1", &format!("after {} s, without a sync", began.elapsed().as_secs()));
    let author = loop {
        let changes = stage.json("/v1/changes?limit=1").await?;
        let change =
            changes.pointer("/items/0").filter(|change| change.pointer("/name") == Some(&member.email.clone().into()));
        if let Some(by) = change.and_then(|change| change.pointer("/by/0/by")) {
            let told = |field: &str| by.get(field).and_then(Value::as_str).unwrap_or("?").to_owned();
            break (told("who"), told("through"));
        }
        if began.elapsed() > 2 * SOON {
            return Err(format!("the change is not told with its author: {changes}"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    if author != ("somebody.else@example.com".to_owned(), "the dashboard".to_owned()) {
        return Err(format!("the change is told to be by {} through {}", author.0, author.1));
    }
    terminal.row("by whom", &format!("{}, through {}, by Cloudflare's audit log", author.0, author.1));
    if stage.cloudflare.requests(Route::ListMembers) != members_read {
        return Err("the members were listed for it".to_owned());
    }
    terminal.good("one member was read again, and nobody was asked to sync");
    Ok(())
}

fn entitlements(person: &Value) -> Vec<Value> {
    person.get("entitlements").and_then(Value::as_array).cloned().unwrap_or_default()
}
