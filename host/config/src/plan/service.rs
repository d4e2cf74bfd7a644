//! What one service pulls, how often, and what it may use.

use std::sync::Arc;
use std::time::Duration;

use collector_egress::rate::{self, InputLimiter, Limiter};
use collector_egress::{ApiClientSettings, CredentialHeaderError, Origin, ProxySettings};
use collector_files::RootedPath;
use collector_model::{Identity, KnownSecrets, Limits, Name, Secret, Table, printable};
use collector_state::file_stem;
use secrecy::{ExposeSecret, SecretString};

use super::{Component, LONGEST, settings};
use crate::document::{Input, Service};
use crate::error::{Cause, ConfigError, value};
use crate::files::Files;
use crate::permissions;
use crate::policy::Policy;
use crate::quota;
use crate::unknown::{Named, shortened};

/// The specification's period.
const DEFAULT_PERIOD_IN_SECONDS: u64 = 60;

/// How often the original checks the credentials again.
const DEFAULT_REFRESH_IN_SECONDS: u64 = 600;

/// The service of the bundled component, the one type that it has in the original, and its table.
const SERVICE: &str = "alerts";
const TYPE: &str = "predefined";
const TABLE: &str = "drp.cloudsek.xvigil.alerts";

/// The longest id of an input, in characters: as long as a name.
const LONGEST_ID: usize = 64;

/// One service: what is pulled, how often, and what it may use.
#[derive(Debug, Clone)]
pub struct ServicePlan {
    /// What it is known by.
    pub identity: Identity,
    /// What pulls.
    pub component: Component,
    /// From the start of one pull to the start of the next.
    pub period: Duration,
    /// From one check of the credentials to the next.
    pub refresh: Duration,
    /// How to reach the API, the credential with it.
    pub api: ApiClientSettings,
    /// The file that the credential comes from, which may change, if it does not stand in the configuration.
    pub token_file: Option<RootedPath>,
    /// The `override_*` keys that are set.
    pub overrides: Vec<&'static str>,
    /// The only table that the component may write to.
    pub table: Table,
    /// Where records are kept that can't become events.
    pub dead_letters_file: RootedPath,
    /// What each request has to pass.
    pub limiter: Limiter,
    /// What the component is told: flat names and values, never a secret.
    pub settings: Arc<[(String, String)]>,
    /// What one call of the component may use.
    pub limits: Limits,
    /// The secrets of the whole configuration, to which another token is added.
    pub secrets: KnownSecrets,
}

/// Reads the keys of one service, and those of its input.
pub(super) struct Keys<'a> {
    pub input_name: &'a Name,
    pub input: &'a Input,
    pub service_name: &'a Name,
    pub service: &'a Service,
    pub files: &'a Files,
    pub policy: &'a Policy,
    pub secrets: &'a KnownSecrets,
}

