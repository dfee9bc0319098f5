//! The ledger against a model: a random history of the account, with kills and lost values between, and who held what at every past
//! instant.

use std::collections::BTreeSet;

use c1_cloudflare::base::ports::{Clock as _, Sql as _, SqlValue};
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::ledger::past::{self, Filter, Question};
use c1_cloudflare::ledger::{self};
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::snapshot::{self, GenerationId};
use sim::cloudflare::{PolicySpec, Spec};

use crate::looks::{holds, roles};
use crate::support::World;

type Grants = BTreeSet<String>;

/// Who holds what now, as a generation says it.
async fn now(world: &World) -> (GenerationId, Vec<(String, String, String)>) {
    let snapshot = snapshot::latest(world).await.unwrap().unwrap();
    let mut held = Vec::new();
    snapshot
        .each(world, Kind::HOLDERS, |row| {
            let name = row.as_member().map_or_else(|| row.display_name(), |member| member.email.clone());
            let grants = snapshot.manifest().grants_of(&row);
            held.extend(grants.into_iter().map(|(it, who)| (who.to_string(), name.clone(), it.to_string())));
        })
        .await
        .unwrap();
    (snapshot.manifest().generation.clone(), held)
}

async fn as_of(world: &World, at: Timestamp, person: Option<&str>, entitlement: Option<&str>) -> Grants {
    let (generation, mut held) = now(world).await;
    let mut question = Question::of_all(at, generation);
    question.person = person.map(str::to_owned);
    question.entitlements = entitlement.map(|it| vec![it.parse().unwrap()]);
    let has = held.iter().filter(|(_, name, _)| person == Some(name)).map(|(who, ..)| who.clone());
    question.principals = has.collect();
    let people = past::people(world, person, &question.principals).unwrap();
    held.retain(|(who, _, what)| (person.is_none() || people.contains(who)) && entitlement.is_none_or(|it| what == it));
    let facts = past::facts(world, &question, &people, 100_000).unwrap();
    let names = past::names_then(world, &question, &people, 100_000).unwrap();
    past::as_of(held, facts, names).into_iter().map(|held| format!("{}:{}", held.entitlement, held.principal)).collect()
}

fn same(told: &Grants, so: &Grants, when: &str) {
    let (more, less): (Vec<_>, Vec<_>) = (told.difference(so).collect(), so.difference(told).collect());
    assert!(more.is_empty() && less.is_empty(), "{when}: told and not so {more:?}, so and not told {less:?}");
}

fn count(world: &World, table: &str) -> i64 {
    world.one(&format!("SELECT COUNT(*) FROM {table}"), &[]).unwrap().as_ref().and_then(SqlValue::integer).unwrap()
}

/// One random change of the account.
fn change(world: &World, rng: &mut fastrand::Rng, step: usize) {
    let account = &world.cloudflare;
    let (known, people) = (roles(account), account.memberships());
    let policy = |rng: &mut fastrand::Rng| -> PolicySpec { holds(account, &known[rng.usize(..known.len())]) };
    let somebody = people[rng.usize(..people.len())].id.clone();
    let groups: Vec<String> =
        account.truth().groups.keys().map(|group| group.trim_start_matches("group:").to_owned()).collect();
    if let (Some(group), 0..4) = (groups.get(rng.usize(..groups.len().max(1))), rng.u8(..14)) {
        return match rng.u8(..4) {
            0 => account.join_group(group, &somebody),
            1 => account.leave_group(group, &somebody),
            2 => account.set_group_policies(group, vec![policy(rng), policy(rng)]),
            _ => drop(account.add_group(&format!("Group {step}"), vec![policy(rng)])),
        };
    }
    match rng.u8(..11) {
        10 => account.change_email(&somebody, &format!("called{step}@example.com")),
        0..4 => account.add_policy(&somebody, policy(rng)),
        4..7 => account.set_policies(&somebody, vec![policy(rng), policy(rng)]),
        7 => drop(account.add_member(&format!("new{step}@example.com"), vec![policy(rng)])),
        8 => drop(account.invite(&format!("asked{step}@example.com"), vec![policy(rng)])),
        _ => {
            let pending = people.iter().find(|one| one.status == "pending").map(|one| one.id.clone());
            match pending.filter(|_| rng.bool()) {
                Some(pending) => drop(account.accept_invitation(&pending)),
                None => account.remove_member(&somebody),
            }
        }
    }
}

