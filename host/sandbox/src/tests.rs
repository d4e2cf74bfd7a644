//! What the engine makes of components: each compiled once, and none run that doesn't fit.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use collector_files::RootedPath;
use collector_model::Limits;
use tempfile::NamedTempFile;

use super::*;

/// The beginning of every component.
const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component that imports and exports empty interfaces of these names.
fn component(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    let mut section = |id: u8, items: &[Vec<u8>]| {
        bytes.extend([id, u8::try_from(items.concat().len() + 1).unwrap(), u8::try_from(items.len()).unwrap()]);
        bytes.extend(items.concat());
    };
    let name = |name: &str| [&[0, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
    // The type of an empty interface, imports of that type, an empty interface, exports of it.
    section(7, &[vec![0x42, 0]]);
    section(10, &imports.iter().map(|import| [&*name(import), &[5, 0]].concat()).collect::<Vec<_>>());
    section(5, &[vec![1, 0]]);
    let instance = u8::try_from(imports.len()).unwrap();
    // An export is an interface of its own, so the second one would have another index; they all lead to the
    // first.
    section(11, &exports.iter().map(|export| [&*name(export), &[5, instance, 0]].concat()).collect::<Vec<_>>());
    bytes
}

/// The component that `just guest` stages for the host.
pub fn bundled() -> Vec<u8> {
    let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guest/cloudsek-xvigil.wasm");
    std::fs::read(&staged).unwrap_or_else(|error| panic!("{}: {error}; run `just guest`", staged.display()))
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn refusal(engine: &Engine, path: &Path) -> String {
    engine.sandbox_of_file(&RootedPath::of_operator(path)).err().unwrap().to_string()
}

#[tokio::test]
async fn the_same_component_is_compiled_once_and_dropped_with_its_last_user() {
    let engine = Engine::alone(None, &[Limits::default()]).unwrap();
    let component = bundled();
    let (one, two) = (file(&component), file(&component));
    let first = engine.sandbox(&component).unwrap();
    let second = engine.sandbox_of_file(&RootedPath::of_operator(one.path())).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let unused = Arc::downgrade(&first);
    drop((first, second));
    assert!(unused.upgrade().is_none());
    engine.sandbox_of_file(&RootedPath::of_operator(two.path())).unwrap();
}

#[tokio::test]
async fn a_component_comes_from_the_cache_at_the_second_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    let start = || {
        let engine = Engine::alone(Some(&folder), &[Limits::default()]).unwrap();
        engine.sandbox(&bundled()).unwrap();
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap()).collect();
        assert_eq!(files.len(), 1);
        // What is compiled again takes the place of what was there.
        files[0].metadata().unwrap().ino()
    };
    assert_eq!(start(), start());
}

#[tokio::test]
async fn a_cache_that_cannot_be_had_is_done_without() {
    let in_the_way = file(b"");
    Engine::alone(Some(in_the_way.path()), &[Limits::default()]).unwrap().sandbox(&bundled()).unwrap();
}

#[tokio::test]
async fn what_is_no_collector_is_refused_before_it_runs() {
    let engine = Engine::alone(None, &[Limits::default()]).unwrap();
    let service = "devo:collector/service@2.0.0";
    let filesystem = "wasi:filesystem/types@0.2.0";
    for (name, bytes, reason) in [
        ("text", b"(component)".to_vec(), "is not a component: it does not begin as one"),
        ("module", b"\0asm\x01\0\0\0".to_vec(), "is not a component: it is a core module"),
        ("damaged", [PREAMBLE, b"\x63"].concat(), "the component can't be used: "),
        ("curious", component(&[filesystem], &[service]), "it wants wasi:filesystem/types@0.2.0, which no"),
        ("idle", component(&[], &[]), "it does not export devo:collector/service@2.0.0"),
        ("older", component(&[], &["devo:collector/service@1.0.0"]), "made for devo:collector/service@1.0.0, and what"),
        ("hollow", component(&[], &[service]), "the component can't be used: "),
    ] {
        let error = refusal(&engine, file(&bytes).path());
        assert!(error.contains(reason), "{name}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let missing = refusal(&engine, Path::new("/nowhere/acme.wasm"));
    assert!(missing.contains("the file /nowhere/acme.wasm can't be read: No such file"), "{missing}");
}

#[tokio::test]
async fn compiled_code_is_not_taken_for_a_component() {
    let engine = Engine::alone(None, &[Limits::default()]).unwrap();
    let compiled = wasmtime::Engine::default().precompile_component(PREAMBLE).unwrap();
    assert!(refusal(&engine, file(&compiled).path()).contains("is not a component"));
}
