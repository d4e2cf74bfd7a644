//! The one connection to a redis server: made with time-outs, TLS, password and database, made anew when it
//! breaks, and what goes wrong with it in words. What is asked over it is left to the database.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::{
    Client, Cmd, Connection, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, TlsCertificates, cmd,
};
use collector_files::{RootedPath, Threads};
use collector_model::Secret;
use secrecy::ExposeSecret;

use crate::error::{RedisProblem, StateError};

/// How long the server may take to connect, and then for each answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long nobody tries again after a wait in vain. All services share the connection: without this, a
/// thousand of them would wait one after the other for a server that does not answer, each for its own five
/// seconds.
const REST: Duration = Duration::from_secs(1);

/// The refusals that are called by their names. One that is not known could be anything, even the password.
const CODES: [&str; 14] = [
    "BUSY",
    "CLUSTERDOWN",
    "DENIED",
    "ERR",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "WRONGPASS",
    "WRONGTYPE",
];

/// How a certificate in PEM begins. The library takes a file without one for a list of nobody to trust.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The largest `ca_file`.
const MAX_CA_FILE_IN_BYTES: u64 = 4 * 1024 * 1024;

/// Where the server is and who asks.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user of the password; the server's default one if not given.
    pub username: Option<String>,
    /// Read for each connection: it may have been replaced.
    pub password: Option<Secret>,
    /// The number of the database.
    pub db: i64,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The threads on which it is waited for.
    pub threads: Threads,
    /// With TLS, the certificates to trust in place of the system's.
    pub ca_file: Option<RootedPath>,
}

/// The way to a server.
pub(super) struct Link {
    settings: RedisSettings,
    client: Client,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    /// When a wait was in vain, and why.
    in_vain: Option<(Instant, RedisProblem)>,
}

impl Link {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub(super) fn new(settings: RedisSettings) -> Result<Self, StateError> {
        match client(&settings) {
            Ok(client) => Ok(Self { settings, client, line: Mutex::default() }),
            Err(problem) => Err(failed(&settings, problem)),
        }
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Asks on the connection that there is; if that one breaks, once more on a new one. So every command
    /// must be one that may be repeated.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub(super) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StateError> {
        // A panic elsewhere can't leave it half changed: a connection under way is not in it.
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, problem)) = &line.in_vain
            && since.elapsed() < REST
        {
            return Err(self.failed(problem.clone()));
        }
        let began = Instant::now();
        let answer = self.ask_on(&mut line.connection, command);
        let in_vain = answer.as_ref().err().filter(|_| began.elapsed() >= REST);
        line.in_vain = in_vain.map(|problem| (Instant::now(), problem.clone()));
        answer.map_err(|problem| self.failed(problem))
    }

    /// Takes the connection out while it is in use: what is not known to be in order is not put back. An
    /// answer that comes too late, or is left over from one that was not understood, would be taken for that
    /// to the next question, which may be another service's.
    fn ask_on<T: FromRedisValue>(&self, place: &mut Option<Connection>, command: &Cmd) -> Result<T, RedisProblem> {
        if let Some(mut connection) = place.take() {
            match command.query(&mut connection) {
                Ok(answer) => {
                    *place = Some(connection);
                    return Ok(answer);
                }
                Err(error) if in_order(&error) => {
                    *place = Some(connection);
                    return Err(problem(&error));
                }
                // Closed while it was idle, or half-open since the server was started anew, or to one that
                // was primary.
                Err(_) => {}
            }
        }
        let mut connection = self.connect()?;
        let answer = command.query(&mut connection);
        if answer.as_ref().err().is_none_or(in_order) {
            *place = Some(connection);
        }
        answer.map_err(|error| problem(&error))
    }

    fn connect(&self) -> Result<Connection, RedisProblem> {
        let mut connection = self.client.get_connection_with_timeout(PATIENCE).map_err(|error| problem(&error))?;
        let timeouts = connection.set_read_timeout(Some(PATIENCE));
        timeouts.and_then(|()| connection.set_write_timeout(Some(PATIENCE))).map_err(|error| problem(&error))?;
        if let Some(password) = &self.settings.password {
            let password = password.read().map_err(|error| RedisProblem::PasswordUnreadable(error.to_string()))?;
            let mut command = cmd("AUTH");
            command.arg(&self.settings.username).arg(password.expose_secret());
            command.query::<()>(&mut connection).map_err(|error| match problem(&error) {
                RedisProblem::Server { code: "WRONGPASS" | "ERR" } => RedisProblem::PasswordRefused,
                other => other,
            })?;
        }
        if self.settings.db != 0 {
            cmd("SELECT").arg(self.settings.db).query::<()>(&mut connection).map_err(|error| {
                match problem(&error) {
                    RedisProblem::Server { code: "ERR" } => RedisProblem::NoSuchDatabase(self.settings.db),
                    other => other,
                }
            })?;
        }
        Ok(connection)
    }

    pub(super) fn failed(&self, problem: RedisProblem) -> StateError {
        failed(&self.settings, problem)
    }
}

