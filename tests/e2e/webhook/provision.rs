//! Grants and revokes that C1 signed.

use sim::cloudflare::Route;
use sim::conductorone::{Algorithm, Delivery, Style, Task, Token};

use crate::jane::{EMAIL, Jane, completed};

#[tokio::test]
async fn a_grant_and_a_revoke_change_exactly_one_atom_however_the_payload_is_written() {
    let jane = Jane::start().await;
    for style in [Style::Full, Style::Compact] {
        jane.deployment.cloudflare.reset_log();
        let said = completed(&jane.deliver(&jane.grant(&jane.lacks).style(style)).await);
        assert_eq!(said, format!("Granted {} to {EMAIL}.", jane.lacks.name));
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        assert_eq!(jane.deployment.cloudflare.total_requests(), 3, "{:?}", jane.deployment.cloudflare.counts());

        jane.deployment.cloudflare.reset_log();
        let said = completed(&jane.deliver(&jane.revoke(&jane.lacks).style(style)).await);
        assert_eq!(said, format!("Revoked {} from {EMAIL}.", jane.lacks.name));
        jane.changed(&[], &[]);
        assert_eq!(jane.deployment.cloudflare.total_requests(), 4, "whether a group gives it as well is asked too");
    }
}

#[tokio::test]
async fn the_same_webhook_many_times_at_once_is_carried_out_once() {
    let jane = Jane::start().await;
    let delivery = jane.deployment.c1.task(&jane.grant(&jane.lacks));
    let outcomes = futures::future::join_all((0..8).map(|_| jane.deployment.deliver(&delivery))).await;
    for outcome in &outcomes {
        assert_eq!(completed(outcome), completed(&outcomes[0]));
    }
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 1);
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
}

#[tokio::test]
async fn every_algorithm_grants_and_a_broken_signature_does_not() {
    let jane = Jane::start().await;
    for algorithm in Algorithm::ALL {
        let token = Token::new().algorithm(algorithm);
        let forged = jane.deployment.c1.task(&jane.grant(&jane.lacks)).token(token.clone().broken_signature());
        assert_eq!(jane.deployment.send(&forged).await.status, 401);
        jane.changed(&[], &[]);
        let signed = |task: &Task| -> Delivery { jane.deployment.c1.task(task).token(token.clone()) };
        completed(&jane.deployment.deliver(&signed(&jane.grant(&jane.lacks))).await);
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        completed(&jane.deployment.deliver(&signed(&jane.revoke(&jane.lacks))).await);
    }
}
