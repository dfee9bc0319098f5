//! What is pasted into ConductorOne (`c1/`): that it is of the documented language and shape, and agrees with itself. What it
//! does is tested against the Worker in `tests/e2e/c1` and `tests/native/c1`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where, in its helpers as well"
)]

#[path = "hosted/mod.rs"]
mod hosted;

use std::collections::BTreeSet;

use std::sync::{Arc, Mutex};

use hosted::{Hosted, file, npm, said};
use serde_json::{Value, json};
use sim::cloudflare::{Cloudflare, Spec};
use sim::http::{Handler, Reply, ReplyFuture, Request, Server};

/// A JSON file of the project.
fn json_file(path: &str) -> Value {
    let text = std::fs::read(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml() -> String {
    std::fs::read_to_string(file("c1/baton-http.yaml")).unwrap()
}

/// What the schema has against a configuration.
fn complaints(yaml: &str) -> Vec<String> {
    let configuration: Value = serde_saphyr::from_str(yaml).unwrap();
    let schema = jsonschema::validator_for(&json_file("c1/baton-http.schema.json")).unwrap();
    schema.iter_errors(&configuration).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_configuration_of_baton_http_is_of_the_documented_language() {
    assert_eq!(complaints(&yaml()), Vec::<String>::new());
}

#[test]
fn what_the_language_does_not_have_is_refused() {
    for (good, bad) in [
        ("app_name:", "app-name:"),
        ("version: \"1\"", "version: \"2\""),
        ("version: \"1\"", "version: 1"),
        ("cursor_path:", "next_path:"),
        ("strategy: cursor", "strategy: cursors"),
        ("traits: [user]", "traits: [person]"),
        ("mapping_type: grant", "mapping_type: grants"),
        ("principal_type:", "principal_kind:"),
        ("success_condition:", "success_if:"),
        ("success_condition: \"cel:", "success_condition: \""),
        ("purpose: assignment", "purpose: ownership"),
        ("static_entitlements:", "role_traits:"),
        ("method: PUT", "method: put"),
        ("url: \"tmpl:/", "url: \"tmpl:"),
        ("timeout: 60s", "timeout: 60"),
        ("\"429\":", "\"too many\":"),
        ("action: retry", "action: again"),
        ("type: bearer", "type: digest"),
    ] {
        let text = yaml();
        assert!(text.contains(good), "{good}");
        assert!(!complaints(&text.replacen(good, bad, 1)).is_empty(), "{bad} passes");
    }
}

#[test]
fn the_configuration_of_baton_http_names_only_what_there_is() {
    let text = yaml();
    let configuration: Value = serde_saphyr::from_str(&text).unwrap();
    let types = configuration["resource_types"].as_object().unwrap();
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for (id, of) in types {
        for other in names(&of["depends_on"]) {
            assert!(types.contains_key(&other) && other != *id, "{id} depends on {other}");
        }
        let entitlements = of["static_entitlements"].as_array().cloned().unwrap_or_default();
        for entitlement in &entitlements {
            assert!(names(&entitlement["grantable_to"]).iter().all(|name| types.contains_key(name)), "{id}");
            assert_eq!(entitlement["id"], "member", "{id}: the ids are baton-cloudflare's");
        }
        for grant in of["grants"].as_array().into_iter().flatten() {
            let name = &grant["response"]["grant_mapping"]["entitlement_name"];
            assert!(entitlements.iter().any(|entitlement| entitlement["id"] == *name), "{id}: {name}");
        }
        assert_eq!(of["skip_entitlements_and_grants"] == json!(true), entitlements.is_empty(), "{id}");
    }
    let variables: BTreeSet<&str> = text.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    assert_eq!(variables, BTreeSet::from(["WORKER_TOKEN", "WORKER_URL"]));
}

/// Type-checks connectors, a file each; gives what the compiler said.
async fn compile(sources: &[String]) -> String {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("misuses");
    std::fs::create_dir_all(&directory).unwrap();
    let mut files = vec!["baton.d.ts".to_owned()];
    for (number, source) in sources.iter().enumerate() {
        files.push(misuse(number));
        std::fs::write(directory.join(misuse(number)), source).unwrap();
    }
    std::fs::copy(file("tests/hosted/baton.d.ts"), directory.join("baton.d.ts")).unwrap();
    let mut project = json_file("tests/hosted/tsconfig.json");
    project["files"] = json!(files);
    std::fs::write(directory.join("tsconfig.json"), project.to_string()).unwrap();
    let output = npm("tsc").arg("--pretty").arg("false").arg("--project").arg(&directory).output().await.unwrap();
    assert!(!output.status.success());
    said(&output)
}

fn misuse(number: usize) -> String {
    format!("connector-{number}.ts")
}

#[tokio::test]
async fn the_hosted_connector_compiles_strictly_and_has_the_size_that_is_allowed() {
    let output = npm("tsc").args(["--project", "tests/hosted"]).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let source = std::fs::read_to_string(file("c1/connector/connector.ts")).unwrap();
    assert!(source.len() < 256 * 1024, "connector.ts has {} bytes", source.len());
    // The runtime makes the requests and turns the pages.
    for forbidden in ["fetch(", "async ", "await ", "console.", "while (", "for ("] {
        assert!(!source.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn a_connector_that_the_modules_would_refuse_does_not_compile() {
    let source = std::fs::read_to_string(file("c1/connector/connector.ts")).unwrap();
    let misuses = [
        ("tokenParam:", "tokenParm:", "ResponseToken"),
        ("principal: scope.principal", "principal: scope.grant", "principal"),
        ("from: { person: users.row },", "from: { person: scope.resource },", "\"resources\""),
        ("traits: [\"TRAIT_GROUP\"]", "traits: [\"TRAIT_GROUPS\"]", "TRAIT_GROUPS"),
        ("token: connectorToken", "token: workerUrl", "SecretConfigField"),
        ("isPrimary: true", "primary: true", "primary"),
        ("startAt: scope.feed.startAt", "startAt: scope.resource", "eventFeed"),
        ("hasMore: next !== \"\"", "more: next !== \"\"", "hasMore"),
    ];
    let mut sources: Vec<String> = misuses.iter().map(|(good, bad, _)| source.replacen(good, bad, 1)).collect();
    // The control.
    sources.push(source.clone());
    let said = compile(&sources).await;
    // A complaint begins with its file, and its further lines are indented.
    let of = |number: usize| -> String {
        let (mut is_its, name) = (false, misuse(number));
        let mut lines = said.lines().filter(|line| {
            is_its = if line.starts_with(' ') {
                is_its
            } else {
                line.starts_with(&format!("{name}(")) || line.contains(&format!("/{name}("))
            };
            is_its
        });
        lines.by_ref().collect::<Vec<_>>().join("\n")
    };
    for (number, (good, bad, complaint)) in misuses.into_iter().enumerate() {
        assert!(source.contains(good), "{good}");
        assert!(of(number).contains(complaint), "{bad}: {said}");
    }
    assert_eq!(of(misuses.len()), "");
}

#[tokio::test]
async fn the_files_beside_the_hosted_connector_say_what_it_is() {
    let connector = Hosted::bundled("describe", json!({})).await.call(json!({ "at": "describe" })).await;
    let set = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };

    let config = json_file("c1/connector/config-schema.json");
    let runtime = json_file("c1/connector/runtime-schema.json");
    let fields = config["fields"].as_array().unwrap();
    let runtime_fields = runtime["runtime"]["config_schema"]["fields"].as_array().unwrap();
    let names = |fields: &[Value]| -> BTreeSet<String> {
        fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(fields), set(&connector["fields"]), "each field is used, and each that is used is there");
    assert_eq!(fields.len(), runtime_fields.len());
    for (field, at_runtime) in fields.iter().zip(runtime_fields) {
        for (one, other) in [
            ("name", "name"),
            ("displayName", "display_name"),
            ("description", "description"),
            ("placeholder", "placeholder"),
            ("isRequired", "required"),
            ("isSecret", "is_secret"),
        ] {
            assert_eq!(field[one], at_runtime[other], "{} {one}", field["name"]);
        }
        let name = field["name"].as_str().unwrap().to_owned();
        assert_eq!(field["isSecret"] == json!(true), set(&connector["secrets"]).contains(&name), "{name}");
        assert_eq!(field["stringField"]["rules"]["isRequired"], field["isRequired"]);
        assert_eq!(at_runtime["type"], "string");
    }
    assert_eq!((&runtime["version"], &runtime["runtime"]["connector"]), (&json!("1"), &json!("connector.js")));
    assert_eq!(runtime["description"], connector["metadata"]["description"]);
    assert_eq!(runtime["runtime"]["config_schema"]["display_name"], connector["metadata"]["displayName"]);

    let told = json_file("c1/connector/capabilities.json");
    let types = connector["types"].as_array().unwrap();
    let mut of_all = BTreeSet::new();
    assert_eq!(told["resourceTypeCapabilities"].as_array().unwrap().len(), types.len());
    for (entry, of) in told["resourceTypeCapabilities"].as_array().unwrap().iter().zip(types) {
        for field in ["id", "displayName", "traits"] {
            assert_eq!(entry["resourceType"][field], of[field]);
        }
        let mut expected = BTreeSet::from(["CAPABILITY_SYNC".to_owned()]);
        for (declared, capability) in
            [("grants", "PROVISION"), ("creates", "ACCOUNT_PROVISIONING"), ("deletes", "RESOURCE_DELETE")]
        {
            if of[declared] == json!(true) {
                expected.insert(format!("CAPABILITY_{capability}"));
            }
        }
        assert_eq!(set(&entry["capabilities"]), expected, "{}", of["id"]);
        of_all.extend(expected);
        if of["creates"] == json!(true) {
            let details = &told["credentialDetails"]["capabilityAccountProvisioning"];
            assert_eq!(details["supportedCredentialOptions"], of["credentials"]);
            assert_eq!(details["preferredCredentialOption"], of["credentials"][0]);
        }
    }
    assert_eq!(connector["feeds"], json!([{ "id": "logins", "types": ["EVENT_TYPE_USAGE"] }]));
    of_all.insert("CAPABILITY_EVENT_FEED_V2".to_owned());
    assert_eq!(set(&told["connectorCapabilities"]), of_all);
}

/// ConductorOne may know by its name alone what it asks for.
#[tokio::test]
async fn what_the_hosted_connector_offers_beside_roles_and_groups_is_called_as_no_role_is() {
    let connector = Hosted::bundled("marks", json!({})).await.call(json!({ "at": "describe" })).await;
    let marks = connector["types"].as_array().unwrap().iter().flat_map(|of| of["marks"].as_array().unwrap());
    let marks: Vec<&str> = marks.map(|name| name.as_str().unwrap()).collect();
    assert_eq!(marks, ["Log in to Cloudflare"]);
    let roles = Cloudflare::new(Spec::default()).permission_groups();
    assert!(roles.iter().any(|role| role.name == "Cloudflare Access"), "the control");
    assert!(roles.iter().all(|role| !marks.contains(&role.name.as_str())));
}

/// A Worker that has people with the days of their last logins, in a generation.
struct Users(Mutex<(&'static str, Vec<(&'static str, &'static str)>)>);

impl Handler for Users {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        let (generation, people) = self.0.lock().unwrap().clone();
        let limit: usize = request.param("limit").unwrap().parse().unwrap();
        if limit == 7 || (limit == 1 && request.param("cursor").is_some()) {
            return Box::pin(async { Reply::json(503, &json!({})) });
        }
        let reply = match request.param("cursor").map_or(Ok(0), |cursor| cursor.parse::<usize>()) {
            Ok(from) => {
                let shown: Vec<Value> = people
                    .iter()
                    .skip(from)
                    .take(limit)
                    .map(|(id, last_login)| {
                        json!({ "id": id, "display_name": id, "email": format!("{id}@example.com"), "last_login": last_login })
                    })
                    .collect();
                let mut page = json!({ "items": shown, "generation": generation });
                if from + limit < people.len() {
                    page["next_cursor"] = json!((from + limit).to_string());
                }
                Reply::json(200, &page)
            }
            Err(_) => Reply::json(410, &json!({ "code": "gone" })),
        };
        Box::pin(async move { reply })
    }
}

#[tokio::test]
async fn the_event_feed_tells_each_login_in_the_shape_that_is_read_and_nothing_of_whom_no_login_is_known() {
    let told = [("a", "2026-12-01T00:00:00Z"), ("b", ""), ("c", "2026-12-03T00:00:00Z"), ("d", "2026-12-03T00:00:00Z")];
    let users = Arc::new(Users(Mutex::new(("g1", told.to_vec()))));
    let server = Server::start(0, users.clone()).await.unwrap();
    let config = json!({ "worker-url": server.url().trim_end_matches('/'), "connector-token": "token" });
    let connector = Hosted::bundled("feed", config).await;
    let read = async |cursor: &str, start_at: &str| {
        let call = json!({ "at": "events", "cursor": cursor, "startAt": start_at, "pageSize": 2 });
        let (mut results, requests) = connector.calls(&[call]).await;
        let told = results.remove(0);
        let ids = |told: &Value| {
            told["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
        };
        let ids: Vec<String> = ids(&told);
        (ids, told["cursor"].as_str().unwrap().to_owned(), requests.len(), told)
    };
    let (ids, _, requests, _) = read("", "").await;
    assert_eq!((ids.len(), requests), (3, 2), "everybody's, page by page");
    let (ids, cursor, _, all) = read("", "2026-12-02T10:00:00Z").await;
    assert_eq!(ids, ["c-2026-12-03T00:00:00Z", "d-2026-12-03T00:00:00Z"]);
    let event = &all["events"][0];
    assert_eq!(event["occurredAt"], "2026-12-03T00:00:00.000Z");
    let usage = &event["usageEvent"];
    assert_eq!(usage["targetResource"]["id"], json!({ "resourceType": "app", "resource": "cloudflare" }));
    assert_eq!(usage["actorResource"]["id"], json!({ "resourceType": "user", "resource": "c" }));
    assert_eq!(usage["actorResource"]["annotations"][0]["emails"][0]["address"], "c@example.com");
    // As long as nothing is published there is nothing new, for one request.
    let (ids, again, requests, _) = read(&cursor, "").await;
    assert_eq!((ids.len(), &again, requests), (0, &cursor, 1));
    // The last day's are told again by the same ids: others may have logged in later that day.
    *users.0.lock().unwrap() =
        ("g2", vec![("a", "2026-12-01T00:00:00Z"), ("b", "2026-12-03T00:00:00Z"), ("c", "2026-12-04T00:00:00Z")]);
    let (ids, cursor, _, _) = read(&cursor, "").await;
    assert_eq!(ids, ["b-2026-12-03T00:00:00Z", "c-2026-12-04T00:00:00Z"]);
    let (ids, ..) = read(&cursor, "").await;
    assert_eq!(ids, [""; 0]);
    // A list that is gone on the way is begun again by the next reading, and so is what is no place.
    let (ids, cursor, requests, _) = read("2026-12-04  g1 gone", "").await;
    assert_eq!((ids.len(), requests), (0, 1));
    let (ids, ..) = read(&cursor, "").await;
    assert_eq!(ids, ["c-2026-12-04T00:00:00Z"]);
    // One that fails on its way each time is not asked for without a pause, and nothing of it is passed over.
    let (results, requests) = connector.calls(&[json!({ "at": "events", "pageSize": 1 })]).await;
    assert_eq!((results[0]["events"].as_array().unwrap().len(), requests.len()), (1, 2), "{results:?}");
    let (ids, ..) = read(results[0]["cursor"].as_str().unwrap(), "").await;
    assert_eq!(ids.len(), 3);
    let (ids, ..) = read("odd", "").await;
    assert_eq!(ids.len(), 3);
    // The control: a refusal of the beginning is nothing to begin again for.
    let (results, _) = connector.calls(&[json!({ "at": "events", "pageSize": 7 })]).await;
    assert_eq!(results[0]["refused"]["status"], 503);
}
