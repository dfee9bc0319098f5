//! Pages that tell wrongly, or not at all, how long their list is: nothing of it is published as gone by that.

use c1_cloudflare::sync::RunOutcome;
use serde_json::{Value, json};
use sim::cloudflare::{Limits, Spec};

use super::oracle::{manifest, published};
use crate::support::World;

/// The lists of several pages.
const LISTS: [&str; 4] = ["/members?", "/tokens?", "/roles?", "/iam/permission_groups?"];

type Change = fn(&mut Value);

/// What a page says of its list.
const TOLD: [(&str, Change); 6] = [
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
    ("numbers as texts", |told| {
        for name in ["total_count", "total_pages", "per_page", "count"] {
            told["result_info"][name] = json!(told["result_info"][name].to_string());
        }
    }),
];

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

/// A page of 20 tokens that gives 15 of them.
async fn five_tokens_less(total: u64) -> (usize, bool, Option<String>) {
    let world = World::new(Spec { members: 5, tokens: 20, ..Spec::default() });
    world.sync().await;
    *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
        if asked.contains("/tokens?") {
            told["result"].as_array_mut().unwrap().truncate(15);
            told["result_info"]["total_count"] = json!(total);
        }
    }));
    let run = world.sync().await;
    assert_eq!(run.outcome, RunOutcome::Published, "{}", run.message);
    let told = manifest(&world).await.capabilities["tokens"].clone();
    (published(&world).await.tokens.len(), told.on, told.message)
}

#[tokio::test]
async fn what_a_list_tells_of_and_does_not_give_is_not_gone() {
    let (tokens, is_on, message) = five_tokens_less(20).await;
    assert_eq!((tokens, is_on), (20, false));
    assert!(message.unwrap().contains("more than it gives"));
    assert_eq!(five_tokens_less(15).await, (15, true, None), "the control: five were deleted");
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
