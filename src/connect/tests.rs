//! Runs against the simulated tenant, cut off at every request.

use crate::base::tree::BTreeMap;

use futures::executor::block_on;
use serde_json::{Value, json};
use sim::conductorone::{App, Credential, Entitlement, Person};

use super::run::{Phase, RunState, What};
use super::{Options, Within, begin, connected_apps, drive, missing, next_due, report, running, summary};
use crate::base::ports::{Clock as _, Sql as _};
use crate::base::rows;
use crate::base::settings::Plan;
use crate::conductorone::Settings;
use crate::conductorone::api::Tokens;
use crate::conductorone::api::desk::{Cut, TenantDesk, settings};
use crate::conductorone::settings::PublicUrl;
use crate::model::resource::{Group, Member, MemberStatus, Role, Row};
use crate::snapshot::{self, Draft, Naming};

/// What is wired besides the account: four roles, one that comes after the one that is left alone, and a user group.
const WIRED: usize = 6;

struct ConnectCase {
    ports: TenantDesk,
    settings: Settings,
    entitlements: Vec<Entitlement>,
}

impl ConnectCase {
    fn new() -> Self {
        let ports = TenantDesk::new();
        let mut entitlements: Vec<Entitlement> =
            (0..WIRED - 2).map(|n| Entitlement::role(&format!("{n:032x}"), &format!("Role {n}"))).collect();
        entitlements.push(Entitlement::access());
        ports.c1.add_app(&App::default(), &entitlements);
        // Set up on purpose, and left alone: said once as well.
        let custom = Entitlement::role(&format!("{:032x}", 99), "Custom");
        ports.c1.add_entitlement(&App::default(), &custom);
        ports.c1.set_policies(&custom.id, &json!({ "externalTicket": {} }), &Value::Null);
        entitlements.insert(2, Entitlement::role(&format!("{:032x}", 98), "Role 98"));
        ports.c1.add_entitlement(&App::default(), &entitlements[2]);
        let github = App { id: "2GitHub".into(), display_name: "GitHub".into() };
        ports.c1.add_app(&github, &[Entitlement::new("repo:1:admin", "Repository Admin")]);
        let group = publish_group(&ports);
        entitlements.push(Entitlement::new(&format!("group:{group}:member"), "Engineers Member"));
        ports.c1.add_entitlement(&App::default(), &entitlements[WIRED]);
        let credential: Credential = ports.c1.plain_credential("otter");
        let settings = settings(&credential);
        Self { ports, settings, entitlements }
    }

    fn within(&self, units: u32) -> Within {
        Within { units, until: self.ports.now().plus_secs(600) }
    }

    /// Carries the run on as a new isolate does: nothing is in memory. Gives whether it was cut off.
    async fn carry_on(&self) -> bool {
        let tokens = Tokens::default();
        tokio::select! {
            biased;
            ended = drive(&self.ports, &self.settings, &tokens, self.within(1_000)) => {
                ended.unwrap();
                false
            }
            () = self.ports.cut_off.notified() => true,
        }
    }

    fn policies(&self) -> Vec<(Value, Value)> {
        self.entitlements.iter().map(|entitlement| self.ports.c1.policies(&entitlement.id)).collect()
    }
}

/// The last sync found the roles and a user group, by which the account's app is known; gives the group's id.
fn publish_group(ports: &TenantDesk) -> String {
    let id = |n: u32| format!("{n:032x}");
    let role = |n| {
        Row::Role(Role {
            id: id(n).parse().unwrap(),
            name: format!("Role {n}"),
            description: None,
            permission_group: None,
            label: None,
            ends: None,
        })
    };
    let group = Row::Group(Group { id: id(77).parse().unwrap(), name: "Engineers".to_owned(), atoms: Vec::new() });
    let jane = Member {
        user_id: id(41).parse().ok(),
        ..Member::bare(id(42).parse().unwrap(), "jane@example.com".to_owned(), MemberStatus::Accepted)
    };
    let rows: BTreeMap<String, Row> = [0, 1, 2, 3, 98, 99]
        .map(role)
        .into_iter()
        .chain([group, Row::User(jane)])
        .map(|row| (row.key(), row))
        .collect();
    let draft = Draft {
        account_id: ports.desk.account(),
        started_at: ports.now(),
        posture: crate::snapshot::Posture::default(),
        capabilities: BTreeMap::default(),
        naming: Naming::default(),
        previous: None,
    };
    snapshot::init(&ports.desk).unwrap();
    block_on(snapshot::publish(&ports.desk, draft, rows.into_values())).unwrap();
    id(77)
}

