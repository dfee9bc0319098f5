//! From a clone to a connected account and back: `scripts/up.mjs` and `scripts/down.mjs` with the real wrangler, which deploys to the simulated
//! account; what it uploaded runs in workerd.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sim::cloudflare::{Cloudflare, Fault, Permission, Route, Spec};
use sim::conductorone::{ApiFault, App, CallbackFault, ConductorOne, Delivery, Entitlement, Person, Task};
use sim::harness::World;
use sim::harness::workerd::Options;
use sim::hosting::{Deployed, Hosting, LOGIN};
use sim::http::{Handler, Reply, ReplyFuture, Request, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::wrangler::{FOREIGN_VARIABLES, PROJECT, Scratch};

/// The Worker's name in wrangler.toml.
const NAME: &str = "c1-cloudflare";

/// Where it is, once it is deployed.
const HOST: &str = "c1-cloudflare.acme.workers.dev";

/// Where the branch is that the button leads to.
const BUTTON: &str = "https://github.com/acme/c1-cloudflare/tree/deploy";

const FULL: &str = "connector-token-of-the-person-0123456789abcdef";
const READ: &str = "connector-read-token-of-the-person-0123456789";

/// A few runs of wrangler, a start of the Worker and a sync of a small account take some ten seconds.
const PATIENCE: Duration = Duration::from_mins(10);

/// Makes the tree that `make release` makes: the branch behind a Deploy button has it, and `make up` works in it as in a clone.
async fn released(scratch: &Scratch) {
    let output = release(&scratch.path("")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn release(folder: &Path) -> Output {
    let mut command = Command::new("bash");
    command
        .arg("scripts/release.sh")
        .current_dir(PROJECT)
        .env("FOLDER", folder)
        .env("REPOSITORY", BUTTON)
        .kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap()
}

/// The released tree as a project's folder of its own.
struct Project {
    scratch: Scratch,
    cloudflare: Cloudflare,
    hosting: Hosting,
    api: Arc<Api>,
    api_server: Server,
    edge: Arc<Edge>,
    edge_server: Server,
}

/// The npm scripts that a text tells to run; it may tell no command of make's, which a released tree does not have.
fn npm_scripts(text: &str) -> Vec<String> {
    let makefile = std::fs::read_to_string(Path::new(PROJECT).join("Makefile")).unwrap();
    let targets = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).unwrap();
    for target in targets.split(' ') {
        let command = format!("make {target}");
        let mut told = text.split(&command).skip(1);
        let is_told = told.any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()));
        assert!(!is_told, "there is no `make {target}` in a released tree: {text}");
    }
    let names = text.split("npm run ").skip(1);
    names.map(|rest| rest.chars().take_while(char::is_ascii_lowercase).collect()).collect()
}

/// Holds the commands that a released tree tells against those that it has; gives the ones that are told.
fn commands_of_the_tree(scratch: &Scratch, text: &str) -> Vec<String> {
    let package = std::fs::read_to_string(scratch.path("package.json")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    let told = npm_scripts(text);
    for name in &told {
        let runs = package["scripts"][name].as_str().unwrap_or_else(|| panic!("there is no `npm run {name}`: {text}"));
        if let Some(program) = runs.strip_prefix("node ") {
            assert!(scratch.path(program).exists(), "{program}, which `npm run {name}` runs");
        }
    }
    told
}

/// What a program said, and how it ended.
struct Said {
    status: Option<i32>,
    text: String,
}

/// What is installed, with one answer of wrangler's given by a script: whom the environment lets in. Each run asks that first, and wrangler takes as
/// long to start as the rest of a run together. Everything else is wrangler's own.
fn programs(folder: &Path) {
    let installed = Path::new(PROJECT).join("node_modules");
    for (from, to) in [(installed.clone(), folder.to_owned()), (installed.join(".bin"), folder.join(".bin"))] {
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(&from).unwrap() {
            let name = entry.unwrap().file_name();
            // What wrangler noted there before is not this project's.
            if [".bin", ".cache"].iter().all(|other| name != *other) && (name != "wrangler" || from == installed) {
                std::os::unix::fs::symlink(from.join(&name), to.join(&name)).unwrap();
            }
        }
    }
    let wrangler = folder.join(".bin/wrangler");
    let script = format!(
        "#!/bin/sh\nif [ \"$1 $2 $3\" = 'auth token --json' ] && [ \"$CLOUDFLARE_API_TOKEN\" ]; then\n  \
         printf '{{\"type\":\"api_token\",\"token\":\"%s\"}}' \"$CLOUDFLARE_API_TOKEN\"\nelse\n  exec '{}' \"$@\"\nfi\n",
        installed.join(".bin/wrangler").display()
    );
    std::fs::write(&wrangler, script).unwrap();
    std::fs::set_permissions(&wrangler, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// The script says what wrangler itself says.
#[tokio::test]
async fn whom_the_environment_lets_in_is_told_as_wrangler_tells_it() {
    let scratch = Scratch::new("up-login");
    programs(&scratch.path("node_modules"));
    let mut told = Vec::new();
    for program in [Path::new(PROJECT).join("node_modules/.bin/wrangler"), scratch.path("node_modules/.bin/wrangler")] {
        let mut command = Command::new(program);
        command
            .args(["auth", "token", "--json"])
            .current_dir(scratch.path(""))
            .env("XDG_CONFIG_HOME", scratch.path(""));
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        let output = command.env("CLOUDFLARE_API_TOKEN", LOGIN).output().await.unwrap();
        told.push(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap());
    }
    assert_eq!(told[0], told[1]);
}

impl Project {
    async fn new(name: &str, spec: Spec) -> Self {
        let scratch = Scratch::new(name);
        released(&scratch).await;
        programs(&scratch.path("node_modules"));
        let cloudflare = Cloudflare::new(spec);
        let hosting = Hosting::new(cloudflare.clone());
        let api = Arc::new(Api {
            hosting: hosting.clone(),
            domains: Mutex::default(),
            meanwhile: Mutex::default(),
            hides_versions: AtomicBool::new(false),
        });
        let api_server = Server::start(0, Arc::clone(&api) as Arc<dyn Handler>).await.unwrap();
        let edge = Arc::new(Edge {
            hosting: hosting.clone(),
            cloudflare: cloudflare.clone(),
            c1: ConductorOne::new(),
            modules: scratch.path("uploaded"),
            running: tokio::sync::Mutex::new(None),
            has_not_looked: AtomicBool::new(false),
            answers_before: AtomicUsize::new(0),
            unanswered: Mutex::default(),
            comes: Mutex::default(),
        });
        let edge_server = Server::start(0, Arc::clone(&edge) as Arc<dyn Handler>).await.unwrap();
        Self { scratch, cloudflare, hosting, api, api_server, edge, edge_server }
    }

    /// Runs a program of the project with this standard input.
    async fn run(&self, program: &str, parameters: &[&str], input: &str) -> Said {
        self.said(Command::new("node"), program, parameters, input).await
    }

    /// Runs a program of the project at a terminal, where a person answers these questions.
    async fn answered(&self, program: &str, parameters: &[&str], answers: &[(&str, &str)]) -> Said {
        let mut command = Command::new("python3");
        command.arg(Path::new(PROJECT).join("tests/wrangler/terminal.py")).arg("node");
        let answers: Vec<[&str; 2]> = answers.iter().map(|(question, answer)| [*question, *answer]).collect();
        self.said(command, program, parameters, &serde_json::to_string(&answers).unwrap()).await
    }

    async fn said(&self, mut command: Command, program: &str, parameters: &[&str], input: &str) -> Said {
        command
            .arg(format!("scripts/{program}.mjs"))
            .args(["--reach", &self.edge_server.url()])
            .args(parameters)
            .current_dir(self.scratch.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        command
            .env("CLOUDFLARE_API_BASE_URL", format!("{}/client/v4", self.api_server.url()))
            .env("CLOUDFLARE_API_TOKEN", LOGIN)
            .env("XDG_CONFIG_HOME", self.scratch.path("config"))
            .env("TMPDIR", self.scratch.path(""))
            .env("WRANGLER_HIDE_BANNER", "true")
            .env("NO_COLOR", "1")
            .env("LOOK_MS", "50");
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time").unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Said { status: output.status.code(), text }
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.scratch.path("wrangler.toml")).unwrap()
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.scratch.path("wrangler.toml"), text).unwrap();
    }

    fn worker(&self) -> Deployed {
        self.hosting.worker(NAME).expect("the Worker is deployed")
    }

    /// Has something happen in the account once the program asks Cloudflare for what ends so.
    fn meanwhile(&self, path: &'static str, what: impl FnOnce(&Hosting) + Send + 'static) {
        *self.api.meanwhile.lock().unwrap() = Some((path, Box::new(what)));
    }

    /// The three secrets, as they come through a pipe.
    fn secrets(&self) -> String {
        format!(
            "CLOUDFLARE_API_TOKEN={}\nCONNECTOR_TOKEN={FULL}\nCONNECTOR_READ_TOKEN={READ}\n",
            self.cloudflare.token()
        )
    }

    /// Files that hold a text, of all that was written beneath the project's folder.
    fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.scratch.path("")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file()
                    && String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).contains(text)
                {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

/// What somebody else does while a program runs.
type Meanwhile = (&'static str, Box<dyn FnOnce(&Hosting) + Send>);

/// Cloudflare's API in the test: that of the account, its custom domains, and what happens in it meanwhile.
struct Api {
    hosting: Hosting,
    /// The account, the host, and the Worker that it leads to; nothing where nobody may look.
    domains: Mutex<Option<Vec<[String; 3]>>>,
    meanwhile: Mutex<Option<Meanwhile>>,
    /// Whether nobody may look which versions there are.
    hides_versions: AtomicBool,
}

/// What somebody is answered who may not look.
fn forbidden() -> ReplyFuture {
    let refusal =
        serde_json::json!({ "success": false, "errors": [{ "code": 10000, "message": "Authentication error" }] });
    Box::pin(std::future::ready(Reply::json(403, &refusal)))
}

impl Handler for Api {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        let happens = self.meanwhile.lock().unwrap().take_if(|(path, _)| request.path.ends_with(*path));
        if let Some((_, happens)) = happens {
            happens(&self.hosting);
        }
        if self.hides_versions.load(Ordering::Relaxed) && request.method == "GET" && request.path.ends_with("/versions")
        {
            return forbidden();
        }
        let path = request.path.strip_prefix("/client/v4/accounts/").unwrap_or_default();
        // An upload leads the custom domains of its routes to the Worker.
        if request.method == "PUT"
            && let Some((account, script)) = path.split_once("/workers/scripts/")
            && let Some(worker) = script.strip_suffix("/domains/records")
        {
            let asked = request.json();
            let origins = asked["origins"].as_array().unwrap().iter();
            let hosts: Vec<&str> = origins.map(|origin| origin["hostname"].as_str().unwrap()).collect();
            let mut known = self.domains.lock().unwrap();
            let domains = known.get_or_insert_default();
            // They are all that it has from then on, whoever had them before.
            domains.retain(|[of, host, has]| of != account || (has != worker && !hosts.contains(&host.as_str())));
            domains.extend(hosts.into_iter().map(|host| [account, host, worker].map(str::to_owned)));
            let answer = serde_json::json!({ "success": true, "errors": [], "messages": [], "result": null });
            return Box::pin(std::future::ready(Reply::json(200, &answer)));
        }
        let account = path.strip_suffix("/workers/domains");
        let Some(account) = account.filter(|_| request.method == "GET") else {
            return Arc::new(self.hosting.clone()).handle(request);
        };
        let domains = self.domains.lock().unwrap();
        let Some(domains) = domains.as_ref() else { return forbidden() };
        let is_asked_for = |name: &str, value: &str| request.param(name).is_none_or(|it| it == value);
        let found: Vec<_> = domains
            .iter()
            .filter(|[of, host, worker]| {
                of == account && is_asked_for("hostname", host) && is_asked_for("service", worker)
            })
            .map(|[_, host, worker]| serde_json::json!({ "hostname": host, "service": worker }))
            .collect();
        let answer = serde_json::json!({ "success": true, "errors": [], "messages": [], "result": found });
        Box::pin(std::future::ready(Reply::json(200, &answer)))
    }
}

/// Cloudflare's edge in the test: has what was uploaded run in workerd, with the variables and secrets that are set, and passes requests on.
struct Edge {
    hosting: Hosting,
    cloudflare: Cloudflare,
    c1: ConductorOne,
    modules: PathBuf,
    running: tokio::sync::Mutex<Option<(World, Deployed)>>,
    /// Whether the Worker says that it could not look for findings.
    has_not_looked: AtomicBool,
    /// How often the doctor is still answered as by an isolate that has PROVISIONING as it was before.
    answers_before: AtomicUsize,
    /// Requests that do not reach the Worker: each is answered once as something in between does.
    unanswered: Mutex<Vec<&'static str>>,
    /// What ConductorOne sends right before this request.
    comes: Mutex<Option<(&'static str, Delivery)>>,
}

impl Edge {
    async fn answer(&self, request: Request) -> Reply {
        let Some(deployed) = self.hosting.running(NAME) else {
            return Reply::text(404, "text/plain", "no such Worker");
        };
        // What is a file of the page, the Worker does not see.
        if let Some(file) = self.hosting.asset(NAME, &request.path) {
            return Reply::text(200, "text/plain", String::from_utf8_lossy(&file).into_owned());
        }
        let asked = format!("{} {}", request.method, request.path);
        {
            let mut unanswered = self.unanswered.lock().unwrap();
            if let Some(n) = unanswered.iter().position(|each| *each == asked) {
                unanswered.swap_remove(n);
                return Reply::text(503, "text/html", "<title>error code: 1102</title>");
            }
        }
        let mut running = self.running.lock().await;
        let is_same = |known: &Deployed| {
            (&known.vars, &known.secrets, known.uploads) == (&deployed.vars, &deployed.secrets, deployed.uploads)
        };
        if running.as_ref().is_none_or(|(_, known)| !is_same(known)) {
            let vars = || deployed.vars.iter().chain(&deployed.secrets).filter(|(_, value)| !value.is_empty());
            if let Some((world, known)) = running.as_mut() {
                for name in known.secrets.keys() {
                    world.worker.unset_var(name);
                }
                for (name, value) in vars() {
                    world.worker.set_var(name, value);
                }
                world.worker.restart().await.unwrap();
                *known = deployed;
            } else {
                std::fs::create_dir_all(&self.modules).unwrap();
                for (name, bytes) in &deployed.modules {
                    std::fs::write(self.modules.join(name), bytes).unwrap();
                }
                let mut options = Options::default().build_dir(&self.modules);
                options.vars = vars().map(|(name, value)| (name.clone(), value.clone())).collect();
                let world = World::start(Arc::new(self.cloudflare.clone()), self.c1.clone(), options).await.unwrap();
                self.c1.reach(HOST, &world.worker.url());
                *running = Some((world, deployed));
            }
        }
        let (world, _) = running.as_ref().unwrap();
        let comes = self.comes.lock().unwrap().take_if(|(before, _)| *before == asked);
        if let Some((_, delivery)) = comes {
            Box::pin(world.deliver_once(&delivery)).await.unwrap();
        }
        let target =
            if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .filter(|(name, _)| ["authorization", "content-type"].contains(&name.as_str()))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = (!request.body.is_empty()).then(|| request.body.to_vec());
        let answer = world.raw(&request.method, &target, &headers, body).await.unwrap();
        if request.path == "/v1/status" && self.has_not_looked.load(Ordering::Relaxed) {
            let mut status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let jobs = status["jobs"].as_array_mut().unwrap().iter_mut();
            jobs.filter(|job| job["kind"] == "findings").for_each(|job| job["state"] = "failed".into());
            return Reply::text(answer.status, "application/json", status.to_string());
        }
        let left = self.answers_before.load(Ordering::Relaxed);
        if request.path == "/v1/doctor" && left > 0 {
            self.answers_before.store(left - 1, Ordering::Relaxed);
            let mut report: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let mut checks = report["checks"].as_array_mut().unwrap().iter_mut();
            let check = checks.find(|check| check["name"] == "PROVISIONING").unwrap();
            check["ok"] = (check["ok"] == false).into();
            return Reply::text(answer.status, "application/json", report.to_string());
        }
        Reply::text(answer.status, answer.header("content-type").unwrap_or("text/plain"), answer.body.clone())
    }

    /// Sets the two halves of C1's API key, as a person does by hand, or takes both away again.
    async fn set_key(&self, is_set: bool) {
        let running = self.running.lock().await;
        let worker = &running.as_ref().unwrap().0.worker;
        let key = self.c1.credential("up");
        for (name, value) in [("C1_CLIENT_ID", key.client_id), ("C1_CLIENT_SECRET", key.client_secret)] {
            if is_set {
                worker.set_var(name, &value);
            } else {
                worker.unset_var(name);
            }
        }
        worker.restart().await.unwrap();
    }
}

impl Handler for Edge {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move { self.answer(request).await })
    }
}

#[tokio::test]
async fn one_command_goes_from_a_clone_to_a_connected_account_a_second_run_changes_nothing_and_another_takes_all_away()
{
    let project = Project::new("up", Spec { members: 60, roles: 12, ..Spec::default() }).await;
    // Here wrangler answers everything itself.
    std::fs::remove_dir_all(project.scratch.path("node_modules")).unwrap();
    std::os::unix::fs::symlink(Path::new(PROJECT).join("node_modules"), project.scratch.path("node_modules")).unwrap();
    let somebody_elses = project.hosting.add_namespace("somebody-else's");
    let group = project.cloudflare.add_group("Engineers", Vec::new());
    let entitlement = Entitlement::new(&format!("group:{group}:member"), "Engineers Member");
    project.edge.c1.add_app(&App::default(), std::slice::from_ref(&entitlement));
    let pristine = project.configuration();
    // One call that comes to nothing ends nothing.
    project.edge.unanswered.lock().unwrap().extend(["POST /v1/sync", "GET /v1/findings"]);
    let first = project.run("up", &["--tenant", "https://acme.conductor.one/"], &project.secrets()).await;

    assert_eq!(first.status, Some(0), "{}", first.text);
    let people = project.cloudflare.truth().users.len();
    assert!(first.text.contains(&format!("{people} people, ")), "{}", first.text);
    // What is found high is told by its name.
    let (before, _) = first.text.split_once(" of them high.").expect(&first.text);
    let high: usize = before.rsplit(' ').next().unwrap().parse().unwrap();
    let named = first.text.lines().filter_map(|line| line.strip_prefix("  high: "));
    let counts = named.map(|line| line.rsplit_once('(').unwrap().1.trim_end_matches(')').parse::<usize>().unwrap());
    assert!(high > 0 && counts.sum::<usize>() == high, "{}", first.text);
    assert!(first.text.contains(&format!("  [{}] 100 %  done\n", "#".repeat(30))), "{}", first.text);
    assert_eq!(commands_of_the_tree(&project.scratch, &first.text), ["connect", "up"]);
    assert!(first.text.contains("https://c1-cloudflare.acme.workers.dev/"), "{}", first.text);
    let worker = project.worker();
    for (name, value) in [
        ("CLOUDFLARE_ACCOUNT_ID", project.cloudflare.account_id().as_str()),
        ("C1_TENANT", "acme.conductor.one"),
        ("PUBLIC_URL", "https://c1-cloudflare.acme.workers.dev"),
        ("PROVISIONING", "off"),
    ] {
        assert_eq!(worker.vars.get(name).map(String::as_str), Some(value), "{name}");
        assert!(project.configuration().contains(&format!("{name} = \"{value}\"")), "{}", project.configuration());
    }
    let secrets: Vec<&str> = worker.secrets.keys().map(String::as_str).collect();
    assert_eq!(secrets, ["CLOUDFLARE_API_TOKEN", "CONNECTOR_READ_TOKEN", "CONNECTOR_TOKEN"]);
    assert_eq!((worker.secrets["CONNECTOR_TOKEN"].as_str(), worker.migration.as_deref()), (FULL, Some("v1")));
    assert_eq!((worker.crons.as_slice(), worker.on_workers_dev), (&["*/15 * * * *".to_owned()][..], true));
    assert!(worker.assets.contains_key("/index.html"), "{:?}", worker.assets);
    for secret in [project.cloudflare.token().as_str(), FULL, READ, LOGIN] {
        assert!(!first.text.contains(secret), "a secret was printed");
        assert_eq!(project.files_with(secret), Vec::<PathBuf>::new());
    }

    let written = project.configuration();
    let changes = project.hosting.changes();
    let typed = format!("{FULL}\r");
    let (mistyped, confused) = (format!("{FULL}x\r"), format!("{READ}\r"));
    let answers = [
        ("Enter keeps the one that is set", "\r"),
        ("Enter makes a new one", &mistyped),
        ("Enter makes a new one", &confused),
        ("Enter makes a new one", &typed),
    ];
    let second = project.answered("up", &["--no-open"], &answers).await;
    assert_eq!(second.status, Some(0), "{}", second.text);
    assert!(second.text.contains("wrangler.toml: as it should be."), "{}", second.text);
    assert!(!second.text.contains(FULL), "a secret that was typed was shown");
    let (asked, _) = second.text.split_once("The Worker c1-cloudflare is what would be uploaded").expect(&second.text);
    assert_eq!(asked.matches("that is not the Worker's CONNECTOR_TOKEN").count(), 2, "{}", second.text);
    assert!(second.text.contains("] 100 %  done\u{1b}[K"), "{}", second.text);
    assert_eq!(project.configuration(), written);
    let again = project.worker();
    assert_eq!((&again.vars, &again.secrets, &again.namespace), (&worker.vars, &worker.secrets, &worker.namespace));
    assert_eq!(project.hosting.changes(), changes, "a second run changes nothing");
    what_a_token_that_is_kept_needs_is_told(&project, &second.text).await;
    assert_eq!(project.hosting.namespaces().len(), 2);
    from_another_clone(&project, &pristine).await;

    // Nobody is asked, so nothing is taken away without --yes.
    let refused = project.run("down", &[], "").await;
    let told = [
        "its Durable Object: the journal",
        "\nand the values in wrangler.toml.\n",
        "Whether operations are under way is not known without CONNECTOR_TOKEN",
        "npm run down -- --yes)",
    ];
    assert!(refused.status == Some(2) && told.iter().all(|it| refused.text.contains(it)), "{}", refused.text);
    assert_eq!(commands_of_the_tree(&project.scratch, &refused.text), ["connect", "down"]);
    assert!(project.hosting.worker(NAME).is_some());
    what_was_to_bring_the_token_and_failed_takes_nothing_away(&project).await;

    deployed_again_after_it_was_taken_away_without_a_connection(&project).await;

    connected(&project, &entitlement).await;
    let wired = || wired(&project, &entitlement);
    another_workers_namespace_stays(&project).await;

    // With the connector's token they are put back first; where that cannot be, nothing is taken away.
    nothing_is_taken_away(&project, READ, "read_only_token").await;
    nothing_is_taken_away(&project, &format!("{FULL}x"), "unauthorized").await;
    // Nor where the key was taken away again after connecting.
    project.edge.set_key(false).await;
    nothing_is_taken_away(&project, FULL, "C1_CLIENT_ID and C1_CLIENT_SECRET").await;
    assert_eq!(wired(), (true, 1));
    nor_while_an_operation_is_under_way(&project).await;
    assert_eq!(wired(), (true, 1));
    nor_where_their_app_is_gone(&project).await;
    assert_eq!(wired(), (true, 1));
    nor_where_an_operation_comes_while_they_are_put_back(&project).await;
    assert_eq!(wired(), (false, 0));
    nor_where_one_leads_here_by_hand(&project, &entitlement).await;

    // What a password store has for `up` does for this as well.
    let down = project.run("down", &["--yes"], &project.secrets()).await;
    tells_what_is_left(&down);
    assert!(project.hosting.worker(NAME).is_none());
    assert_eq!(project.hosting.namespaces().keys().collect::<Vec<_>>(), [&somebody_elses]);
    assert_eq!(project.configuration(), pristine);
    let nothing = project.run("down", &["--yes"], "").await;
    assert!(nothing.status == Some(0) && nothing.text.contains("nothing to take away"), "{}", nothing.text);
    drop(project.edge);
}

/// What was set up beside the Worker may lead to what it had for years, and nothing takes it away.
fn tells_what_is_left(down: &Said) {
    assert_eq!(down.status, Some(0), "{}", down.text);
    for left in ["the API token: delete it at", "ConductorOne's API key; the bucket's key", "the Access application"] {
        assert!(down.text.contains(left), "{}", down.text);
    }
}

/// A request to the Worker with a token of its own.
fn request(method: &str, path: &str, token: &str) -> Request {
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
        body: Vec::new().into(),
    }
}

/// C1's entitlements are pointed at the Worker, by a webhook that is made there.
async fn connected(project: &Project, entitlement: &Entitlement) {
    project.edge.set_key(true).await;
    project.edge.answer(request("POST", "/v1/connect", FULL)).await;
    let mut turns = 0;
    while wired(project, entitlement) != (true, 1) {
        turns += 1;
        assert!(turns < 300, "it is not pointed at the Worker: {:?}", wired(project, entitlement));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether an entitlement of C1's is pointed at a webhook, and how many of those there are.
fn wired(project: &Project, entitlement: &Entitlement) -> (bool, usize) {
    let c1 = &project.edge.c1;
    (c1.policies(&entitlement.id).0["webhook"].is_object(), c1.webhooks().len())
}

/// A token that was made for reviews alone is kept unseen where they end.
async fn what_a_token_that_is_kept_needs_is_told(project: &Project, before: &str) {
    let needs = "if it has Account Settings: Read, make that Edit";
    assert!(!before.contains(needs), "{before}");
    let changes = project.hosting.changes();
    // The run ends at the next answer, before it deploys.
    let on = project.run("up", &["--provisioning", "on"], "CONNECTOR_TOKEN=short").await;
    assert!(on.status == Some(2) && on.text.contains(needs), "{}", on.text);
    assert_eq!(project.hosting.changes(), changes);
}

/// A KV namespace that another Worker is bound to is told of, and not taken away.
async fn another_workers_namespace_stays(project: &Project) {
    let other = Deployed {
        bindings: [("CACHE".to_owned(), "kv_namespace".to_owned())].into(),
        namespace: project.worker().namespace,
        ..Deployed::default()
    };
    project.hosting.add_worker("another-worker", other);
    let told = project.run("down", &[], "").await;
    let expected = "  not the KV namespace c1-cloudflare-state, which another-worker uses as well";
    assert!(told.text.contains(expected), "{}", told.text);
    let (worker, namespaces) = (project.worker(), project.hosting.namespaces());
    let (configuration, changes) = (project.configuration(), project.hosting.changes().len());
    let down = project.run("down", &["--yes", "--abandon"], "").await;
    assert_eq!(down.status, Some(0), "{}", down.text);
    assert!(project.hosting.worker(NAME).is_none());
    assert_eq!(project.hosting.namespaces(), namespaces);
    let changes = project.hosting.changes().split_off(changes);
    assert!(!changes.iter().any(|change| change.contains("kv/namespaces")), "{changes:?}");
    // As it was before: what comes next takes all away.
    project.configure(&configuration);
    project.hosting.add_worker(NAME, worker);
    project.hosting.add_worker("another-worker", Deployed::default());
    let told = project.run("down", &[], "").await;
    assert!(told.text.contains("  the KV namespace c1-cloudflare-state: the snapshot"), "the control: {}", told.text);
}

/// What was never connected needs no key of C1's to be taken away.
async fn deployed_again_after_it_was_taken_away_without_a_connection(project: &Project) {
    let down = project.run("down", &["--yes"], &format!("CONNECTOR_TOKEN={FULL}")).await;
    assert_eq!(down.status, Some(0), "{}", down.text);
    assert!(project.hosting.worker(NAME).is_none());
    project.edge.has_not_looked.store(true, Ordering::Relaxed);
    let up = project.run("up", &["--tenant", "acme.conductor.one"], &project.secrets()).await;
    project.edge.has_not_looked.store(false, Ordering::Relaxed);
    assert_eq!(up.status, Some(0), "{}", up.text);
    // That nothing was looked for is not that nothing was found.
    assert!(up.text.contains("and the findings are still to come: see the page.\n"), "{}", up.text);
}

/// A pipe is as empty where what was to bring the token failed as where nobody meant to bring one.
async fn what_was_to_bring_the_token_and_failed_takes_nothing_away(project: &Project) {
    let alone = format!("CLOUDFLARE_API_TOKEN={}\n", project.cloudflare.token());
    std::fs::write(project.scratch.path("nothing"), "").unwrap();
    for stopped in [
        project.run("down", &["--yes"], "").await,
        project.run("down", &["--yes"], &alone).await,
        project.said(reading("nothing"), "down", &["--yes"], "").await,
    ] {
        let told = ["standard input brought no CONNECTOR_TOKEN, so nothing was", "(npm run down -- --yes --abandon)"];
        assert!(stopped.status == Some(2) && told.iter().all(|it| stopped.text.contains(it)), "{}", stopped.text);
    }
    assert!(project.hosting.worker(NAME).is_some());
}

/// A program of Node's that reads a file.
fn reading(file: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" <\"$0\"", file, "node"]);
    command
}

/// Nobody would carry it out any more, and ConductorOne would wait for it. It ends by itself, and then nothing is in the way.
async fn nor_while_an_operation_is_under_way(project: &Project) {
    let delivery = grant(project, 0);
    project.cloudflare.fail_randomly(Route::GetMember, 1.0, Fault::status(503, 10_000));
    let answer = project.edge.running.lock().await.as_ref().unwrap().0.deliver_once(&delivery).await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());

    let down = project.run("down", &["--yes"], &project.secrets()).await;
    let told = format!("{OPEN}, so nothing was taken away: ");
    assert!(down.status == Some(1) && down.text.contains(&told), "{}", down.text);
    // Where there is always one, it ends once ConductorOne asks for no more.
    let undo = format!("put back before: URL={} UNDO=1 npm run connect, with", project.edge_server.url());
    assert!(down.text.contains(&undo) && !down.text.contains("are put back:"), "{}", down.text);
    assert!(project.hosting.worker(NAME).is_some());
    let insists = project.run("down", &["--yes", "--abandon"], &project.secrets()).await;
    assert!(!insists.text.contains(&told) && insists.text.contains("C1_CLIENT_SECRET again"), "{}", insists.text);
    assert!(project.hosting.worker(NAME).is_some(), "that the entitlements were not put back is another reason");
    let (undo, other) = (connect(project, "UNDO=1").await, connect(project, "UNDO=").await);
    let told = format!("waits        {OPEN}: the Worker goes on with that");
    assert!(undo.contains(&told) && !other.contains("under way"), "{undo}{other}");
    nor_where_it_has_ended_and_conductorone_was_not_told(project).await;
    ends_by_itself(project, &delivery).await;
}

