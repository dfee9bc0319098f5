//! What a grant costs: calls to Cloudflare, and the time that the connector itself adds.

use std::time::Duration;

use serde_json::Value;
use sim::cloudflare::{Access, Cloudflare, Spec};
use sim::conductorone::{Entitlement, Person, Task};
use sim::stage::Stage;
use tokio::time::Instant;

use crate::table;

/// How many grants are measured.
const GRANTS: usize = 200;

/// How many calls to Cloudflare a grant may take when nothing goes wrong.
const MOST_CALLS: usize = 3;

/// One grant to carry out.
pub(crate) struct Wanted {
    pub(crate) person: Person,
    member: String,
    pub(crate) entitlement: Entitlement,
    atom: (Access, String, String),
}

/// Measures webhook grants, one after the other, against an API that answers at once.
pub(crate) async fn measure() -> Result<(), String> {
    let stage = Stage::set(Spec { members: 1_000, pending_share: 0.05, ..Spec::default() }, &[]).await;
    let stage = stage.map_err(|error| error.to_string())?;
    stage.sync(Duration::from_mins(5), Duration::from_millis(100), |_| {}).await?;
    let (mut took, mut added, mut calls) = (Vec::new(), Vec::new(), 0);
    for wanted in wanted(&stage.cloudflare, GRANTS)? {
        let delivery = stage.world.c1.task(&Task::grant(wanted.entitlement, wanted.person));
        stage.cloudflare.reset_log();
        let began = Instant::now();
        let answer = stage.world.deliver_once(&delivery).await.map_err(|error| format!("a grant: {error}"))?;
        let all = began.elapsed();
        if answer.status != 200 || answer.json().pointer("/complete/comment").and_then(Value::as_str).is_none() {
            return Err(format!("a grant was answered {}: {}", answer.status, answer.text()));
        }
        if !stage.cloudflare.member_atoms(&wanted.member).contains(&wanted.atom) {
            return Err(format!("a grant was answered as done, and the account does not have it: {}", answer.text()));
        }
        let exchanges = stage.cloudflare.exchanges();
        if exchanges.len() > MOST_CALLS {
            return Err(format!("a grant took {} calls to Cloudflare, and {MOST_CALLS} are promised", exchanges.len()));
        }
        calls = calls.max(exchanges.len());
        let elsewhere: Duration = exchanges.iter().map(|one| one.finished.saturating_sub(one.started)).sum();
        took.push(all);
        added.push(all.saturating_sub(elsewhere));
    }
    took.sort();
    added.sort();
    let rows = [vec![
        GRANTS.to_string(),
        calls.to_string(),
        table::time(percentile(&added, 50)),
        table::time(percentile(&added, 99)),
        table::time(percentile(&took, 50)),
        table::time(percentile(&took, 99)),
    ]];
    table::print(
        "A grant by webhook, API at 0 ms",
        &[
            "grants, one by one",
            "calls to Cloudflare each",
            "added by the connector, median",
            "p99",
            "in all, median",
            "p99",
        ],
        &rows,
    );
    Ok(())
}

/// Grants of roles to `count` members who do not have them, each to another member.
pub(crate) fn wanted(cloudflare: &Cloudflare, count: usize) -> Result<Vec<Wanted>, String> {
    let whole = cloudflare.account_resource_group();
    let roles: Vec<_> = cloudflare
        .permission_groups()
        .into_iter()
        .filter(|group| group.account_wide && group.role_id.is_some() && group.label != "super_admin")
        .collect();
    let mut wanted = Vec::new();
    for member in cloudflare.memberships().into_iter().filter(|member| member.status == "accepted") {
        let (Some(user), held) = (&member.user_id, cloudflare.member_atoms(&member.id)) else { continue };
        let free = roles.iter().cycle().skip(wanted.len()).take(roles.len()).find(|role| {
            !held
                .iter()
                .any(|(_, permission_group, resource_group)| *permission_group == role.id && *resource_group == whole)
        });
        let Some(role) = free else { continue };
        wanted.push(Wanted {
            person: Person::member(&member.email, user, &member.id),
            entitlement: Entitlement::role(role.governed_as(), &role.name),
            atom: (Access::Allow, role.id.clone(), whole.clone()),
            member: member.id,
        });
        if wanted.len() == count {
            return Ok(wanted);
        }
    }
    Err(format!("the account has no {count} members to grant a role to"))
}

/// The smallest value that this share of the values does not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}
