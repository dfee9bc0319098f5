//! The built Worker in workerd, the runtime that Cloudflare itself runs Workers in (`reference/workers-rs.md` 2.2).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{KeyInit as _, Mac as _};
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::config::{self, Config};
use super::door::Door;
use super::install::{copy_modules, find_workerd, workspace};
use crate::client::{self, Unanswered};

/// workerd is up within a second; a busy machine gets more.
const START: Duration = Duration::from_mins(5);

/// How long a cron handler may take.
const CRON: Duration = Duration::from_mins(5);

/// Which Worker to run, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Variables and secrets by name; by default those for the simulated account of `Spec::default()`.
    pub vars: BTreeMap<String, String>,
    /// The directory with `index.js` and its `.wasm` modules: `WORKER_BUILD_DIR`, else `build/` of the workspace.
    pub build_dir: PathBuf,
    /// The workerd binary: `WORKERD_BIN`, else npm's in `node_modules` of the workspace; `None` is found at the start.
    pub workerd: Option<PathBuf>,
    /// The Durable Object's class, bound under its name in capitals.
    pub class: String,
}

impl Default for Options {
    fn default() -> Self {
        let build_dir = std::env::var_os("WORKER_BUILD_DIR").map_or_else(|| workspace().join("build"), PathBuf::from);
        let account = crate::cloudflare::Spec::default();
        Self {
            vars: [
                ("CLOUDFLARE_API_TOKEN", account.token.as_str()),
                ("CONNECTOR_TOKEN", CONNECTOR_TOKEN),
                ("CLOUDFLARE_ACCOUNT_ID", &account.account_id),
                ("C1_TENANT", crate::conductorone::HOST),
                ("PUBLIC_URL", crate::conductorone::PUBLIC_URL),
                ("PROVISIONING", "on"),
                ("ALLOWED_APPS", &crate::conductorone::App::default().id),
                ("PLAN", "paid"),
                // They ask Cloudflare by themselves; tests that count what is asked are about something else.
                ("AUDIT_FEED", "off"),
                ("LAST_LOGINS", "off"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            build_dir,
            workerd: std::env::var_os("WORKERD_BIN").map(PathBuf::from),
            class: "Coordinator".into(),
        }
    }
}

impl Options {
    /// With this value of a variable or secret.
    #[must_use]
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without a variable or secret.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.vars.remove(name);
        self
    }

    /// With another Worker.
    #[must_use]
    pub fn build_dir(self, build_dir: impl Into<PathBuf>) -> Self {
        Self { build_dir: build_dir.into(), ..self }
    }
}

/// The bearer token of the Worker's own API.
pub const CONNECTOR_TOKEN: &str = "connector-token-of-the-tests-0123456789abcdef";

/// Why the Worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no workerd.
    #[error("there is no workerd at {0}: run `make setup`, or set WORKERD_BIN")]
    NoWorkerd(String),
    /// The Worker was not built.
    #[error("there is no built Worker at {0}: run `make build`, or set WORKER_BUILD_DIR")]
    NotBuilt(PathBuf),
    /// A file, socket or process could not be had.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// workerd ended at once; mostly the configuration or the Worker's start-up code is at fault.
    #[error("workerd ended at its start and said:\n{0}")]
    Ended(String),
    /// workerd did not listen in time.
    #[error("workerd did not listen within a minute and said:\n{0}")]
    TimedOut(String),
}

/// The id that workerd gives the Durable Object with a name (its `src/workerd/server/server.c++`, `ActorIdFactoryImpl`): a MAC of the
/// name under the namespace's key, cut to half, and a MAC of that.
pub fn object_id(name: &str) -> String {
    let key = sha2::Sha256::digest(config::UNIQUE_KEY.as_bytes());
    let mac = |message: &[u8]| -> Vec<u8> {
        // A key may have any length.
        let Ok(mut mac) = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key) else { return Vec::new() };
        mac.update(message);
        mac.finalize().into_bytes().iter().take(16).copied().collect()
    };
    let named = mac(name.as_bytes());
    let proof = mac(&named);
    named.iter().chain(&proof).fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What the keys of an account in KV begin with, in this harness's Worker.
pub fn kv_prefix(account: &str) -> String {
    format!("{account}/{}/", object_id(account).chars().take(16).collect::<String>())
}