/// There is an outcome then, and nobody else would tell it.
async fn nor_where_it_has_ended_and_conductorone_was_not_told(project: &Project) {
    project.edge.c1.fail_callbacks(CallbackFault::Refused(503), u32::MAX);
    project.cloudflare.clear_faults();
    let mut turns = 0;
    while connect(project, "UNDO=1").await.contains(OPEN) {
        turns += 1;
        assert!(turns < 600, "it does not end");
    }
    let down = project.run("down", &["--yes"], &project.secrets()).await;
    let told = "down: ConductorOne waits for 1 outcome, so nothing was taken away: ";
    assert!(down.status == Some(1) && down.text.contains(told), "{}", down.text);
    assert!(project.hosting.worker(NAME).is_some());
    project.edge.c1.fail_callbacks(CallbackFault::Refused(503), 0);
}

/// How one operation is told of that the Worker goes on with.
const OPEN: &str = "1 operation is under way";

/// A grant of an ordinary role to a member.
fn grant(project: &Project, nth: usize) -> Delivery {
    let memberships = project.cloudflare.memberships();
    let member = memberships.iter().find(|member| member.status == "accepted" && member.user_id.is_some()).unwrap();
    let person = Person::member(&member.email, member.user_id.as_deref().unwrap(), &member.id);
    let roles = project.cloudflare.ordinary_roles();
    let role = &roles[nth];
    let task = Task::grant(Entitlement::role(role.governed_as(), &role.name), person);
    project.edge.c1.task(&task).signed_for(&format!("https://{HOST}/webhooks/conductorone"))
}

/// What the program says that connects the Worker, or undoes that.
async fn connect(project: &Project, what: &str) -> String {
    let mut command = Command::new("env");
    command.args([format!("URL={}", project.edge_server.url()), format!("TOKEN={FULL}")]).args([what, "node"]);
    project.said(command, "connect", &[], "").await.text
}

/// Waits until what was put off for a fault has ended, and the Worker says so.
async fn ends_by_itself(project: &Project, delivery: &Delivery) {
    project.cloudflare.clear_faults();
    assert!(project.edge.c1.callback(delivery, Duration::from_mins(2)).await.is_some(), "it ends by itself");
    let mut turns = 0;
    while connect(project, "UNDO=1").await.contains("the Worker goes on with that") {
        turns += 1;
        assert!(turns < 60, "it has ended, and is told as if it had not");
    }
}

/// Putting them back takes minutes, and ConductorOne goes on sending what it asks for until then.
async fn nor_where_an_operation_comes_while_they_are_put_back(project: &Project) {
    let delivery = grant(project, 1);
    project.cloudflare.fail_randomly(Route::GetMember, 1.0, Fault::status(503, 10_000));
    *project.edge.comes.lock().unwrap() = Some(("POST /v1/connect", delivery.clone()));
    let down = project.run("down", &["--yes"], &project.secrets()).await;
    let told = format!("{OPEN}, so nothing was taken away: ");
    let then = "The entitlements are put back: run this again once those have ended.";
    assert!(down.status == Some(1) && [told.as_str(), then].iter().all(|it| down.text.contains(it)), "{}", down.text);
    assert!(project.hosting.worker(NAME).is_some());
    ends_by_itself(project, &delivery).await;
}

/// What somebody pointed here is saved nowhere, so that it is not put back, and would lead nowhere.
async fn nor_where_one_leads_here_by_hand(project: &Project, entitlement: &Entitlement) {
    let c1 = &project.edge.c1;
    let webhook = c1.add_webhook("By hand", &format!("https://{HOST}/webhooks/conductorone"));
    let (by_hand, none) = (serde_json::json!({ "webhook": { "webhookId": webhook } }), serde_json::Value::Null);
    // Where only one side leads here, the other one is pointed here, and put back.
    for (deprovisioner, expected) in [(&by_hand, " 1 led here already, "), (&none, " 1 entitlements changed, ")] {
        c1.set_policies(&entitlement.id, &by_hand, deprovisioner);
        let found = connect(project, &format!("APP={}", App::default().id)).await;
        assert!(found.contains(expected) && !found.contains("first set what leads there"), "{found}");
        let down = project.run("down", &["--yes"], &project.secrets()).await;
        let (_, why) = down.text.rsplit_once("\ndown: ").expect(&down.text);
        let told = [
            format!("so nothing was taken away: The webhook {webhook} was there before, and stays. Where the Worker"),
            "(npm run down -- --yes --abandon)".to_owned(),
        ];
        assert!(down.status == Some(1) && told.iter().all(|it| why.contains(it)), "{}", down.text);
        assert!(project.hosting.worker(NAME).is_some());
        assert_eq!(wired(project, entitlement), (true, 1));
        assert_eq!(&c1.policies(&entitlement.id).1, deprovisioner, "{}", down.text);
    }
    // The control is what comes next: it is set otherwise there, and that is not told again.
    c1.set_policies(&entitlement.id, &none, &none);
}

/// With the key again: what is not there any more is never put back.
async fn nor_where_their_app_is_gone(project: &Project) {
    project.edge.set_key(true).await;
    project.edge.c1.fail_api("GET /api/v1/apps", ApiFault::Status(404), None);
    nothing_is_taken_away(project, FULL, "1 entitlements could not be put back").await;
    project.edge.c1.heal_api();
}

/// C1's entitlements cannot be put back with this token of the connector's, which is told with the reason.
async fn nothing_is_taken_away(project: &Project, token: &str, reason: &str) {
    let stopped = project.run("down", &["--yes"], &format!("CONNECTOR_TOKEN={token}")).await;
    assert_eq!(stopped.status, Some(1), "{}", stopped.text);
    let without = "Without CONNECTOR_TOKEN on standard input, npm run down -- --yes --abandon takes the Worker away";
    for told in ["were not put back, so nothing was taken away", reason, without] {
        let (_, why) = stopped.text.rsplit_once("\ndown: ").expect(&stopped.text);
        assert!(why.contains(told), "{}", stopped.text);
    }
    assert!(project.hosting.worker(NAME).is_some());
}

