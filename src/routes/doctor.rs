//! Is everything in place? Checks the configuration and the Cloudflare token now, and says what is missing in the words of
//! Cloudflare's dashboard.

use serde::Serialize;

use super::asking::Ports;
use super::http::{Answer, Incoming};
use super::public_url;
use super::settings::{NotConfigured, Settings};
use crate::base::jobs;
use crate::base::remedy::SET_VARIABLE;
use crate::base::settings::{Meanwhile, Problem};
use crate::conductorone::settings::PublicUrl;
use crate::coordinator::{Command, Examination, Reply};
use crate::provision::Provisioning;
use crate::signal;
use crate::signal::settings::Auth;
use crate::snapshot::{self, Catalogue};

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Examination>,
}

impl Report {
    fn answer(checks: Vec<Examination>) -> Answer {
        let ok = checks.iter().all(|check| check.ok || !check.required);
        Answer::json(if ok { 200 } else { 503 }, &Self { ok, checks })
    }
}

/// Its mistakes are told with more by a check of its own.
const RULES: &str = "APPROVAL_RULES";

/// A variable that is wrong, by its name and with what to put there.
fn wrong(problem: &Problem) -> Examination {
    let until = match problem.meanwhile {
        Meanwhile::Nothing => "",
        Meanwhile::Off => "; what it is for is off until then, and everything else goes on",
        Meanwhile::Default => "; its default holds until then, and everything else goes on",
    };
    let required = problem.is_fatal();
    Examination { name: problem.name.to_owned(), ok: false, required, message: format!("{}{until}", problem.message) }
}

/// What is said of these has no value in it but the account's id and the tenant's host.
const REQUIRED: [&str; 4] = ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "C1_TENANT"];

/// The report of a Worker that is not configured. As long as there is no token to compare with, everybody may read it.
pub(super) fn unconfigured(error: &NotConfigured) -> Answer {
    let mut checks: Vec<Examination> = error.problems.iter().map(wrong).collect();
    for check in checks.iter_mut().filter(|check| error.token.is_none() && !REQUIRED.contains(&check.name.as_str())) {
        "is wrong; the Worker's log says how, and this does once CONNECTOR_TOKEN is set".clone_into(&mut check.message);
    }
    Report::answer(checks)
}

/// The report of a configured Worker: one request for each thing that the token must be able to do.
pub(super) async fn examine<P: Ports>(ports: &P, settings: &Settings, request: &Incoming) -> Answer {
    let mut checks = vec![
        Examination {
            name: "configuration".to_owned(),
            ok: true,
            required: true,
            message: "every required variable and secret is set".to_owned(),
        },
        Examination {
            name: "PROVISIONING".to_owned(),
            ok: settings.coordinator.provision.provisioning == Provisioning::On,
            required: false,
            message: match settings.coordinator.provision.provisioning {
                Provisioning::On => "on: grants and revokes are carried out, for which the API token needs Account Settings: Edit; that is not tried here".to_owned(),
                Provisioning::Off => format!(
                    "off: grants and revokes are refused with what would have been done; to carry them out, set PROVISIONING to on {SET_VARIABLE}"
                ),
            },
        },
    ];
    checks.extend(settings.problems.iter().filter(|problem| problem.name != RULES).map(wrong));
    let reached = public_url::known(ports, settings).await;
    checks.push(address(ports, settings, request, &reached).await);
    checks.push(storage(ports).await);
    checks.push(rules(ports, settings).await);
    if let Some(signal) = &settings.coordinator.signal {
        checks.push(signals(ports, reached.as_ref().ok(), signal).await);
    }
    match ports.ask(Command::Examine).await {
        Ok(Reply::Examination(found)) => checks.extend(found),
        Ok(_) => checks.push(coordinator("it could not read its own storage; see the Worker's log".to_owned())),
        Err(error) => checks.push(coordinator(error.to_string())),
    }
    checks.push(keys(ports, settings).await);
    Report::answer(checks)
}

fn coordinator(message: String) -> Examination {
    Examination { name: "COORDINATOR".to_owned(), ok: false, required: true, message }
}

/// Where C1 reaches this Worker, and how that is known.
async fn address<P: Ports>(
    ports: &P,
    settings: &Settings,
    request: &Incoming,
    reached: &Result<PublicUrl, String>,
) -> Examination {
    let check = |ok, message| Examination { name: "PUBLIC_URL".to_owned(), ok, required: true, message };
    let base = match reached {
        Ok(reached) => &reached.base,
        Err(why) => return check(false, why.clone()),
    };
    let mut message = format!("ConductorOne has to call this Worker at {base}");
    if settings.coordinator.conductorone.public_url.is_none()
        && let Ok(Some(learned)) = public_url::learned(ports, None).await
    {
        message = format!(
            "{message}, learned at {} from the first request with CONNECTOR_TOKEN ({}); to have it called at another address, set PUBLIC_URL",
            learned.learned_at, learned.learned_from
        );
    }
    if *base != request.origin {
        message = format!("{message}; this request came by {}", request.origin);
    }
    check(true, message)
}

