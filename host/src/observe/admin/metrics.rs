//! The metrics, in the text format of Prometheus (version 0.0.4). They are read off the services when
//! somebody asks, so that a service that nobody looks at costs no more than its counters.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector_model::metrics::families::{self, Family, Kind};
use collector_model::metrics::{Account, Count, Memory, Progress};
use collector_model::{CallLimit, Limit};
use collector_sandbox::CallBudget;
use nix::time::{ClockId, clock_gettime};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::observe::log::{Dropped, LogQuota};
use crate::observe::state::Seen;
use crate::service::Observed;

pub use prometheus_text::CONTENT_TYPE;

/// What the tenants of a process share, and who has how much of it.
#[derive(Clone, Default)]
pub struct SharedByTenants {
    /// The memory for calls.
    pub calls: CallBudget,
    /// The log.
    pub log_quota: LogQuota,
}

/// The metrics of the process and of these services; of one tenant alone, if one is asked for.
pub fn text(services: Vec<Seen>, shared: SharedByTenants, tenant: Option<&str>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry.register_collector(Box::new(Shared { shared, tenant: tenant.map(str::to_owned) }));
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
        let mut counter = describe(&mut encoder, &families::PROCESS_CPU)?;
        counter.encode_counter::<NoLabelSet, _, u64>(&computed.as_secs_f64(), None)?;
        for (family, value) in [(families::RESIDENT_MEMORY, Memory::now().rss), (families::OPEN_FILES, open_files)] {
            describe(&mut encoder, &family)?.encode_gauge(&value)?;
        }
        describe(&mut encoder, &families::BUILD)?.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

/// What tenants share.
struct Shared {
    shared: SharedByTenants,
    tenant: Option<String>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.calls.fmt(f)
    }
}

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = self.shared.calls.now();
        for (family, value) in [
            (families::CALLS_UNDER_WAY, now.calls),
            (families::CALLS_WAITING, now.waiting),
            (families::CALL_MEMORY, now.used_in_bytes),
            (families::CALL_MEMORY_LIMIT, now.memory_in_bytes),
        ] {
            describe(&mut encoder, &family)?.encode_gauge(&value)?;
        }
        let mut refused = describe(&mut encoder, &families::CALLS_WITHOUT_MEMORY)?;
        refused.encode_counter::<NoLabelSet, _, u64>(&now.refused, None)?;
        let dropped = self.shared.log_quota.dropped();
        let asked = |name: &str| self.tenant.as_deref().is_none_or(|tenant| tenant == name);
        type Value = fn(&Dropped) -> u64;
        let values: [(Family, Value); 2] = [
            (families::LOG_DROPPED_LINES, |dropped| dropped.lines),
            (families::LOG_DROPPED_BYTES, |dropped| dropped.bytes),
        ];
        for (family, value) in values {
            let mut family = describe(&mut encoder, &family)?;
            for (tenant, dropped) in dropped.iter().filter(|(name, dropped)| asked(name) && dropped.lines > 0) {
                let labels = [("tenant", &**tenant)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value(dropped), None)?;
            }
        }
        Ok(())
    }
}

/// Services, each with the labels `tenant`, `input` and `service`. Those that don't run have a state and
/// nothing else.
struct Services(Vec<Seen>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} services", self.0.len())
    }
}

impl Collector for Services {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for (count, family) in [
            (Count::Calls, families::CALLS),
            (Count::Cycles, families::CYCLES),
            (Count::Failures, families::FAILURES),
            (Count::MissedTicks, families::MISSED_TICKS),
            (Count::Requests, families::REQUESTS),
            (Count::Received, families::EVENTS_RECEIVED),
            (Count::Duplicates, families::EVENTS_DUPLICATE),
            (Count::Sent, families::EVENTS_SENT),
            (Count::DeadLetters, families::DEAD_LETTERS),
        ] {
            self.counters(&mut encoder, &family, |service| service.metrics.count(count))?;
        }
        self.counters(&mut encoder, &families::COMPUTED, |service| service.metrics.computed().as_secs_f64())?;
        self.counters(&mut encoder, &families::INSTANTIATION, |service| service.metrics.instantiated().as_secs_f64())?;
        self.gauges(&mut encoder, &families::READY, |service| Some(u64::from(service.metrics.is_ready())))?;
        self.gauges(&mut encoder, &families::LAST_CYCLE, |service| {
            service.metrics.last_cycle().map(|(took, _)| took.as_secs_f64())
        })?;
        self.gauges(&mut encoder, &families::LAST_CYCLE_TIMESTAMP, |service| {
            service.metrics.last_cycle().map(|(_, ended)| unix(ended))
        })?;
        self.progress(&mut encoder)?;
        self.outputs(&mut encoder)?;
        self.limits(&mut encoder)?;
        self.states(&mut encoder)
    }
}

impl Services {
    fn running(&self) -> impl Iterator<Item = (&Seen, &Observed)> {
        self.0.iter().filter_map(|seen| Some((seen, &**seen.observed.as_ref()?)))
    }

