//! `GET /v1/export/sync.c1z | users.csv | grants.csv`: of which generation a file is, and when there is none.

use std::time::Duration;

use futures::future::join_all;

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

const FILES: [&str; 3] = ["/v1/export/sync.c1z", "/v1/export/users.csv", "/v1/export/grants.csv"];

#[tokio::test(start_paused = true)]
async fn a_generation_can_be_pinned_until_it_is_swept() {
    let deployment = Deployment::start().await;
    for path in FILES {
        let early = deployment.get(path).await;
        assert_eq!((early.status, assert_is_problem(&early, path).as_str()), (503, "no_snapshot"));
    }
    let deployment = deployment.synced().await;
    let before = join_all(FILES.map(|path| deployment.get(path))).await;
    let generation = before[0].header("x-generation").unwrap().to_owned();
    deployment.cloudflare.add_member("new.hire@example.com", Vec::new());
    let deployment = deployment.synced().await;
    for (path, before) in FILES.into_iter().zip(before) {
        let now = deployment.get(path).await;
        assert_ne!((now.header("etag"), &now.body), (before.header("etag"), &before.body), "{path}");
        let pinned = deployment.get(&format!("{path}?generation={generation}")).await;
        assert_eq!((pinned.status, pinned.header("etag"), &pinned.body), (200, before.header("etag"), &before.body));
    }
    let name = format!("manifest/{generation}");
    let manifest = deployment.lose(&name);
    // It was published a moment ago: it is on its way to this place.
    for path in FILES {
        let pinned = format!("{path}?generation={generation}");
        let answer = deployment.get(&pinned).await;
        assert_eq!((answer.status, assert_is_problem(&answer, path).as_str()), (503, "not_replicated"));
        deployment.keep(&name, manifest.clone());
        assert_eq!(deployment.get(&pinned).await.status, 200, "{path}");
        deployment.lose(&name);
    }
    // What does not come in minutes is gone.
    deployment.wait(Duration::from_mins(6)).await;
    for path in FILES {
        for gone in [generation.as_str(), "20200101T000000Z-00000000", "../current"] {
            let answer = deployment.get(&format!("{path}?generation={gone}")).await;
            assert_eq!((answer.status, assert_is_problem(&answer, path).as_str()), (410, "generation_gone"));
            assert!(answer.text().contains("leave `generation` out"), "{}", answer.text());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_of_which_something_is_missing_is_not_begun() {
    let deployment = Deployment::start().await.synced().await;
    let chunk = deployment.names_under("chunk/").pop().unwrap();
    deployment.lose(&chunk);
    let answers = join_all(FILES.map(|path| deployment.get(path))).await;
    for (path, refused) in FILES.into_iter().zip(answers) {
        assert_eq!((refused.status, assert_is_problem(&refused, path).as_str()), (503, "not_replicated"));
        assert!(refused.text().contains(&format!("{chunk} ")), "{}", refused.text());
    }
}
