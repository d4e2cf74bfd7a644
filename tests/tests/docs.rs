//! The documents name tests and faults of the matrix: each is where its link leads.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sandbox::collector::workspace;
use sandbox::faults::MATRIX;

/// `[text][name]` and `[text](path)` of a document, with the text's words in backticks or, if there are none, the text.
fn links(text: &str) -> Vec<(Vec<&str>, &str)> {
    let mut links = Vec::new();
    for (at, _) in text.match_indices("][").chain(text.match_indices("](")) {
        let label = text[..at].rsplit('[').next().unwrap_or_default();
        let target = text[at + 2..].split([']', ')']).next().unwrap_or_default();
        let quoted: Vec<&str> = label.split('`').skip(1).step_by(2).collect();
        links.push((if quoted.is_empty() { vec![label] } else { quoted }, target));
    }
    links
}

/// Where a reference of a document leads: `[name]: path`.
fn resolve<'a>(text: &'a str, target: &'a str) -> &'a str {
    let definition = format!("[{target}]: ");
    text.lines().find_map(|line| line.strip_prefix(&*definition)).unwrap_or(target)
}

fn is_test_name(label: &str) -> bool {
    label.matches('_').count() >= 2 && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// How many tests and faults a document names, after a look at each.
fn check(document: &Path) -> Result<usize> {
    let text = std::fs::read_to_string(document)?;
    let folder = document.parent().context("a folder")?;
    let mut tests = 0;
    for (labels, target) in links(&text) {
        let path = resolve(&text, target).split('#').next().unwrap_or_default();
        if path.is_empty() || path.starts_with("http") {
            continue;
        }
        let file = folder.join(path);
        ensure!(file.exists(), "{}: {labels:?} leads to {path}, which is not there", document.display());
        if path.ends_with("reliability.md") {
            for label in labels.into_iter().filter(|label| !label.ends_with("reliability.md")) {
                let is_trial = MATRIX.iter().flat_map(|(_, trials)| *trials).any(|trial| trial.fault == label);
                ensure!(is_trial, "{}: there is no fault {label:?} in {path}", document.display());
                tests += 1;
            }
            continue;
        }
        for label in labels.into_iter().filter(|label| is_test_name(label)) {
            let code = std::fs::read_to_string(&file)?;
            ensure!(code.contains(&format!("fn {label}(")), "{}: {path} has no test {label}", document.display());
            tests += 1;
        }
    }
    Ok(tests)
}

#[test]
fn every_link_of_the_documents_leads_to_what_it_names() {
    check(&workspace().join("README.md")).unwrap();
    for entry in std::fs::read_dir(workspace().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            check(&path).unwrap();
        }
    }
}

#[test]
fn what_is_said_of_the_original_is_shown_by_tests() {
    assert!(check(&workspace().join("docs/migration.md")).unwrap() > 80);
}
