//! The world that a component is held against before it is instantiated: what it may import, and what it must
//! export.

use crate::error::ComponentError;

/// All that the world `collector` lets a component import. An interface is there in every compatible version.
const IMPORTS: [&str; 11] = [
    "devo:collector/output@2.0.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/types@0.2.0",
    "wasi:io/error@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:logging/logging@0.1.0-draft",
];

/// What the host calls.
const EXPORT: &str = "devo:collector/service@2.0.0";

/// Whether a component with these imports and exports fits the world, by their names.
///
/// # Errors
/// [`ComponentError::Beyond`] with all that no version of the world has, else [`ComponentError::Version`] or
/// [`ComponentError::NoService`].
pub(crate) fn check<'a>(
    imports: impl Iterator<Item = &'a str> + Clone,
    mut exports: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ComponentError> {
    let refused = |wanted: &'a str| !IMPORTS.iter().any(|offered| fits(wanted, offered));
    let other_version = |wanted: &str| IMPORTS.into_iter().find(|offered| interface(wanted) == interface(offered));
    let refused: Vec<_> = imports.filter(|wanted| refused(wanted)).collect();
    let beyond: Vec<_> =
        refused.iter().filter(|wanted| other_version(wanted).is_none()).map(|&wanted| wanted.to_owned()).collect();
    if !beyond.is_empty() {
        return Err(ComponentError::Beyond(beyond));
    }
    let version = |wanted: &str, offered: &str| ComponentError::Version(wanted.to_owned(), offered.to_owned());
    if let Some((wanted, offered)) = refused.first().and_then(|wanted| Some((wanted, other_version(wanted)?))) {
        return Err(version(wanted, offered));
    }
    if exports.clone().any(|name| fits(name, EXPORT)) {
        return Ok(());
    }
    match exports.find(|name| interface(name) == interface(EXPORT)) {
        Some(other) => Err(version(other, EXPORT)),
        None => Err(ComponentError::NoService(EXPORT)),
    }
}

/// Whether two names are of one interface in compatible versions, as the linker sees it: those before 1.0
/// differ in the second number, all others in the first, and a pre-release is compatible with itself alone.
fn fits(wanted: &str, offered: &str) -> bool {
    wanted == offered || track(wanted).is_some_and(|track| Some(track) == self::track(offered))
}

fn track(name: &str) -> Option<(&str, &str)> {
    let (interface, version) = name.split_once('@')?;
    let mut numbers = version.splitn(3, '.');
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if patch.contains('-') {
        return None;
    }
    match (major, minor) {
        ("0", "0") => None,
        ("0", minor) => Some((interface, &version[..2 + minor.len()])),
        (major, _) => Some((interface, major)),
    }
}

fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(imports: &[&str], exports: &[&str]) -> String {
        check(imports.iter().copied(), exports.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn the_bundled_component_imports_its_world_and_exports_the_service() {
        let engine = wasmtime::Engine::default();
        let component = wasmtime::component::Component::new(&engine, crate::tests::bundled()).unwrap().component_type();
        let mut imports: Vec<_> = component.imports(&engine).map(|(name, _)| name.to_owned()).collect();
        imports.sort();
        assert_eq!(imports, IMPORTS);
        let exports: Vec<_> = component.exports(&engine).map(|(name, _)| name.to_owned()).collect();
        assert_eq!(exports, [EXPORT]);
    }

    #[test]
    fn a_compatible_version_is_as_good() {
        let imports = ["wasi:io/streams@0.2.9", "wasi:http/types@0.2.0", "devo:collector/output@2.4.2"];
        check(imports.into_iter(), [EXPORT, "example:more/of-it@1.0.0"].into_iter()).unwrap();
        check(std::iter::empty(), ["devo:collector/service@2.1.0"].into_iter()).unwrap();
    }

    #[test]
    fn all_that_goes_beyond_the_world_is_named() {
        let imports = ["wasi:filesystem/types@0.2.0", "wasi:io/poll@0.2.0", "wasi:http/types@0.3.0", "secrets"];
        let expected = "it wants wasi:filesystem/types@0.2.0 and secrets, which no collector may reach";
        assert_eq!(refusal(&imports, &[EXPORT]), expected);
    }

    #[test]
    fn a_version_that_is_not_offered_is_named_with_the_one_that_is() {
        for (wanted, offered) in [
            ("wasi:http/types@0.3.0", "wasi:http/types@0.2.0"),
            ("wasi:config/store@0.2.0", "wasi:config/store@0.2.0-rc.1"),
            ("wasi:keyvalue/store@0.2.0-draft2", "wasi:keyvalue/store@0.2.0-draft"),
            ("devo:collector/output@1.0.0", "devo:collector/output@2.0.0"),
            ("wasi:io/poll", "wasi:io/poll@0.2.0"),
        ] {
            let expected = format!("it is made for {wanted}, and what is offered is {offered}");
            assert_eq!(refusal(&[wanted], &[EXPORT]), expected);
        }
        let expected = format!("it is made for devo:collector/service@1.0.0, and what is offered is {EXPORT}");
        assert_eq!(refusal(&[], &["devo:collector/service@1.0.0"]), expected);
    }

    #[test]
    fn a_component_that_is_no_collector_is_told_so() {
        assert_eq!(refusal(&[], &["wasi:cli/run@0.2.0"]), format!("it does not export {EXPORT}"));
    }
}
