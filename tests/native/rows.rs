//! A row that this version cannot read, of a newer one that ran before, in every table that there is: it stops only itself.

use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _, SqlValue};
use serde_json::Value;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::calls::NEWCOMER;
use crate::deployment::Deployment;
use crate::jane::{EMAIL, Jane};
use crate::looks::small;

/// The tables whose rows are set aside one by one, logged once and counted in the status.
const SET_ASIDE: [&str; 5] = ["connect_run", "incident", "job", "operation", "sent"];

/// The same, of which this story reads no row: the Coordinator's own test has them, that of the signals, and those of writes and
/// invitations that another version sent, and that of putting entitlements back.
const SET_ASIDE_ELSEWHERE: [&str; 9] = [
    "callback",
    "connect_line",
    "connect_saved",
    "decision",
    "open_invitation",
    "overlay",
    "renewal",
    "signal",
    "written",
];

/// The tables of which a row that cannot be read is as good as none: what it held is asked or worked out again.
const FORGOTTEN: [&str; 41] = [
    "activity",
    "activity_shown",
    "audit_entry",
    "audit_log",
    "connect_entitlement",
    "connect_given_up",
    "connect_settled",
    "connect_state",
    "counter",
    "expiry",
    "finding",
    "finding_cut",
    "finding_event",
    "former_name",
    "generation",
    "identity",
    "invitation_seen",
    "invited",
    "ledger",
    "ledger_mark",
    "legacy_value",
    "login_lists",
    "login_page",
    "login_seen",
    "looked_through",
    "meta",
    "own_policy_since",
    "own_policy",
    "push_upload",
    "rate_budget",
    "removal",
    "renewed",
    "set_aside",
    "signal_seen",
    "spent",
    "staged",
    "staged_rest",
    "stored_chunk",
    "sync_day",
    "sync_state",
    "token_seen",
];

fn query(jane: &Jane, statement: &str) -> Vec<Vec<SqlValue>> {
    jane.deployment.world().query(statement, &[]).unwrap_or_else(|error| panic!("{statement}: {error}"))
}

fn text(value: &SqlValue) -> String {
    value.text().unwrap_or_default().to_owned()
}

