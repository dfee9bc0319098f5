//! `PUT` and `DELETE /v1/roles/{role}/members/{user}`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sim::client::Answer;
use sim::cloudflare::{Atom, Fault, KnownPermissionGroup, PolicySpec, Route};

use crate::deployment::{Deployment, assert_is_problem, atom, holds, roles, small};

/// A connector to an account with Jane in it, who holds one role and is to have, or to lose, another.
pub(crate) struct Jane {
    pub(crate) deployment: Deployment,
    /// Her membership.
    pub(crate) member: String,
    /// Her user id.
    pub(crate) user: String,
    /// What she holds.
    pub(crate) has: KnownPermissionGroup,
    /// What she does not hold.
    pub(crate) lacks: KnownPermissionGroup,
    before: BTreeMap<String, BTreeSet<Atom>>,
}

pub(crate) const EMAIL: &str = "jane.doe@example.com";

impl Jane {
    pub(crate) async fn start() -> Self {
        Self::holding(1).await
    }

    /// Jane with a number of roles.
    async fn holding(count: usize) -> Self {
        Self::with(count, "on").await
    }

    pub(crate) async fn with(count: usize, provisioning: &str) -> Self {
        let deployment = Deployment::with(small(), |options| options.var("PROVISIONING", provisioning)).await;
        let cloudflare = &deployment.cloudflare;
        let roles = roles(cloudflare);
        let policies = roles.iter().take(count).map(|role| holds(cloudflare, role)).collect();
        let member = cloudflare.add_member(EMAIL, policies);
        let user = cloudflare.membership(&member).unwrap().user_id.unwrap();
        let (has, lacks) = (roles[0].clone(), roles[count].clone());
        let deployment = deployment.synced().await;
        deployment.cloudflare.reset_log();
        let before = everybody(&deployment);
        Self { deployment, member, user, has, lacks, before }
    }

    pub(crate) async fn call(&self, method: &str, role: &KnownPermissionGroup) -> Answer {
        let path = format!("/v1/roles/{}/members/{}", role.governed_as(), self.user);
        self.deployment.request(method, &path, &[], None).await
    }

    /// Checks that exactly these atoms of Jane's are new and these are gone, and that nobody else's are.
    pub(crate) fn changed(&self, added: &[Atom], removed: &[Atom]) {
        let mut expected = self.before.clone();
        let janes = expected.get_mut(&self.member).unwrap();
        janes.extend(added.iter().cloned());
        janes.retain(|atom| !removed.contains(atom));
        assert_eq!(everybody(&self.deployment), expected);
    }

    pub(crate) fn atom(&self, role: &KnownPermissionGroup) -> Atom {
        atom(&self.deployment.cloudflare, role)
    }

    /// The methods of what Cloudflare was asked, without what an account is asked once, before its first write: whether its member records
    /// show what user groups give.
    pub(crate) fn requests(&self) -> Vec<String> {
        let exchanges: Vec<_> = self.deployment.cloudflare.exchanges();
        let of_groups =
            |place: usize| exchanges.get(place).is_some_and(|exchange| exchange.path.contains("/iam/user_groups"));
        let mut kept = Vec::new();
        let mut place = 0;
        while let Some(exchange) = exchanges.get(place) {
            let groups = (place + 1..exchanges.len()).take_while(|place| of_groups(*place)).count();
            let again = exchanges
                .get(place + 1 + groups)
                .is_some_and(|next| next.path == exchange.path && next.method == "GET");
            if exchange.method == "GET" && groups > 0 && again {
                place += 1 + groups;
                continue;
            }
            kept.push(exchange.method.clone());
            place += 1;
        }
        kept
    }
}

/// Who holds what, of all members.
fn everybody(deployment: &Deployment) -> BTreeMap<String, BTreeSet<Atom>> {
    let members = deployment.cloudflare.memberships().into_iter();
    members.map(|member| (member.id.clone(), deployment.cloudflare.member_atoms(&member.id))).collect()
}

pub(crate) fn assert_done(answer: &Answer, status: &str) {
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(status)), "{}", answer.text());
    assert!(answer.json()["message"].as_str().is_some_and(|message| message.contains(EMAIL)), "{}", answer.text());
}

pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str, sentence: &str) {
    assert_eq!((answer.status, assert_is_problem(answer, code).as_str()), (status, code), "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains(sentence), "{}", answer.text());
}

#[tokio::test]
async fn a_grant_adds_exactly_one_atom_in_three_calls_and_a_revoke_takes_it_back() {
    let jane = Jane::start().await;
    let granted = jane.call("PUT", &jane.lacks).await;
    assert_done(&granted, "granted");
    let grant = format!("role:{}:member:user:{}", jane.lacks.governed_as(), jane.user);
    assert_eq!(granted.json()["grant"], json!(grant));
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET"]);
    assert!(jane.deployment.cloudflare.truth().grants.contains(&grant));

    jane.deployment.cloudflare.reset_log();
    assert_done(&jane.call("DELETE", &jane.lacks).await, "revoked");
    jane.changed(&[], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET"]);
}

#[tokio::test]
async fn what_is_so_already_is_left_alone() {
    let jane = Jane::start().await;
    assert_done(&jane.call("PUT", &jane.has).await, "already_granted");
    assert_done(&jane.call("DELETE", &jane.lacks).await, "already_revoked");
    jane.changed(&[], &[]);
    // The second one also asks which groups would give it.
    assert_eq!(jane.requests(), ["GET", "GET", "GET"]);
}

#[tokio::test]
async fn a_role_on_one_domain_is_granted_and_revoked_too() {
    let jane = Jane::start().await;
    let cloudflare = &jane.deployment.cloudflare;
    let role = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let (domain, _) = cloudflare.domain_resource_groups()[0].clone();
    let path = format!("/v1/scoped-roles/{}-{domain}/members/{}", role.id, jane.user);
    let scoped = (sim::cloudflare::Access::Allow, role.id, domain);
    assert_done(&jane.deployment.request("PUT", &path, &[], None).await, "granted");
    jane.changed(&[scoped], &[]);
    assert_done(&jane.deployment.request("DELETE", &path, &[], None).await, "revoked");
    jane.changed(&[], &[]);
}

#[tokio::test]
async fn super_administrator_which_no_list_names_can_be_granted() {
    let jane = Jane::start().await;
    let role = jane.deployment.cloudflare.permission_group("super_admin").unwrap();
    assert_done(&jane.call("PUT", &role).await, "granted");
    jane.changed(&[jane.atom(&role)], &[]);
}

#[tokio::test]
async fn what_nobody_knows_is_not_found() {
    let jane = Jane::start().await;
    let nobody = "f".repeat(32);
    let put = |path: String| {
        let jane = &jane;
        async move { jane.deployment.request("PUT", &path, &[], None).await }
    };
    let unknown_role = put(format!("/v1/roles/{nobody}/members/{}", jane.user)).await;
    assert_refused(&unknown_role, 404, "unknown_entitlement", &nobody);
    let unknown_user = put(format!("/v1/roles/{}/members/{nobody}", jane.lacks.governed_as())).await;
    assert_refused(&unknown_user, 404, "unknown_member", &nobody);
    let path = format!("/v1/roles/{}/members/{nobody}", jane.has.governed_as());
    let revoked = jane.deployment.request("DELETE", &path, &[], None).await;
    assert_eq!(revoked.json()["status"], "already_revoked", "nobody holds nothing: {}", revoked.text());
    let unknown_group = put(format!("/v1/groups/{nobody}/members/{}", jane.user)).await;
    assert_refused(&unknown_group, 404, "unknown_entitlement", &nobody);
    jane.changed(&[], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test]
async fn the_last_role_is_not_revoked() {
    let jane = Jane::start().await;
    assert_refused(&jane.call("DELETE", &jane.has).await, 409, "last_role", EMAIL);
    jane.changed(&[], &[]);
    assert_eq!(jane.requests(), ["GET"], "nothing was sent");
}

#[tokio::test]
async fn with_provisioning_off_it_says_what_it_would_have_done() {
    let jane = Jane::with(2, "off").await;
    assert_refused(&jane.call("PUT", &jane.lacks).await, 409, "provisioning_off", "would have granted");
    assert_refused(&jane.call("DELETE", &jane.has).await, 409, "provisioning_off", "would have revoked");
    assert_done(&jane.call("PUT", &jane.has).await, "already_granted");
    jane.changed(&[], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 0);
}

#[tokio::test]
async fn a_read_back_that_is_behind_is_waited_for() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.configure(|behaviour| behaviour.stale_reads_after_put = 1);
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET"], "one write, whatever was read meanwhile");
}

#[tokio::test]
async fn a_change_worked_out_from_a_read_that_is_behind_takes_nothing_back() {
    let jane = Jane::start().await;
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    // What Cloudflare shows next is Jane as she was before the grant.
    let current: Vec<PolicySpec> = [&jane.has, &jane.lacks].map(|role| holds(&jane.deployment.cloudflare, role)).into();
    jane.deployment.cloudflare.set_policies(&jane.member, current[..1].to_vec());
    jane.deployment.cloudflare.stale_reads(&jane.member, 1);
    jane.deployment.cloudflare.set_policies(&jane.member, current);
    let third = roles(&jane.deployment.cloudflare)[2].clone();
    assert_done(&jane.call("PUT", &third).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&third)], &[]);
}

