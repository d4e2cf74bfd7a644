//! From a file to a [`Document`]: finds the file, parses it, and says what it does not understand.

use std::path::{Path, PathBuf};

use collector_files::RootedPath;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use super::document::Document;
use super::error::{Cause, ConfigError, refused};
use super::files::Files;
use super::maps::list_for_map;
use super::policy::Policy;
use super::unknown::{self, Key, Named, nearest, shortened};
use super::{permissions, variables};

/// A configuration file that was read, and where things are looked up that it names.
#[derive(Debug)]
pub struct Source {
    /// What it says.
    pub document: Document,
    /// Those of the product folder, with `certs/`, `config/` and `state/` in it.
    pub files: Files,
    /// What the operator should know: keys that are not understood.
    pub warnings: Vec<String>,
}

/// Where a configuration is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, the name of a file in `config/`, or a product folder: the on-premise form.
    OnPremise(PathBuf),
    /// The files of the job and of the collector: the form of Devo's collector server. Where both say
    /// something, the job's word counts.
    CollectorServer {
        /// The job's file.
        job: PathBuf,
        /// The collector's file.
        collector: PathBuf,
    },
}

/// The largest configuration, the operator's own included.
pub(super) const MAX_FILE_IN_BYTES: u64 = 16 * 1024 * 1024;

/// The names that a configuration has in a product folder.
const NAMES: [&str; 3] = ["config/config.yaml", "config/config.yml", "config/config.json"];

/// Reads a configuration of the operator's own.
pub fn read(place: &Place) -> Result<Source, ConfigError> {
    let (value, path, files) = match place {
        Place::OnPremise(name) => {
            let path = locate(name)?;
            let file = RootedPath::of_operator(&path);
            (parse(&file)?, path, vec![file])
        }
        Place::CollectorServer { job, collector } => {
            let (path, collector) = (locate(job)?, locate(collector)?);
            let [job, collector] = [&path, &collector].map(RootedPath::of_operator);
            let mut value = with_globals(parse(&collector)?);
            lay_over(&mut value, with_globals(parse(&job)?));
            (value, path, vec![job, collector])
        }
    };
    let exposed = exposed(&value, &files);
    let source = understand(value, &path, Files::anywhere(product_folder(&path)), &Policy::permissive())?;
    Ok(source.with(exposed))
}

/// Reads the configuration of a hosted tenant from its product folder.
pub fn read_tenant(files: &Files, policy: &Policy) -> Result<Source, ConfigError> {
    let mut found = None;
    for name in NAMES {
        let path = files.configuration(name)?;
        if found.is_none() && path.is_file() {
            found = Some(path);
        }
    }
    let path = found.ok_or_else(|| {
        let candidates = NAMES.iter().map(|name| files.product().join(name).display().to_string());
        Cause::Missing(candidates.collect()).remedy("Put the tenant's configuration there.")
    })?;
    let value = parse(&path)?;
    let exposed = exposed(&value, std::slice::from_ref(&path));
    Ok(understand(value, path.path(), files.clone(), policy)?.with(exposed))
}

impl Source {
    fn with(mut self, mut warnings: Vec<String>) -> Self {
        warnings.append(&mut self.warnings);
        Self { warnings, ..self }
    }
}

/// Warnings of files with secrets that others can read.
fn exposed(value: &Value, files: &[RootedPath]) -> Vec<String> {
    let exposed = files.iter().filter_map(|file| permissions::warning("secrets", file));
    if permissions::has_secret(value) { exposed.collect() } else { Vec::new() }
}

fn parse(file: &RootedPath) -> Result<Value, ConfigError> {
    let unreadable = |reason| {
        Cause::Unreadable { path: file.path().to_owned(), reason }
            .remedy("Make it readable for the user that the collector runs as.")
    };
    // It may have secrets in it, which are wiped when they are no longer needed.
    let content = file.read(MAX_FILE_IN_BYTES).map_err(|error| unreadable(error.to_string()))?;
    let content = Zeroizing::new(content);
    let text = str::from_utf8(&content).map_err(|_| unreadable("stream did not contain valid UTF-8".to_owned()))?;
    parse_text(text, file.path())
}

