//! The JSON schemas that operators check their configurations with.

use anyhow::{Context, Result, anyhow};
use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use crate::collector::workspace;

/// A schema, ready to check with.
pub struct Checker {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Checker {
    /// One of the folder `docs`.
    pub fn of_docs(name: &str) -> Result<Self> {
        let path = workspace().join("docs").join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let url = format!("https://example.com/{name}");
        let problem = |error: boon::CompileError| anyhow!("{name} is no schema: {error:#}");
        compiler.add_resource(&url, serde_json::from_str(&text)?).map_err(problem)?;
        let index = compiler.compile(&url, &mut schemas).map_err(problem)?;
        Ok(Self { schemas, index })
    }

    /// Whether it takes this.
    ///
    /// # Errors
    /// It does not, for these reasons.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.index).map_err(|error| format!("{error:#}"))
    }
}
