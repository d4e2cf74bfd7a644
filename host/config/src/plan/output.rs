//! Where events go, and what each output is told of the collector itself.

use std::time::Duration;

use collector_delivery::{Address, Compression, DeadLetters, DevoSettings, Pkcs12File, Tls, TlsFiles, Transport};
use collector_files::RootedPath;
use collector_model::{KnownSecrets, Name, Secret};

use super::LONGEST;
use crate::document::{Output, OutputConfig, Pkcs};
use crate::error::{Cause, ConfigError, value};
use crate::files::Files;
use crate::permissions;
use crate::policy::Policy;
use crate::quota;

/// The port of Devo's own receivers. Relays have none that could be taken for granted.
const DEVO_PORT: u16 = 443;

/// How often the original reports what its senders have sent.
const DEFAULT_STATISTICS_PERIOD_IN_SECONDS: u64 = 300;

/// One output.
#[derive(Debug, Clone)]
pub struct OutputPlan {
    /// Its name in the configuration.
    pub name: Name,
    /// What is at the other end.
    pub receiver: Receiver,
    /// From one report of what was sent to the next.
    pub statistics_period: Duration,
    /// Whether it gets the collector's own messages and metrics, beside the events.
    pub takes_internal_messages: bool,
}

/// What is at the other end of an output.
#[derive(Debug, Clone)]
pub enum Receiver {
    /// Somebody who speaks Devo's protocol, over TLS or not.
    Devo(Box<DevoSettings>),
    /// Standard output.
    Console,
}

impl OutputPlan {
    pub(super) fn new(
        name: &Name,
        output: &Output,
        files: &Files,
        policy: &Policy,
        secrets: &KnownSecrets,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let keys = Keys { output: name, files, policy, secrets };
        let config = &output.config;
        warnings.extend(keys.exposed(config)?);
        let receiver = match output.kind.as_str() {
            "devo_platform" | "relay" => keys.devo(config, Transport::Tls(keys.tls(config)?), Some(DEVO_PORT))?,
            "in_house_relay" | "syslog" | "sidecar" => keys.devo(config, Transport::Tcp, None)?,
            "console" | "stdout" => {
                policy.permit(&format!("outputs.{name}.type"), policy.allow_console, "standard output")?;
                Receiver::Console
            }
            other => {
                return Err(value(
                    format!("outputs.{name}.type"),
                    format!("there is no type {other}"),
                    "Use devo_platform, relay, in_house_relay, syslog, sidecar, console or stdout.",
                ));
            }
        };
        let seconds = config.period_sender_stats_in_seconds.unwrap_or(DEFAULT_STATISTICS_PERIOD_IN_SECONDS);
        keys.within("period_sender_stats_in_seconds", seconds, 60, 1800)?;
        Ok(Self {
            name: name.clone(),
            takes_internal_messages: matches!(receiver, Receiver::Devo(_)) && config.internal_messages.unwrap_or(true),
            receiver,
            statistics_period: Duration::from_secs(seconds),
        })
    }

    /// How many connections its events are spread over.
    pub fn senders(&self) -> usize {
        match &self.receiver {
            Receiver::Devo(settings) => settings.concurrent_connections,
            Receiver::Console => 1,
        }
    }
}

/// Reads the keys of one output.
struct Keys<'a> {
    output: &'a str,
    files: &'a Files,
    policy: &'a Policy,
    secrets: &'a KnownSecrets,
}

