//! Pages that tell wrongly, or not at all, how long their list is: nothing of it is published as gone by that.

use std::cell::Cell;
use std::rc::Rc;

use c1_cloudflare::base::ports::Secret;
use c1_cloudflare::sync::{RunOutcome, Trigger};
use serde_json::{Value, json};
use sim::cloudflare::{Limits, Route, Spec};

use super::oracle::{manifest, published};
use crate::support::World;

/// The lists of several pages.
const LISTS: [&str; 4] = ["/members?", "/tokens?", "/roles?", "/iam/permission_groups?"];

type Change = fn(&mut Value);

/// What a page says of its list.
const TOLD: [(&str, Change); 7] = [
    ("nothing at all", |told| drop(told.as_object_mut().unwrap().remove("result_info"))),
    ("null", |told| told["result_info"] = Value::Null),
    ("no totals", |told| {
        for name in ["total_count", "total_pages"] {
            told["result_info"].as_object_mut().unwrap().remove(name);
        }
    }),
    ("totals of nothing", |told| {
        told["result_info"]["total_count"] = json!(0);
        told["result_info"]["total_pages"] = json!(0);
    }),
    ("fewer than are on the page", |told| {
        told["result_info"]["total_count"] = json!(3);
        told["result_info"].as_object_mut().unwrap().remove("total_pages");
    }),
    ("fewer than its full pages have", counts_ninety),
    ("numbers as texts", |told| {
        for name in ["total_count", "total_pages", "per_page", "count"] {
            told["result_info"][name] = json!(told["result_info"][name].to_string());
        }
    }),
];

fn counts_ninety(told: &mut Value) {
    told["result_info"]["total_count"] = json!(90);
    told["result_info"].as_object_mut().unwrap().remove("total_pages");
}

#[tokio::test]
async fn whatever_a_page_says_of_its_list_nothing_is_published_as_gone() {
    let limits = Limits { requests: u32::MAX, ..Limits::default() };
    let spec = Spec { members: 130, tokens: 120, roles: 120, groups: 2, limits, ..Spec::default() };
    let world = World::new(spec);
    world.sync().await;
    let before = published(&world).await;
    assert!(before.tokens.len() == 120 && before.roles.len() > 100, "each has several pages");
    let mut wrong = Vec::new();
    for list in LISTS {
        for (what, change) in TOLD {
            *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
                if asked.contains(list) && told["result"].is_array() {
                    change(told);
                }
            }));
            let run = world.sync().await;
            let now = published(&world).await;
            if now != before || matches!(run.outcome, RunOutcome::Failed | RunOutcome::Held) {
                wrong.push(format!(
                    "{list} {what}: {:?} {}; {} groups, {} tokens, {} roles, {} users",
                    run.outcome,
                    run.message,
                    now.groups.len(),
                    now.tokens.len(),
                    now.roles.len(),
                    now.users.len()
                ));
                *world.bends.borrow_mut() = None;
                world.sync().await;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody who is known stands behind the pages that it tells of.
#[tokio::test]
async fn a_new_member_at_the_end_of_a_list_that_counts_too_few_is_published() {
    let world = World::new(Spec { members: 100, ..Spec::default() });
    world.sync().await;
    *world.bends.borrow_mut() = Some(Box::new(|asked, told| {
        if asked.contains("/members?") && !asked.contains("/user_groups/") {
            counts_ninety(told);
        }
    }));
    let new = world.cloudflare.add_member("zzz@example.com", vec![]);
    world.sync().await;
    let user = world.cloudflare.membership(&new).unwrap().user_id.unwrap();
    assert!(published(&world).await.users.contains(&user));
}

/// An account with 20 tokens and 40 members, synced before its list of tokens is another.
async fn with_another_list_of_tokens(change: impl Fn(&mut Vec<Value>) -> u64 + 'static) -> World {
    let world = World::new(Spec { members: 40, tokens: 20, ..Spec::default() });
    world.sync().await;
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/tokens?") {
            let total = change(told["result"].as_array_mut().unwrap());
            told["result_info"]["total_count"] = json!(total);
        }
    }));
    world
}

/// How many tokens a sync publishes, and whether and why their list is off.
async fn tokens_of(world: &World, accept_removals: bool) -> (usize, bool, Option<String>) {
    let run = world.sync_as(Trigger { by: "test".to_owned(), accept_removals }).await;
    assert!(matches!(run.outcome, RunOutcome::Published | RunOutcome::Unchanged), "{}", run.message);
    let told = manifest(world).await.capabilities["tokens"].clone();
    (published(world).await.tokens.len(), told.on, told.message)
}

