//! The files as a reader of CSV sees them.

use crate::base::tree::{BTreeMap, BTreeSet};

use crate::export::file::PIECE;
use crate::export::testing::{
    WHOLE, account, atom, grants, group, hex, invited, member, pieces, published, role, scoped, whole,
};
use crate::export::{ExportError, File};
use crate::model::id::UserId;
use crate::model::resource::{Member, MemberStatus, Row};
use crate::snapshot::SnapshotError;

/// The lines of a file as maps from column name to cell, read by the `csv` crate.
fn read(bytes: &[u8]) -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let lines = reader
        .records()
        .map(|record| head.iter().cloned().zip(record.unwrap().iter().map(str::to_owned)).collect())
        .collect();
    (head, lines)
}

fn lines(rows: Vec<Row>, file: File) -> Vec<BTreeMap<String, String>> {
    let (desk, snapshot) = published(rows);
    read(&whole(&desk, &snapshot, file)).1
}

#[test]
fn the_columns_are_those_that_c1_maps_by_itself() {
    let (desk, snapshot) = published(account(1));
    let person = "User ID,Username,Email Address,Full Name,First Name,Last Name,User Status,Last Login";
    for (file, rest) in [
        (File::UsersCsv, "Groups,Roles"),
        (
            File::GrantsCsv,
            "Resource Type,Resource Name,Entitlement,Entitlement Display Name,Entitlement Slug,Entitlement Description",
        ),
    ] {
        let text = String::from_utf8(whole(&desk, &snapshot, file)).unwrap();
        assert_eq!(text.split_once("\r\n").unwrap().0, format!("{person},{rest}"));
        assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    }
}

#[test]
fn an_account_without_members_has_a_head_alone() {
    for rows in [Vec::new(), account(0)] {
        let (desk, snapshot) = published(rows);
        for file in [File::UsersCsv, File::GrantsCsv] {
            let (head, lines) = read(&whole(&desk, &snapshot, file));
            assert!(head.len() >= 9 && lines.is_empty());
        }
    }
}

#[test]
fn everybody_has_a_line_and_every_grant_has_one() {
    let rows = account(1_000);
    let (own, derived) = grants(&rows);
    let people: BTreeSet<String> = rows
        .iter()
        .filter_map(|row| row.as_member())
        .map(|member| member.principal().to_string().trim_start_matches("user:").to_owned())
        .collect();
    let users = lines(rows.clone(), File::UsersCsv);
    assert_eq!(users.iter().map(|line| line["User ID"].clone()).collect::<BTreeSet<_>>(), people);
    assert_eq!(users.len(), 1_000);

    let listed = lines(rows, File::GrantsCsv);
    let ids: BTreeSet<String> = listed
        .iter()
        .map(|line| {
            let person = &line["User ID"];
            let person = if person.contains(':') { person.clone() } else { format!("user:{person}") };
            format!("{}:{person}", line["Entitlement"])
        })
        .collect();
    let of_people = |id: &&String| !id.contains(":member:group:");
    let expected: BTreeSet<String> = own.iter().chain(&derived).filter(of_people).cloned().collect();
    assert!(!derived.is_empty());
    assert_eq!(ids, expected);
    assert_eq!(listed.len(), expected.len(), "each once");
}

#[test]
fn a_grant_is_told_in_full() {
    let rows =
        vec![role(1, "Administrator"), Row::member(member(5, &[atom(1, WHOLE)], &[50])), group(50, "Engineers", &[])];
    let lines = lines(rows, File::GrantsCsv);
    let user: UserId = hex(5);
    let expected = [
        ("User ID", user.to_string()),
        ("Username", "member5@example.com".to_owned()),
        ("Email Address", "member5@example.com".to_owned()),
        ("Full Name", "First5 Last5".to_owned()),
        ("First Name", "First5".to_owned()),
        ("Last Name", "Last5".to_owned()),
        ("User Status", "enabled".to_owned()),
        ("Last Login", String::new()),
        ("Resource Type", "Role".to_owned()),
        ("Resource Name", "Administrator".to_owned()),
        ("Entitlement", format!("role:{}:member", hex::<UserId>(1))),
        ("Entitlement Display Name", "Administrator Member Role".to_owned()),
        ("Entitlement Slug", "member".to_owned()),
        ("Entitlement Description", "Has the Administrator role in Cloudflare".to_owned()),
    ];
    assert_eq!(lines[0], expected.map(|(name, cell)| (name.to_owned(), cell)).into());
    assert_eq!(lines[1]["Resource Type"], "Group");
    assert_eq!(lines[1]["Entitlement"], format!("group:{}:member", hex::<UserId>(50)));
}