/// Runs with a cut at the request after `n` more, and to its end after that; gives whether it was cut off at all.
async fn run(world: &ConnectCase, options: Options, n: u32, cut: Cut) -> bool {
    begin(&world.ports, options, "api").unwrap().unwrap();
    world.ports.cut.set(Some((n, cut)));
    let was_cut = world.carry_on().await;
    world.ports.cut.set(None);
    assert!(!world.carry_on().await);
    let report = report(&world.ports.desk, 0).unwrap().unwrap();
    assert_eq!(report.state, RunState::Done, "cut {cut:?} request {n}: {report:?}");
    was_cut
}

#[tokio::test]
async fn a_run_that_is_cut_off_at_any_request_ends_as_if_nothing_had_been() {
    for cut in [Cut::Before, Cut::After] {
        let mut n = 0;
        loop {
            let world = ConnectCase::new();
            let before = world.policies();
            let was_cut = run(&world, Options::default(), n, cut).await;
            let (id, _, _) = world.ports.c1.webhooks().pop().unwrap();
            assert_eq!(world.ports.c1.webhooks().len(), 1, "cut {cut:?} request {n}");
            let policy = json!({ "webhook": { "webhookId": id } });
            assert!(
                world.policies().iter().all(|(to, from)| *to == policy && *from == policy),
                "cut {cut:?} request {n}"
            );
            let told = report(&world.ports.desk, 0).unwrap().unwrap();
            assert_eq!(told.entitlements.changed as usize, WIRED + 1, "cut {cut:?} request {n}: {told:?}");
            let changed = told.lines.iter().filter(|line| line.what == What::Changed).count();
            assert_eq!(
                changed,
                WIRED + 2,
                "each change is told once, and the webhook: cut {cut:?} request {n}: {told:?}"
            );

            let left = told.lines.iter().filter(|line| line.what == What::Left).count();
            assert_eq!(left, 1, "what is left alone is told once: cut {cut:?} request {n}: {told:?}");

            assert_eq!(connected_apps(&world.ports.desk).unwrap().len(), 1, "its tasks are taken from now on");

            run(&world, Options { undo: true, ..Options::default() }, n, cut).await;
            assert_eq!(
                connected_apps(&world.ports.desk).unwrap(),
                [App::default().id],
                "no other app's tasks are taken: cut {cut:?} request {n}"
            );
            assert_eq!(summary(&world.ports.desk).unwrap().unwrap().app, None, "it is connected no more");
            assert_eq!(world.policies(), before, "cut {cut:?} request {n}");
            assert!(world.ports.c1.webhooks().is_empty(), "cut {cut:?} request {n}");
            if !was_cut {
                break;
            }
            n += 1;
        }
        assert!(n > 15, "there were {n} requests to be cut off at");
    }
}

#[tokio::test]
async fn undo_leaves_a_webhook_that_was_there_before_or_is_used_by_somebody_else_or_that_approvals_came_by() {
    for (was_there, is_used, serves) in
        [(false, false, false), (true, false, false), (false, true, false), (false, false, true)]
    {
        let world = ConnectCase::new();
        if was_there {
            world.ports.c1.add_webhook("By hand", "https://connector.example.com/webhooks/conductorone");
        }
        run(&world, Options::default(), u32::MAX, Cut::Before).await;
        let (id, _, _) = world.ports.c1.webhooks().pop().unwrap();
        if is_used {
            let theirs = Entitlement::new("theirs", "Somebody else's");
            world.ports.c1.add_entitlement(&App::default(), &theirs);
            world.ports.c1.set_policies(&theirs.id, &json!({ "webhook": { "webhookId": id } }), &Value::Null);
        }
        if serves {
            super::came_by(&world.ports.desk, "approvals").unwrap();
        }
        run(&world, Options { undo: true, ..Options::default() }, u32::MAX, Cut::Before).await;
        let stays = !world.ports.c1.webhooks().is_empty();
        // ConductorOne would not delete what is in use; it is not asked to.
        let told = serde_json::to_string(&report(&world.ports.desk, 0).unwrap().unwrap()).unwrap();
        assert_eq!(told.contains("pointed at it by somebody else"), is_used, "{told}");
        assert_eq!(stays, was_there || is_used || serves, "there: {was_there}, used: {is_used}, serves: {serves}");
    }
}

