//! Pages that tell wrongly, or not at all, how long their list is: nothing of it is published as gone by that.

use c1_cloudflare::sync::RunOutcome;
use serde_json::{Value, json};
use sim::cloudflare::{Limits, Spec};

use super::oracle::published;
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
