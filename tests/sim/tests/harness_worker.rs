//! The harness, proven with a small Worker of its own: KV, outgoing requests, cron, SQL and alarms that outlive a kill.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sim::conductorone::ConductorOne;
use sim::harness::kv::{Fault, Keys, KvCall};
use sim::harness::{Options, StartError, World};
use sim::http::{Handler, Reply, ReplyFuture, Request};

const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class Coordinator extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, what TEXT NOT NULL)");
  }
  async note(what) {
    this.sql.exec("INSERT INTO log (what) VALUES (?)", what);
  }
  async lines() {
    return this.sql.exec("SELECT what FROM log ORDER BY id").toArray().map((row) => row.what);
  }
  async wake(milliseconds) {
    await this.ctx.storage.setAlarm(Date.now() + milliseconds);
  }
  async alarm() {
    await this.note("alarm after " + this.env.AFTER);
  }
}

const answers = async (env, request, url) => {
  const coordinator = env.COORDINATOR.get(env.COORDINATOR.idFromName("one"));
  const parameter = (name) => url.searchParams.get(name);
  switch (url.pathname) {
    case "/var": return env[parameter("name")] ?? null;
    case "/authorization": return request.headers.get("authorization");
    case "/kv/get": return env.STATE.getWithMetadata(parameter("key"));
    case "/kv/bulk": return Object.fromEntries(await env.STATE.get(parameter("keys").split(",")));
    case "/kv/put": {
      const options = parameter("options") ? JSON.parse(parameter("options")) : undefined;
      return await env.STATE.put(parameter("key"), await request.text(), options) ?? null;
    }
    case "/kv/delete": return await env.STATE.delete(parameter("key")) ?? null;
    case "/kv/list": return env.STATE.list(JSON.parse(parameter("options")));
    case "/fetch": {
      const response = await fetch(parameter("url"), { headers: { authorization: "Bearer outgoing" } });
      return { status: response.status, body: await response.text() };
    }
    case "/do/note": return await coordinator.note(parameter("what")) ?? null;
    case "/do/lines": return coordinator.lines();
    case "/do/wake": return await coordinator.wake(Number(parameter("in"))) ?? null;
    case "/v1/status": return { state: await env.STATE.get("state") ?? "not_connected" };
    default: return null;
  }
};

export default {
  async fetch(request, env) {
    console.log("asked for " + new URL(request.url).pathname);
    try {
      return Response.json({ answer: await answers(env, request, new URL(request.url)) });
    } catch (error) {
      return Response.json({ error: String(error) }, { status: 500 });
    }
  },
  async scheduled(event, env) {
    if (await env.STATE.get("broken")) throw new Error("cron fails");
    await env.STATE.put("cron", event.cron);
    await env.STATE.put("state", "connected");
  },
};
"#;

/// Answers every request with what it was.
struct Echo;

impl Handler for Echo {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        let seen = json!({
            "host": request.host(), "path": request.path, "query": request.query,
            "authorization": request.header("authorization"),
        });
        Box::pin(std::future::ready(Reply::json(200, &seen)))
    }
}

struct Harness {
    world: World,
    _build: tempfile::TempDir,
}

impl Harness {
    async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    async fn start_with(options: Options) -> Self {
        let build = tempfile::tempdir().unwrap();
        std::fs::write(build.path().join("index.js"), WORKER).unwrap();
        let world = World::start(Arc::new(Echo), ConductorOne::new(), options.build_dir(build.path())).await.unwrap();
        Self { world, _build: build }
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.world.get(path).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["answer"].clone()
    }

    async fn kv_put(&self, key: &str, value: &str, options: &str) -> u16 {
        let path = format!("/kv/put?key={key}&options={options}");
        self.world.raw("PUT", &path, &[], Some(value.into())).await.unwrap().status
    }
}

#[tokio::test]
async fn the_worker_gets_its_variables_and_the_tests_requests() {
    let odd = "quotes \" and \\ and\nlines, ünïcödé ✓";
    let harness = Harness::start_with(Options::default().var("ODD", odd).without("PLAN")).await;
    assert_eq!(harness.ask("/var?name=ODD").await, odd);
    assert_eq!(harness.ask("/var?name=C1_TENANT").await, "acme.conductor.one");
    assert_eq!(harness.ask("/var?name=PLAN").await, Value::Null);
    let token = sim::harness::workerd::CONNECTOR_TOKEN;
    assert_eq!(harness.ask("/authorization").await, format!("Bearer {token}"));
    assert!(harness.world.worker.logs().iter().any(|line| line.contains("asked for /var")));
}

