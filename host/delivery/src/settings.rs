//! What the configuration says about one Devo output.

use std::sync::Arc;
use std::time::Duration;

use collector_files::Threads;

use crate::connection::Address;
use crate::dead_letters::DeadLetters;
use crate::frame::Compression;
use crate::tls::Tls;

/// How the bytes of an output travel.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS with a client certificate: the output types `devo_platform` and `relay`.
    Tls(Tls),
    /// Plain TCP: the output types `in_house_relay`, `syslog` and `sidecar`.
    Tcp,
}

/// Settings of one Devo output. [`DevoSettings::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct DevoSettings {
    /// The output's name in the configuration, as it appears in logs and errors.
    pub name: Arc<str>,
    /// Where the receiver listens.
    pub address: Address,
    /// How to talk to it.
    pub transport: Transport,
    /// Whether the receiver may be at a loopback, link-local or private address. It may, for relays are.
    pub allow_private_addresses: bool,
    /// The threads on which its name is looked up.
    pub threads: Threads,
    /// Connections that events are spread over; the order of events is kept within each. Another one is
    /// opened when there are more than 64 KiB of unconfirmed events for those before. 1; 0 is taken as 1.
    pub concurrent_connections: usize,
    /// When and how events are compressed. Not at all.
    pub compression: Option<Compression>,
    /// The most of events that are taken and not confirmed, in bytes of their frames. The one bound of the
    /// sender's memory, for all of its connections. A larger single event still passes, alone. 8 MiB.
    pub queue_in_bytes: usize,
    /// Which events are too large, and where they are kept instead. No limit, for Devo documents none.
    pub dead_letters: Option<DeadLetters>,
    /// How long a flush waits for the receiver's end of file. 30 s.
    pub confirm_timeout: Duration,
    /// How long the receiver may take nothing while there is something to send. 5 s.
    pub sending_timeout: Duration,
    /// How often an interrupted delivery is repeated. 5: at most 6 tries.
    pub sending_retries: u32,
    /// How often connecting is tried in all. 5; 0 is taken as 1.
    pub connecting_retries: u32,
    /// The wait before connecting for the second time; it grows from there. 2 s.
    pub connecting_initial_wait: Duration,
    /// The longest wait between two tries. 60 s.
    pub connecting_max_wait: Duration,
    /// The time for looking up the name, connecting and the TLS handshake together. 10 s.
    pub connect_timeout: Duration,
}

impl DevoSettings {
    /// The settings of an output of which nothing but the receiver is configured.
    pub fn new(name: &str, address: Address, transport: Transport) -> Self {
        Self {
            name: name.into(),
            address,
            transport,
            allow_private_addresses: true,
            threads: Threads::of_operator(),
            concurrent_connections: 1,
            compression: None,
            queue_in_bytes: 8 * 1024 * 1024,
            dead_letters: None,
            confirm_timeout: Duration::from_secs(30),
            sending_timeout: Duration::from_secs(5),
            sending_retries: 5,
            connecting_retries: 5,
            connecting_initial_wait: Duration::from_secs(2),
            connecting_max_wait: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
        }
    }
}
