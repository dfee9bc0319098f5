//! Tokens with who made them and what they reach, OAuth clients, and how the account itself is set.

use std::collections::BTreeMap;
use std::time::Duration;

use c1_cloudflare::base::ports::Secret;
use c1_cloudflare::base::time::Timestamp;
use c1_cloudflare::model::kind::Kind;
use c1_cloudflare::model::resource::{Row, Token, TokenPolicy};
use c1_cloudflare::snapshot;
use c1_cloudflare::sync::{self, RunOutcome, Trigger};
use serde_json::{Value, json};
use sim::cloudflare::{Fault, Oddity, Permission, Route, Spec};

use super::account;
use crate::deployment::Deployment;
use crate::support::World;

fn world() -> World {
    World::new(Spec { groups: 0, zones: 0, pending_share: 0.0, tokens: 1, ..account(5) })
}

/// The tokens of the current generation, by name.
async fn tokens(world: &World) -> BTreeMap<String, Token> {
    let snapshot = snapshot::latest(world).await.unwrap().unwrap();
    let mut all = BTreeMap::new();
    let see = |row| {
        if let Row::ApiToken(token) = row {
            all.insert(token.name.clone(), token);
        }
    };
    snapshot.each(world, &[Kind::ApiToken], see).await.unwrap();
    all
}

fn policy(effect: &str, group: &str, resources: &Value) -> Value {
    json!({ "id": "a".repeat(32), "effect": effect, "resources": resources, "permission_groups": [{ "id": "b".repeat(32), "name": group }] })
}

fn told(token: &Token) -> Vec<String> {
    token.policies.iter().map(TokenPolicy::told).collect()
}

#[tokio::test]
async fn a_token_tells_who_made_it_what_it_reaches_from_where_and_when() {
    let world = world();
    let cloudflare = &world.cloudflare;
    let people = cloudflare.memberships();
    let (here, gone) = (&people[3], &people[4]);
    let (zone, worker) = (cloudflare.add_domain("example.com"), cloudflare.add_worker("checkout-api"));
    let whole = format!("com.cloudflare.api.account.{}", cloudflare.account_id());
    let client = cloudflare.add_oauth_client("Deploy bot", "private", &["account.read"]);
    let more = json!({
        "policies": [
            policy("allow", "DNS Write", &json!({ &zone: "*" })),
            policy("deny", "Workers Scripts Write", &json!({ &worker: "*" })),
            policy("allow", "Zone Read", &json!({ &whole: { "com.cloudflare.api.account.zone.*": "*" } })),
            policy("perhaps", "Zone Read", &json!({ "com.cloudflare.edge.d1.database.7": "*" })),
        ],
        "condition": { "request_ip": { "in": ["192.0.2.0/24"] } }, "not_before": "2026-01-01T00:00:00Z",
        "provisioner_type": "oauth", "provisioner_id": client,
    });
    cloudflare.add_token("mine", Some(&here.email.to_uppercase()), &more);
    cloudflare.add_token("theirs", Some(&gone.email), &json!({}));
    cloudflare.add_token("nobody's", None, &json!({ "policies": "odd" }));
    let run = world.sync().await;
    assert_eq!((run.outcome, run.warnings.len()), (RunOutcome::Published, 1), "{}", run.message);
    assert!(run.warnings[0].contains("1 of the tokens cannot be read in full"), "{:?}", run.warnings);
    assert!(cloudflare.unexpected().is_empty());

    let all = tokens(&world).await;
    let mine = &all["mine"];
    assert_eq!(
        told(mine),
        [
            "DNS Write on example.com",
            "not Workers Scripts Write on checkout-api",
            "Zone Read on every domain",
            "unknown: Zone Read on com.cloudflare.edge.d1.database.7",
        ]
    );
    assert_eq!(mine.creator_is, Some(format!("user:{}", here.user_id.clone().unwrap())), "whatever the case");
    assert_eq!(mine.provisioner_is, Some(format!("oauth_client:{client}")));
    assert_eq!((mine.from.as_slice(), mine.not_before.is_some()), (["192.0.2.0/24".to_owned()].as_slice(), true));
    assert!(
        all["nobody's"].creator.is_none() && !all["nobody's"].creator_left() && all["nobody's"].policies.is_empty()
    );
    let own: Vec<&str> = all.values().filter(|token| token.is_own).map(|token| token.name.as_str()).collect();
    assert_eq!(own, ["ConductorOne connector"]);
    assert!(!all["theirs"].creator_left());

    // Who left has made it all the same.
    cloudflare.remove_member(&gone.id);
    world.sync().await;
    assert!(tokens(&world).await["theirs"].creator_left());
    assert_eq!(cloudflare.requests(Route::VerifyAccountToken), 1, "asked once for each token");
}

