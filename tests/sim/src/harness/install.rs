//! Finds workerd and the built Worker, and puts the Worker where workerd is started.

use std::path::{Path, PathBuf};

use super::config;
use super::workerd::StartError;

/// The workspace's root, two levels above this crate.
pub(crate) fn workspace() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this).to_owned()
}

/// The workerd binary that was named, or npm's.
pub(super) fn find_workerd(named: Option<PathBuf>) -> Result<PathBuf, StartError> {
    if let Some(path) = named {
        return if path.is_file() { Ok(path) } else { Err(StartError::NoWorkerd(path.display().to_string())) };
    }
    let scope = workspace().join("node_modules/@cloudflare");
    // npm installs the one package that is for this machine, such as workerd-linux-64.
    std::fs::read_dir(&scope)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("workerd-"))
        .map(|entry| entry.path().join("bin/workerd"))
        .find(|path| path.is_file())
        .ok_or_else(|| StartError::NoWorkerd(scope.join("workerd-*/bin/workerd").display().to_string()))
}

/// Copies the Worker to where workerd is started, since it embeds files by relative paths; gives the modules' names, the
/// entry point first.
pub(super) fn copy_modules(from: &Path, to: &Path) -> Result<Vec<String>, StartError> {
    const ENTRY: &str = "index.js";
    let io = |doing| move |source| StartError::Io { doing, source };
    if !from.join(ENTRY).is_file() {
        return Err(StartError::NotBuilt(from.to_owned()));
    }
    let mut modules = vec![ENTRY.to_owned()];
    for entry in std::fs::read_dir(from).map_err(io("read the build directory"))?.flatten() {
        let path = entry.path();
        if let (Some(name), true) =
            (path.file_name().and_then(|name| name.to_str()), path.extension() == Some("wasm".as_ref()))
        {
            modules.push(name.to_owned());
        }
    }
    for name in &modules {
        std::fs::copy(from.join(name), to.join(name)).map_err(io("copy the Worker"))?;
    }
    std::fs::write(to.join(config::CONTROL_FILE), config::CONTROL).map_err(io("write the control Worker"))?;
    std::fs::create_dir(to.join(config::STORAGE)).map_err(io("make the storage"))?;
    Ok(modules)
}
