//! The metrics, in the text format of Prometheus (version 0.0.4). They are read off the services when
//! somebody asks, so that a service that nobody looks at costs no more than its counters.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector_model::metrics::{Account, Count, Memory, Progress};
use collector_model::{CallLimit, Limit};
use nix::time::{ClockId, clock_gettime};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::registry::RunningService;

pub use prometheus_text::CONTENT_TYPE;

/// The metrics of the process and of these services.
pub fn text(services: Vec<RunningService>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry.register_collector(Box::new(Services(services)));
    let mut text = String::new();
    // A string takes everything.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

/// The process, under the names that Prometheus's own clients give these metrics.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let computed = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
        let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        let mut counter = encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system time that the process has computed",
            None,
            MetricType::Counter,
        )?;
        counter.encode_counter::<NoLabelSet, _, u64>(&computed.as_secs_f64(), None)?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", Memory::now().rss),
            ("process_open_fds", "Files and connections that are open", open_files),
        ] {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        let mut info =
            encoder.encode_descriptor("devo_collector_build", "The version of this program", None, MetricType::Info)?;
        info.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

/// Services, each with the labels `tenant`, `input` and `service`.
struct Services(Vec<RunningService>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} services", self.0.len())
    }
}

impl Collector for Services {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (count, name, help) in [
            (Count::Calls, "calls", "Calls of the component, each on an instance of its own"),
            (Count::Cycles, "cycles", "Pulls that came to their end"),
            (Count::Failures, "failures", "Calls of the component that failed or were ended"),
            (Count::MissedTicks, "missed_ticks", "Pulls that began late or took longer than the period"),
            (Count::Requests, "requests", "Requests to the API"),
            (Count::Received, "events_received", "Records that the API returned"),
            (Count::Duplicates, "events_duplicate", "Records that had been delivered before"),
            (Count::Sent, "events_sent", "Events delivered and confirmed"),
            (Count::DeadLetters, "dead_letters", "Records that can't become events, and are kept as dead letters"),
        ] {
            self.counters(&mut encoder, name, help, |service| service.observed.metrics.count(count))?;
        }
        self.counters(&mut encoder, "computed_seconds", "Time that calls of the component have computed", |service| {
            service.observed.metrics.computed().as_secs_f64()
        })?;
        self.counters(&mut encoder, "instantiation_seconds", "Time that making those instances took", |service| {
            service.observed.metrics.instantiated().as_secs_f64()
        })?;
        self.gauges(&mut encoder, "ready", "Whether the API accepts the credentials", |service| {
            Some(u64::from(service.observed.metrics.is_ready()))
        })?;
        self.gauges(&mut encoder, "last_cycle_seconds", "How long the last pull took", |service| {
            service.observed.metrics.last_cycle().map(|(took, _)| took.as_secs_f64())
        })?;
        self.gauges(
            &mut encoder,
            "last_cycle_timestamp_seconds",
            "When the last pull ended, in Unix time",
            |service| service.observed.metrics.last_cycle().map(|(_, ended)| unix(ended)),
        )?;
        self.progress(&mut encoder)?;
        self.outputs(&mut encoder)?;
        self.limits(&mut encoder)
    }
}

impl Services {
    fn counters<V: EncodeCounterValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&RunningService) -> V,
    ) -> fmt::Result {
        let name = format!("devo_collector_{name}");
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for service in &self.0 {
            family.encode_family(&labels(service))?.encode_counter::<NoLabelSet, _, u64>(&value(service), None)?;
        }
        Ok(())
    }

    fn gauges<V: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&RunningService) -> Option<V>,
    ) -> fmt::Result {
        let name = format!("devo_collector_{name}");
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
        for (service, value) in self.0.iter().filter_map(|service| Some((service, value(service)?))) {
            family.encode_family(&labels(service))?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// How things stand with what the source has, by the last call's word. What is not known has no series.
    fn progress(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(Progress) -> Option<u64>;
        let families: [(&str, &str, Value); 7] = [
            ("backfill_done", "Records that the pass over the whole source has read so far", |progress| {
                Some(progress.backfill?.done)
            }),
            ("backfill_total", "Records that the source says it has", |progress| progress.backfill?.total),
            ("gaps", "Pages that could not be read when they were last asked for", |progress| {
                Some(progress.gaps.into())
            }),
            ("unaccounted", "Records that the source counts and that are on no page that can be read", |progress| {
                match progress.account {
                    Account::Missing(count) => Some(count),
                    Account::Unknown | Account::Unchecked(_) => None,
                }
            }),
            (
                "unaccounted_checkable",
                "Whether it can be told if all records that the source counts were read",
                |progress| match progress.account {
                    Account::Unknown => None,
                    Account::Unchecked(_) => Some(0),
                    Account::Missing(_) => Some(1),
                },
            ),
            ("account_timestamp_seconds", "When that was found, in Unix time", |progress| progress.account_time),
            ("newest_event_timestamp_seconds", "The time of the newest event delivered, in Unix time", |progress| {
                progress.newest_event
            }),
        ];
        for (name, help, value) in families {
            self.gauges(encoder, name, help, |service| service.observed.metrics.progress().and_then(value))?;
        }
        Ok(())
    }

    fn outputs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "devo_collector_output_queue_bytes";
        let help = "Bytes of events that an output has taken and not confirmed";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for service in &self.0 {
            for output in service.observed.outputs.iter() {
                let labels = with(labels(service), ("output", output.name()));
                family.encode_family(&labels)?.encode_gauge(&(output.queued_in_bytes() as u64))?;
            }
        }
        Ok(())
    }

    /// What calls may use, what they have used, and how often that was too much. What can't be measured,
    /// handles, has no use; a limit that was never exceeded has no series.
    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(&RunningService, Limit) -> Option<u64>;
        let families: [(&str, &str, Value); 2] = [
            ("devo_collector_limit", "The limit of a call, in the unit of its setting", |service, limit| {
                Some(service.observed.limits.amount(limit))
            }),
            ("devo_collector_limit_peak", "The most that a call has used since the start", |service, limit| {
                (limit != Limit::EndsCall(CallLimit::Handles)).then(|| service.observed.metrics.peak(limit))
            }),
        ];
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (service, limit, value) in self.each_limit(value) {
                family.encode_family(&with(labels(service), ("limit", limit.key())))?.encode_gauge(&value)?;
            }
        }
        let (name, help) = ("devo_collector_limit_breaches", "How often a limit was reached");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let exceeded = |service: &RunningService, limit| {
            Some(service.observed.metrics.exceeded(limit)).filter(|&exceeded| exceeded > 0)
        };
        for (service, limit, exceeded) in self.each_limit(exceeded) {
            let labels = with(labels(service), ("limit", limit.key()));
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&exceeded, None)?;
        }
        Ok(())
    }

    fn each_limit(
        &self,
        value: impl Fn(&RunningService, Limit) -> Option<u64>,
    ) -> impl Iterator<Item = (&RunningService, Limit, u64)> {
        self.0
            .iter()
            .flat_map(|service| Limit::ALL.map(|limit| (service, limit)))
            .filter_map(move |(service, limit)| Some((service, limit, value(service, limit)?)))
    }
}

type Label<'a> = (&'static str, &'a str);

fn labels(service: &RunningService) -> [Label<'_>; 3] {
    let identity = &service.observed.identity;
    [("tenant", &*service.tenant), ("input", identity.input()), ("service", identity.service())]
}

fn with<'a>([tenant, input, service]: [Label<'a>; 3], more: Label<'a>) -> impl EncodeLabelSet + 'a {
    [tenant, input, service, more]
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
