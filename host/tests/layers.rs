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
    &["observe::status", "observe::admin"],
    &["tenant"],
    &["collector", "tenants"],
];

/// What only declares the modules below it.
const DECLARATIONS: [&str; 3] = ["lib.rs", "main.rs", "observe/mod.rs"];

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
