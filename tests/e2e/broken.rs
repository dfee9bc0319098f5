//! The WebAssembly that breaks in the middle of a call, as a panic or a trap leaves it: what is under way fails at once, and what comes then does not.
//!
//! Nothing that the Worker is asked breaks it, as far as is known; what breaks it here is the runtime, one of whose functions throws what a trap throws.

use std::time::Duration;

use sim::cloudflare::{Latency, Route, Spec};
use sim::harness::Options;
use sim::stage::Stage;

/// Runs before the Worker: of the looks at the clock that follow a request for a path with `?break=N`, the one after N breaks the WebAssembly, once. The
/// first ones are the Worker's own, and the others the Coordinator's. With `&mute` the instance does not tell of it, as one whose stack is used up; with
/// `&again` the next instance breaks as well, when the Coordinator is made.
const BREAKS: &str = r#"
let left = -1;
let how;
let again = false;
const url = Object.getOwnPropertyDescriptor(Request.prototype, "url").get;
Object.defineProperty(Request.prototype, "url", { configurable: true, get() {
  const asked = url.call(this);
  const found = /[?]break=([0-9]+)(&mute|&again)?$/.exec(asked);
  if (found) [left, how] = [Number(found[1]), found[2]];
  else if (asked.includes("/v1/")) left = -1;
  return asked;
} });
addEventListener("unhandledrejection", ({ reason }) => console.log("nobody waited for", reason?.message));
const trap = () => {
  console.log("the clock breaks the WebAssembly");
  throw new WebAssembly.RuntimeError("unreachable");
};
const Instance = WebAssembly.Instance;
let exports;
WebAssembly.Instance = function (module, imports) {
  const instance = new Instance(module, imports);
  exports = { ...instance.exports };
  const make = exports.coordinator_new;
  exports.coordinator_new = (...given) => {
    if (again) {
      again = false;
      trap();
    }
    return make(...given);
  };
  return { exports };
};
const now = Date.now;
Date.now = function () {
  if (left >= 0 && left-- === 0) {
    again = how === "&again";
    if (how === "&mute") new Int32Array(exports.memory.buffer)[exports.__abort_handler.value / 4] = 0;
    trap();
  }
  return now.call(Date);
};
"#;

/// The longest that a call which broke the WebAssembly may stay unanswered; without an end of its own it would for minutes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Breaks the WebAssembly at each look at the clock that the status takes, and looks after each whether it works again; gives how often it broke.
async fn break_at_each_look(stage: &Stage, how: &str, wanted: &[&str]) -> usize {
    let mut after = 0;
    loop {
        let path = format!("/v1/status?break={after}{how}");
        let broken = tokio::time::timeout(PATIENCE, stage.world.get(&path))
            .await
            .unwrap_or_else(|_| panic!("broken after {after}{how}: hung"));
        let next = stage.json("/v1/status").await.unwrap();
        let found = next["state"].as_str().unwrap();
        assert!(wanted.contains(&found), "broken after {after}{how}: {next}");
        if broken.is_ok_and(|answer| answer.status == 200) {
            return after;
        }
        after += 1;
    }
}

#[tokio::test]
async fn what_breaks_the_webassembly_fails_at_once_and_the_next_call_and_a_sync_that_was_under_way_go_on() {
    let build = tempfile::tempdir().unwrap();
    let whole = Options::default().build_dir;
    std::fs::copy(whole.join("index_bg.wasm"), build.path().join("index_bg.wasm")).unwrap();
    let worker = std::fs::read_to_string(whole.join("index.js")).unwrap();
    std::fs::write(build.path().join("index.js"), format!("{BREAKS}{worker}")).unwrap();
    let spec = Spec { members: 400, ..Spec::default() };
    let stage = Stage::with(spec, |options| options.build_dir(build.path())).await.unwrap();
    let times = |what: &str| stage.world.worker.logs().iter().filter(|line| line.contains(what)).count();

    stage.world.sync().await.unwrap();
    let idle = break_at_each_look(&stage, "", &["connected"]).await;
    assert!(idle >= 3, "it broke {idle} times: some of the Worker's looks, and some of the Coordinator's");
    let mute = break_at_each_look(&stage, "&mute", &["connected"]).await;
    assert!(mute >= 3, "{mute}");

    // What breaks before there is a promise to wait for.
    for (path, answered) in [("/v1/status?break=0&again", 500), ("/v1/status", 500), ("/v1/status", 200)] {
        assert_eq!(stage.world.get(path).await.unwrap().status, answered, "{path}");
    }

    // However slow the machine is, the sync waits for members while it is broken.
    stage.cloudflare.set_route_latency(Route::ListMembers, Latency::of(Duration::from_mins(1)));
    let asked = stage.cloudflare.requests(Route::ListMembers);
    assert_eq!(stage.world.worker.trigger_cron().await.unwrap(), "ok");
    let waits = async {
        while stage.cloudflare.requests(Route::ListMembers) == asked {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::deployment::PATIENCE, waits).await.unwrap();
    let busy = break_at_each_look(&stage, "", &["syncing"]).await;
    assert!(busy >= 3, "{busy}");
    stage.cloudflare.set_route_latency(Route::ListMembers, Latency::default());
    stage
        .world
        .wait_for("/v1/status", crate::deployment::PATIENCE, |status| status["runs"][0]["outcome"] == "unchanged")
        .await
        .unwrap();
    stage.compare().await.unwrap();

    // What the Worker does by itself meanwhile may look at the clock as well.
    let breaks = times("the clock breaks the WebAssembly");
    assert!(breaks >= idle + mute + 2 + busy, "{breaks}: {idle}, {mute}, {busy}");
    assert_eq!(times("the WebAssembly broke, and is started anew"), breaks, "each time, and nothing broke beside");
    assert!(times("RuntimeError: unreachable") >= breaks, "where each was is told");
    assert_eq!(times("panicked"), 0);
    assert_eq!(times("nobody waited for the Worker broke"), 0);
}