impl Keys<'_> {
    fn input_key(&self, field: &str) -> String {
        format!("inputs.{}.{field}", self.input_name)
    }

    fn key(&self, field: &str) -> String {
        format!("inputs.{}.services.{}.{field}", self.input_name, self.service_name)
    }

    pub fn plan(&self, limiter: &InputLimiter, warnings: &mut Vec<String>) -> Result<ServicePlan, ConfigError> {
        let Self { input_name, input, service_name, service, .. } = *self;
        let component = self.component()?;
        if matches!(component, Component::Bundled) {
            self.check_service(warnings)?;
        }
        let base_url = [&service.override_base_url, &service.base_url, &input.base_url, &input.credentials.base_url]
            .into_iter()
            .find_map(Clone::clone)
            .ok_or_else(|| {
                Cause::KeyMissing(self.input_key("base_url")).remedy(match component {
                    Component::Bundled => "Set it to the address of your CloudSEK instance.",
                    Component::File { .. } => "Set it to the address of the API.",
                })
            })?;
        let token = self.token()?;
        if let Secret::File(file) = &token {
            warnings.extend(permissions::warning("the token", file));
        }
        let current = token.read().map_err(|error| {
            let remedy = match component {
                Component::Bundled => "Put the API token from your CloudSEK admin portal there.",
                Component::File { .. } => "Put the API token there.",
            };
            value(self.input_key("credentials.token"), error.to_string(), remedy)
        })?;
        match token {
            Secret::Text(_) => self.secrets.add(&current),
            Secret::File(_) => self.secrets.add_replaceable(&current),
        }
        let id = self.id()?;
        let overrides = [
            ("override_base_url", service.override_base_url.is_some()),
            ("override_devo_tag", service.override_devo_tag.is_some()),
        ];
        let limits = self.policy.limits(&format!("inputs.{input_name}"), &input.limits, input.max_body_in_bytes)?;
        let rates = rate::read(service.requests_limits.as_ref(), service.requests_per_second.as_ref())?;
        let identity = Identity::new(&**input_name, id, &**service_name)
            .map_err(|error| value(self.input_key("id"), error.to_string(), "Give a name of one line."))?;
        let dead_letters = format!("dead_letters/{}.records.ndjson", file_stem(&identity.storage_name()));
        let period = self.seconds(
            self.key("request_period_in_seconds"),
            service.request_period_in_seconds,
            DEFAULT_PERIOD_IN_SECONDS,
        )?;
        Ok(ServicePlan {
            dead_letters_file: self.files.writable(&self.key("dead_letters"), &dead_letters)?,
            identity,
            period,
            refresh: self.seconds(
                self.input_key("autoconfig.refresh_interval_in_seconds"),
                input.autoconfig.refresh_interval_in_seconds,
                DEFAULT_REFRESH_IN_SECONDS,
            )?,
            api: self.api(&base_url, current, &limits)?,
            token_file: match token {
                Secret::File(file) => Some(file),
                Secret::Text(_) => None,
            },
            overrides: overrides.into_iter().filter_map(|(key, is_set)| is_set.then_some(key)).collect(),
            table: self.table(&component)?,
            component,
            limiter: limiter.service(&rates, period),
            settings: settings::of(input, service, base_url).into(),
            limits,
            secrets: self.secrets.clone(),
        })
    }

    /// The original has no rule for it. It stands where names stand.
    fn id(&self) -> Result<String, ConfigError> {
        let wrong = |reason| value(self.input_key("id"), reason, "Give a short name.");
        let id = self.input.id.0.clone();
        if id.chars().count() > LONGEST_ID {
            return Err(wrong("it has more than 64 characters"));
        }
        if printable(&id) != id {
            return Err(wrong("it has characters that end a line or can't be seen"));
        }
        Ok(id)
    }

    fn component(&self) -> Result<Component, ConfigError> {
        let Some(name) = &self.input.component else { return Ok(Component::Bundled) };
        let key = self.input_key("component");
        self.policy.permit(&key, self.policy.allow_components, "a component of one's own")?;
        Ok(Component::File { path: self.files.readable(&key, name)?, key })
    }

    /// The bundled component knows one service. What services another one has, only that one knows.
    fn check_service(&self, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
        if **self.service_name != *SERVICE {
            return Err(value(
                self.input_key("services"),
                format!("there is no service {}", self.service_name),
                format!("Use {SERVICE}, or set {} to a component that has this service.", self.input_key("component")),
            ));
        }
        let mut others = Named::new("types are not there");
        for other in self.service.types.iter().flatten().filter(|kind| *kind != TYPE) {
            let other = shortened(other);
            others.add(|| format!("{}: there is no type {other}; the service has {TYPE} alone", self.key("types")));
        }
        warnings.extend(others.warnings());
        Ok(())
    }

    fn table(&self, component: &Component) -> Result<Table, ConfigError> {
        let tag = match (&self.service.override_devo_tag, component) {
            (Some(tag), _) => tag,
            (None, Component::Bundled) => TABLE,
            (None, Component::File { .. }) => {
                return Err(Cause::KeyMissing(self.key("override_devo_tag"))
                    .remedy("Set it to the Devo table that the component's events go to."));
            }
        };
        tag.parse().map_err(|error| value(self.key("override_devo_tag"), format!("{error}"), "Correct the tag."))
    }

    fn token(&self) -> Result<Secret, ConfigError> {
        let Input { credentials, .. } = self.input;
        let text = credentials.token.as_ref().or(self.input.token.as_ref());
        let file = credentials.token_file.as_ref().or(self.input.token_file.as_ref());
        let file = file.map(|file| self.files.readable(&self.input_key("token_file"), file)).transpose()?;
        Secret::new(text, file).ok_or_else(|| {
            Cause::KeyMissing(self.input_key("credentials.token"))
                .remedy("Set it to the API token from your CloudSEK admin portal, or token_file to a file with it.")
        })
    }

    fn proxy(&self) -> Result<Option<Secret>, ConfigError> {
        let (url, file) = (&self.input.proxy_url, &self.input.proxy_url_file);
        let key = self.input_key("proxy_url");
        self.policy.flag(&key, url.is_some() || file.is_some(), self.policy.allow_proxy, "proxies")?;
        let file =
            file.as_ref().map(|file| self.files.readable(&self.input_key("proxy_url_file"), file)).transpose()?;
        Ok(Secret::new(url.as_ref(), file))
    }

    fn api(&self, base_url: &str, token: SecretString, limits: &Limits) -> Result<ApiClientSettings, ConfigError> {
        let (input, policy) = (self.input, self.policy);
        policy.flag(&self.input_key("allow_http"), input.allow_http, policy.allow_http, "APIs without TLS")?;
        policy.flag(
            &self.input_key("allow_private_addresses"),
            input.allow_private_addresses,
            policy.allow_private_addresses,
            "private addresses",
        )?;
        let origin = Origin::parse(base_url, input.allow_http)
            .map_err(|error| value(self.input_key("base_url"), error.to_string(), "Correct base_url."))?;
        let mut settings = ApiClientSettings::new(origin);
        self.policy.api(&self.input_key("base_url"), &settings.origin)?;
        settings.addresses = policy.addresses(input.allow_private_addresses);
        settings.threads = self.files.threads();
        let ca_file = input.ca_file.as_ref().map(|file| self.files.certificate(&self.input_key("ca_file"), file));
        settings.ca_file = ca_file.transpose()?;
        if let Some(proxy) = self.proxy()? {
            let url = proxy
                .read()
                .map_err(|error| value(self.input_key("proxy_url"), error.to_string(), "Give the proxy's address."))?;
            // Without a password it is no secret, and the operator has to know it again.
            password_of(&url).iter().for_each(|password| self.secrets.add(password));
            settings.proxy = ProxySettings::Url(url);
        }
        if let Some(name) = &input.request.auth_header {
            settings.auth_header = name.parse().map_err(|error: CredentialHeaderError| {
                value(self.input_key("request.auth_header"), error.to_string(), "Correct the name.")
            })?;
        }
        if let Some(prefix) = &input.request.auth_prefix {
            settings.auth_prefix.clone_from(prefix);
        }
        settings.token = Some(token);
        settings.max_body_in_bytes = limits.max_body_in_bytes;
        Ok(settings)
    }

    /// A period. What a configuration gets that asks for nothing is never too short.
    fn seconds(&self, key: String, asked: Option<u64>, default: u64) -> Result<Duration, ConfigError> {
        let shortest = self.policy.quota.shortest_period;
        let Some(seconds) = asked else { return Ok(Duration::from_secs(default).max(shortest)) };
        if seconds == 0 {
            return Err(value(key, "0 would never wait", "Give at least 1."));
        }
        let period = Duration::from_secs(seconds);
        if period > LONGEST {
            return Err(value(key, format!("{seconds} seconds are more than a year"), "Give a shorter time."));
        }
        quota::at_least(key, period, shortest)?;
        Ok(period)
    }
}

/// What a URL has between `://` and `@`, which is sent to a proxy, and the password in it.
fn password_of(url: &SecretString) -> Vec<SecretString> {
    let authority =
        url.expose_secret().split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let Some((_, password)) = user.split_once(':') else { return Vec::new() };
    [user, password].map(SecretString::from).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_proxy_is_known_by_itself() {
        let found = |url: &str| -> Vec<String> {
            password_of(&url.into()).iter().map(|secret| secret.expose_secret().to_owned()).collect()
        };
        assert_eq!(found("http://me:p@ss@proxy:1/x@y"), ["me:p@ss", "p@ss"]);
        assert!(["http://me@proxy", "http://proxy:1/@", "proxy"].into_iter().all(|url| found(url).is_empty()));
    }
}
