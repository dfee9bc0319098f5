//! Staying up, to be tried by hand.

use sim::cloudflare::Cloudflare;
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::http::Server;
use sim::stage::Stage;

use crate::account;
use crate::page::Front;
use crate::terminal::Terminal;

/// Prints the URLs and some lines to try, and waits for Ctrl-C.
pub(crate) async fn stay(terminal: &mut Terminal, stage: &Stage) -> Result<(), String> {
    let listen = |error| format!("the simulators could not listen: {error}");
    let cloudflare = stage.cloudflare.serve(0).await.map_err(listen)?;
    let c1 = Server::start(0, stage.world.c1.handler()).await.map_err(listen)?;
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/page");
    let front = Front { world: std::sync::Arc::clone(&stage.world), files };
    let page = Server::start(0, std::sync::Arc::new(front)).await.map_err(listen)?;
    let cast = account::cast(&stage.cloudflare)?;
    let api = format!("{}/accounts/{}", Cloudflare::api_url(&cloudflare), stage.cloudflare.account_id());
    terminal.part("It stays up; Ctrl-C ends it");
    terminal.row("page", &format!("{}/   (sign in with the bearer token)", page.url()));
    terminal.row("Worker", &stage.world.worker.url());
    terminal.row("Cloudflare", &api);
    terminal.row("ConductorOne", &format!("{}/auth/v1/jwks", c1.url()));
    terminal.row("bearer token", CONNECTOR_TOKEN);
    terminal.line("");
    let url = stage.world.worker.url();
    let grant = format!("/v1/roles/{}/members/{}", cast.role.governed_as(), cast.user_id);
    // In front of them: an interactive zsh takes a comment behind a command for words of that command.
    terminal.line(&format!(
        "  Some lines to try; the PUT grants {} to {}, and the DELETE takes it away again:",
        cast.role.name, cast.member.email
    ));
    for line in [
        format!("URL={url} AUTH='Authorization: Bearer {CONNECTOR_TOKEN}'"),
        "curl -sH \"$AUTH\" $URL/v1/status".to_owned(),
        "curl -sH \"$AUTH\" $URL/v1/doctor".to_owned(),
        "curl -sH \"$AUTH\" \"$URL/v1/grants?limit=5\"".to_owned(),
        format!("curl -sH \"$AUTH\" -X PUT $URL{grant}"),
        "curl -sH \"$AUTH\" -X POST $URL/v1/sync".to_owned(),
        "curl -sH \"$AUTH\" $URL/v1/changes".to_owned(),
        "curl -sOJH \"$AUTH\" $URL/v1/export/sync.c1z".to_owned(),
        "curl -sH \"$AUTH\" \"$URL/scim/v2/Users?count=2\"".to_owned(),
        format!("curl -sH \"$AUTH\" $URL/v1/users/{}", cast.user_id),
        format!("curl -sH \"$AUTH\" -X DELETE $URL{grant}"),
    ] {
        terminal.line(&format!("  {line}"));
    }
    tokio::signal::ctrl_c().await.map_err(|error| format!("it cannot wait for Ctrl-C: {error}"))
}