/// A policy of another form hides nothing that the token is given beside it.
#[tokio::test]
async fn a_token_of_which_one_policy_cannot_be_read_has_what_is_told_beside_what_was_known() {
    let world = world();
    let zone = world.cloudflare.add_domain("example.com");
    let mut known = policy("allow", "DNS Read", &json!({ &zone: "*" }));
    known["permission_groups"][0]["meta"] = json!({ "deprecated": "true", "eol_at": "2027-02-01" });
    let more = policy("allow", "Account Settings Write", &json!({ &zone: "*" }));
    let id = world.cloudflare.add_token("ci", None, &json!({ "policies": [known] }));
    let read = async |policies: Value| {
        world.cloudflare.change_token(&id, &json!({ "policies": policies }));
        world.sync().await;
        tokens(&world).await.remove("ci").unwrap()
    };
    for (field, of_odd) in
        [("effect", "unknown: DNS Read on example.com"), ("permission_groups", "nothing on example.com")]
    {
        let before = read(json!([known])).await;
        assert_eq!(told(&before), ["DNS Read on example.com"], "{field}");
        let mut odd = known.clone();
        odd[field] = Value::Null;
        assert_eq!(told(&read(json!([odd])).await), [of_odd, "DNS Read on example.com"], "{field}");
        let widened = read(json!([odd, more])).await;
        assert_eq!(told(&widened), [of_odd, "Account Settings Write on example.com", "DNS Read on example.com"]);
        assert_eq!(widened.permission_groups(), ["Account Settings Write", "DNS Read"], "{field}");
        assert_eq!(widened.ending, before.ending, "{field}");
        assert_eq!(read(json!([odd, more])).await, widened, "{field}: once");
        // The control: what is told no more may be what is not told.
        assert_eq!(read(json!([odd])).await.permission_groups(), ["Account Settings Write", "DNS Read"], "{field}");
    }
    // The control: where all is told, nothing else is.
    assert_eq!(told(&read(json!([known])).await), ["DNS Read on example.com"]);
}

#[tokio::test]
async fn nobody_is_said_to_have_left_whose_record_could_not_be_read() {
    let world = world();
    let cloudflare = &world.cloudflare;
    let member = cloudflare.memberships()[4].clone();
    cloudflare.add_token("theirs", Some(&member.email), &json!({}));
    world.sync().await;
    let known = tokens(&world).await["theirs"].creator_is.clone();
    assert!(known.is_some());
    cloudflare.make_odd(Route::ListMembers, &member.id, sim::cloudflare::Oddity::Null("id"));
    cloudflare.make_odd(Route::GetMember, &member.id, sim::cloudflare::Oddity::Null("id"));
    world.sync().await;
    assert_eq!(tokens(&world).await["theirs"].creator_is, known);
}

