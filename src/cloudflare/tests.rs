//! The calls that change something, against the simulated API. They stand here since nobody else can make a [`Cleared`].

use sim::cloudflare::{Fault, Permission, Route, Spec};
use support::World;

use super::{ApiError, Cleared, Client, ListPage, PageInfo, Purpose, Whom};
use crate::base::ports::{Clock as _, HttpError};
use crate::model::access::{Access, Policy, atoms};
use crate::model::id::MemberId;

#[path = "../../tests/support/mod.rs"]
mod support;

fn client(world: &World) -> Client<'_, World> {
    Client::new(world, &world.config.cloudflare, Purpose::Provisioning)
}

fn nobody() -> MemberId {
    "0123456789abcdef0123456789abcdef".parse().unwrap()
}

fn changes(member: MemberId) -> Cleared {
    Cleared::in_test(Whom::Member(member), false)
}

fn removes(member: MemberId) -> Cleared {
    Cleared::in_test(Whom::Member(member), true)
}

fn invites() -> Cleared {
    Cleared::in_test(Whom::Invited("zoë@example.com".to_owned()), false)
}

/// A policy that the account knows: its first account-wide permission group.
fn policy(world: &World) -> Policy {
    let group = world.cloudflare.permission_groups().into_iter().find(|group| group.account_wide).unwrap();
    Policy {
        access: Access::Allow,
        permission_groups: vec![group.id.parse().unwrap()],
        resource_groups: vec![world.cloudflare.account_resource_group().parse().unwrap()],
    }
}

#[tokio::test]
async fn a_member_is_read_changed_invited_and_removed() {
    let world = World::new(Spec { members: 60, ..Spec::default() });
    let client = client(&world);
    let page = client.members_page(2).await.unwrap();
    let info = page.info.unwrap();
    assert_eq!((page.items.len(), info.total_count, info.total_pages), (10, Some(60), Some(2)));

    let known = &page.items[0];
    let member = client.member(known.id).await.unwrap();
    assert_eq!(&member, known);
    let policies = [policy(&world)];
    let changed = client.update_policies(&changes(member.id), member.id, &policies).await.unwrap();
    assert_eq!(atoms(&changed.own_policies().unwrap()), atoms(&policies));

    let invited = client.invite(&invites(), "zoë@example.com", &policies).await.unwrap();
    assert_eq!((invited.user_id, invited.email.as_str()), (None, "zoë@example.com"));
    for code in [1004, 1008] {
        world.cloudflare.configure(|behaviour| behaviour.already_member_code = code);
        let again = client.invite(&invites(), "zoë@example.com", &policies).await.unwrap_err();
        assert!(matches!(again, ApiError::AlreadyExists(_)), "{again}");
    }
    client.remove_member(&removes(invited.id), invited.id).await.unwrap();
    for error in [
        client.remove_member(&removes(invited.id), invited.id).await.unwrap_err(),
        client.member(nobody()).await.unwrap_err(),
        client.update_policies(&changes(nobody()), nobody(), &policies).await.unwrap_err(),
    ] {
        assert!(matches!(&error, ApiError::NotFound(failure) if failure.ray.is_some()), "{error}");
    }
    assert!(world.cloudflare.unexpected().is_empty());
}

/// What the guards said of an invitation is said of no membership, whose member would be seen by nobody.
#[tokio::test]
async fn a_clearance_for_an_invitation_covers_nobodys_policies_and_groups() {
    let world = World::new(Spec { members: 5, groups: 1, ..Spec::default() });
    let client = client(&world);
    let policies = [policy(&world)];
    let invited = client.invite(&invites(), "zoë@example.com", &policies).await.unwrap();
    let somebody = client.members_page(1).await.unwrap().items.remove(0).id;
    let group = client.user_groups_page(1).await.unwrap().items.remove(0).id;
    world.cloudflare.reset_log();
    for member in [somebody, invited.id] {
        for refused in [
            client.update_policies(&invites(), member, &policies).await.map(drop),
            client.add_to_group(&invites(), group, member).await,
            client.remove_from_group(&invites(), group, member).await,
            client.remove_member(&invites(), member).await,
        ] {
            assert!(matches!(refused, Err(ApiError::Refused(_))), "{refused:?}");
        }
    }
    let joe = client.invite(&invites(), "joe@example.com", &policies).await;
    assert!(matches!(joe, Err(ApiError::Refused(_))), "{joe:?}");
    assert_eq!(world.cloudflare.total_requests(), 0);
    // Control: with a clearance of their own the invited one's groups and policies are written.
    client.update_policies(&changes(invited.id), invited.id, &policies).await.unwrap();
    client.add_to_group(&changes(invited.id), group, invited.id).await.unwrap();
}

#[test]
fn a_full_page_is_the_last_one_where_the_total_covers_it() {
    let pages = |number, here, total, total_pages| {
        let info = PageInfo { per_page: Some(50), total_count: Some(total), total_pages, ..PageInfo::default() };
        ListPage { items: vec![(); here], odd: Vec::new(), info: Some(info) }.pages(number, 50)
    };
    assert_eq!([pages(1, 50, 120, None), pages(2, 50, 100, None), pages(3, 20, 120, None)], [3, 2, 3]);
    assert_eq!([pages(2, 50, 90, None), pages(2, 50, 90, Some(5)), pages(2, 40, 90, None)], [3, 5, 2]);
    assert_eq!([pages(3, 20, 90, None), pages(3, 0, 90, None)], [3, 2]);
}

