//! Nothing is put off for longer than its proof takes: what time alone mends is waited for until then, and no longer for what failed before.

use std::time::Duration;

use futures::future::join_all;
use sim::cloudflare::{Fault, Latency, PolicySpec, Route};
use tokio::time::sleep;

use super::alarm::{Small, run};

/// Some time that a few requests take.
const MOMENT: Duration = Duration::from_secs(2);

/// What a member has, as the simulated account has it.
fn has(small: &Small, member: usize, role: usize) -> bool {
    let atoms = small.account().member_atoms(&small.members[member]);
    atoms.iter().any(|atom| atom.1 == small.roles[role].id)
}

#[test]
fn a_write_that_nobody_answered_and_that_does_not_show_keeps_no_other_one_waiting() {
    run(1, async |small| {
        small.account().fail_next(Route::UpdateMember, 1, Fault::Reset);
        // Whoever sent it cannot read what became of it, and is put off.
        small.account().fail_later(Route::GetMember, 1, Fault::status(503, 10_000));
        let other = async {
            sleep(Duration::from_secs(1)).await;
            let took = small.grant(0, 2).await;
            assert!(took < Duration::from_millis(3_500) + MOMENT, "{took:?}");
        };
        tokio::join!(small.grant(0, 1), other);
        assert!(has(small, 0, 1) && has(small, 0, 2));
    });
}

#[test]
fn a_write_that_nobody_answered_and_that_was_carried_out_is_made_again_where_another_one_took_it_for_lost() {
    run(1, async |small| {
        small.account().fail_next(Route::UpdateMember, 1, Fault::Reset.after());
        let member = small.members[0].clone();
        small.account().fail_later(Route::GetMember, 1, Fault::status(503, 10_000));
        // Behind for longer than anybody looks: for the read before the write, and those of the other operation.
        small.account().stale_reads(&member, 5);
        let other = async {
            sleep(Duration::from_secs(1)).await;
            let took = small.grant(0, 2).await;
            assert!(took < Duration::from_millis(3_500) + MOMENT, "{took:?}");
            assert!(!has(small, 0, 1) && has(small, 0, 2), "it was written from the read that was behind");
        };
        tokio::join!(small.grant(0, 1), other);
        assert!(has(small, 0, 1) && has(small, 0, 2));
    });
}

#[test]
fn what_somebody_put_back_by_hand_is_believed_as_soon_as_no_read_is_as_far_behind_whatever_failed_before() {
    run(1, async |small| {
        let held = PolicySpec::allow(small.roles[0].id.clone(), small.account().account_resource_group());
        small.grant(0, 1).await;
        small.account().set_policies(&small.members[0], vec![held]);
        // Four attempts fail: from the fifth time on its own waits are longer than 40 s.
        small.account().fail_next(Route::GetMember, 4, Fault::status(503, 10_000));
        let took = small.grant(0, 2).await;
        assert!(took > Duration::from_secs(55) && took < Duration::from_mins(1) + MOMENT, "{took:?}");
        assert!(has(small, 0, 2) && !has(small, 0, 1), "what somebody else took away stays away");
    });
}

#[test]
fn a_revoke_is_told_in_the_moment_in_which_its_proof_is_there() {
    run(1, async |small| {
        // A write that would bring the role back is never answered; the grant of it goes on all the same.
        small.account().fail_next(Route::UpdateMember, 1, Fault::Reset);
        small.grant(0, 1).await;
        let took = small.revoke(0, 1).await;
        let proof = Duration::from_mins(40);
        assert!(took > Duration::from_mins(39) && took < proof + MOMENT, "{took:?}");
    });
}

#[test]
fn a_look_at_a_proof_that_fails_is_made_again_soon() {
    run(1, async |small| {
        small.account().fail_next(Route::UpdateMember, 1, Fault::Reset);
        small.grant(0, 1).await;
        let failing = async {
            // At about the time of its last look, and of some on the way there.
            for after in [30, 300, 600, 1_200, 250] {
                sleep(Duration::from_secs(after)).await;
                small.account().fail_next(Route::GetMember, 2, Fault::status(503, 10_000));
            }
        };
        let (took, ()) = tokio::join!(small.revoke(0, 1), failing);
        assert!(took < Duration::from_secs(40 * 60 + 20), "{took:?}");
    });
}

#[test]
fn who_waits_for_others_at_the_same_person_spends_no_try() {
    run(1, async |small| {
        // Each takes some seconds, and whoever has not had their turn after twenty is cut off, and comes again.
        small.account().set_latency(Latency { base: Duration::from_secs(2), jitter: Duration::ZERO });
        let took = join_all((1..12).map(|role| small.grant(0, role))).await;
        assert!(took.iter().all(|took| *took < Duration::from_secs(90)), "{took:?}");
        // Cut off within their turn, whenever that came.
        assert!(small.one("SELECT MAX(put_offs) FROM operation") <= Some(2));
    });
}