/// JSON where the file's name says so, else YAML.
pub(super) fn parse_text(text: &str, path: &Path) -> Result<Value, ConfigError> {
    let syntax = |reason: String| {
        Cause::Syntax { path: path.to_owned(), reason: one_line(&reason) }
            .remedy("Correct it there; README.md shows a config.yaml to start from.")
    };
    let value: Value = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(text).map_err(|error| syntax(error.to_string()))?
    } else {
        // A snippet would show the lines around the error, and a secret that may stand on one.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(error.to_string()))?
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(syntax("it is not a mapping with globals, outputs and inputs".to_owned()))
    }
}

/// The collector server calls the globals of a file `global_overrides`.
pub(super) fn with_globals(mut value: Value) -> Value {
    if let Some(overrides) = value.as_object_mut().and_then(|members| members.remove("global_overrides")) {
        lay_over(&mut value, serde_json::json!({"globals": overrides}));
    }
    value
}

/// Puts `top` over `base`: members of both are merged, everything else of `top` takes the place of what was
/// there.
pub(super) fn lay_over(base: &mut Value, top: Value) {
    match (base, top) {
        (Value::Object(base), Value::Object(top)) => {
            for (key, value) in top {
                lay_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, top) => *base = top,
    }
}

/// What a configuration says; `path` is the file that errors name.
pub(super) fn understand(mut value: Value, path: &Path, files: Files, policy: &Policy) -> Result<Source, ConfigError> {
    variables::resolve(&mut value, |key, name| {
        if !policy.allow_environment {
            let reason = format!("${{{name}}} would read the environment of the host");
            return Err(refused(key, reason, "Write the value itself, or use a _file key; $${ stands for ${ itself."));
        }
        Ok(std::env::var(name).ok())
    })?;
    if let Some(key) = list_for_map(unknown::schema(), &value) {
        let remedy = format!("Correct {key} in {}.", path.display());
        return Err(super::error::value(key, "it is a list, where a map belongs", remedy));
    }
    let mut warnings = ignored_globals(&value);
    let mut unknown = Vec::new();
    let mut note = |key: serde_ignored::Path<'_>| unknown.push(Key::from(&key));
    let reader = serde_ignored::Deserializer::new(&value, &mut note);
    let mut document: Document = serde_path_to_error::deserialize(reader).map_err(|error| {
        let key = error.path().to_string();
        let reason = error.inner().to_string();
        match reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(field) => {
                let key = if key == "." { field.to_owned() } else { format!("{key}.{field}") };
                Cause::KeyMissing(key.clone()).remedy(format!("Add {key} to {}.", path.display()))
            }
            None => {
                super::error::value(&key, without_secret(&key, reason), format!("Correct {key} in {}.", path.display()))
            }
        }
    })?;
    unknown.retain(|key| !key.is_global());
    warnings.extend(unknown::place(&unknown, &value, &mut document));
    Ok(Source { document, files, warnings })
}

/// The reason why a value can't be used. serde repeats the value, which must not be told where it is a
/// secret.
fn without_secret(key: &str, reason: String) -> String {
    if !permissions::is_secret(key) {
        return reason;
    }
    let expected = reason.rsplit_once(", expected ").map_or("something else", |(_, expected)| expected);
    format!("expected {expected}")
}

/// The original's words for a global that it doesn't know.
fn ignored_globals(value: &Value) -> Vec<String> {
    let known = ["debug", "id", "name", "persistence"];
    let globals = value.get("globals").and_then(Value::as_object);
    let mut ignored = Named::new("global settings have been ignored");
    for (key, _) in globals.into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str())) {
        // The value is left out: whoever puts a token in the wrong place must not find it in the log.
        ignored.add(|| format!("Illegal global setting has been ignored -> {}{}", shortened(key), nearest(key)));
    }
    ignored.warnings().collect()
}

fn locate(name: &Path) -> Result<PathBuf, ConfigError> {
    let candidates = if name.is_dir() {
        NAMES.into_iter().chain(["config.yaml"]).map(|file| name.join(file)).collect()
    } else {
        vec![name.to_owned(), Path::new("config").join(name)]
    };
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        Cause::Missing(candidates.iter().map(|path| path.display().to_string()).collect())
            .remedy("Give the path of the file, or of the folder that holds config/, with --config.")
    })
}

