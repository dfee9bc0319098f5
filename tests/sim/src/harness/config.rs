//! The configuration that workerd is started with, in Cap'n Proto's text format (`reference/workers-rs.md` 2.2).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// No later than the oldest workerd the tests run with; the same as in wrangler.toml.
pub const COMPATIBILITY_DATE: &str = "2026-04-20";

/// The file that the configuration is written to.
pub(super) const FILE: &str = "worker.capnp";

/// The control Worker's file.
pub(super) const CONTROL_FILE: &str = "control.js";

/// Durable Objects' ids are made of this and of their names.
pub(super) const UNIQUE_KEY: &str = "harness";

/// The directory of the Durable Objects' storage, beside the configuration.
pub(super) const STORAGE: &str = "storage";

/// A Worker that calls the other one's `scheduled` handler, which no socket leads to.
pub(super) const CONTROL: &str = r#"export default {
  async fetch(request, env) {
    const cron = new URL(request.url).searchParams.get("cron");
    try {
      const { outcome } = await env.APP.scheduled({ cron, scheduledTime: new Date() });
      return new Response(outcome);
    } catch (error) {
      return new Response("exception: " + error);
    }
  },
};
"#;

/// What differs from test to test.
pub(super) struct Config<'a> {
    /// File names beside the configuration; the first is the entry point.
    pub(super) modules: &'a [String],
    /// Variables and secrets.
    pub(super) vars: &'a BTreeMap<String, String>,
    /// The Durable Object's class, bound as its name in capitals.
    pub(super) class: &'a str,
    /// Where KV is.
    pub(super) kv: SocketAddr,
    /// Where outgoing requests go.
    pub(super) gateway: SocketAddr,
}

/// Writes the configuration's text.
pub(super) fn write(config: &Config<'_>) -> String {
    let modules: Vec<String> = config.modules.iter().map(|name| module(name)).collect();
    let mut bindings = vec![
        "(name = \"STATE\", kvNamespace = \"kv\")".to_owned(),
        format!("(name = {}, durableObjectNamespace = {})", quoted(&config.class.to_uppercase()), quoted(config.class)),
    ];
    // What begins with `json:` is a binding of that kind, as wrangler makes it of a variable that is no text.
    bindings.extend(config.vars.iter().map(|(name, value)| match value.strip_prefix("json:") {
        Some(value) => format!("(name = {}, json = {})", quoted(name), quoted(value)),
        None => format!("(name = {}, text = {})", quoted(name), quoted(value)),
    }));
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [{modules}],
      compatibilityDate = "{COMPATIBILITY_DATE}",
      compatibilityFlags = ["nodejs_compat"],
      bindings = [{bindings}],
      durableObjectNamespaces = [(className = {class}, uniqueKey = "{UNIQUE_KEY}", enableSql = true)],
      durableObjectStorage = (localDisk = "storage"),
      globalOutbound = "gateway")),
    (name = "control", worker = (
      modules = [(name = "control.js", esModule = embed "{CONTROL_FILE}")],
      compatibilityDate = "{COMPATIBILITY_DATE}",
      compatibilityFlags = ["service_binding_extra_handlers"],
      bindings = [(name = "APP", service = "app")])),
    (name = "kv", external = (address = "{kv}", http = ())),
    (name = "gateway", external = (address = "{gateway}", http = ())),
    (name = "storage", disk = (path = "{STORAGE}", writable = true))],
  sockets = [
    (name = "app", address = "127.0.0.1:0", http = (), service = "app"),
    (name = "control", address = "127.0.0.1:0", http = (), service = "control")]);
"#,
        modules = modules.join(", "),
        bindings = bindings.join(", "),
        class = quoted(config.class),
        kv = config.kv,
        gateway = config.gateway,
    )
}

fn module(name: &str) -> String {
    let wasm = Path::new(name).extension().is_some_and(|extension| extension == "wasm");
    let kind = if wasm { "wasm" } else { "esModule" };
    format!("(name = {name}, {kind} = embed {name})", name = quoted(name))
}

/// A string literal of Cap'n Proto, which takes escapes as in C.
fn quoted(text: &str) -> String {
    let mut literal = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => literal.extend(['\\', letter]),
            control if control.is_ascii_control() => {
                let _ = write!(literal, "\\x{:02x}", u32::from(control));
            }
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}