fn tables(jane: &Jane) -> Vec<String> {
    let rows =
        query(jane, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name");
    rows.iter().map(|row| text(&row[0])).collect()
}

/// Puts a row into a table that says it is of version 2, and looks like no row of version 1; due at once, and about Jane where it is
/// about anybody.
fn put_odd_row(jane: &Jane, table: &str) {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in query(jane, &format!("PRAGMA table_info({table})")) {
        let (name, kind, key) = (text(&column[1]), text(&column[2]), column[5].integer().unwrap());
        let value = match (name.as_str(), kind.as_str()) {
            ("version" | "v", _) => "2".to_owned(),
            ("member", _) => format!("'{}'", jane.member),
            ("settled_at" | "outcome", _) => continue,
            ("id" | "only" | "one", "INTEGER") if key > 0 => {
                let made = text(&query(jane, &format!("SELECT sql FROM sqlite_master WHERE name = '{table}'"))[0][0]);
                if !made.contains("CHECK") {
                    continue;
                }
                "1".to_owned()
            }
            ("operation" | "n", "INTEGER") => "99".to_owned(),
            (_, "INTEGER") => "0".to_owned(),
            (_, "BLOB") => "x'02'".to_owned(),
            _ => "'{\"version\":2,\"v\":2,\"odd\":true}'".to_owned(),
        };
        names.push(name);
        values.push(value);
    }
    query(jane, &format!("INSERT OR REPLACE INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", ")));
}

async fn get(jane: &Jane, table: &str, path: &str) -> Value {
    let answer = jane.deployment.get(path).await;
    // Where nothing was connected yet there is nothing to tell.
    assert!([200, 404].contains(&answer.status), "{table}: {path}: {} {}", answer.status, answer.text());
    answer.json()
}

/// A grant by webhook, a sync, and the lists: all of it as if nothing were there.
async fn everything_goes_on(jane: &Jane, table: &str, n: u32) {
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let person = Person::member(EMAIL, &jane.user, &jane.member);
    let task = if n.is_multiple_of(2) { Task::grant(entitlement, person) } else { Task::revoke(entitlement, person) };
    let delivery = jane.deployment.c1.task(&task);
    let answer = jane.deployment.send_as(&delivery, &format!("{table}/{n}")).await;
    assert!(answer.status == 200 && answer.text().contains("complete"), "{table}: {} {}", answer.status, answer.text());
    let holds = jane.deployment.cloudflare.member_atoms(&jane.member).contains(&jane.atom(&jane.lacks));
    assert_eq!(holds, n.is_multiple_of(2), "{table}");
    for path in ["/v1/operations", "/v1/decisions", "/v1/users", "/v1/doctor", "/v1/connect"] {
        get(jane, table, path).await;
    }
    jane.deployment.sync().await;
    jane.deployment.wait(Duration::from_mins(3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_of_version_2_in_any_table_stops_only_itself() {
    let all = tables(&Jane::start().await);
    let known: Vec<&str> = [&SET_ASIDE[..], &SET_ASIDE_ELSEWHERE[..], &FORGOTTEN[..]].concat();
    for table in &all {
        assert!(known.contains(&table.as_str()), "{table} is new: say what becomes of a row that cannot be read");
    }
    for table in &all {
        let jane = Jane::start().await;
        everything_goes_on(&jane, table, 0).await;
        put_odd_row(&jane, table);
        everything_goes_on(&jane, table, 1).await;
        jane.deployment.restart();
        everything_goes_on(&jane, table, 2).await;
        let counted = get(&jane, table, "/v1/status").await["set_aside"].clone();
        let counted: Vec<&str> = counted
            .as_array()
            .map(|all| all.iter().filter_map(|one| one["table"].as_str()).collect())
            .unwrap_or_default();
        if SET_ASIDE.contains(&table.as_str()) {
            assert_eq!(counted, [table.as_str()]);
            let lines = jane.deployment.world().desk.lines.borrow();
            assert!(lines.iter().any(|line| line.contains("set aside") && line.contains(table.as_str())), "{table}");
        }
        let errors = jane.deployment.world().desk.errors().join("\n");
        assert!(!errors.contains("cannot be used"), "{table}: {errors}");
    }
}

/// A renewal that removed an invitation, of which this version cannot read what it held: nobody is invited with what is guessed, C1 is told,
/// and everything else goes on.
#[tokio::test(start_paused = true)]
async fn the_renewal_of_a_newer_version_is_given_up_and_its_callback_is_answered_errored() {
    let deployment =
        Deployment::with(small(), |options| options.var("PROVISIONING", "on").var("RENEW_INVITATIONS_AFTER_DAYS", "1"))
            .await
            .synced()
            .await;
    let cloudflare = &deployment.cloudflare;
    let account = |email: &str| Task::grant(Entitlement::access(), Person::newcomer(email));
    let first = deployment.c1.task(&account(NEWCOMER));
    assert_eq!(deployment.send_as(&first, "1").await.status, 200);
    deployment.wait(Duration::from_hours(36)).await;
    cloudflare.fail_next(Route::CreateMember, 1, Fault::status(503, 10_000));
    assert_eq!(deployment.send_as(&deployment.c1.task(&account(NEWCOMER)), "2").await.status, 202);
    assert!(cloudflare.membership_of(NEWCOMER).is_none(), "it is removed, and not made again yet");
    let changed = "UPDATE renewal SET version = 2, held = '{\"of\":2}' RETURNING operation";
    assert_eq!(deployment.world().query(changed, &[]).unwrap().len(), 1);
    let other = deployment.send_as(&deployment.c1.task(&account("other@example.com")), "3").await;
    assert!(other.status == 200 && other.text().contains("complete"), "{} {}", other.status, other.text());
    deployment.wait(Duration::from_mins(1)).await;
    let posts = deployment.c1.callback_posts();
    assert_eq!(posts.len(), 1);
    let told = posts[0].body.to_string();
    assert!(told.contains("errored") && told.contains("cannot read"), "{told}");
    assert!(cloudflare.membership_of(NEWCOMER).is_none(), "nobody is invited with what was guessed");
    let status = deployment.json("/v1/status").await;
    assert_eq!(status["set_aside"][0]["table"], "renewal", "{status}");
    let lines = deployment.world().desk.lines.borrow().join("\n");
    assert!(lines.contains("set aside") && lines.contains("renewal"), "{lines}");
}

/// A list goes on behind what it cannot show.
#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_ends_no_list_of_what_was_noted() {
    let jane = Jane::start().await;
    for n in 0..6 {
        let method = if n % 2 == 0 { "PUT" } else { "DELETE" };
        assert_eq!(jane.call(method, &jane.lacks).await.status, 200);
        jane.deployment.wait(Duration::from_mins(20)).await;
        jane.deployment.sync().await;
    }
    jane.deployment.wait(Duration::from_mins(1)).await;
    let now = jane.deployment.world().now();
    for n in 0..6 {
        let record = serde_json::json!({
            "key": format!("t/{n}"), "at": now, "verdict": "deny", "rule": "none", "comment": "No.", "action": "grant", "entitlement": null,
            "entitlement_name": null, "email": null, "generation": null,
            "origin": { "by": "webhook", "approvers": [] },
        });
        query(&jane, &format!("INSERT INTO decision (key, at, record) VALUES ('t/{n}', {}, '{record}')", now.millis()));
    }
    for (path, table, id, number, broken) in [
        ("/v1/operations?", "operation", "id", "id", "version = 2"),
        ("/v1/decisions?", "decision", "id", "id", "version = 2"),
        ("/v1/findings?state=all&", "finding", "number", "number", "evidence = x'00'"),
        ("/v1/operations?of=findings&", "finding_event", "number", "number", "detail = x'00'"),
        ("/v1/history?", "ledger", "id", "number", "generation = x'00'"),
    ] {
        let numbers = async || -> Vec<i64> {
            let (mut numbers, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = get(&jane, table, &format!("{path}limit=2{cursor}")).await;
                numbers.extend(page["items"].as_array().unwrap().iter().map(|item| item[number].as_i64().unwrap()));
                let Some(next) = page["next_cursor"].as_str() else { return numbers };
                cursor = format!("&cursor={next}");
            }
        };
        let mut all = numbers().await;
        assert!(all.len() >= 5, "{path}: {all:?}");
        // One alone, and as many as a page has.
        for place in [1, 2, 2] {
            query(&jane, &format!("UPDATE {table} SET {broken} WHERE {id} = {}", all.remove(place)));
            assert_eq!(numbers().await, all, "{path}");
        }
    }
}
