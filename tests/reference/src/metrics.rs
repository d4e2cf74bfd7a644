//! The table of metrics, from `collector_model::metrics::families`.

use collector_model::metrics::families::ALL;

use super::row;

/// All metrics, with what they say.
pub fn table() -> String {
    let rows = ALL.iter().map(|family| {
        let name = format!("`{}`", family.series());
        row(&[&name, family.help.trim_end_matches('.'), family.alert])
    });
    let head = "| metric | what it says | alert when |\n|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}
