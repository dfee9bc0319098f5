//! The file as a reader of `.c1z` sees it: zstd's reference implementation, `SQLite`, and `prost`.

use crate::base::tree::BTreeSet;

use futures::executor::block_on;
use rusqlite::{Connection, MAIN_DB};
use serde_json::json;

use super::rows::TABLES;
use crate::export::baton::pb::{
    Entitlement, Grant, GrantExpandable, Resource, ResourceType, SecurityInsightTrait, exact, read,
};
use crate::export::chunks::Chunks;
use crate::export::file::PIECE;
use crate::export::testing::{WHOLE, account, atom, grants, hex, member, pieces, published, whole, whole_with};
use crate::export::{ExportError, File, Insights, begin};
use crate::model::id::UserId;
use crate::model::kind::Kind;
use crate::model::resource::Row;
use crate::snapshot::SnapshotError;

fn database(file: &[u8]) -> Connection {
    let frame = file.strip_prefix(b"C1ZF\0").unwrap();
    assert_eq!(zstd::zstd_safe::find_frame_compressed_size(frame), Ok(frame.len()), "one frame, and nothing after it");
    let content = zstd::stream::decode_all(frame).unwrap();
    assert_eq!(zstd::zstd_safe::get_frame_content_size(frame).unwrap(), Some(content.len() as u64));
    let mut connection = Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(MAIN_DB, content.as_slice(), content.len(), false).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    connection
}

fn texts(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn blobs(connection: &Connection, query: &str) -> Vec<Vec<u8>> {
    let mut statement = connection.prepare(query).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn set(list: Vec<String>) -> BTreeSet<String> {
    let count = list.len();
    let set: BTreeSet<String> = list.into_iter().collect();
    assert_eq!(set.len(), count, "each once");
    set
}

/// Checks a file against the rows it was made of, in its columns and in its messages.
fn check(rows: &[Row]) {
    let (desk, snapshot) = published(rows.to_vec());
    let connection = database(&whole(&desk, &snapshot, File::C1z));
    let resources = set(texts(&connection, "SELECT external_id FROM v1_resources"));
    assert_eq!(resources, rows.iter().map(Row::key).collect());
    let offered: BTreeSet<String> = rows.iter().filter_map(|row| Some(row.offer()?.entitlement.to_string())).collect();
    assert_eq!(set(texts(&connection, "SELECT external_id FROM v1_entitlements")), offered);
    let (own, derived) = grants(rows);
    let all: BTreeSet<String> = own.union(&derived);
    assert_eq!(set(texts(&connection, "SELECT external_id FROM v1_grants")), all);

    // The columns say what the messages say.
    let kinds = set(texts(&connection, "SELECT external_id FROM v1_resource_types"));
    for data in blobs(&connection, "SELECT data FROM v1_resource_types") {
        assert!(kinds.contains(&read::<ResourceType>(&data).id));
    }
    let mut ids = BTreeSet::new();
    for data in blobs(&connection, "SELECT data FROM v1_resources") {
        let id = read::<Resource>(&data).id.unwrap();
        assert!(kinds.contains(&id.resource_type));
        ids.insert(format!("{}:{}", id.resource_type, id.resource));
    }
    assert_eq!(ids, resources);
    let mut statement = connection.prepare("SELECT * FROM v1_entitlements").unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let entitlement: Entitlement = read(&row.get::<_, Vec<u8>>("data").unwrap());
        let id = entitlement.resource.unwrap().id.unwrap();
        assert_eq!(row.get::<_, String>("resource_type_id").unwrap(), id.resource_type);
        assert_eq!(row.get::<_, String>("resource_id").unwrap(), id.resource);
        assert_eq!(row.get::<_, String>("external_id").unwrap(), entitlement.id);
        assert!(resources.contains(&format!("{}:{}", id.resource_type, id.resource)));
    }
    let mut statement = connection.prepare("SELECT * FROM v1_grants").unwrap();
    let mut found = statement.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let text = |name: &str| row.get::<_, String>(name).unwrap();
        let grant: Grant = read(&row.get::<_, Vec<u8>>("data").unwrap());
        let entitlement = grant.entitlement.unwrap();
        let of = entitlement.resource.unwrap().id.unwrap();
        let principal = grant.principal.unwrap().id.unwrap();
        assert_eq!((text("resource_type_id"), text("resource_id")), (of.resource_type, of.resource));
        assert_eq!((text("external_id"), text("entitlement_id")), (grant.id.clone(), entitlement.id.clone()));
        assert_eq!(text("principal_resource_type_id"), principal.resource_type);
        assert_eq!(text("principal_resource_id"), principal.resource);
        let holder = format!("{}:{}", principal.resource_type, principal.resource);
        assert!(resources.contains(&holder) && offered.contains(&entitlement.id));
        assert_eq!(grant.id, format!("{}:{holder}", entitlement.id));
        assert_eq!(derived.contains(&grant.id), entitlement.slug == "member", "{}", grant.id);
        let expandable = row.get::<_, Option<Vec<u8>>>("expansion").unwrap().is_some();
        assert_eq!(row.get::<_, i64>("needs_expansion").unwrap(), i64::from(expandable));
        match row.get::<_, Option<Vec<u8>>>("expansion").unwrap() {
            Some(bytes) => {
                let expandable: GrantExpandable = read(&bytes);
                assert_eq!(expandable.entitlement_ids, [format!("{holder}:member")]);
                assert_eq!(principal.resource_type, "group");
            }
            None => assert_ne!(principal.resource_type, "group"),
        }
    }
}