/// A Worker in a process of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    // Dropped before the directory that it runs in.
    process: tokio::sync::Mutex<Option<Process>>,
    door: Door,
    vars: Mutex<BTreeMap<String, String>>,
    control: Mutex<Option<SocketAddr>>,
    pid: Mutex<Option<u32>>,
    logs: Logs,
    modules: Vec<String>,
    workerd: PathBuf,
    class: String,
    kv: SocketAddr,
    gateway: SocketAddr,
    client: reqwest::Client,
    directory: TempDir,
}

#[derive(Debug)]
struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error is a process that has ended already.
        let _ = self.child.start_kill();
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

impl Worker {
    /// Starts the Worker with its KV and its outgoing requests at these addresses.
    pub async fn start(options: Options, kv: SocketAddr, gateway: SocketAddr) -> Result<Self, StartError> {
        let workerd = find_workerd(options.workerd)?;
        let directory = tempfile::Builder::new()
            .prefix("worker-")
            .tempdir()
            .map_err(|source| StartError::Io { doing: "make a directory", source })?;
        let modules = copy_modules(&options.build_dir, directory.path())?;
        let worker = Self {
            process: tokio::sync::Mutex::new(None),
            door: Door::open().await.map_err(|source| StartError::Io { doing: "listen", source })?,
            vars: Mutex::new(options.vars),
            control: Mutex::new(None),
            pid: Mutex::new(None),
            logs: Logs::default(),
            modules,
            workerd,
            class: options.class,
            kv,
            gateway,
            client: client::to_worker(),
            directory,
        };
        worker.restart().await?;
        Ok(worker)
    }