#[tokio::test]
async fn a_list_that_has_the_connectors_own_token_alone_is_told_apart_from_an_account_that_has_no_other() {
    let world = world();
    world.cloudflare.add_token("ci", None, &json!({}));
    world.sync().await;
    assert!(sync::status(&world).unwrap().capabilities["tokens"].on);
    world.cloudflare.configure(|behaviour| behaviour.lists_own_token_only = true);
    for _ in 0..2 {
        world.sync().await;
        let told = sync::status(&world).unwrap().capabilities["tokens"].clone();
        assert!(!told.on && told.kept_from.is_some(), "{told:?}");
        assert!(told.message.unwrap().contains("Account API Tokens: Read"));
        assert!(tokens(&world).await.contains_key("ci"), "what was known of the others stays");
    }
    world.cloudflare.configure(|behaviour| behaviour.lists_own_token_only = false);
    // The control: there is no other, and the token may list them.
    for token in tokens(&world).await.values().filter(|token| !token.is_own) {
        world.cloudflare.remove_token(&token.id.to_string());
    }
    world.sync().await;
    assert!(sync::status(&world).unwrap().capabilities["tokens"].on);
    assert_eq!(tokens(&world).await.len(), 1);
}

#[tokio::test]
async fn a_list_of_one_token_is_told_apart_too_where_it_is_not_known_which_is_the_connectors_own() {
    for may_list in [false, true] {
        let world = world();
        let other = world.cloudflare.add_token("ci", None, &json!({}));
        world.cloudflare.fail_next(Route::VerifyAccountToken, 10_000, Fault::status(503, 1));
        world.sync().await;
        assert!(sync::status(&world).unwrap().capabilities["tokens"].on);
        if may_list {
            world.cloudflare.remove_token(&other);
        } else {
            world.cloudflare.configure(|behaviour| behaviour.lists_own_token_only = true);
        }
        for _ in 0..2 {
            world.sync().await;
            let told = sync::status(&world).unwrap().capabilities["tokens"].clone();
            assert_eq!((told.on, told.kept_from.is_some()), (may_list, !may_list), "{told:?}");
            assert_eq!(tokens(&world).await.contains_key("ci"), !may_list);
            let why = told.message.unwrap_or_default();
            assert_eq!(why.contains("one token alone, which is the connector's own or may be"), !may_list, "{why}");
        }
    }
}

/// A token that may list its own alone is given those that it made, and an account's own was made by somebody else.
#[tokio::test]
async fn a_list_without_the_accounts_own_token_that_asks_leaves_others_out() {
    for count in [0, 3] {
        let mut world = world();
        let all: Vec<String> =
            (0..5).map(|n| world.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
        let made = all[..count].to_vec();
        let told = |world: &World| sync::status(world).unwrap().capabilities["tokens"].clone();
        // Where nothing was known before it is said, too.
        world.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(made.clone()));
        world.sync().await;
        assert_eq!((told(&world).on, tokens(&world).await.len()), (false, count));
        world.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = None);
        world.sync().await;
        assert_eq!((told(&world).on, tokens(&world).await.len()), (true, 6), "the control");
        world.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(made));
        for round in 0..3 {
            let run = world.sync().await;
            let expected = if round == 0 { RunOutcome::Published } else { RunOutcome::Unchanged };
            assert_eq!(run.outcome, expected, "{count} {round}: {}", run.message);
            let told = told(&world);
            assert!(!told.on && told.kept_from.is_some(), "{count} {round}: {told:?}");
            let why = told.message.unwrap();
            assert!(why.contains("lacks the connector's own") && why.contains("Account API Tokens: Read"), "{why}");
            assert!(!why.contains("accept_removals"), "which would not help: {why}");
            assert_eq!(tokens(&world).await.len(), 6, "{count} {round}: what was known of the others stays");
        }
        // A person's token is on no account's list, and may be shown that person's alone.
        world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
        for _ in 0..2 {
            world.sync().await;
            assert_eq!((told(&world).on, tokens(&world).await.len()), (false, 6), "{count}");
        }
        let accept = Trigger { by: "test".to_owned(), accept_removals: true };
        assert_eq!(world.sync_as(accept).await.outcome, RunOutcome::Published);
        world.sync().await;
        assert_eq!((told(&world).on, tokens(&world).await.len()), (true, count), "accepted");
    }
}

