//! The line `global_status`: what runs, under the original's names of processes and threads.

use std::io;

use collector_config::OutputPlan;
use collector_model::metrics::Memory;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::{MAIN_THREAD, SenderNames, ServiceThreads};

/// The names under which parts of the collector run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalStatus {
    input: Vec<String>,
    output: Vec<String>,
}

impl GlobalStatus {
    /// Of the threads of these services and outputs.
    pub fn new<'a>(services: impl Iterator<Item = &'a ServiceThreads>, outputs: &[OutputPlan]) -> Self {
        let main = || vec![MAIN_THREAD.to_owned()];
        let mut input = main();
        for threads in services {
            input.extend([&threads.setup, &threads.puller, &threads.service, &threads.input].map(String::clone));
        }
        let mut output = main();
        outputs.iter().for_each(|plan| output.extend(SenderNames::new(plan).all()));
        Self { input, output }
    }

    /// The line for the log. Both of the original's processes are this one.
    pub fn line(&self, memory: Memory) -> String {
        let process = |names: &[String]| Process {
            process_id: std::process::id(),
            process_status: "running",
            thread_counter: names.len(),
            thread_names: names.to_vec(),
            memory_info: MemoryInfo { rss: memory.rss, vms: memory.vms },
        };
        let line = Line { input_process: process(&self.input), output_process: process(&self.output) };
        format!("global_status: {}", as_python_writes_it(&line))
    }
}

/// The members in the original's order.
#[derive(Serialize)]
struct Line {
    input_process: Process,
    output_process: Process,
}

#[derive(Serialize)]
struct Process {
    process_id: u32,
    process_status: &'static str,
    thread_counter: usize,
    thread_names: Vec<String>,
    memory_info: MemoryInfo,
}

/// In bytes.
#[derive(Serialize)]
struct MemoryInfo {
    rss: u64,
    vms: u64,
}

/// JSON with a blank after commas and colons: whoever cuts this line up expects them.
fn as_python_writes_it(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    // Nothing here can fail: memory takes every write, and names and numbers are always JSON.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, Blanks));
    String::from_utf8_lossy(&text).into_owned()
}

struct Blanks;

impl Formatter for Blanks {
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use collector_config::Component;
    use collector_config::Receiver;
    use collector_model::Identity;

    #[test]
    fn the_line_begins_as_the_specifications() {
        let identity = Identity::new("cloudsek", "cloudsek_1", "alerts").unwrap();
        let output = OutputPlan {
            name: collector_model::Name::new("devo_us_1").unwrap(),
            receiver: Receiver::Console,
            statistics_period: Duration::from_secs(300),
            takes_internal_messages: false,
        };
        let line = GlobalStatus::new([ServiceThreads::new(&identity, &Component::Bundled)].iter(), &[output])
            .line(Memory::default());
        let id = std::process::id();
        let expected = format!(
            "global_status: {{\"input_process\": {{\"process_id\": {id}, \"process_status\": \"running\", \"thread_counter\": 5, \
             \"thread_names\": [\"MainThread\", \"CloudSekPullerSetup(cloudsek,cloudsek#cloudsek_1,alerts#predefined)\""
        );
        assert!(line.starts_with(&expected), "{line}");
        assert!(line.contains("\"ConsoleSenderManagerMonitor(internal_senders,devo_us_1)\""), "{line}");
    }
}
