//! Why a state could not be opened, read or written, each with the place and a remedy. Whether one stops a
//! service or only a cycle is left to the callers.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use collector_files::Refusal;
use collector_net::AddressRange;
use thiserror::Error;

use super::name::PREVIOUS_SUFFIX;

/// A state that could not be opened, read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The folder can't be used.
    #[error("the state folder {path}: {problem}", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: FolderProblem,
    },
    /// There is a value, and it is not the one that was written.
    #[error(
        "the state file {path} is not usable: {damage}; {remedy}",
        path = .path.display(),
        remedy = corrupt_remedy(.damage, .path)
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The operating system did not let the file be read.
    #[error("the state file {path} can't be read: {source}; check its permissions and the disk", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The new value could not be stored. The old one is as it was.
    #[error(
        "the state file {path} can't be written, its old content is kept: {source}; check permissions and free space",
        path = .path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// All values together would be too many bytes. The old value is as it was.
    #[error(
        "the values of all services of this tenant would have {wanted} bytes together, and may have {most} \
         (quota.stored_in_bytes); have fewer services, or ask the operator for more"
    )]
    QuotaExceeded {
        /// The bytes that they would have.
        wanted: u64,
        /// The bytes that they may have.
        most: u64,
    },
    /// The redis server can't be used, or not for this.
    #[error("the state in redis at {address}: {problem}")]
    Redis {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        problem: RedisProblem,
    },
    /// Bucket and key together are longer than a file name can be.
    #[error(
        "the state name \"{name}\" is too long for a file: {length} bytes where {limit} fit; shorten the input's name or id"
    )]
    NameTooLong {
        /// The file name it would have.
        name: String,
        /// Its length in bytes.
        length: usize,
        /// The longest that fits.
        limit: usize,
    },
}

impl StateError {
    /// Whether the same may go well a little later without anybody's doing, as after an outage of a server:
    /// the value itself is not known to be damaged.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Redis { problem, .. } => match problem {
                RedisProblem::Unreachable(_) | RedisProblem::TimedOut(_) | RedisProblem::TooManyClients => true,
                // A name may lead back tomorrow.
                RedisProblem::AddressRefused { .. } => true,
                RedisProblem::Server { code } => {
                    matches!(*code, "BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "NOREPLICAS" | "READONLY")
                }
                _ => false,
            },
            // Of a network file system, or of a process with too many open files.
            Self::Read { source, .. } | Self::Write { source, .. } => {
                let lasts = [ErrorKind::PermissionDenied, ErrorKind::IsADirectory, ErrorKind::NotADirectory];
                match Refusal::of(source) {
                    // As a full disk: somebody may remove something.
                    Some(refusal) => matches!(refusal, Refusal::QuotaExceeded { .. }),
                    None => !lasts.contains(&source.kind()),
                }
            }
            // Another service may need less.
            Self::QuotaExceeded { .. } => true,
            Self::Folder { .. } | Self::Corrupt { .. } | Self::NameTooLong { .. } => false,
        }
    }
}

/// Why a folder can't hold state.
#[derive(Debug, Error)]
pub enum FolderProblem {
    /// It does not exist and can't be made.
    #[error("can't be created ({0}); create it, or correct persistence.config.directory_name")]
    Create(io::Error),
    /// Something else has its name.
    #[error("is not a folder; correct persistence.config.directory_name")]
    NotAFolder,
    /// Files can't be made in it.
    #[error("can't be written to ({0}); make it writable for the user that runs the collector")]
    NotWritable(io::Error),
    /// It can't be listed.
    #[error("can't be read ({0}); make it readable for the user that runs the collector")]
    NotReadable(io::Error),
    /// Another process has it.
    #[error(
        "is in use by another collector: two on one folder would overwrite each other's state; stop the other one, or give this one a folder of its own"
    )]
    InUse,
    /// It is not the folder that was opened any more.
    #[error(
        "was removed, replaced or unmounted while the collector was running; bring it back and start the collector again"
    )]
    Gone,
    /// Its file system has no locks.
    #[error("can't be locked ({0}); use a file system with locks, such as a local disk")]
    NoLocks(io::Error),
}

