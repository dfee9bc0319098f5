//! That more revokes were asked for than are allowed: the status has it, and an automation of C1's hears of it.

use std::time::Duration;

use c1_cloudflare::base::ports::Sql as _;
use serde_json::json;
use sim::cloudflare::{Fault, Latency, Route};
use sim::conductorone::{Entitlement, Person, Proof, Task};

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

/// As many people in a user group, which ConductorOne takes them out of one after the other; and a connector that may do that so often within an hour.
async fn leaving(count: usize, most: usize) -> (Deployment, String, Vec<String>) {
    let most = most.to_string();
    let deployment =
        Deployment::with(small(), |options| options.var("PROVISIONING", "on").var("MAX_REMOVALS_PER_HOUR", &most))
            .await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let group = cloudflare.add_group("Operators", vec![holds(&cloudflare, &known[5])]);
    let join = |n: usize| {
        let member = cloudflare.add_member(&format!("person{n}@example.com"), vec![holds(&cloudflare, &known[0])]);
        cloudflare.join_group(&group, &member);
        member
    };
    let members: Vec<String> = (0..count).map(join).collect();
    let deployment = deployment.synced().await;
    for member in &members {
        leaves(&deployment, &group, member, member).await;
    }
    cloudflare.reset_log();
    (deployment, group, members)
}

/// Has ConductorOne take somebody out of a user group, with a token of this id.
async fn leaves(deployment: &Deployment, group: &str, member: &str, token: &str) {
    let group = Entitlement::new(&format!("group:{group}:member"), "Operators");
    let delivery = deployment.c1.task(&Task::revoke(group, person(deployment, member)));
    let answer = deployment.send_as(&delivery, token).await;
    assert!([200, 202].contains(&answer.status), "{} {}", answer.status, answer.text());
}

fn person(deployment: &Deployment, member: &str) -> Person {
    let found = deployment.cloudflare.membership(member).unwrap();
    Person::member(&found.email, found.user_id.as_deref().unwrap(), member)
}

/// How many are in the group still.
fn left(deployment: &Deployment, members: &[String]) -> usize {
    let is_left = |member: &&String| !deployment.cloudflare.membership(member).unwrap().groups.is_empty();
    members.iter().filter(is_left).count()
}

/// How many operations came to this.
async fn came_to(deployment: &Deployment, what: &str) -> usize {
    let found = deployment.json(&format!("/v1/operations?outcome={what}")).await;
    found["items"].as_array().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn revokes_that_wait_for_room_leave_the_requests_to_others_and_take_each_place_that_comes_free() {
    let (deployment, _, members) = Box::pin(leaving(40, 5)).await;
    let (begun, cloudflare) = (deployment.now(), &deployment.cloudflare);
    assert_eq!((left(&deployment, &members), came_to(&deployment, "put_off").await), (35, 35));
    deployment.wait(Duration::from_mins(10)).await;
    assert!(cloudflare.total_requests() < 5, "{} while nothing can be done", cloudflare.total_requests());
    let leaver = cloudflare.add_member("leaver@example.com", vec![holds(cloudflare, &roles(cloudflare)[0])]);
    let removal = deployment.c1.task(&Task::revoke(Entitlement::access(), person(&deployment, &leaver)));
    deployment.send_as(&removal, "removal").await;
    deployment.wait(Duration::from_mins(1)).await;
    assert!(cloudflare.membership(&leaver).is_none(), "the account of somebody who leaves");
    let mut most = 0;
    while deployment.now() < begun + 8 * 3_600 + 30 * 60 {
        let before = cloudflare.total_requests();
        deployment.wait(Duration::from_mins(5)).await;
        most = most.max(cloudflare.total_requests() - before);
    }
    assert!(most < 45, "{most} within five minutes");
    assert_eq!((left(&deployment, &members), came_to(&deployment, "put_off").await), (0, 0));
    assert_eq!(came_to(&deployment, "revoked").await, 40);
}

#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_no_revoke_that_waited_for_room_for_days_and_of_one_that_failed_for_a_day() {
    let (deployment, group, members) = Box::pin(leaving(30, 1)).await;
    deployment.wait(Duration::from_hours(25)).await;
    // It is late when their turn comes, and does not go well at once.
    deployment.cloudflare.fail_next(Route::GetMember, 2, Fault::status(503, 10_000));
    deployment.wait(Duration::from_hours(6)).await;
    deployment.cloudflare.fail_next(Route::GetMember, 2, Fault::status(503, 10_000));
    deployment.wait(Duration::from_hours(5)).await;
    assert_eq!((left(&deployment, &members), came_to(&deployment, "gave_up").await), (0, 0));
    // The control: there is room for it all the time, and it fails behind that.
    deployment.cloudflare.join_group(&group, &members[0]);
    deployment.cloudflare.fail_randomly(Route::DeleteUserGroupMember, 1.0, Fault::status(503, 10_000));
    leaves(&deployment, &group, &members[0], "failing").await;
    let place = deployment.world().query("SELECT writes FROM removal", &[]).unwrap();
    assert!(place.len() == 1 && place[0][0].integer() > Some(0), "{place:?}");
    deployment.wait(Duration::from_hours(25)).await;
    assert_eq!((left(&deployment, &members), came_to(&deployment, "gave_up").await), (1, 1));
}