#[tokio::test]
async fn undo_leaves_a_webhook_that_approvals_began_to_come_by_while_it_looked_who_else_uses_it() {
    for serves in [true, false] {
        let world = ConnectCase::new();
        run(&world, Options::default(), u32::MAX, Cut::Before).await;
        begin(&world.ports, Options { undo: true, ..Options::default() }, "api").unwrap().unwrap();
        let tokens = Tokens::default();
        while !matches!(running(&world.ports.desk).unwrap().unwrap().phase, Phase::Delete) {
            drive(&world.ports, &world.settings, &tokens, world.within(1)).await.unwrap();
        }
        if serves {
            super::came_by(&world.ports.desk, "approvals").unwrap();
        }
        assert!(!world.carry_on().await);
        let told = report(&world.ports.desk, 0).unwrap().unwrap();
        assert_eq!(told.state, RunState::Done, "{told:?}");
        assert_eq!(world.ports.c1.webhooks().is_empty(), !serves, "{told:?}");
        assert_eq!(told.lines.iter().any(|line| line.text.contains("approvals came by it")), serves, "{told:?}");
    }
}

/// Each address that the Worker is reached at has a webhook of its own.
#[tokio::test]
async fn undo_takes_away_every_webhook_that_was_created_here_wherever_the_worker_was_reached() {
    for (by_hand, returns) in [(false, false), (false, true), (true, false)] {
        let mut world = ConnectCase::new();
        let first = world.settings.public_url.clone();
        let other = "https://other.example.com";
        if by_hand {
            world.ports.c1.add_webhook("By hand", &format!("{other}/webhooks/conductorone"));
        }
        run(&world, Options::default(), u32::MAX, Cut::Before).await;
        world.settings.public_url = Some(PublicUrl::parse(other).unwrap());
        run(&world, Options::default(), u32::MAX, Cut::Before).await;
        assert_eq!(world.ports.c1.webhooks().len(), 2);
        if returns {
            world.settings.public_url = first;
            run(&world, Options::default(), u32::MAX, Cut::Before).await;
        }
        run(&world, Options { undo: true, ..Options::default() }, u32::MAX, Cut::Before).await;
        let left = world.ports.c1.webhooks();
        assert_eq!(left.len(), usize::from(by_hand), "by hand: {by_hand}, returns: {returns}, {left:?}");
        let told = serde_json::to_string(&report(&world.ports.desk, 0).unwrap().unwrap()).unwrap();
        assert_eq!(told.contains("was there before"), by_hand, "{told}");
        assert_eq!(told.matches("is deleted").count(), 2 - usize::from(by_hand), "{told}");
    }
}

#[tokio::test]
async fn what_one_entitlement_was_by_a_newer_version_stops_no_other_from_being_put_back() {
    for change in ["version = 2", "provisioner = '{\"v\":2'"] {
        let world = ConnectCase::new();
        let before = world.policies();
        run(&world, Options::default(), u32::MAX, Cut::Before).await;
        let one = "(SELECT MIN(entitlement) FROM connect_saved)";
        let odd = format!("UPDATE connect_saved SET {change} WHERE entitlement = {one} RETURNING entitlement");
        let odd = world.ports.desk.query(&odd, &[]).unwrap()[0][0].text().unwrap().to_owned();
        begin(&world.ports, Options { undo: true, ..Options::default() }, "api").unwrap().unwrap();
        assert!(!world.carry_on().await);
        let told = report(&world.ports.desk, 0).unwrap().unwrap();
        assert_eq!((told.state, told.entitlements.failed), (RunState::Failed, 1), "{told:?}");
        assert!(told.lines.iter().any(|line| line.what == What::Failed && line.text.contains("cannot read")));
        assert_eq!(world.ports.c1.webhooks().len(), 1, "it is still in use");
        for (entitlement, (before, now)) in world.entitlements.iter().zip(before.iter().zip(world.policies())) {
            assert_eq!(*before == now, entitlement.id != odd, "{entitlement:?}");
        }
        let set_aside = rows::counts(&world.ports.desk).unwrap();
        assert_eq!((set_aside[0].table.as_str(), set_aside[0].rows), ("connect_saved", 1));
    }
}

