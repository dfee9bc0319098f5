//! Rows as another implementation of protobuf reads them.

use crate::base::tree::BTreeMap;

use super::pb::{
    Entitlement, Grant, GrantExpandable, Id, Nothing, Resource, ResourceId, ResourceType, SecretTrait, Status,
    Timestamp, UserTrait, exact, read,
};
use super::wire::Message;
use super::{EmbeddedResource, at_most, entitlement, expansion, grant, resource, resource_types};
use crate::export::directory::PersonGrant;
use crate::export::testing::{WHOLE, atom, group, hex, invited, member, role, scoped, token};
use crate::model::id::UserId;
use crate::model::resource::{Member, MemberStatus, Role, Row};
use crate::model::signs::Signs;

/// An id's text.
fn text(n: usize) -> String {
    hex::<UserId>(n).to_string()
}

fn decoded(row: &Row) -> Resource {
    exact(&resource(row).2)
}

/// The type and id that are on every resource, and in its profile what is expected.
fn check(resource: &Resource, kind: &str, id: &str, profile: &[(&str, &str)]) {
    let named = resource.id.as_ref().unwrap();
    assert_eq!((named.resource_type.as_str(), named.resource.as_str()), (kind, id));
    assert_eq!(
        resource.profile.as_ref().unwrap().texts(),
        profile.iter().copied().collect::<std::collections::BTreeMap<_, _>>()
    );
}

#[test]
fn a_user_is_told_as_the_reference_has_it() {
    let jane = Member {
        first_name: Some("Jane".to_owned()),
        last_name: Some("Doe".to_owned()),
        email: "jane.doe@example.com".to_owned(),
        two_factor: Some(true),
        ..member(5, &[], &[])
    };
    let resource = decoded(&Row::member(jane));
    check(
        &resource,
        "user",
        &text(5),
        &[
            ("login", "jane.doe@example.com"),
            ("first_name", "Jane"),
            ("last_name", "Doe"),
            ("email", "jane.doe@example.com"),
            ("status", "Accepted"),
            ("member_id", &text(1_000_005)),
            ("cloudflare_user_id", &text(5)),
        ],
    );
    assert_eq!(resource.display_name, "Jane Doe");
    assert_eq!(resource.status, Some(Status { status: 1, details: "Accepted".to_owned() }));
    let [user, raw] = resource.annotations.as_slice() else { panic!("{:?}", resource.annotations) };
    assert_eq!(raw.unpack::<Id>("RawId").id, text(5));
    let user: UserTrait = user.unpack("UserTrait");
    assert_eq!((user.emails[0].address.as_str(), user.emails[0].is_primary), ("jane.doe@example.com", true));
    assert_eq!((user.login.as_str(), user.account_type), ("jane.doe@example.com", 1));
    assert_eq!(user.status, Some(Status { status: 1, details: String::new() }));
    assert!(user.mfa_status.unwrap().mfa_enabled);
    let name = user.structured_name.unwrap();
    assert_eq!((name.given_name.as_str(), name.family_name.as_str()), ("Jane", "Doe"));
}

#[test]
fn what_is_not_known_of_a_person_is_left_out() {
    let bare = Member { first_name: None, last_name: None, two_factor: None, ..member(5, &[], &[]) };
    let (_, _, bytes) = resource(&Row::member(bare.clone()));
    let resource: Resource = read(&bytes);
    let user: UserTrait = resource.annotations[0].unpack("UserTrait");
    assert_eq!((user.mfa_status, user.structured_name), (None, None));
    assert_eq!(resource.display_name, "member5@example.com");
    assert_eq!(resource.profile.unwrap().texts()["first_name"], "");
    let off = decoded(&Row::member(Member { two_factor: Some(false), ..member(5, &[], &[]) }));
    let user: UserTrait = off.annotations[0].unpack("UserTrait");
    assert_eq!(user.mfa_status.map(|mfa| mfa.mfa_enabled), Some(false), "no second factor is known, and not nothing");
}

#[test]
fn a_last_login_is_told_by_its_day_and_changes_stand_in_the_profile() {
    let mut jane = member(5, &[], &[]);
    jane.signs = Signs {
        last_login_day: Some("2026-11-20".to_owned()),
        last_change_day: Some("2026-11-18".to_owned()),
        last_change_from: Some("the dashboard".to_owned()),
        products: vec!["dns".to_owned(), "waf".to_owned()],
    };
    let resource = decoded(&Row::member(jane));
    let user: UserTrait = resource.annotations[0].unpack("UserTrait");
    assert_eq!(user.last_login, Some(Timestamp { seconds: 1_795_132_800, nanos: 0 }));
    let profile = resource.profile.unwrap();
    let texts = profile.texts();
    assert_eq!(
        ["last_change_at", "last_change_from", "products_changed"].map(|name| texts[name]),
        ["2026-11-18", "the dashboard", "dns, waf"]
    );
    // Of who is known to have changed nothing else is told, and no time stands in for a login.
    let bare = decoded(&Row::member(member(5, &[], &[])));
    assert_eq!(bare.annotations[0].unpack::<UserTrait>("UserTrait").last_login, None);
    assert!(!bare.profile.unwrap().texts().contains_key("last_change_at"));
}