/// Has ConductorOne revoke something, with a token of this id; gives the status of the answer.
async fn revokes(deployment: &Deployment, what: Entitlement, member: &str, token: &str) -> u16 {
    let task = deployment.c1.task(&Task::revoke(what, person(deployment, member)));
    deployment.send_as(&task, token).await.status
}

/// What makes it moot waits in a line of its own, and longer.
#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_no_revoke_that_had_its_turn_after_a_day_and_waits_for_what_makes_it_moot() {
    let (deployment, _, _) = Box::pin(leaving(1, 1)).await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    let gone = cloudflare.add_member("gone@example.com", vec![holds(&cloudflare, &known[0])]);
    let both = [0, 1].map(|place| holds(&cloudflare, &known[place])).to_vec();
    let jane = cloudflare.add_member("jane.doe@example.com", both);
    assert_eq!(revokes(&deployment, Entitlement::access(), &gone, "gone").await, 200);
    let [one, other] = [0, 1].map(|place| Entitlement::role(known[place].governed_as(), &known[place].name));
    for (what, token) in [(one, "one"), (other, "other"), (Entitlement::access(), "account")] {
        assert_eq!(revokes(&deployment, what, &jane, token).await, 202, "{token}");
    }
    // The places that are taken come free in 26 hours, and among the accounts in 28.
    for (count, hours) in [("access", 25), ("account", 27)] {
        let later = format!("UPDATE removal SET at = at + {hours} * 3600000 WHERE count = '{count}' AND writes > 0");
        deployment.world().query(&later, &[]).unwrap();
    }
    let own = || cloudflare.member_atoms(&jane).len();
    deployment.wait(Duration::from_hours(25)).await;
    assert_eq!((own(), came_to(&deployment, "put_off").await), (2, 3));
    deployment.wait(Duration::from_mins(150)).await;
    assert_eq!((own(), came_to(&deployment, "put_off").await), (1, 2), "that of her last role has had its turn");
    deployment.wait(Duration::from_mins(90)).await;
    assert_eq!((cloudflare.membership(&jane), came_to(&deployment, "put_off").await), (None, 0));
    assert_eq!((came_to(&deployment, "gave_up").await, came_to(&deployment, "already_revoked").await), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_a_renewal_whose_removal_meets_a_conflict_for_a_day() {
    let deployment = Deployment::with(small(), |options| {
        let options = options.var("PROVISIONING", "on").var("MAX_REMOVALS_PER_HOUR", "1");
        options.var("RENEW_INVITATIONS_AFTER_DAYS", "1")
    })
    .await;
    let deployment = deployment.synced().await;
    let grant = async |token: &'static str| {
        let task = Task::grant(Entitlement::access(), Person::newcomer("new@example.com"));
        deployment.send_as(&deployment.c1.task(&task), token).await.status
    };
    assert_eq!(grant("invited").await, 200);
    deployment.wait(Duration::from_hours(25)).await;
    deployment.cloudflare.fail_randomly(Route::DeleteMember, 1.0, Fault::status(409, 1_001));
    assert_eq!(grant("refused").await, 202);
    deployment.wait(Duration::from_hours(26)).await;
    let ended = deployment.json("/v1/operations?outcome=gave_up").await["items"].to_string();
    assert!(ended.contains("given up (Cloudflare failed: HTTP 409"), "{ended}");
    assert_eq!(deployment.world().query("SELECT operation FROM renewal", &[]).unwrap().len(), 0);
    // The control: it has left its place.
    deployment.cloudflare.clear_faults();
    assert_eq!((grant("renewed").await, came_to(&deployment, "renewed").await), (200, 1));
}