/// A file in a folder `config` belongs to the product folder above it; any other to the folder that we run
/// in.
fn product_folder(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new("."));
    let in_config = folder.file_name().is_some_and(|name| name == "config");
    let product = if in_config { folder.parent() } else { None };
    match product {
        Some(product) if product.as_os_str().is_empty() => PathBuf::from("."),
        Some(product) => product.to_owned(),
        None => PathBuf::from("."),
    }
}

/// A parser's report as a part of a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Source, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config").join(name);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        read(&Place::OnPremise(path))
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = read_text(
            "same.yaml",
            "inputs: {a: {id: 1, services: {alerts: {initial_start_time_in_utc: 2022-01-01T00:00:00Z}}}}",
        )
        .unwrap();
        let json = read_text(
            "same.json",
            r#"{"inputs":{"a":{"id":1,"services":{"alerts":{"initial_start_time_in_utc":"2022-01-01T00:00:00Z"}}}}}"#,
        )
        .unwrap();
        assert_eq!(format!("{:?}", yaml.document), format!("{:?}", json.document));
    }

    #[test]
    fn a_key_that_is_nearly_right_is_named_with_the_right_one() {
        let source = read_text("near.yaml", "outputs: {a: {type: console, config: {adress: x}}}").unwrap();
        assert_eq!(
            source.warnings,
            ["The key outputs.a.config.adress is not known and has no effect; did you mean address?"]
        );
    }

    #[test]
    fn an_unknown_global_is_ignored_with_the_originals_words_and_without_its_value() {
        let source = read_text("global.yaml", "globals: {tokn: secret}").unwrap();
        assert_eq!(source.warnings, ["Illegal global setting has been ignored -> tokn; did you mean token?"]);
    }

    #[test]
    fn a_misspelt_key_within_a_global_is_named_too() {
        let text = "globals: {persistence: {type: filesystem, config: {directory: elsewhere}}}";
        let warnings = read_text("within.yaml", text).unwrap().warnings;
        let expected = "The key globals.persistence.config.directory is not known and has no effect";
        assert!(warnings.len() == 1 && warnings[0].starts_with(expected), "{warnings:?}");
    }

    #[test]
    fn the_jobs_file_is_laid_over_the_collectors() {
        let mut value =
            with_globals(serde_json::json!({"global_overrides": {"name": "a", "debug": true}, "outputs": {"x": 1}}));
        lay_over(&mut value, with_globals(serde_json::json!({"global_overrides": {"name": "b"}, "inputs": {}})));
        assert_eq!(
            value,
            serde_json::json!({"globals": {"name": "b", "debug": true}, "outputs": {"x": 1}, "inputs": {}})
        );
    }

    #[test]
    fn no_error_tells_a_secret() {
        for (name, text) in [
            ("line.yaml", "inputs: {a: {credentials: {token: s3cret}}}\noutputs: ["),
            ("line.json", r#"{"inputs": {"a": {"token": "s3cret"}}"#),
            ("twice.yaml", "inputs: {a: {token: s3cret, token: s3cret}}"),
            ("place.yaml", "inputs: {a: {id: 1, credentials: s3cret}}"),
        ] {
            let error = read_text(name, text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let number = read_text("number.yaml", "inputs: {a: {id: 1, credentials: {token: 123456789}}}").unwrap_err();
        assert!(number.to_string().contains("credentials.token has a value that can't be used: expected a string"));
        assert!(!number.to_string().contains("123456789"));
    }

    #[test]
    fn errors_name_the_key_or_the_line() {
        let error = |name: &str, text: &str| read_text(name, text).unwrap_err().to_string();
        assert!(error("syntax.yaml", "inputs: [").contains("[CODE:0003]"));
        assert!(error("list.yaml", "- a").contains("not a mapping"));
        let missing = error("missing.yaml", "inputs: {a: {services: {}}}");
        assert!(missing.contains("[CODE:0004]") && missing.contains("the key inputs.a.id is missing"), "{missing}");
        let wrong = error("wrong.yaml", "outputs: {a: {type: console, config: {port: many}}}");
        assert!(wrong.contains("[CODE:0005]") && wrong.contains("outputs.a.config.port"), "{wrong}");
        assert!(read(&Place::OnPremise("nowhere.yaml".into())).unwrap_err().to_string().contains("[CODE:0001]"));
    }
}
