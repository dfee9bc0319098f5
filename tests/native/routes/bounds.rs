//! What one operation may cost before it is given up.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::Value;
use sim::cloudflare::{Fault, Route};
use sim::conductorone::{Entitlement, Person, Task};

use crate::calls::{NEWCOMER, invited};
use crate::jane::{EMAIL, Jane};

/// Has a grant cost this many requests by the time of its second attempt, which fails as the first one did.
async fn after(requests: i64) -> (Jane, String) {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::GetMember, 2, Fault::status(503, 10_000));
    let entitlement = Entitlement::role(jane.lacks.governed_as(), &jane.lacks.name);
    let task = Task::grant(entitlement, Person::member(EMAIL, &jane.user, &jane.member));
    let delivery = jane.deployment.c1.task(&task);
    assert_eq!(jane.deployment.deliver(&delivery, "one").await.status, 202);
    jane.deployment.world().query("UPDATE spent SET requests = ?", &[requests.into()]).unwrap();
    jane.deployment.wait(Duration::from_mins(1)).await;
    let told = jane.deployment.c1.callback(&delivery, Duration::from_secs(1)).await.unwrap_or(Value::Null);
    (jane, told.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_given_up_after_3000_requests_whatever_its_tries() {
    let (jane, told) = Box::pin(after(3_000)).await;
    assert!(told.contains("errored") && told.contains("3000 requests"), "{told}");
    jane.changed(&[], &[]);
    let (jane, told) = Box::pin(after(2_000)).await;
    assert!(told.contains("complete"), "{told}");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test(start_paused = true)]
async fn what_has_to_bring_an_invitation_back_is_not_given_up_for_its_requests() {
    let (deployment, old) = Box::pin(invited()).await;
    deployment.cloudflare.fail_next(Route::CreateMember, 2, Fault::status(503, 10_000));
    let answer = deployment.request("POST", &format!("/v1/invitations/{old}/renew"), &[], None).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_none(), "it was taken away");
    deployment.world().query("UPDATE spent SET requests = 3000", &[]).unwrap();
    deployment.wait(Duration::from_mins(3)).await;
    assert!(deployment.cloudflare.membership_of(NEWCOMER).is_some());
}