    /// The base URL, such as `http://127.0.0.1:4711`: the same after a restart.
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address)
    }

    /// Kills the process where it stands (SIGKILL); the Durable Objects' storage stays.
    pub async fn kill(&self) {
        self.stop(&mut *self.process.lock().await).await;
    }

    /// Starts the Worker on the storage that it left, after killing it where it still runs.
    pub async fn restart(&self) -> Result<(), StartError> {
        let mut process = self.process.lock().await;
        self.stop(&mut process).await;
        let config = config::write(&Config {
            modules: &self.modules,
            vars: &lock(&self.vars).clone(),
            class: &self.class,
            kv: self.kv,
            gateway: self.gateway,
        });
        std::fs::write(self.directory.path().join(config::FILE), config)
            .map_err(|source| StartError::Io { doing: "write the configuration", source })?;
        let (running, sockets) = self.spawn().await?;
        *lock(&self.pid) = running.child.id();
        *lock(&self.control) = Some(sockets.control);
        self.door.lead_to(Some(sockets.app));
        *process = Some(running);
        Ok(())
    }

    /// Sets a variable or secret for the next start.
    pub fn set_var(&self, name: &str, value: &str) {
        lock(&self.vars).insert(name.to_owned(), value.to_owned());
    }

    /// Removes a variable or secret for the next start.
    pub fn unset_var(&self, name: &str) {
        lock(&self.vars).remove(name);
    }

    /// Runs the cron trigger and gives its outcome: `ok`, or `exception` where the handler failed.
    pub async fn trigger_cron(&self) -> Result<String, Unanswered> {
        let Some(control) = *lock(&self.control) else {
            return Err(Unanswered::Disconnected("the Worker is not running".into()));
        };
        let request = self.client.get(format!("http://{control}/?cron=*/15%20*%20*%20*%20*"));
        Ok(client::send(request, CRON).await?.text())
    }

    /// What the Worker and workerd wrote so far, line by line, all runs together.
    pub fn logs(&self) -> Vec<String> {
        lock(&self.logs.0).clone()
    }

    /// Waits until a line of the logs has this text in it: what a Worker wrote may be read a moment after its answer. Says whether one had within this time.
    pub async fn until_logged(&self, text: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while !self.logs().iter().any(|line| line.contains(text)) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// The processor time that the running process has used. `None` where the system has no `/proc/<pid>/schedstat`.
    pub fn cpu_time(&self) -> Option<Duration> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", (*lock(&self.pid))?)).ok()?;
        let nanoseconds: u64 = threads.flatten().filter_map(|thread| on_processor(&thread.path())).sum();
        (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
    }

    /// The same of its main thread alone, which runs the Worker; the others compile it and collect its garbage.
    pub fn main_thread_time(&self) -> Option<Duration> {
        let pid = (*lock(&self.pid))?;
        on_processor(Path::new(&format!("/proc/{pid}/task/{pid}"))).map(Duration::from_nanos)
    }

    /// The most memory that the running process has held, in bytes. `None` where the system has no `/proc`.
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", (*lock(&self.pid))?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    }

    /// The linear memory of the Worker's WebAssembly, in bytes; it only grows. `None` where the system has no `/proc`. V8 maps it
    /// in front of gigabytes that may not be touched, so that accesses need no checks; of several such, it is the largest.
    pub fn wasm_memory(&self) -> Option<u64> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", (*lock(&self.pid))?)).ok()?;
        let mappings = maps.lines().filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let permissions = fields.next()?.to_owned();
            let named = fields.nth(3).is_some();
            Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, permissions, named))
        });
        let mappings: Vec<(u64, u64, String, bool)> = mappings.collect();
        let memories = mappings.windows(2).filter_map(|pair| match pair {
            [(start, end, permissions, false), (guard, guard_end, guarded, _)]
                if permissions.starts_with("rw")
                    && end == guard
                    && guarded.starts_with("---")
                    && guard_end - guard > 1 << 31 =>
            {
                Some(end - start)
            }
            _ => None,
        });
        memories.max()
    }

    /// The directory of the Durable Objects' databases: each is `<object id>.sqlite`.
    pub fn databases(&self) -> PathBuf {
        self.directory.path().join(config::STORAGE).join(config::UNIQUE_KEY)
    }

    async fn stop(&self, process: &mut Option<Process>) {
        self.door.lead_to(None);
        *lock(&self.control) = None;
        *lock(&self.pid) = None;
        if let Some(mut process) = process.take() {
            let _ = process.child.kill().await;
        }
    }

    async fn spawn(&self) -> Result<(Process, Sockets), StartError> {
        let io = |doing| move |source| StartError::Io { doing, source };
        let mut child = Command::new(&self.workerd)
            .args(["serve", "--experimental", "--control-fd=1", config::FILE])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(io("start workerd"))?;
        let said = self.logs.len();
        let errors = child.stderr.take().map(|pipe| self.logs.collect(BufReader::new(pipe)));
        let mut process = Process { child, readers: errors.into_iter().collect() };
        let Some(output) = process.child.stdout.take() else {
            return Err(StartError::Ended(String::new()));
        };
        let mut output = BufReader::new(output);
        let sockets = match tokio::time::timeout(START, self.listening(&mut output)).await {
            Ok(Some(sockets)) => sockets,
            Ok(None) => {
                // It has closed its output; what it says about that comes before its end.
                let _ = tokio::time::timeout(Duration::from_secs(5), process.child.wait()).await;
                for reader in process.readers.drain(..) {
                    let _ = tokio::time::timeout(Duration::from_secs(1), reader).await;
                }
                return Err(StartError::Ended(self.logs.since(said)));
            }
            Err(_elapsed) => return Err(StartError::TimedOut(self.logs.since(said))),
        };
        process.readers.push(self.logs.collect(output));
        Ok((process, sockets))
    }

    /// Reads the output until workerd has told where both sockets listen; `None` when it ends before.
    async fn listening<R: AsyncRead + Unpin>(&self, output: &mut BufReader<R>) -> Option<Sockets> {
        let (mut app, mut control) = (None, None);
        loop {
            if let (Some(app), Some(control)) = (app, control) {
                return Some(Sockets { app, control });
            }
            let line = read_line(output).await?;
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            let port = event.get("port").and_then(serde_json::Value::as_u64).and_then(|port| u16::try_from(port).ok());
            let address = port.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            match event.get("socket").and_then(serde_json::Value::as_str) {
                Some("app") => app = address,
                Some("control") => control = address,
                _ => self.logs.push(line),
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Sockets {
    app: SocketAddr,
    control: SocketAddr,
}

/// Lines that were written so far.
#[derive(Clone, Debug, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    fn push(&self, line: String) {
        lock(&self.0).push(line);
    }

    fn len(&self) -> usize {
        lock(&self.0).len()
    }

    fn since(&self, line: usize) -> String {
        lock(&self.0).get(line..).unwrap_or_default().join("\n")
    }

    fn collect<R: AsyncRead + Unpin + Send + 'static>(&self, mut from: BufReader<R>) -> JoinHandle<()> {
        let logs = self.clone();
        tokio::spawn(async move {
            while let Some(line) = read_line(&mut from).await {
                logs.push(line);
            }
        })
    }
}

async fn read_line<R: AsyncRead + Unpin>(from: &mut BufReader<R>) -> Option<String> {
    let mut line = Vec::new();
    let read = from.read_until(b'\n', &mut line).await.ok()?;
    (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The nanoseconds that a thread has run: the first number of its `schedstat` (Linux, scheduler/sched-stats).
fn on_processor(thread: &Path) -> Option<u64> {
    std::fs::read_to_string(thread.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}