    fn states(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(encoder, &families::STATE)?;
        for seen in &self.0 {
            let labels = with(labels(seen), ("state", seen.state.kind().name()));
            family.encode_family(&labels)?.encode_gauge(&1u64)?;
        }
        Ok(())
    }

    fn counters<V: EncodeCounterValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        family: &Family,
        value: impl Fn(&Observed) -> V,
    ) -> fmt::Result {
        let mut family = describe(encoder, family)?;
        for (seen, observed) in self.running() {
            family.encode_family(&labels(seen))?.encode_counter::<NoLabelSet, _, u64>(&value(observed), None)?;
        }
        Ok(())
    }

    fn gauges<V: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        family: &Family,
        value: impl Fn(&Observed) -> Option<V>,
    ) -> fmt::Result {
        let mut family = describe(encoder, family)?;
        for (seen, value) in self.running().filter_map(|(seen, observed)| Some((seen, value(observed)?))) {
            family.encode_family(&labels(seen))?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// How things stand with what the source has, by the last call's word. What is not known has no series.
    fn progress(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(Progress) -> Option<u64>;
        let values: [(Family, Value); 7] = [
            (families::BACKFILL_DONE, |progress| Some(progress.backfill?.done)),
            (families::BACKFILL_TOTAL, |progress| progress.backfill?.total),
            (families::GAPS, |progress| Some(progress.gaps.into())),
            (families::UNACCOUNTED, |progress| match progress.account {
                Account::Missing(count) => Some(count),
                Account::Unknown | Account::Unchecked(_) => None,
            }),
            (families::UNACCOUNTED_CHECKABLE, |progress| match progress.account {
                Account::Unknown => None,
                Account::Unchecked(_) => Some(0),
                Account::Missing(_) => Some(1),
            }),
            (families::ACCOUNT_TIMESTAMP, |progress| progress.account_time),
            (families::NEWEST_EVENT_TIMESTAMP, |progress| progress.newest_event),
        ];
        for (family, value) in values {
            self.gauges(encoder, &family, |service| service.metrics.progress().and_then(value))?;
        }
        Ok(())
    }

    fn outputs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(encoder, &families::OUTPUT_QUEUE)?;
        for (seen, observed) in self.running() {
            for output in observed.outputs.iter() {
                let labels = with(labels(seen), ("output", output.name()));
                family.encode_family(&labels)?.encode_gauge(&(output.queued_in_bytes() as u64))?;
            }
        }
        Ok(())
    }

    /// What calls may use, what they have used, and how often that was too much. What can't be measured,
    /// handles, has no use; a limit that was never exceeded has no series.
    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        type Value = fn(&Observed, Limit) -> Option<u64>;
        let values: [(Family, Value); 2] = [
            (families::LIMIT, |service, limit| Some(service.limits.amount(limit))),
            (families::LIMIT_PEAK, |service, limit| {
                (limit != Limit::EndsCall(CallLimit::Handles)).then(|| service.metrics.peak(limit))
            }),
        ];
        for (family, value) in values {
            let mut family = describe(encoder, &family)?;
            for (seen, limit, value) in self.each_limit(value) {
                family.encode_family(&with(labels(seen), ("limit", limit.key())))?.encode_gauge(&value)?;
            }
        }
        let mut family = describe(encoder, &families::LIMITS_EXCEEDED)?;
        let exceeded =
            |service: &Observed, limit| Some(service.metrics.exceeded(limit)).filter(|&exceeded| exceeded > 0);
        for (seen, limit, exceeded) in self.each_limit(exceeded) {
            let labels = with(labels(seen), ("limit", limit.key()));
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&exceeded, None)?;
        }
        Ok(())
    }

    fn each_limit(&self, value: impl Fn(&Observed, Limit) -> Option<u64>) -> impl Iterator<Item = (&Seen, Limit, u64)> {
        self.running()
            .flat_map(|running| Limit::ALL.map(|limit| (running, limit)))
            .filter_map(move |((seen, observed), limit)| Some((seen, limit, value(observed, limit)?)))
    }
}

/// Begins a metric: its type and its help.
fn describe<'a>(encoder: &'a mut DescriptorEncoder<'_>, family: &'a Family) -> Result<MetricEncoder<'a>, fmt::Error> {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Info => MetricType::Info,
    };
    // The format ends a help text with a full stop of its own.
    encoder.encode_descriptor(family.name, family.help.trim_end_matches('.'), None, kind)
}

type Label<'a> = (&'static str, &'a str);

fn labels(seen: &Seen) -> [Label<'_>; 3] {
    [("tenant", &*seen.tenant), ("input", &*seen.input), ("service", &*seen.service)]
}

fn with<'a>([tenant, input, service]: [Label<'a>; 3], more: Label<'a>) -> impl EncodeLabelSet + 'a {
    [tenant, input, service, more]
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_of_the_table_is_exported_and_no_other() {
        let text = text(Vec::new(), SharedByTenants::default(), None);
        let names = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
        let exported: BTreeSet<_> = names.map(str::to_owned).collect();
        let declared: BTreeSet<_> = families::ALL.iter().map(Family::series).collect();
        assert_eq!(exported, declared, "{text}");
        assert_eq!(exported.len(), families::ALL.len());
    }
}