/// C1 knows an entitlement by its type, name and id, and one of `users.csv` by its name alone.
#[test]
fn a_domain_more_in_a_resource_group_is_the_same_entitlement_in_other_words() {
    let read = |domains: &[&str]| {
        let Row::ScopedRole(mut scoped) = scoped(30, 40) else { unreachable!("a scoped role") };
        for domain in domains {
            scoped.scope.0.insert(format!("com.cloudflare.api.account.zone.{domain}"), (*domain).to_owned());
        }
        let rows = vec![Row::ScopedRole(scoped), Row::member(member(5, &[atom(30, 40)], &[]))];
        let [grant, user] = [File::GrantsCsv, File::UsersCsv].map(|file| lines(rows.clone(), file).remove(0));
        let known = ["Resource Type", "Resource Name", "Entitlement"].map(|column| grant[column].clone());
        let words = ["Entitlement Display Name", "Entitlement Description"].map(|column| grant[column].clone());
        (known, user["Roles"].clone(), words)
    };
    let id = format!("scoped_role:{}-{}:member", hex::<UserId>(30), hex::<UserId>(40));
    let name = "Domain Role 30 on zone40.example";
    for (domains, told) in [
        (&["b.example"][..], "b.example"),
        (&["a.example", "b.example"][..], "a.example and 1 more"),
        (&[][..], "zone40.example"),
    ] {
        let (known, role, [title, description]) = read(domains);
        assert_eq!((known, role.as_str()), (["Scoped Role", name, &id].map(str::to_owned), name), "{domains:?}");
        assert_eq!(title, format!("Domain Role 30 on {told} Member Role"));
        assert_eq!(description, format!("Has the role Domain Role 30 on {told} in Cloudflare"));
    }
}

#[test]
fn a_user_lists_groups_and_roles_by_name_also_those_through_a_group() {
    let rows = vec![
        role(1, "Cache, Purge"),
        role(2, "Billing"),
        group(50, "Engineers", &[atom(2, WHOLE)]),
        Row::member(member(5, &[atom(1, WHOLE)], &[50])),
        Row::member(invited(6, &[])),
        Row::member(Member { status: MemberStatus::Other, ..member(7, &[], &[]) }),
    ];
    let lines = lines(rows, File::UsersCsv);
    let of = |email: &str| lines.iter().find(|line| line["Email Address"] == email).unwrap();
    let jane = of("member5@example.com");
    assert_eq!(jane["Groups"], "Engineers");
    assert_eq!(jane["Roles"].split(',').collect::<BTreeSet<_>>(), ["Cache; Purge", "Billing"].into());
    let invited = of("member6@example.com");
    assert_eq!(invited["User ID"], format!("invitation:{}", hex::<UserId>(1_000_006)));
    assert_eq!((invited["User Status"].as_str(), invited["Full Name"].as_str()), ("enabled", "member6@example.com"));
    assert_eq!(of("member7@example.com")["User Status"], "disabled");
}

/// C1 knows what `users.csv` lists by its name alone.
#[test]
fn each_name_of_a_list_is_told_as_it_is_alone() {
    let rows = vec![group(50, "@a", &[]), group(51, "@infra", &[]), Row::member(member(5, &[], &[50, 51]))];
    let grants = lines(rows.clone(), File::GrantsCsv);
    let alone: BTreeSet<&str> = grants.iter().map(|line| line["Resource Name"].as_str()).collect();
    assert_eq!(alone, ["'@a", "'@infra"].into());
    let users = lines(rows, File::UsersCsv);
    assert_eq!(users[0]["Groups"].split(',').collect::<BTreeSet<_>>(), alone);
}

