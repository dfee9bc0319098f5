//! ConductorOne's signed webhooks going in, and what the account looks like after each.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sim::cloudflare::{Access, Atom, Route, SUPER_ADMINISTRATOR};
use sim::conductorone::{Delivery, Entitlement, Person, Task};
use sim::stage::Stage;
use tokio::time::Instant;

use crate::account::{self, Cast, Holdings};
use crate::terminal::{Terminal, Tone};

/// The most requests to Cloudflare that a grant may take when nothing goes wrong.
const MOST_CALLS: usize = 3;

/// A revoke looks also whether a user group gives the same.
const MOST_CALLS_OF_REVOKE: usize = 4;

/// What a webhook was answered, and what it did.
struct Exchanged {
    status: u16,
    document: Value,
    took: Duration,
    calls: Vec<String>,
    writes: usize,
}

/// Shows all of them.
pub(crate) async fn show(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    let cast = account::cast(&stage.cloudflare)?;
    let scene = Scene { stage, cast: &cast, began_with: account::holdings(&stage.cloudflare) };
    terminal.part("ConductorOne's webhooks");
    let test = scene.send(terminal, "test event", &stage.world.c1.test_event()).await?;
    expect_document(&test, "/version", "the test event")?;
    scene.expect_calls(&test, 0)?;

    let (role, email) = (&cast.role.name, &cast.member.email);
    terminal.part(&format!("Grant of {role} to {email}"));
    let grant = stage.world.c1.task(&Task::grant(scene.entitlement(), scene.person()));
    let granted = scene.send(terminal, "grant", &grant).await?;
    expect_document(&granted, "/complete/comment", "the grant")?;
    scene.expect_calls(&granted, MOST_CALLS)?;
    let mut with_role = scene.held_at_first();
    with_role.insert(scene.atom());
    scene.expect_account(terminal, &scene.held_at_first(), &with_role)?;
    terminal.good("exactly this role more; everybody else holds what they held");

    terminal.part("The same grant, delivered again");
    let again = scene.send(terminal, "grant, again", &grant).await?;
    expect_document(&again, "/complete/comment", "the grant that was delivered again")?;
    if again.writes > 0 {
        return Err("the grant that was delivered again was written again".to_owned());
    }
    scene.expect_account(terminal, &with_role, &with_role)?;
    terminal.good("answered as done, and nothing was written");

    terminal.part(&format!("Revoke of {role} from {email}"));
    let revoke = stage.world.c1.task(&Task::revoke(scene.entitlement(), scene.person()));
    let revoked = scene.send(terminal, "revoke", &revoke).await?;
    expect_document(&revoked, "/complete/comment", "the revoke")?;
    scene.expect_calls(&revoked, MOST_CALLS_OF_REVOKE)?;
    scene.expect_account(terminal, &with_role, &scene.held_at_first())?;
    terminal.good("the account is what it was before the grant");

    terminal.part("A grant whose body was changed on the way, to make the member a Super Administrator");
    let forged = scene.send(terminal, "tampered", &scene.tampered()).await?;
    if forged.status != 401 || forged.document.get("code") != Some(&json!("webhook_rejected")) {
        return Err(format!("a tampered body was answered {}: {}", forged.status, forged.document));
    }
    scene.expect_calls(&forged, 0)?;
    scene.expect_account(terminal, &scene.held_at_first(), &scene.held_at_first())?;
    terminal.good("refused, and Cloudflare was not even asked");
    journal(terminal, stage).await
}

/// The journal has the grant and the revoke: each once, and nothing of what was refused at the door.
async fn journal(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    terminal.part("What the journal says, newest first");
    let page = stage.json("/v1/operations").await?;
    let entries = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |entry: &Value, pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or("?").to_owned();
    for entry in entries {
        let id = entry.get("id").map(ToString::to_string).unwrap_or_default();
        let (settled, message) = (text(entry, "/state"), text(entry, "/outcome/message"));
        terminal.row(
            &format!("operation {id}"),
            &format!("{settled}: {message} Task {}", text(entry, "/request/origin/task")),
        );
    }
    let effects: Vec<String> = entries.iter().map(|entry| text(entry, "/outcome/effect")).collect();
    if effects != ["revoked", "granted"] {
        return Err(format!("the journal should have the revoke and the grant, and has {effects:?}: {page}"));
    }
    terminal.good("the grant and the revoke, each carried out once");
    Ok(())
}

struct Scene<'a> {
    stage: &'a Stage,
    cast: &'a Cast,
    began_with: Holdings,
}