#[tokio::test]
async fn what_somebody_else_wrote_over_ours_is_merged_with_it() {
    let jane = Jane::start().await;
    let theirs = roles(&jane.deployment.cloudflare)[3].clone();
    let (member, before) = (jane.member.clone(), holds(&jane.deployment.cloudflare, &jane.has));
    let foreign = holds(&jane.deployment.cloudflare, &theirs);
    // Their dashboard had read Jane before our write, and saves without it.
    jane.deployment.cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
        cloudflare.set_policies(&member, vec![before, foreign]);
    });
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks), jane.atom(&theirs)], &[]);
    assert_eq!(jane.requests(), ["GET", "PUT", "GET", "GET", "PUT", "GET"]);
}

#[tokio::test]
async fn a_write_that_cloudflare_forgot_is_not_called_done() {
    let jane = Jane::start().await;
    let (member, before) = (jane.member.clone(), holds(&jane.deployment.cloudflare, &jane.has));
    for _ in 0..3 {
        let (member, before) = (member.clone(), before.clone());
        jane.deployment.cloudflare.after_next(Route::UpdateMember, move |cloudflare, _| {
            cloudflare.set_policies(&member, vec![before]);
        });
    }
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 503, "not_now", "does not show it");
    jane.changed(&[], &[]);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_settled_by_reading() {
    for fault in [Fault::Reset.after(), Fault::status(500, 10_000).after(), Fault::TruncatedJson] {
        let jane = Jane::start().await;
        jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, fault.clone());
        assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
        jane.changed(&[jane.atom(&jane.lacks)], &[]);
        assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_never_arrived_is_written_again_at_once() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(500, 10_000));
    assert_done(&jane.call("PUT", &jane.lacks).await, "granted");
    jane.changed(&[jane.atom(&jane.lacks)], &[]);
    assert_eq!(jane.deployment.cloudflare.requests(Route::UpdateMember), 2);
}

#[tokio::test]
async fn a_write_that_cloudflare_refuses_is_refused_with_its_words() {
    let jane = Jane::start().await;
    jane.deployment.cloudflare.fail_next(Route::UpdateMember, 1, Fault::status(403, 9109));
    let answer = jane.call("PUT", &jane.lacks).await;
    assert_refused(&answer, 422, "cloudflare_refused", "9109");
    jane.changed(&[], &[]);
}

#[tokio::test]
async fn grants_and_revokes_of_one_member_at_once_are_all_carried_out() {
    let jane = Jane::holding(2).await;
    let all = roles(&jane.deployment.cloudflare);
    let grants = all[3..8].iter().map(|role| jane.call("PUT", role));
    let (granted, revoked) = tokio::join!(futures::future::join_all(grants), jane.call("DELETE", &jane.has));
    for answer in &granted {
        assert_done(answer, "granted");
    }
    assert_done(&revoked, "revoked");
    let added: Vec<Atom> = all[3..8].iter().map(|role| jane.atom(role)).collect();
    jane.changed(&added, &[jane.atom(&jane.has)]);
}

#[tokio::test]
async fn an_operation_stands_in_the_journal() {
    let jane = Jane::start().await;
    jane.call("PUT", &jane.lacks).await;
    let entries = jane.deployment.json("/v1/operations").await;
    let [entry] = entries["items"].as_array().unwrap().as_slice() else { panic!("{entries}") };
    assert_eq!((&entry["email"], &entry["state"]), (&json!(EMAIL), &json!("settled")), "{entry}");
    assert_eq!(entry["entitlement"], json!(format!("role:{}:member", jane.lacks.governed_as())));
    let one = jane.deployment.json(&format!("/v1/operations/{}", entry["id"])).await;
    assert_eq!(one["key"], entry["key"]);
    assert_eq!(jane.deployment.json("/v1/operations?member=nobody@example.com").await["items"], json!([]));
    let missing = jane.deployment.get("/v1/operations/4711").await;
    assert_eq!(missing.status, 404);
}