/// Why a redis server can't hold state.
#[derive(Clone, Debug, Error)]
pub enum RedisProblem {
    /// It is where the operator of this host does not let it be.
    #[error(
        "{address} is a {range} address, which is not permitted; name another server, or ask the operator, who can list this one in host.yaml (redis_servers)"
    )]
    AddressRefused {
        /// The address.
        address: IpAddr,
        /// What it is reserved for.
        range: AddressRange,
    },
    /// No connection, or it broke.
    #[error("no connection ({0}); check that the server runs, and host, port and tls of persistence.config")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}; check the server, the network, and tls of persistence.config")]
    TimedOut(Duration),
    /// It has as many clients as it takes.
    #[error("it takes no further clients; raise its maxclients, or stop others")]
    TooManyClients,
    /// The certificates to trust can't be had.
    #[error("its ca_file {path} can't be used: {reason}; correct persistence.config.ca_file", path = .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no `ca_file`, and the machine trusts nobody.
    #[error("no root certificates were found on this machine; set persistence.config.ca_file")]
    NoRootCertificates,
    /// Its answer is larger than what could have been asked for.
    #[error("its answer has {size} bytes or elements, where at most {most} bytes can be meant; check host and port")]
    TooLarge {
        /// As announced.
        size: u64,
        /// As there may be.
        most: u64,
    },
    /// It wants a password.
    #[error("it asks for a password; set persistence.config.password or password_file")]
    PasswordMissing,
    /// The password itself can't be had.
    #[error("its password can't be read: {0}")]
    PasswordUnreadable(String),
    /// It does not take this password.
    #[error(
        "it does not take the password, or has none set; correct username, password or password_file of persistence.config"
    )]
    PasswordRefused,
    /// It has fewer databases.
    #[error("it has no database {0}; correct persistence.config.db")]
    NoSuchDatabase(i64),
    /// It answers in another protocol.
    #[error("what answers there is no redis server; check host, port and tls of persistence.config")]
    NotRedis,
    /// It refused the command.
    #[error("it refused with {code}; {remedy}", remedy = server_remedy(.code))]
    Server {
        /// The first word of its answer, such as `OOM` or `READONLY`.
        code: &'static str,
    },
    /// Another process has written the same state since it was read here.
    #[error(
        "another collector writes the same state; stop one of the two, or give this one another input id or database"
    )]
    WrittenByAnother,
    /// What was there is gone.
    #[error(
        "the state that was there is gone: the server was emptied, or came back without its data; restore it and start the collector again (started without it, it sends all alerts again)"
    )]
    Lost,
    /// There is a value, and it is not the one that was written.
    #[error(
        "the field {field} of {hash} is not usable: {damage}; restore it, or remove it with HDEL to start anew (alerts then come again)"
    )]
    Corrupt {
        /// The hash of the bucket.
        hash: String,
        /// The key.
        field: String,
        /// What is wrong with it.
        damage: Damage,
    },
}

fn server_remedy(code: &str) -> &'static str {
    match code {
        "OOM" => "its memory is full: raise maxmemory, and use the policy noeviction",
        "READONLY" => "it is a replica: name the primary",
        "LOADING" => "it is still loading its data: wait until it has",
        "MISCONF" => "it can't save to its disk: mend that first",
        "NOREPLICAS" => "it has too few replicas to write: mend those first",
        "NOPERM" => "its user may not do that: allow PING, HGET, HSET, HDEL, HEXISTS, HKEYS, GET and EVAL",
        "DENIED" => "it takes nobody from another machine without a password: set one there and in persistence.config",
        "MOVED" | "CLUSTERDOWN" => "it is part of a cluster: use one that is not",
        "WRONGTYPE" => "another program keeps something else under that name: use another db",
        _ => "see the server's log",
    }
}

/// What is wrong with a state file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Damage {
    /// The first line is not that of a state file.
    #[error("its first line is damaged")]
    Header,
    /// A later collector wrote it.
    #[error("it has format version {0}, and this collector knows version 1")]
    NewerVersion(u32),
    /// Too short or too long.
    #[error("it holds {found} bytes where {expected} were written")]
    Length {
        /// As the first line says.
        expected: u64,
        /// As there are.
        found: u64,
    },
    /// More than a value may have.
    #[error("it has {size} bytes, and a value may have {most} (limits.state_in_bytes)")]
    TooLarge {
        /// As there are.
        size: u64,
        /// As there may be.
        most: u64,
    },
    /// Other bytes than were written.
    #[error("its checksum does not match its content")]
    Checksum,
    /// The file is gone, and the one before it is there.
    #[error("it is gone, while the state before it is still there")]
    Missing,
}

fn corrupt_remedy(damage: &Damage, path: &std::path::Path) -> String {
    let path = path.display();
    match damage {
        Damage::NewerVersion(_) => {
            "run the newer collector again, or set reset_persistence_auth to start anew".to_owned()
        }
        _ => format!(
            "rename {path}{PREVIOUS_SUFFIX} to that name to go on from the state before it (some alerts come again), or set reset_persistence_auth to start anew"
        ),
    }
}