/// An acceptance is of what was told before it.
#[tokio::test]
async fn a_list_of_tokens_that_is_short_for_the_first_time_is_not_what_is_accepted() {
    let world = world();
    let all: Vec<String> = (0..5).map(|n| world.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
    world.sync().await;
    world.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(all[..3].to_vec()));
    for (expected, why) in [(6, "kept"), (3, "the control: it was told")] {
        world.sync_as(Trigger { by: "test".to_owned(), accept_removals: true }).await;
        assert_eq!(tokens(&world).await.len(), expected, "{why}");
    }
}

/// What one token of the connector's was shown is not gone because another one is not shown it; what the same one was shown is.
#[tokio::test]
async fn a_token_that_a_persons_token_is_not_shown_is_gone_where_that_one_was_shown_it_before() {
    for was_shown in [true, false] {
        let mut world = world();
        let all: Vec<String> =
            (0..3).map(|n| world.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
        world.sync().await;
        let told = async |world: &World| {
            world.sync().await;
            let told = sync::status(world).unwrap().capabilities["tokens"].clone();
            assert_eq!(told.message.is_some_and(|why| why.contains("accept_removals")), !told.on);
            (told.on, tokens(world).await.len())
        };
        // The account's own is replaced: that it is not there any more says nothing of others.
        world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
        world.cloudflare.remove_token(&world.cloudflare.token_id());
        if was_shown {
            assert_eq!(told(&world).await, (true, 3));
        }
        world.cloudflare.remove_token(&all[0]);
        for _ in 0..2 {
            assert_eq!(told(&world).await, if was_shown { (true, 2) } else { (false, 4) }, "{was_shown}");
        }
    }
}

/// As when it is rotated.
#[tokio::test]
async fn a_token_that_another_token_of_the_same_persons_is_not_shown_is_gone() {
    let mut world = world();
    let all: Vec<String> = (0..3).map(|n| world.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
    let told = async |world: &World| {
        world.sync().await;
        let told = sync::status(world).unwrap().capabilities["tokens"].clone();
        (told.on, tokens(world).await.len())
    };
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    assert_eq!(told(&world).await, (true, 4));
    world.config.cloudflare.token = Secret::new(world.cloudflare.another_user_token());
    world.cloudflare.remove_token(&all[0]);
    assert_eq!(told(&world).await, (true, 3));
    // The control: of a token that may not tell whose it is, nobody knows that it is the same person's.
    world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
    world.cloudflare.fail_next(Route::GetUser, 10_000, Fault::status(403, 9109));
    world.cloudflare.remove_token(&all[1]);
    for _ in 0..2 {
        assert_eq!(told(&world).await, (false, 3));
    }
}

/// What the one was shown would count as what the other is shown.
#[tokio::test]
async fn a_sync_in_the_middle_of_which_the_connectors_token_is_replaced_starts_over() {
    for is_replaced in [true, false] {
        let mut world = world();
        let all: Vec<String> =
            (0..5).map(|n| world.cloudflare.add_token(&format!("ci {n}"), None, &json!({}))).collect();
        world.sync().await;
        world.limits.pages = 1;
        let trigger = Trigger { by: "test".to_owned(), accept_removals: false };
        sync::begin(&world, &world.config.cloudflare, trigger).unwrap();
        while sync::status(&world).unwrap().running.unwrap().phase != sync::Phase::Members {
            sync::step_within(&world, &world.config.cloudflare, &world.limits).await;
        }
        world.cloudflare.reset_log();
        if is_replaced {
            world.config.cloudflare.token = Secret::new(world.cloudflare.user_token());
            let shown = all[..3].to_vec();
            world.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(shown));
        }
        world.finish().await;
        assert_eq!(world.cloudflare.requests(Route::ListTokens) > 0, is_replaced, "read once more");
        world.sync().await;
        let told = sync::status(&world).unwrap().capabilities["tokens"].clone();
        assert_eq!((told.on, tokens(&world).await.len()), (!is_replaced, 6), "{told:?}");
    }
}

#[tokio::test]
async fn how_the_account_is_set_is_published_and_kept_where_it_may_no_longer_be_read() {
    let world = world();
    let cloudflare = &world.cloudflare;
    cloudflare.enforce_two_factor(true);
    cloudflare.set_organization("0123", "Acme Group");
    cloudflare.set_sso_domain("Example.com", "verified", true);
    cloudflare.set_sso_domain("old.example", "verified", false);
    cloudflare.set_sso_domain("new.example", "pending", true);
    cloudflare.add_oauth_client("Deploy bot", "public", &["account.write"]);
    world.sync().await;
    let posture = sync::status(&world).unwrap().posture;
    assert_eq!(posture.enforces_two_factor, Some(true));
    assert_eq!(posture.organization, Some(("0123".to_owned(), "Acme Group".to_owned())));
    assert_eq!(posture.verified_domains().collect::<Vec<_>>(), ["example.com"]);
    let states: Vec<(&str, &str)> =
        posture.sso_domains.iter().map(|(domain, state)| (domain.as_str(), state.as_str())).collect();
    assert_eq!(states, [("example.com", "verified"), ("new.example", "pending"), ("old.example", "disabled")]);

    for (permission, list, label) in [
        (Permission::Account, "account", "Account Settings: Read"),
        (Permission::Sso, "sso_domains", "SSO Connector: Read"),
        (Permission::OauthClients, "oauth_clients", "OAuth Client: Read"),
    ] {
        cloudflare.revoke_permission(permission);
        for _ in 0..2 {
            let run = world.sync().await;
            assert_ne!(run.outcome, RunOutcome::Failed, "{list}: {}", run.message);
            let told = sync::status(&world).unwrap().capabilities[list].clone();
            assert!(!told.on && told.kept_from.is_some(), "{told:?}");
            assert!(told.message.as_ref().unwrap().contains(label), "{told:?}");
            assert!(told.lasting().is_some(), "{told:?}");
        }
    }
    assert_eq!(sync::status(&world).unwrap().posture, posture);
    let manifest = snapshot::latest(&world).await.unwrap().unwrap().manifest().clone();
    assert_eq!((manifest.posture, manifest.counts.of(Kind::OauthClient)), (posture, 1));
    for permission in [Permission::Account, Permission::Sso, Permission::OauthClients] {
        cloudflare.allow_permission(permission);
    }
    cloudflare.enforce_two_factor(false);
    world.sync().await;
    let now = sync::status(&world).unwrap();
    assert_eq!(now.posture.enforces_two_factor, Some(false));
    // A record without the setting says nothing of it.
    cloudflare.make_odd(Route::GetAccount, &Spec::default().account_id, Oddity::Without("settings"));
    world.sync().await;
    let now = sync::status(&world).unwrap();
    assert_eq!(now.posture.enforces_two_factor, Some(false));
    assert!(["account", "sso_domains", "oauth_clients"].iter().all(|list| now.capabilities[*list].on));
    // What was never set is told as nothing, and is off.
    cloudflare.make_even();
    for (never_set, expected) in [(false, true), (true, false)] {
        cloudflare.enforce_two_factor(true);
        if never_set {
            cloudflare.unset_two_factor();
        }
        world.sync().await;
        assert_eq!(sync::status(&world).unwrap().posture.enforces_two_factor, Some(expected));
    }
}

#[tokio::test]
async fn lists_that_fail_for_a_while_stop_no_sync() {
    for route in [Route::GetAccount, Route::ListSsoConnectors, Route::ListOauthClients, Route::VerifyAccountToken] {
        let world = world();
        world.cloudflare.fail_next(route, 10_000, Fault::status(503, 1));
        let run = world.sync().await;
        assert_eq!(run.outcome, RunOutcome::Published, "{route:?}: {}", run.message);
        world.cloudflare.clear_faults();
        world.sync().await;
        assert!(tokens(&world).await.values().any(|token| token.is_own), "{route:?}");
    }
}

/// A connector that listens to the log of an account with four tokens, of which the last has expired, synced once; and that one's id.
async fn with_an_expired_one(hides: bool) -> (Deployment, String) {
    let spec = Spec { members: 8, roles: 12, groups: 0, zones: 0, tokens: 4, ..Spec::default() };
    let deployment = Deployment::with(spec, |options| options.var("AUDIT_FEED", "on").var("PLAN", "paid")).await;
    deployment.cloudflare.configure(|behaviour| behaviour.hides_expired_tokens = hides);
    let deployment = deployment.synced().await;
    deployment.wait(Duration::from_mins(3)).await;
    let mut expired = None;
    for id in deployment.cloudflare.truth().tokens.into_keys() {
        if status(&deployment, &id).await.is_none_or(|status| status == "expired") {
            assert!(expired.replace(id).is_none(), "one of them");
        }
    }
    (deployment, expired.unwrap())
}

/// What `/v1` says of a token; nothing where it has none.
async fn status(deployment: &Deployment, id: &str) -> Option<String> {
    let answer = deployment.get(&format!("/v1/tokens/{id}")).await;
    (answer.status == 200).then(|| answer.json()["status"].as_str().unwrap().to_owned())
}

async fn generation(deployment: &Deployment) -> Value {
    deployment.json("/v1/status").await["generations"][0]["generation"].clone()
}

/// Its own record tells of it whether the list does or not.
#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_is_shown_between_sweeps_where_the_list_shows_it_alone() {
    for hides in [true, false] {
        let (deployment, expired) = with_an_expired_one(hides).await;
        let cloudflare = &deployment.cloudflare;
        let shown = (!hides).then(|| "expired".to_owned());
        let before = generation(&deployment).await;
        cloudflare.reset_log();
        cloudflare.change_token(&expired, &json!({ "name": "Changed" }));
        for _ in 0..30 {
            deployment.wait(Duration::from_secs(10)).await;
            assert_eq!(status(&deployment, &expired).await, shown, "hidden: {hides}");
        }
        let asked = [Route::GetToken, Route::ListMembers].map(|route| cloudflare.requests(route));
        assert_eq!(asked, [1, 0], "hidden: {hides}: it was heard of, and takes no sweep");
        let published = generation(&deployment).await;
        assert_eq!(published == before, hides, "where it is shown, it is shown as it is");
        deployment.sync().await;
        assert_eq!(generation(&deployment).await, published, "hidden: {hides}: the sweep finds it so");
    }
}

