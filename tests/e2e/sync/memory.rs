//! The memory of the WebAssembly: it only grows, and an isolate has 128 MB for everything.

use std::time::Duration;

use sim::cloudflare::Spec;
use sim::stage::Stage;

/// The account and its bound: the largest that is promised to fit, in `make soak`, and otherwise a tenth of it, which takes seconds.
fn bound() -> (Spec, u64) {
    let (members, roles, groups, most_mib) =
        if std::env::var_os("SOAK").is_some() { (50_000, 200, 500, 64) } else { (5_000, 60, 10, 14) };
    (Spec { members, roles, groups, pending_share: 0.05, ..Spec::default() }, most_mib << 20)
}

#[tokio::test]
async fn the_memory_after_a_first_and_an_unchanged_sync_keeps_its_bound() {
    let (spec, most) = bound();
    let members = spec.members;
    let stage = Stage::set(spec, &[]).await.unwrap();
    for sync in ["first", "unchanged"] {
        stage.sync(Duration::from_mins(20), Duration::from_millis(250), |_| {}).await.unwrap();
        // Only Linux tells.
        let Some(bytes) = stage.world.worker.wasm_memory() else { return };
        eprintln!("{members} members, {sync}: {} KiB", bytes >> 10);
        assert!(bytes <= most, "the {sync} sync of {members} members took {bytes} bytes, and {most} are promised");
        assert!(bytes > most / 8, "{bytes} bytes are not the memory that a sync works in");
    }
}
