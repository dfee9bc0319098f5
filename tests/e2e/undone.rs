//! What `io.js` does with a Durable Object's database as a whole, in the runtime itself: the tests beside this one have SQLite without it.

use std::sync::Arc;

use serde_json::json;
use sim::conductorone::ConductorOne;
use sim::harness::{Options, World};
use sim::http::{Handler, Reply, ReplyFuture, Request};

/// A Worker of its own, which has `io.js` in it.
const WORKER: &str = r#"
import { DurableObject } from "cloudflare:workers";

export class Coordinator extends DurableObject {
  async fetch() {
    const run = (statement) => JSON.parse(query(this.ctx, statement, "[]", []));
    const write = (value) => run(`INSERT INTO kept VALUES (${value})`);
    const isDone = (work) => {
      try {
        whole(this.ctx, work);
        return true;
      } catch {
        return false;
      }
    };
    run("CREATE TABLE kept (value INTEGER UNIQUE)");
    const told = {};
    Object.assign(told, {
      done: isDone(() => (write(1), write(2), true)),
      "not done": isDone(() => (write(3), false)),
      "falls over": isDone(() => (write(4), write(4), true)),
      "outer and inner": isDone(() => {
        write(5);
        told.inner = isDone(() => (write(6), false));
        return true;
      }),
      "around what was done": isDone(() => (isDone(() => (write(7), true)), false)),
    });
    // Nothing of it comes back with the next turn, when the runtime commits.
    await scheduler.wait(1);
    return Response.json({ told, kept: run("SELECT value FROM kept ORDER BY value") });
  }
}

export default {
  fetch(request, env) {
    return env.COORDINATOR.getByName("one").fetch(request);
  },
};
"#;

/// Nothing goes out.
struct Nobody;

impl Handler for Nobody {
    fn handle(self: Arc<Self>, _: Request) -> ReplyFuture {
        Box::pin(std::future::ready(Reply::json(404, &json!({}))))
    }
}

#[tokio::test]
async fn what_is_not_done_as_a_whole_is_undone_by_the_runtime() {
    let build = tempfile::tempdir().unwrap();
    let io = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/worker/io.js")).unwrap();
    std::fs::write(build.path().join("index.js"), format!("{io}{WORKER}")).unwrap();
    let options = Options::default().build_dir(build.path());
    let world = World::start(Arc::new(Nobody), ConductorOne::new(), options).await.unwrap();
    let answer = world.get("/").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = json!({
        "done": true, "not done": false, "falls over": false, "outer and inner": true, "inner": false, "around what was done": false,
    });
    assert_eq!(answer.json(), json!({ "told": told, "kept": [[1], [2], [5]] }));
}
