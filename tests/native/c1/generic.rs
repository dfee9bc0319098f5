//! `c1/baton-http.yaml`.

use serde_json::json;

use super::http::Connector;
use crate::found::{
    CAME, Found, JANE, JOE, ODD, deployed, group_of, id_of, resync, scoped_role_of_no_group, with_odd_statuses,
};
use crate::looks::{assert_is_problem, atom, holds, roles};

#[tokio::test(start_paused = true)]
async fn baton_http_finds_the_account_in_large_and_small_pages_without_a_call_to_cloudflare() {
    let deployment = deployed().await;
    deployment.cloudflare.reset_log();
    let mut connector = Connector::new(&deployment);
    let whole = connector.sync().await;
    whole.assert_is(&deployment, false);
    assert!(whole.of("role").len() > 60 && whole.of("invitation").len() > 5);
    for kind in ["role", "scoped_role"] {
        let to_group = |id: &&String| id.starts_with(&format!("{kind}:")) && id.contains(":member:group:");
        assert!(whole.grants.iter().any(|id| to_group(&id)), "a group's {kind}");
    }
    connector.configuration.connect.pagination.page_size = 3;
    assert_eq!(connector.sync().await, whole, "in small pages");
    assert_eq!(deployment.cloudflare.total_requests(), 0, "all of it is read from the snapshot");
}

