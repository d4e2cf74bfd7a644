//! What the engine makes of components: each compiled once, and none run that doesn't fit.

use std::path::{Path, PathBuf};

use collector_config::Component;
use collector_model::Limits;

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
    // An export is an interface of its own, so the second one would have another index; they all lead to the first.
    section(11, &exports.iter().map(|export| [&*name(export), &[5, instance, 0]].concat()).collect::<Vec<_>>());
    bytes
}

struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("devo-collector-component-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn at(path: &Path) -> Component {
    Component::File { path: path.to_owned(), key: "inputs.acme.component".to_owned() }
}

fn refusal(engine: &Engine, path: &Path) -> String {
    let error = engine.sandbox(&at(path)).err().unwrap().at("inputs.acme.component");
    assert_eq!(error.code(), collector_model::error_code::KEY_VALUE);
    let error = error.to_string();
    assert!(error.contains("the key inputs.acme.component has a value that can't be used"), "{error}");
    error
}

#[tokio::test]
async fn the_same_component_is_compiled_once_and_dropped_with_its_last_user() {
    let engine = Engine::alone(None, &[Limits::default()]).unwrap();
    let (one, two) = (File::new("one", BUNDLED), File::new("two", BUNDLED));
    let first = engine.sandbox(&Component::Bundled).unwrap();
    let second = engine.sandbox(&at(&one.0)).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let unused = Arc::downgrade(&first);
    drop((first, second));
    assert!(unused.upgrade().is_none());
    engine.sandbox(&at(&two.0)).unwrap();
}

#[tokio::test]
async fn a_component_comes_from_the_cache_at_the_second_start() {
    let folder = std::env::temp_dir().join(format!("devo-collector-engine-{}", std::process::id()));
    for _ in 0..2 {
        let engine = Engine::alone(Some(&folder), &[Limits::default()]).unwrap();
        engine.sandbox(&Component::Bundled).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_cache_that_cannot_be_had_is_done_without() {
    let file = File::new("in-the-way", b"");
    Engine::alone(Some(&file.0), &[Limits::default()]).unwrap().sandbox(&Component::Bundled).unwrap();
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
        let file = File::new(name, &bytes);
        let error = refusal(&engine, &file.0);
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
    let file = File::new("compiled", &compiled);
    assert!(refusal(&engine, &file.0).contains("is not a component"));
}
