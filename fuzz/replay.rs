//! Runs a law over everything that fuzzing has found worth keeping. Part of the tests of both crates.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs `law` over the corpus of `target`, which must be there, and over the inputs that once broke the law.
pub fn replay(target: &str, law: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let files = |folder: &str| {
        let folder = fuzz.join(folder).join(target);
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let corpus = files("corpus");
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is missing or empty");
    for file in corpus.iter().chain(&files("regressions")) {
        let input = fs::read(file).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| law(&input)));
        assert!(outcome.is_ok(), "{} breaks the law of {target}, see above", file.display());
    }
}
