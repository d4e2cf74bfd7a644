//! What one service pulls, how often, and what it may use.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;
use secrecy::SecretString;
use serde_json::Value;

use super::super::document::{Input, Service};
use super::super::error::{Cause, ConfigError, value};
use super::super::permissions;
use super::{Identity, Limits, certificate, scalar};
use crate::egress::{ApiClientSettings, Origin, ProxySettings};
use crate::rate::{self, InputLimiter, Limiter};
use crate::secret::Secret;
use crate::senders::Table;

/// The specification's period.
const DEFAULT_PERIOD_IN_SECONDS: u64 = 60;

/// How often the original checks the credentials again.
const DEFAULT_REFRESH_IN_SECONDS: u64 = 600;

/// The one type that the service has in the original.
const TYPE: &str = "predefined";

/// One service: what is pulled, how often, and what it may use.
#[derive(Debug)]
pub struct ServicePlan {
    pub identity: Identity,
    /// From the start of one pull to the start of the next.
    pub period: Duration,
    /// From one check of the credentials to the next.
    pub refresh: Duration,
    /// How to reach the API, the credential with it.
    pub api: ApiClientSettings,
    /// Where the credential comes from; it may change.
    pub token: Secret,
    /// The `override_*` keys that are set.
    pub overrides: Vec<&'static str>,
    /// The only table that the component may write to.
    pub table: Table,
    /// What each request has to pass.
    pub limiter: Limiter,
    /// What the component is told: flat names and values, never a secret.
    pub settings: Vec<(String, String)>,
    pub limits: Limits,
}

/// Reads the keys of one service, and those of its input.
pub(super) struct Keys<'a> {
    pub input_name: &'a str,
    pub input: &'a Input,
    pub service_name: &'a str,
    pub service: &'a Service,
    pub product: &'a Path,
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
        if service_name != "alerts" {
            return Err(value(
                self.input_key("services"),
                format!("there is no service {service_name}"),
                "Use alerts.",
            ));
        }
        for other in service.types.iter().flatten().filter(|kind| *kind != TYPE) {
            warnings.push(format!("{}: there is no type {other}; the service has {TYPE} alone", self.key("types")));
        }
        let base_url = [&service.override_base_url, &service.base_url, &input.base_url, &input.credentials.base_url]
            .into_iter()
            .find_map(Clone::clone)
            .ok_or_else(|| {
                Cause::KeyMissing(self.input_key("base_url")).cure("Set it to the address of your CloudSEK instance.")
            })?;
        let token = self.token()?;
        if let Secret::File(file) = &token {
            warnings.extend(permissions::warning("the token", file));
        }
        let current = token.read().map_err(|error| {
            let cure = "Put the API token from your CloudSEK admin portal there.";
            value(self.input_key("credentials.token"), error.to_string(), cure)
        })?;
        let id = scalar(&input.id)
            .ok_or_else(|| value(self.input_key("id"), "it is neither a text nor a number", "Give a short name."))?;
        let table = service.override_devo_tag.as_deref().unwrap_or("drp.cloudsek.xvigil.alerts");
        let overrides = [
            ("override_base_url", service.override_base_url.is_some()),
            ("override_devo_tag", service.override_devo_tag.is_some()),
        ];
        let limits = rate::read(service.requests_limits.as_ref(), service.requests_per_second.as_ref())?;
        Ok(ServicePlan {
            identity: Identity { input: input_name.to_owned(), id, service: service_name.to_owned() },
            period: seconds(
                self.key("request_period_in_seconds"),
                service.request_period_in_seconds.unwrap_or(DEFAULT_PERIOD_IN_SECONDS),
            )?,
            refresh: seconds(
                self.input_key("autoconfig.refresh_interval_in_seconds"),
                input.autoconfig.refresh_interval_in_seconds.unwrap_or(DEFAULT_REFRESH_IN_SECONDS),
            )?,
            api: self.api(&base_url, current)?,
            token,
            overrides: overrides.into_iter().filter_map(|(key, is_set)| is_set.then_some(key)).collect(),
            table: table
                .parse()
                .map_err(|error| value(self.key("override_devo_tag"), format!("{error}"), "Correct the tag."))?,
            limiter: limiter.service(&limits),
            settings: component_settings(input, service, base_url),
            limits: Limits::new(&input.limits),
        })
    }

    fn token(&self) -> Result<Secret, ConfigError> {
        let Input { credentials, .. } = self.input;
        let text = credentials.token.as_ref().or(self.input.token.as_ref());
        let file = credentials.token_file.as_deref().or(self.input.token_file.as_deref());
        Secret::new(text, file, self.product).ok_or_else(|| {
            Cause::KeyMissing(self.input_key("credentials.token"))
                .cure("Set it to the API token from your CloudSEK admin portal, or token_file to a file with it.")
        })
    }

    fn api(&self, base_url: &str, token: SecretString) -> Result<ApiClientSettings, ConfigError> {
        let input = self.input;
        let origin = Origin::parse(base_url, input.allow_http)
            .map_err(|error| value(self.input_key("base_url"), error.to_string(), "Correct base_url."))?;
        let mut settings = ApiClientSettings::new(origin);
        settings.allow_private_addresses = input.allow_private_addresses;
        settings.ca_file = input.ca_file.as_ref().map(|file| certificate(self.product, file));
        if let Some(proxy) = Secret::new(input.proxy_url.as_ref(), input.proxy_url_file.as_deref(), self.product) {
            let url = proxy
                .read()
                .map_err(|error| value(self.input_key("proxy_url"), error.to_string(), "Give the proxy's address."))?;
            settings.proxy = ProxySettings::Url(url);
        }
        if let Some(name) = &input.request.auth_header {
            settings.auth_header = HeaderName::try_from(name.as_str()).map_err(|_| {
                let reason = format!("{name} is not a header's name");
                value(self.input_key("request.auth_header"), reason, "Correct the name.")
            })?;
        }
        if let Some(prefix) = &input.request.auth_prefix {
            settings.auth_prefix.clone_from(prefix);
        }
        settings.token = Some(token);
        if let Some(cap) = input.max_body_in_bytes {
            settings.max_body_in_bytes = cap;
        }
        Ok(settings)
    }
}