/// By the connector, in the lists that it reads, by SCIM, and as a file.
#[tokio::test(start_paused = true)]
async fn somebody_whose_status_is_not_known_is_disabled_in_every_feed_and_who_has_accepted_is_not_pending() {
    let deployment = deployed().await;
    let [odd, came] = with_odd_statuses(&deployment).await;
    let [jane, joe] = [JANE, JOE].map(|email| id_of(&deployment.cloudflare, email));
    let found = Connector::new(&deployment).sync().await;
    let csv = deployment.get("/v1/export/users.csv").await.text();
    for (kind, id, email, status, is_enabled) in [
        ("invitation", &odd, ODD, "other", false),
        ("invitation", &came, CAME, "accepted", true),
        ("invitation", &jane, JANE, "pending", true),
        ("user", &joe, JOE, "accepted", true),
    ] {
        let listed = deployment.json(&format!("/v1/{kind}s/{id}")).await;
        assert_eq!((&listed["email"], &listed["status"]), (&json!(email), &json!(status)));
        let (enabled, word) = &found.statuses[id];
        assert_eq!((*enabled, word.to_lowercase().as_str()), (is_enabled, status), "baton-http: {email}");
        let id = if kind == "user" { id.clone() } else { format!("{kind}-{id}") };
        let user = deployment.json(&format!("/scim/v2/Users/{id}")).await;
        assert_eq!((&user["userName"], &user["active"]), (&json!(email), &json!(is_enabled)), "SCIM");
        let line = csv.lines().find(|line| line.contains(email)).unwrap();
        assert_eq!(line.contains("disabled"), !is_enabled, "CSV: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn baton_http_grants_and_revokes_and_doing_so_again_is_a_success() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = Connector::new(&deployment);
    let role = roles(cloudflare)[3].clone();
    let truth = cloudflare.truth();
    let scoped = &scoped_role_of_no_group(&truth);
    let group = &group_of(cloudflare, "Operators");
    for email in [JOE, JANE] {
        // The documented variables have the principal's id without its type.
        let (id, member) = (id_of(cloudflare, email), cloudflare.membership_of(email).unwrap());
        let kind = if email == JOE { "user" } else { "invitation" };
        for (of, resource) in [("role", role.governed_as()), ("scoped_role", scoped), ("group", group.as_str())] {
            let grant = format!("{of}:{resource}:member:{kind}:{id}");
            let had = cloudflare.truth().grants.contains(&grant);
            for status in [if had { "already_granted" } else { "granted" }, "already_granted"] {
                let (good, body) = connector.grant(of, resource, (&id, email)).await;
                assert!(good && body["status"] == status, "{grant}: {body}");
                assert!(cloudflare.truth().grants.contains(&grant), "{grant}");
            }
            for status in ["revoked", "already_revoked"] {
                let (good, body) = connector.revoke(of, resource, (&id, email)).await;
                assert!(good && body["status"] == status, "{grant}: {body}");
                assert!(!cloudflare.truth().grants.contains(&grant), "{grant}");
            }
        }
        let kept = atom(cloudflare, &roles(cloudflare)[7]);
        assert_eq!(cloudflare.member_atoms(&member.id), [kept].into(), "{email} has what they had");
        assert!(connector.grant("role", role.governed_as(), (&id, email)).await.0);
    }
    resync(&deployment).await;
    connector.sync().await.assert_is(&deployment, false);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_has_accepted_since_is_still_found_by_the_id_of_the_invitation() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = Connector::new(&deployment);
    let (role, invitation) = (roles(cloudflare)[3].clone(), id_of(cloudflare, JANE));
    let user = cloudflare.accept_invitation(&invitation).unwrap();
    let grant = format!("role:{}:member:user:{user}", role.governed_as());
    // The snapshot has the invitation, then it has the user; ConductorOne knows the invitation all along.
    for synced in [false, true] {
        if synced {
            resync(&deployment).await;
        }
        let (good, body) = connector.grant("role", role.governed_as(), (&invitation, JANE)).await;
        assert!(good && body["status"] == "granted" && cloudflare.truth().grants.contains(&grant), "{body}");
        let (good, body) = connector.revoke("role", role.governed_as(), (&invitation, JANE)).await;
        assert!(good && body["status"] == "revoked" && !cloudflare.truth().grants.contains(&grant), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_baton_http_may_not_do_is_no_success_and_says_why() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = Connector::new(&deployment);
    let (role, held) = (roles(cloudflare)[3].clone(), roles(cloudflare)[7].clone());
    let before = cloudflare.truth();
    let group = group_of(cloudflare, "Operators");
    let nobody = "f".repeat(32);

    let (good, body) = connector.grant("role", role.governed_as(), (&nobody, "nobody@example.com")).await;
    assert!(!good && body["code"] == "unknown_member", "{body}");
    // Somebody who is gone holds nothing.
    let (good, body) = connector.revoke("role", role.governed_as(), (&nobody, "nobody@example.com")).await;
    assert!(good && body["status"] == "already_revoked", "{body}");
    let (good, body) = connector.revoke("role", held.governed_as(), (&id_of(cloudflare, JOE), JOE)).await;
    assert!(!good && body["code"] == "last_role", "{body}");
    let (good, body) = connector.revoke("role", held.governed_as(), (&group, "Operators")).await;
    assert!(!good && body["detail"].as_str().unwrap().contains("user group"), "{body}");
    assert_eq!(cloudflare.truth(), before);
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_is_published_in_the_middle_leaves_every_list_whole_and_ends_no_sync() {
    let deployment = deployed().await;
    let cloudflare = &deployment.cloudflare;
    let connector = Connector::new(&deployment);
    let before = cloudflare.truth();
    let mut found = Found::default();
    let resources = connector.resources(&mut found).await;

    // A group goes, and a member too; another comes.
    let group = group_of(cloudflare, "Operators");
    cloudflare.remove_group(&group);
    cloudflare.remove_member(&cloudflare.membership_of(JOE).unwrap().id);
    cloudflare.add_member("new.hire@example.com", vec![holds(cloudflare, &roles(cloudflare)[2])]);
    resync(&deployment).await;
    let after = cloudflare.truth();

    assert_eq!(found.ids("user"), before.users, "the lists are of the generation they began with");
    assert!(found.of("group").contains_key(&group));
    connector.grants(&resources, &mut found).await;
    assert_eq!(found.grants, after.grants, "and the holders of the one that there is now");
    assert!(!found.grants.iter().any(|grant| grant.contains(&group)), "what is gone is held by nobody");
    connector.sync().await.assert_is(&deployment, false);

    // Anybody else hears that it is gone.
    assert_eq!(deployment.get(&format!("/v1/groups/{group}/members")).await.status, 404);
    let wrong = deployment.get(&format!("/v1/groups/{group}/members?missing=none")).await;
    assert_eq!(assert_is_problem(&wrong, "missing"), "invalid_request");
}