fn client(settings: &RedisSettings) -> Result<Client, RedisProblem> {
    let (host, port) = (settings.host.clone(), settings.port);
    let address = if settings.tls {
        // The library takes the process's provider, and would panic where two crates brought one each.
        let _ = rustls::crypto::ring::default_provider().install_default();
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    // Password and database are named by `connect`, which tells the server's answers apart.
    let plain = RedisConnectionInfo::default().set_skip_set_lib_name();
    let info = address.into_connection_info().map_err(|error| problem(&error))?.set_redis_settings(plain);
    let (true, Some(file)) = (settings.tls, &settings.ca_file) else {
        return Client::open(info).map_err(|error| problem(&error));
    };
    let unusable = |reason: String| RedisProblem::CaFile { path: file.path().to_owned(), reason };
    let pem = file.read(MAX_CA_FILE_IN_BYTES).map_err(|error| unusable(error.to_string()))?;
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
    Client::build_with_tls(info, certificates).map_err(|error| unusable(error.to_string()))
}

fn failed(settings: &RedisSettings, problem: RedisProblem) -> StateError {
    StateError::Redis { address: format!("{}:{}", settings.host, settings.port), problem }
}

/// Whether the connection is as good after this error as before it: the server has said no, and may say yes
/// to the next. Not so a server that became a replica: the name may lead to the new primary already.
fn in_order(error: &RedisError) -> bool {
    code(error).is_some_and(|code| code != "READONLY")
}

/// Without the server's own words, for some of them repeat what was said to it: the password among it.
fn problem(error: &RedisError) -> RedisProblem {
    match (error.kind(), code(error)) {
        _ if error.is_timeout() => RedisProblem::TimedOut(PATIENCE),
        (ErrorKind::Io | ErrorKind::Client, _) => RedisProblem::Unreachable(error.to_string()),
        (_, Some("NOAUTH")) => RedisProblem::PasswordMissing,
        // The answer to whatever is asked first, which may be the password.
        (_, Some("ERR")) if error.detail().is_some_and(|detail| detail.contains("max number of clients")) => {
            RedisProblem::TooManyClients
        }
        (_, Some(code)) => {
            let known = CODES.into_iter().find(|known| *known == code);
            RedisProblem::Server { code: known.unwrap_or("an error of its own") }
        }
        _ => RedisProblem::NotRedis,
    }
}

/// The first word of a server's refusal.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    // Before redis 7, what a command in a script is refused with comes last: "ERR Error running script (call
    // to f_…): @user_script:1: @user_script: 1: -OOM command not allowed when …".
    let within = error.detail().filter(|detail| code == "ERR" && detail.contains("@user_script"));
    let within = within.and_then(|detail| detail.rsplit_once(": -"));
    Some(within.and_then(|(_, refusal)| refusal.split(' ').next()).unwrap_or(code))
}
