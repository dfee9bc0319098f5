//! Publishing and reading back, over a key-value store that can fail.

use crate::base::tree::{BTreeMap, BTreeSet};

use futures::executor::block_on;

use super::{
    Change, ChangeKind, Draft, GenerationId, Manifest, Naming, Overlay, Publication, PublishError, Scan, Snapshot,
    SnapshotError, diff, latest, publish, sweep,
};
use crate::base::fakes::{Desk, Fault};
use crate::base::ports::{Clock, Sql as _};
use crate::model::access::{Access, Atom};
use crate::model::grant::{Entitlement, Principal};
use crate::model::kind::Kind;
use crate::model::resource::{Member, MemberStatus, Role, Row};

fn hex<T: std::str::FromStr<Err = crate::model::id::InvalidId>>(n: usize) -> T {
    // Spread over the id space, as real ids are.
    let high = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{high:016x}{n:016x}").parse().unwrap()
}

fn role(n: usize) -> Row {
    Row::Role(Role {
        id: hex(n),
        name: format!("Role {n}"),
        description: None,
        permission_group: Some(hex(n)),
        label: None,
        ends: None,
    })
}

fn member(n: usize, roles: &[usize]) -> Row {
    let atoms = roles.iter().map(|&n| Atom { access: Access::Allow, permission_group: hex(n), resource_group: hex(0) });
    Row::member(Member {
        member_id: hex(n),
        user_id: Some(hex(n)),
        email: format!("member{n}@example.com"),
        status: MemberStatus::Accepted,
        first_name: None,
        last_name: None,
        two_factor: None,
        atoms: atoms.collect(),
        groups: Vec::new(),
        signs: crate::model::signs::Signs::default(),
    })
}

/// Ten roles, and members of whom each has two of the first nine.
fn account(members: usize) -> BTreeMap<String, Row> {
    let roles = (1..=10).map(role);
    let members = (0..members).map(|n| member(n, &[n % 9 + 1, n % 5 + 1]));
    roles.chain(members).map(|row| (row.key(), row)).collect()
}

fn desk() -> Desk {
    let desk = Desk::new();
    super::init(&desk).unwrap();
    desk
}

fn publish_on(
    desk: &Desk,
    rows: &BTreeMap<String, Row>,
    previous: Option<&Manifest>,
) -> Result<Publication, PublishError> {
    desk.advance(900);
    let draft = Draft {
        account_id: desk.account(),
        started_at: desk.now(),
        posture: crate::snapshot::Posture::default(),
        capabilities: BTreeMap::new(),
        naming: Naming { account_resource_group: Some(hex(0)), roles: BTreeMap::new() },
        previous: previous.cloned(),
    };
    block_on(publish(desk, draft, rows.values().cloned()))
}