#[test]
fn an_empty_text_in_a_profile_is_written_as_go_does() {
    // A map's entry has key and value, whatever they are; so has the oneof.
    let bytes = Message::texts(&[("a", "")]).into_bytes();
    assert_eq!(bytes, [0x0a, 7, 0x0a, 1, b'a', 0x12, 2, 0x1a, 0]);
}

#[test]
fn an_invitation_is_a_person_who_may_still_come() {
    let pending = decoded(&Row::member(invited(6, &[])));
    let email = "member6@example.com";
    check(
        &pending,
        "invitation",
        &text(1_000_006),
        &[("email", email), ("status", "Pending"), ("member_id", &text(1_000_006))],
    );
    assert_eq!(pending.status, Some(Status { status: 1, details: "Pending".to_owned() }));
    let rejected = decoded(&Row::member(Member { status: MemberStatus::Other, ..invited(6, &[]) }));
    assert_eq!(rejected.status, Some(Status { status: 2, details: "Other".to_owned() }));
    let user: UserTrait = rejected.annotations[0].unpack("UserTrait");
    assert_eq!(user.status.unwrap().status, 2);
}

#[test]
fn roles_groups_and_tokens_have_their_traits() {
    let resource = decoded(&role(1, "Administrator Read Only"));
    check(&resource, "role", &text(1), &[("role_id", &text(1)), ("role_name", "Administrator Read Only")]);
    assert_eq!(resource.description, "What Administrator Read Only may do.");
    resource.annotations[0].unpack::<Nothing>("RoleTrait");
    assert_eq!(resource.annotations[1].unpack::<Id>("RawId").id, text(1));

    let resource = decoded(&scoped(2, 3));
    let profile = [
        ("permission_group_id", &*text(2)),
        ("permission_group_name", "Domain Role 2"),
        ("resource_group_id", &*text(3)),
        ("resource_group_name", "zone3.example"),
        ("role_name", "Domain Role 2 on zone3.example"),
    ];
    check(&resource, "scoped_role", &format!("{}-{}", text(2), text(3)), &profile);
    resource.annotations[0].unpack::<Nothing>("RoleTrait");
    assert_eq!((resource.annotations.len(), resource.display_name.as_str()), (1, "Domain Role 2 on zone3.example"));

    let Row::ScopedRole(mut reaching) = scoped(2, 3) else { panic!() };
    for (n, name) in [(1, "shop.example"), (2, "example.com"), (3, "")] {
        reaching.scope.0.insert(format!("com.cloudflare.api.account.zone.{n}"), name.to_owned());
    }
    let row = Row::ScopedRole(reaching);
    let all = [profile.as_slice(), &[("scope", "example.com, shop.example, domain 3")]].concat();
    let all: Vec<_> = all
        .into_iter()
        .map(|(name, text)| (name, if name == "role_name" { "Domain Role 2 on example.com and 2 more" } else { text }))
        .collect();
    check(&decoded(&row), "scoped_role", &format!("{}-{}", text(2), text(3)), &all);

    let resource = decoded(&group(4, "Engineers", &[]));
    check(&resource, "group", &text(4), &[("group_id", &text(4)), ("group_name", "Engineers")]);
    resource.annotations[0].unpack::<Nothing>("GroupTrait");

    let resource = decoded(&token(5));
    check(&resource, "api_token", &text(5), &[("status", "active"), ("token_id", &text(5)), ("token_name", "Token 5")]);
    let secret: SecretTrait = resource.annotations[0].unpack("SecretTrait");
    let issued = Some(Timestamp { seconds: 1_767_323_045, nanos: 0 });
    assert_eq!((secret.created_at.as_ref(), resource.created_at.as_ref()), (issued.as_ref(), issued.as_ref()));
    assert_eq!(secret.expires_at, Some(Timestamp { seconds: 1_798_859_045, nanos: 250_000_000 }));
    assert_eq!(secret.last_used_at, Some(Timestamp { seconds: 1_787_270_400, nanos: 0 }));
    assert_eq!((secret.credential_type, secret.credential_detail.as_str()), (1, "cloudflare.account_api_token"));
    assert_eq!(resource.status, Some(Status { status: 1, details: "Active".to_owned() }));
    assert_eq!((secret.created_by_id, secret.identity_id), (None, None), "nobody is invented");
}

