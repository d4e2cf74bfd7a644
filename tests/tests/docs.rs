//! The documents name tests and faults of the matrix: each is where its link leads. The configurations in
//! them, and those of the tests, are what the schemas in `docs` allow.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use sandbox::collector::workspace;
use sandbox::faults::MATRIX;
use sandbox::installation::{ORIGINAL, Settings};
use sandbox::schema::Checker;
use serde_json::{Value, json};

/// `[text][name]` and `[text](path)` of a document, with the text's words in backticks or, if there are none,
/// the text.
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

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The blocks of code in a document, without their indentation.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    let mut is_fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_fenced = !is_fenced;
            blocks.push(String::new());
        } else if let Some(code) = if is_fenced { Some(line) } else { line.strip_prefix("    ") } {
            let block = blocks.last_mut().unwrap();
            *block += &format!("{code}\n");
        } else if !line.is_empty() {
            blocks.push(String::new());
        }
    }
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

/// The configurations in the documents: what file they are of, and what they say. One that shows a part is
/// completed.
fn examples() -> Vec<(String, &'static str, Value)> {
    let mut documents = vec![workspace().join("README.md"), workspace().join("CONTRIBUTING.md")];
    let docs = std::fs::read_dir(workspace().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    documents.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let mut found = Vec::new();
    for document in documents {
        let name = document.file_name().unwrap().to_string_lossy().into_owned();
        for block in blocks(&std::fs::read_to_string(&document).unwrap()) {
            let begins = |keys: &[&str]| keys.iter().any(|key| block.lines().any(|line| line.starts_with(key)));
            if begins(&["globals:", "outputs:", "inputs:"]) {
                let mut value = yaml(&block);
                if value.get("outputs").is_none() {
                    value["outputs"] = json!({"screen": {"type": "console"}});
                }
                found.push((name.clone(), "config.schema.json", value));
            } else if begins(&["obfuscation_data:"]) {
                let mut value = yaml(ORIGINAL.replace("PORT", "443").as_str());
                value["inputs"]["cloudsek"]["services"]["alerts"] = yaml(&block);
                found.push((name.clone(), "config.schema.json", value));
            } else if begins(&["admin:", "egress:", "quota:"]) {
                found.push((name.clone(), "host.schema.json", yaml(&block)));
            }
        }
    }
    found
}

#[test]
fn every_configuration_in_the_documents_is_what_the_schema_allows() {
    let (config, host) =
        (Checker::of_docs("config.schema.json").unwrap(), Checker::of_docs("host.schema.json").unwrap());
    let examples = examples();
    for (document, schema, value) in &examples {
        let checker = if *schema == "host.schema.json" { &host } else { &config };
        checker.check(value).unwrap_or_else(|error| panic!("{document}: {error}"));
    }
    let in_documents: Vec<_> = examples.iter().map(|(document, ..)| document.as_str()).collect();
    for document in ["README.md", "configuration.md", "hosting.md", "write-a-collector.md"] {
        assert!(in_documents.contains(&document), "no configuration was found in {document}: {in_documents:?}");
    }
}

#[test]
fn the_configurations_of_the_tests_are_what_the_schema_allows() {
    let schema = Checker::of_docs("config.schema.json").unwrap();
    schema.check(&yaml(&ORIGINAL.replace("PORT", "443"))).unwrap();
    for kind in ["devo_platform", "relay", "in_house_relay", "syslog", "sidecar", "console", "stdout"] {
        for base_url in ["https://localhost:1", "http://localhost:1"] {
            let settings = Settings { kind: kind.into(), ..Settings::new(base_url.into(), "token".into(), 1) };
            schema.check(&yaml(&settings.yaml())).unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
    }
}

/// Adds an `x` to every key in turn.
fn misspelt(value: &Value, place: &str, found: &mut Vec<(String, Value)>) {
    let Value::Object(members) = value else { return };
    for (key, member) in members {
        let pointer = format!("{place}/{key}");
        let mut renamed = members.clone();
        renamed.remove(key);
        renamed.insert(format!("{key}x"), member.clone());
        found.push((pointer.clone(), renamed.into()));
        let mut below = Vec::new();
        misspelt(member, &pointer, &mut below);
        for (pointer, changed) in below {
            let mut whole = members.clone();
            whole.insert(key.clone(), changed);
            found.push((pointer, whole.into()));
        }
    }
}

#[test]
fn a_misspelt_key_in_the_readmes_configuration_is_refused() {
    let schema = Checker::of_docs("config.schema.json").unwrap();
    let (_, _, example) = examples().into_iter().find(|(document, ..)| document == "README.md").unwrap();
    let mut found = Vec::new();
    misspelt(&example, "", &mut found);
    assert!(found.len() > 20, "{found:?}");
    for (place, value) in found {
        // Their names are the operator's to choose.
        let is_name = ["/outputs/devo_us_1", "/inputs/cloudsek"].contains(&place.as_str());
        assert_eq!(schema.check(&value).is_ok(), is_name, "{place}");
    }
}
