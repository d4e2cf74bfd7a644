//! Runs a property over everything that fuzzing has found worth keeping. Part of the tests of each crate that
//! has one.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs `property` over the corpus of `target`, which must be there, and over the inputs that once broke it.
pub fn replay(target: &str, property: fn(&[u8])) {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("fuzz"));
    let fuzz = above.find(|folder| folder.join("corpus").is_dir()).expect("fuzz/corpus is missing");
    let files = |folder: &str| {
        let folder = fuzz.join(folder).join(target);
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let corpus = files("corpus");
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is missing or empty");
    for file in corpus.iter().chain(&files("regressions")) {
        let input = fs::read(file).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| property(&input)));
        assert!(outcome.is_ok(), "{} breaks the property {target}, see above", file.display());
    }
}
