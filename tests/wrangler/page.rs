//! The page at `/` in a real browser, served by the real wrangler: `tests/wrangler/page.mjs` clicks through it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sim::cloudflare::{Cloudflare, PolicySpec, Spec};
use sim::conductorone::{App, ConductorOne, Entitlement};
use sim::harness::workerd::CONNECTOR_TOKEN;
use sim::http::Server;
use tokio::process::Command;

use super::wrangler::{PROJECT, Scratch};
use super::{Unavailable, is_gone, start, start_at, variables_file};

const READ_TOKEN: &str = "connector-read-token-of-the-tests-0123456789";

/// Whom no operation may touch.
const PROTECTED: &str = "guarded@example.com";

/// A first sync of five thousand members, some thirty clicks, and the look of the accessibility rules at every view.
const PATIENCE: Duration = Duration::from_mins(45);

#[tokio::test]
async fn the_page_shows_the_account_and_changes_it_for_who_is_signed_in() {
    let cloudflare = Cloudflare::new(Spec { members: 5_000, roles: 60, ..Spec::default() });
    let hostile = ["<img src=x onerror=\"document.title='owned'\">", "\u{202e}gnp.elif", &"long ".repeat(60)];
    // A member has one role at least.
    let role = cloudflare
        .permission_groups()
        .into_iter()
        .rfind(|group| group.account_wide && group.role_id.is_some())
        .unwrap();
    for (n, name) in hostile.into_iter().enumerate() {
        let holds = PolicySpec::allow(role.id.clone(), cloudflare.account_resource_group());
        let member = cloudflare.add_member(&format!("hostile{n}@example.com"), vec![holds]);
        cloudflare.accept_invitation(&member);
        cloudflare.rename(&member, Some(name), Some("Hostile"));
    }
    // Whatever has a name may have such a one: a group, a domain that a role reaches, a token.
    let zone = cloudflare.add_zone(hostile[0]);
    let on_zone = cloudflare.permission_groups().into_iter().find(|group| !group.account_wide).unwrap();
    let group = cloudflare.add_group(hostile[0], vec![PolicySpec::allow(on_zone.id.clone(), zone)]);
    let member = cloudflare.membership_of("hostile0@example.com").unwrap();
    cloudflare.join_group(&group, &member.id);
    let used = serde_json::json!({ "last_used_on": "2026-08-21T00:30:00Z" });
    cloudflare.add_token(hostile[0], None, &used);
    let guarded = cloudflare.add_member(PROTECTED, Vec::new());
    cloudflare.accept_invitation(&guarded);
    let account = Server::start(0, Arc::new(cloudflare.clone())).await.unwrap();
    let tenant = Server::start(0, Arc::new(Unavailable)).await.unwrap();
    let scratch = Scratch::new("page");
    let variables = variables_file(&cloudflare, &account, &tenant)
        + &format!(
            "CONNECTOR_READ_TOKEN=\"{READ_TOKEN}\"\nPROVISIONING=\"on\"\nPLAN=\"paid\"\nPROTECTED_MEMBERS=\"{PROTECTED}\"\n\
             ACCESS_TEAM_DOMAIN=\"acme.cloudflareaccess.com\"\nACCESS_AUD=\"{}\"\n",
            "a".repeat(64)
        );
    let (_dev, address) = start(&scratch, &variables).await;
    let people = cloudflare.memberships().len().to_string();
    clicked("account", &address, &[("PEOPLE", &people), ("GUARDED", PROTECTED)]).await;
}

/// From a Worker that has nothing set to one that is connected, and the first change.
#[tokio::test]
async fn the_page_of_a_worker_that_is_not_set_up_leads_to_one_that_is_connected() {
    let cloudflare = Cloudflare::new(Spec { members: 40, roles: 12, ..Spec::default() });
    let group = cloudflare.add_group("Engineers", Vec::new());
    let c1 = ConductorOne::new();
    c1.add_app(&App::default(), &[Entitlement::new(&format!("group:{group}:member"), "Engineers Member")]);
    let account = Server::start(0, Arc::new(cloudflare.clone())).await.unwrap();
    let tenant = Server::start(0, Arc::new(c1.clone())).await.unwrap();
    let scratch = Scratch::new("page-set-up");
    let key = c1.credential("page");
    let all = variables_file(&cloudflare, &account, &tenant)
        + &format!(
            "PROVISIONING=\"on\"\nPLAN=\"paid\"\nC1_CLIENT_ID=\"{}\"\nC1_CLIENT_SECRET=\"{}\"\n",
            key.client_id, key.client_secret
        );
    let id = all.lines().find(|line| line.starts_with("CLOUDFLARE_ACCOUNT_ID")).unwrap();
    let (dev, address) = start(&scratch, &format!("{id}\nC1_TENANT=\"https://acme.conductor.one\"\n")).await;
    c1.reach("connector.example.com", &format!("http://{address}"));
    let asks = scratch.path("set-the-rest");
    let set_the_rest = async {
        while !asks.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // wrangler does not look at its variables again by itself.
        drop(dev);
        assert!(is_gone(&address).await, "wrangler lets go of its port");
        let (_, port) = address.rsplit_once(':').unwrap();
        let _again = start_at(&scratch, &all, port).await;
        std::future::pending::<()>().await;
    };
    let more = [("SET_THE_REST", asks.to_str().unwrap())];
    tokio::select! {
        () = clicked("first-run", &address, &more) => {}
        () = set_the_rest => {}
    }
}

/// What is late, refused, or another answer than the one before: the page's own files, and no Worker.
#[tokio::test]
async fn the_page_tells_nothing_as_a_fact_that_it_was_not_answered() {
    let build = Command::new("bash").arg("scripts/build.sh").current_dir(PROJECT).output().await.unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    clicked("told-as-it-is", "page.test", &[]).await;
}

/// How long somebody waits for the first row of a large account: `make bench` asks for it, since the sync before it takes minutes.
#[tokio::test]
#[cfg(feature = "measure")]
async fn the_first_row_of_a_large_account_is_measured() {
    let cloudflare = Cloudflare::new(Spec { members: 50_000, roles: 60, ..Spec::default() });
    let account = Server::start(0, Arc::new(cloudflare.clone())).await.unwrap();
    let tenant = Server::start(0, Arc::new(Unavailable)).await.unwrap();
    let scratch = Scratch::new("page-first-row");
    let variables = variables_file(&cloudflare, &account, &tenant) + "PLAN=\"paid\"\n";
    let (_dev, address) = start(&scratch, &variables).await;
    println!("{}", browsed("first-row", &address, &[], Duration::from_hours(1)).await);
}

/// Lets the browser go through a scenario; what it says stands in the panic where it fails.
async fn clicked(scenario: &str, address: &str, more: &[(&str, &str)]) {
    browsed(scenario, address, more, PATIENCE).await;
}

/// The same with this much patience; gives what the browser says.
async fn browsed(scenario: &str, address: &str, more: &[(&str, &str)], patience: Duration) -> String {
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page-screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let browser = Command::new("node")
        .args(["tests/wrangler/page.mjs", scenario])
        .current_dir(PROJECT)
        .env("PAGE", format!("http://{address}"))
        .env("TOKEN", CONNECTOR_TOKEN)
        .env("READ_TOKEN", READ_TOKEN)
        .env("SCREENSHOTS", &shots)
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(patience, browser).await.expect("the browser ends in time").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all as it should be"), "{said}");
    said
}
