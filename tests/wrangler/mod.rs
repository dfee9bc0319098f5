//! How the tests run npm's `wrangler` on this project: in a process group of its own that never outlives its test, with
//! no account of the developer's in reach and nothing of its state in the developer's folders.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

/// The project's folder: wrangler.toml, `node_modules` and `build` are there.
pub(crate) const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// What wrangler would take an account or its variables from; the tests must not see the developer's.
pub(crate) const FOREIGN_VARIABLES: [&str; 6] = [
    "CLOUDFLARE_API_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_EMAIL",
    "CLOUDFLARE_ACCOUNT_ID",
    "CLOUDFLARE_ENV",
    "CLOUDFLARE_INCLUDE_PROCESS_ENV",
];

/// A folder under cargo's own temporary one, removed when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder; `name` is the test's.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("cargo's temporary folder can be written");
        Self(path)
    }

    /// A path within the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running wrangler; it and all that it started are killed when this is dropped, so on a panic too.
pub(crate) struct Wrangler {
    /// The process that leads the group, with its output to be read.
    pub(crate) child: Child,
    group: u32,
}

impl Wrangler {
    /// Starts `wrangler` with these arguments in the project's folder.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(scratch: &Scratch, arguments: impl IntoIterator<Item = S>) -> Self {
        let program = Path::new(PROJECT).join("node_modules/.bin/wrangler");
        assert!(program.exists(), "{} is missing: run: make setup", program.display());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(PROJECT)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_HIDE_BANNER", "true")
            .env("WRANGLER_LOG_PATH", scratch.path("logs"))
            .env("WRANGLER_REGISTRY_PATH", scratch.path("registry"))
            .env("MINIFLARE_REGISTRY_PATH", scratch.path("registry"))
            .env("XDG_CONFIG_HOME", scratch.path("config"))
            .env("CLOUDFLARE_CF_FETCH_ENABLED", "false")
            .env("NO_COLOR", "1");
        for variable in FOREIGN_VARIABLES {
            command.env_remove(variable);
        }
        let child = command.spawn().expect("wrangler starts");
        let group = child.id().expect("a process that was not waited for has an id");
        Self { child, group }
    }
}

impl Drop for Wrangler {
    fn drop(&mut self) {
        // The shell's own `kill` reaches a whole group, and needs no foreign function. That there is no such group any
        // more is well, too.
        let _ = std::process::Command::new("sh")
            .args(["-c", r#"kill -s KILL -- "-$0""#, &self.group.to_string()])
            .stderr(Stdio::null())
            .status();
    }
}