#[tokio::test]
async fn kv_keeps_values_with_metadata_and_expiry() {
    let harness = Harness::start().await;
    let kv = &harness.world.kv;
    assert_eq!(harness.ask("/kv/get?key=none").await, json!({ "value": null, "metadata": null, "cacheStatus": null }));
    let options = r#"{"metadata":{"n":1},"expirationTtl":60}"#;
    assert_eq!(harness.kv_put("a%2Fb%20%C3%BC", "value", options).await, 200);
    assert_eq!(kv.get("a/b ü").unwrap(), "value");
    let found = harness.ask("/kv/get?key=a%2Fb%20%C3%BC").await;
    assert_eq!((&found["value"], &found["metadata"]), (&json!("value"), &json!({ "n": 1 })));
    kv.put("c", "3");
    assert_eq!(harness.ask("/kv/bulk?keys=c,missing").await, json!({ "c": "3", "missing": null }));
    harness.ask("/kv/delete?key=c").await;
    assert_eq!(kv.keys(), ["a/b ü"]);
    assert_eq!(kv.written(), ["a/b ü"]);
    assert_eq!((kv.count(KvCall::Get), kv.count(KvCall::BulkGet), kv.count(KvCall::Delete)), (2, 1, 1));
    assert_eq!(kv.counts()[&KvCall::Put].bytes, 5);
    assert_eq!(harness.kv_put("soon", "x", r#"{"expirationTtl":10}"#).await, 500);
}

#[tokio::test]
async fn kv_lists_in_pages() {
    let harness = Harness::start().await;
    for number in 0..5 {
        harness.world.kv.put(&format!("p/{number}"), "x");
    }
    harness.world.kv.put("q", "x");
    let names = |page: &Value| -> Vec<String> {
        page["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = harness.ask(r#"/kv/list?options={"prefix":"p/","limit":3}"#).await;
    assert_eq!(names(&first), ["p/0", "p/1", "p/2"]);
    assert_eq!(first["list_complete"], false);
    let cursor = first["cursor"].as_str().unwrap();
    let second = harness.ask(&format!(r#"/kv/list?options={{"prefix":"p/","limit":3,"cursor":"{cursor}"}}"#)).await;
    assert_eq!(names(&second), ["p/3", "p/4"]);
    assert_eq!(second["list_complete"], true);
}

#[tokio::test]
async fn kv_fails_and_lags_where_it_is_told_to() {
    let harness = Harness::start().await;
    let kv = &harness.world.kv;
    let exactly = |key: &str| Keys::Exactly(key.into());

    kv.fail(Fault::new(KvCall::Put, exactly("a")).status(429).after(1));
    assert_eq!(harness.kv_put("a", "1", "").await, 200);
    assert_eq!(harness.kv_put("a", "2", "").await, 500);
    assert_eq!(kv.get("a").unwrap(), "1");
    assert_eq!(harness.kv_put("a", "3", "").await, 200);

    kv.fail(Fault::new(KvCall::Put, Keys::Prefixed("b".into())).after_persisting());
    assert_eq!(harness.kv_put("b1", "kept", "").await, 500);
    assert_eq!(kv.get("b1").unwrap(), "kept");

    kv.stale(exactly("a"), 2);
    kv.stale(exactly("b1"), 1);
    for value in [json!("1"), json!("1"), json!("3")] {
        assert_eq!(harness.ask("/kv/get?key=a").await["value"], value);
    }
    for value in [Value::Null, json!("kept")] {
        assert_eq!(harness.ask("/kv/get?key=b1").await["value"], value);
    }

    kv.limit_writes(true);
    assert_eq!(harness.kv_put("a", "4", "").await, 500);
}

#[tokio::test]
async fn outgoing_requests_reach_the_simulator_of_their_host() {
    let harness = Harness::start().await;
    let seen = harness.ask("/fetch?url=https://api.cloudflare.com/client/v4/accounts%3Fpage=2").await;
    let seen: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    let expected = json!({
        "host": "api.cloudflare.com", "path": "/client/v4/accounts", "query": "page=2",
        "authorization": "Bearer outgoing",
    });
    assert_eq!(seen, expected);

    let keys = harness.ask("/fetch?url=https://acme.conductor.one/auth/v1/jwks").await;
    assert_eq!(keys["status"], 200);
    assert_eq!(harness.world.c1.jwks_fetches(), 1);
    assert!(harness.world.gateway.unknown().is_empty());

    let nowhere = harness.ask("/fetch?url=https://example.org/path").await;
    assert_eq!(nowhere["status"], 599);
    assert_eq!(harness.world.gateway.unknown().first().unwrap().to_string(), "GET example.org/path");

    harness.world.gateway.cut("api.cloudflare.com", 1);
    let cut = harness.world.get("/fetch?url=https://api.cloudflare.com/").await.unwrap();
    assert_eq!(cut.status, 500);
    assert_eq!(harness.world.gateway.count("api.cloudflare.com"), 2);
}

#[tokio::test]
async fn cron_runs_and_may_fail() {
    let harness = Harness::start().await;
    assert_eq!(harness.world.worker.trigger_cron().await.unwrap(), "ok");
    assert_eq!(harness.world.kv.get("cron").unwrap(), "*/15 * * * *");
    harness.world.kv.put("broken", "yes");
    assert_ne!(harness.world.worker.trigger_cron().await.unwrap(), "ok");
}

#[tokio::test]
async fn waiting_for_something_that_never_comes_ends() {
    let harness = Harness::start().await;
    let late = harness.world.wait_for("/do/lines", Duration::from_millis(50), |_| false).await.unwrap_err();
    assert!(late.last.contains("200"), "{late}");
}

#[tokio::test]
async fn storage_and_alarms_outlive_a_kill() {
    let harness = Harness::start().await;
    harness.ask("/do/note?what=before").await;
    harness.ask("/do/wake?in=10000").await;
    let url = harness.world.worker.url();
    harness.world.worker.kill().await;
    assert!(harness.world.get("/do/lines").await.is_err());
    assert!(harness.world.worker.trigger_cron().await.is_err());

    harness.world.worker.set_var("AFTER", "the restart");
    harness.world.worker.restart().await.unwrap();
    assert_eq!(harness.world.worker.url(), url);
    assert_eq!(harness.ask("/var?name=AFTER").await, "the restart");
    // In the run before it would have told of nothing.
    let rang = |lines: &Value| lines["answer"] == json!(["before", "alarm after the restart"]);
    harness.world.wait_for("/do/lines", Duration::from_mins(1), rang).await.unwrap();
}

#[tokio::test]
async fn the_process_ends_with_the_harness() {
    let harness = Harness::start().await;
    if let (Some(cpu), Some(memory)) = (harness.world.worker.cpu_time(), harness.world.worker.peak_memory()) {
        assert!(cpu > Duration::ZERO);
        assert!(memory > 1024 * 1024);
    }
    let address = harness.world.worker.url().trim_start_matches("http://").to_owned();
    drop(harness);
    let ends = async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ends).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_cannot_start_says_why() {
    let start = async |script: Option<&str>, workerd: Option<&str>| {
        let build = tempfile::tempdir().unwrap();
        if let Some(script) = script {
            std::fs::write(build.path().join("index.js"), script).unwrap();
        }
        let mut options = Options::default().build_dir(build.path());
        if let Some(path) = workerd {
            options.workerd = Some(path.into());
        }
        World::start(Arc::new(Echo), ConductorOne::new(), options).await.unwrap_err()
    };
    let error = start(Some("this is not JavaScript"), None).await;
    assert!(matches!(&error, StartError::Ended(said) if said.contains("SyntaxError")), "{error}");
    let error = start(None, None).await;
    assert!(matches!(&error, StartError::NotBuilt(_)) && error.to_string().contains("make build"), "{error}");
    let error = start(Some(WORKER), Some("/nowhere/workerd")).await;
    assert!(matches!(&error, StartError::NoWorkerd(_)) && error.to_string().contains("make setup"), "{error}");
}
