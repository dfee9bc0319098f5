//! Makes of the compiled Worker the wasm that the runtime loads and the JavaScript module that imports it.
//!
//!     glue target/wasm32-unknown-unknown/release/c1_cloudflare.wasm FOLDER SDK_VERSION
//!
//! leaves `index.js` and `index_bg.wasm` in the folder, as Cloudflare's worker-build has them made by wasm-bindgen. Those two tools bring
//! HTTP clients, archives and a web server, which take minutes to compile and which no build here uses.

use anyhow::{Context as _, Result, ensure};
use walrus::{ExportItem, Module};
use wasm_bindgen_cli_support::Bindgen;

/// Classes that the crates `worker` and `wasm-streams` export to JavaScript, and that nobody makes one of here.
const UNUSED: [&str; 5] =
    ["containerstartupoptions", "intounderlyingbytesource", "intounderlyingsink", "minifyconfig", "r2range"];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &'static str| arguments.next().context(what);
    let (wasm, folder) = (next("the compiled wasm is not named")?, next("the folder to write to is not named")?);
    let sdk_version = next("the version of the crate `worker` is not given")?;
    let mut output = Bindgen::new()
        .module(true)?
        .input_path(wasm)
        .out_name("index")
        .typescript(false)
        // `src/worker/shim.js` begins anew with these after a panic.
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate_output()?;
    // Cloudflare counts by it what Workers are made with.
    output.wasm_mut().producers.add_sdk("workers-rs", &sdk_version);
    leave_out_unused(output.wasm_mut())?;
    output.emit(folder)
}

/// Takes out what only JavaScript could call, of classes that it never has one of. wasm-bindgen cannot know that, and what they bring is a
/// hundredth of the file.
fn leave_out_unused(module: &mut Module) -> Result<()> {
    // As in `__wbg_new_with_into_underlying_source_…`.
    let made = |class: &str| module.imports.iter().find(|import| import.name.replace('_', "").contains(class));
    for class in UNUSED {
        if let Some(import) = made(class) {
            anyhow::bail!(
                "{} is imported: the class {class} is used, and must not stand in UNUSED of glue/src/main.rs",
                import.name
            );
        }
    }
    let of_unused = |name: &str| {
        let name = name.strip_prefix("__wbg_").unwrap_or(name);
        let name = name.strip_prefix("get_").or_else(|| name.strip_prefix("set_")).unwrap_or(name);
        UNUSED.iter().any(|class| name.strip_prefix(class).is_some_and(|rest| rest.starts_with('_')))
    };
    let exports = module.exports.iter().filter(|export| matches!(export.item, ExportItem::Function(_)));
    let unused: Vec<_> = exports.filter(|export| of_unused(&export.name)).map(walrus::Export::id).collect();
    ensure!(!unused.is_empty(), "none of the classes in UNUSED of glue/src/main.rs is exported");
    for export in unused {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(module);
    Ok(())
}