/// Jane and Jill, whose only role is revoked, in an account of so many user groups that may give them more, each of which takes a while to tell.
async fn beside_groups(count: usize) -> (Deployment, Vec<String>) {
    let deployment = Deployment::with(small(), |options| {
        let options = options.var("PROVISIONING", "on").var("MAX_REMOVALS_PER_HOUR", "1");
        options.var("LAST_ROLE", "remove_member")
    })
    .await;
    let cloudflare = deployment.cloudflare.clone();
    let known = roles(&cloudflare);
    for n in 0..count {
        cloudflare.add_group(&format!("Group {n}"), vec![holds(&cloudflare, &known[5])]);
    }
    let members = ["jane.doe@example.com", "jill.doe@example.com", "joe.doe@example.com"]
        .map(|email| cloudflare.add_member(email, vec![holds(&cloudflare, &known[0])]));
    let deployment = deployment.synced().await;
    for route in [Route::GetUserGroupMember, Route::ListUserGroupMembers] {
        cloudflare.set_route_latency(route, Latency::of(Duration::from_millis(200)));
    }
    let role = || Entitlement::role(known[0].governed_as(), &known[0].name);
    let answered = [
        revokes(&deployment, role(), &members[0], "jane").await,
        revokes(&deployment, role(), &members[1], "jill").await,
    ];
    assert_eq!(answered, [if count < 5 { 200 } else { 202 }, 202]);
    (deployment, members.to_vec())
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_to_its_write_keeps_nobody_behind_it_and_what_does_counts() {
    for (count, hours) in [(30, [[true, true, false]; 2]), (3, [[false, true, true], [false, false, true]])] {
        let (deployment, members) = Box::pin(beside_groups(count)).await;
        let status = revokes(&deployment, Entitlement::access(), &members[2], "joe").await;
        assert!([200, 202].contains(&status), "{status}");
        let there = || members.iter().map(|member| deployment.cloudflare.membership(member).is_some());
        for after in hours {
            deployment.wait(Duration::from_mins(50)).await;
            assert!(there().eq(after), "{count}: {:?}", there().collect::<Vec<_>>());
        }
        deployment.wait(Duration::from_mins(50)).await;
        assert_eq!(came_to(&deployment, "put_off").await, if count == 30 { 2 } else { 0 });
        assert_eq!(deployment.cloudflare.membership(&members[2]), None);
    }
}

#[tokio::test(start_paused = true)]
async fn gave_up_is_said_of_a_revoke_that_waited_for_room_as_long_as_conductorone_waits() {
    let (deployment, _, members) = Box::pin(leaving(2, 1)).await;
    // Somebody else's place is never free.
    deployment.world().query("UPDATE removal SET at = at + 10000000000 WHERE writes > 0", &[]).unwrap();
    deployment.wait(Duration::from_hours(7 * 24)).await;
    assert_eq!((left(&deployment, &members), came_to(&deployment, "put_off").await), (1, 1));
    deployment.wait(Duration::from_hours(24)).await;
    assert_eq!((left(&deployment, &members), came_to(&deployment, "gave_up").await), (1, 1));
    let posts = deployment.c1.callback_posts();
    assert!(posts.len() == 1 && posts[0].status == 200, "while ConductorOne waits: {posts:?}");
}

/// What she has directly and through the group: the revoke of the one waits for that of the other, which waits for its place.
#[tokio::test(start_paused = true)]
async fn a_revoke_that_waits_for_another_one_keeps_the_only_place_from_it_for_no_longer_than_an_hour() {
    let (deployment, group, members) = Box::pin(leaving(1, 1)).await;
    let (begun, cloudflare) = (deployment.now(), &deployment.cloudflare);
    let known = roles(cloudflare);
    let both = vec![holds(cloudflare, &known[0]), holds(cloudflare, &known[5])];
    let jane = cloudflare.add_member("jane.doe@example.com", both);
    cloudflare.join_group(&group, &jane);
    let role = Entitlement::role(known[5].governed_as(), &known[5].name);
    let revoke = deployment.c1.task(&Task::revoke(role, person(&deployment, &jane)));
    let answer = deployment.send_as(&revoke, "role").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    leaves(&deployment, &group, &jane, "group").await;
    let own = || cloudflare.member_atoms(&jane).len();
    let is_in = || left(&deployment, std::slice::from_ref(&jane)) == 1;
    // The place is somebody else's for an hour, and then the first one's.
    deployment.wait(Duration::from_mins(55)).await;
    assert_eq!((left(&deployment, &members), own(), is_in()), (0, 2, true));
    deployment.wait(Duration::from_mins(55)).await;
    assert_eq!((own(), is_in(), came_to(&deployment, "put_off").await), (1, true, 2));
    while deployment.now() < begun + 2 * 3_600 + 10 * 60 {
        deployment.wait(Duration::from_mins(1)).await;
    }
    assert_eq!((own(), is_in(), came_to(&deployment, "put_off").await), (1, false, 0));
    assert_eq!(came_to(&deployment, "revoked").await, 3);
}

#[tokio::test(start_paused = true)]
async fn revokes_that_wait_for_room_are_called_off_by_provisioning_off_and_by_a_cap_of_0() {
    for (variable, value, code) in
        [("PROVISIONING", "off", "provisioning_off"), ("MAX_REMOVALS_PER_HOUR", "0", "removal_cap")]
    {
        let (deployment, _, members) = Box::pin(leaving(12, 2)).await;
        deployment.wait(Duration::from_mins(5)).await;
        let incidents = deployment.json("/v1/status").await["incidents"].clone();
        assert_eq!(incidents[0]["kind"], json!("removal_cap"), "{incidents}");
        let message = incidents[0]["message"].as_str().unwrap();
        assert!(message.contains("MAX_REMOVALS_PER_HOUR at 0") && message.contains("within 15 minutes"), "{message}");
        assert_eq!(came_to(&deployment, "put_off").await, 10, "the control");
        deployment.set_var(variable, value);
        deployment.cloudflare.reset_log();
        deployment.wait(Duration::from_secs(15 * 60 + 30)).await;
        assert_eq!((came_to(&deployment, "put_off").await, came_to(&deployment, code).await), (0, 10));
        assert_eq!((left(&deployment, &members), deployment.cloudflare.requests(Route::GetMember)), (10, 0));
    }
}
