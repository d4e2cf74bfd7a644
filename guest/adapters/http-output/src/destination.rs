//! Where events are posted, from the settings.

/// An address of Devo's HTTP ingestion. Its path has the token in it, so nothing prints one.
pub struct Destination {
    /// `true` for https.
    pub secure: bool,
    /// Host, with the port if there is one.
    pub authority: String,
    path: String,
}

impl Destination {
    /// Reads the settings, or says what is wrong with which.
    pub fn read(get: impl Fn(&str) -> Result<Option<String>, String>) -> Result<Self, String> {
        let required = |name: &str| {
            let value = get(name)?.filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("the setting {name} is missing."))
        };
        let url = required("devo_url")?;
        let wrong = || "the setting devo_url must be an address such as https://http-us.devo.io.".to_owned();
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !["https", "http"].contains(&scheme) || authority.is_empty() || rest.contains(['?', '#', '@', ' ']) {
            return Err(wrong());
        }
        let host = get("devo_host")?.filter(|host| !host.is_empty()).unwrap_or_else(|| "collector".to_owned());
        let segments = [escaped(&required("devo_domain")?), escaped(&required("devo_token")?), escaped(&host)];
        let [domain, token, host] = segments;
        let slash = if prefix.trim_matches('/').is_empty() { "" } else { "/" };
        let prefix = prefix.trim_matches('/');
        Ok(Self {
            secure: scheme == "https",
            authority: authority.to_owned(),
            path: format!("{slash}{prefix}/stream/{domain}/token!{token}/{host}/"),
        })
    }

    /// Path of the requests for a table.
    pub fn path(&self, table: &str) -> String {
        format!("{}{}", self.path, escaped(table))
    }
}

/// A tag of Devo is letters, digits, `-` and `_`, in levels between dots, 1024 bytes at most.
pub fn is_table(table: &str) -> bool {
    let level = |level: &str| {
        !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    table.len() <= 1024 && table.split('.').all(level)
}

/// As one segment of a path.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Destination, String> {
        Destination::read(|name| {
            Ok(settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn events_go_to_the_table_of_the_domain() {
        let settings = [("devo_url", "https://http-us.devo.io/"), ("devo_domain", "acme"), ("devo_token", "s3/cret")];
        let destination = read(&settings).unwrap();
        assert!(destination.secure);
        assert_eq!(destination.authority, "http-us.devo.io");
        assert_eq!(destination.path("my.app.x"), "/stream/acme/token!s3%2Fcret/collector/my.app.x");
    }

    #[test]
    fn a_setting_that_is_missing_or_wrong_is_named_and_the_token_is_not() {
        let good = [("devo_url", "http://a:1/b"), ("devo_domain", "acme"), ("devo_token", "secret")];
        assert_eq!(read(&good).unwrap().path("t"), "/b/stream/acme/token!secret/collector/t");
        for (index, (name, _)) in good.into_iter().enumerate() {
            for wrong in ["", "//secret"] {
                let mut settings = good;
                settings[index].1 = wrong;
                let Err(error) = read(&settings) else { continue };
                assert!(error.contains(name) && !error.contains("secret"), "{error}");
            }
        }
    }

    #[test]
    fn a_table_is_a_tag() {
        assert!(is_table("drp.cloudsek.xvigil.alerts") && is_table("my-app"));
        for wrong in ["", "a..b", "a/b", "a b", "a.b\n", "ü"] {
            assert!(!is_table(wrong), "{wrong}");
        }
    }
}
