//! The account as files, as ConductorOne takes it in.

use sim::stage::Stage;

use crate::terminal::Terminal;

/// What a `.c1z` file of version 1 begins with, and the zstd frame after it.
const C1Z: &[u8] = b"C1ZF\0\x28\xb5\x2f\xfd";

/// Downloads each file, and checks that everybody is in it.
pub(crate) async fn show(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    terminal.part("The account as files for ConductorOne");
    let truth = stage.cloudflare.truth();
    let people = truth.users.len() + truth.invitations.len();
    for (name, what) in [
        ("sync.c1z", "people, roles, groups, tokens and every grant, as C1's own connectors write them"),
        ("users.csv", "one line for each person"),
        ("grants.csv", "one line for each person and entitlement"),
    ] {
        let file = stage.world.get(&format!("/v1/export/{name}")).await.map_err(|error| error.to_string())?;
        if file.status != 200 {
            return Err(format!("{name} was answered with {}: {}", file.status, file.text()));
        }
        if name == "sync.c1z" && !file.body.starts_with(C1Z) {
            return Err(format!("{name} does not begin as a .c1z file does"));
        }
        let lines = file.body.windows(2).filter(|pair| pair == b"\r\n").count();
        if name == "users.csv" && lines != people + 1 {
            return Err(format!("{name} has {lines} lines, and there are {people} people and a head"));
        }
        terminal.row(name, &format!("{} KiB: {what}", file.body.len().div_ceil(1024)));
    }
    terminal.good("everybody is in them");
    Ok(())
}
