//! Arrows run one way: which crates of the host may know which, and, inside this one, which modules. The
//! compiler keeps crates from knowing each other in a circle, and nothing else; this test holds them against
//! the picture in `docs/architecture.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest. Crates of one row don't know each other; a crate may know all rows below its own.
const CRATES: &[&[&str]] = &[
    &["collector-files"],
    &["collector-model", "collector-net"],
    &["collector-state", "collector-delivery", "collector-egress"],
    &["collector-config", "collector-sandbox"],
    &["devo-collector"],
];

/// The same for the modules of this crate. A module within a module of this list belongs to it.
const MODULES: &[&[&str]] = &[
    &["component", "devo_compat"],
    &["service"],
    &["observe::log"],
    &["observe::telemetry"],
    &["observe::state"],
    &["observe::status", "observe::admin"],
    &["tenant"],
    &["collector", "tenants"],
];

/// What only declares the modules below it.
const DECLARATIONS: &[&str] = &["lib.rs", "main.rs", "observe/mod.rs"];

/// What opens a file by its path, and forgets whose it is; and what takes a thread for as long as something
/// likes: both have their place in `collector-files`. What looks a name up or connects, and forgets where one
/// may: that is `collector_net::connect`'s.
const ELSEWHERE: &[&str] = &[
    "File::open(",
    "File::create(",
    "OpenOptions",
    "DirBuilder",
    "fs::read",
    "fs::write",
    "fs::rename",
    "fs::remove",
    "fs::copy",
    "fs::hard_link",
    "fs::metadata",
    "tokio::fs",
    "spawn_blocking",
    "lookup_host",
    "to_socket_addrs",
    "TcpStream::connect",
    "UnixStream::connect",
];

/// Who may all the same: what is read of `/proc`, and what is the operator's alone.
const OF_THE_OPERATOR: &[&str] = &[
    "files/src/",
    "net/src/connect.rs",
    "net/src/resolver.rs",
    "model/src/metrics/process.rs",
    "sandbox/src/cache/",
    "sandbox/src/compile/child.rs",
    "sandbox/src/instances.rs",
    "src/observe/admin/listener.rs",
    "src/observe/admin/metrics.rs",
    "src/observe/status/mod.rs",
    "src/tenants/",
];

#[test]
fn whoever_opens_a_file_or_blocks_a_thread_does_it_where_tenants_are_kept_apart() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = rust_files(&host.join("src"));
    for name in CRATES.iter().copied().flatten().filter_map(|name| name.strip_prefix("collector-")) {
        files.extend(rust_files(&host.join(name).join("src")));
    }
    let mut seen = 0;
    for file in files {
        let relative = file.strip_prefix(host).unwrap().to_str().unwrap();
        let is_test = relative.contains("/tests/") || relative.ends_with("/tests.rs");
        if is_test || OF_THE_OPERATOR.iter().any(|allowed| relative.starts_with(allowed)) {
            continue;
        }
        seen += 1;
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            if let Some(name) = ELSEWHERE.iter().find(|name| line.contains(**name)) {
                panic!(
                    "host/{relative}:{}: {name} knows of no tenant. Take a RootedPath and its threads, of collector-files",
                    number + 1
                );
            }
        }
    }
    assert!(seen > 100, "only {seen} files were looked at");
}

fn row(rows: &[&[&str]], name: &str) -> Option<usize> {
    rows.iter().position(|row| row.contains(&name))
}

#[test]
fn a_crate_knows_only_crates_below_it() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = CRATES.iter().copied().flatten();
    for name in crates {
        let manifest = match name.strip_prefix("collector-") {
            Some(folder) => host.join(folder).join("Cargo.toml"),
            None => host.join("Cargo.toml"),
        };
        let text = fs::read_to_string(&manifest).unwrap();
        let own = row(CRATES, name);
        for line in text.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !dependency.starts_with("collector-") || dependency == *name {
                continue;
            }
            let below = row(CRATES, dependency);
            assert!(below.is_some(), "{}: {dependency} is not in CRATES of {}", manifest.display(), file!());
            assert!(
                below < own,
                "{}: {name} must not know {dependency}, which is not below it.\nWhat both need belongs into a crate below \
                 them; {} has the order.",
                manifest.display(),
                file!()
            );
        }
    }
}

#[test]
fn a_module_knows_only_modules_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap().to_str().unwrap();
        if DECLARATIONS.contains(&relative) {
            continue;
        }
        let own = module_of(relative);
        let (layer, own_row) = layer(&own).unwrap_or_else(|| {
            panic!("src/{relative}: the module {own} is in no layer; add it to MODULES of {}", file!())
        });
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for path in code.split("crate::").skip(1) {
                let path: String =
                    path.chars().take_while(|&c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
                let (known, row) = self::layer(&path).unwrap_or_else(|| {
                    panic!("src/{relative}:{}: crate::{path} is in no layer; see MODULES of {}", number + 1, file!())
                });
                seen += 1;
                assert!(
                    known == layer || row < own_row,
                    "src/{relative}:{}: {layer} must not know {known}, which is not below it.\nGive it what it needs from \
                     above, or move what both need to a layer below them; {} has the order.",
                    number + 1,
                    file!()
                );
            }
        }
    }
    assert!(seen > 20, "only {seen} paths were found: the test looks in the wrong place");
}

/// The layer that a module belongs to, and its row.
fn layer(module: &str) -> Option<(&'static str, usize)> {
    let belongs = |name: &str| module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    MODULES.iter().enumerate().find_map(|(row, names)| Some((*names.iter().find(|name| belongs(name))?, row)))
}

/// `observe::log::text` for `observe/log/text.rs`, `service` for `service/mod.rs`.
fn module_of(relative: &str) -> String {
    let module = relative.strip_suffix(".rs").unwrap_or(relative).replace('/', "::");
    module.strip_suffix("::mod").map(str::to_owned).unwrap_or(module)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
