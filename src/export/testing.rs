//! Accounts for the tests of the files.

use crate::base::tree::{BTreeMap, BTreeSet};

use futures::executor::block_on;

use super::{ExportError, File, Insights, open};
use crate::base::fakes::Desk;
use crate::base::time::Timestamp;
use crate::model::access::{Access, Atom};
use crate::model::resource::{Group, Member, MemberStatus, Role, Row, ScopedRole, Token};
use crate::snapshot::{self, Draft, Naming, Snapshot, publish};

/// An id, spread over the id space as real ids are.
pub(crate) fn hex<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: usize) -> T {
    let high = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{high:016x}{n:016x}").parse().unwrap()
}

/// The resource group that is the whole account.
pub(crate) const WHOLE: usize = 0;

pub(crate) fn atom(permission_group: usize, resource_group: usize) -> Atom {
    Atom { access: Access::Allow, permission_group: hex(permission_group), resource_group: hex(resource_group) }
}

pub(crate) fn role(n: usize, name: &str) -> Row {
    Row::Role(Role {
        id: hex(n),
        name: name.to_owned(),
        description: Some(format!("What {name} may do.")),
        permission_group: Some(hex(n)),
        label: None,
        ends: None,
    })
}

pub(crate) fn scoped(n: usize, on: usize) -> Row {
    Row::ScopedRole(ScopedRole {
        permission_group: hex(n),
        resource_group: hex(on),
        permission_group_name: format!("Domain Role {n}"),
        resource_group_name: format!("zone{on}.example"),
        scope: crate::model::scope::Scope::default(),
        unlisted: 0,
        ends: None,
    })
}

pub(crate) fn group(n: usize, name: &str, atoms: &[Atom]) -> Row {
    Row::Group(Group { id: hex(n), name: name.to_owned(), atoms: atoms.to_vec() })
}

pub(crate) fn token(n: usize) -> Row {
    Row::ApiToken(Token {
        issued_on: Timestamp::parse("2026-01-02T03:04:05Z"),
        expires_on: Timestamp::parse("2027-01-02T03:04:05.250Z"),
        last_used_day: Some("2026-08-21".to_owned()),
        ..Token::bare(hex(n), format!("Token {n}"))
    })
}

/// An accepted member, whose membership has another id than the person.
pub(crate) fn member(n: usize, atoms: &[Atom], groups: &[usize]) -> Member {
    Member {
        member_id: hex(n + 1_000_000),
        user_id: Some(hex(n)),
        email: format!("member{n}@example.com"),
        status: MemberStatus::Accepted,
        first_name: Some(format!("First{n}")),
        last_name: Some(format!("Last{n}")),
        two_factor: Some(n.is_multiple_of(2)),
        atoms: atoms.to_vec(),
        groups: groups.iter().map(|&group| hex(group)).collect(),
        signs: crate::model::signs::Signs::default(),
    }
}

pub(crate) fn invited(n: usize, atoms: &[Atom]) -> Member {
    Member {
        user_id: None,
        status: MemberStatus::Pending,
        first_name: None,
        last_name: None,
        two_factor: None,
        ..member(n, atoms, &[])
    }
}

/// An account with something of everything, in which each member has three grants of their own. User groups hold what some
/// members hold already.
pub(crate) fn account(members: usize) -> Vec<Row> {
    let mut rows = vec![token(900), token(901)];
    rows.extend((1..=20).map(|n| role(n, &format!("Role {n}"))));
    rows.extend([scoped(30, 40), scoped(31, 40), scoped(31, 41)]);
    rows.push(group(50, "Engineers", &[atom(1, WHOLE), atom(2, WHOLE), atom(30, 40)]));
    rows.push(group(51, "Nobody's", &[]));
    for n in 0..members {
        let atoms = [atom(n % 19 + 1, WHOLE), atom(20, WHOLE), atom(31, 40 + n % 2)];
        rows.push(Row::member(match n % 20 {
            19 => invited(n, &atoms),
            7 => member(n, &atoms, &[50]),
            _ => member(n, &atoms, &[]),
        }));
    }
    rows
}

/// A desk on which the rows are published.
pub(crate) fn published(rows: Vec<Row>) -> (Desk, Snapshot) {
    let desk = Desk::new();
    snapshot::init(&desk).unwrap();
    let rows: BTreeMap<String, Row> = rows.into_iter().map(|row| (row.key(), row)).collect();
    let naming = Naming { account_resource_group: Some(hex(WHOLE)), roles: BTreeMap::default() };
    let draft = Draft {
        account_id: desk.account(),
        started_at: desk.time.get(),
        posture: crate::snapshot::Posture::default(),
        capabilities: BTreeMap::default(),
        naming,
        previous: None,
    };
    let manifest = block_on(publish(&desk, draft, rows.into_values())).unwrap().manifest;
    desk.gets.borrow_mut().clear();
    (desk, Snapshot::of(manifest))
}

/// What a file is sent as: pieces of as many bytes as were announced, unless an error ends it.
pub(crate) fn pieces(desk: &Desk, snapshot: &Snapshot, file: File) -> (Vec<Vec<u8>>, Result<(), ExportError>) {
    pieces_with(desk, snapshot, file, Insights::default())
}

fn pieces_with(
    desk: &Desk,
    snapshot: &Snapshot,
    file: File,
    insights: Insights,
) -> (Vec<Vec<u8>>, Result<(), ExportError>) {
    block_on(async {
        let mut export = match open(desk, snapshot.clone(), file, insights).await {
            Ok(export) => export,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut pieces = Vec::new();
        loop {
            match export.next().await {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => {
                    assert_eq!(pieces.iter().map(|piece| piece.len() as u64).sum::<u64>(), export.length());
                    return (pieces, Ok(()));
                }
                Err(error) => return (pieces, Err(error)),
            }
        }
    })
}

/// A whole `.c1z` with insights.
pub(crate) fn whole_with(desk: &Desk, snapshot: &Snapshot, insights: Insights) -> Vec<u8> {
    let (pieces, end) = pieces_with(desk, snapshot, File::C1z, insights);
    end.unwrap();
    pieces.concat()
}

/// A whole file.
pub(crate) fn whole(desk: &Desk, snapshot: &Snapshot, file: File) -> Vec<u8> {
    let (pieces, end) = pieces(desk, snapshot, file);
    end.unwrap();
    assert!(pieces.iter().all(|piece| !piece.is_empty()));
    pieces.concat()
}

/// Every grant's id by the rule that people are told by: own ones, and those through user groups.
pub(crate) fn grants(rows: &[Row]) -> (BTreeSet<String>, BTreeSet<String>) {
    let naming = Naming { account_resource_group: Some(hex(WHOLE)), roles: BTreeMap::default() };
    let mut own = BTreeSet::new();
    let mut derived = BTreeSet::new();
    for row in rows {
        for (entitlement, principal) in naming.grants_of(row) {
            own.insert(entitlement.grant_id(principal));
        }
        let Some(member) = row.as_member() else { continue };
        for group in rows {
            if let Row::Group(known) = group
                && member.groups.contains(&known.id)
            {
                for (entitlement, _) in naming.grants_of(group) {
                    derived.insert(entitlement.grant_id(member.principal()));
                }
            }
        }
    }
    derived.retain(|grant| !own.contains(grant));
    (own, derived)
}
