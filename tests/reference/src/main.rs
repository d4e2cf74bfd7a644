//! `just reference`: writes the schemas and the reference tables into `docs`.

use anyhow::Result;

fn main() -> Result<()> {
    reference::write(&sandbox::collector::workspace().join("docs"))
}