#[tokio::test]
async fn what_a_list_tells_of_and_does_not_give_is_not_gone_until_somebody_accepts_that_it_is() {
    let fewer = |total: u64| {
        with_another_list_of_tokens(move |tokens| {
            tokens.truncate(15);
            total
        })
    };
    let world = fewer(20).await;
    for _ in 0..2 {
        let (tokens, is_on, message) = tokens_of(&world, false).await;
        assert_eq!((tokens, is_on), (20, false));
        assert!(message.as_ref().unwrap().contains("more than it gives"), "{message:?}");
        assert!(message.as_ref().unwrap().contains("accept_removals"), "{message:?}");
    }
    // What is accepted stays so, whatever the list goes on to tell.
    assert_eq!(tokens_of(&world, true).await, (15, true, None));
    assert_eq!(tokens_of(&world, false).await, (15, true, None));
    let world = fewer(15).await;
    assert_eq!(tokens_of(&world, false).await, (15, true, None), "the control: five were deleted");
}

#[tokio::test]
async fn a_list_that_tells_of_more_than_it_gives_for_the_first_time_is_not_what_is_accepted() {
    let world = with_another_list_of_tokens(|tokens| {
        tokens.truncate(15);
        20
    })
    .await;
    let (tokens, is_on, message) = tokens_of(&world, true).await;
    assert_eq!((tokens, is_on), (20, false), "{message:?}");
    assert_eq!(tokens_of(&world, true).await, (15, true, None), "the control: it was told");
}

/// Kept for the one, it would be told for that alone, and the next acceptance be of that one alone.
#[tokio::test]
async fn a_list_that_tells_of_more_than_it_gives_and_lacks_what_another_token_was_shown_is_taken_by_one_acceptance() {
    let mut world = with_another_list_of_tokens(|tokens| {
        tokens.truncate(15);
        20
    })
    .await;
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    let (tokens, is_on, message) = tokens_of(&world, false).await;
    assert_eq!((tokens, is_on), (20, false), "{message:?}");
    assert_eq!(tokens_of(&world, true).await.0, 15);
    assert_eq!(tokens_of(&world, false).await, (15, true, None));
}

/// That it tells of more was told, and not that it lacks what another token was shown.
#[tokio::test]
async fn a_list_that_was_told_to_tell_of_more_and_does_not_is_kept_where_it_lacks_what_another_token_was_shown() {
    let total = Rc::new(Cell::new(20));
    let told = Rc::clone(&total);
    let mut world = with_another_list_of_tokens(move |tokens| {
        tokens.truncate(15);
        told.get()
    })
    .await;
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    assert_eq!(tokens_of(&world, false).await.0, 20);
    total.set(15);
    let (tokens, is_on, message) = tokens_of(&world, true).await;
    assert_eq!((tokens, is_on), (20, false), "{message:?}");
    assert_eq!(tokens_of(&world, true).await.0, 15, "the control: by now it is told");
}

#[tokio::test]
async fn who_accepts_that_many_are_gone_accepts_no_list_that_tells_of_more_than_it_gives() {
    let world = with_another_list_of_tokens(|tokens| {
        tokens.truncate(15);
        20
    })
    .await;
    for member in world.cloudflare.memberships().iter().skip(3).take(25) {
        world.cloudflare.remove_member(&member.id);
    }
    assert_eq!(world.sync().await.outcome, RunOutcome::Held);
    let (tokens, is_on, message) = tokens_of(&world, true).await;
    assert_eq!((tokens, is_on), (20, false), "{message:?}");
    assert!(published(&world).await.users.len() < 20, "that they are gone is accepted");
    assert_eq!(tokens_of(&world, true).await, (15, true, None), "the control: nobody is missing any more");
}

#[tokio::test]
async fn a_record_that_is_on_a_list_twice_stands_for_no_other() {
    let world = with_another_list_of_tokens(|tokens| {
        tokens[19] = tokens[0].clone();
        20
    })
    .await;
    let (tokens, is_on, message) = tokens_of(&world, false).await;
    assert_eq!((tokens, is_on), (20, false));
    assert!(message.unwrap().contains("more than it gives"));
    // The control: it is there twice beside all others.
    let world = with_another_list_of_tokens(|tokens| {
        tokens.push(tokens[0].clone());
        21
    })
    .await;
    assert_eq!(tokens_of(&world, false).await, (20, true, None));
}