#[test]
fn no_cell_is_a_formula_and_no_plain_address_is_changed() {
    let names = [
        ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("＝1", "'＝1"),
        ("O'Brien, \"Zoë\"", "O'Brien, \"Zoë\""),
        ("two\r\nlines", "two\r\nlines"),
        ("Ops;=cmd|'/C calc'!A0", "Ops;'=cmd|'/C calc'!A0"),
        ("Ops\t@SUM(A1)", "Ops\t'@SUM(A1)"),
        ("Ops; +1|-2", "Ops;' +1|'-2"),
        ("two\r\n=1", "two\r\n'=1"),
        ("\u{200b}=1", "'\u{200b}=1"),
        ("\0\u{1}@SUM(A1)", "'\0\u{1}@SUM(A1)"),
        ("Ops; and (more)", "Ops; and (more)"),
        ("", ""),
    ];
    for (name, shown) in names {
        let person = Member { last_name: Some(name.to_owned()), ..member(1, &[], &[]) };
        assert_eq!(lines(vec![Row::member(person)], File::UsersCsv)[0]["Last Name"], shown, "{name:?}");
    }
    for (address, shown) in [
        ("+alice@example.com", "+alice@example.com"),
        ("-b_o.b+x@ex-ample.com", "-b_o.b+x@ex-ample.com"),
        ("=cmd|'/C calc'!A0@example.com", "'=cmd|'/C calc'!A0@example.com"),
        ("+sum(1)@example.com", "'+sum(1)@example.com"),
        ("o'brien@example.com", "o'brien@example.com"),
        ("jane;=1@example.com", "jane;'=1@example.com"),
        ("\u{200b}=jane(1)@example.com", "'\u{200b}=jane(1)@example.com"),
    ] {
        let person = Member { email: address.to_owned(), first_name: None, last_name: None, ..member(1, &[], &[]) };
        let line = &lines(vec![Row::member(person)], File::UsersCsv)[0];
        assert_eq!((line["Email Address"].as_str(), line["Username"].as_str()), (shown, shown));
    }
}

#[test]
fn memory_is_bound_by_a_chunk() {
    let (desk, snapshot) = published(account(3_000));
    let chunks = snapshot.manifest().chunks.len();
    let (pieces, end) = pieces(&desk, &snapshot, File::GrantsCsv);
    assert_eq!(end, Ok(()));
    let longest = pieces.iter().map(Vec::len).max().unwrap();
    assert!(pieces.len() > 5 && longest < 2 * PIECE, "{} pieces, the longest of {longest} bytes", pieces.len());
    assert_eq!(desk.gets.borrow().len(), chunks, "each is read once");
}

#[test]
fn a_chunk_that_is_on_its_way_is_waited_for_and_one_that_is_gone_is_an_error() {
    let (desk, snapshot) = published(account(3_000));
    let name = format!("chunk/{}", snapshot.manifest().chunks.last().unwrap().hash);
    let last = desk.key(&name);
    let complete = whole(&desk, &snapshot, File::UsersCsv);
    let body = desk.values.borrow_mut().remove(&last).unwrap();
    desk.late.borrow_mut().insert(last.clone(), (2, body));
    assert_eq!(whole(&desk, &snapshot, File::UsersCsv), complete);

    desk.values.borrow_mut().remove(&last).unwrap();
    let (pieces, end) = pieces(&desk, &snapshot, File::UsersCsv);
    assert_eq!((pieces.len(), end), (0, Err(ExportError::Snapshot(SnapshotError::NotReplicated(name)))));
}

#[test]
fn a_last_login_is_told_by_its_day_and_a_change_is_none() {
    let mut jane = member(5, &[], &[]);
    jane.signs.last_login_day = Some("2026-11-20".to_owned());
    let mut joe = member(6, &[], &[]);
    joe.signs.last_change_day = Some("2026-11-21".to_owned());
    let lines = lines(vec![Row::member(jane), Row::member(joe)], File::UsersCsv);
    assert_eq!(lines.iter().map(|line| line["Last Login"].as_str()).collect::<Vec<_>>(), ["2026-11-20", ""]);
}
