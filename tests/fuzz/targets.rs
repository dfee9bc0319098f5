//! What reads bytes from outside, or from a store that may be damaged: each target takes any bytes at all, and checks what must hold
//! whatever they are. cargo-fuzz runs them without end (`make fuzz`), the native tests for a second.

use std::cell::RefCell;
use std::fmt::Debug;

use c1_cloudflare::base::fakes::Desk;
use c1_cloudflare::base::json;
use c1_cloudflare::base::ports::{Http, HttpError, HttpRequest, HttpResponse, Secret};
use c1_cloudflare::cloudflare::{self, Client, ListPage, Purpose};
use c1_cloudflare::conductorone::jwks::KeySet;
use c1_cloudflare::conductorone::jwt::Token;
use c1_cloudflare::conductorone::payload::Webhook;
use c1_cloudflare::decide::Rules;
use c1_cloudflare::model::address;
use c1_cloudflare::model::grant::Entitlement;
use c1_cloudflare::model::resource::Row;
use c1_cloudflare::scim::{filter, patch};
use c1_cloudflare::snapshot::{ChunkRef, GenerationId, Manifest};
use c1_cloudflare::{export, passes_on, routes, sync};
use futures::executor::block_on;
use serde_json::Value;

/// A target and its name, under which its corpus stands. It tells whether the bytes could be read.
pub(crate) type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub(crate) const TARGETS: [Target; 13] = [
    ("token", token),
    ("keys", keys),
    ("webhook", webhook),
    ("rules", rules),
    ("filter", scim_filter),
    ("patch", scim_patch),
    ("chunk", chunk),
    ("manifest", manifest),
    ("address", addresses),
    ("answer", answer),
    ("cursor", cursor),
    ("staged", sync::is_staged_page),
    ("database", database),
];

/// More bytes than any of these says of one place in what it refuses.
const LONGEST_WORDS: usize = 3_000;

/// Whether it was read. What is refused is refused in words that a log can bear.
fn is_read<T, E: Debug>(text: &[u8], outcome: &Result<T, E>) -> bool {
    if let Err(error) = outcome {
        let words = format!("{error:?}").len();
        assert!(words <= LONGEST_WORDS.max(8 * text.len()), "{words} bytes of words about {} bytes", text.len());
    }
    outcome.is_ok()
}

/// What was read is written and read again as the same.
fn comes_back<T: serde::Serialize + for<'de> serde::Deserialize<'de> + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_vec(value).unwrap();
    assert_eq!(&json::read::<T>(&text).unwrap(), value);
}

fn token(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_read(bytes, &Token::parse(text)))
}

fn keys(bytes: &[u8]) -> bool {
    is_read(bytes, &KeySet::parse(bytes))
}

fn webhook(bytes: &[u8]) -> bool {
    is_read(bytes, &Webhook::parse(bytes))
}

fn rules(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| is_read(bytes, &Rules::parse(text)))
}

fn scim_filter(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let known = ["username", "id", "active", "emails", "emails.value", "emails.type", "meta.lastmodified"];
    let user = serde_json::json!({
        "id": "user-1", "userName": "Jane@example.com", "active": true,
        "emails": [{ "value": "jane@example.com", "type": "work" }, "odd"], "meta": { "lastModified": "2026-11-24T00:00:00Z" },
    });
    let parsed = filter::parse(text, &known, "urn:ietf:params:scim:schemas:core:2.0:User");
    if let Ok(filter) = &parsed {
        filter.matches(&user);
        filter.matches(&Value::Null);
        if let Some(id) = filter.only_id() {
            assert!(!filter.matches(&serde_json::json!({ "id": format!("{id}?") })), "{text}");
        }
    }
    is_read(bytes, &parsed)
}

fn scim_patch(bytes: &[u8]) -> bool {
    let Ok(body) = json::read::<Value>(bytes) else { return false };
    let current = serde_json::json!({
        "displayName": "Administrator", "userName": "jane@example.com", "active": true,
        "members": [{ "value": "user-1" }, { "value": "invitation-2" }],
    });
    let (of_group, of_user) = (patch::group(&body, &current), patch::user(&body, &current));
    is_read(bytes, &of_group) | is_read(bytes, &of_user)
}

fn chunk(bytes: &[u8]) -> bool {
    let chunk = ChunkRef {
        hash: "0".repeat(64),
        rows: u32::MAX,
        bytes: u32::MAX,
        first_key: String::new(),
        last_key: String::new(),
        held: String::new(),
    };
    let rows = chunk.parse(bytes);
    for row in rows.iter().flatten() {
        comes_back::<Row>(row);
        assert!(!row.key().is_empty());
    }
    is_read(bytes, &rows)
}

fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = json::read::<Manifest>(bytes) else { return false };
    comes_back(&manifest);
    assert!(GenerationId::parse(&manifest.generation.to_string()).is_some());
    for id in &manifest.entitlements {
        if let Some(entitlement) = Entitlement::recognise(id) {
            assert_eq!(Entitlement::recognise(&entitlement.to_string()), Some(entitlement));
        }
    }
    true
}

fn addresses(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let folded = address::folded(text);
    assert_eq!(address::folded(&folded), folded, "{text:?}");
    assert!(address::same(text, &folded), "{text:?}");
    let list = address::read_list(text);
    for one in list.iter().flatten() {
        assert!(one.contains('@') && address::folded(one) == *one, "{text:?}: {one:?}");
    }
    is_read(bytes, &list)
}

/// Whatever is asked of Cloudflare, this is the answer.
struct Answers {
    desk: Desk,
    body: RefCell<Vec<u8>>,
}

passes_on!(Answers.desk => Clock, Sql);

impl Http for Answers {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Ok(HttpResponse { status: 200, headers: Vec::new(), body: self.body.borrow().clone() })
    }
}

/// Each list that is read, and each record by its id, from the same bytes.
fn answer(bytes: &[u8]) -> bool {
    thread_local! {
        static ANSWERS: Answers = {
            let desk = Desk::new();
            cloudflare::init(&desk).unwrap();
            Answers { desk, body: RefCell::default() }
        };
    }
    /// Whether there are records on a page.
    fn has_any<T: Debug, E: Debug>(bytes: &[u8], page: Result<ListPage<T>, E>) -> bool {
        is_read(bytes, &page) && page.is_ok_and(|page| !page.items.is_empty())
    }
    let settings = cloudflare::Settings {
        account_id: "01a7362d577a6c3019a474fd6f485823".parse().unwrap(),
        token: Secret::new("token".to_owned()),
        url: "https://api.cloudflare.com/client/v4".to_owned(),
    };
    let id = "0123456789abcdef0123456789abcdef";
    ANSWERS.with(|answers| {
        block_on(async {
            // The budget of five minutes is for these requests.
            answers.desk.advance(301);
            answers.body.replace(bytes.to_vec());
            let client = Client::new(answers, &settings, Purpose::Provisioning);
            let lists = [
                has_any(bytes, client.members_page(1).await),
                has_any(bytes, client.roles_page(1).await),
                has_any(bytes, client.permission_groups_page(1).await),
                has_any(bytes, client.resource_groups().await),
                has_any(bytes, client.user_groups_page(1).await),
                has_any(bytes, client.user_group_members_page(id.parse().unwrap(), 1).await),
                has_any(bytes, client.tokens_page(1).await),
                has_any(bytes, client.oauth_clients().await),
                has_any(bytes, client.zones_page(1).await),
                has_any(bytes, client.workers().await),
                has_any(bytes, client.access_apps_page(1).await),
                has_any(bytes, client.sso_domains().await),
            ];
            let records = [
                is_read(bytes, &client.member(id.parse().unwrap()).await),
                is_read(bytes, &client.permission_group(id.parse().unwrap()).await),
                is_read(bytes, &client.user_group(id.parse().unwrap()).await),
                is_read(bytes, &client.account().await),
                is_read(bytes, &client.verify_token().await),
                is_read(bytes, &client.token_owner().await),
            ];
            lists.contains(&true) || records.contains(&true)
        })
    })
}

fn cursor(bytes: &[u8]) -> bool {
    use base64::Engine as _;
    let wrapped = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let bare = std::str::from_utf8(bytes).is_ok_and(routes::is_cursor);
    bare | routes::is_cursor(&wrapped)
}

/// Rows of a table, one for each line, as `SQLite` itself reads them from what was written.
fn database(bytes: &[u8]) -> bool {
    let rows: Vec<(i64, Option<&str>, Vec<u8>)> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let mut number = [0; 8];
            number.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
            // Short ones, and some that take further pages.
            let times = line.last().map_or(1, |last| usize::from(*last).pow(2) / 16);
            (i64::from_le_bytes(number) >> (line.len() % 8 * 8), std::str::from_utf8(line).ok(), line.repeat(times))
        })
        .collect();
    let file = export::database(&rows).unwrap();
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.deserialize_read_exact(rusqlite::MAIN_DB, file.as_slice(), file.len(), true).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = connection.prepare("SELECT id, a, b, c FROM t ORDER BY id").unwrap();
    let mut found = statement.query([]).unwrap();
    for (place, (number, text, blob)) in (1_i64..).zip(&rows) {
        let row = found.next().unwrap().unwrap();
        assert_eq!((row.get(0), row.get(1)), (Ok(place), Ok(*number)));
        assert_eq!(row.get::<_, Option<String>>(2).unwrap().as_deref(), *text);
        assert_eq!(row.get::<_, Vec<u8>>(3).unwrap(), *blob);
    }
    assert!(found.next().unwrap().is_none());
    true
}
