//! The line `global_status`: what runs, under the original's names of processes and threads.

use serde_json::json;

use super::memory::Memory;
use crate::config::Identity;

/// The sender services: events, lookups, and the collector's own messages.
pub const SENDER_SERVICES: [&str; 3] = ["standard_senders", "lookup_senders", "internal_senders"];

/// The names under which parts of the collector run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threads {
    input: Vec<String>,
    output: Vec<String>,
}

impl Threads {
    /// The threads of these services and of the outputs with these names.
    pub fn new(services: &[Identity], outputs: &[String]) -> Self {
        let main = || vec![crate::log::MAIN_THREAD.to_owned()];
        let mut input = main();
        for identity in services {
            input.extend([
                identity.puller_setup(),
                identity.puller(),
                identity.service_thread(),
                identity.input_thread(),
            ]);
        }
        let mut output = main();
        for name in outputs {
            output.extend(SENDER_SERVICES.iter().flat_map(|service| {
                [
                    format!("DevoSender({service},devo_sender_0)"),
                    format!("DevoSenderManagerMonitor({service},{name})"),
                    format!("DevoSenderManager({service},manager,{name})"),
                ]
            }));
        }
        Self { input, output }
    }

    /// The line for the log. Both of the original's processes are this one.
    pub fn line(&self, memory: Memory) -> String {
        let process = |names: &[String]| {
            json!({
                "process_id": std::process::id(),
                "process_status": "running",
                "thread_counter": names.len(),
                "thread_names": names,
                "memory_info": {"rss": memory.rss, "vms": memory.vms},
            })
        };
        format!(
            "global_status: {}",
            json!({"input_process": process(&self.input), "output_process": process(&self.output)})
        )
    }
}