/// What somebody set in the dashboard, or from their own clone, outlives a run from a clone that knows nothing of it.
async fn from_another_clone(project: &Project, pristine: &str) {
    let set =
        [("PROVISIONING", "on"), ("PLAN", "paid"), ("AUTO_WIRE", "on"), ("PROTECTED_MEMBERS", "jane@example.com")];
    for (name, value) in set {
        project.hosting.set_variable(NAME, name, value);
    }
    let before = project.worker();
    let changes = project.hosting.changes().len();

    // Where it cannot stay, nothing is deployed.
    project.configure(&pristine.replace("keep_vars = true\n", ""));
    let stopped = project.run("up", &["--take", "worker"], &project.secrets()).await;
    assert_eq!(stopped.status, Some(1), "{}", stopped.text);
    assert!(stopped.text.contains("does not name: PROTECTED_MEMBERS; put keep_vars = true"), "{}", stopped.text);
    // Nor where a variable is misspelt, and would protect nothing.
    project.configure(&pristine.replace("[vars]\n", "[vars]\nPROTECTED_MEMBER = \"jane@example.com\"\n"));
    let stopped = project.run("up", &[], &project.secrets()).await;
    assert_eq!(stopped.status, Some(1), "{}", stopped.text);
    assert!(stopped.text.contains("the connector reads no variable PROTECTED_MEMBER, which"), "{}", stopped.text);
    // Nor where the Worker is another account's.
    project.configure(pristine);
    let account = project.cloudflare.account_id();
    project.hosting.set_variable(NAME, "CLOUDFLARE_ACCOUNT_ID", "0123456789abcdef0123456789abcdef");
    let stopped = project.run("up", &[], &project.secrets()).await;
    assert_eq!(stopped.status, Some(1), "{}", stopped.text);
    assert!(
        stopped
            .text
            .contains(&format!("governs another account, 0123456789abcdef0123456789abcdef: give --account {account}")),
        "{}",
        stopped.text
    );
    // Who has it govern this one is told what comes from the other, and goes on.
    let told = project.run("up", &["--account", &account], &project.secrets()).await;
    assert!(
        told.text.contains("Until now the Worker governed the account 0123456789abcdef0123456789abcdef."),
        "{}",
        told.text
    );
    assert!(!told.text.contains("C1_APP_ID = "), "{}", told.text);
    project.hosting.set_variable(NAME, "CLOUDFLARE_ACCOUNT_ID", &account);
    // Nor where two people changed the same, or what the Worker has on is off, and nobody says who is right.
    project.configure(&pristine.replace("C1_TENANT = \"\"", "C1_TENANT = \"other.conductor.one\""));
    let stopped = project.run("up", &[], &project.secrets()).await;
    assert_eq!(stopped.status, Some(2), "{}", stopped.text);
    assert!(
        stopped.text.contains("other values for C1_TENANT, PROVISIONING, AUTO_WIRE: give --take worker"),
        "{}",
        stopped.text
    );
    assert_eq!(project.hosting.changes().len(), changes);

    // An address that was learned, since nobody set one, is not set over.
    let address = &before.vars["PUBLIC_URL"];
    project.configure(pristine);
    project.hosting.set_variable(NAME, "PUBLIC_URL", "");
    // Code that is another one is uploaded, and once.
    let code = project.scratch.path("build/index.js");
    std::fs::write(&code, std::fs::read_to_string(&code).unwrap() + "\n").unwrap();
    project.edge.unanswered.lock().unwrap().extend(["POST /v1/sync"; 5]);
    let taken = project.run("up", &["--take", "worker"], &project.secrets()).await;
    assert_eq!(taken.status, Some(1), "{}", taken.text);
    assert!(taken.text.contains("up: the sync does not start: "), "{}", taken.text);
    assert!(taken.text.contains("PROVISIONING: stays as the Worker has it, on"), "{}", taken.text);
    let worker = project.worker();
    assert_eq!((worker.uploads, worker.vars["PUBLIC_URL"].as_str()), (before.uploads + 1, ""));
    for (name, value) in [("C1_TENANT", "acme.conductor.one"), ("PROVISIONING", "on"), ("AUTO_WIRE", "on")] {
        assert!(project.configuration().contains(&format!("{name} = \"{value}\"")), "{}", project.configuration());
    }
    // Nor does whoever takes it all away need to know it.
    let refused = project.run("down", &["--reach", ""], "").await;
    assert!(refused.text.contains("URL=https://c1-cloudflare.acme.workers.dev UNDO=1"), "{}", refused.text);
    project.hosting.set_variable(NAME, "PUBLIC_URL", address);

    project.configure(pristine);
    // Who turns off what the Worker has on, and nothing else, is understood so.
    let answers =
        [("Which are to be", "2\r"), ("Enter keeps the one that is set", "\r"), ("Enter makes a new one", "\r")];
    let other = project.answered("up", &["--no-open"], &answers).await;
    assert_eq!(other.status, Some(0), "{}", other.text);
    assert!(other.text.contains("PLAN: stays as the Worker has it, paid"), "{}", other.text);
    assert!(other.text.contains("wrangler.toml does not name stay: PROTECTED_MEMBERS."), "{}", other.text);
    let worker = project.worker();
    let mut vars = before.vars.clone();
    vars.extend(["PROVISIONING", "AUTO_WIRE"].map(|name| (name.to_owned(), "off".to_owned())));
    assert_eq!((worker.uploads, &worker.vars), (before.uploads + 2, &vars));
    for (name, value) in [("C1_TENANT", "acme.conductor.one"), ("PROVISIONING", "off"), ("AUTO_WIRE", "off")] {
        assert!(project.configuration().contains(&format!("{name} = \"{value}\"")), "{}", project.configuration());
    }
    // A token that it makes is shown, this once, and is set; the other one stays.
    let made = &worker.secrets["CONNECTOR_TOKEN"];
    assert!(made.len() == 64 && made.bytes().all(|digit| digit.is_ascii_hexdigit()), "another token was made");
    assert_eq!(other.text.matches(made.as_str()).count(), 1);
    assert_eq!(project.files_with(made), Vec::<PathBuf>::new());
    assert_eq!(worker.secrets["CONNECTOR_READ_TOKEN"], READ);

    // What is meant is done: a flag counts most, and the file where that is said.
    for name in ["PROVISIONING", "AUTO_WIRE"] {
        project.hosting.set_variable(NAME, name, "on");
    }
    let other = "another-read-token-of-the-person-0123456789";
    let both = project.secrets().replace(READ, other);
    let meant = project.run("up", &["--provisioning", "off", "--take", "file", "--new-tokens"], &both).await;
    assert_eq!(meant.status, Some(0), "{}", meant.text);
    let worker = project.worker();
    let value = |name: &str| worker.vars[name].as_str();
    assert_eq!([value("PROVISIONING"), value("AUTO_WIRE"), value("PLAN")], ["off", "off", "paid"]);
    assert_eq!((value("PROTECTED_MEMBERS"), worker.secrets["CONNECTOR_TOKEN"].as_str()), ("jane@example.com", FULL));
}

/// What the button asks for, and what Cloudflare's builds run.
#[tokio::test]
async fn the_released_tree_explains_what_it_asks_for_and_notices_what_was_changed_in_it() {
    let scratch = Scratch::new("release");
    released(&scratch).await;
    let read = |name: &str| std::fs::read_to_string(scratch.path(name)).unwrap();
    assert!(!read("wrangler.toml").contains("[build]"), "nothing is compiled there");
    let asked: Vec<String> = read(".dev.vars.example")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect();
    // Each line becomes a secret that a deployment by the button cannot do without.
    assert_eq!(asked, ["CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN"]);
    let package: serde_json::Value = serde_json::from_str(&read("package.json")).unwrap();
    let configuration = read("wrangler.toml");
    let vars = configuration.split("\n[vars]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let vars = vars.lines().filter(|line| !line.starts_with('#') && line.contains(" = "));
    let names = asked.iter().map(String::as_str).chain(vars.map(|line| line.split(' ').next().unwrap()));
    for name in names.chain(["STATE", "COORDINATOR"]) {
        let described = &package["cloudflare"]["bindings"][name]["description"];
        assert!(described.as_str().is_some_and(|text| text.len() > 20), "{name} is not explained");
    }
    assert_eq!(package["scripts"]["deploy"], "wrangler deploy");
    assert_ne!(package["description"], project_package()["description"], "the tree is no folder of tools");
    for link in [&format!("?url={BUTTON})"), "https://github.com/acme/c1-cloudflare/tree/HEAD/docs."] {
        assert!(read("README.md").contains(link), "{link}");
    }
    // Each command that the tree tells is there.
    let mut told = commands_of_the_tree(&scratch, &read("README.md"));
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, ["build", "connect", "down", "up"]);
    let said = |folder: &Path, program: &str| {
        let program = format!("scripts/{program}.mjs");
        Command::new("node").args([&program, "--help"]).env_remove("URL").current_dir(folder).output()
    };
    for (program, expected) in [("up", "up"), ("down", "down"), ("connect", "connect")] {
        let output = said(&scratch.path(""), program).await.unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(commands_of_the_tree(&scratch, &text), [expected], "{text}");
        let output = said(Path::new(PROJECT), program).await.unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(text.contains(&format!("make {expected}")), "a clone has make: {text}");
    }
    for file in ["wrangler.toml", ".dev.vars.example"] {
        commands_of_the_tree(&scratch, &read(file));
    }
    // What holds a secret there is none of what git takes.
    let ignored = read(".gitignore");
    assert_eq!(ignored.lines().collect::<Vec<_>>(), ["/node_modules", "/.wrangler", "/.dev.vars", "/headers.txt"]);
    let check = || Command::new("node").arg("scripts/check.mjs").current_dir(scratch.path("")).output();
    let whole = check().await.unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    std::fs::write(scratch.path("build/index.js"), read("build/index.js") + "\n").unwrap();
    let changed = check().await.unwrap();
    assert!(String::from_utf8_lossy(&changed.stderr).contains("build/index.js is not what was released"));
    assert_eq!(changed.status.code(), Some(1));
    // Made again in its place, and in nobody else's.
    released(&scratch).await;
    assert!(check().await.unwrap().status.success());
    // Nor where somebody works in what was made.
    for used in ["node_modules", ".wrangler", ".dev.vars", "headers.txt", "notes.txt", "wrangler.toml"] {
        let (path, before) = (scratch.path(used), std::fs::read_to_string(scratch.path(used)).ok());
        let text = before
            .as_deref()
            .unwrap_or("mine")
            .replace("CLOUDFLARE_ACCOUNT_ID = \"\"", "CLOUDFLARE_ACCOUNT_ID = \"f00\"");
        std::fs::write(&path, &text).unwrap();
        let refused = release(&scratch.path("")).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            refused.status.code() == Some(2) && said.contains("is in use") && said.contains(used),
            "{used}: {said}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        match before {
            Some(before) => std::fs::write(&path, before).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
    released(&scratch).await;
    for mine in ["notes.txt", ".git"] {
        let other = Scratch::new("release-other");
        for name in [mine, "SHA256SUMS"] {
            std::fs::write(other.path(name), "mine").unwrap();
        }
        if mine == "notes.txt" {
            std::fs::remove_file(other.path("SHA256SUMS")).unwrap();
        }
        let refused = release(&other.path("")).await;
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("is no tree that this made before"));
        assert_eq!(std::fs::read_to_string(other.path(mine)).unwrap(), "mine");
    }
}

#[tokio::test]
async fn what_one_deployment_has_set_is_released_to_nobody() {
    let own = Scratch::new("release-own");
    std::fs::create_dir(own.path("scripts")).unwrap();
    for entry in std::fs::read_dir(Path::new(PROJECT).join("scripts")).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), own.path("scripts").join(entry.file_name())).unwrap();
    }
    let shipped = std::fs::read_to_string(Path::new(PROJECT).join("wrangler.toml")).unwrap();
    // In place of the build: the control is that it comes to that.
    std::fs::remove_file(own.path("scripts/build.sh")).unwrap();
    std::fs::write(own.path("scripts/build.sh"), "echo \"building\" >&2; exit 7\n").unwrap();
    for (from, to, told) in [
        ("", "", None),
        ("CLOUDFLARE_ACCOUNT_ID = \"\"", "CLOUDFLARE_ACCOUNT_ID = \"f00\"", Some("CLOUDFLARE_ACCOUNT_ID")),
        ("PROVISIONING = \"off\"", "PROVISIONING = \"on\"", Some("PROVISIONING")),
        ("[vars]\n", "[vars]\nPROTECTED_MEMBERS = \"jane@example.com\"\n", Some("PROTECTED_MEMBERS")),
        ("[vars]\n", "[env.eu]\nname = \"eu\"\n[vars]\n", Some("env")),
        ("[[kv_namespaces]]\n", "[[routes]]\npattern = \"c1.acme.com\"\n[[kv_namespaces]]\n", Some("routes")),
        ("name = \"c1-cloudflare\"\n", "name = \"c1-cloudflare\"\naccount_id = \"f00\"\n", Some("account_id")),
        ("name = \"c1-cloudflare\"\n", "name = \"c1-cloudflare\"\n'account_id'='f00'\n", Some("account_id")),
        ("name = \"c1-cloudflare\"\n", "name = \"c1-cloudflare\"\nenv.eu.name = \"eu\"\n", Some("env")),
        (
            "binding = \"STATE\"\n",
            "binding = \"STATE\"\nid = \"0123456789abcdef0123456789abcdef\"\n",
            Some("the id of a KV namespace"),
        ),
    ] {
        let text = if from.is_empty() { shipped.clone() } else { shipped.replace(from, to) };
        assert!(from.is_empty() || text != shipped, "{from}");
        std::fs::write(own.path("wrangler.toml"), text).unwrap();
        let mut command = Command::new("bash");
        command.arg("scripts/release.sh").current_dir(own.path("")).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match told {
            None => assert!(output.status.code() == Some(7) && said.contains("building"), "{said}"),
            Some(told) => {
                let refused = format!("release: wrangler.toml has values of a deployment: {told};");
                assert!(output.status.code() == Some(2) && said.contains(&refused), "{said}");
            }
        }
    }
}

fn project_package() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(Path::new(PROJECT).join("package.json")).unwrap()).unwrap()
}

/// What a token may not do, by the name of the permission that it lacks.
async fn each_permission_is_asked_for(project: &Project, input: &str) {
    let tenant = ["--tenant", "acme.conductor.one"];
    let may_all = project.run("up", &tenant, input).await;
    let (ok, off) = ("  ok       it may read ", "  off      it may not read ");
    assert_eq!((may_all.text.matches(ok).count(), may_all.text.matches(off).count()), (14, 0), "{}", may_all.text);
    let optional = [
        (Permission::Roles, "Account Settings: Read"),
        (Permission::UserGroups, "Account Settings: Read"),
        (Permission::Tokens, "Account API Tokens: Read"),
        (Permission::OauthClients, "OAuth Client: Read"),
        (Permission::Sso, "SSO Connector: Read"),
        (Permission::Zones, "Zone: Read"),
        (Permission::Workers, "Workers Scripts: Read"),
        (Permission::AccessApps, "Access: Apps and Policies: Read"),
        (Permission::Audit, "Account Settings: Read"),
        (Permission::AccessUsers, "Access: Audit Logs: Read"),
    ];
    for (permission, _) in optional {
        project.cloudflare.revoke_permission(permission);
    }
    let said = project.run("up", &tenant, input).await;
    // What is optional stops nothing: it goes on to what nobody said here.
    assert!(said.status == Some(2) && said.text.contains("--show-tokens"), "{}", said.text);
    let lines: Vec<&str> = said.text.lines().filter(|line| line.starts_with(off)).collect();
    assert_eq!(lines.len(), optional.len(), "{}", said.text);
    for (line, (permission, name)) in lines.into_iter().zip(optional) {
        assert!(line.ends_with(&format!("the permission is {name} (optional)")), "{permission:?}: {line}");
        project.cloudflare.allow_permission(permission);
    }
    for permission in [Permission::Account, Permission::PermissionGroups, Permission::ResourceGroups] {
        project.cloudflare.revoke_permission(permission);
        let said = project.run("up", &tenant, input).await;
        project.cloudflare.allow_permission(permission);
        let missing = "the token lacks Account Settings: Read";
        assert!(said.status == Some(1) && said.text.contains(missing), "{permission:?}: {}", said.text);
    }
    // A token that may list its own alone is given those that it made, and nobody says so.
    project.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = Some(Vec::new()));
    let said = project.run("up", &tenant, input).await;
    project.cloudflare.configure(|behaviour| behaviour.lists_tokens_made = None);
    let lacks = "it may not read account API tokens: the list has this token alone, or lacks it";
    assert!(said.text.contains(lacks), "{}", said.text);
}

/// An outage, a token that is over, and an account that wrangler's login does not see.
async fn what_no_permission_mends_is_not_told_as_one(project: &Project, input: &str) {
    let tenant = ["--tenant", "acme.conductor.one"];
    project.cloudflare.fail_next(Route::ListMembers, 1, Fault::Html { status: 524 });
    let said = project.run("up", &tenant, input).await;
    assert_eq!(said.status, Some(1), "{}", said.text);
    assert!(said.text.contains("FAILED   members: not to be found out now"), "{}", said.text);
    assert!(said.text.contains("did not answer what the token may do (members: "), "{}", said.text);
    assert!(!said.text.contains("lacks"), "{}", said.text);
    project.cloudflare.set_token_status("disabled");
    let said = project.run("up", &tenant, input).await;
    project.cloudflare.set_token_status("active");
    assert_eq!(said.status, Some(1), "{}", said.text);
    assert!(said.text.contains("disabled: make a new one"), "{}", said.text);
    let other = ["--tenant", "acme.conductor.one", "--account", "0123456789abcdef0123456789abcdef"];
    let said = project.run("up", &other, input).await;
    assert_eq!(said.status, Some(1), "{}", said.text);
    assert!(
        said.text.contains("is that the account's id?") && said.text.contains("Workers Scripts: Edit"),
        "{}",
        said.text
    );
}

