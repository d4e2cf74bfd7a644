//! The part of the world `collector` that this program implements itself; wasi:http,
//! wasi:clocks and wasi:io are those of the wasmtime project.

use collector_model::metrics;

use exports::devo::collector::service::{Account, Progress, Summary, Uncheckable};

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package devo:host;

        world implemented {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:logging/logging@0.1.0-draft;
            import devo:collector/output@2.0.0;
            export devo:collector/service@2.0.0;
        }
    ",
    world: "devo:host/implemented",
    imports: {
        "devo:collector/output": async | trappable,
        "wasi:keyvalue/store": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:keyvalue/store.bucket": crate::host::keyvalue::OpenBucket,
    },
    require_store_data_send: true,
});

impl From<Summary> for metrics::Summary {
    fn from(summary: Summary) -> Self {
        let Summary { requests, received, duplicates, sent, dead_letters, up_to_date, progress } = summary;
        Self { requests, received, duplicates, sent, dead_letters, up_to_date, progress: progress.into() }
    }
}

impl From<Progress> for metrics::Progress {
    fn from(progress: Progress) -> Self {
        let Progress { backfill, gaps, account, account_time, newest_event } = progress;
        Self {
            backfill: backfill.map(|pass| metrics::BackfillProgress { done: pass.done, total: pass.total }),
            gaps,
            account: match account {
                Account::Unknown => metrics::Account::Unknown,
                Account::Missing(count) => metrics::Account::Missing(count),
                Account::Unchecked(why) => metrics::Account::Unchecked(match why {
                    Uncheckable::NoTotal => metrics::Uncheckable::NoTotal,
                    Uncheckable::Refuted => metrics::Uncheckable::Refuted,
                    Uncheckable::Capped => metrics::Uncheckable::Capped,
                }),
            },
            account_time: account_time.map(|time| time.seconds),
            newest_event: newest_event.map(|time| time.seconds),
        }
    }
}