/// Of one that no list had as expired it is the next list that tells.
#[tokio::test(start_paused = true)]
async fn a_token_that_expires_is_gone_only_where_the_list_leaves_it_out() {
    let (deployment, _) = with_an_expired_one(false).await;
    let cloudflare = &deployment.cloudflare;
    let token = cloudflare.make_token("Short", None, &Value::Null);
    deployment.wait(Duration::from_mins(3)).await;
    assert_eq!(status(&deployment, &token).await.as_deref(), Some("active"));
    cloudflare.reset_log();
    cloudflare.change_token(&token, &json!({ "status": "expired" }));
    for _ in 0..60 {
        deployment.wait(Duration::from_secs(10)).await;
        assert!(status(&deployment, &token).await.is_some(), "the list has it all the time");
    }
    assert_eq!(status(&deployment, &token).await.as_deref(), Some("expired"));
    assert!(cloudflare.requests(Route::ListMembers) > 0, "a sweep has looked");
}

/// Who made it a moment before did not remove it.
#[tokio::test(start_paused = true)]
async fn nobody_has_removed_a_token_that_is_gone_with_its_end() {
    let (deployment, short) = with_an_expired_one(false).await;
    let cloudflare = &deployment.cloudflare;
    let ends_in = |secs: i64| {
        let end = Timestamp::from_secs(deployment.now() + secs);
        json!({ "status": "active", "expires_on": end.to_string() })
    };
    cloudflare.change_token(&short, &ends_in(300));
    let removed = cloudflare.make_token("Removed", None, &ends_in(86_400));
    deployment.wait(Duration::from_mins(3)).await;
    for token in [&short, &removed] {
        assert_eq!(status(&deployment, token).await.as_deref(), Some("active"));
    }
    cloudflare.remove_token(&removed);
    deployment.wait(Duration::from_mins(3)).await;
    // The list has it no more, which nobody has done.
    cloudflare.configure(|behaviour| behaviour.hides_expired_tokens = true);
    deployment.sync().await;
    assert_eq!(status(&deployment, &short).await, None);
    deployment.wait(Duration::from_mins(2)).await;
    let changes = deployment.json("/v1/changes?limit=1000").await["items"].as_array().unwrap().clone();
    let by = |token: &str| {
        let key = format!("api_token:{token}");
        let mut found = changes.iter().filter(|change| change["key"] == key.as_str() && change["kind"] == "removed");
        found.next().unwrap_or_else(|| panic!("{token} is not told: {changes:#?}"))["by"].clone()
    };
    assert_eq!(by(&short), Value::Null, "its end came by itself");
    // The control: it had a day left.
    assert_eq!(by(&removed)[0]["by"]["who"], "somebody.else@example.com");
}

