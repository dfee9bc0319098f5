//! Each field of a record of each list in turn is absent, `null` or of another form: whatever it is, the sync of everything else goes on, and
//! nothing is published as gone.

use c1_cloudflare::sync::RunOutcome;
use serde_json::{Value, json};
use sim::cloudflare::{Limits, PolicySpec, Spec, Truth};

use super::oracle::published;
use crate::support::World;

/// The lists, by what their paths end in, and the place of a record of each whose loss would show.
const LISTS: [&str; 9] = [
    "/members",
    "/iam/user_groups",
    "/iam/user_groups/*/members",
    "/tokens",
    "/roles",
    "/iam/permission_groups",
    "/iam/resource_groups",
    "/oauth_clients",
    "/sso_connectors",
];

/// What a field is made into; nothing where it is taken away.
fn forms() -> [Option<Value>; 4] {
    [None, Some(Value::Null), Some(json!("")), Some(json!(7))]
}

/// The pointers of everything in a record.
fn pointers(record: &Value, at: &str, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match record {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        // The others of a list are as the first.
        Value::Array(items) => items.iter().take(1).map(|item| ("0".to_owned(), item)).collect(),
        _ => return,
    };
    for (name, value) in inner {
        let here = format!("{at}/{name}");
        // What a role permits is not read, and what a policy's groups are like is read of their own list.
        if at.ends_with("/permissions") || at.ends_with("/meta") && at.contains("/policies") {
            continue;
        }
        pointers(value, &here, all);
        all.push(here);
    }
}

fn set(record: &mut Value, pointer: &str, form: Option<&Value>) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    match (record.pointer_mut(parent), form) {
        (Some(Value::Object(fields)), None) => {
            fields.remove(&name);
        }
        (Some(Value::Object(fields)), Some(form)) => {
            fields.insert(name, form.clone());
        }
        (Some(Value::Array(items)), Some(form)) => items.iter_mut().take(1).for_each(|item| *item = form.clone()),
        _ => {}
    }
}

/// The records that an answer tells, where it is of a list or of one record of it.
fn records<'a>(list: &str, asked: &str, told: &'a mut Value) -> Vec<&'a mut Value> {
    let path = asked.split([' ', '?']).nth(1).unwrap();
    let Some((_, path)) = path.split_once("/accounts/") else { return Vec::new() };
    let path = path.split_once('/').map(|(_, rest)| format!("/{rest}")).unwrap_or_default();
    let (before, after) = list.split_once('*').unwrap_or((list, ""));
    let is_list = if after.is_empty() { path == list } else { path.starts_with(before) && path.ends_with(after) };
    let is_one = after.is_empty() && path.strip_prefix(list).is_some_and(|rest| rest.len() == 33);
    match told.get_mut("result") {
        Some(told) if is_list => told.as_array_mut().into_iter().flatten().collect(),
        Some(one) if is_one => vec![one],
        _ => Vec::new(),
    }
}

fn id(record: &Value) -> Option<String> {
    let id = ["id", "client_id"].iter().find_map(|name| record.get(name)?.as_str());
    id.map(str::to_owned)
}

async fn world() -> World {
    // The account's own limit goes by the real clock.
    let limits = Limits { requests: u32::MAX, ..Limits::default() };
    let world = World::new(Spec {
        members: 6,
        roles: 4,
        groups: 1,
        zones: 1,
        tokens: 3,
        pending_share: 0.2,
        limits,
        ..Spec::default()
    });
    let cloudflare = &world.cloudflare;
    let (role, whole) = (cloudflare.permission_groups()[0].clone(), cloudflare.account_resource_group());
    let group = cloudflare.add_group("Few", vec![PolicySpec::allow(role.id.clone(), whole.clone())]);
    let (domain, _) = cloudflare.domain_resource_groups()[0].clone();
    for member in cloudflare.memberships() {
        cloudflare.join_group(&group, &member.id);
        cloudflare.add_policy(&member.id, PolicySpec::allow(role.id.clone(), whole.clone()));
        let scoped = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide);
        if let Some(scoped) = scoped {
            cloudflare.add_policy(&member.id, PolicySpec::allow(scoped.id, domain.clone()));
        }
    }
    cloudflare.add_oauth_client("Deploys", "private", &["account:read"]);
    cloudflare.set_sso_domain("example.com", "verified", true);
    world.sync().await;
    world
}

/// What is gone of what was there.
fn gone(before: &Truth, now: &Truth) -> Vec<String> {
    let sets = |truth: &Truth| {
        let mut all: Vec<String> = truth.grants.iter().cloned().collect();
        all.extend(truth.users.iter().map(|id| format!("user:{id}")));
        all.extend(truth.invitations.iter().map(|id| format!("invitation:{id}")));
        all.extend(truth.roles.iter().map(|(id, name)| format!("role:{id} {name}")));
        all.extend(truth.scoped_roles.iter().map(|id| format!("scoped_role:{id}")));
        all.extend(truth.groups.iter().map(|(id, name)| format!("group:{id} {name}")));
        all.extend(truth.tokens.iter().map(|(id, name)| format!("token:{id} {name}")));
        all
    };
    let now = sets(now);
    sets(before).into_iter().filter(|it| !now.contains(it)).collect()
}

#[tokio::test]
async fn whatever_stands_in_a_field_of_a_record_nothing_is_published_as_gone() {
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for list in LISTS {
        let world = world().await;
        let before = published(&world).await;
        // What the first record of the list looks like, of a sync of its own.
        let seen = std::rc::Rc::new(std::cell::RefCell::new(None));
        let sink = std::rc::Rc::clone(&seen);
        *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
            if let Some(record) = records(list, asked, told).into_iter().next() {
                sink.borrow_mut().get_or_insert_with(|| record.clone());
            }
        }));
        world.sync().await;
        let record: Value = seen.borrow().clone().unwrap_or_else(|| panic!("{list} has no record"));
        let of = id(&record);
        let mut all = Vec::new();
        pointers(&record, "", &mut all);
        for pointer in all {
            for form in forms() {
                // A list with an item less is told.
                let is_told = form.is_none() && pointer.ends_with("/0");
                // So is a word for the access that is not known: a finding has it, and nothing is written for that member. A user group that holds
                // nothing is told without policies.
                let is_none =
                    list == "/iam/user_groups" && pointer == "/policies" && matches!(form, None | Some(Value::Null));
                if is_told || is_none || pointer.ends_with("/access") && form == Some(json!("")) {
                    continue;
                }
                cases += 1;
                let what = format!("{list} {pointer}: {}", form.as_ref().map_or("absent".to_owned(), Value::to_string));
                let (of, at) = (of.clone(), pointer.clone());
                *world.bends.borrow_mut() = Some(Box::new(move |asked, told| {
                    for record in records(list, asked, told) {
                        if of.is_none() || id(record) == of {
                            set(record, &at, form.as_ref());
                        }
                    }
                }));
                let run = world.sync().await;
                if matches!(run.outcome, RunOutcome::Failed | RunOutcome::Held) {
                    wrong.push(format!("{what}: {:?} {}", run.outcome, run.message));
                }
                let gone = gone(&before, &published(&world).await);
                if !gone.is_empty() {
                    wrong.push(format!("{what}: gone {gone:?}"));
                    *world.bends.borrow_mut() = None;
                    world.sync().await;
                }
            }
        }
        *world.bends.borrow_mut() = None;
        world.sync().await;
        assert_eq!(gone(&before, &published(&world).await), Vec::<String>::new(), "{list}: all is well again");
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}