#[tokio::test]
async fn what_a_list_tells_of_and_never_gave_is_among_the_warnings() {
    for (list, expected) in [
        ("/members?", "says that there are 61 members, and gives 60"),
        ("/roles?", "roles, and gives"),
        ("/user_groups?", "says that there are 3 user groups, and gives 2"),
        ("/tokens?", "says that there are 4 tokens, and gives 3"),
    ] {
        let world = World::new(Spec { members: 60, tokens: 3, groups: 2, ..Spec::default() });
        let tells_one_more = move |asked: &str, told: &mut Value| {
            if asked.contains(list) && (list != "/members?" || !asked.contains("/user_groups/")) {
                let total = told["result_info"]["total_count"].as_u64().unwrap();
                told["result_info"]["total_count"] = json!(total + 1);
            }
        };
        *world.bends.borrow_mut() = Some(Box::new(tells_one_more));
        // The third knows by what it reads that nothing changed.
        for round in 0..3 {
            let run = world.sync().await;
            assert_eq!(run.outcome, if round == 0 { RunOutcome::Published } else { RunOutcome::Unchanged });
            assert_eq!(run.warnings.len(), 1, "{list} {round}: {:?}", run.warnings);
            assert!(run.warnings[0].contains(expected), "{list} {round}: {:?}", run.warnings);
        }
        *world.bends.borrow_mut() = None;
        assert_eq!(world.sync().await.warnings, Vec::<String>::new(), "{list}");
    }
}

/// What the first sync makes of 100 members whose second page is empty, and tells nothing of the list, so many times: how many pages it reads, how
/// many people it publishes, and its warnings.
async fn second_page_empty(times: usize) -> (usize, usize, Vec<String>) {
    let world = World::new(Spec { members: 100, ..Spec::default() });
    let left = Cell::new(times);
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/members?page=2&") && !asked.contains("/user_groups/") && left.get() > 0 {
            left.set(left.get() - 1);
            *told = json!({ "success": true, "errors": [], "messages": [], "result": [] });
        }
    }));
    let run = world.sync().await;
    let now = published(&world).await;
    (world.cloudflare.requests(Route::ListMembers), now.users.len() + now.invitations.len(), run.warnings)
}

#[tokio::test]
async fn members_whom_the_first_page_alone_tells_of_are_looked_for_and_warned_of() {
    assert_eq!(second_page_empty(0).await, (2, 100, Vec::new()), "the control");
    assert_eq!(second_page_empty(1).await, (4, 100, Vec::new()));
    let (pages, people, warnings) = second_page_empty(usize::MAX).await;
    assert_eq!((pages, people), (4, 50));
    assert!(
        warnings.iter().any(|warning| warning.contains("says that there are 100 members, and gives 50")),
        "{warnings:?}"
    );
}

/// What the sync makes of a list of 300 that leaves out so many members each time, and tells of all.
async fn left_out(count: usize) -> (RunOutcome, String, usize) {
    let limits = Limits { requests: u32::MAX, ..Limits::default() };
    let world = World::new(Spec { members: 600, limits, ..Spec::default() });
    world.sync().await;
    let hidden: Vec<String> =
        world.cloudflare.memberships().into_iter().skip(20).take(count).map(|member| member.id).collect();
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/members?") && !asked.contains("user_groups") {
            let is_shown = |member: &Value| !hidden.iter().any(|id| member["id"] == *id);
            told["result"].as_array_mut().unwrap().retain(is_shown);
        }
    }));
    let run = world.sync().await;
    let now = published(&world).await;
    (run.outcome, run.message, now.users.len() + now.invitations.len())
}

#[tokio::test]
async fn whom_a_list_leaves_out_that_leaves_out_others_who_are_there_is_not_gone() {
    let (outcome, message, people) = left_out(40).await;
    assert_eq!(
        (outcome, people),
        (RunOutcome::Unchanged, 600),
        "more than are asked for where nothing is odd: {message}"
    );
    let (outcome, message, people) = left_out(450).await;
    assert_eq!((outcome, people), (RunOutcome::Failed, 600), "{message}");
    assert!(message.contains("leaves out people who are members"), "{message}");
}
