//! The tables of errors, from `collector_model::error_code`.

use collector_model::error_code::{ALL, CONFIGURATION, Documented};

use super::row;

/// The errors of a configuration that can't be used.
pub fn of_configurations() -> String {
    let rows = ALL.iter().filter(|error| error.code.class == CONFIGURATION);
    let rows = rows.map(|error| row(&[&error.code.number.to_string(), &cause(error)]));
    "| code | cause |\n|---|---|\n".to_owned() + &rows.collect::<String>()
}

/// All others.
pub fn of_services() -> String {
    let mut table = "| error | code | cause | what happens |\n|---|---|---|---|\n".to_owned();
    let mut above = "";
    for error in ALL.iter().filter(|error| error.code.class != CONFIGURATION) {
        let class = if error.code.class == above { String::new() } else { format!("`{}`", error.code.class) };
        above = error.code.class;
        table += &row(&[&class, &error.code.number.to_string(), &cause(error), error.consequence]);
    }
    table
}

fn cause(error: &Documented) -> String {
    error.cause.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The texts of all Rust sources below a folder.
    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// The codes that the component's sources give to `Failure::...(code, ...)`, as numbers or as constants.
    fn codes(text: &str) -> Vec<(&'static str, u16)> {
        let constructors =
            [("setting", "InitVariablesError"), ("state", "PrePullError"), ("pull", "PullError"), ("api", "ApiError")];
        let mut codes = Vec::new();
        for (constructor, class) in constructors {
            for (at, call) in text.match_indices(&format!("Failure::{constructor}(")) {
                let argument = text[at + call.len()..].split([',', '\n']).map(str::trim).find(|part| !part.is_empty());
                let Some(argument) = argument else { continue };
                let constant = || {
                    let value = text.split_once(&format!("const {argument}: u16 = "))?.1;
                    value.split(';').next()?.parse().ok()
                };
                // What is neither is the status of an answer.
                codes.extend(argument.parse().ok().or_else(constant).map(|number: u16| (class, number)));
            }
        }
        codes
    }

    #[test]
    fn every_code_of_the_component_is_in_the_table() {
        let mut texts = Vec::new();
        sources(&sandbox::collector::workspace().join("guest/src"), &mut texts);
        let made: BTreeSet<_> = texts.iter().flat_map(|text| codes(text)).collect();
        assert!(made.len() > 15, "{made:?}");
        let documented: BTreeSet<_> = ALL.iter().map(|error| (error.code.class, error.code.number)).collect();
        let missing: Vec<_> = made.difference(&documented).collect();
        assert!(missing.is_empty(), "add them to host/model/src/error_code.rs: {missing:?}");
    }

    #[test]
    fn every_code_in_the_table_is_made_somewhere() {
        let workspace = sandbox::collector::workspace();
        let (mut guest, mut host) = (Vec::new(), Vec::new());
        sources(&workspace.join("guest/src"), &mut guest);
        sources(&workspace.join("host"), &mut host);
        let made: BTreeSet<_> = guest.iter().flat_map(|text| codes(text)).collect();
        for error in ALL {
            let code = (error.code.class, error.code.number);
            let is_status = code.0 == "ApiError" && code.1 < 495;
            let in_host = || host.iter().any(|text| text.contains(&format!("error_code::{}", error.name)));
            assert!(is_status || made.contains(&code) || in_host(), "nothing makes {} {}", code.0, code.1);
        }
    }
}