#[test]
fn a_token_tells_who_made_it_and_what_it_may_do_and_an_oauth_client_that_it_is_nobodys_person() {
    let Row::ApiToken(mut made) = token(5) else { panic!() };
    made.creator = Some("jane@example.com".to_owned());
    made.creator_is = Some(format!("user:{}", text(6)));
    made.provisioner = Some(("oauth".to_owned(), Some("client-1".to_owned())));
    made.provisioner_is = Some("oauth_client:client-1".to_owned());
    made.from = vec!["192.0.2.0/24".to_owned()];
    made.is_own = true;
    let groups = [("b".to_owned(), "Zone Read".to_owned()), ("a".to_owned(), "DNS Write".to_owned())];
    let on = [("com.cloudflare.api.account.zone.1".to_owned(), "example.com".to_owned())];
    let (groups, scope) = (groups.into_iter().collect(), crate::model::scope::Scope(on.into_iter().collect()));
    made.policies =
        vec![crate::model::resource::TokenPolicy { access: crate::model::access::Access::Allow, groups, scope }];
    let resource = decoded(&Row::ApiToken(made));
    let secret: SecretTrait = resource.annotations[0].unpack("SecretTrait");
    let id = |kind: &str, id: &str| {
        Some(ResourceId { resource_type: kind.to_owned(), resource: id.to_owned(), baton_resource: false })
    };
    assert_eq!((secret.created_by_id, secret.identity_id), (id("user", &text(6)), id("oauth_client", "client-1")));
    let profile = resource.profile.unwrap();
    let profile = profile.texts();
    for (name, told) in [
        ("access", "DNS Write and 1 more on example.com"),
        ("permission_groups", "DNS Write, Zone Read"),
        ("allowed_from", "192.0.2.0/24"),
        ("creator_email", "jane@example.com"),
        ("provisioner", "oauth client-1"),
        ("is_connector", "true"),
    ] {
        assert_eq!(profile.get(name), Some(&told), "{name}");
    }

    let client = crate::model::resource::OauthClient {
        id: "client-1".parse().unwrap(),
        name: "Deploy bot".to_owned(),
        visibility: "public".to_owned(),
        scopes: vec!["account.read".to_owned()],
        redirect_uris: vec!["https://app.example.com/callback".to_owned()],
        created_at: None,
    };
    let resource = decoded(&Row::OauthClient(client));
    let fields = [
        ("client_id", "client-1"),
        ("client_name", "Deploy bot"),
        ("redirect_uris", "https://app.example.com/callback"),
        ("scopes", "account.read"),
        ("visibility", "public"),
    ];
    check(&resource, "oauth_client", "client-1", &fields);
    let of: Vec<&str> = resource.annotations.iter().map(|any| any.type_url.rsplit_once('.').unwrap().1).collect();
    assert_eq!(of, ["AppTrait", "RawId", "NonHumanIdentityTrait"]);
}

#[test]
fn the_types_have_traits_and_annotations() {
    let types: BTreeMap<&str, ResourceType> =
        resource_types().into_iter().map(|(id, bytes)| (id, exact(&bytes))).collect();
    let expected = [
        ("api_token", 5),
        ("group", 2),
        ("invitation", 1),
        ("oauth_client", 4),
        ("role", 3),
        ("scoped_role", 3),
        ("user", 1),
    ];
    for (id, of) in expected {
        assert_eq!((types[id].id.as_str(), types[id].traits.as_slice()), (id, [of].as_slice()));
    }
    assert_eq!(types.len(), expected.len());
    let names = |id: &str| -> Vec<&str> {
        types[id].annotations.iter().map(|any| any.type_url.rsplit_once('.').unwrap().1).collect()
    };
    assert_eq!(names("user"), ["V1Identifier", "SkipEntitlementsAndGrants"]);
    assert_eq!(names("invitation"), ["V1Identifier", "SkipEntitlementsAndGrants", "SkipSyncAnomalyDetection"]);
    assert_eq!(names("role"), ["V1Identifier"]);
    assert_eq!(types["role"].annotations[0].unpack::<Id>("V1Identifier").id, "role");
    assert!(names("group").is_empty() && names("scoped_role").is_empty());
}

