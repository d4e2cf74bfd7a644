//! From a name to addresses. Two ways, for one reason: the system's resolver can't be interrupted.
//!
//! A collector by itself asks the system, as every other program on the machine does. A look-up that is given
//! up goes on there, and holds a thread for as long as a name server likes, which is nobody's loss but its
//! own. Where tenants share a process, who owns a name would decide for how long everybody's threads are
//! gone. So their names are looked up by a [resolver](TokioResolver) that needs no thread and ends with the
//! caller. It reads `/etc/hosts` and `/etc/resolv.conf`, and nothing of `nsswitch.conf`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use collector_files::{NoThread, RootedPath, Threads, Work};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The largest of the two. Lists of blocked names have a few megabytes.
const MAX_FILE_IN_BYTES: u64 = 16 * 1024 * 1024;

/// Made anew when one of the files changes.
static CURRENT: Mutex<Option<Arc<Resolver>>> = Mutex::new(None);

/// Why a name gave no address.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The resolver says no, or could not be asked.
    #[error("{0}")]
    Failed(io::Error),
    /// The name exists and has no address.
    #[error("it has no address")]
    NoAddress,
    /// No answer in time.
    #[error("the resolver did not answer in time")]
    TimedOut,
}

/// The addresses of a host, a name or an address itself. There is at least one.
///
/// # Errors
/// There is none, or none in time.
pub(crate) async fn look_up(
    host: &str,
    port: u16,
    deadline: Instant,
    threads: &Threads,
) -> Result<Vec<SocketAddr>, LookupError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = if threads.is_of_tenant() {
        look_up_ourselves(host, port, deadline, threads).await?
    } else {
        ask_the_system(host, port, deadline, threads).await?
    };
    if found.is_empty() { Err(LookupError::NoAddress) } else { Ok(found) }
}

async fn ask_the_system(
    host: &str,
    port: u16,
    deadline: Instant,
    threads: &Threads,
) -> Result<Vec<SocketAddr>, LookupError> {
    let name = host.to_owned();
    let ask = move || (name, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let patience = deadline.saturating_duration_since(Instant::now());
    let found = timeout_at(deadline, threads.run(Work::LookUp, patience, ask)).await;
    found.map_err(|_| LookupError::TimedOut)?.map_err(LookupError::from)?.map_err(LookupError::Failed)
}

async fn look_up_ourselves(
    host: &str,
    port: u16,
    deadline: Instant,
    threads: &Threads,
) -> Result<Vec<SocketAddr>, LookupError> {
    let look = async {
        let patience = deadline.saturating_duration_since(Instant::now());
        let _turn = threads.turn(Work::LookUp, patience).await?;
        Resolver::current().map_err(LookupError::Failed)?.addresses(host).await
    };
    let addresses = timeout_at(deadline, look).await.map_err(|_| LookupError::TimedOut)??;
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

impl From<NoThread> for LookupError {
    fn from(error: NoThread) -> Self {
        match error {
            NoThread::Busy(_) => Self::TimedOut,
            NoThread::Gone => Self::Failed(io::Error::other(error)),
        }
    }
}

struct Resolver {
    /// Of what the files said then.
    version: [Option<Version>; 2],
    hosts: Hosts,
    servers: TokioResolver,
}

/// What changes with a file.
#[derive(PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    changed: Option<SystemTime>,
    size: u64,
}

impl Resolver {
    /// The one for what the files say now.
    fn current() -> io::Result<Arc<Self>> {
        let version = [HOSTS, RESOLV_CONF].map(Version::of);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = current.as_ref().filter(|resolver| resolver.version == version) {
            return Ok(resolver.clone());
        }
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(read(HOSTS)?.as_slice())?;
        let resolver = Arc::new(Self { version, hosts, servers: servers(&read(RESOLV_CONF)?)? });
        *current = Some(resolver.clone());
        Ok(resolver)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        // What stands in the file is all there is, as the system has it: a name server might not even answer.
        if let Ok(name) = Name::from_str_relaxed(host) {
            let kinds = [RecordType::A, RecordType::AAAA].map(|kind| Query::query(name.clone(), kind));
            let found = kinds.iter().filter_map(|query| self.hosts.lookup_static_host(query));
            let found: Vec<_> =
                found.flat_map(|lookup| lookup.answers().to_vec()).filter_map(|record| record.data.ip_addr()).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        match self.servers.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(NetError::Timeout) => Err(LookupError::TimedOut),
            Err(error) if error.is_nx_domain() => Err(LookupError::Failed(io::Error::other("there is no such name"))),
            Err(error) if error.is_no_records_found() => Err(LookupError::NoAddress),
            Err(error) => Err(LookupError::Failed(io::Error::other(error))),
        }
    }
}

fn servers(resolv_conf: &[u8]) -> io::Result<TokioResolver> {
    let (config, mut options) = parse_resolv_conf(resolv_conf).or_else(|error| {
        // As the system has it: without a name server in the file, there may be one on this machine.
        let names_one =
            resolv_conf.split(|byte| *byte == b'\n').any(|line| line.trim_ascii().starts_with(b"nameserver"));
        let local = || NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let config = || ResolverConfig::from_parts(None, Vec::new(), vec![local()]);
        if names_one { Err(io::Error::other(error)) } else { Ok((config(), ResolverOpts::default())) }
    })?;
    // Nobody finds out by the time that an answer takes which names a neighbour asks for, and who changes
    // where a name leads is believed at once, as without this resolver.
    options.cache_size = 0;
    // Looked at before, and not once for each kind of address.
    options.use_hosts_file = ResolveHosts::Never;
    // It bounds what one connection of TCP carries, for all tenants.
    options.max_active_requests = u16::MAX.into();
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(io::Error::other)
}

/// Nothing where there is no such file.
fn read(path: &str) -> io::Result<Vec<u8>> {
    match RootedPath::of_operator(path).read(MAX_FILE_IN_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        content => content,
    }
}

impl Version {
    fn of(path: &str) -> Option<Self> {
        let metadata = RootedPath::of_operator(path).metadata().ok()?;
        let file = (metadata.dev(), metadata.ino());
        Some(Self { file, changed: metadata.modified().ok(), size: metadata.size() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        for threads in [Threads::of_tenant(), Threads::of_operator()] {
            let found = look_up("::1", 7, Instant::now(), &threads).await.unwrap();
            assert_eq!(found, ["[::1]:7".parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn this_machine_is_known_without_a_name_server() {
        for threads in [Threads::of_tenant(), Threads::of_operator()] {
            let found = look_up("localhost", 7, Instant::now() + std::time::Duration::from_secs(10), &threads).await;
            assert!(found.unwrap().iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        }
    }

    #[tokio::test]
    async fn a_deadline_that_is_over_is_a_time_out() {
        for threads in [Threads::of_tenant(), Threads::of_operator()] {
            let error = look_up("a-name.test", 1, Instant::now(), &threads).await;
            assert!(matches!(error, Err(LookupError::TimedOut | LookupError::Failed(_))), "{error:?}");
        }
    }

    #[test]
    fn a_file_without_a_name_server_means_one_on_this_machine() {
        for text in ["", "search example.com\n", "# nameserver 192.0.2.1\n"] {
            servers(text.as_bytes()).unwrap();
        }
        servers(b"nameserver 192.0.2.1\noptions ndots:2 timeout:1 attempts:1 no-such-option\n").unwrap();
    }
}
