//! `GET /v1/export/sync.c1z | users.csv | grants.csv`: what the files say of the account, and how they are sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, MAIN_DB};
use sim::cloudflare::{Cloudflare, Spec, Truth};
use sim::conductorone::ConductorOne;
use sim::harness::kv::{Fault, Keys, Kv, KvCall};
use sim::harness::{Options, World};
use sim::snapshot;

use crate::deployment::{Deployment, PATIENCE, assert_is_problem, small};

const FILES: [&str; 3] = ["/v1/export/sync.c1z", "/v1/export/users.csv", "/v1/export/grants.csv"];

/// What a file lists: resources, entitlements and grants by their ids.
type Listed = [BTreeSet<String>; 3];

/// What a file must list. A member of a user group also holds what the group holds.
fn expected(truth: &Truth) -> Listed {
    let keyed = |kind: &str, id: &String| format!("{kind}:{id}");
    let offering: Vec<String> = (truth.roles.keys().map(|id| keyed("role", id)))
        .chain(truth.scoped_roles.iter().map(|id| keyed("scoped_role", id)))
        .chain(truth.groups.keys().map(|id| keyed("group", id)))
        .collect();
    let resources = (truth.users.iter().map(|id| keyed("user", id)))
        .chain(truth.invitations.iter().map(|id| keyed("invitation", id)))
        .chain(truth.tokens.keys().map(|id| keyed("api_token", id)))
        .chain(offering.iter().cloned())
        .collect();
    let mut grants = truth.grants.clone();
    for group in truth.groups.keys() {
        let (of_group, members) = (format!(":group:{group}"), format!("group:{group}:member:"));
        for held in truth.grants.iter().filter_map(|grant| grant.strip_suffix(&of_group)) {
            grants.extend(
                truth.grants.iter().filter_map(|grant| grant.strip_prefix(&members)).map(|who| format!("{held}:{who}")),
            );
        }
    }
    [resources, offering.iter().map(|id| format!("{id}:member")).collect(), grants]
}

/// The database in a `.c1z`.
pub(crate) fn database(file: &[u8]) -> Connection {
    let frame = file.strip_prefix(b"C1ZF\0").unwrap();
    assert_eq!(zstd::zstd_safe::find_frame_compressed_size(frame), Ok(frame.len()), "one frame");
    let content = zstd::stream::decode_all(frame).unwrap();
    let size = zstd::zstd_safe::get_frame_content_size(frame).unwrap();
    assert_eq!(size, Some(content.len() as u64), "the frame tells its size");
    assert!(content.len() > 4 * frame.len(), "{} bytes are {} compressed", content.len(), frame.len());
    let mut connection = Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(MAIN_DB, content.as_slice(), content.len(), true).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    connection
}

fn c1z(file: &[u8]) -> Listed {
    let connection = database(file);
    ["v1_resources", "v1_entitlements", "v1_grants"].map(|table| {
        let mut statement = connection.prepare(&format!("SELECT external_id FROM {table}")).unwrap();
        let ids: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let set: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(set.len(), ids.len(), "{table} has a row twice");
        set
    })
}

/// The people and the grants that the CSV files list.
fn csv(users: &[u8], grants: &[u8]) -> [BTreeSet<String>; 2] {
    let key = |id: &str| if id.contains(':') { id.to_owned() } else { format!("user:{id}") };
    let cells = |file: &[u8], columns: &[&str]| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_reader(file);
        let head = reader.headers().unwrap().clone();
        let places: Vec<usize> =
            columns.iter().map(|name| head.iter().position(|column| column == *name).unwrap()).collect();
        let lines = reader.records().map(|line| line.unwrap());
        lines.map(|line| places.iter().map(|place| line[*place].to_owned()).collect()).collect()
    };
    let users = cells(users, &["User ID"]).iter().map(|line| key(&line[0])).collect();
    let grants = cells(grants, &["Entitlement", "User ID"]);
    [users, grants.iter().map(|line| format!("{}:{}", line[0], key(&line[1]))).collect()]
}

/// The three files are the account.
async fn check(spec: Spec) {
    let deployment = Deployment::with(spec.clone(), |options| options).await.synced().await;
    let truth = deployment.cloudflare.truth();
    let [resources, entitlements, grants] = expected(&truth);
    let [whole, users, lines] = FILES.map(async |path| deployment.get(path).await.body);
    assert_eq!(c1z(&whole.await), [resources.clone(), entitlements, grants.clone()], "{spec:?}");
    let people = |key: &&String| key.starts_with("user:") || key.starts_with("invitation:");
    let of_people = |grant: &&String| !grant.contains(":member:group:");
    let expected =
        [resources.iter().filter(people).cloned().collect(), grants.iter().filter(of_people).cloned().collect()];
    assert_eq!(csv(&users.await, &lines.await), expected, "{spec:?}");
}

#[tokio::test]
async fn the_files_are_the_account_whatever_its_size_and_seed() {
    for (members, seed) in [(1, 1), (2, 2), (50, 3), (50, 4), (1_000, 5)] {
        check(Spec { members, seed, ..small() }).await;
    }
}

