//! A setting that is mistyped: what nobody can read may pause something, and makes nothing be forgotten.

use std::time::Duration;

use c1_cloudflare::base::ports::{Clock as _, Sql as _};
use serde_json::json;
use sim::cloudflare::Route;

use crate::deployment::Deployment;
use crate::jane::Jane;
use crate::looks::small;

#[tokio::test(start_paused = true)]
async fn journal_days_that_cannot_be_read_make_nothing_be_forgotten_that_they_may_be_meant_to_keep() {
    for (days, hours, is_kept) in [
        ("for ever", 600 * 24, true),
        ("4000", 600 * 24, true),
        ("3650d", 600 * 24, true),
        ("0", 600 * 24, true),
        // What is promised for eight days would be forgotten before, so that fewer than nine are nine, and no mistake.
        ("1", 204, true),
        ("1", 600 * 24, false),
        ("8", 204, true),
        ("8", 600 * 24, false),
        ("9", 204, true),
        ("9", 600 * 24, false),
        ("", 600 * 24, false),
        ("548", 600 * 24, false),
    ] {
        let jane = Jane::start().await;
        jane.deployment.set_var("JOURNAL_DAYS", days);
        assert_eq!(jane.call("PUT", &jane.lacks).await.status, 200);
        let world = jane.deployment.world();
        let then = world.now().plus_secs(-hours * 3_600);
        world.query("UPDATE operation SET received_at = ?1, settled_at = ?1", &[then.into()]).unwrap();
        world
            .query(
                "INSERT INTO ledger (at, generation, gained, principal, name, entitlement, cause)
                 SELECT ?, (SELECT MAX(generation) FROM ledger_mark), 1, printf('user:%032x', 1), 'x',
                     printf('role:%032x:member', 1), 'unknown'",
                &[then.into()],
            )
            .unwrap();
        jane.deployment.sync().await;
        let history = jane.deployment.json("/v1/history").await.to_string();
        assert_eq!(history.contains(&format!("user:{:032x}", 1)), is_kept, "{days:?} {hours}: {history}");
        let operations = jane.deployment.json("/v1/operations").await["items"].as_array().unwrap().len();
        assert_eq!(operations, usize::from(is_kept), "{days:?} {hours}");
    }
}

/// The log is read on from where it was, as long as it may be: with a gap, who is silent is not known for months.
#[tokio::test(start_paused = true)]
async fn an_audit_feed_that_is_mistyped_reads_nothing_and_forgets_nothing() {
    for (meanwhile, is_kept) in [("true", true), ("off", false)] {
        let deployment = Deployment::with(small(), |options| options.var("AUDIT_FEED", "on")).await.synced().await;
        deployment.wait(Duration::from_hours(2)).await;
        let before = deployment.json("/v1/status").await["audit_log"]["since"].clone();
        assert!(before.is_string(), "the control: {before}");
        deployment.set_var("AUDIT_FEED", meanwhile);
        deployment.sync().await;
        deployment.cloudflare.reset_log();
        deployment.wait(Duration::from_hours(1)).await;
        assert_eq!(deployment.cloudflare.requests(Route::ListAuditLogs), 0, "{meanwhile}");
        let told = deployment.json("/v1/status").await["audit_log"].clone();
        assert_eq!(told["message"], "AUDIT_FEED is off: the audit log is not read.", "{meanwhile}: {told}");
        deployment.set_var("AUDIT_FEED", "on");
        deployment.sync().await;
        deployment.wait(Duration::from_mins(5)).await;
        assert!(deployment.cloudflare.requests(Route::ListAuditLogs) > 0, "{meanwhile}");
        let log = deployment.json("/v1/status").await["audit_log"].clone();
        assert_eq!((log["since"] == before, &log["readable"]), (is_kept, &json!(true)), "{meanwhile}: {log}");
    }
}

#[tokio::test(start_paused = true)]
async fn last_logins_that_are_mistyped_read_nothing_and_forget_nothing() {
    let day = "2026-12-03T00:00:00Z";
    for (meanwhile, is_kept) in [("true", true), ("off", false)] {
        let deployment = Deployment::with(small(), |options| options.var("LAST_LOGINS", "on")).await;
        let people = deployment.cloudflare.memberships();
        let somebody = people.into_iter().find(|one| one.status == "accepted" && one.user_id.is_some()).unwrap();
        deployment.cloudflare.set_access_user(&somebody.email, Some("2026-12-03T08:00:00Z"));
        let deployment = deployment.synced().await;
        deployment.wait(Duration::from_mins(2)).await;
        deployment.sync().await;
        let path = format!("/v1/users/{}", somebody.user_id.unwrap());
        let login = async || deployment.json(&path).await["last_login"].clone();
        let logins = async || deployment.json("/v1/status").await["last_logins"].clone();
        assert_eq!(login().await, day, "the control");
        deployment.set_var("LAST_LOGINS", meanwhile);
        deployment.sync().await;
        deployment.cloudflare.reset_log();
        // Beyond the hour at which the lists would be read.
        deployment.wait(Duration::from_hours(26)).await;
        deployment.sync().await;
        let told = logins().await;
        assert_eq!(deployment.cloudflare.requests(Route::ListAccessUsers), 0, "{meanwhile}");
        assert_eq!((login().await == day, &told["readable"]), (is_kept, &json!(false)), "{meanwhile}: {told}");
        // Once it is mended they are read again within the hour; without the log, what is turned on is seen with the next day's reading.
        deployment.set_var("LAST_LOGINS", "on");
        deployment.sync().await;
        deployment.wait(if is_kept { Duration::from_mins(90) } else { Duration::from_hours(26) }).await;
        deployment.sync().await;
        assert_eq!((login().await, &logins().await["readable"]), (json!(day), &json!(true)), "{meanwhile}");
    }
}
