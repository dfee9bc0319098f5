//! That more revokes were asked for than are allowed: the status has it, and an automation of C1's hears of it.

use std::time::Duration;

use sim::cloudflare::{Latency, Route};
use sim::conductorone::Proof;

use crate::deployment::Deployment;
use crate::looks::{holds, roles, small};

const TOKEN: &str = "capability-of-the-tests";

#[tokio::test(start_paused = true)]
async fn a_cap_that_is_reached_is_told_by_the_status_and_by_one_signal_within_the_hour() {
    let url = format!("https://{}/api/v1/webhooks/incoming/listener/t/{TOKEN}", sim::conductorone::HOST);
    let deployment = Deployment::with(small(), |options| {
        let options = options.var("SIGNAL_URL", &url).var("SIGNALS", "removal_cap_reached");
        options.var("PROVISIONING", "on").var("MAX_REMOVALS_PER_HOUR", "2")
    })
    .await;
    deployment.c1.listen("listener", Proof::Capability(TOKEN.to_owned()));
    let cloudflare = &deployment.cloudflare;
    let known = roles(cloudflare);
    let member = cloudflare
        .add_member("jane.doe@example.com", known.iter().take(9).map(|role| holds(cloudflare, role)).collect());
    let deployment = deployment.synced().await;
    let user = deployment.cloudflare.membership(&member).unwrap().user_id.unwrap();
    let revoke = async |place: usize| {
        let path = format!("/v1/roles/{}/members/{user}", known[place].governed_as());
        deployment.request("DELETE", &path, &[], None).await.status
    };
    for (place, status) in [(0, 200), (1, 200)] {
        assert_eq!(revoke(place).await, status);
    }
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(deployment.c1.events().len(), 0, "nobody was kept waiting yet");
    assert_eq!((revoke(2).await, revoke(3).await), (429, 429));
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(revoke(3).await, 429);
    deployment.wait(Duration::from_mins(2)).await;
    let events = deployment.c1.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["event"], &event["email"]), (&"removal_cap_reached".into(), &"jane.doe@example.com".into()));
    assert!(event["message"].as_str().unwrap().contains("MAX_REMOVALS_PER_HOUR allows 2"), "{event}");
    let answer = deployment.request("GET", "/v1/status", &[], None).await.json();
    let incident = &answer["incidents"][0];
    assert_eq!((&incident["kind"], &incident["operation"]), (&"removal_cap".into(), &event["operation"]));

    // An hour later there is room again, and it is told again when there is none.
    deployment.wait(Duration::from_hours(1)).await;
    assert_eq!((revoke(2).await, revoke(3).await, revoke(4).await), (200, 200, 429));
    deployment.wait(Duration::from_mins(2)).await;
    assert_eq!(deployment.c1.events().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_cut_off_before_anything_is_written_takes_up_no_place() {
    let deployment =
        Deployment::with(small(), |options| options.var("PROVISIONING", "on").var("MAX_REMOVALS_PER_HOUR", "1")).await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let members = ["jane.doe@example.com", "joe.doe@example.com", "jim.doe@example.com"]
        .map(|email| cloudflare.add_member(email, vec![holds(&cloudflare, &known[0])]));
    let deployment = deployment.synced().await;
    let remove = async |place: usize| {
        let user = deployment.cloudflare.membership(&members[place]).unwrap().user_id.unwrap();
        deployment.request("DELETE", &format!("/v1/accounts/user:{user}"), &[], None).await.status
    };
    // What the guards ask once there is a place takes longer than anybody waits.
    cloudflare.set_route_latency(Route::ListUserGroups, Latency::of(Duration::from_secs(25)));
    assert_eq!(remove(0).await, 503);
    cloudflare.set_route_latency(Route::ListUserGroups, Latency::default());
    deployment.wait(Duration::from_mins(1)).await;
    assert_eq!(cloudflare.requests(Route::DeleteMember), 0);
    assert_eq!(remove(1).await, 200);
    assert_eq!(remove(2).await, 429, "that one was carried out");
}