#[test]
fn the_file_is_the_account_whatever_its_size() {
    check(&[]);
    for members in [0, 1, 50, 1_000] {
        check(&account(members));
    }
}

#[test]
fn readers_find_one_finished_sync_and_can_make_their_indexes() {
    let (desk, snapshot) = published(account(100));
    let connection = database(&whole(&desk, &snapshot, File::C1z));
    let (sync_id, started, ended, kind, token, backfilled, diff): (String, String, String, String, String, i64, i64) = connection
        .query_row(
            "SELECT sync_id, started_at, ended_at, sync_type, sync_token, grants_backfilled, supports_diff FROM v1_sync_runs",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?)),
        )
        .unwrap();
    assert_eq!((started.as_str(), ended.as_str()), ("2027-01-15 08:00:00", "2027-01-15 08:00:00"));
    assert_eq!((kind.as_str(), token.as_str(), backfilled, diff), ("full", "", 1, 1));
    assert!(sync_id.len() == 27 && sync_id.chars().all(|c| c.is_ascii_alphanumeric()), "{sync_id}");
    for table in ["v1_resource_types", "v1_resources", "v1_entitlements", "v1_grants"] {
        let ids = texts(&connection, &format!("SELECT DISTINCT sync_id FROM {table}"));
        assert_eq!(ids, [sync_id.as_str()], "{table}");
        let statement = format!("CREATE UNIQUE INDEX unique_{table} ON {table} (external_id, sync_id)");
        connection.execute(&statement, []).unwrap();
    }
    assert_eq!(TABLES.len(), texts(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table'").len());
}

#[test]
fn the_same_generation_is_the_same_file_and_another_is_another_sync() {
    let (desk, snapshot) = published(account(300));
    let file = whole(&desk, &snapshot, File::C1z);
    assert_eq!(whole(&desk, &snapshot, File::C1z), file);
    // Another Worker, where chunks are seen late.
    let (other, _) = published(account(300));
    for chunk in &snapshot.manifest().chunks {
        let key = other.key(&format!("chunk/{}", chunk.hash));
        let body = other.values.borrow_mut().remove(&key).unwrap();
        other.late.borrow_mut().insert(key, (1, body));
    }
    assert_eq!(whole(&other, &snapshot, File::C1z), file);
    let (desk, next) = published(account(301));
    let id = |file: &[u8]| texts(&database(file), "SELECT sync_id FROM v1_sync_runs").remove(0);
    assert_ne!(id(&whole(&desk, &next, File::C1z)), id(&file));
}

#[test]
fn what_is_held_and_told_by_no_row_is_in_the_file_by_its_id() {
    let rows = vec![Row::member(member(5, &[atom(77, WHOLE), atom(78, 79)], &[80]))];
    let (desk, snapshot) = published(rows);
    let connection = database(&whole(&desk, &snapshot, File::C1z));
    let id = |n: usize| hex::<UserId>(n).to_string();
    let expected = [
        format!("group:{}", id(80)),
        format!("role:{}", id(77)),
        format!("scoped_role:{}-{}", id(78), id(79)),
        format!("user:{}", id(5)),
    ];
    assert_eq!(texts(&connection, "SELECT external_id FROM v1_resources ORDER BY external_id"), expected);
    assert_eq!(texts(&connection, "SELECT external_id FROM v1_entitlements").len(), 3);
    assert_eq!(texts(&connection, "SELECT external_id FROM v1_grants").len(), 3);
}

#[test]
fn memory_is_bound_by_a_chunk_and_a_small_account_is_read_once() {
    let (desk, snapshot) = published(account(1_500));
    let (pieces, end) = pieces(&desk, &snapshot, File::C1z);
    assert_eq!(end, Ok(()));
    let longest = pieces.iter().map(Vec::len).max().unwrap();
    assert!(pieces.len() > 10 && longest < 3 * PIECE, "{} pieces, the longest of {longest} bytes", pieces.len());
    assert_eq!(desk.gets.borrow().len(), snapshot.manifest().chunks.len());
}

#[test]
fn a_chunk_that_is_gone_before_the_first_byte_gives_none() {
    let (desk, snapshot) = published(account(1_500));
    let last = format!("chunk/{}", snapshot.manifest().chunks.last().unwrap().hash);
    desk.values.borrow_mut().remove(&desk.key(&last)).unwrap();
    let (pieces, end) = pieces(&desk, &snapshot, File::C1z);
    assert_eq!((pieces.len(), end), (0, Err(ExportError::Snapshot(SnapshotError::NotReplicated(last)))));
}

/// What is sent of a file of which at most `held` bytes are kept in memory, when the last chunk is gone as the first byte is sent.
fn sent_without_last_chunk(file: File, held: usize) -> (Vec<u8>, Result<Option<Vec<u8>>, ExportError>) {
    let (desk, snapshot) = published(account(1_500));
    let last = desk.key(&format!("chunk/{}", snapshot.manifest().chunks.last().unwrap().hash));
    block_on(async {
        let mut export = begin(Chunks::new(&desk, snapshot), file, Insights::default(), held).await.unwrap();
        export.chunks.forget();
        desk.values.borrow_mut().remove(&last).unwrap();
        let mut written = Vec::new();
        loop {
            match export.next().await {
                Ok(Some(piece)) => written.extend(piece),
                end => return (written, end),
            }
        }
    })
}

#[test]
fn a_chunk_that_vanishes_while_a_file_is_sent_is_an_error_and_the_file_has_no_end() {
    let (desk, snapshot) = published(account(1_500));
    let last = format!("chunk/{}", snapshot.manifest().chunks.last().unwrap().hash);
    let gone = Err(ExportError::Snapshot(SnapshotError::NotReplicated(last)));
    for file in File::ALL {
        let complete = whole(&desk, &snapshot, file);
        let (written, end) = sent_without_last_chunk(file, 0);
        assert_eq!(end, gone);
        assert!(complete.starts_with(&written) && written.len() < complete.len(), "{file:?}");
        if file == File::C1z {
            assert!(zstd::stream::decode_all(&written[5..]).is_err(), "what came is not taken for a whole file");
            assert_eq!(sent_without_last_chunk(file, complete.len()), (complete, Ok(None)), "nothing is read any more");
        }
    }
}

#[test]
fn a_file_that_is_not_held_is_the_same_file() {
    let (desk, snapshot) = published(account(1_000));
    let complete = whole(&desk, &snapshot, File::C1z);
    for held in [0, 600_000, complete.len() - 1, complete.len()] {
        let made = block_on(async {
            let mut export =
                begin(Chunks::new(&desk, snapshot.clone()), File::C1z, Insights::default(), held).await.unwrap();
            assert_eq!(export.length(), complete.len() as u64);
            let mut made = Vec::new();
            while let Some(piece) = export.next().await.unwrap() {
                made.extend(piece);
            }
            made
        });
        assert!(made == complete, "{held} bytes held");
    }
}

#[test]
fn findings_are_security_insights_about_a_person_or_a_resource() {
    let role = account(0).into_iter().find(|row| row.kind() == Kind::Role).unwrap();
    let rows = [Row::User(member(7, &[], &[])), role];
    let (desk, snapshot) = published(rows.to_vec());
    let (person, role) = (rows[0].key(), rows[1].key());
    let finding = |id: &str, about: &str| {
        json!({
            "id": id, "title": "Something is wrong", "severity": "high", "about": about, "name": "who",
            "evidence": "it was seen", "since": "2026-03-01T00:00:00Z",
        })
    };
    let (gone, token) = (format!("user:{:032x}", 9), format!("api_token:{:032x}", 9));
    let found = [
        finding("b:role", &role),
        finding("a:person", &person),
        finding("c:account", "account"),
        finding("d:gone", &gone),
        finding("e:gone", &token),
    ];
    let insights = Insights::of(&found);
    let connection = database(&whole_with(&desk, &snapshot, insights.clone()));
    assert_eq!(
        texts(&connection, "SELECT external_id FROM v1_resources WHERE resource_type_id = 'security_insight'"),
        ["security_insight:a:person", "security_insight:b:role"],
        "a file has no resource that is the account, and none of a row that is not in it"
    );
    let kinds = "SELECT data FROM v1_resource_types WHERE external_id = 'security_insight'";
    assert_eq!(exact::<ResourceType>(&blobs(&connection, kinds)[0]).traits, [6]);
    let told = |place: usize| -> (Resource, SecurityInsightTrait) {
        let query = "SELECT data FROM v1_resources WHERE resource_type_id = 'security_insight' ORDER BY external_id";
        let resource: Resource = exact(&blobs(&connection, query)[place]);
        let told = resource.annotations[0].unpack("SecurityInsightTrait");
        (resource, told)
    };
    let (resource, about_person) = told(0);
    assert_eq!(
        (resource.display_name.as_str(), resource.description.as_str()),
        ("Something is wrong: who", "it was seen")
    );
    let issue = about_person.issue.unwrap();
    assert_eq!((issue.value.as_str(), issue.severity.as_str()), ("Something is wrong: who", "HIGH"));
    assert_eq!(about_person.observed_at.unwrap().seconds, 1_772_323_200);
    assert_eq!(about_person.user.unwrap().email, rows[0].as_member().unwrap().email);
    assert_eq!(about_person.resource_id, None);
    let (_, about_role) = told(1);
    let id = about_role.resource_id.unwrap();
    assert_eq!((format!("{}:{}", id.resource_type, id.resource), about_role.user), (role, None));
    // Another finding makes another file, and without any the file is as it always was.
    assert_ne!(insights.tag(), Insights::of(&found[..1]).tag());
    // Whoever knows a sync by its id takes the file with other findings for another one.
    let id = |insights: Insights| {
        texts(&database(&whole_with(&desk, &snapshot, insights)), "SELECT sync_id FROM v1_sync_runs").remove(0)
    };
    let ids = [&found[..], &found[..1], &[]].map(|found| id(Insights::of(found)));
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && id(insights.clone()) == ids[0], "{ids:?}");
    assert_eq!(Insights::of(&found[2..3]).tag(), None);
    let connection = database(&whole_with(&desk, &snapshot, Insights::of(&found[2..])));
    let none = texts(&connection, "SELECT external_id FROM v1_resources WHERE resource_type_id = 'security_insight'");
    assert!(none.is_empty(), "what is about no row of the file is not in it: {none:?}");
}