impl Scene<'_> {
    /// Sends a webhook, and shows in one line what went over the wire.
    async fn send(&self, terminal: &mut Terminal, what: &str, delivery: &Delivery) -> Result<Exchanged, String> {
        self.stage.cloudflare.reset_log();
        let began = Instant::now();
        let answer = self.stage.world.deliver_once(delivery).await.map_err(|error| format!("the {what}: {error}"))?;
        let took = began.elapsed();
        let mut asked = self.stage.cloudflare.exchanges();
        // What is read all the time is no part of it.
        let beside = [Route::ListAuditLogs, Route::ListAccessUsers, Route::ListOldAuditLogs].map(Some);
        asked.retain(|call| !beside.contains(&call.route));
        let exchanged = Exchanged {
            status: answer.status,
            document: answer.json(),
            took,
            calls: asked.iter().map(|call| call.method.clone()).collect(),
            writes: asked.iter().filter(|call| call.method != "GET").count(),
        };
        let calls = if exchanged.calls.is_empty() { "not asked".to_owned() } else { exchanged.calls.join(", ") };
        let status = exchanged.status.to_string();
        let status = terminal.paint(if exchanged.status < 300 { Tone::Good } else { Tone::Bad }, &status);
        terminal.row(
            what,
            &format!(
                "POST /webhooks/conductorone → {status} {} · {} ms · Cloudflare: {calls}",
                said(&answer.text(), &exchanged.document),
                exchanged.took.as_millis(),
            ),
        );
        Ok(exchanged)
    }

    /// Checks that the member holds `expected` now and everybody else what they held at first, and shows the member.
    fn expect_account(
        &self,
        terminal: &mut Terminal,
        before: &BTreeSet<Atom>,
        expected: &BTreeSet<Atom>,
    ) -> Result<(), String> {
        let cloudflare = &self.stage.cloudflare;
        let now = account::holdings(cloudflare);
        let held = now.get(&self.cast.member.id).cloned().unwrap_or_default();
        let lost = |name: &str| terminal.paint(Tone::Bad, &format!("−{name}"));
        let new = |name: &str| terminal.paint(Tone::Good, &format!("+{name}"));
        let (then, after) =
            (account::names(cloudflare, before, &held, lost), account::names(cloudflare, &held, before, new));
        terminal.row("before", &then);
        terminal.row("after", &after);
        if held != *expected {
            let wanted = account::names(cloudflare, expected, expected, str::to_owned);
            return Err(format!("{} holds {after}, and should hold {wanted}", self.cast.member.email));
        }
        let other = self.began_with.iter().find(|(id, held)| **id != self.cast.member.id && now.get(*id) != Some(held));
        match other {
            Some((id, _)) => Err(format!("the access of another member, {id}, was changed")),
            None if now.len() != self.began_with.len() => Err("the account has other members than before".to_owned()),
            None => Ok(()),
        }
    }

    fn expect_calls(&self, exchanged: &Exchanged, most: usize) -> Result<(), String> {
        match exchanged.calls.len() {
            calls if calls > most => Err(format!(
                "it took {calls} requests to Cloudflare ({}), and {most} should do",
                self.stage
                    .cloudflare
                    .exchanges()
                    .iter()
                    .map(|one| format!("{} {}", one.method, one.path))
                    .collect::<Vec<_>>()
                    .join(", "),
            )),
            _ => Ok(()),
        }
    }

    fn held_at_first(&self) -> BTreeSet<Atom> {
        self.began_with.get(&self.cast.member.id).cloned().unwrap_or_default()
    }

    /// The role on the whole account.
    fn atom(&self) -> Atom {
        (Access::Allow, self.cast.role.id.clone(), self.stage.cloudflare.account_resource_group())
    }

    fn entitlement(&self) -> Entitlement {
        Entitlement::role(self.cast.role.governed_as(), &self.cast.role.name)
    }

    fn person(&self) -> Person {
        Person::member(&self.cast.member.email, &self.cast.user_id, &self.cast.member.id)
    }

    /// A grant signed for the role, and sent with Super Administrator in its place.
    fn tampered(&self) -> Delivery {
        let grant = self.stage.world.c1.task(&Task::grant(self.entitlement(), self.person()));
        let body = grant.envelope().to_string().replace(self.cast.role.governed_as(), SUPER_ADMINISTRATOR);
        grant.tampered(body)
    }
}

/// The document as it is where it is short, else what it says.
fn said(text: &str, document: &Value) -> String {
    match document.get("detail").and_then(Value::as_str) {
        Some(detail) => format!("{}: {detail}", document.get("code").and_then(Value::as_str).unwrap_or("error")),
        None => text.trim().to_owned(),
    }
}

/// Checks that a webhook was answered 200 with a document that has this field.
fn expect_document(exchanged: &Exchanged, field: &str, what: &str) -> Result<(), String> {
    if exchanged.status == 200 && exchanged.document.pointer(field).is_some() {
        return Ok(());
    }
    Err(format!("{what} was answered {}: {}", exchanged.status, exchanged.document))
}
