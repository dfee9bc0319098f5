//! What the connector finds to be wrong with the account, and what a grant would change.

use std::time::Duration;

use serde_json::Value;
use sim::stage::Stage;

use crate::terminal::Terminal;

/// At most this many findings are shown, each by a rule of its own.
const SHOWN: usize = 3;

/// Shows three findings, and what one grant would change; nothing is written by either.
pub(crate) async fn show(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    terminal.part("What is wrong with the account, and what a grant would change");
    let mut shown: Vec<Value> = Vec::new();
    // They are worked out by a job that follows the publication.
    for _ in 0..60 {
        for finding in items(stage, "/v1/findings?limit=1000").await? {
            if shown.len() < SHOWN && shown.iter().all(|known| known.get("rule") != finding.get("rule")) {
                shown.push(finding);
            }
        }
        if shown.len() == SHOWN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if shown.len() < SHOWN {
        return Err(format!("{} findings were found within 30 s, and there are more to find", shown.len()));
    }
    for finding in &shown {
        let [severity, title, name, evidence] =
            ["severity", "title", "name", "evidence"].map(|field| text(finding, field).unwrap_or_default());
        terminal.row(severity, &format!("{title}: {name} ({evidence})"));
    }
    let users = items(stage, "/v1/users?limit=1").await?;
    let user = users.first().ok_or("there are no users")?;
    let held = user.get("entitlements").map(Value::to_string).unwrap_or_default();
    let offered = items(stage, "/v1/entitlements?limit=1000").await?;
    let id = |offer: &Value| text(offer, "id").unwrap_or_default().to_owned();
    let grant = offered.iter().map(id).find(|id| id.starts_with("role:") && !held.contains(id.as_str()));
    let grant = grant.ok_or("there is nothing to grant")?;
    let before = stage.cloudflare.total_requests();
    let asked = format!("/v1/what-if?principal=user:{}&grant={grant}", text(user, "id").unwrap_or_default());
    let answer = get(stage, &asked).await?;
    let line = text(&answer, "line").ok_or_else(|| format!("no line: {answer}"))?;
    if stage.cloudflare.total_requests() != before {
        return Err("Cloudflare was asked for what a grant would change".to_owned());
    }
    terminal.row("what if", line);
    terminal.good("nothing was written for it, and nothing asked of Cloudflare");
    Ok(())
}

fn text<'a>(of: &'a Value, field: &str) -> Option<&'a str> {
    of.get(field).and_then(Value::as_str)
}

async fn items(stage: &Stage, path: &str) -> Result<Vec<Value>, String> {
    let page = get(stage, path).await?;
    page.get("items").and_then(Value::as_array).cloned().ok_or_else(|| format!("{path} lists nothing: {page}"))
}

async fn get(stage: &Stage, path: &str) -> Result<Value, String> {
    let answer = stage.world.get(path).await.map_err(|error| error.to_string())?;
    if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{path} was answered with {}", answer.status)) }
}
