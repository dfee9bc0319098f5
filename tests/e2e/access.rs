//! Signing in by Cloudflare Access, with the runtime's own check of signatures: the team's keys, their rotation, and tokens that are none of
//! theirs.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sim::conductorone::{Algorithm, Key};

use crate::access_team::{AUDIENCE, TEAM, Team, claims, token};
use crate::deployment::Deployment;
use crate::looks::small;

#[allow(clippy::disallowed_methods, reason = "the runtime's own clock is the machine's")]
#[tokio::test]
async fn only_what_a_key_of_the_team_has_signed_opens_a_session_and_a_rotated_key_counts_at_once() {
    let connector =
        Deployment::with(small(), |options| options.var("ACCESS_TEAM_DOMAIN", TEAM).var("ACCESS_AUD", AUDIENCE)).await;
    let team = Team::new();
    connector.world.gateway.route(TEAM, Arc::new(team.clone()));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = claims("jane@example.com", now);
    let enter =
        async |sent: &str| connector.raw("GET", "/session/access", &[("cf-access-jwt-assertion", sent)], None).await;

    let good = token(&team.key(), &claims);
    let entered = enter(&good).await;
    assert_eq!(entered.status, 303, "{}", entered.text());
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = [("x-connector-page", "1"), ("cookie", cookie.as_str())];
    assert_eq!(connector.raw("GET", "/v1/status", &page, None).await.status, 200);

    let (signed, signature) = good.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let another = Key::stranger(Algorithm::Rs256);
    let mut pretending = another.clone();
    pretending.kid = team.key().kid;
    for (what, sent) in [
        ("another signature", format!("{signed}.{flipped}{}", &signature[1..])),
        ("another key", token(&another, &claims)),
        ("another key under the name of the team's", token(&pretending, &claims)),
        ("another algorithm", token(&Key::stranger(Algorithm::Es256), &claims)),
    ] {
        let refused = enter(&sent).await;
        assert_eq!((refused.status, &refused.json()["code"]), (401, &"access_refused".into()), "{what}");
    }

    team.rotate(true);
    assert_eq!(enter(&token(&team.key(), &claims)).await.status, 303);
    assert_eq!(enter(&good).await.status, 303, "the key before is listed still");
    team.rotate(false);
    assert_eq!(enter(&good).await.status, 401, "the key before is listed no more");
}
