//! A write that Cloudflare carries out late.

use serde_json::Value;
use sim::cloudflare::{Fault, Route};

use crate::deployment::{PATIENCE, roles};
use crate::jane::{EMAIL, Jane, assert_done};

/// A late write in the real runtime: the alarm looks for it and puts right what it undid.
#[tokio::test]
async fn a_write_that_comes_late_is_put_right_by_the_alarm() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::Held);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    let third = roles(&jane.deployment.cloudflare)[4].clone();
    assert_done(&jane.call("PUT", &third).await, "granted");
    assert_eq!(jane.deployment.cloudflare.release_held(), 1);
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    // It may be a read that is behind for a minute.
    let patience = 3 * PATIENCE;
    let found = |status: &Value| status["incidents"][0]["kind"] == "late_write";
    let status = jane.deployment.wait_for("/v1/status", patience, found).await.unwrap();
    assert_eq!(status["incidents"][0]["email"], EMAIL, "{status}");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&third)], &[]);
}