#[tokio::test]
async fn an_app_without_a_group_or_scoped_role_is_known_by_a_membership_id_and_by_no_user_id() {
    let jane =
        |member: u32, user: u32| Person::member("jane@example.com", &format!("{user:032x}"), &format!("{member:032x}"));
    for (person, is_known) in [(Some(jane(42, 41)), true), (Some(jane(43, 41)), false), (None, false)] {
        let world = ConnectCase::new();
        world.ports.c1.remove_entitlement(&world.entitlements[WIRED].id);
        // Another account's, which has the same roles, and whose first page of people is full.
        let staging = App { id: "2Staging".into(), display_name: "Cloudflare (staging)".into() };
        world.ports.c1.add_app(&staging, &[Entitlement { id: "2StagingRole".into(), ..world.entitlements[0].clone() }]);
        for n in 0..120_u32 {
            let email = format!("person{n}@example.com");
            let somebody = Person::member(&email, &format!("{:032x}", 2_000 + n), &format!("{:032x}", 1_000 + n));
            world.ports.c1.add_account(&staging, &somebody);
            world.ports.c1.add_account(&App::default(), &somebody);
        }
        if let Some(person) = person {
            world.ports.c1.add_account(&App::default(), &person);
        }
        begin(&world.ports, Options::default(), "api").unwrap().unwrap();
        assert!(!world.carry_on().await);
        let report = report(&world.ports.desk, 0).unwrap().unwrap();
        if is_known {
            assert_eq!((report.state, report.app.unwrap().id), (RunState::Done, App::default().id));
        } else {
            let message = report.message.unwrap();
            assert_eq!(report.state, RunState::Failed, "{message}");
            assert!(message.contains("let ConductorOne sync the account first"), "{message}");
            assert!(world.ports.c1.webhooks().is_empty(), "nothing is changed on a guess");
        }
    }
}

#[tokio::test]
async fn an_invocation_does_so_much_and_the_next_one_goes_on() {
    let world = ConnectCase::new();
    begin(&world.ports, Options::default(), "api").unwrap().unwrap();
    assert_eq!(begin(&world.ports, Options::default(), "api"), Ok(None), "one at a time");
    let (mut invocations, tokens) = (0, Tokens::default());
    while next_due(&world.ports.desk).unwrap().is_some() {
        let before = world.ports.c1.api_requests().len();
        drive(&world.ports, &world.settings, &tokens, world.within(3)).await.unwrap();
        let requests = world.ports.c1.api_requests().len() - before;
        assert!(requests <= 3 * 2 + 1, "{requests}");
        invocations += 1;
        assert!(invocations < 50);
    }
    assert!(invocations > 3);
    assert_eq!(running(&world.ports.desk).unwrap(), None);
    let Within { units, .. } = Within::of(Plan::Free, world.ports.now());
    assert!(units * 3 < 50, "within the Free plan's outgoing requests");
}

#[tokio::test]
async fn what_fails_for_long_is_given_up_with_the_reason() {
    for route in ["GET /api/v1/apps", "POST /api/v1/webhooks"] {
        let world = ConnectCase::new();
        world.ports.c1.fail_api(route, sim::conductorone::ApiFault::Status(503), None);
        begin(&world.ports, Options::default(), "api").unwrap().unwrap();
        assert!(!world.carry_on().await);
        let last = summary(&world.ports.desk).unwrap().unwrap().last_run;
        assert_eq!(last.state, RunState::Failed, "{route}");
        assert!(last.message.unwrap().contains("503"), "{route}");
        let asked = world.ports.c1.api_requests().iter().filter(|request| request.status == 503).count();
        assert_eq!(asked, 8, "{route}");
    }
}

/// A list whose page tokens go round in circles, say, has no end.
#[tokio::test]
async fn a_run_that_does_not_come_to_its_end_is_ended_and_the_next_one_begins() {
    let world = ConnectCase::new();
    begin(&world.ports, Options::default(), "api").unwrap().unwrap();
    world.ports.ahead_secs.set(6 * 60 * 60 - 60);
    drive(&world.ports, &world.settings, &Tokens::default(), world.within(1)).await.unwrap();
    assert!(running(&world.ports.desk).unwrap().is_some(), "not yet");
    world.ports.ahead_secs.set(6 * 60 * 60 + 60);
    drive(&world.ports, &world.settings, &Tokens::default(), world.within(1)).await.unwrap();
    let last = summary(&world.ports.desk).unwrap().unwrap().last_run;
    assert_eq!(last.state, RunState::Failed);
    assert!(last.message.unwrap().contains("six hours"));
    begin(&world.ports, Options::default(), "api").unwrap().unwrap();
    assert!(!world.carry_on().await);
    assert_eq!(summary(&world.ports.desk).unwrap().unwrap().last_run.state, RunState::Done);
}

#[test]
fn how_far_a_run_of_an_earlier_version_looked_into_apps_is_read() {
    let read = serde_json::from_value::<Phase>(json!({ "examine": { "left": [], "found": [] } }));
    assert_eq!(read.unwrap(), Phase::examine(Vec::new(), None, None));
}

#[tokio::test]
async fn what_is_missing_in_c1_cannot_be_told_from_a_generation_that_is_gone() {
    let world = ConnectCase::new();
    assert!(missing(&world.ports, "20261123T100000Z-7f3a09c1").await.is_err());
}
