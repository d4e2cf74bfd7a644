//! Documents that have a table in them which a command writes: between a line that names the command, and a
//! line that ends the table.

use std::path::Path;

use anyhow::{Context, Result};

const END: &str = "<!-- the end of the table -->\n";

/// A document before, in and after the table of this command, such as `just reliability`.
pub fn split<'a>(document: &'a str, command: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let mark = mark(command);
    let (before, rest) = document.split_once(&mark).with_context(|| format!("there is no line {mark:?}"))?;
    let (table, after) = rest.split_once(END).with_context(|| format!("there is no line {END:?}"))?;
    Ok((before, table, after))
}

/// Puts a table into the document in this file, in the place of the one that is there.
pub fn write_table(file: &Path, command: &str, table: &str) -> Result<()> {
    let name = || file.display().to_string();
    let document = std::fs::read_to_string(file).with_context(name)?;
    std::fs::write(file, with_table(&document, command, table).with_context(name)?).with_context(name)
}

fn with_table(document: &str, command: &str, table: &str) -> Result<String> {
    let (before, _, after) = split(document, command)?;
    Ok([before, &mark(command), table, END, after].concat())
}

fn mark(command: &str) -> String {
    format!("<!-- the table: {command} -->\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before_and_of_no_other() {
        let document = format!("a\n{}1\n{END}b\n{}2\n{END}c\n", mark("one"), mark("two"));
        let written = with_table(&document, "two", "3\n").unwrap();
        assert_eq!(written, document.replace('2', "3"));
        assert!(with_table(&document, "three", "3\n").is_err());
    }
}
