//! C1's webhook: verified, read, answered with the document C1 expects.

use std::fmt;

use super::asking::{self, Ports};
use super::automation;
use super::http::{Answer, Incoming, Problem};
use super::public_url;
use super::settings::Settings;
use crate::account::apps::WEBHOOK;
use crate::base::hash::sha256_hex;
use crate::base::object::object_of;
use crate::base::ports::Level;
use crate::conductorone::jwt::Claims;
use crate::conductorone::payload::{Event, REVIEW, TaskStep, Webhook, WorkflowStep};
use crate::conductorone::response::Document;
use crate::conductorone::verify::{self, Rejection, SignedRequest};
use crate::coordinator::{Command, Reply};
use crate::decide::{Question, Verdict, can_reassign};
use crate::model::operation::{Origin, Outcome, Request, Target};

/// Receives a webhook.
pub(super) async fn receive<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Result<Answer, Problem> {
    let body = request.bytes()?;
    let signed = SignedRequest {
        authorization: request.header("authorization"),
        content_digest: request.header("content-digest"),
        body,
    };
    let reached = async || public_url::known(ports, settings).await;
    let claims = match verify::verify(ports, &settings.coordinator.conductorone, reached, signed).await {
        Ok(claims) => claims,
        Err(rejected) => {
            ports.log(Level::Warn, "webhook rejected", why(&rejected));
            return Err(refuse(&rejected));
        }
    };
    let webhook = Webhook::parse(body).map_err(|error| {
        ports.log(Level::Warn, "webhook not understood", why(&error));
        Problem::new(400, "invalid_webhook", error.to_string())
    })?;
    let delivery = webhook.callback_url.clone();
    let callback_url = webhook.callback_url.filter(|url| {
        let is_ours = is_of_tenant(settings, url);
        if !is_ours {
            ports.log(Level::Warn, "a callback URL of another host is not used", serde_json::json!({}));
        }
        is_ours
    });
    if is_used(ports, &claims).await? {
        ports.log(Level::Warn, "webhook token used again", serde_json::json!({}));
        return answer_again(ports, settings, webhook.event, delivery.as_deref()).await;
    }
    match webhook.event {
        Event::Test => {
            // Whoever connects waits for it. That it could not be noted is no reason to let C1 try again.
            if let Err(error) = ports.ask(Command::TestArrived).await {
                ports.log(Level::Warn, "could not note the test event", why(&error));
            }
            Ok(document(&Document::Noted))
        }
        Event::Provision(step) => provision(ports, *step, delivery.as_deref(), callback_url).await,
        Event::Approval(step) => approve(ports, settings, *step, delivery.as_deref()).await,
        Event::Workflow(step) => {
            if let Err(error) = ports.ask(Command::AutomationArrived).await {
                ports.log(Level::Warn, "could not note the automation", why(&error));
            }
            automate(ports, &step).await
        }
        Event::Other(name) => {
            // An error would make C1 try 50 times.
            ports.log(
                Level::Info,
                "webhook event ignored",
                object_of(vec![("event", name.chars().take(100).collect::<String>().into())]),
            );
            Ok(document(&Document::Noted))
        }
    }
}

/// What the log is told of an error.
fn why(error: &dyn fmt::Display) -> serde_json::Value {
    object_of(vec![("why", error.to_string().into())])
}

/// Whether the token started something before. C1 signs one for each attempt.
async fn is_used<P: Ports>(ports: &P, claims: &Claims) -> Result<bool, Problem> {
    // One without an id is known by when it was signed and for what.
    let signed = || format!("{} {:?}", claims.iat.unwrap_or_default().to_bits(), claims.htb_s256);
    let id = claims.jti.clone().filter(|id| !id.is_empty()).unwrap_or_else(signed);
    match asking::ask(ports, Command::UseToken { id, until: verify::accepted_until(claims) }).await? {
        Reply::Noted => Ok(false),
        Reply::TokenUsed => Ok(true),
        _ => Err(asking::failed()),
    }
}

/// The answer that there is to a delivery whose token came before; nothing is begun, and no callback is touched. Where there is none yet,
/// C1 is told to try again, which it does with another token.
async fn answer_again<P: Ports>(
    ports: &P,
    settings: &Settings,
    event: Event,
    delivery: Option<&str>,
) -> Result<Answer, Problem> {
    let not_yet = || Problem::unavailable("token_used", "this token was used before, and there is no answer yet", 5);
    match event {
        Event::Provision(step) => {
            let key = key(&step, delivery).ok_or_else(not_yet)?;
            let Reply::Operations(entries) = asking::ask(ports, Command::Operation(key)).await? else {
                return Err(asking::failed());
            };
            let asked = read(*step, delivery).ok();
            let entry =
                entries.into_iter().find(|entry| asked.as_ref().is_some_and(|it| entry.request.asks_the_same(it)));
            match entry.and_then(|entry| entry.outcome) {
                Some(Outcome::NotNow { .. }) | None => Err(not_yet()),
                Some(outcome) => Ok(document(&Document::of(outcome))),
            }
        }
        // It is decided once, and the same whenever it is asked, but for a review once nobody can be asked any more.
        Event::Approval(step) => approve(ports, settings, *step, delivery).await,
        Event::Workflow(step) if automation::begins_something(&step.context) => Err(not_yet()),
        Event::Workflow(step) => automate(ports, &step).await,
        Event::Test | Event::Other(_) => Ok(document(&Document::Noted)),
    }
}