#[tokio::test]
async fn as_of_every_past_instant_the_ledger_says_what_was_so_with_kills_and_lost_generations_between() {
    for seed in 0..3 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let world = World::new(Spec { members: 30, roles: 12, groups: 2, zones: 2, ..Spec::default() });
        world.sync().await;
        // The account at each instant: its grants, and the address of each person.
        let so = || {
            let people = world.cloudflare.memberships().into_iter();
            let addresses: Vec<_> = people.filter_map(|one| Some((one.user_id?, one.email))).collect();
            (world.now(), world.cloudflare.truth().grants, addresses)
        };
        let mut model = vec![so()];
        assert_eq!(count(&world, "ledger"), 0, "a first generation costs no row a grant");
        assert_eq!(count(&world, "ledger_mark"), 1);
        world.advance(900);
        for step in 0..14 {
            for _ in 0..rng.usize(1..4) {
                change(&world, &mut rng, step);
            }
            // Killed anywhere, some times, and carried on.
            c1_cloudflare::sync::begin(
                &world,
                &world.config.cloudflare,
                c1_cloudflare::sync::Trigger { by: "test".to_owned(), accept_removals: true },
            )
            .unwrap();
            for _ in 0..rng.usize(..4) {
                if !world.cut_off_at(rng.u64(1..60)).await {
                    break;
                }
            }
            world.finish().await;
            model.push(so());
            world.advance(900);
            // An old generation is lost, or damaged.
            let keys: Vec<String> =
                world.desk.values.borrow().keys().filter(|key| key.contains("manifest/")).cloned().collect();
            if step % 4 == 3 && keys.len() > 3 {
                let mut values = world.desk.values.borrow_mut();
                values.remove(&keys[0]);
                values.insert(keys[1].clone(), b"damaged".to_vec());
            }
        }
        for (place, (at, grants, addresses)) in model.iter().enumerate() {
            same(&as_of(&world, *at, None, None).await, grants, &format!("seed {seed}, instant {place}"));
            let next = model.get(place + 1).map_or(world.now(), |(next, ..)| *next);
            let later = Timestamp::from_millis(i64::midpoint(at.millis(), next.plus_secs(-60).millis()));
            same(&as_of(&world, later.max(*at), None, None).await, grants, &format!("seed {seed}, after {place}"));
            let one = grants.iter().nth(rng.usize(..grants.len())).unwrap();
            let (entitlement, principal) = one.split_once(":member:").unwrap();
            let entitlement = format!("{entitlement}:member");
            let of = |all: &Grants, part: &str, end: bool| -> Grants {
                all.iter().filter(|it| if end { it.ends_with(part) } else { it.starts_with(part) }).cloned().collect()
            };
            assert_eq!(as_of(&world, *at, Some(principal), None).await, of(grants, principal, true), "{principal}");
            // By the address that somebody had then, whatever it is now.
            for (user, email) in addresses {
                let (told, hers) =
                    (as_of(&world, *at, Some(email), None).await, of(grants, &format!(":user:{user}"), true));
                assert!(told.is_superset(&hers), "{email}, instant {place}: {told:?} lacks some of {hers:?}");
            }
            assert_eq!(
                as_of(&world, *at, None, Some(&entitlement)).await,
                of(grants, &entitlement, false),
                "{entitlement}"
            );
        }
        // Each change is in the history, and a person's alone in hers.
        let all = past::history(&world, &Filter::default(), 10_000).unwrap();
        assert_eq!(i64::try_from(all.len()).unwrap(), count(&world, "ledger"));
        let person = all[0]["principal"].as_str().unwrap().to_owned();
        let hers =
            past::history(&world, &Filter { person: Some(person.clone()), ..Filter::default() }, 10_000).unwrap();
        assert!(!hers.is_empty() && hers.iter().all(|change| change["principal"] == person.as_str()));
    }
}

/// The mark says that the ledger has a generation: it does not stand alone, or what changed with that one would be gone without a gap.
#[tokio::test]
async fn a_statement_that_fails_leaves_no_generation_without_its_changes() {
    for statement in ["INSERT INTO ledger (", "INSERT INTO former_name"] {
        let world = World::new(Spec { members: 12, ..Spec::default() });
        world.sync().await;
        let jane = world.cloudflare.memberships().into_iter().find(|one| one.status == "accepted").unwrap();
        let role = roles(&world.cloudflare).into_iter().last().unwrap();
        world.cloudflare.add_policy(&jane.id, holds(&world.cloudflare, &role));
        world.cloudflare.change_email(&jane.id, "other.name@example.com");
        world.advance(900);
        world.sql_faults.replace(Some((statement.to_owned(), 1)));
        world.sync().await;
        world.advance(900);
        world.sync().await;
        assert_eq!(world.sql_faults.borrow().as_ref().unwrap().1, 0, "{statement}: it failed once");
        let told = world.query("SELECT 1 FROM ledger WHERE gained = 1", &[]).unwrap();
        assert_eq!((told.len(), count(&world, "former_name")), (1, 1), "{statement}");
        let gaps = world.query("SELECT 1 FROM ledger_mark WHERE kind = 'gap'", &[]).unwrap();
        assert!(gaps.is_empty(), "{statement}");
    }
}