fn read_all(desk: &Desk, snapshot: &Snapshot, kinds: &[Kind], holding: Option<Entitlement>, limit: usize) -> Vec<Row> {
    let (mut rows, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let scan = Scan { kinds: kinds.to_vec(), holding, after, limit };
        let page = block_on(snapshot.scan(desk, &scan)).unwrap();
        assert!(page.rows.len() <= limit);
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
    panic!("the scan does not end");
}

fn all_changes(desk: &Desk, old: &Manifest, new: &Manifest, limit: usize) -> Vec<Change> {
    let (mut items, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let changes = block_on(diff(desk, old, new, after.as_deref(), limit)).unwrap();
        items.extend(changes.items);
        after = changes.next;
        if after.is_none() {
            return items;
        }
    }
    panic!("the diff does not end");
}

#[test]
fn what_is_published_is_read_back() {
    for members in [0, 1, 49, 300, 3000] {
        let (desk, rows) = (desk(), account(members));
        let published = publish_on(&desk, &rows, None).unwrap();
        assert_eq!(published.manifest.counts.of(Kind::User), members as u64);
        let snapshot = block_on(latest(&desk)).unwrap().unwrap();
        assert_eq!(*snapshot.manifest(), published.manifest);
        for limit in [7, 1000] {
            let read = read_all(&desk, &snapshot, Kind::ALL, None, limit);
            assert!(read.iter().eq(rows.values()), "{members} members, {limit} a page");
        }
        for key in rows.keys().step_by(97) {
            assert_eq!(block_on(snapshot.get(&desk, key)).unwrap().as_ref(), rows.get(key));
        }
        assert_eq!(block_on(snapshot.get(&desk, "user:00")).unwrap(), None);
    }
}

#[test]
fn rows_of_a_kind_that_a_newer_version_has_are_passed_over() {
    let (desk, rows) = (desk(), account(50));
    let published = publish_on(&desk, &rows, None).unwrap();
    let chunk = &published.manifest.chunks[0];
    let body = block_on(chunk.read(&desk)).unwrap();
    let with = |line: &str| {
        let place = body.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        [&body[..place], line.as_bytes(), b"\n", &body[place..]].concat()
    };
    let known = chunk.parse(&body).unwrap();
    assert!(!known.is_empty());
    assert_eq!(chunk.parse(&with(r#"{"type":"gizmo","id":"1"}"#)).unwrap(), known);
    // What cannot be read of a kind that is known, or has none, is a damage.
    for damaged in [r#"{"type":"role","id":"1"}"#, r#"{"id":"1"}"#] {
        assert!(matches!(chunk.parse(&with(damaged)), Err(SnapshotError::Corrupt(_))), "{damaged}");
    }
}

#[test]
fn the_holders_of_a_role_are_found_without_reading_chunks_that_have_none() {
    let (desk, mut rows) = (desk(), account(3000));
    let rare = member(5000, &[10]);
    rows.insert(rare.key(), rare.clone());
    publish_on(&desk, &rows, None).unwrap();
    let snapshot = block_on(latest(&desk)).unwrap().unwrap();
    desk.gets.borrow_mut().clear();
    assert_eq!(read_all(&desk, &snapshot, &[Kind::User], Some(Entitlement::Role(hex(10))), 100), [rare]);
    assert_eq!(desk.gets.borrow().len(), 1);
    let common = read_all(&desk, &snapshot, &[Kind::User], Some(Entitlement::Role(hex(1))), 100);
    let expected = rows
        .values()
        .filter(|row| snapshot.manifest().grants_of(row).iter().any(|(e, _)| *e == Entitlement::Role(hex(1))));
    assert!(common.iter().eq(expected.filter(|row| row.kind() == Kind::User)));
}

#[test]
fn an_unchanged_account_writes_nothing() {
    let (desk, rows) = (desk(), account(1000));
    let first = publish_on(&desk, &rows, None).unwrap();
    desk.puts.borrow_mut().clear();
    let second = publish_on(&desk, &rows, Some(&first.manifest)).unwrap();
    assert!(!second.changed);
    assert_eq!(second.manifest.generation, first.manifest.generation);
    assert!(desk.puts.borrow().is_empty());
}

#[test]
fn generations_of_one_second_and_of_a_clock_that_went_back_have_ids_that_ascend() {
    let desk = desk();
    let (one, mut other) = (account(10), account(10));
    other.remove(&member(3, &[1]).key());
    let mut known: Vec<Manifest> = Vec::new();
    for (rows, seconds_back) in [(&one, 0), (&other, 900), (&one, 900), (&other, 1_000), (&one, 900)] {
        desk.time.set(desk.time.get().plus_secs(-seconds_back));
        known.push(publish_on(&desk, rows, known.last()).unwrap().manifest);
    }
    assert!(known.windows(2).all(|pair| pair[0].generation < pair[1].generation), "{known:#?}");
    assert!(known.windows(2).all(|pair| pair[1].previous.as_ref() == Some(&pair[0].generation)));
    assert!(known.windows(2).all(|pair| pair[0].finished_at < pair[1].finished_at), "what was so when is asked by it");
}

/// One whose flip nobody noted may be what readers have.
#[test]
fn what_is_published_again_after_the_same_generation_has_an_id_after_all_that_were_written() {
    let desk = desk();
    let rows = account(10);
    let first = publish_on(&desk, &rows, None).unwrap().manifest;
    let mut last = first.generation.clone();
    desk.advance(900);
    for n in 1..8 {
        let mut fewer = rows.clone();
        fewer.remove(&member(n, &[1]).key());
        // All in the same second.
        desk.advance(-900);
        let id = publish_on(&desk, &fewer, Some(&first)).unwrap().manifest.generation;
        assert!(id > last, "{id:?} after {last:?}");
        last = id;
    }
}

#[test]
fn one_change_among_5000_rewrites_at_most_two_chunks_and_is_the_whole_difference() {
    let rows = account(5000);
    let keys: Vec<_> = rows.keys().filter(|key| key.starts_with("user:")).cloned().collect();
    let desk = desk();
    let first = publish_on(&desk, &rows, None).unwrap();
    for n in (0..5000).step_by(1249) {
        let check = |edited: &BTreeMap<String, Row>, kind: ChangeKind, added: usize, removed: usize| {
            let second = publish_on(&desk, edited, Some(&first.manifest)).unwrap();
            assert!(second.chunks_written <= 2, "{} chunks", second.chunks_written);
            let changes = all_changes(&desk, &first.manifest, &second.manifest, 3);
            let [change] = changes.as_slice() else { panic!("{changes:?}") };
            assert_eq!((change.kind, change.grants_added.len(), change.grants_removed.len()), (kind, added, removed));
        };
        let Some(Row::User(mut changed)) = rows.get(&keys[n]).cloned() else { panic!() };
        changed.atoms = vec![Atom { access: Access::Allow, permission_group: hex(10), resource_group: hex(0) }];
        let had = if changed.atoms.is_empty() { 0 } else { first.manifest.grants_of(&rows[&keys[n]]).len() };
        let mut edited = rows.clone();
        edited.insert(keys[n].clone(), Row::User(changed));
        check(&edited, ChangeKind::Changed, 1, had);

        let mut fewer = rows.clone();
        fewer.remove(&keys[n]);
        check(&fewer, ChangeKind::Removed, 0, had);

        let mut more = rows.clone();
        let new = member(9000 + n, &[3]);
        more.insert(new.key(), new);
        check(&more, ChangeKind::Added, 1, 0);
    }
}

#[test]
fn a_difference_reads_only_the_chunks_that_differ() {
    let (desk, rows) = (desk(), account(5000));
    let first = publish_on(&desk, &rows, None).unwrap();
    let mut edited = rows.clone();
    let new = member(9999, &[3]);
    edited.insert(new.key(), new);
    let second = publish_on(&desk, &edited, Some(&first.manifest)).unwrap();
    desk.gets.borrow_mut().clear();
    assert_eq!(all_changes(&desk, &first.manifest, &second.manifest, 100).len(), 1);
    assert!(desk.gets.borrow().len() <= 4, "{}", desk.gets.borrow().len());
    assert_eq!(all_changes(&desk, &second.manifest, &second.manifest, 100), []);
}

/// What is given and what is denied come and go in one edit.
#[test]
fn what_policies_deny_is_told_exactly_where_it_differs_whatever_the_grants_do() {
    const ALLOW: Access = Access::Allow;
    const DENY: Access = Access::Deny;
    const UNKNOWN: Access = Access::Unknown;
    type Case = (&'static [(Access, usize)], &'static [(Access, usize)], usize, &'static [&'static str]);
    let desk = desk();
    let cases: [Case; 6] = [
        (&[(ALLOW, 1), (DENY, 2)], &[(ALLOW, 1), (ALLOW, 3)], 1, &["atoms"]),
        (&[(ALLOW, 1)], &[(ALLOW, 1), (ALLOW, 3), (UNKNOWN, 2)], 1, &["atoms"]),
        (&[(ALLOW, 1)], &[(ALLOW, 1), (DENY, 2)], 0, &["atoms"]),
        // The controls: nothing is denied, or the same as before.
        (&[(ALLOW, 1)], &[(ALLOW, 1), (ALLOW, 3)], 1, &[]),
        (&[(ALLOW, 1), (DENY, 2)], &[(ALLOW, 1), (ALLOW, 3), (DENY, 2)], 1, &[]),
        (&[(DENY, 2)], &[(ALLOW, 3), (DENY, 2)], 1, &[]),
    ];
    for (before, after, added, fields) in cases {
        let rows = |held: &[(Access, usize)]| {
            let Row::User(mut jane) = member(20, &[]) else { panic!() };
            let atom = |&(access, n)| Atom { access, permission_group: hex(n), resource_group: hex(0) };
            jane.atoms = held.iter().map(atom).collect();
            let mut rows = account(0);
            rows.insert(Row::User(jane.clone()).key(), Row::User(jane));
            rows
        };
        let old = publish_on(&desk, &rows(before), None).unwrap().manifest;
        let new = publish_on(&desk, &rows(after), Some(&old)).unwrap().manifest;
        let changes = all_changes(&desk, &old, &new, 10);
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!((change.grants_added.len(), change.grants_removed.len()), (added, 0), "{before:?} {after:?}");
        assert_eq!(change.fields, fields, "{before:?} {after:?}");
    }
}

#[test]
fn a_permission_group_that_gets_its_role_id_changes_the_grants() {
    let (desk, rows) = (desk(), account(10));
    let first = publish_on(&desk, &rows, None).unwrap().manifest;
    let mut second = first.clone();
    second.naming.roles.insert(hex(1), hex(77));
    let changes = all_changes(&desk, &first, &second, 100);
    let holders = rows.values().filter(|row| first.grants_of(row).iter().any(|(e, _)| *e == Entitlement::Role(hex(1))));
    assert_eq!(changes.len(), holders.count());
    assert!(changes.iter().all(|change| change.grants_added.len() == 1 && change.grants_removed.len() == 1));
}

#[test]
fn a_write_that_fails_anywhere_leaves_what_was_published_and_can_be_repeated() {
    let rows = account(2000);
    let mut edited = rows.clone();
    for n in 0..40 {
        let new = member(9000 + n, &[3]);
        edited.insert(new.key(), new);
    }
    let expected = {
        let desk = desk();
        let first = publish_on(&desk, &rows, None).unwrap();
        publish_on(&desk, &edited, Some(&first.manifest)).unwrap().manifest.digest
    };
    for prefix in ["chunk/", "manifest/", "current"] {
        for fault in [Fault::BeforePersisting, Fault::AfterPersisting] {
            let desk = desk();
            let first = publish_on(&desk, &rows, None).unwrap().manifest;
            desk.fail(prefix, fault, usize::MAX);
            assert!(publish_on(&desk, &edited, Some(&first)).is_err());
            let snapshot = block_on(latest(&desk)).unwrap().unwrap();
            let flipped = prefix == "current" && fault == Fault::AfterPersisting;
            assert_eq!(snapshot.manifest().digest == expected, flipped);
            let whole = if flipped { &edited } else { &rows };
            assert!(read_all(&desk, &snapshot, Kind::ALL, None, 500).iter().eq(whole.values()));
            desk.faults.borrow_mut().clear();
            assert_eq!(publish_on(&desk, &edited, Some(&first)).unwrap().manifest.digest, expected);
        }
    }
}

#[test]
fn old_generations_are_swept_after_a_day_and_not_before() {
    let desk = desk();
    let mut manifests: Vec<Manifest> = Vec::new();
    for n in 0..6 {
        let mut rows = account(600);
        let new = member(9000 + n, &[3]);
        rows.insert(new.key(), new);
        manifests.push(publish_on(&desk, &rows, manifests.last()).unwrap().manifest);
        assert_eq!(block_on(sweep(&desk, &manifests[n].generation)).unwrap(), 0, "all are young");
    }
    desk.advance(25 * 60 * 60);
    let current = &manifests[5].generation;
    assert!(block_on(sweep(&desk, current)).unwrap() > 0);
    let gone = block_on(Snapshot::open(&desk, &manifests[2].generation));
    assert!(matches!(gone, Err(SnapshotError::Gone(_))));
    for kept in &manifests[3..] {
        let snapshot = block_on(Snapshot::open(&desk, &kept.generation)).unwrap();
        assert_eq!(read_all(&desk, &snapshot, &[Kind::User], None, 500).len(), 601);
    }
    let referenced: BTreeSet<String> = manifests[3..]
        .iter()
        .flat_map(|manifest| manifest.chunks.iter().map(|chunk| format!("chunk/{}", chunk.hash)))
        .collect();
    let stored: BTreeSet<String> = desk.names().into_iter().filter(|key| key.starts_with("chunk/")).collect();
    assert_eq!(stored, referenced);
}

#[test]
fn damage_and_delay_are_told_apart_from_absence() {
    let (desk, rows) = (desk(), account(10));
    assert_eq!(block_on(latest(&desk)).unwrap().map(|_| ()), None);
    let published = publish_on(&desk, &rows, None).unwrap().manifest;
    let chunk = desk.key(&format!("chunk/{}", published.chunks[0].hash));
    let good = desk.values.borrow_mut().insert(chunk.clone(), b"{}".to_vec()).unwrap();
    let snapshot = block_on(latest(&desk)).unwrap().unwrap();
    let key = Principal::User(hex(1)).to_string();
    assert!(matches!(block_on(snapshot.get(&desk, &key)), Err(SnapshotError::Corrupt(_))));
    desk.values.borrow_mut().remove(&chunk);
    assert!(matches!(block_on(snapshot.get(&desk, &key)), Err(SnapshotError::NotReplicated(_))));
    desk.values.borrow_mut().insert(chunk, good);
    let manifest = desk.key(&format!("manifest/{}", published.generation));
    desk.values.borrow_mut().remove(&manifest);
    assert!(matches!(block_on(latest(&desk)), Err(SnapshotError::NotReplicated(_))));
    assert!(matches!(block_on(Snapshot::named(&desk, "../x")), Err(SnapshotError::Gone(_))));
    assert!(GenerationId::parse("").is_none());
}

#[test]
fn an_overlay_stands_in_for_its_members_however_the_list_is_paged() {
    let (desk, mut rows) = (desk(), account(700));
    let published = publish_on(&desk, &rows, None).unwrap();
    let mut overlay = Overlay { seq: 9, members: Vec::new() };
    // Gone, changed, new, and accepted or taken back: a row with another key.
    for n in (0..700).step_by(23) {
        let (key, row) = (member(n, &[]).key(), member(n, &[10]));
        rows.remove(&key);
        let mut changed = row.as_member().unwrap().clone();
        match n % 3 {
            0 => overlay.members.push((changed.member_id, None)),
            other => {
                if other == 1 {
                    changed.status = MemberStatus::Pending;
                }
                let row = Row::member(changed.clone());
                rows.insert(row.key(), row);
                overlay.members.push((changed.member_id, Some(changed)));
            }
        }
    }
    for n in 900..930 {
        let row = member(n, &[1]);
        overlay.members.push((hex(n), row.as_member().cloned()));
        rows.insert(row.key(), row);
    }
    let snapshot = Snapshot::of(published.manifest).with(overlay);
    assert_eq!(snapshot.freshness(), (9, true));
    let rare = Entitlement::Role(hex(10));
    let holds = |row: &&Row| snapshot.manifest().grants_of(row).iter().any(|(held, _)| *held == rare);
    for limit in [1, 2, 7, 50, 1000] {
        let all = read_all(&desk, &snapshot, Kind::ALL, None, limit);
        assert!(all.iter().eq(rows.values()), "{limit} a page");
        let people = [Kind::Invitation, Kind::User];
        let holders = read_all(&desk, &snapshot, &people, Some(rare), limit);
        assert!(holders.iter().eq(rows.values().filter(holds)), "holders, {limit} a page");
    }
    for key in rows.keys().chain([&member(0, &[]).key(), &member(23, &[]).key()]) {
        assert_eq!(block_on(snapshot.get(&desk, key)).unwrap().as_ref(), rows.get(key), "{key}");
    }
}

/// Puts everything that an account has where it was before there were spaces.
fn to_the_root(desk: &Desk) {
    let values = std::mem::take(&mut *desk.values.borrow_mut());
    let moved = values.into_iter().map(|(key, value)| (desk.space.name_of(&key).unwrap_or(&key).to_owned(), value));
    *desk.values.borrow_mut() = moved.collect();
    super::leave_at_the_root(desk).unwrap();
}

/// The desk of another account or another Worker, with the same namespace.
fn beside(desk: &Desk, other: Desk) -> Desk {
    super::init(&other).unwrap();
    *other.values.borrow_mut() = desk.values.borrow().clone();
    other
}

#[test]
fn what_stands_at_the_root_is_this_accounts_until_it_is_published_again_and_goes_a_day_later() {
    let (desk, rows) = (desk(), account(300));
    let old = publish_on(&desk, &rows, None).unwrap().manifest;
    to_the_root(&desk);
    let seen = block_on(latest(&desk)).unwrap().unwrap();
    assert_eq!(*seen.manifest(), old);
    assert_eq!(read_all(&desk, &seen, Kind::ALL, None, 500).len(), rows.len());

    // Nothing changed, and it is published all the same: where it belongs.
    desk.advance(900);
    let mut newest = publish_on(&desk, &rows, Some(&old)).unwrap();
    assert!(newest.changed);
    assert!(desk.values.borrow().contains_key(&desk.key("current")));
    assert!(!publish_on(&desk, &rows, Some(&newest.manifest)).unwrap().changed);
    let at_the_root = || desk.values.borrow().keys().filter(|key| desk.space.name_of(key).is_none()).count();
    for n in 0..2 {
        desk.advance(25 * 60 * 60);
        assert!(at_the_root() > 0, "after {n} more");
        assert!(block_on(Snapshot::open(&desk, &old.generation)).is_ok(), "who pages through it goes on");
        let mut changed = rows.clone();
        let new = member(9000 + n, &[3]);
        changed.insert(new.key(), new);
        newest = publish_on(&desk, &changed, Some(&newest.manifest)).unwrap();
        block_on(sweep(&desk, &newest.manifest.generation)).unwrap();
    }
    assert_eq!(at_the_root(), 0);
    assert_eq!(*block_on(latest(&desk)).unwrap().unwrap().manifest(), newest.manifest);
}

#[test]
fn another_accounts_snapshot_is_never_read_at_the_root_and_its_pointer_never_swept() {
    let (desk, rows) = (desk(), account(30));
    let old = publish_on(&desk, &rows, None).unwrap().manifest;
    to_the_root(&desk);
    let other = beside(&desk, Desk::of(format!("{:032x}", 8)));
    assert!(block_on(latest(&other)).unwrap().is_none(), "there was no sync of this one yet");
    assert!(matches!(block_on(Snapshot::open(&other, &old.generation)), Err(SnapshotError::Gone(_))));
    let own = publish_on(&other, &account(20), None).unwrap().manifest;
    assert_eq!(own.previous, None);
    other.query("INSERT INTO legacy_value (key) VALUES ('manifest/gone')", &[]).unwrap();
    block_on(super::legacy::sweep::<_, PublishError>(&other, 10)).unwrap();
    assert!(other.values.borrow().contains_key("current"));
    // And back: the first account finds its own.
    *desk.values.borrow_mut() = other.values.borrow().clone();
    assert_eq!(*block_on(latest(&desk)).unwrap().unwrap().manifest(), old);
}

#[test]
fn two_accounts_and_two_workers_on_one_namespace_never_touch_each_others_values() {
    let rows = account(300);
    let mut one = desk();
    let first = publish_on(&one, &rows, None).unwrap().manifest;
    let mut other_worker = Desk::new();
    let account_id: crate::model::id::AccountId = one.account();
    other_worker.space = crate::base::space::Space::new(account_id, "fedcba9876543210");
    for other in [Desk::of(format!("{:032x}", 8)), other_worker] {
        let other = beside(&one, other);
        let before = other.values.borrow().clone();
        let mut manifest = publish_on(&other, &rows, None).unwrap().manifest;
        for n in 0..5 {
            other.advance(25 * 60 * 60);
            let mut changed = rows.clone();
            changed.remove(&member(n, &[]).key());
            manifest = publish_on(&other, &changed, Some(&manifest)).unwrap().manifest;
            block_on(sweep(&other, &manifest.generation)).unwrap();
        }
        let after = other.values.borrow().clone();
        assert!(before.iter().all(|(key, value)| after.get(key) == Some(value)));
        assert_eq!(before.keys().filter(|key| other.space.name_of(key).is_some()).count(), 0);
        one.values = std::cell::RefCell::new(after);
        assert_eq!(*block_on(latest(&one)).unwrap().unwrap().manifest(), first);
    }
}