async fn provision<P: Ports>(
    ports: &P,
    step: TaskStep,
    delivery: Option<&str>,
    callback_url: Option<String>,
) -> Result<Answer, Problem> {
    let request = match read(step, delivery) {
        Ok(request) => request,
        Err(sentence) => return Ok(document(&Document::Errored(sentence))),
    };
    match asking::ask(ports, Command::Provision { request: Box::new(request), callback_url }).await? {
        // It goes on, and C1 hears of its end at the callback URL.
        Reply::Accepted => Ok(Answer::json(202, &object_of(vec![("status", "accepted".into())]))),
        Reply::Outcome(Outcome::NotNow { message, retry_at }) => Err(Problem::not_now(message, retry_at, ports.now())),
        Reply::Outcome(outcome) => Ok(document(&Document::of(outcome))),
        _ => Err(asking::failed()),
    }
}

/// Whether to approve, by the connector's rules. A review is left to people, or not answered: see [`not_decided`].
async fn approve<P: Ports>(
    ports: &P,
    settings: &Settings,
    step: TaskStep,
    delivery: Option<&str>,
) -> Result<Answer, Problem> {
    let is_review = step.action.as_ref().is_err_and(|kind| kind == REVIEW);
    if is_review && !can_reassign(&settings.coordinator.rules, &step.parties) {
        return Err(not_decided());
    }
    let question = Question {
        key: key(&step, delivery),
        origin: origin(&step),
        actionable: step.actionable,
        action: step.action,
        entitlement: step.entitlement,
        subject: step.subject,
        ends_with_username: step.ends_with_username,
        parties: step.parties,
    };
    match asking::ask(ports, Command::Decide(Box::new(question))).await? {
        // Earlier versions denied reviews, and a decision stays what it is.
        Reply::Decided(record) if is_review && record.verdict != Verdict::Reassign => Err(not_decided()),
        Reply::Decided(record) => Ok(document(&record.document())),
        _ => Err(asking::failed()),
    }
}

/// What is answered to a review for which nobody can be asked. What is denied in one is taken away, and what is approved is kept: neither may come of it
/// that nobody is set who decides. C1 takes no abstention, but it takes a 410 for the end of a webhook, records that, and goes on with the policy, as it
/// does after fifty tries at any other error, which would help nobody here (`reference/conductorone.md` 1.4). Of provisioning it would make a task for
/// somebody's hands, so there it is never answered.
fn not_decided() -> Problem {
    Problem::new(
        410,
        "not_decided",
        "this is a review, in which a denial takes the access away, so this connector does not decide it: nobody is there who could be asked instead, APPROVAL_RULES cannot be read, or an earlier version has denied it; name people who are not concerned themselves in reassign_to of APPROVAL_RULES, or take the webhook step out of the review's policy",
    )
}

/// What an automation asked for.
async fn automate<P: Ports>(ports: &P, step: &WorkflowStep) -> Result<Answer, Problem> {
    match automation::answer(ports, &step.context).await {
        Ok(context) => Ok(document(&Document::Context(context))),
        Err(error) => Err(Problem::not_now(error.to_string(), None, ports.now())),
    }
}

/// Outcomes go to the configured tenant alone, whatever a delivery says.
fn is_of_tenant(settings: &Settings, url: &str) -> bool {
    url.strip_prefix(settings.coordinator.conductorone.url.as_str()).is_some_and(|path| path.starts_with('/'))
        || url
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_prefix(settings.coordinator.conductorone.tenant.as_str()))
            .is_some_and(|path| path.starts_with('/'))
}

/// The operation that a step asks for, or the sentence that says why it asks for none.
fn read(step: TaskStep, delivery: Option<&str>) -> Result<Request, String> {
    let (key, origin) = (key(&step, delivery), origin(&step));
    // An earlier one may have been carried out.
    step.actionable.map_err(|why| {
        format!("Nothing was done for this delivery, because {why}; GET /v1/operations tells what was done for an earlier one of this task.")
    })?;
    let action = step.action.map_err(|kind| {
        format!("This connector grants and revokes; a task of the kind \"{kind}\" is to be provisioned in another way.")
    })?;
    Ok(Request { key, action, target: Target::Named(step.entitlement), subject: step.subject, origin })
}

/// What identifies an operation or a question however often it is delivered: C1's task and step, which has the entitlement's id behind it where that is
/// another than the task's. Should a step have no id, the callback URL is one delivery's own (`reference/conductorone.md` 1.2); it is a capability, so
/// its digest stands for it.
fn key(step: &TaskStep, delivery: Option<&str>) -> Option<String> {
    match (&step.step_id, delivery) {
        (Some(id), _) => Some(format!("{}/{id}", step.task_id)),
        (None, Some(url)) => Some(format!("callback/{}", sha256_hex(url.as_bytes()))),
        (None, None) => None,
    }
}

/// Who asks, for the journal.
fn origin(step: &TaskStep) -> Origin {
    Origin {
        by: WEBHOOK.to_owned(),
        right: None,
        after: None,
        task: Some(step.task_id.clone()),
        task_number: step.task_number.clone(),
        app_id: step.app_id.clone(),
        requester: step.requester.clone(),
        approvers: step.approvers.clone(),
        duration_secs: step.duration_secs,
        extends: step.is_extension,
    }
}

fn document(document: &Document) -> Answer {
    Answer::of(200, "application/json", document.to_json().into_bytes())
}

/// 401 for everything that is wrong with the token or the body it signs: C1 tries again, which is right where the cause
/// was a key that had just been changed. 503 where the keys could not be had.
fn refuse(rejected: &Rejection) -> Problem {
    match rejected {
        Rejection::KeysUnavailable(_) => return Problem::unavailable("keys_unavailable", rejected.to_string(), 5),
        Rejection::NoPublicUrl(_) => return Problem::unavailable("public_url_unknown", rejected.to_string(), 60),
        _ => {}
    }
    let mut problem = Problem::new(401, "webhook_rejected", rejected.to_string());
    problem.headers.push(("WWW-Authenticate", "Bearer".to_owned()));
    problem
}