#[tokio::test]
async fn what_lies_back_too_far_is_forgotten_and_the_ledger_says_where_it_begins() {
    let world = World::new(Spec { members: 5, roles: 12, ..Spec::default() });
    world.sync().await;
    let begin = past::reach(&world, None).unwrap().begins_at.unwrap();
    let somebody = world.cloudflare.memberships()[0].id.clone();
    let known = roles(&world.cloudflare);
    let mut middle = world.now();
    for (n, role) in known[..4].iter().enumerate() {
        world.cloudflare.set_policies(&somebody, vec![holds(&world.cloudflare, role)]);
        world.sync().await;
        if n == 1 {
            middle = world.now();
        }
    }
    let truth = world.cloudflare.truth().grants;
    let then = as_of(&world, middle, None, None).await;
    let before = count(&world, "ledger");
    ledger::purge(&world, begin, None).unwrap();
    assert_eq!(count(&world, "ledger"), before, "nothing is older");
    ledger::purge(&world, middle, None).unwrap();
    let after = count(&world, "ledger");
    assert!(after < before && after > 0, "{after} of {before}");
    assert_eq!(past::reach(&world, None).unwrap().begins_at, Some(middle));
    assert_eq!(as_of(&world, middle, None, None).await, then);
    assert_eq!(as_of(&world, world.now(), None, None).await, truth);
    // The newest generation's mark stays: the next difference is one.
    ledger::purge(&world, world.now().plus_secs(10), None).unwrap();
    world.cloudflare.set_policies(&somebody, vec![holds(&world.cloudflare, &known[5])]);
    world.sync().await;
    assert_eq!(past::reach(&world, None).unwrap().gaps, []);
    assert!(count(&world, "ledger") > 0);
}

#[tokio::test]
async fn a_current_generation_that_is_lost_leaves_a_gap_that_is_told_and_what_was_recorded_stays() {
    let world = World::new(Spec { members: 5, roles: 12, ..Spec::default() });
    world.sync().await;
    let somebody = world.cloudflare.memberships()[0].clone();
    let known = roles(&world.cloudflare);
    world.cloudflare.set_policies(&somebody.id, vec![holds(&world.cloudflare, &known[0])]);
    world.sync().await;
    let at = world.now();
    let recorded = count(&world, "ledger");
    world.advance(3_600);
    world.desk.values.borrow_mut().retain(|key, _| !key.contains("manifest/"));
    world.cloudflare.set_policies(&somebody.id, vec![holds(&world.cloudflare, &known[1])]);
    world.sync().await;
    let reach = past::reach(&world, None).unwrap();
    assert_eq!(reach.gaps.len(), 1, "{reach:?}");
    assert_eq!(count(&world, "ledger"), recorded);
    let person = somebody.email.clone();
    let then = as_of(&world, at, Some(&person), None).await;
    let expected = format!("role:{}:member", known[0].governed_as());
    assert!(then.iter().any(|grant| grant.starts_with(&expected)), "{then:?}");
}

#[tokio::test]
async fn a_gap_that_comes_later_makes_nothing_else_of_an_earlier_generation() {
    let world = World::new(Spec { members: 5, roles: 12, ..Spec::default() });
    world.sync().await;
    let somebody = world.cloudflare.memberships()[0].id.clone();
    let known = roles(&world.cloudflare);
    let loses_current = || world.desk.values.borrow_mut().retain(|key, _| !key.contains("manifest/"));
    for role in [0, 1] {
        world.cloudflare.set_policies(&somebody, vec![holds(&world.cloudflare, &known[role])]);
        world.sync().await;
    }
    // What it gained is lost where nobody sees it.
    loses_current();
    world.advance(3_600);
    world.cloudflare.set_policies(&somebody, vec![holds(&world.cloudflare, &known[2])]);
    world.sync().await;
    let (generation, held) = now(&world).await;
    let told = || {
        let question = Question::of_all(world.now(), generation.clone());
        let at = Question { at: past::reach(&world, None).unwrap().gaps[0], ..question };
        past::as_of(held.clone(), past::facts(&world, &at, &[], 100_000).unwrap(), Vec::new())
    };
    let first = told();
    assert_eq!(first.len(), held.len());
    loses_current();
    world.advance(3_600);
    world.cloudflare.set_policies(&somebody, vec![holds(&world.cloudflare, &known[3])]);
    world.sync().await;
    assert_eq!(past::reach(&world, None).unwrap().gaps.len(), 2);
    assert_eq!(told(), first);
}