/// The log has them, and the end came later.
#[tokio::test(start_paused = true)]
async fn who_removed_a_token_before_its_end_is_named_though_that_has_come_since() {
    let (deployment, _) = with_an_expired_one(false).await;
    let cloudflare = &deployment.cloudflare;
    let end = Timestamp::from_secs(deployment.now() + 600);
    let ends = json!({ "status": "active", "expires_on": end.to_string() });
    let [token, shared] = ["Removed", "Shared"].map(|name| cloudflare.make_token(name, None, &ends));
    deployment.wait(Duration::from_mins(3)).await;
    let from = generation(&deployment).await;
    deployment.wait(Duration::from_mins(6)).await;
    assert_eq!(status(&deployment, &token).await.as_deref(), Some("active"));
    // Somebody else did something to one of them before.
    let other = json!({ "actor": { "email": "ann@example.com" }, "resource": { "id": shared, "product": "account_api_tokens" } });
    cloudflare.log_entry(None, 0, other);
    for token in [&token, &shared] {
        cloudflare.remove_token(token);
    }
    deployment.wait(Duration::from_mins(3)).await;
    cloudflare.add_member("new.hire@example.com", Vec::new());
    deployment.sync().await;
    deployment.wait(Duration::from_mins(2)).await;
    let changes = deployment.json(&format!("/v1/changes?from={}&limit=1000", from.as_str().unwrap())).await;
    for (token, others) in [(&token, false), (&shared, true)] {
        let key = format!("api_token:{token}");
        let mut items = changes["items"].as_array().unwrap().iter();
        let removed = items.find(|change| change["key"] == key.as_str()).unwrap_or_else(|| panic!("{changes:#}"));
        let published_at = Timestamp::parse(removed["published_at"].as_str().unwrap()).unwrap();
        assert!(removed["kind"] == "removed" && published_at > end, "{removed:#}");
        let who = removed["by"][0]["by"]["who"].as_str().unwrap_or_default();
        assert!(who.contains("somebody.else@example.com"), "{removed:#}");
        assert_eq!(who.contains("ann@example.com"), others, "{removed:#}");
    }
}