#[test]
fn an_entitlement_is_told_as_the_reference_has_it() {
    let row = role(1, "Administrator Read Only");
    let entitlement: Entitlement = exact(&entitlement(&row.offer().unwrap(), &EmbeddedResource::of(&row)));
    assert_eq!(entitlement.id, format!("role:{}:member", text(1)));
    assert_eq!((entitlement.slug.as_str(), entitlement.purpose), ("member", 1));
    assert_eq!(entitlement.display_name, "Administrator Read Only Member Role");
    assert_eq!(entitlement.description, "Has the Administrator Read Only role in Cloudflare");
    let to: Vec<(&str, &[i32])> =
        entitlement.grantable_to.iter().map(|kind| (kind.id.as_str(), kind.traits.as_slice())).collect();
    assert_eq!(to, [("user", [1].as_slice()), ("invitation", &[1]), ("group", &[2])]);
    assert_eq!(entitlement.resource.unwrap().id.unwrap().resource, text(1));
}

fn a_grant(direct: bool, through: &[usize]) -> Grant {
    let row = role(1, "Administrator");
    let offer = row.offer().unwrap();
    let held = PersonGrant {
        entitlement: offer.entitlement,
        direct,
        through: through.iter().map(|&group| hex(group)).collect(),
    };
    let jane = member(5, &[atom(1, WHOLE)], &[]);
    let bytes = grant(&held, &offer, &EmbeddedResource::of(&row), jane.principal(), Some(jane.member_id));
    exact(&bytes)
}

#[test]
fn a_grant_of_ones_own_has_the_entitlements_id_and_resource() {
    let grant = a_grant(true, &[]);
    assert_eq!(grant.id, format!("role:{}:member:user:{}", text(1), text(5)));
    let entitlement = grant.entitlement.unwrap();
    assert_eq!((entitlement.id, entitlement.slug), (format!("role:{}:member", text(1)), String::new()));
    assert_eq!(entitlement.resource.unwrap().profile.unwrap().texts()["role_name"], "Administrator");
    let principal = grant.principal.unwrap();
    assert_eq!(principal.id.unwrap().resource, text(5));
    assert_eq!((principal.annotations.len(), principal.profile), (0, None));
    let id = grant.annotations[0].unpack::<Id>("V1Identifier").id;
    assert_eq!(id, format!("grant:membership:{}:{}", text(1), text(1_000_005)));
    assert_eq!(grant.sources, None);
}

#[test]
fn a_grant_through_groups_names_them_and_cannot_be_revoked_by_itself() {
    let sources = |grant: &Grant| -> Vec<String> {
        let sources = &grant.sources.as_ref().unwrap().sources;
        assert!(sources.values().all(|source| source.is_direct));
        sources.keys().cloned().collect()
    };
    let derived = a_grant(false, &[50, 51]);
    derived.annotations[0].unpack::<Nothing>("GrantImmutable");
    assert_eq!(derived.entitlement.as_ref().unwrap().slug, "member");
    let mut groups = vec![format!("group:{}:member", text(50)), format!("group:{}:member", text(51))];
    groups.sort();
    assert_eq!(sources(&derived), groups);
    let both = a_grant(true, &[50]);
    assert_eq!(sources(&both), [format!("group:{}:member", text(50)), format!("role:{}:member", text(1))]);
    both.annotations[0].unpack::<Id>("V1Identifier");
    let expandable: GrantExpandable = exact(&expansion(hex(50)));
    assert_eq!(expandable.entitlement_ids, [format!("group:{}:member", text(50))]);
    assert_eq!((expandable.shallow, expandable.resource_type_ids), (false, vec!["user".into(), "invitation".into()]));
}

#[test]
fn what_is_longer_than_the_model_allows_is_cut_between_letters() {
    assert_eq!(at_most("Zoë", 3), "Zo");
    assert_eq!(at_most("Zoë", 4), "Zoë");
    let Row::Role(known) = role(1, "x") else { panic!() };
    let long = Row::Role(Role { description: Some("ë".repeat(5_000)), ..known });
    assert_eq!(decoded(&long).description, "ë".repeat(1_024));
    // A name ends at the same limit on its resource, on its entitlement, and on the resource that both that and a grant carry along.
    let long = role(1, &"ë".repeat(1_000));
    let told: Entitlement = exact(&entitlement(&long.offer().unwrap(), &EmbeddedResource::of(&long)));
    for name in [decoded(&long).display_name, told.display_name, told.resource.unwrap().display_name] {
        assert_eq!(name, "ë".repeat(512));
    }
    // The longest that is told in full.
    assert_eq!(decoded(&group(4, &"ë".repeat(512), &[])).display_name, "ë".repeat(512));
}

#[test]
fn times_before_1970_are_times() {
    let timestamp: Timestamp = exact(&Message::timestamp(-1_500).into_bytes());
    assert_eq!((timestamp.seconds, timestamp.nanos), (-2, 500_000_000));
}