#[tokio::test]
async fn what_would_do_harm_is_not_sent() {
    let world = World::new(Spec { members: 5, ..Spec::default() });
    let client = client(&world);
    let empty = Policy { permission_groups: vec![], ..policy(&world) };
    let unknown = Policy { access: Access::Unknown, ..policy(&world) };
    for policies in [vec![], vec![empty], vec![unknown]] {
        let error = client.update_policies(&changes(nobody()), nobody(), &policies).await.unwrap_err();
        assert!(matches!(error, ApiError::Refused(_)), "{error}");
    }
    assert_eq!((world.cloudflare.total_requests(), client.sent()), (0, 0));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let world = World::new(Spec { members: 5, ..Spec::default() });
    let policies = [policy(&world)];
    let failing = async |fault: Fault| {
        let client = client(&world);
        world.cloudflare.fail_next(Route::UpdateMember, 1, fault);
        client.update_policies(&changes(nobody()), nobody(), &policies).await.unwrap_err()
    };
    let server = [
        Fault::status(500, 1),
        Fault::Html { status: 524 },
        Fault::Problem { status: 503, retryable: true, retry_after: None },
    ];
    for fault in server {
        let error = failing(fault).await;
        assert!(matches!(error, ApiError::Server(_)) && error.outcome_unknown() && error.is_retryable(), "{error}");
    }
    let reset = failing(Fault::Reset).await;
    assert!(matches!(reset, ApiError::Transport(HttpError::Connection(_))) && reset.outcome_unknown());
    let combination = failing(Fault::Status { status: 400, code: 1006, message: "invalid combination".into() }).await;
    assert!(matches!(&combination, ApiError::Invalid(failure) if failure.code == Some(1006)), "{combination}");
    let quota = failing(Fault::Status { status: 400, code: 429, message: "add limit reached".into() }).await;
    assert!(matches!(quota, ApiError::Quota(_)) && !quota.is_retryable());

    world.cloudflare.fail_next(Route::ListMembers, 1, Fault::TruncatedJson);
    let truncated = client(&world).members_page(1).await.unwrap_err();
    assert!(matches!(truncated, ApiError::Malformed { .. }) && truncated.status() == Some(200), "{truncated}");

    world.cloudflare.revoke_permission(Permission::Members);
    let forbidden = client(&world).members_page(1).await.unwrap_err();
    assert!(matches!(forbidden, ApiError::Forbidden(_)), "{forbidden}");

    let limited = failing(Fault::TooManyRequests { retry_after: Some(90), headers: false }).await;
    assert_eq!(limited.retry_at(), Some(world.now().plus_secs(90)), "{limited}");
    let blocked = client(&world).account().await.unwrap_err();
    assert_eq!(blocked, ApiError::OutOfBudget { until: world.now().plus_secs(90) });
    assert!(!blocked.outcome_unknown());
}

#[tokio::test]
async fn a_member_joins_and_leaves_a_user_group() {
    let world = World::new(Spec { members: 10, ..Spec::default() });
    let client = client(&world);
    let group = client.user_groups_page(1).await.unwrap().items.remove(0).id;
    assert_eq!(client.user_group(group).await.unwrap().id, group);
    let members = async || {
        let page = client.user_group_members_page(group, 1).await.unwrap();
        page.items.into_iter().map(|member| member.id).collect::<Vec<_>>()
    };
    let before = members().await;
    let all = client.members_page(1).await.unwrap().items;
    let newcomer = all.iter().map(|member| member.id).find(|id| !before.contains(id)).unwrap();
    client.add_to_group(&changes(newcomer), group, newcomer).await.unwrap();
    client.add_to_group(&changes(newcomer), group, newcomer).await.unwrap();
    assert_eq!(members().await.len(), before.len() + 1);
    client.remove_from_group(&changes(newcomer), group, newcomer).await.unwrap();
    assert_eq!(members().await, before);
    let again = client.remove_from_group(&changes(newcomer), group, newcomer).await.unwrap_err();
    assert!(matches!(again, ApiError::NotFound(_) | ApiError::Invalid(_)), "{again}");
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_a_member() {
    let world = World::new(Spec { members: 10, ..Spec::default() });
    let client = client(&world);
    let member = client.members_page(1).await.unwrap().items.remove(0);
    client.update_policies(&changes(member.id), member.id, &[policy(&world)]).await.unwrap();
    let (since, before) = (c1_cloudflare::base::time::Timestamp::from_secs(0), world.now().plus_secs(1_000_000_000));
    let page = client.audit_log(since, before, true, 100, None).await.unwrap();
    let of_the_member = |entry: &&super::AuditEntry| entry.resource_id == Some(member.id.to_string());
    assert_eq!(page.entries.iter().filter(of_the_member).count(), 1, "{page:?}");
}