fn seconds(key: String, seconds: u64) -> Result<Duration, ConfigError> {
    if seconds == 0 {
        return Err(value(key, "0 would never wait", "Give at least 1."));
    }
    Ok(Duration::from_secs(seconds))
}

/// What the component reads through its configuration interface. No secret may be among it.
fn component_settings(input: &Input, service: &Service, base_url: String) -> Vec<(String, String)> {
    let request = &input.request;
    let filter = request.time_filter.as_ref();
    let optional = [
        ("environment", input.environment.clone()),
        ("initial_start_time_in_utc", service.initial_start_time_in_utc.as_ref().and_then(scalar)),
        ("reset_persistence_auth", service.reset_persistence_auth.as_ref().and_then(scalar)),
        ("obfuscation_data", service.obfuscation_data.as_ref().map(Value::to_string)),
        ("overlap_in_seconds", service.overlap_in_seconds.map(|seconds| seconds.to_string())),
        ("override_devo_tag", service.override_devo_tag.clone()),
        ("request.path", request.path.clone()),
        ("request.page_param", request.page_param.clone()),
        ("request.limit_param", request.limit_param.clone()),
        ("request.limit", request.limit.map(|limit| limit.to_string())),
        ("request.records", request.records.clone()),
        ("request.id", request.id.clone()),
        ("request.time", request.time.clone()),
        ("request.time_filter.param", filter.map(|filter| filter.param.clone())),
        ("request.time_filter.form", filter.and_then(|filter| filter.form.clone())),
    ];
    let given = optional.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    std::iter::once(("base_url".to_owned(), base_url)).chain(given).collect()
}