#[tokio::test]
async fn a_file_says_what_it_is_and_who_has_it_is_told_so() {
    let deployment = Deployment::start().await.synced().await;
    for (path, kind) in FILES.into_iter().zip(["application/octet-stream", "text/csv", "text/csv"]) {
        let file = deployment.get(path).await;
        assert_eq!(file.status, 200, "{}", file.text());
        assert!(file.header("content-type").unwrap().starts_with(kind));
        let name = path.rsplit_once('/').unwrap().1;
        assert_eq!(file.header("content-disposition"), Some(&*format!("attachment; filename=\"{name}\"")));
        assert_eq!(file.header("content-length"), Some(&*file.body.len().to_string()));
        let tag = file.header("etag").unwrap().to_owned();
        let head = deployment.request("HEAD", path, &[], None).await;
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(tag.as_str())));
        assert_eq!(head.header("content-type"), file.header("content-type"));
        assert!(head.header("content-length").is_none_or(|length| length != "0"), "the length is not known, and not 0");
        let again = deployment.request("GET", path, &[("if-none-match", &tag)], None).await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
        let other = deployment.request("GET", path, &[("if-none-match", "\"other\"")], None).await;
        assert_eq!((other.status, &other.body), (200, &file.body), "the same generation, the same bytes");
        let stranger = deployment.raw("GET", path, &[], None).await;
        assert_eq!((stranger.status, assert_is_problem(&stranger, path).as_str()), (401, "unauthorized"));
        let posted = deployment.request("POST", path, &[], None).await;
        assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    }
    let none = deployment.get("/v1/export/users.xlsx").await;
    assert_eq!((none.status, assert_is_problem(&none, "users.xlsx").as_str()), (404, "not_found"));
}

#[tokio::test]
async fn another_worker_sends_the_same_bytes() {
    let deployment = Deployment::with(Spec { members: 300, ..small() }, |options| options).await.synced().await;
    let kv = Kv::new();
    for (key, value) in deployment.kv.contents() {
        kv.put(&key, value);
    }
    let options = Options::default()
        .var("CLOUDFLARE_ACCOUNT_ID", &deployment.cloudflare.account_id())
        .var("CLOUDFLARE_API_TOKEN", &deployment.cloudflare.token());
    let cloudflare = Arc::new(Cloudflare::new(small()));
    let other = World::start_with_kv(cloudflare, ConductorOne::new(), kv, options).await.unwrap();
    for path in FILES {
        let (one, two) = (deployment.get(path).await, other.get(path).await.unwrap());
        assert!(one.status == 200 && one.body == two.body, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_finished_is_broken_off() {
    // More than the Worker keeps in memory, so that it reads some chunks again while it sends.
    const MEMBERS: usize = 30_000;
    let deployment = Deployment::start().await;
    let generation = snapshot::publish(&deployment.kv, &deployment.cloudflare.account_id(), MEMBERS);
    let chunks = deployment.kv.keys_under("chunk/").len();
    let path = format!("/v1/export/users.csv?generation={generation}");
    let complete = deployment.get(&path).await;
    assert_eq!(complete.header("content-length"), Some(&*complete.body.len().to_string()));
    let lines = complete.body.split(|byte| *byte == b'\n').count();
    assert_eq!(lines, MEMBERS + 2, "the head, and nothing after the last line");
    let reads = deployment.kv.count(KvCall::Get) - 1;
    assert!(reads > chunks + 20 && reads < 2 * chunks, "{reads} reads of {chunks} chunks");

    // Half of what is read while the file is sent can be read, and nothing after it.
    let after = u32::try_from(chunks + (reads - chunks) / 2).unwrap();
    let fault = Fault::new(KvCall::Get, Keys::Prefixed("chunk/".to_owned())).status(503).after(after).times(1_000);
    deployment.kv.fail(fault);
    let broken = deployment.world.get(&path).await;
    assert!(broken.is_err(), "{} of {} bytes passed for the whole", broken.unwrap().body.len(), complete.body.len());
    assert!(deployment.world.worker.until_logged("a file was broken off", PATIENCE).await, "the log says why");

    // What cannot be read for a moment only is waited for.
    deployment.kv.heal();
    deployment.kv.fail(Fault::new(KvCall::Get, Keys::Prefixed("chunk/".to_owned())).after(after).times(2));
    let same = deployment.get(&path).await.body == complete.body;
    assert!(same);
}

#[tokio::test]
async fn the_compressed_file_is_whole_wherever_its_last_block_ends() {
    let deployment = Deployment::start().await;
    for members in (0..2_000).step_by(190).chain([12_000]) {
        let generation = snapshot::publish(&deployment.kv, &deployment.cloudflare.account_id(), members);
        let file = deployment.get(&format!("/v1/export/sync.c1z?generation={generation}")).await;
        assert_eq!(file.status, 200, "{members} members: {}", file.text());
        let count = "SELECT count(*) FROM v1_grants";
        let grants: i64 = database(&file.body).query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(grants).unwrap(), members * snapshot::GRANTS_EACH);
    }
}
