//! `GET /v1/users | invitations | roles | …`: pages, cursors, tags.

use serde_json::Value;

use crate::deployment::{Deployment, assert_is_account, assert_is_problem, holds, roles, snapshot};

#[tokio::test]
async fn a_snapshot_has_a_tag_and_who_has_it_is_told_so() {
    let deployment = Deployment::start().await.synced().await;
    let user = deployment.cloudflare.truth().users.into_iter().next().unwrap();
    let paths =
        ["/v1/users".to_owned(), "/v1/grants?limit=2".to_owned(), format!("/v1/users/{user}"), "/v1/changes".into()];
    for path in &paths {
        let first = deployment.get(path).await;
        let tag = first.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        assert!(first.header("cache-control").unwrap().contains("no-cache"));
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = deployment.request("GET", path, &[("if-none-match", &known)], None).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header("etag"), Some(tag.as_str()));
        }
        let other = deployment.request("GET", path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!((other.status, &other.body), (200, &first.body));
        let head = deployment.request("HEAD", path, &[], None).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(
            (head.header("etag"), head.header("content-type")),
            (Some(tag.as_str()), first.header("content-type"))
        );
    }
    let tag = deployment.get("/v1/users").await.header("etag").unwrap().to_owned();
    deployment.cloudflare.add_member("new.hire@example.com", Vec::new());
    deployment.kv.forget_operations();
    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    deployment.wait_for_sync(crate::deployment::PATIENCE).await.unwrap();
    let after = deployment.request("GET", "/v1/users", &[("if-none-match", &tag)], None).await;
    assert_eq!(after.status, 200, "another account, another tag");
    assert_ne!(after.header("etag"), Some(tag.as_str()));
}

#[tokio::test]
async fn a_cursor_stays_with_its_generation_while_a_newer_one_is_published() {
    let deployment = Deployment::start().await.synced().await;
    let old = snapshot(&deployment, 1000).await;
    let first = deployment.json("/v1/grants?limit=5").await;
    let mut cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let mut grants: Vec<Value> = first["items"].as_array().unwrap().clone();

    let cloudflare = &deployment.cloudflare;
    let policies = vec![holds(cloudflare, &roles(cloudflare)[0])];
    for name in ["aaa", "mmm", "zzz"] {
        cloudflare.add_member(&format!("{name}@example.com"), policies.clone());
    }
    cloudflare.remove_member(&cloudflare.memberships()[4].id);
    assert_eq!(deployment.request("POST", "/v1/sync", &[], None).await.status, 202);
    deployment.wait_for_sync(crate::deployment::PATIENCE).await.unwrap();

    for _ in 0..200 {
        let page = deployment.json(&format!("/v1/grants?limit=5&cursor={cursor}")).await;
        assert_eq!(page["generation"], first["generation"]);
        grants.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let ids: Vec<String> = grants.iter().map(|grant| grant["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), old.grants.len(), "each once");
    assert_eq!(ids.into_iter().collect::<std::collections::BTreeSet<_>>(), old.grants);
    let now = deployment.json("/v1/grants").await;
    assert_ne!(now["generation"], first["generation"]);
    assert_is_account(&deployment).await;

    let manifest = format!("manifest/{}", first["generation"].as_str().unwrap());
    deployment.kv.delete(&manifest);
    let gone = deployment.get(&format!("/v1/grants?limit=5&cursor={cursor}")).await;
    assert_eq!((gone.status, assert_is_problem(&gone, "gone").as_str()), (410, "generation_gone"));
}

#[tokio::test]
async fn a_snapshot_that_has_not_arrived_or_is_damaged_is_said_to_be() {
    let deployment = Deployment::start().await.synced().await;
    let chunk = deployment.kv.keys_under("chunk/").into_iter().next().unwrap();
    let body = deployment.kv.get(&chunk).unwrap();
    deployment.kv.delete(&chunk);
    let missing = deployment.get("/v1/users").await;
    assert_eq!((missing.status, assert_is_problem(&missing, "missing").as_str()), (503, "not_replicated"));
    let mut damaged = body.to_vec();
    damaged[10] ^= 1;
    deployment.kv.put(&chunk, damaged);
    let corrupt = deployment.get("/v1/users").await;
    assert_eq!((corrupt.status, assert_is_problem(&corrupt, "corrupt").as_str()), (500, "snapshot_corrupt"));
    deployment.kv.put(&chunk, body);
    assert_eq!(deployment.get("/v1/users").await.status, 200);
}