async fn storage<P: Ports>(ports: &P) -> Examination {
    let read = ports.get(&ports.space().key("current")).await;
    Examination {
        name: "STATE".to_owned(),
        ok: read.is_ok(),
        required: true,
        message: match read {
            Ok(_) => "the KV namespace can be read".to_owned(),
            Err(error) => format!(
                "{error}; where that goes on and the KV namespace is gone, make another one and name its id below binding = \"STATE\" {SET_VARIABLE}"
            ),
        },
    }
}

/// Whether the rules can be read, and whether the account has the roles that they name.
async fn rules<P: Ports>(ports: &P, settings: &Settings) -> Examination {
    let check = |ok: bool, message: String| Examination { name: RULES.to_owned(), ok, required: false, message };
    let rules = match &settings.coordinator.rules {
        Ok(rules) => rules,
        Err(error) => {
            return check(
                false,
                format!(
                    "the rules cannot be read, so every approval that is asked of the connector is denied: {error}"
                ),
            );
        }
    };
    let catalogue =
        match snapshot::latest(ports).await {
            Ok(Some(snapshot)) => Catalogue::load(ports, &snapshot).await,
            Ok(None) => return check(
                true,
                "the rules can be read; whether the account has the roles that they name is known after the first sync"
                    .to_owned(),
            ),
            Err(error) => Err(error),
        };
    let catalogue = match catalogue {
        Ok(catalogue) => catalogue,
        Err(error) => {
            return check(
                true,
                format!("the rules can be read; the roles that they name could not be looked up: {error}"),
            );
        }
    };
    let shown = |names: &[String]| {
        let more = if names.len() > 20 { " and others" } else { "" };
        format!("{}{more}", names.iter().map(String::as_str).take(20).collect::<Vec<_>>().join(", "))
    };
    let unknown = rules.unknown_names(&catalogue);
    if !unknown.is_empty() {
        let names = shown(&unknown);
        return check(
            false,
            format!(
                "the account has no role, scoped role or user group of these names: {names}; correct them, or sync"
            ),
        );
    }
    let ambiguous = rules.ambiguous_names(&catalogue);
    if !ambiguous.is_empty() {
        let names = shown(&ambiguous);
        return check(
            false,
            format!(
                "several roles or groups of the account have these names, so nothing is approved by them: {names}; name what is meant by its id"
            ),
        );
    }
    let (own, people) = rules.counts();
    check(
        true,
        format!(
            "the rules can be read, and the account has every role that they name ({own} rules of your own, {people} people to ask)"
        ),
    )
}

/// Where signals go, and whether the last ones got there.
async fn signals<P: Ports>(ports: &P, reached: Option<&PublicUrl>, signal: &signal::Settings) -> Examination {
    let kinds: Vec<&str> = signal.kinds.iter().map(|kind| kind.as_str()).collect();
    let mut message =
        format!("{} are sent to ConductorOne's incoming webhook, known by {}", kinds.join(", "), signal.auth.name());
    let mut ok = true;
    if let Auth::Jwt(key) = &signal.auth {
        message = format!(
            "{message}; the key set for ConductorOne is {}/.well-known/jwks.json",
            reached.map_or("<PUBLIC_URL>", |it| &it.base)
        );
        if let Err(error) = signal::key_set(ports, key).await {
            (ok, message) = (false, format!("SIGNAL_SIGNING_KEY cannot be used: {error}"));
        }
    }
    if let Ok(Reply::Status(status)) = ports.ask(Command::Status).await
        && let Some(job) = status.jobs.iter().find(|job| job.kind == jobs::JobKind::Signal)
        && let Some(last) = &job.message
    {
        ok &= job.state != jobs::State::Failed && job.attempts == 0;
        message = format!("{message}; last: {last}");
    }
    Examination { name: "SIGNAL_URL".to_owned(), ok, required: false, message }
}

/// Whether the tenant's keys can be had: without them no webhook is accepted.
async fn keys<P: Ports>(ports: &P, settings: &Settings) -> Examination {
    let keys = crate::conductorone::verify::current_keys(ports, &settings.coordinator.conductorone).await;
    Examination {
        name: "C1_TENANT".to_owned(),
        ok: keys.is_ok(),
        required: true,
        message: match keys {
            Ok(_) => format!("the webhook keys of {} can be fetched", settings.coordinator.conductorone.tenant),
            Err(error) => {
                format!("{error}; is C1_TENANT the host in your browser's address bar when you use ConductorOne?")
            }
        },
    }
}
