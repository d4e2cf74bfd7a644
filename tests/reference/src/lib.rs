//! The tables of the documentation that say what the code says, and the JSON schemas: settings, errors and
//! metrics are declared once, in the code, and `just reference` writes the rest from there.
//!
//! A package of its own, so that neither the program nor the test kit is built again for a word in a table.

mod errors;
mod metrics;
mod settings;

use std::path::Path;

use anyhow::{Context, Result};
use collector_config::Schema;
use sandbox::document;

/// A table, in its place: the document, and the command that its first line names.
pub struct Table {
    /// The document, in `docs`.
    pub document: &'static str,
    /// What the line before the table names.
    pub command: &'static str,
    /// Its text, in Markdown.
    pub text: String,
}

/// All tables.
pub fn tables() -> Result<Vec<Table>> {
    let (config, host) = (Schema::Config.annotated(), Schema::Host.annotated());
    let mut tables = Vec::new();
    for (command, part) in [
        ("just reference (globals)", "/$defs/Globals"),
        ("just reference (outputs)", "/$defs/Output"),
        ("just reference (inputs)", "/$defs/Input"),
        ("just reference (services)", "/$defs/Service"),
        ("just reference (masks)", "/$defs/Service/properties/obfuscation_data/items"),
    ] {
        let part = config.pointer(part).with_context(|| format!("the schema has no {part}"))?;
        tables.push(Table { document: "configuration.md", command, text: settings::table(&config, part)? });
    }
    let text = settings::table(&host, &host)?;
    tables.push(Table { document: "hosting.md", command: "just reference (host.yaml)", text });
    let text = errors::of_configurations();
    tables.push(Table { document: "configuration.md", command: "just reference (configurations)", text });
    let text = errors::of_services();
    tables.push(Table { document: "configuration.md", command: "just reference (errors)", text });
    tables.push(Table { document: "hosting.md", command: "just reference (metrics)", text: metrics::table() });
    Ok(tables)
}

/// The schemas, with the names of their files.
pub const SCHEMAS: [(&str, Schema); 2] = [("config.schema.json", Schema::Config), ("host.schema.json", Schema::Host)];

/// Writes everything into this folder.
pub fn write(docs: &Path) -> Result<()> {
    for (name, schema) in SCHEMAS {
        std::fs::write(docs.join(name), schema.text()).with_context(|| format!("writing {name}"))?;
    }
    for table in tables()? {
        document::write_table(&docs.join(table.document), table.command, &table.text)?;
    }
    Ok(())
}

/// One row of a table.
fn row(cells: &[&str]) -> String {
    let cell = |cell: &&str| if cell.is_empty() { " ".to_owned() } else { format!(" {} ", cell.replace('|', "\\|")) };
    let cells: Vec<_> = cells.iter().map(cell).collect();
    format!("|{}|\n", cells.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_in_docs_say_what_the_code_says() {
        let docs = sandbox::collector::workspace().join("docs");
        for table in tables().unwrap() {
            let text = std::fs::read_to_string(docs.join(table.document)).unwrap();
            let (_, written, _) = document::split(&text, table.command).unwrap();
            assert!(written == table.text, "docs/{} is out of date: run `just reference`", table.document);
        }
    }

    #[test]
    fn a_bar_within_a_cell_does_not_end_it() {
        assert_eq!(row(&["a|b", "", "c"]), "| a\\|b | | c |\n");
    }
}