/// A Worker of this name may be somebody else's, who has no use for this one in its place, nor for none.
async fn another_worker_of_the_name_is_left_alone(project: &Project, secrets: &str) {
    let account = project.cloudflare.account_id();
    let pristine = project.configuration();
    let text =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let object = || text(&[("COORDINATOR", "durable_object_namespace")]);
    let others = [
        Deployed::default(),
        Deployed { vars: text(&[("GREETING", "hello")]), ..Deployed::default() },
        Deployed { secrets: text(&[("CONNECTOR_TOKEN", FULL), ("STRIPE_KEY", "x")]), ..Deployed::default() },
        Deployed { bindings: object(), classes: text(&[("COORDINATOR", "Room")]), ..Deployed::default() },
    ];
    let up = ["--tenant", "acme.conductor.one", "--account", &account];
    for other in others {
        project.hosting.add_worker(NAME, other);
        let said = project.run("up", &up, secrets).await;
        let told =
            "is not this connector, since it has no Durable Object COORDINATOR of the class Coordinator: nothing was";
        assert!(said.status == Some(1) && said.text.contains(told), "{}", said.text);
        assert_eq!(project.configuration(), pristine);
        project.configure(
            &pristine.replace("CLOUDFLARE_ACCOUNT_ID = \"\"", &format!("CLOUDFLARE_ACCOUNT_ID = \"{account}\"")),
        );
        let said = project.run("down", &["--yes"], "").await;
        assert!(said.status == Some(1) && said.text.contains(told), "{}", said.text);
        project.configure(&pristine);
        assert_eq!(project.hosting.changes(), Vec::<String>::new());
    }
    // The controls: this connector, one that a first run uploaded which was ended then, before its address was switched on and its secrets were set,
    // and one whose secrets somebody set before it was deployed for the first time.
    let classes = text(&[("COORDINATOR", "Coordinator")]);
    let uploaded = Deployed { bindings: object(), classes, ..Deployed::default() };
    let ours = [
        Deployed { on_workers_dev: true, ..uploaded.clone() },
        uploaded,
        Deployed { secrets: text(&[("CONNECTOR_TOKEN", FULL)]), ..Deployed::default() },
    ];
    for ours in ours {
        project.hosting.add_worker(NAME, ours);
        // It goes on to what is missing.
        let said = project.run("up", &up, "").await;
        assert!(said.status == Some(2) && said.text.contains("CLOUDFLARE_API_TOKEN is missing"), "{}", said.text);
    }
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_deployed() {
    let project = Project::new("up-refused", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let secrets = project.secrets();
    let tenant = ["--tenant", "acme.conductor.one"];
    let on = ["--tenant", "acme.conductor.one", "--provisioning", "on"];
    let api_token = project.cloudflare.token();
    let wrong_token = secrets.replace(&api_token, &"x".repeat(44));
    let alone = format!("CLOUDFLARE_API_TOKEN={api_token}");
    let alike = secrets.replace(READ, FULL);
    for (parameters, input, status, expected) in [
        (&[][..], secrets.as_str(), 2, "--tenant"),
        (&["--tenant", "not a host"], &secrets, 2, "--tenant has to be a host"),
        (&["--tenant", "acme.conductor.one", "--account", "short"], &secrets, 2, "32 lower-case hexadecimal digits"),
        (&["--token", "x"], &secrets, 2, "--token"),
        (&tenant, "", 2, "CLOUDFLARE_API_TOKEN is missing"),
        (&tenant, &alone, 2, "CONNECTOR_TOKEN and CONNECTOR_READ_TOKEN would be made, and nobody is here to see them"),
        (&tenant, "NAME=value", 2, "standard input takes lines of NAME=value"),
        (&tenant, &wrong_token, 1, "Cloudflare does not take the token"),
        (&tenant, &alike, 2, "CONNECTOR_TOKEN and CONNECTOR_READ_TOKEN are the same, and have to be two"),
    ] {
        let said = project.run("up", parameters, input).await;
        assert_eq!(said.status, Some(status), "{parameters:?}: {}", said.text);
        assert!(said.text.contains(expected), "{parameters:?}: {}", said.text);
    }
    each_permission_is_asked_for(&project, &alone).await;
    project.cloudflare.revoke_permission(Permission::Write);
    let said = project.run("up", &on, &secrets).await;
    assert!(said.status == Some(1) && said.text.contains("the token lacks Account Settings: Edit"), "{}", said.text);
    project.cloudflare.revoke_permission(Permission::Members);
    let said = project.run("up", &tenant, &secrets).await;
    assert!(said.status == Some(1) && said.text.contains("the token lacks Account Settings: Read"), "{}", said.text);
    project.cloudflare.allow_permission(Permission::Members);
    what_no_permission_mends_is_not_told_as_one(&project, &alone).await;
    // Of two accounts a pipe has to name one.
    project.hosting.also_sees("0123456789abcdef0123456789abcdef", "Another");
    let said = project.run("up", &tenant, &secrets).await;
    assert!(said.status == Some(2) && said.text.contains("--account"), "{}", said.text);
    // At a terminal they are told, and chosen from.
    let secret = "x".repeat(44);
    let answers = [
        ("Which account", "1\r"),
        ("ConductorOne tenant", "acme.conductor.one\r"),
        ("Change access", "maybe\r"),
        ("off or on", "on\r"),
        ("Workers plan", "\r"),
        ("API token (it is not shown)", &format!("{secret}\r")),
        // The terminal takes Ctrl-C for itself until the question is there again.
        ("API token (it is not shown)", "\u{3}"),
    ];
    let said = project.answered("up", &["--no-open"], &answers).await;
    assert_eq!(said.status, Some(130), "{}", said.text);
    assert!(said.text.contains("2  Another (0123456789abcdef0123456789abcdef)"), "{}", said.text);
    // Each permission whose key is documented is filled in, and the others are told by name.
    let keys = [
        "account_settings%22%2C%22type%22%3A%22edit",
        "account_api_tokens",
        "access_audit_log",
        "zone",
        "workers_scripts",
        "access%22",
    ];
    for key in keys {
        assert!(said.text.contains(&format!("%22key%22%3A%22{key}")), "{key}: {}", said.text);
    }
    assert!(said.text.contains("OAuth Client: Read and SSO Connector: Read"), "{}", said.text);
    assert!(!said.text.contains(&secret), "a secret that was typed was shown");
    // Whoever ends it at an ordinary question is told so, and shown no stack.
    for key in ["\u{3}", "\u{4}"] {
        let said =
            project.answered("up", &["--no-open"], &[("Which account", "1\r"), ("ConductorOne tenant", key)]).await;
        assert_eq!(said.status, Some(130), "{}", said.text);
        assert!(said.text.contains("up: ended before anything else was changed"), "{}", said.text);
        assert!(!said.text.contains("    at ") && !said.text.contains("Warning"), "{}", said.text);
    }
    assert_eq!(project.hosting.changes(), Vec::<String>::new());
    another_worker_of_the_name_is_left_alone(&project, &secrets).await;
    // A new login has wrangler forget which account it went to: it finds what it noted where it notes that itself.
    let says = "#!/bin/sh\n[ \"$1\" = login ] && echo \"it noted that in '$WRANGLER_CACHE_DIR'\"\n";
    std::fs::write(project.scratch.path("node_modules/.bin/wrangler"), says).unwrap();
    let said = project.answered("up", &["--no-open"], &[]).await;
    assert!(said.status == Some(1) && said.text.contains("it noted that in ''"), "{}", said.text);
    // What is not installed is not taken for a login that is missing.
    std::fs::remove_dir_all(project.scratch.path("node_modules")).unwrap();
    let said = project.run("up", &tenant, &secrets).await;
    assert!(
        said.status == Some(1) && said.text.contains("wrangler does not start (ENOENT): run: npm install"),
        "{}",
        said.text
    );
}

/// Another account that wrangler's login sees.
const ANOTHER: &str = "0123456789abcdef0123456789abcdef";

/// A KV namespace that is left without its Worker: wrangler would make one of its title, which Cloudflare refuses.
async fn a_namespace_without_its_worker_is_told(project: &Project) {
    let (account, pristine, secrets) = (project.cloudflare.account_id(), project.configuration(), project.secrets());
    let tenant = ["--tenant", "acme.conductor.one"];
    let left = project.hosting.add_namespace("c1-cloudflare-state");
    what_is_somebodys_by_then_is_not_taken_away_by_a_deployment(project, &left).await;
    let told = project.run("up", &tenant, &secrets).await;
    assert_eq!(told.status, Some(1), "{}", told.text);
    let ways = [
        format!("the KV namespace c1-cloudflare-state ({left}) is there without a Worker"),
        format!("(npm run down -- --account {account})"),
        format!("id = \"{left}\" below binding = \"STATE\""),
    ];
    assert!(ways.iter().all(|way| told.text.contains(way)), "{}", told.text);
    assert_eq!((project.configuration(), project.hosting.changes()), (pristine.clone(), Vec::new()));
    // The one way: with its id it is bound as it is. This goes on to what is missing.
    let named = format!("binding = \"STATE\"\nid = \"{left}\"");
    project.configure(&pristine.replace("binding = \"STATE\"", &named));
    let goes_on = project.run("up", &tenant, "").await;
    assert!(goes_on.text.contains("CLOUDFLARE_API_TOKEN is missing"), "{}", goes_on.text);
    project.configure(&pristine);
    // What another Worker uses is nothing to be taken away.
    project.hosting.add_worker("another-worker", of_namespace(&left));
    let used = project.run("up", &tenant, &secrets).await;
    assert!(used.status == Some(1) && used.text.contains("is there, and another-worker uses it"), "{}", used.text);
    assert!(!used.text.contains("npm run down"), "{}", used.text);
    project.hosting.remove_worker("another-worker");
    // Nor what somebody uses since that was looked at, be it a Worker of this very name.
    for (name, by_then) in [("another-worker", "another-worker uses it by now"), (NAME, "c1-cloudflare uses it by now")]
    {
        let other = of_namespace(&left);
        project.meanwhile("/client/v4/accounts", move |hosting| hosting.add_worker(name, other));
        let down = project.run("down", &["--yes", "--account", &account], "").await;
        assert!(down.status == Some(1) && down.text.contains(by_then), "{}", down.text);
        assert!(project.hosting.namespaces().contains_key(&left), "{}", down.text);
        project.hosting.remove_worker(name);
    }
    // The other way, though no deployment has written the account into the file.
    let down = project.run("down", &["--yes", "--account", &account], "").await;
    assert_eq!(down.status, Some(0), "{}", down.text);
    assert!(down.text.contains("no Worker c1-cloudflare: there is none in this account"), "{}", down.text);
    assert!(down.text.contains("login does not see would not be found"), "{}", down.text);
    assert!(down.text.contains("The values in wrangler.toml stay, since it names no account."), "{}", down.text);
    assert_eq!((project.configuration(), project.hosting.namespaces().len()), (pristine, 0));
}

/// This connector, or another Worker, with a KV namespace.
fn of_namespace(id: &str) -> Deployed {
    let bindings = [("STATE", "kv_namespace"), ("COORDINATOR", "durable_object_namespace")];
    Deployed {
        bindings: bindings.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into(),
        classes: [("COORDINATOR".to_owned(), "Coordinator".to_owned())].into(),
        namespace: Some(id.to_owned()),
        on_workers_dev: true,
        ..Deployed::default()
    }
}

/// A KV namespace that is empty and nobody's at first: what becomes of it until the upload counts. It is full in the end.
async fn what_is_somebodys_by_then_is_not_taken_away_by_a_deployment(project: &Project, left: &str) {
    let (pristine, secrets) = (project.configuration(), project.secrets());
    let (used, id) = (of_namespace(left), left.to_owned());
    let happenings: [(Meanwhile, _); 2] = [
        (
            ("/tokens/verify", Box::new(move |hosting| hosting.add_worker(NAME, used))),
            "is there, and c1-cloudflare uses it",
        ),
        (("/tokens/verify", Box::new(move |hosting| hosting.fill_namespace(&id))), "is there without a Worker"),
    ];
    for ((path, happens), told) in happenings {
        project.meanwhile(path, happens);
        let stopped = project.run("up", &["--tenant", "acme.conductor.one"], &secrets).await;
        assert!(stopped.status == Some(1) && stopped.text.contains(told), "{}", stopped.text);
        assert!(stopped.text.contains("Deploying c1-cloudflare"), "it was nobody's at first: {}", stopped.text);
        assert!(stopped.text.contains("; nothing was deployed"), "{}", stopped.text);
        assert!(project.hosting.namespaces().contains_key(left), "{}", stopped.text);
        assert_eq!(project.hosting.changes(), Vec::<String>::new());
        project.hosting.remove_worker(NAME);
        project.configure(&pristine);
    }
}

/// A route in the file says that an address is this Worker's to be, unless it is another one's custom domain.
async fn a_route_says_whose_an_address_is(project: &Project, renamed: &str, elsewhere: &str) {
    let (account, is_off) = (project.cloudflare.account_id(), "was meant for another Worker.");
    let alone = format!("CLOUDFLARE_API_TOKEN={}", project.cloudflare.token());
    let route = |host: &str| format!("routes = [{{ pattern = \"{host}\", custom_domain = true }}]\n");
    let leads = |domains: Option<[&str; 3]>| {
        let domains = domains.map(|domain| vec![domain.map(str::to_owned)]);
        *project.api.domains.lock().unwrap() = domains;
    };
    for (text, to, turned_off) in [(renamed, account.as_str(), false), (elsewhere, ANOTHER, true)] {
        project.configure(&(route("c1.example.com") + text));
        let parameters = ["--account", to];
        let up = || project.run("up", &parameters, &alone);
        // Nobody has it so far, or another host: it goes on, and ends before it deploys.
        leads(Some([to, "c2.example.com", "other"]));
        let own = up().await;
        assert!(!own.text.contains("which is not the address of"), "{}", own.text);
        assert_eq!(own.text.contains(is_off), turned_off, "{}", own.text);
        assert!(turned_off || own.text.contains("--show-tokens"), "{}", own.text);
        // An upload would take it away from the Worker that has it.
        leads(Some([&account, "c1.example.com", NAME]));
        let stopped = up().await;
        let others = "which is not the address of the Worker ";
        let told = stopped.text.contains(others) && stopped.text.contains(" but leads to the Worker c1-cloudflare: ");
        assert!(stopped.status == Some(1) && told, "{}", stopped.text);
        // Where nobody may look whose it is, that is not known; and a route for another address says nothing of this one.
        for (domains, host) in [(None, "c1.example.com"), (Some([to, "", ""]), "c2.example.com")] {
            leads(domains);
            project.configure(&(route(host) + text));
            let stopped = up().await;
            let told = stopped.text.contains("but may be that of one that ");
            assert!(stopped.status == Some(1) && told, "{}", stopped.text);
        }
    }
}

/// An address that the Worker has itself counts before the file's, which may be another Worker's: that one would be sent the token of this one.
async fn a_workers_own_address_counts_before_the_files(project: &Project, renamed: &str) {
    let account = project.cloudflare.account_id();
    let alone = format!("CLOUDFLARE_API_TOKEN={}", project.cloudflare.token());
    project.configure(renamed);
    let namespace = project.hosting.add_namespace("kept");
    let leads_to = |worker: &str| {
        let domain = [account.as_str(), "c1.example.com", worker].map(str::to_owned);
        *project.api.domains.lock().unwrap() = Some(vec![domain]);
    };
    let own = "https://c1-second.example.com";
    for (has, worker, expected) in [
        (own, "c1-second", own),
        ("", NAME, "https://c1-second.acme.workers.dev"),
        // The control: Cloudflare says that the file's is this one's.
        ("", "c1-second", "https://c1.example.com"),
    ] {
        let vars = [("PUBLIC_URL", has), ("PROVISIONING", "on")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        project.hosting.add_worker("c1-second", Deployed { vars: vars.into(), ..of_namespace(&namespace) });
        leads_to(worker);
        let told = project.run("down", &["--reach", ""], "").await;
        let undo = format!("URL={expected} UNDO=1 npm run connect");
        assert!(told.status == Some(2) && told.text.contains(&undo), "{undo}: {}", told.text);
    }
    // The last one has no address of its own: it is not deployed with the file's either, unless that is its own.
    for (worker, status, part) in [
        (NAME, 1, "which is not the address of the Worker c1-second in the account"),
        ("c1-second", 2, "--show-tokens"),
    ] {
        leads_to(worker);
        let up = project.run("up", &[], &alone).await;
        assert!(up.status == Some(status) && up.text.contains(part), "{}", up.text);
    }
    // What the file has on for the other Worker is off for one that has nothing on, and nobody is asked which is right.
    project.hosting.add_worker("c1-second", of_namespace(&namespace));
    leads_to(NAME);
    let off = project.run("up", &["--url", "https://c1-second.acme.workers.dev"], &alone).await;
    let is_off = "PROVISIONING: off, since on in wrangler.toml was meant for another Worker.";
    assert!(off.text.contains(is_off) && off.text.contains("--show-tokens"), "{}", off.text);
    project.hosting.remove_worker("c1-second");
}

/// A custom domain that is another's, and the workers.dev address by which the Worker is known: an upload would take either away without a word.
async fn what_an_upload_would_take_away_is_told(project: &Project, renamed: &str) {
    let account = project.cloudflare.account_id();
    let alone = format!("CLOUDFLARE_API_TOKEN={}", project.cloudflare.token());
    let route = "routes = [{ pattern = \"c1.example.com\", custom_domain = true }]\n";
    let namespace = project.hosting.add_namespace("kept as well");
    let (workers_dev, own) = ("https://c1-second.acme.workers.dev", "https://c1.example.com");
    let (stays, goes, goes_on) = ("workers_dev = true\n", "workers_dev = false\n", (2, "--show-tokens"));
    let switched_off = (1, "wrangler.toml has a route and no workers_dev, so that an upload would switch off");
    let is_off = (1, "wrangler.toml has workers_dev = false, so that an upload would switch off https://c1-second.");
    let taken = (1, "which leads to the Worker c1-cloudflare, and an upload would take it away from that one");
    for (line, leads, has, url, (status, told)) in [
        (stays, Some(NAME), None, workers_dev, taken),
        (stays, Some(NAME), Some(own), own, taken),
        (stays, None, None, workers_dev, (1, "and wrangler's login may not look whose that is")),
        (stays, Some(""), None, workers_dev, (1, "which no Worker has so far and which is not the Worker's address")),
        ("", Some("c1-second"), None, workers_dev, switched_off),
        ("", Some("c1-second"), Some(workers_dev), own, switched_off),
        // It was learned, and may be that one.
        ("", Some("c1-second"), Some(""), own, switched_off),
        // That it may go is nothing that the Worker could be reached by.
        (goes, Some("c1-second"), None, workers_dev, is_off),
        (goes, Some("c1-second"), Some(workers_dev), workers_dev, is_off),
        // The controls: the domain is this Worker's, or nobody's and the Worker's address; and the other address stays, may go, or is not known.
        (stays, Some("c1-second"), None, workers_dev, goes_on),
        (stays, Some(""), None, own, goes_on),
        (goes, Some("c1-second"), Some(workers_dev), own, goes_on),
        ("", Some("c1-second"), Some(own), own, goes_on),
        ("", Some("c1-second"), None, own, goes_on),
    ] {
        project.configure(&format!("{route}{line}{renamed}"));
        let domain = |worker: &str| [account.as_str(), "c1.example.com", worker].map(str::to_owned);
        *project.api.domains.lock().unwrap() =
            leads.map(|worker| if worker.is_empty() { Vec::new() } else { vec![domain(worker)] });
        if let Some(address) = has {
            let vars = [("PUBLIC_URL", address), ("PROVISIONING", "on")];
            let vars = vars.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
            project.hosting.add_worker("c1-second", Deployed { vars, ..of_namespace(&namespace) });
        }
        let up = project.run("up", &["--url", url], &alone).await;
        let what = format!("{line}{leads:?} {has:?} {url}");
        assert!(up.status == Some(status) && up.text.contains(told), "{what}: {}", up.text);
        assert!(status == 2 || up.text.contains("; nothing was deployed"), "{what}: {}", up.text);
        // The way out has the address that the Worker has then.
        let is_said = up.text.contains("(npm run up -- --url https://c1.example.com)");
        assert_eq!(is_said, [switched_off.1, is_off.1].contains(&told), "{what}: {}", up.text);
        project.hosting.remove_worker("c1-second");
    }
}

/// What is in the file for one Worker is not deployed as another one's.
async fn one_workers_file_is_not_anothers(project: &Project) {
    let (account, written) = (project.cloudflare.account_id(), project.configuration());
    let alone = format!("CLOUDFLARE_API_TOKEN={}", project.cloudflare.token());
    let changes = project.hosting.changes();
    project.hosting.also_sees(ANOTHER, "Another");
    let turned_on = written.replace("PROVISIONING = \"off\"", "PROVISIONING = \"on\"");
    assert_ne!(turned_on, written);
    let renamed = turned_on.replace("name = \"c1-cloudflare\"", "name = \"c1-second\"");
    let is_off = "PROVISIONING: off, since on in wrangler.toml was meant for another Worker.";
    for (text, to, whose, address) in [
        (&renamed, &account, "has another name", "https://c1-second.acme.workers.dev"),
        (&turned_on, &ANOTHER.to_owned(), "governs the account", "https://c1-cloudflare.another.workers.dev"),
    ] {
        project.configure(text);
        let stopped = project.run("up", &["--account", to], &alone).await;
        assert_eq!(stopped.status, Some(1), "{}", stopped.text);
        let address_of = "wrangler.toml has PUBLIC_URL = \"https://c1.example.com\", which is not the address of";
        for part in [address_of, whose, "from a clone of its own", "--url https://…"] {
            assert!(stopped.text.contains(part), "{part}: {}", stopped.text);
        }
        // With its own address it goes on, and changes nothing unasked. It ends before it deploys.
        let off = project.run("up", &["--account", to, "--url", address], &alone).await;
        assert!(off.status != Some(0) && off.text.contains(is_off), "{}", off.text);
        let on = project.run("up", &["--account", to, "--url", address, "--provisioning", "on"], &alone).await;
        assert!(on.status != Some(0) && !on.text.contains(is_off), "{}", on.text);
        assert_eq!(&project.configuration(), text);
    }
    a_route_says_whose_an_address_is(project, &renamed, &turned_on).await;
    a_workers_own_address_counts_before_the_files(project, &renamed).await;
    what_an_upload_would_take_away_is_told(project, &renamed).await;
    // The control: the address is its own.
    project.configure(&renamed.replace("https://c1.example.com", "https://c1-second.acme.workers.dev"));
    let own = project.run("up", &[], &alone).await;
    assert!(own.status == Some(2) && own.text.contains("--show-tokens"), "{}", own.text);
    assert!(!own.text.contains(is_off), "{}", own.text);
    assert_eq!(project.hosting.changes(), changes);
    // Whoever takes one away that is not there is told of the one in another account.
    let bindings = [("COORDINATOR".to_owned(), "durable_object_namespace".to_owned())].into();
    let classes = [("COORDINATOR".to_owned(), "Coordinator".to_owned())].into();
    project.hosting.add_worker_abroad(ANOTHER, "c1-second", Deployed { bindings, classes, ..Deployed::default() });
    let told = project.run("down", &[], "").await;
    let there = format!("there is one in the account Another ({ANOTHER}): npm run down -- --account {ANOTHER}");
    assert!(told.status == Some(2) && told.text.contains(&there), "{}", told.text);
    // What the file has is the other account's.
    let told = project.run("down", &["--account", ANOTHER], "").await;
    let stays = format!("The values in wrangler.toml stay, since it names the account {account}.");
    assert!(told.status == Some(2) && told.text.contains(&stays), "{}", told.text);
    assert!(!told.text.contains("and the values in"), "{}", told.text);
    project.configure(&written);
}

/// `wrangler secret put` makes a Worker for the secrets that a pipeline sets beforehand, which nobody has deployed: its switches are not off.
#[tokio::test]
async fn the_first_run_is_the_first_one_where_secrets_were_set_beforehand() {
    let project = Project::new("up-draft", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let pristine = project.configuration();
    let on = pristine.replace("\nPROVISIONING = \"off\"", "\nPROVISIONING = \"on\"");
    assert_ne!(on, pristine);
    project.configure(&on);
    let api_token = project.cloudflare.token();
    let secrets =
        [("CLOUDFLARE_API_TOKEN", api_token.as_str()), ("CONNECTOR_TOKEN", FULL), ("CONNECTOR_READ_TOKEN", READ)];
    let secrets = secrets.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    project.hosting.add_worker(NAME, Deployed { secrets, ..Deployed::default() });
    let input = format!("CONNECTOR_TOKEN={FULL}");
    let up = project.run("up", &["--tenant", "acme.conductor.one"], &input).await;
    assert_eq!(up.status, Some(0), "{}", up.text);
    let worker = project.worker();
    let value = |name: &str| worker.vars[name].as_str();
    assert_eq!((value("PROVISIONING"), value("PUBLIC_URL")), ("on", format!("https://{HOST}").as_str()), "{}", up.text);
    // Nor has it learned another address.
    assert!(!up.text.contains("may have learned"), "{}", up.text);
    // The control: from one that was deployed somebody took it away.
    let mut taken = worker;
    taken.vars.remove("PROVISIONING");
    project.hosting.add_worker(NAME, taken);
    let asked = project.run("up", &[], &input).await;
    let differs = "the Worker and wrangler.toml have other values for PROVISIONING: give --take worker";
    assert!(asked.status == Some(2) && asked.text.contains(differs), "{}", asked.text);
}

/// Another account by `account_id`, and another Worker by `CLOUDFLARE_ENV`: what wrangler goes by is not what was looked at.
#[tokio::test]
async fn wrangler_goes_nowhere_else_than_up_and_down_look() {
    let project = Project::new("up-elsewhere", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let (account, pristine, secrets) = (project.cloudflare.account_id(), project.configuration(), project.secrets());
    project.hosting.also_sees(ANOTHER, "Another");
    Box::pin(what_governs_another_account_from_where_it_is_is_left_so(&project)).await;
    let namespace = project.hosting.add_namespace("kept");
    project.hosting.add_worker(NAME, of_namespace(&namespace));
    project.hosting.add_worker_abroad(ANOTHER, NAME, of_namespace("f00"));
    let tenant = ["--tenant", "acme.conductor.one", "--account"];
    for line in [format!("account_id = \"{account}\""), format!("'account_id'='{account}' # ours")] {
        let text = format!("{line}\n{pristine}");
        project.configure(&text);
        for (program, parameters, not) in [
            ("up", [&tenant[..], &[ANOTHER]].concat(), "; nothing was deployed"),
            ("down", vec!["--yes", "--account", ANOTHER], "; nothing was taken away"),
        ] {
            let stopped = project.run(program, &parameters, &secrets).await;
            let told = stopped.text.contains("by its line account_id") && stopped.text.contains(not);
            assert!(stopped.status == Some(1) && told, "{}", stopped.text);
        }
        // The controls: it is the same account. Both go on to what is missing.
        let up = project.run("up", &[&tenant[..], &[account.as_str()]].concat(), "").await;
        assert!(up.status == Some(2) && up.text.contains("CLOUDFLARE_API_TOKEN is missing"), "{}", up.text);
        let down = project.run("down", &["--account", &account], "").await;
        assert!(down.status == Some(2) && down.text.contains("give --yes"), "{}", down.text);
        assert_eq!((project.configuration(), project.hosting.changes()), (text, Vec::new()));
    }
    // wrangler reads the one in this file as well.
    std::fs::write(project.scratch.path(".env"), "CLOUDFLARE_ENV=eu\n").unwrap();
    project.configure(&format!("{pristine}\n[env.eu]\nname = \"c1-eu\"\n"));
    project.hosting.add_worker("c1-eu", of_namespace("f01"));
    // Nor is a token waited for that standard input cannot bring.
    let down = project.said(reading("/dev/null"), "down", &["--yes", "--account", &account], "").await;
    assert_eq!(down.status, Some(0), "{}", down.text);
    let is_there = |name| project.hosting.worker(name).is_some();
    assert_eq!((is_there(NAME), is_there("c1-eu")), (false, true), "{}", down.text);
}

/// A Worker may be in an account of the team's own, and govern another one: it is no reason for a second one there, and governs its own for nobody unasked.
async fn what_governs_another_account_from_where_it_is_is_left_so(project: &Project) {
    let (account, pristine, secrets) = (project.cloudflare.account_id(), project.configuration(), project.secrets());
    let of = |account: &str| {
        let named = pristine.replace("CLOUDFLARE_ACCOUNT_ID = \"\"", &format!("CLOUDFLARE_ACCOUNT_ID = \"{account}\""));
        named.replace("\nPROVISIONING = \"off\"", "\nPROVISIONING = \"on\"")
    };
    let governing = |account: &str| {
        let vars = [("CLOUDFLARE_ACCOUNT_ID", account), ("PROVISIONING", "on"), ("AUTO_WIRE", "off")];
        let vars = vars.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        project.hosting.add_worker_abroad(ANOTHER, NAME, Deployed { vars, namespace: None, ..of_namespace("") });
    };
    governing(&account);
    let id = format!("binding = \"STATE\"\nid = \"{}\"", "f".repeat(32));
    let secret = [("CONNECTOR_TOKEN".to_owned(), FULL.to_owned())];
    // Nor where somebody set a secret in the wrong one of the two, which has wrangler make a Worker there.
    for draft in [None, Some(Deployed { secrets: secret.into(), ..Deployed::default() })] {
        if let Some(draft) = draft {
            project.hosting.add_worker(NAME, draft);
        }
        for text in [of(&account), of(&account).replace("binding = \"STATE\"", &id)] {
            project.configure(&text);
            let stopped = project.run("up", &["--tenant", "acme.conductor.one"], &secrets).await;
            let told = format!("up: a Worker {NAME} is in the account Another ({ANOTHER}), and governs {account} from");
            assert!(stopped.status == Some(1) && stopped.text.contains(&told), "{}", stopped.text);
            let way = format!("(CLOUDFLARE_ACCOUNT_ID={ANOTHER} npm run deploy)");
            assert!(stopped.text.contains(&way), "{}", stopped.text);
            assert_eq!(commands_of_the_tree(&project.scratch, &stopped.text), ["deploy", "down"]);
            assert!(!stopped.text.contains("take the line"), "{}", stopped.text);
        }
    }
    project.hosting.remove_worker(NAME);
    // Nor does it come to govern, and change, the account that it is in, be that one in the file by now.
    let there = ["--tenant", "acme.conductor.one", "--account", ANOTHER];
    for text in [of(ANOTHER), of(&account)] {
        project.configure(&text);
        let asked = project.run("up", &there, &secrets).await;
        let told = [
            "PROVISIONING: off, since on in wrangler.toml was meant for another account.",
            "the Worker and wrangler.toml have other values for PROVISIONING: give --take worker",
        ];
        assert!(asked.status == Some(2) && told.iter().all(|it| asked.text.contains(it)), "{}", asked.text);
    }
    // The controls: whoever says that it is meant, and a Worker that governs the account that it is in, goes on to what is missing.
    let meant = project.run("up", &[&there[..], &["--provisioning", "on"]].concat(), "").await;
    governing(ANOTHER);
    let here = project.run("up", &["--tenant", "acme.conductor.one", "--account", &account], "").await;
    project.configure(&of(ANOTHER));
    let own = project.run("up", &there, "").await;
    for goes_on in [meant, here, own] {
        let told = goes_on.text.contains("CLOUDFLARE_API_TOKEN is missing");
        assert!(goes_on.status == Some(2) && told, "{}", goes_on.text);
        assert!(!goes_on.text.contains("was meant for another"), "{}", goes_on.text);
    }
    project.configure(&pristine);
    assert_eq!(project.hosting.changes(), Vec::<String>::new());
}

/// wrangler binds the KV namespace once more that a Worker has, and the one that the file names, be they there or not.
#[tokio::test]
async fn a_kv_namespace_that_is_gone_is_told_with_the_way_out() {
    let project = Project::new("up-gone", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let (account, secrets) = (project.cloudflare.account_id(), project.secrets());
    let parameters = ["--tenant", "acme.conductor.one", "--account", account.as_str()];
    let first = project.run("up", &parameters, &secrets).await;
    assert_eq!(first.status, Some(0), "{}", first.text);
    let id = project.worker().namespace.unwrap();
    // It goes while an upload is under way: Cloudflare refuses that one.
    let code = project.scratch.path("build/index.js");
    std::fs::write(&code, std::fs::read_to_string(&code).unwrap() + "\n").unwrap();
    let goes = id.clone();
    project.meanwhile("/tokens/verify", move |hosting| hosting.remove_namespace(&goes));
    let refused = project.run("up", &parameters, &secrets).await;
    assert!(refused.status == Some(1) && refused.text.contains("10041"), "{}", refused.text);
    // From then on it is known before.
    let changes = project.hosting.changes();
    let gone = project.run("up", &parameters, &secrets).await;
    let told = [
        format!("the KV namespace {id}, which the Worker c1-cloudflare has, is gone: make one"),
        "(npx wrangler kv namespace create c1-cloudflare-state), and name it in wrangler.toml".to_owned(),
        "; nothing was deployed".to_owned(),
    ];
    assert!(gone.status == Some(1) && told.iter().all(|it| gone.text.contains(it)), "{}", gone.text);
    assert_eq!(project.hosting.changes(), changes);
    // The way out, which is the control: with one that is there it goes on.
    let other = project.hosting.add_namespace("c1-cloudflare-state");
    let (written, line) = (project.configuration(), format!("id = \"{other}\""));
    project.configure(&written.replace("binding = \"STATE\"\n", &format!("binding = \"STATE\"\n{line}\n")));
    assert_ne!(project.configuration(), written);
    let bound = project.run("up", &parameters, &secrets).await;
    assert_eq!(bound.status, Some(0), "{}", bound.text);
    assert_eq!(project.worker().namespace.as_deref(), Some(other.as_str()));
    // What somebody wrote into the file stays there, is told, and stops what comes next.
    let out = format!("take the line {line} out");
    let down = project.run("down", &["--yes", "--abandon"], "").await;
    assert!(down.status == Some(0) && down.text.contains(&out), "{}", down.text);
    assert!(project.hosting.namespaces().is_empty() && project.configuration().contains(&line), "{}", down.text);
    let stopped = project.run("up", &parameters, &secrets).await;
    let told = format!("{other}, which wrangler.toml names, is not in the account {account}: {out}, and a deployment");
    assert!(stopped.status == Some(1) && stopped.text.contains(&told), "{}", stopped.text);
    project.configure(&project.configuration().replace(&format!("{line}\n"), ""));
    let goes_on = project.run("up", &parameters, "").await;
    assert!(goes_on.text.contains("CLOUDFLARE_API_TOKEN is missing"), "{}", goes_on.text);
}

/// wrangler goes by a proxy that the environment has; Node's own calls may not, and then to try again would lead nowhere.
#[tokio::test]
async fn a_proxy_that_node_does_not_go_by_is_told_where_nobody_answers() {
    let project = Project::new("up-proxy", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    // Nobody listens there, and as long as this is bound nobody else can.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = silent.local_addr().unwrap().port();
    let run = async |program: &str, proxy: &str| {
        let mut command = Command::new("env");
        command.args(["-u", "HTTPS_PROXY", "-u", "NODE_USE_ENV_PROXY", "TOKEN=x"]).arg(format!("https_proxy={proxy}"));
        command.args(["URL", "CLOUDFLARE_API_BASE_URL"].map(|name| format!("{name}=https://127.0.0.1:{port}")));
        command.arg("node");
        project.said(command, program, &[], "").await
    };
    for (program, otherwise) in [("up", "does not answer (ECONNREFUSED): try again"), ("connect", "(ECONNREFUSED)")] {
        let told = run(program, &format!("http://127.0.0.1:{port}")).await;
        assert!(told.status == Some(1) && told.text.contains("https_proxy is set, and Node "), "{}", told.text);
        assert!(told.text.contains("ECONNREFUSED") && !told.text.contains(otherwise), "{}", told.text);
        let told = run(program, "").await;
        assert!(told.status == Some(1) && told.text.contains(otherwise), "the control: {}", told.text);
    }
    assert_eq!(project.hosting.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_an_earlier_deployment_left_and_what_is_another_workers_stands_in_nobodys_way() {
    let project = Project::new("up-left", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    a_namespace_without_its_worker_is_told(&project).await;
    // An upload that was cut off leaves one that is empty.
    let left = project.hosting.add_namespace("c1-cloudflare-state");
    // Where wrangler notes which account it went to, it goes there again without asking.
    let notes = ["node_modules/.cache/wrangler", ".wrangler/cache"].map(|folder| project.scratch.path(folder));
    let note = |account: &str| {
        for folder in &notes {
            std::fs::create_dir_all(folder).unwrap();
            let text = serde_json::json!({ "account": { "id": account, "name": "It" } }).to_string();
            std::fs::write(folder.join("wrangler-account.json"), text).unwrap();
        }
    };
    let is_noted = || notes.each_ref().map(|folder| folder.join("wrangler-account.json").exists());
    note(ANOTHER);
    let parameters = ["--tenant", "acme.conductor.one", "--url", "https://c1.example.com"];
    let up = project.run("up", &parameters, &project.secrets()).await;
    assert_eq!(up.status, Some(0), "{}", up.text);
    let changes = project.hosting.changes();
    assert!(changes.contains(&format!("DELETE storage/kv/namespaces/{left}")), "{changes:?}");
    // What it noted of another account is gone, and nothing is noted anew.
    assert_eq!(is_noted(), [false, false]);
    assert_eq!(project.worker().namespace.as_ref(), project.hosting.namespaces().keys().next());
    // Nothing leads from the domain to the Worker so far.
    let route = "routes = [{ pattern = \"c1.example.com\", custom_domain = true }]";
    let (before, _) = up.text.split_once("Deploying c1-cloudflare").expect(&up.text);
    assert!(before.contains(route), "{}", up.text);
    assert!(!up.text.contains("was known by"), "{}", up.text);
    // Whoever copies the line that comes next gives the command nothing else.
    assert!(up.text.contains("\n  URL=https://c1.example.com DRY_RUN=1 npm run connect\n"), "{}", up.text);

    // A variable is one however its line is written.
    let written = project.configuration();
    let misspelt = written.replace("[vars]\n", "[vars]\n  \"PROTECTED_MEMBER\" = \"jane@example.com\"\n");
    project.configure(&misspelt);
    let stopped = project.run("up", &[], &project.secrets()).await;
    assert!(stopped.text.contains("the connector reads no variable PROTECTED_MEMBER, which"), "{}", stopped.text);
    let lines = "[vars]\n  MIN_SUPER_ADMINS = \"3\"\n\"PROTECTED_MEMBERS\" = \"jane@example.com\"\n";
    project.configure(&written.replace("[vars]\n", lines));
    note(&project.cloudflare.account_id());
    let up = project.run("up", &[], &project.secrets()).await;
    assert_eq!(up.status, Some(0), "{}", up.text);
    assert_eq!(is_noted(), [true, true], "the control: it is this account");
    assert!(!up.text.contains(route), "it was told before: {}", up.text);
    let vars = project.worker().vars;
    let value = |name: &str| vars.get(name).map(String::as_str);
    assert_eq!(
        [value("MIN_SUPER_ADMINS"), value("PROTECTED_MEMBERS")],
        [Some("3"), Some("jane@example.com")],
        "{}",
        up.text
    );
    project.configure(&written);
    one_workers_file_is_not_anothers(&project).await;
    a_switch_that_was_taken_away_stays_off(&project).await;
    a_secret_among_the_variables_stops_it(&project).await;
    the_token_before_is_told_and_goes_where_new_ones_are_made(&project).await;
    another_tenant_is_told(&project).await;
    an_address_that_was_switched_off_stays_off(&project).await;

    // An address that is not the one that ConductorOne knows. An upload with a route to that one alone would take the other one away.
    let account = project.cloudflare.account_id();
    let domain = |host: &str| [account.as_str(), host, NAME].map(str::to_owned);
    let has = || project.api.domains.lock().unwrap().clone().unwrap();
    *project.api.domains.lock().unwrap() = Some(vec![domain("c1.example.com")]);
    let (written, changes) = (project.configuration(), project.hosting.changes());
    let route = |host: &str| format!("{{ pattern = \"{host}\", custom_domain = true }}");
    let (former, next) = (route("c1.example.com"), route("c2.example.com"));
    project.configure(&format!("routes = [{next}]\nworkers_dev = true\n{written}"));
    let alone = project.run("up", &["--url", "https://c2.example.com"], &project.secrets()).await;
    let told = "lacks c1.example.com, so that an upload would take that away from the Worker, with its DNS record: ";
    let told = format!("{told}put it beside ({former}); or, if it may go, first delete it in the dashboard");
    assert!(alone.status == Some(1) && alone.text.contains(&told), "{}", alone.text);
    assert_eq!((has(), project.hosting.changes()), (vec![domain("c1.example.com")], changes), "{}", alone.text);
    // The control: with a route to both it has both, and the workers.dev address as well.
    project.configure(&format!("routes = [{next}, {former}]\nworkers_dev = true\n{written}"));
    let moved = project.run("up", &["--url", "https://c2.example.com"], &project.secrets()).await;
    let told = "The Worker was known by https://c1.example.com, and is known by https://c2.example.com from now on.";
    let (before, _) = moved.text.split_once("Deploying c1-cloudflare").expect(&moved.text);
    assert!(moved.status == Some(0) && before.contains(told), "ConductorOne does not lead there: {}", moved.text);
    assert_eq!(has(), ["c2.example.com", "c1.example.com"].map(domain), "{}", moved.text);
    assert!(project.worker().on_workers_dev, "{}", moved.text);
    // The token that only reads is optional: who deleted it is given none unasked, neither here nor at a terminal.
    let has_it = || project.worker().secrets.contains_key("CONNECTOR_READ_TOKEN");
    let mut without = project.worker();
    without.secrets.remove("CONNECTOR_READ_TOKEN");
    project.hosting.add_worker(NAME, without);
    let anew = project.run("up", &["--new-tokens"], "").await;
    assert!(anew.status == Some(2) && anew.text.contains("up: CONNECTOR_TOKEN would be made, and"), "{}", anew.text);
    let again = project.run("up", &[], &format!("CONNECTOR_TOKEN={FULL}")).await;
    assert!(again.status == Some(0) && !has_it() && !again.text.contains("to look alone"), "{}", again.text);
    assert!(!again.text.contains("was known by") && !again.text.contains("secret delete"), "{}", again.text);
    // What somebody lets go is taken away, though nothing else would be uploaded.
    *project.api.domains.lock().unwrap() =
        Some(["c1.example.com", "c2.example.com", "c3.example.com"].map(domain).into());
    let typed = format!("{FULL}\r");
    let answers = [
        ("May c3.example.com go", "1\r"),
        ("Enter keeps the one that is set", "\r"),
        ("Enter makes a new one", typed.as_str()),
    ];
    let gone = project.answered("up", &["--no-open"], &answers).await;
    assert_eq!(has(), ["c2.example.com", "c1.example.com"].map(domain), "{}", gone.text);
    assert!(!has_it(), "{}", gone.text);
}

/// What the tenant sends that the Worker had is refused from then on, though what is connected there leads here still.
async fn another_tenant_is_told(project: &Project) {
    let (written, changes) = (project.configuration(), project.hosting.changes());
    // Each run ends before it deploys, at the latest here.
    let (input, goes_on) = ("CONNECTOR_TOKEN=short", "CONNECTOR_TOKEN has to have at least");
    let until_now = "Until now the Worker took what the ConductorOne tenant acme.conductor.one sends.";
    let told =
        [until_now, "is to be of other.conductor.one", "(UNDO=1 npm run connect, with the API key of that", goes_on];
    let other = project.run("up", &["--tenant", "https://other.conductor.one/"], input).await;
    assert!(other.status == Some(2) && told.iter().all(|it| other.text.contains(it)), "{}", other.text);
    // At a terminal the person says whether that is meant.
    for (answer, status, expected) in [
        ("2\r", 1, "up: the Worker's tenant stays acme.conductor.one: nothing was deployed"),
        ("1\r", 130, "up: ended before anything else was changed"),
    ] {
        let answers =
            [("Is the Worker to be of other.conductor.one", answer), ("Enter keeps the one that is set", "\u{3}")];
        let said = project.answered("up", &["--no-open", "--tenant", "other.conductor.one"], &answers).await;
        let tells = said.text.contains(until_now) && said.text.contains(expected);
        assert!(said.status == Some(status) && tells, "{}", said.text);
    }
    // The controls: it is the same one, however it is written, or nobody says another one.
    for parameters in [&["--tenant", "https://ACME.conductor.one/"][..], &[]] {
        let same = project.run("up", parameters, input).await;
        assert!(same.text.contains(goes_on) && !same.text.contains("Until now"), "{}", same.text);
    }
    assert_eq!((project.configuration(), project.hosting.changes()), (written, changes));
}

/// What guards a domain that was attached in the dashboard does not guard the workers.dev address, which somebody switched off for that.
async fn an_address_that_was_switched_off_stays_off(project: &Project) {
    let (written, worker, changes) = (project.configuration(), project.worker(), project.hosting.changes());
    let off = Deployed { on_workers_dev: false, ..worker.clone() };
    let told =
        "the Worker's workers.dev address is switched off, and wrangler.toml has neither a route nor workers_dev";
    // Each run ends before it deploys, at the latest here.
    let (input, goes_on) = ("CONNECTOR_TOKEN=short", "CONNECTOR_TOKEN has to have at least");
    for (line, is_on, status, expected) in [
        ("", false, 1, told),
        // The controls: the file says what it is to be, or nobody switched it off.
        ("workers_dev = false\n", false, 2, goes_on),
        ("workers_dev = true\n", false, 2, goes_on),
        ("", true, 2, goes_on),
    ] {
        project.hosting.add_worker(NAME, if is_on { worker.clone() } else { off.clone() });
        project.configure(&format!("{line}{written}"));
        let said = project.run("up", &[], input).await;
        assert!(said.status == Some(status) && said.text.contains(expected), "{line:?}, {is_on}: {}", said.text);
        assert!(status == 2 || said.text.contains("; nothing was deployed"), "{}", said.text);
    }
    // Nor is it switched on where somebody switches it off while this one is asked, and answers.
    project.configure(&format!("# That has it uploaded.\n{written}"));
    project.meanwhile("/tokens/verify", move |hosting| hosting.add_worker(NAME, off));
    let late = project.run("up", &[], &project.secrets()).await;
    assert!(late.text.contains("Deploying c1-cloudflare again") && late.text.contains(told), "{}", late.text);
    assert!(late.status == Some(1) && !project.worker().on_workers_dev, "{}", late.text);
    project.configure(&written);
    project.hosting.add_worker(NAME, worker);
    assert_eq!(project.hosting.changes(), changes);
}

/// A switch that somebody took away in the dashboard, or emptied there, is off, and a file that has it on turns it on again for nobody unasked.
async fn a_switch_that_was_taken_away_stays_off(project: &Project) {
    let (written, worker, changes) = (project.configuration(), project.worker(), project.hosting.changes());
    // Each run ends before it deploys, at the latest here.
    let (input, goes_on) = ("CONNECTOR_TOKEN=short", "CONNECTOR_TOKEN has to have at least");
    let ways: [(&str, &[&str]); 2] = [("PROVISIONING", &["--provisioning", "on"]), ("AUTO_WIRE", &["--take", "file"])];
    for (name, means) in ways {
        let differs = format!("the Worker and wrangler.toml have other values for {name}");
        let on = written.replace(&format!("\n{name} = \"off\""), &format!("\n{name} = \"on\""));
        assert_ne!(on, written);
        for text in [None, Some("")] {
            let mut taken = worker.clone();
            taken.vars.remove(name);
            taken.vars.extend(text.map(|text| (name.to_owned(), text.to_owned())));
            project.hosting.add_worker(NAME, taken);
            project.configure(&on);
            let stopped = project.run("up", &[], input).await;
            let told = stopped.text.contains(&format!("{differs}: give --take worker"));
            assert!(stopped.status == Some(2) && told, "{}", stopped.text);
            let kept = project.run("up", &["--take", "worker"], input).await;
            let off = format!("{name}: stays as the Worker has it, off");
            assert!(kept.text.contains(&off) && kept.text.contains(goes_on), "{}", kept.text);
        }
        // The controls: whoever means it is understood, and nobody is asked where it is off on both sides.
        let meant = project.run("up", means, input).await;
        assert!(meant.text.contains(goes_on) && !meant.text.contains("stays as"), "{}", meant.text);
        project.configure(&written);
        let off = project.run("up", &[], input).await;
        assert!(off.text.contains(goes_on) && !off.text.contains(&differs), "{}", off.text);
    }
    project.hosting.add_worker(NAME, worker);
    assert_eq!(project.hosting.changes(), changes);
}

/// A secret that was deployed as a variable stays one through each deployment, for everybody to read, and none is set in its place.
async fn a_secret_among_the_variables_stops_it(project: &Project) {
    let (worker, changes) = (project.worker(), project.hosting.changes());
    // Each run ends before it deploys, at the latest here.
    let (input, goes_on) = ("CONNECTOR_TOKEN=short", "CONNECTOR_TOKEN has to have at least");
    for name in ["CONNECTOR_TOKEN", "C1_CLIENT_SECRET"] {
        let told = format!("the Worker has {name} as a variable, and it is a secret: delete it in the dashboard");
        for text in ["s3cret", ""] {
            project.hosting.set_variable(NAME, name, text);
            let stopped = project.run("up", &[], input).await;
            assert!(stopped.status == Some(1) && stopped.text.contains(&told), "{}", stopped.text);
            assert!(stopped.text.contains("; nothing was deployed") && !stopped.text.contains("s3cret"));
        }
        // The control: it is one.
        let mut secret = worker.clone();
        secret.secrets.insert(name.to_owned(), FULL.to_owned());
        project.hosting.add_worker(NAME, secret);
        let passes = project.run("up", &[], input).await;
        assert!(passes.status == Some(2) && passes.text.contains(goes_on), "{}", passes.text);
    }
    // So is an address whose token is all that ConductorOne asks for, and no other one.
    let incoming = "https://acme.conductor.one/api/v1/webhooks/incoming/abc";
    for (text, status, expected) in [
        (format!("{incoming}/t/s3cret"), 1, "the Worker has SIGNAL_URL as a variable, and it is a secret: delete it"),
        (incoming.to_owned(), 2, goes_on),
    ] {
        project.hosting.set_variable(NAME, "SIGNAL_URL", &text);
        let said = project.run("up", &[], input).await;
        assert!(said.status == Some(status) && said.text.contains(expected), "{}", said.text);
        assert!(!said.text.contains("s3cret"), "{}", said.text);
    }
    // Nor is a secret replaced by a variable of the file, be that empty: nobody could read then what it was.
    let written = project.configuration();
    for (name, way) in [
        ("SIGNAL_URL", "take the line out; or, where the variable is to count, delete the secret first (npx wrangler"),
        // The file is not taken without this one's line.
        ("AUTO_WIRE", "whose value is gone then: where the variable is to count, delete the secret first (npx"),
    ] {
        let mut secret = worker.clone();
        secret.vars.remove(name);
        secret.secrets.insert(name.to_owned(), "s3cret".to_owned());
        project.hosting.add_worker(NAME, secret);
        project.configure(&written.replace("[vars]\n", "[vars]\nSIGNAL_URL = \"\"\n"));
        let stopped = project.run("up", &[], input).await;
        let told = format!("the Worker has {name} as a secret, and wrangler.toml has it under [vars], so that an");
        let tells = [told.as_str(), way, "; nothing was deployed"].iter().all(|it| stopped.text.contains(it));
        assert!(stopped.status == Some(1) && tells, "{}", stopped.text);
        assert_eq!(project.worker().secrets[name], "s3cret");
        // The controls: the file does not name it, or it is no secret.
        if name == "SIGNAL_URL" {
            project.configure(&written);
        } else {
            project.hosting.add_worker(NAME, worker.clone());
        }
        let passes = project.run("up", &[], input).await;
        assert!(passes.status == Some(2) && passes.text.contains(goes_on), "{}", passes.text);
    }
    project.configure(&written);
    project.hosting.add_worker(NAME, worker.clone());
    assert_eq!(project.hosting.changes(), changes);
    // What comes of it where nothing stops.
    project.hosting.set_variable(NAME, "CONNECTOR_TOKEN", "s3cret");
    let mut wrangler = Command::new("sh");
    wrangler.arg("-c").arg(format!(
        "CLOUDFLARE_ACCOUNT_ID={} WRANGLER_SEND_METRICS=false node_modules/.bin/wrangler secret bulk --env ''",
        project.cloudflare.account_id()
    ));
    let refused = project.said(wrangler, "up", &[], "{\"CONNECTOR_TOKEN\":\"another\"}").await;
    assert!(refused.status != Some(0) && refused.text.contains("10053"), "{}", refused.text);
    project.hosting.add_worker(NAME, worker);
}

/// What is accepted while another token takes its place may be what leaked.
async fn the_token_before_is_told_and_goes_where_new_ones_are_made(project: &Project) {
    let before = [
        ("CONNECTOR_TOKEN_PREVIOUS", "connector-token-that-leaked-0123456789abcdef"),
        ("CONNECTOR_READ_TOKEN_PREVIOUS", "connector-read-token-that-leaked-0123456789"),
    ];
    let mut worker = project.worker();
    worker.secrets.extend(before.map(|(name, text)| (name.to_owned(), text.to_owned())));
    project.hosting.add_worker(NAME, worker);
    let status = async |token: &str| {
        let answer = project.edge.answer(request("GET", "/v1/status", token)).await;
        let Reply::Response { status, .. } = answer else { panic!("no answer") };
        status
    };
    let told = project.run("up", &[], &project.secrets()).await;
    assert_eq!(told.status, Some(0), "{}", told.text);
    for (name, token) in before {
        assert!(told.text.contains(&format!("npx wrangler secret delete {name}\n")), "{}", told.text);
        assert_eq!(status(token).await, 200, "{name} is left alone by a run that asks for no new tokens");
    }
    a_token_that_the_worker_takes_is_no_new_one(project, before.map(|(_, token)| token)).await;
    let alone = format!("CLOUDFLARE_API_TOKEN={}", project.cloudflare.token());
    let anew = project.run("up", &["--new-tokens", "--show-tokens"], &alone).await;
    assert_eq!(anew.status, Some(0), "{}", anew.text);
    let secrets = project.worker().secrets;
    let names: Vec<&String> = secrets.keys().collect();
    assert_eq!(names, ["CLOUDFLARE_API_TOKEN", "CONNECTOR_READ_TOKEN", "CONNECTOR_TOKEN"], "{}", anew.text);
    for token in [before[0].1, before[1].1, FULL] {
        assert_eq!(status(token).await, 401);
    }
    assert_eq!(status(&secrets["CONNECTOR_TOKEN"]).await, 200);
    Box::pin(what_leaked_is_not_set_again_by_what_brings_it_still(project)).await;
}

/// A pipeline has the token of before until somebody changes it there.
async fn what_leaked_is_not_set_again_by_what_brings_it_still(project: &Project) {
    let (worker, changes) = (project.worker(), project.hosting.changes());
    let own = &worker.secrets["CONNECTOR_TOKEN"];
    let read = format!("CONNECTOR_TOKEN={own}\nCONNECTOR_READ_TOKEN={READ}\n");
    for (input, name, super_admins) in [
        (project.secrets(), "CONNECTOR_TOKEN", "2"),
        // Nor where the Worker does nothing, since a variable of it is a mistake.
        (project.secrets(), "CONNECTOR_TOKEN", "0"),
        (read, "CONNECTOR_READ_TOKEN", "2"),
    ] {
        project.hosting.set_variable(NAME, "MIN_SUPER_ADMINS", super_admins);
        let stopped = project.run("up", &[], &input).await;
        let told = format!("up: the Worker does not take the {name} on standard input, and has another one: give that");
        assert!(stopped.status == Some(2) && stopped.text.contains(&told), "{}", stopped.text);
        assert_eq!((&project.worker().secrets, project.hosting.changes()), (&worker.secrets, changes.clone()));
    }
    // The controls: it is the one that is set; or the Worker does not say that it is another one.
    project.hosting.add_worker(NAME, worker.clone());
    let same = project.run("up", &[], &format!("CONNECTOR_TOKEN={own}")).await;
    assert_eq!(same.status, Some(0), "{}", same.text);
    project.edge.unanswered.lock().unwrap().extend(["GET /v1/status"; 2]);
    let unsure = project.run("up", &[], &project.secrets()).await;
    assert_eq!(unsure.status, Some(0), "{}", unsure.text);
    let secrets = project.worker().secrets;
    assert_eq!([&secrets["CONNECTOR_TOKEN"], &secrets["CONNECTOR_READ_TOKEN"]], [FULL, READ], "{}", unsure.text);
}

/// A password store brings what leaked as well: it would be set once more, and nothing were rotated.
async fn a_token_that_the_worker_takes_is_no_new_one(project: &Project, before: [&str; 2]) {
    let (secrets, changes) = (project.worker().secrets, project.hosting.changes());
    let other = "another-token-of-the-person-0123456789abcdef";
    let up = async |full: &str, read: &str| {
        let input = format!("CONNECTOR_TOKEN={full}\nCONNECTOR_READ_TOKEN={read}\n");
        project.run("up", &["--new-tokens", "--show-tokens"], &input).await
    };
    for (full, read, name) in [
        (FULL, READ, "CONNECTOR_TOKEN"),
        (other, READ, "CONNECTOR_READ_TOKEN"),
        // Nor is it one as the other one, or as one before.
        (READ, other, "CONNECTOR_TOKEN"),
        (other, before[0], "CONNECTOR_READ_TOKEN"),
        (before[1], other, "CONNECTOR_TOKEN"),
    ] {
        let stopped = up(full, read).await;
        let told = format!("up: the {name} on standard input is one that the Worker takes already, and --new-tokens");
        assert!(stopped.status == Some(2) && stopped.text.contains(&told), "{}", stopped.text);
        assert!(stopped.text.contains("leave its line out, or give another one; nothing"), "{}", stopped.text);
    }
    // A Worker that does not answer does not say that it takes another one.
    project.edge.unanswered.lock().unwrap().push("GET /v1/doctor");
    let unknown = up(other, READ).await;
    let told = "up: whether the Worker takes the CONNECTOR_TOKEN on standard input already is not to be found out";
    assert!(unknown.status == Some(2) && unknown.text.contains(told), "{}", unknown.text);
    // The control: another one is taken, and this goes on to what nobody would see.
    let goes_on = project.run("up", &["--new-tokens"], &format!("CONNECTOR_TOKEN={other}")).await;
    let told = "up: CONNECTOR_READ_TOKEN would be made, and nobody is here to see them";
    assert!(goes_on.status == Some(2) && goes_on.text.contains(told), "{}", goes_on.text);
    assert_eq!((project.worker().secrets, project.hosting.changes()), (secrets, changes));
}

/// *Rollback* in the dashboard has an earlier version run, of which the Worker's settings say nothing.
#[tokio::test]
async fn after_a_rollback_what_is_deployed_runs_again() {
    let project = Project::new("up-rollback", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let secrets = project.secrets();
    let up = async |parameters: &[&str]| project.run("up", parameters, &secrets).await;
    let runs = || {
        let worker = project.hosting.running(NAME).unwrap();
        (worker.vars["PROVISIONING"].clone(), worker.uploads)
    };
    let on = up(&["--tenant", "acme.conductor.one", "--provisioning", "on"]).await;
    assert_eq!(on.status, Some(0), "{}", on.text);
    let first = project.worker();
    // Somebody else turns it off while this one answers what it is asked, and would have it on again.
    project.meanwhile("/tokens/verify", |hosting| hosting.set_variable(NAME, "PROVISIONING", "off"));
    let late = up(&["--plan", "paid"]).await;
    let told = "somebody else changed PROVISIONING in the Worker meanwhile: run this again; nothing was deployed";
    assert!(late.status == Some(1) && late.text.contains(told), "{}", late.text);
    assert_eq!(runs(), ("off".to_owned(), first.uploads), "{}", late.text);
    project.hosting.set_variable(NAME, "PROVISIONING", "on");
    let off = up(&["--provisioning", "off", "--plan", "free"]).await;
    assert_eq!(off.status, Some(0), "{}", off.text);
    let uploads = project.worker().uploads;
    // The control: nobody rolled it back.
    let stays = up(&[]).await;
    assert_eq!((stays.status, runs()), (Some(0), ("off".to_owned(), uploads)), "{}", stays.text);
    assert!(stays.text.contains("is what would be uploaded: it stays as it is."), "{}", stays.text);

    project.hosting.roll_back(NAME, first);
    assert_eq!(runs().0, "on");
    let back = up(&[]).await;
    assert_eq!((back.status, runs()), (Some(0), ("off".to_owned(), uploads + 1)), "{}", back.text);
    let again =
        "does not run its newest version, as after a rollback: it is deployed again, with PROVISIONING = \"off\".";
    assert!(back.text.contains(again), "{}", back.text);

    // An isolate of before may answer for a moment. Where nobody may look which version runs, the newest one is taken for it.
    project.api.hides_versions.store(true, Ordering::Relaxed);
    project.edge.answers_before.store(2, Ordering::Relaxed);
    let waits = up(&[]).await;
    assert_eq!((waits.status, runs().1), (Some(0), uploads + 1), "{}", waits.text);
    assert!(waits.text.contains("it is not there yet (PROVISIONING is not off there)"), "{}", waits.text);
    // What goes on so is not what was deployed.
    project.edge.answers_before.store(usize::MAX, Ordering::Relaxed);
    let mut node = Command::new("node");
    node.env("APPEARS_MS", "200");
    let stopped = project.said(node, "up", &[], &secrets).await;
    assert_eq!(stopped.status, Some(1), "{}", stopped.text);
    assert!(stopped.text.contains("does not go by PROVISIONING = off, which was deployed"), "{}", stopped.text);
    assert!(!stopped.text.contains("Nothing is changed in the account so far"), "{}", stopped.text);
}

/// ConductorOne signs the address that it calls: where that is another one, all that it asks for fails, and nothing else would tell a pipeline.
#[tokio::test]
async fn another_address_is_no_success_until_it_is_connected_once_more() {
    let project = Project::new("up-moved", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let group = project.cloudflare.add_group("Engineers", Vec::new());
    let entitlement = Entitlement::new(&format!("group:{group}:member"), "Engineers Member");
    project.edge.c1.add_app(&App::default(), std::slice::from_ref(&entitlement));
    let secrets = project.secrets();
    let first = project.run("up", &["--tenant", "acme.conductor.one"], &secrets).await;
    assert_eq!(first.status, Some(0), "{}", first.text);
    connected(&project, &entitlement).await;

    let (url, written) = ("https://c1.example.com", project.configuration());
    *project.api.domains.lock().unwrap() = Some(Vec::new());
    let route = "routes = [{ pattern = \"c1.example.com\", custom_domain = true }]\nworkers_dev = true\n";
    project.configure(&format!("{route}{written}"));
    let moved = project.run("up", &["--url", url], &secrets).await;
    let (_, last) = moved.text.rsplit_once("\nup: ").expect(&moved.text);
    let told = format!("ConductorOne's webhook leads to https://{HOST}, and what it sends is refused, since the");
    let way = format!("connect once more (URL={url} npm run connect)\n");
    assert!(moved.status == Some(1) && last.starts_with(&told) && last.ends_with(&way), "{}", moved.text);
    assert_eq!(project.worker().vars["PUBLIC_URL"], url, "it is deployed all the same");

    let reached = project.edge.running.lock().await.as_ref().unwrap().0.worker.url();
    project.edge.c1.reach("c1.example.com", &reached);
    let connects = connect(&project, "UNDO=").await;
    assert!(connects.contains("Connected: "), "{connects}");
    let again = project.run("up", &[], &secrets).await;
    assert!(again.status == Some(0) && !again.text.contains("connect once more"), "{}", again.text);
}

/// What is set of ConductorOne's app may be of another account's.
#[tokio::test]
async fn an_app_that_is_set_is_told_where_the_account_is_new_to_the_worker() {
    let project = Project::new("up-app", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let (account, pristine, secrets) = (project.cloudflare.account_id(), project.configuration(), project.secrets());
    project.hosting.also_sees(ANOTHER, "Another");
    let up = async |parameters: &[&str], input: &str| {
        project.run("up", &[&["--tenant", "acme.conductor.one"][..], parameters].concat(), input).await
    };
    let told = |account: &str| {
        format!(
            "C1_APP_ID = \"2test\": that has to be of ConductorOne's app of the account {account}, which this Worker did not"
        )
    };
    // So the file is after `down`, which left it there.
    project.configure(&pristine.replace("[vars]\n", "[vars]\nC1_APP_ID = \"2test\"\n"));
    let another = up(&["--account", ANOTHER], "").await;
    assert!(another.status == Some(2) && another.text.contains(&told(ANOTHER)), "{}", another.text);
    // At a terminal the person says whose it is.
    for (answer, is_cleared) in [("1\r", false), ("2\r", true)] {
        let answers = [("Whose is that", answer), ("Change access", "\u{3}")];
        let parameters = ["--no-open", "--tenant", "acme.conductor.one", "--account", ANOTHER];
        let said = project.answered("up", &parameters, &answers).await;
        assert_eq!(said.status, Some(130), "{}", said.text);
        assert_eq!(said.text.contains("C1_APP_ID: \"\"."), is_cleared, "{}", said.text);
    }
    // The control: where the Worker governs the account it stays without a word.
    let first = up(&["--account", &account], &secrets).await;
    assert!(first.status == Some(0) && first.text.contains(&told(&account)), "{}", first.text);
    let again = up(&[], &secrets).await;
    assert!(again.status == Some(0) && !again.text.contains("that has to be of"), "{}", again.text);
    assert_eq!(project.worker().vars["C1_APP_ID"], "2test");
    // What is another Worker's is not taken over.
    let written = project.configuration();
    project.configure(&written.replace("name = \"c1-cloudflare\"", "name = \"c1-second\""));
    let second = up(&["--url", "https://c1-second.acme.workers.dev"], &secrets).await;
    let since = "C1_APP_ID: \"\", since 2test in wrangler.toml was meant for another Worker.";
    assert!(second.text.contains(since), "{}", second.text);
    assert_eq!(project.hosting.worker("c1-second").unwrap().vars["C1_APP_ID"], "", "{}", second.text);
    // Nor passed over where the Worker is to govern another account than so far.
    project.configure(&written);
    project.hosting.set_variable(NAME, "CLOUDFLARE_ACCOUNT_ID", ANOTHER);
    let moved = up(&["--account", &account], "").await;
    let governed = format!("Until now the Worker governed the account {ANOTHER}.");
    assert!(moved.text.contains(&governed) && moved.text.contains(&told(&account)), "{}", moved.text);
    // Whoever takes the Worker away is told what stays.
    let down = project.run("down", &["--yes", "--abandon"], "").await;
    let but = "wrangler.toml is as before, but for what stays there and the next npm run up deploys: C1_APP_ID.";
    assert!(down.status == Some(0) && down.text.contains(but), "{}", down.text);
}

/// Somebody else's server, which answers everything alike and keeps what it was asked.
struct Stranger {
    answer: &'static str,
    asked: Mutex<Vec<Request>>,
}

impl Handler for Stranger {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        self.asked.lock().unwrap().push(request);
        Box::pin(std::future::ready(Reply::text(200, "application/json", self.answer)))
    }
}

/// An address may be mistyped, and whoever is there would be sent the connector's token.
#[tokio::test]
async fn no_token_goes_to_whoever_else_is_at_an_address() {
    let project = Project::new("up-stranger", Spec { members: 6, roles: 3, ..Spec::default() }).await;
    let secrets = project.secrets();
    an_address_that_nothing_leads_to_the_worker_is_asked_about(&project).await;
    let run = async |program: &str, url: &str| {
        let mut command = Command::new("env");
        command.arg(format!("URL={url}")).arg(format!("TOKEN={FULL}")).args(["APPEARS_MS=200", "node"]);
        project.said(command, program, &["--tenant", "acme.conductor.one", "--reach", url], &secrets).await
    };
    for (program, answer) in [
        ("up", "{\"hello\":\"world\"}"),
        ("connect", "{\"hello\":\"world\"}"),
        ("connect", "{\"status\":\"ok\"}"),
        ("connect", "<title>Welcome</title>"),
    ] {
        let stranger = Arc::new(Stranger { answer, asked: Mutex::default() });
        let server = Server::start(0, Arc::clone(&stranger) as Arc<dyn Handler>).await.unwrap();
        let said = run(program, &server.url()).await;
        let told = "is not the connector, by its /healthz (HTTP 200), and was sent no token";
        assert!(said.status == Some(1) && said.text.contains(told), "{program}, {answer}: {}", said.text);
        let asked = stranger.asked.lock().unwrap();
        let knows_none = asked.iter().all(|request| request.header("authorization").is_none());
        assert!(!asked.is_empty() && knows_none, "{program}, {answer}: {asked:?}");
    }
    // The controls: the Worker is there.
    let up = project.run("up", &[], &secrets).await;
    assert_eq!(up.status, Some(0), "{}", up.text);
    let connect = run("connect", &project.edge_server.url()).await;
    assert!(connect.status == Some(1) && connect.text.contains("connect_not_configured"), "{}", connect.text);
}

/// Whoever is at the terminal says whether something leads there of which nothing is known.
async fn an_address_that_nothing_leads_to_the_worker_is_asked_about(project: &Project) {
    let pristine = project.configuration();
    let up = async |url: &str, answers: &[(&str, &str)]| {
        let told = ["--tenant", "acme.conductor.one", "--provisioning", "off", "--plan", "free", "--no-open", "--url"];
        project.answered("up", &[&told[..], &[url]].concat(), answers).await
    };
    let ends = ("API token (it is not shown)", "\u{3}");
    let mistyped = up("https://c1.acme.co", &[("Does c1.acme.co lead", "2\r")]).await;
    let told =
        ["routes = [{ pattern = \"c1.acme.co\"", "up: c1.acme.co does not lead to the Worker: put the route into"];
    assert!(mistyped.status == Some(1) && told.iter().all(|it| mistyped.text.contains(it)), "{}", mistyped.text);
    let others = "c1-cloudflare.acne.workers.dev";
    let question = format!("Does {others} lead");
    let mistyped = up(&format!("https://{others}"), &[(question.as_str(), "2\r")]).await;
    let told = format!("{others} is not the name of the Worker c1-cloudflare on workers.dev");
    assert!(mistyped.status == Some(1) && mistyped.text.contains(&told), "{}", mistyped.text);
    // The controls: it will lead there, and it is the Worker's own. Both go on to what comes next.
    let will = up("https://c1.acme.co", &[("Does c1.acme.co lead", "1\r"), ends]).await;
    assert_eq!(will.status, Some(130), "{}", will.text);
    let own = up("https://c1-cloudflare.acme.workers.dev", &[ends]).await;
    assert!(own.status == Some(130) && !own.text.contains("Does "), "{}", own.text);
    // With a route the upload leads it there, whatever a DNS record of that name leads to.
    *project.api.domains.lock().unwrap() = Some(Vec::new());
    let route = "routes = [{ pattern = \"c1.acme.co\", custom_domain = true }]\n";
    project.configure(&format!("{route}{pristine}"));
    let replaced = up("https://c1.acme.co", &[("Is c1.acme.co to lead", "2\r")]).await;
    let told = "wrangler.toml has the custom domain c1.acme.co among its routes, and it is not to lead to the Worker";
    assert!(replaced.status == Some(1) && replaced.text.contains(told), "{}", replaced.text);
    let meant = up("https://c1.acme.co", &[("Is c1.acme.co to lead", "1\r"), ends]).await;
    assert_eq!(meant.status, Some(130), "{}", meant.text);
    // And takes away from the Worker what the file lacks.
    let other = [project.cloudflare.account_id().as_str(), "c2.acme.co", NAME].map(str::to_owned);
    *project.api.domains.lock().unwrap() = Some(vec![other]);
    let leads = ("Is c1.acme.co to lead", "1\r");
    let stays = up("https://c1.acme.co", &[leads, ("May c2.acme.co go", "2\r")]).await;
    let told = "wrangler.toml has custom domains among its routes and lacks c2.acme.co, so that an upload would take";
    assert!(stays.status == Some(1) && stays.text.contains(told), "{}", stays.text);
    let goes = up("https://c1.acme.co", &[leads, ("May c2.acme.co go", "1\r"), ends]).await;
    assert_eq!(goes.status, Some(130), "{}", goes.text);
    // Where that is to be the Worker's address, nobody is asked.
    let own = up("https://c2.acme.co", &[leads]).await;
    assert!(own.status == Some(1) && own.text.contains(told) && !own.text.contains("May c2"), "{}", own.text);
    *project.api.domains.lock().unwrap() = None;
    project.configure(&pristine);
    assert_eq!((project.configuration(), project.hosting.changes()), (pristine, Vec::new()));
}

/// What `scripts/up/settings.mjs` makes of a file.
async fn settings(scratch: &Scratch, text: &str) -> serde_json::Value {
    std::fs::write(scratch.path("wrangler.toml"), text).unwrap();
    let program = format!(
        "import {{ Settings }} from '{PROJECT}/scripts/up/settings.mjs';
        import {{ mustBeKnown }} from '{PROJECT}/scripts/up/variables.mjs';
        const settings = new Settings();
        let unknown = '';
        try {{ mustBeKnown(settings); }} catch (error) {{ unknown = error.message; }}
        const vars = Object.fromEntries([...settings.variables()].map(([name, value]) => [name, value ?? null]));
        const [mark, leads] = [settings.withoutVariables(), settings.routes('c1.example.com')];
        const elsewhere = settings.leadsElsewhere('f00');
        const [domains, hides] = [settings.customDomains, settings.hidesWorkersDev];
        console.log(JSON.stringify({{ vars, mark, unknown, leads, elsewhere, domains, hides, crons: settings.crons ?? null, keeps: settings.keeps }}));
        if (settings.variables().get('PLAN') !== undefined) {{ settings.set('PLAN', 'paid'); settings.write(); }}"
    );
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", &program]).current_dir(scratch.path(""));
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_variable_is_read_as_toml_has_it_and_what_is_not_understood_is_uploaded() {
    let scratch = Scratch::new("settings");
    let head = "name = \"x\"\nkeep_vars = true\n[triggers]\n  crons = [\"0 * * * *\"]\n";
    for line in [
        "[vars]\nPLAN = \"free\" # a note",
        "[vars]\n  PLAN='free'",
        " [ vars ] # a note\n\t\"PLAN\" = \"free\"",
        "['vars']\r\n'PLAN' = \"\"\"free\"\"\"\r",
    ] {
        let read = settings(&scratch, &format!("{head}{line}\n[limits]\n")).await;
        assert_eq!(read["vars"], serde_json::json!({ "PLAN": "free" }), "{line}");
        assert!(!read["mark"].as_str().unwrap().contains("PLAN"), "{read}");
        assert_eq!((&read["crons"], &read["keeps"]), (&serde_json::json!(["0 * * * *"]), &true.into()), "{read}");
        // It is set where it stands.
        let written = std::fs::read_to_string(scratch.path("wrangler.toml")).unwrap();
        assert!(written.contains("\"paid\"") && written.starts_with(head), "{written}");
    }
    let dotted = settings(&scratch, "vars.PLAN = \"free\"\n\"vars\" . AUDIT = \"x\"\n").await;
    assert_eq!(dotted["vars"], serde_json::json!({ "PLAN": "free", "AUDIT": "x" }));
    assert!(dotted["unknown"].as_str().unwrap().contains("no variable AUDIT,"), "{dotted}");
    // What is no text may be any value, so that it is in the mark, and the Worker is uploaded.
    for text in [
        "vars = { PLAN = \"free\", \"AUDIT\" = \"x\" }",
        "[vars]\nPLAN = 1\nAUDIT = [\n  \"x\"\n]",
        "[vars.AUDIT]\nPLAN = \"free\"",
        "[vars]\nPLAN\nAUDIT =",
    ] {
        let read = settings(&scratch, &format!("{text}\n")).await;
        assert!(read["unknown"].as_str().unwrap().contains("no variable AUDIT,"), "{read}");
        assert!(read["vars"].as_object().unwrap().values().all(serde_json::Value::is_null), "{read}");
        assert!(
            text.lines().filter(|line| line.contains("PLAN")).all(|line| read["mark"].as_str().unwrap().contains(line)),
            "{read}"
        );
    }
    // A secret is told by its name however its line is written; one that is empty would be deployed in its place.
    for (text, secret) in [
        ("[vars]\nCONNECTOR_TOKEN = \"s\"", Some("CONNECTOR_TOKEN")),
        ("vars.CONNECTOR_TOKEN = 's'", Some("CONNECTOR_TOKEN")),
        ("vars = { \"CONNECTOR_TOKEN\" = \"s\" }", Some("CONNECTOR_TOKEN")),
        ("[vars]\nCONNECTOR_TOKEN = \"\"", Some("CONNECTOR_TOKEN")),
        ("[vars]\nSIGNAL_URL = \"https://acme.conductor.one/api/v1/webhooks/incoming/a/t/s\"", Some("SIGNAL_URL")),
        ("[vars]\nSIGNAL_URL = \"https://acme.conductor.one/api/v1/webhooks/incoming/a\"", None),
        ("[vars]\nSIGNAL_URL = \"https://acme.conductor.one/t/s\"", None),
    ] {
        let read = settings(&scratch, text).await;
        let told = read["unknown"].as_str().unwrap();
        let expected =
            secret.map(|name| format!("{name}, which wrangler.toml has under [vars], is a secret: take the line out"));
        let is_told = expected.as_ref().is_some_and(|expected| told.contains(expected));
        assert_eq!((is_told, told.is_empty()), (secret.is_some(), secret.is_none()), "{text}: {told}");
    }
    // Which route leads to the Worker.
    for (text, leads) in [
        ("routes = [{ pattern = \"c1.example.com\", custom_domain = true }]", true),
        ("routes = [\n  \"c1.example.com/*\",\n]", true),
        ("# routes = [{ pattern = \"c1.example.com\" }]\n[vars]\nFINDINGS_DOMAINS = \"c1.example.com\"", false),
    ] {
        assert_eq!(settings(&scratch, text).await["leads"], leads, "{text}");
    }
    // Which custom domains it has, and whether wrangler would switch the workers.dev address off.
    for (text, domains, hides) in [
        ("routes = [{ pattern = \"c1.example.com\", custom_domain = true }]", &["c1.example.com"][..], true),
        ("'route'={\"custom_domain\"=true,\"pattern\"='C1.example.com'}", &["c1.example.com"], true),
        (
            "workers_dev = true\nroutes = [\n  { pattern = \"c1.example.com/*\", zone_name = \"example.com\" },\n  \
             { pattern = \"c2.example.com\", custom_domain = true }, \
             # { pattern = \"c3.example.com\", custom_domain = true }\n\n  \
             { pattern = \"c4.example.com\", custom_domain = true },\n]",
            &["c2.example.com", "c4.example.com"],
            false,
        ),
        (
            "[[routes]]\npattern = \"c1.example.com\"\ncustom_domain = true\n[[routes]]\npattern = \"c2.example.com\"\n\
             [vars]\nPLAN = \"free\"",
            &["c1.example.com"],
            true,
        ),
        (
            "# route = { pattern = \"c1.example.com\", custom_domain = true }\n[[env.eu.routes]]\n\
             pattern = \"c1.example.com\"\ncustom_domain = true",
            &[],
            false,
        ),
    ] {
        let read = settings(&scratch, text).await;
        assert_eq!((&read["domains"], &read["hides"]), (&serde_json::json!(domains), &hides.into()), "{text}");
    }
    // Whether wrangler would go into another account than f00.
    for (text, elsewhere) in [
        ("account_id = \"f00\"", false),
        ("account_id = \"\"", false),
        ("# account_id = \"f01\"\n[env.eu]\naccount_id = \"f01\"", false),
        ("'account_id'='f01' # a note", true),
        ("account_id = \"\"\"f\\u00300\"\"\"", true),
    ] {
        assert_eq!(settings(&scratch, text).await["elsewhere"], elsewhere, "{text}");
    }
}

/// Whatever `make` passes on is listed where the commands are.
#[test]
fn make_lists_the_options_of_each_command() {
    let makefile = std::fs::read_to_string(Path::new(PROJECT).join("Makefile")).unwrap();
    let command = |name: &str| {
        let (_, rest) = makefile.split_once(&format!("\n{name}: ")).unwrap();
        rest.split("\n\n").next().unwrap()
    };
    let options = |name: &str| {
        let (_, rest) = makefile.split_once(&format!("\n{name} := ")).unwrap();
        rest.split("\n\n").next().unwrap()
    };
    for name in ["up", "demo", "down"] {
        let passed = options(&format!("{}_OPTIONS", name.to_uppercase()));
        let listed = command(name).lines().next().unwrap();
        let variables = passed.split("$(").filter_map(|rest| rest.split_once(')')).map(|(name, _)| name);
        // `$(call said,URL)` is the variable as well.
        let variables = variables.map(|name| name.rsplit(',').next().unwrap());
        let given = variables.filter(|name| name.chars().all(|each| each.is_ascii_uppercase() || each == '_'));
        let mut count = 0;
        for variable in given {
            count += 1;
            assert!(listed.contains(&format!("{variable}=")), "make {name} takes {variable}: {listed}");
        }
        assert!(count > 1, "{passed}");
    }
}

/// A shell may have exported URL for `make connect`, and others for something else.
#[tokio::test]
async fn make_up_and_make_down_go_by_the_command_line_and_not_by_what_a_shell_exports() {
    let options = [
        ("up", "ACCOUNT=f00", "--account f00"),
        ("up", "TENANT=acme.conductor.one", "--tenant acme.conductor.one"),
        ("up", "PROVISIONING=on", "--provisioning on"),
        ("up", "PLAN=paid", "--plan paid"),
        ("up", "URL=https://c1.example.com", "--url https://c1.example.com"),
        ("up", "TAKE=file", "--take file"),
        ("up", "NEW_TOKENS=1", "--new-tokens"),
        ("down", "ACCOUNT=f00", "--account f00"),
        ("down", "YES=1", "--yes"),
        ("down", "ABANDON=1", "--abandon"),
    ];
    let run = async |target: &str, exported: &str, said: &str| {
        let mut command = Command::new("make");
        command.args(["-n", target, said]).current_dir(PROJECT);
        // What runs the tests may be make itself, with options of its own.
        for name in ["MAKEFLAGS", "MFLAGS"] {
            command.env_remove(name);
        }
        for (_, option, _) in options {
            command.env_remove(option.split_once('=').unwrap().0);
        }
        let (name, value) = exported.split_once('=').unwrap();
        let output = command.env(name, value).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().find(|line| line.contains(&format!("scripts/{target}.mjs"))).unwrap().to_owned()
    };
    for (target, option, flag) in options {
        let exported = run(target, option, "OTHER=1").await;
        assert!(!exported.contains("--"), "{option} in the environment: {exported}");
        let said = run(target, "OTHER=1", option).await;
        assert!(said.trim_end().ends_with(flag), "{option} on the command line: {said}");
    }
    for (target, option) in [("up", "NEW_TOKENS=0"), ("down", "YES=no"), ("up", "URL=")] {
        let said = run(target, "OTHER=1", option).await;
        assert!(!said.contains("--"), "{option}: {said}");
    }
}

/// What goes to `make dev` has a token in it and is not encrypted; and Node ends at once with a proxy that has no scheme.
#[tokio::test]
async fn nothing_that_is_for_this_machine_goes_by_a_proxy() {
    for (proxy, known, goes_by_it) in [
        ("http://proxy.corp:3128", "", "NODE_USE_ENV_PROXY=1"),
        ("proxy.corp:3128", "", "NODE_USE_ENV_PROXY="),
        ("http://proxy.corp:3128", "intern.corp", "NODE_USE_ENV_PROXY=1"),
    ] {
        let mut make = Command::new("make");
        make.args(["-s", "-f", "-", "connect"]).current_dir(PROJECT);
        for name in ["MAKEFLAGS", "MFLAGS", "NODE_USE_ENV_PROXY", "https_proxy", "no_proxy"] {
            make.env_remove(name);
        }
        make.env("HTTPS_PROXY", proxy).env("NO_PROXY", known);
        make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut make = make.spawn().unwrap();
        make.stdin.take().unwrap().write_all(b"include Makefile\nconnect: ; @env\n").await.unwrap();
        let told = make.wait_with_output().await.unwrap();
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        for line in [goes_by_it, &format!("no_proxy=localhost,127.0.0.1,[::1],{known}")] {
            assert!(told.lines().any(|it| it == line), "{proxy}, {line}: {told}");
        }
    }
}

#[tokio::test]
async fn make_deploy_takes_what_make_up_takes_and_names_what_is_missing() {
    let scratch = Scratch::new("deploy");
    for folder in ["scripts", "node_modules/.bin"] {
        std::fs::create_dir_all(scratch.path(folder)).unwrap();
    }
    std::fs::copy(Path::new(PROJECT).join("scripts/deploy.sh"), scratch.path("scripts/deploy.sh")).unwrap();
    std::os::unix::fs::symlink(Path::new(PROJECT).join("scripts/up"), scratch.path("scripts/up")).unwrap();
    std::fs::write(scratch.path("scripts/setup.sh"), "").unwrap();
    // Nothing is deployed here: this tells what would be, and into which account.
    let wrangler = scratch.path("node_modules/.bin/wrangler");
    std::fs::write(&wrangler, "#!/bin/sh\necho \"$* in '$CLOUDFLARE_ACCOUNT_ID'\"\n").unwrap();
    std::fs::set_permissions(&wrangler, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let deploy = || {
        let mut command = Command::new("bash");
        command.arg(scratch.path("scripts/deploy.sh")).env_remove("CLOUDFLARE_ACCOUNT_ID");
        command
    };
    for (text, missing) in [
        ("[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n", None),
        ("[vars]\nCLOUDFLARE_ACCOUNT_ID=\"f00\"\nC1_TENANT='acme.conductor.one'\n", None),
        ("[vars]  # a note\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\n\"C1_TENANT\" = \"acme.conductor.one\"\n", None),
        ("[vars]\r\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\r\nC1_TENANT = \"acme.conductor.one\"\r\n", None),
        (
            "[vars]\r\nCLOUDFLARE_ACCOUNT_ID=\"\"\r\n# C1_TENANT = \"x\"\r\n",
            Some("first: CLOUDFLARE_ACCOUNT_ID C1_TENANT"),
        ),
        ("[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"\" # a note\n", Some("first: C1_TENANT")),
        (
            "[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             CONNECTOR_TOKEN = \"s3cret\"\n",
            Some("deploy: CONNECTOR_TOKEN, which wrangler.toml has under [vars], is a secret: take the line out"),
        ),
        (
            "[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             PROTECTED_MEMBER = \"jane@example.com\"\n",
            Some("deploy: the connector reads no variable PROTECTED_MEMBER, which"),
        ),
        (
            "[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             CONNECTOR_TOKEN = \"\"\n",
            Some("deploy: CONNECTOR_TOKEN, which wrangler.toml has under [vars], is a secret: take the line out"),
        ),
        (
            "[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             SIGNAL_URL = \"https://acme.conductor.one/api/v1/webhooks/incoming/abc/t/s3cret\"\n",
            Some("deploy: SIGNAL_URL, which wrangler.toml has under [vars], is a secret: take the line out"),
        ),
        (
            "routes = [\"c1.acme.com/*\"]\n[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\n\
             C1_TENANT = \"acme.conductor.one\"\nPUBLIC_URL = \"https://c1-cloudflare.acme.workers.dev\"\n",
            Some("deploy: wrangler.toml has a route and no workers_dev, so that an upload would switch off"),
        ),
        (
            "routes = [\"c1.acme.com/*\"]\n[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\n\
             C1_TENANT = \"acme.conductor.one\"\nPUBLIC_URL = \"https://c1.acme.com\"\n",
            None,
        ),
        (
            "name = \"c1-cloudflare\"\nworkers_dev = false\n[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\n\
             C1_TENANT = \"acme.conductor.one\"\nPUBLIC_URL = \"https://c1-cloudflare.acme.workers.dev\"\n",
            Some("deploy: wrangler.toml has workers_dev = false, so that an upload would switch off https://c1-cloudf"),
        ),
        // Another Worker stands in front of it.
        (
            "name = \"c1-cloudflare\"\nworkers_dev = false\n[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\n\
             C1_TENANT = \"acme.conductor.one\"\nPUBLIC_URL = \"https://gate.acme.workers.dev\"\n",
            None,
        ),
        (
            "workers_dev = false\n[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             PUBLIC_URL = \"https://c1.acme.com\"\n",
            None,
        ),
        (
            "[vars]\nCLOUDFLARE_ACCOUNT_ID = \"f00\"\nC1_TENANT = \"acme.conductor.one\"\n\
             SIGNAL_URL = \"https://acme.conductor.one\"\n",
            None,
        ),
    ] {
        std::fs::write(scratch.path("wrangler.toml"), text).unwrap();
        let output = deploy().output().await.unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(output.status.success(), missing.is_none(), "{text:?}: {said}");
        assert!(said.contains(missing.unwrap_or("deploy: what is still missing or wrong is told by")), "{said}");
        assert_eq!(said.contains("deploy --env  in 'f00'"), missing.is_none(), "{said}");
        assert!(!said.contains("s3cret") && !said.contains("    at "), "{said}");
    }
    // Who says another account means it, and so does who names an environment.
    let other = deploy().env("CLOUDFLARE_ACCOUNT_ID", "f01").output().await.unwrap();
    let environment = deploy().args(["--env", "eu"]).output().await.unwrap();
    for (output, expected) in [(other, "deploy --env  in 'f01'"), (environment, "deploy --env eu in ''")] {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(expected), "{said}");
    }
}

/// wrangler deploys without the Workers runtime, of which npm has no build for an older system; what runs the Worker here does not go without it.
#[tokio::test]
async fn where_the_workers_runtime_does_not_start_what_deploys_is_set_up_all_the_same() {
    let scratch = Scratch::new("setup-runtime");
    for folder in ["scripts", "bin", "tests/scim", ".tools/python/bin", "rust/lib/rustlib/wasm32-unknown-unknown/lib"] {
        std::fs::create_dir_all(scratch.path(folder)).unwrap();
    }
    for file in ["scripts/setup.sh", "scripts/tools.sh", "package-lock.json", "tests/scim/requirements.txt"] {
        std::fs::copy(Path::new(PROJECT).join(file), scratch.path(file)).unwrap();
    }
    // What the tests need is there, and so is the target that the Worker is compiled for.
    let installed = scratch.path(".tools/python/.installed-requirements.txt");
    std::fs::copy(scratch.path("tests/scim/requirements.txt"), installed).unwrap();
    std::fs::write(scratch.path("rust/lib/rustlib/wasm32-unknown-unknown/lib/libcore-0.rlib"), "").unwrap();
    let rustc = format!("[ \"$1\" = --print ] && echo '{}' || echo 'rustc 1.95.0'", scratch.path("rust").display());
    let npm = "mkdir -p node_modules/.bin\nprintf '#!/bin/sh\\nexit %s\\n' \"$STARTS\" >node_modules/.bin/workerd\n\
               chmod +x node_modules/.bin/workerd";
    for (program, text) in [
        ("bin/rustc", rustc.as_str()),
        ("bin/node", "echo v22.0.0"),
        ("bin/npm", npm),
        ("bin/cargo", ""),
        ("bin/cc", ""),
        (".tools/python/bin/python", ""),
    ] {
        std::fs::write(scratch.path(program), format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(scratch.path(program), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", scratch.path("bin").display(), std::env::var("PATH").unwrap());
    let setup = async |what: &[&str], starts: &str| {
        let mut setup = Command::new("bash");
        setup.arg("scripts/setup.sh").args(what).current_dir(scratch.path("")).env("PATH", &path);
        let output = setup.env("CHROME", scratch.path("bin/cc")).env("STARTS", starts).output().await.unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), text)
    };
    let (stamp, told) = (scratch.path("node_modules/.installed-package-lock.json"), "(npm's workerd) does not start");
    let (status, text) = setup(&[], "1").await;
    assert!(status == Some(0) && text.contains(told), "{text}");
    assert!(text.contains("setup: everything is in place") && stamp.exists(), "{text}");
    for what in ["tests", "runtime"] {
        let (status, text) = setup(&[what], "1").await;
        assert!(status == Some(1) && text.contains(told) && text.contains("glibc 2.35"), "{what}: {text}");
    }
    // The control: it starts.
    std::fs::remove_file(&stamp).unwrap();
    for what in [&["tests"][..], &["runtime"], &[]] {
        let (status, text) = setup(what, "0").await;
        assert!(status == Some(0) && !text.contains(told), "{what:?}: {text}");
    }
    // Whatever runs the Worker on this machine asks for it, and nothing else does.
    let makefile = std::fs::read_to_string(Path::new(PROJECT).join("Makefile")).unwrap();
    let asks = |target: &&str| {
        let (_, rest) = makefile.split_once(&format!("\n{target}: ")).unwrap();
        let recipe = rest.split("\n\n").next().unwrap();
        ["setup.sh runtime\n", "setup.sh tests\n"].iter().any(|it| recipe.contains(it))
    };
    let targets = ["setup", "build", "test", "soak", "demo", "dev", "up", "down", "deploy", "bench", "screenshots"];
    let asking: Vec<&str> = targets.into_iter().filter(asks).collect();
    assert_eq!(asking, ["test", "soak", "demo", "dev", "bench", "screenshots"]);
}

/// The project's Makefile in a folder of its own, where nothing is set up.
fn make(scratch: &Scratch, parameters: &[&str]) -> Command {
    std::fs::create_dir_all(scratch.path("scripts")).unwrap();
    std::fs::write(scratch.path("scripts/setup.sh"), "").unwrap();
    for file in ["Makefile", ".dev.vars.example"] {
        std::fs::copy(Path::new(PROJECT).join(file), scratch.path(file)).unwrap();
    }
    let mut make = Command::new("make");
    make.args(parameters).current_dir(scratch.path(""));
    // What runs the tests may be make itself, with options of its own.
    for name in ["MAKEFLAGS", "MFLAGS"] {
        make.env_remove(name);
    }
    make
}

/// What `make dev` reads has secrets in it: nobody else on the machine is to read them.
#[tokio::test]
async fn the_secrets_of_make_dev_are_their_owners_alone() {
    let scratch = Scratch::new("make-dev");
    let file = scratch.path(".dev.vars");
    let mode = || std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777;
    let missing = make(&scratch, &["dev", "WRANGLER=true"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    let (_, command) = said.split_once("run: ").expect(&said);
    let (command, _) = command.split_once(", and").expect(&said);
    assert!(!missing.status.success() && !file.exists(), "{said}");
    let example = std::fs::read_to_string(scratch.path(".dev.vars.example")).unwrap();
    assert!(example.lines().next().unwrap().contains(command), "{command}: {example}");
    let mut copy = Command::new("sh");
    copy.args(["-c", &format!("umask 022; {command}")]).current_dir(scratch.path(""));
    assert!(copy.output().await.unwrap().status.success(), "{command}");
    assert_eq!((mode(), std::fs::read_to_string(&file).unwrap()), (0o600, example));
    // One that was copied otherwise is closed before it is read.
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let dev = make(&scratch, &["dev", "WRANGLER=true"]).output().await.unwrap();
    assert!(dev.status.success(), "{}", String::from_utf8_lossy(&dev.stderr));
    assert_eq!(mode(), 0o600);
}

/// Where there is no worktree of the branch, as where git is too old for what makes it, what comes next would commit all that the clone has.
#[tokio::test]
async fn a_release_goes_into_a_branch_of_its_own_or_nowhere() {
    let page = std::fs::read_to_string(Path::new(PROJECT).join("docs/deploying.md")).unwrap();
    let (_, section) = page.split_once("\n## By a click\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let commands = section.split("\n```\n").skip(1).step_by(2).collect::<Vec<_>>().join("\n");
    // In place of git before 2.42, which knows no `--orphan` there, and of what makes the tree.
    let git = "#!/bin/sh\necho \"$*\" >>calls\ncase \"$*\" in\n  *' --orphan -b '*) exit 129 ;;\n  \
        'worktree add '*) [ ! -e dist/branch ] && mkdir -p dist/branch && echo elsewhere >dist/branch/.git ;;\n  \
        *' symbolic-ref '*) [ -e dist/branch/.git ] && echo refs/heads/deploy || echo refs/heads/main ;;\n  \
        *' add -A'*) [ -e dist/branch/.git ] || echo 'all of the clone' >>calls ;;\nesac\n";
    let make = "#!/bin/sh\nmkdir -p dist/release && echo new >dist/release/index.js\n";
    for is_made in [true, false] {
        let scratch = Scratch::new("release-branch");
        std::fs::create_dir(scratch.path("bin")).unwrap();
        for (name, text) in [("git", git), ("make", make)] {
            let program = scratch.path("bin").join(name);
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        if !is_made {
            std::fs::create_dir_all(scratch.path("dist/branch")).unwrap();
        }
        let path = format!("{}:{}", scratch.path("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("bash");
        shell.args(["-c", &commands]).env("PATH", path).current_dir(scratch.path(""));
        let output = shell.output().await.unwrap();
        let calls = std::fs::read_to_string(scratch.path("calls")).unwrap();
        assert!(!calls.contains("all of the clone"), "{calls}");
        assert_eq!(output.status.success(), is_made, "{calls}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(calls.ends_with("push origin deploy\n"), is_made, "{calls}");
        assert_eq!(scratch.path("dist/branch/index.js").exists(), is_made, "{calls}");
    }
}

/// docs/deploying.md has the branch behind the button worked on in dist/branch.
#[tokio::test]
async fn make_clean_leaves_a_tree_that_somebody_works_in() {
    let scratch = Scratch::new("make-clean");
    for folder in ["bin", "build", "dist/release/build", "dist/branch", "dist/used/node_modules"] {
        std::fs::create_dir_all(scratch.path(folder)).unwrap();
    }
    std::fs::write(scratch.path("dist/branch/.git"), "gitdir: elsewhere\n").unwrap();
    // In place of cargo.
    std::os::unix::fs::symlink("/bin/echo", scratch.path("bin/cargo")).unwrap();
    let path = format!("{}:{}", scratch.path("bin").display(), std::env::var("PATH").unwrap());
    let clean = || make(&scratch, &["clean"]).env("PATH", &path).output();
    let cleaned = clean().await.unwrap();
    assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
    let there = |path: &str| scratch.path(path).exists();
    let after = ["build", "dist/release", "dist/branch/.git", "dist/used/node_modules"].map(there);
    assert_eq!(after, [false, false, true, true], "{}", String::from_utf8_lossy(&cleaned.stdout));
    for folder in ["dist/branch", "dist/used"] {
        std::fs::remove_dir_all(scratch.path(folder)).unwrap();
        assert!(clean().await.unwrap().status.success());
    }
    assert!(!there("dist"));
}
