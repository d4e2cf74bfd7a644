//! Files with secrets that everybody on the machine can read: nothing stops, but the operator should know.

use std::os::unix::fs::PermissionsExt;

use collector_files::RootedPath;
use serde_json::Value;

/// Read permission for those who are neither the owner nor of the group.
const OTHERS_READ: u32 = 0o004;

/// The keys whose values are secrets. A proxy's address may have a password in it.
const SECRETS: [&str; 3] = ["token", "password", "proxy_url"];

/// A warning if others can read the file. `what` is in it, such as `the private key`.
pub fn warning(what: &str, path: &RootedPath) -> Option<String> {
    let mode = path.metadata().ok()?.permissions().mode();
    let path = path.display();
    (mode & OTHERS_READ != 0).then(|| {
        format!(
            "{path} holds {what} and can be read by every user of this machine (mode {:04o}): chmod o-r {path}",
            mode & 0o7777
        )
    })
}

/// Whether a configuration has a secret in itself, and not only the name of a file or variable that has.
pub fn has_secret(configuration: &Value) -> bool {
    match configuration {
        Value::Object(members) => members.iter().any(|(key, value)| match value {
            Value::String(text) => SECRETS.contains(&key.as_str()) && !text.starts_with("${"),
            other => has_secret(other),
        }),
        Value::Array(elements) => elements.iter().any(has_secret),
        _ => false,
    }
}

/// Whether what stands under a key such as `inputs.a.credentials.token` is a secret, or in the place of one.
pub fn is_secret(key: &str) -> bool {
    key.split('.').any(|part| SECRETS.contains(&part) || ["credentials", "pkcs"].contains(&part))
}

/// Whether a key of a component's own, such as `auth.token_v2`, has the name of a secret. Stricter than
/// [`is_secret`]: what the key means is not known here.
pub fn sounds_secret(key: &str) -> bool {
    let part = |part: &str| {
        let part = part.to_ascii_lowercase();
        ["credentials", "pkcs", "proxy_url", "token"].iter().any(|name| part.starts_with(name))
            || ["api_key", "apikey", "password", "secret"].iter().any(|name| part.contains(name))
    };
    key.split('.').any(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_named_with_its_mode_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        let line = warning("the private key", &RootedPath::of_operator(&path)).unwrap();
        let name = path.display();
        assert_eq!(
            line,
            format!(
                "{name} holds the private key and can be read by every user of this machine (mode 0644): chmod o-r {name}"
            )
        );
        for mode in [0o600, 0o640] {
            set(mode);
            assert_eq!(warning("the private key", &RootedPath::of_operator(&path)), None);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(warning("the private key", &RootedPath::of_operator(&path)), None);
    }

    #[test]
    fn only_a_secret_in_the_configuration_itself_counts() {
        assert!(has_secret(&json!({"inputs": {"a": {"credentials": {"token": "t"}}}})));
        assert!(has_secret(&json!({"outputs": [{"pkcs": {"password": "p"}}]})));
        assert!(!has_secret(&json!({"inputs": {"a": {"credentials": {"token": "${TOKEN}", "token_file": "t"}}}})));
        assert!(!has_secret(&json!({"inputs": {"a": {"base_url": "https://a"}}})));
    }
}
