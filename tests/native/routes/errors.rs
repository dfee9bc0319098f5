//! What is not there, and how that is said.

use crate::deployment::Deployment;
use crate::looks::assert_is_problem;

const ID: &str = "05784afa30c1afe1440e79d9351c7430";

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let deployment = Deployment::start().await;
    for path in ["/", "/v1", "/v1/", "/v2/users", "/v1/zones", "/V1/users", "/healthz/", "/favicon.ico", "/v1/sync/now"]
    {
        let answer = deployment.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(assert_is_problem(&answer, path), "not_found");
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_sync_there_is_no_snapshot() {
    let deployment = Deployment::start().await;
    for path in ["/v1/users", "/v1/grants", "/v1/changes", &format!("/v1/users/{ID}")] {
        let answer = deployment.get(path).await;
        assert_eq!((answer.status, assert_is_problem(&answer, path).as_str()), (503, "no_snapshot"), "{path}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.text().contains("/v1/sync"), "it says what to do: {}", answer.text());
    }
    let head = deployment.request("HEAD", "/v1/users", &[], None).await;
    assert_eq!((head.status, head.body.len()), (503, 0));
}