impl Keys<'_> {
    fn name(&self, field: &str) -> String {
        format!("outputs.{}.config.{field}", self.output)
    }

    fn required<T: Clone>(&self, field: &str, given: &Option<T>) -> Result<T, ConfigError> {
        given.clone().ok_or_else(|| {
            Cause::KeyMissing(self.name(field))
                .remedy("Add it; docs/configuration.md lists what each type of output needs.")
        })
    }

    fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        field: &str,
        given: T,
        least: T,
        most: T,
    ) -> Result<T, ConfigError> {
        if least <= given && given <= most {
            return Ok(given);
        }
        Err(value(
            self.name(field),
            format!("{given} is not within {least} and {most}"),
            format!("Give a number from {least} to {most}."),
        ))
    }

    fn seconds(&self, field: &str, given: Option<f64>, default: Duration) -> Result<Duration, ConfigError> {
        given.map_or(Ok(default), |seconds| {
            Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST).ok_or_else(|| {
                let remedy = "Give a number of seconds, at most those of a year.";
                value(self.name(field), format!("{seconds} is not a time"), remedy)
            })
        })
    }

    fn devo(
        &self,
        config: &OutputConfig,
        transport: Transport,
        default_port: Option<u16>,
    ) -> Result<Receiver, ConfigError> {
        let host = self.required("address", &config.address)?;
        let port = self.required("port", &config.port.or(default_port))?;
        let address = Address::new(&host, port)
            .map_err(|error| value(self.name("address"), error.to_string(), "Correct the address."))?;
        self.policy.output(&self.name("address"), &host)?;
        let mut settings = DevoSettings::new(self.output, address, transport);
        settings.addresses = self.policy.addresses(self.policy.allow_private_addresses);
        settings.threads = self.files.threads();
        if let Some(connections) = config.concurrent_connections {
            settings.concurrent_connections = self.within("concurrent_connections", connections, 1, 64)?;
            quota::at_most(self.name("concurrent_connections"), connections, self.policy.quota.concurrent_connections)?;
        }
        settings.compression = self.compression(config)?;
        if let Some(max_event_in_bytes) = config.max_event_in_bytes {
            let name =
                config.dead_letters_file.clone().unwrap_or_else(|| format!("dead_letters/{}.ndjson", self.output));
            let file = self.files.writable(&self.name("dead_letters_file"), &name)?;
            settings.dead_letters = Some(DeadLetters { max_event_in_bytes, file });
        }
        settings.confirm_timeout =
            self.seconds("confirm_timeout_in_seconds", config.confirm_timeout_in_seconds, settings.confirm_timeout)?;
        settings.sending_timeout = self.seconds("sending_timeout", config.sending_timeout, settings.sending_timeout)?;
        settings.connecting_initial_wait = self.seconds(
            "connecting_initial_wait_in_seconds",
            config.connecting_initial_wait_in_seconds,
            settings.connecting_initial_wait,
        )?;
        settings.connecting_max_wait = self.seconds(
            "connecting_max_wait_in_seconds",
            config.connecting_max_wait_in_seconds,
            settings.connecting_max_wait,
        )?;
        settings.connecting_retries = config.connecting_retries.unwrap_or(settings.connecting_retries);
        settings.sending_retries = config.sending_retries.unwrap_or(settings.sending_retries);
        Ok(Receiver::Devo(Box::new(settings)))
    }

    /// A threshold above 1 is never met: nothing is compressed then.
    fn compression(&self, config: &OutputConfig) -> Result<Option<Compression>, ConfigError> {
        let field = "threshold_for_using_gzip_in_transport_layer";
        let Some(threshold) = config.threshold_for_using_gzip_in_transport_layer else { return Ok(None) };
        let mut compression = Compression::from(self.within(field, threshold, -1.0, 1.1)?);
        if let Some(level) = config.compression_level {
            compression.level = self.within("compression_level", level, 0, 9)?;
        }
        if let Some(bytes) = config.compression_buffer_in_bytes {
            compression.buffer_in_bytes = bytes;
        }
        Ok(Some(compression).filter(|compression| compression.threshold <= 1.0))
    }

    fn tls(&self, config: &OutputConfig) -> Result<Tls, ConfigError> {
        let tls = match &config.pkcs {
            Some(pkcs) => {
                let chain = self.named("chain", &config.chain)?;
                Tls::from_pkcs12(&self.pkcs12(pkcs)?, chain.as_ref())
            }
            None => Tls::from_files(&TlsFiles {
                chain: self.file("chain", &config.chain)?,
                cert: self.file("cert", &config.cert)?,
                key: self.file("key", &config.key)?,
            }),
        };
        let tls = tls.map_err(|error| {
            Cause::Certificates { output: self.output.to_owned(), reason: error.to_string() }
                .remedy("Nothing was started.")
        })?;
        Ok(if config.verify_hostname.unwrap_or(true) { tls } else { tls.without_host_name_check() })
    }

    /// Warnings of files that others can read, and should not.
    fn exposed(&self, config: &OutputConfig) -> Result<impl Iterator<Item = String>, ConfigError> {
        let key = self.named("key", &config.key)?;
        let pkcs = config.pkcs.as_ref().map(|pkcs| self.pkcs(pkcs)).transpose()?;
        let password = config.pkcs.as_ref().map(|pkcs| self.password(pkcs)).transpose()?.flatten();
        let warnings = [
            key.and_then(|file| permissions::warning("a private key", &file)),
            pkcs.and_then(|file| permissions::warning("a private key", &file)),
            password.and_then(|file| permissions::warning("a password", &file)),
        ];
        Ok(warnings.into_iter().flatten())
    }

    fn named(&self, field: &str, given: &Option<String>) -> Result<Option<RootedPath>, ConfigError> {
        given.as_ref().map(|name| self.files.certificate(&self.name(field), name)).transpose()
    }

    fn file(&self, field: &str, given: &Option<String>) -> Result<RootedPath, ConfigError> {
        self.files.certificate(&self.name(field), &self.required(field, given)?)
    }

    fn pkcs(&self, pkcs: &Pkcs) -> Result<RootedPath, ConfigError> {
        self.files.certificate(&self.name("pkcs.path"), &pkcs.path)
    }

    fn password(&self, pkcs: &Pkcs) -> Result<Option<RootedPath>, ConfigError> {
        let key = self.name("pkcs.password_file");
        pkcs.password_file.as_ref().map(|file| self.files.readable(&key, file)).transpose()
    }

    fn pkcs12(&self, pkcs: &Pkcs) -> Result<Pkcs12File, ConfigError> {
        let secret = Secret::new(pkcs.password.as_ref(), self.password(pkcs)?);
        let password = secret.map_or_else(|| Ok(Default::default()), |secret| secret.read()).map_err(|error| {
            value(self.name("pkcs.password"), error.to_string(), "Without its password the file can't be opened.")
        })?;
        self.secrets.add(&password);
        Ok(Pkcs12File { file: self.pkcs(pkcs)?, password })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn plan(output: Value) -> Result<OutputPlan, String> {
        let output = serde_json::from_value(output).unwrap();
        let (name, files) = (Name::new("devo_us_1").unwrap(), Files::anywhere("product".into()));
        OutputPlan::new(&name, &output, &files, &Policy::permissive(), &KnownSecrets::default(), &mut Vec::new())
            .map_err(|error| error.to_string())
    }

    fn syslog(more: Value) -> Result<OutputPlan, String> {
        let mut config = json!({"address": "relay.example.com", "port": 13000});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        plan(json!({"type": "syslog", "config": config}))
    }

    fn settings(plan: OutputPlan) -> DevoSettings {
        match plan.receiver {
            Receiver::Devo(settings) => *settings,
            Receiver::Console => panic!("a console"),
        }
    }

    #[test]
    fn the_relays_without_tls_need_an_address_and_a_port_and_nothing_else() {
        for kind in ["in_house_relay", "syslog", "sidecar"] {
            let given = plan(json!({"type": kind, "config": {"address": "10.0.0.7", "port": 601}})).unwrap();
            assert!(matches!(settings(given).transport, Transport::Tcp), "{kind}");
            let error = plan(json!({"type": kind, "config": {"address": "10.0.0.7"}})).unwrap_err();
            assert!(error.contains("[CODE:0004]") && error.contains("outputs.devo_us_1.config.port"), "{error}");
        }
    }

    #[test]
    fn the_old_names_of_keys_are_understood() {
        for old in ["url", "location"] {
            let given = settings(plan(json!({"type": "syslog", "config": {old: "relay", "port": 1}})).unwrap());
            assert_eq!(given.address.to_string(), "relay:1");
        }
        let files = json!({"address": "a", "chain_loc": "c.crt", "cert_loc": "d.crt", "key_loc": "d.key"});
        let error = plan(json!({"type": "devo_platform", "config": files})).unwrap_err();
        assert!(error.contains("product/certs/c.crt does not exist"), "{error}");
    }

    #[test]
    fn a_receiver_with_tls_needs_its_three_files_or_one_of_pkcs12() {
        let error = |config: Value| plan(json!({"type": "relay", "config": config})).unwrap_err();
        assert!(error(json!({"address": "a", "chain": "c", "cert": "d"})).contains("config.key is missing"));
        let pkcs = error(json!({"address": "a", "pkcs": {"path": "domain.p12"}}));
        assert!(pkcs.contains("product/certs/domain.p12"), "{pkcs}");
        let secret = error(json!({"address": "a", "pkcs": {"path": "domain.p12", "password_file": "none"}}));
        assert!(secret.contains("pkcs.password") && secret.contains("product/none"), "{secret}");
    }

    #[test]
    fn defaults_are_the_originals() {
        let given = syslog(json!({})).unwrap();
        assert_eq!(given.statistics_period, Duration::from_secs(300));
        assert!(given.takes_internal_messages);
        let settings = settings(given);
        assert_eq!((settings.concurrent_connections, settings.compression), (1, None));
        assert_eq!((settings.connecting_retries, settings.sending_retries), (5, 5));
        assert_eq!(settings.connecting_initial_wait, Duration::from_secs(2));
        assert_eq!(settings.connecting_max_wait, Duration::from_secs(60));
        assert_eq!(settings.sending_timeout, Duration::from_secs(5));
    }

    #[test]
    fn gzip_is_used_up_to_a_threshold_of_one() {
        let compression = |threshold: f64| {
            let given = syslog(json!({
                "threshold_for_using_gzip_in_transport_layer": threshold,
                "compression_level": 9,
                "compression_buffer_in_bytes": 1000,
            }));
            settings(given.unwrap()).compression
        };
        assert_eq!(compression(-1.0), Some(Compression { threshold: -1.0, level: 9, buffer_in_bytes: 1000 }));
        assert!(compression(1.0).is_some() && compression(1.1).is_none());
    }

    #[test]
    fn what_is_too_large_is_put_aside_in_the_product_folder() {
        assert_eq!(settings(syslog(json!({})).unwrap()).dead_letters, None);
        let letters = settings(syslog(json!({"max_event_in_bytes": 1000})).unwrap()).dead_letters.unwrap();
        assert_eq!(letters.file.path(), Path::new("product/dead_letters/devo_us_1.ndjson"));
    }

    #[test]
    fn what_is_out_of_range_is_named_with_the_range() {
        for (key, value, range) in [
            ("period_sender_stats_in_seconds", json!(59), "60 to 1800"),
            ("period_sender_stats_in_seconds", json!(1801), "60 to 1800"),
            ("threshold_for_using_gzip_in_transport_layer", json!(1.2), "-1 to 1.1"),
            ("concurrent_connections", json!(0), "1 to 64"),
            ("sending_timeout", json!(-1), "seconds"),
            ("confirm_timeout_in_seconds", json!(1e19), "a year"),
        ] {
            let error = syslog(json!({key: value})).unwrap_err();
            assert!(error.contains(&format!("outputs.devo_us_1.config.{key}")) && error.contains(range), "{error}");
        }
        let level =
            syslog(json!({"threshold_for_using_gzip_in_transport_layer": 0, "compression_level": 10})).unwrap_err();
        assert!(level.contains("compression_level") && level.contains("0 to 9"), "{level}");
    }

    #[test]
    fn internal_messages_can_be_switched_off_and_never_go_to_the_console() {
        assert!(!syslog(json!({"internal_messages": false})).unwrap().takes_internal_messages);
        assert!(!plan(json!({"type": "console"})).unwrap().takes_internal_messages);
        assert!(plan(json!({"type": "printer"})).unwrap_err().contains("outputs.devo_us_1.type"));
    }
}
