//! The matrix as a table for people: Markdown, with what was lost and repeated in the last run.

use std::path::Path;

use anyhow::Result;

use super::MATRIX;
use crate::check::Report;
use crate::document;

/// What writes the table.
const COMMAND: &str = "just reliability";

const HEAD: &str =
    "| fault | how it is injected | what happens | alerts | lost | repeated |\n|---|---|---|--:|--:|--:|\n";

/// A run of all trials, for the table.
#[derive(Debug, Default)]
pub struct Table {
    rows: String,
}

impl Table {
    /// Adds the name of a group of trials.
    pub fn group(&mut self, name: &str) {
        self.rows += &format!("| **{name}** | | | | | |\n");
    }

    /// Adds what a trial came to.
    pub fn row(&mut self, trial: &super::Trial, report: &Report) {
        let super::Trial { fault, injected, happens, .. } = trial;
        let (expected, lost, repeated) = (report.expected, report.lost(), report.repeated());
        self.rows += &format!("| {fault} | {injected} | {happens} | {expected} | {lost} | {repeated} |\n");
    }

    /// Puts the table into the document in this file, in the place of the one that is there.
    pub fn write_to(&self, file: &Path) -> Result<()> {
        document::write_table(file, COMMAND, &[HEAD, &self.rows].concat())
    }
}

/// What is wrong with the table of a document: every trial must be in it, in the matrix's order and words,
/// without a loss.
pub fn faults_of(document: &str) -> Result<Vec<String>> {
    let (_, table, _) = document::split(document, COMMAND)?;
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let groups = MATRIX.iter().flat_map(|(name, trials)| {
        let title = [format!("**{name}**"), String::new(), String::new()];
        let rows = trials.iter().map(|trial| [trial.fault.into(), trial.injected.into(), trial.happens.into()]);
        std::iter::once(title).chain(rows)
    });
    let expected: Vec<[String; 3]> = groups.collect();
    let mut faults = Vec::new();
    for (place, words) in expected.iter().enumerate() {
        match rows.get(place) {
            Some(row) if row.len() == 6 && row[..3] == words[..] => {
                let is_title = words[1].is_empty();
                if !is_title && (row[4] != "0" || row[5].parse::<usize>().is_err()) {
                    faults.push(format!("{}: lost {:?}, repeated {:?}", words[0], row[4], row[5]));
                }
            }
            other => faults.push(format!("{words:?} is not in its place, but {other:?}")),
        }
    }
    if rows.len() > expected.len() {
        faults.push(format!("{} rows too many", rows.len() - expected.len()));
    }
    Ok(faults)
}
