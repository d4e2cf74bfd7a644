//! Finds the staged component that the binary carries. It is built by `just guest`, never from here: a build
//! inside a build would use the wrong compiler, target and lock.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let staged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest/cloudsek-xvigil.wasm");
    println!("cargo::rerun-if-changed={}", staged.display());
    if staged.is_file() {
        println!("cargo::rustc-env=COLLECTOR_COMPONENT={}", staged.display());
    } else {
        println!("cargo::error=the component {} is missing: run `just guest`", staged.display());
    }
}
