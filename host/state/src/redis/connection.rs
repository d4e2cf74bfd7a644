//! The one connection to a redis server: made to an address that policy permits, with TLS, password and
//! database, made anew when it breaks, and what goes wrong with it in words. What is asked over it is left to
//! the database.
//!
//! A question has one deadline, for all that it takes: looking the name up, connecting, and the whole answer.
//! A server that sends a byte now and then gets no more time by it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collector_files::{RootedPath, Threads};
use collector_model::{Secret, TenantName};
use collector_net::{
    AddressPolicy, ConnectError, DialError, LookupError, Peer, TrustError, connect, store_client_config,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::protocol::{Answer, AnswerError, Command, read_answer};
use crate::error::{RedisProblem, StateError};

/// How long a question may take, to the last byte of its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The part of it after which a connection that was idle is taken for a dead one, so that there is time for a
/// new one.
const FOR_THE_OLD_ONE: Duration = Duration::from_millis(2500);

/// How long nobody tries again after a wait in vain. All services share the connection: without this, a
/// thousand of them would wait one after the other for a server that does not answer, each for its own five
/// seconds.
const REST: Duration = Duration::from_secs(1);

/// The largest answer to anything but a request for a value.
pub(super) const SMALL: usize = 64 * 1024;

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

/// Where the server is and who asks.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// The name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// At which addresses it may be.
    pub addresses: AddressPolicy,
    /// The user of the password; the server's default one if not given.
    pub username: Option<String>,
    /// Read for each connection: it may have been replaced.
    pub password: Option<Secret>,
    /// The number of the database.
    pub db: i64,
    /// Whether to speak TLS.
    pub tls: bool,
    /// With TLS, the certificates to trust in place of the system's.
    pub ca_file: Option<RootedPath>,
    /// Where tenants share a process, whose state it is: others may keep theirs in the same database.
    pub tenant: Option<TenantName>,
    /// The threads on which it is waited for.
    pub threads: Threads,
}

/// The way to a server.
pub(super) struct Link {
    settings: RedisSettings,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    runtime: Handle,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    connection: Option<Connection>,
    /// When a wait was in vain, and why.
    in_vain: Option<(Instant, RedisProblem)>,
}

type Connection = BufReader<Box<dyn Stream>>;

/// TCP, or TLS over TCP.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why a question has no answer that could be used.
enum Failure {
    /// The server has said no.
    Refused(Refusal),
    /// There is no connection, or none any more.
    Broken(RedisProblem),
}

/// A server's refusal.
struct Refusal {
    text: String,
}

impl Link {
    /// Connects to nothing yet. What is waited for later is waited for on this runtime.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub(super) fn new(settings: RedisSettings, runtime: Handle) -> Result<Self, StateError> {
        match tls(&settings) {
            Ok(tls) => Ok(Self { settings, tls, runtime, line: Mutex::default() }),
            Err(problem) => Err(failed(&settings, problem)),
        }
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Asks on the connection that there is; if that one breaks, once more on a new one. So every command
    /// must be one that may be repeated. `most` is the largest value that is read; `read` knows what kind of
    /// answer there must be.
    ///
    /// # Errors
    /// [`StateError::Redis`].
    pub(super) fn ask<T>(
        &self,
        command: &Command,
        most: usize,
        read: impl Fn(Answer) -> Option<T>,
    ) -> Result<T, StateError> {
        // A panic elsewhere can't leave it half changed: a connection under way is not in it.
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, problem)) = &line.in_vain
            && since.elapsed() < REST
        {
            return Err(self.failed(problem.clone()));
        }
        let began = Instant::now();
        let asking = self.ask_on(&mut line.connection, command, most, read, began + PATIENCE);
        let answer = block_in_place(|| self.runtime.block_on(asking));
        let in_vain = answer.as_ref().err().filter(|_| began.elapsed() >= REST);
        line.in_vain = in_vain.map(|problem| (Instant::now(), problem.clone()));
        answer.map_err(|problem| self.failed(problem))
    }

    /// Takes the connection out while it is in use: what is not known to be in order is not put back. An
    /// answer that comes too late, or is left over from one that was not understood, would be taken for that
    /// to the next question, which may be another service's.
    async fn ask_on<T>(
        &self,
        place: &mut Option<Connection>,
        command: &Command,
        most: usize,
        read: impl Fn(Answer) -> Option<T>,
        deadline: Instant,
    ) -> Result<T, RedisProblem> {
        if let Some(mut connection) = place.take() {
            let patience = deadline - (PATIENCE - FOR_THE_OLD_ONE);
            match exchange(&mut connection, command, most, &read, patience).await {
                Ok(answer) => {
                    *place = Some(connection);
                    return Ok(answer);
                }
                Err(Failure::Refused(refusal)) if refusal.leaves_in_order() => {
                    *place = Some(connection);
                    return Err(refusal.into());
                }
                // Closed while it was idle, or half-open since the server was started anew, or to one that
                // was primary.
                Err(_) => {}
            }
        }
        let mut connection = self.connect(deadline).await?;
        let answer = exchange(&mut connection, command, most, &read, deadline).await;
        if answer.is_ok() || matches!(&answer, Err(Failure::Refused(refusal)) if refusal.leaves_in_order()) {
            *place = Some(connection);
        }
        answer.map_err(RedisProblem::from)
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, RedisProblem> {
        let RedisSettings { host, port, addresses, threads, .. } = &self.settings;
        let tcp = connect(&Peer { host, port: *port, addresses, threads }, deadline).await?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some((name, config)) => {
                let handshake = TlsConnector::from(config.clone()).connect(name.clone(), tcp);
                let secured = timeout_at(deadline, handshake).await.map_err(|_| RedisProblem::TimedOut(PATIENCE))?;
                Box::new(secured.map_err(|error| RedisProblem::Unreachable(error.to_string()))?)
            }
        };
        let mut connection = BufReader::new(stream);
        if let Some(password) = &self.settings.password {
            self.log_in(&mut connection, password, deadline).await?;
        }
        if self.settings.db != 0 {
            let select = Command::new(&[b"SELECT", self.settings.db.to_string().as_bytes()]);
            exchange(&mut connection, &select, SMALL, status, deadline).await.map_err(|failure| match failure {
                Failure::Refused(refusal) if refusal.code() == "ERR" && !refusal.is_of_the_clients_number() => {
                    RedisProblem::NoSuchDatabase(self.settings.db)
                }
                other => other.into(),
            })?;
        }
        Ok(connection)
    }

    async fn log_in(
        &self,
        connection: &mut Connection,
        password: &Secret,
        deadline: Instant,
    ) -> Result<(), RedisProblem> {
        let password = password.read().map_err(|error| RedisProblem::PasswordUnreadable(error.to_string()))?;
        let password = password.expose_secret().as_bytes();
        let auth = match &self.settings.username {
            Some(username) => Command::new(&[b"AUTH", username.as_bytes(), password]),
            None => Command::new(&[b"AUTH", password]),
        };
        exchange(connection, &auth, SMALL, status, deadline).await.map_err(|failure| match failure {
            Failure::Refused(refusal)
                if ["WRONGPASS", "ERR"].contains(&refusal.code()) && !refusal.is_of_the_clients_number() =>
            {
                RedisProblem::PasswordRefused
            }
            other => other.into(),
        })
    }

    pub(super) fn failed(&self, problem: RedisProblem) -> StateError {
        failed(&self.settings, problem)
    }
}

/// One question and the whole of its answer.
async fn exchange<T>(
    connection: &mut Connection,
    command: &Command,
    most: usize,
    read: impl Fn(Answer) -> Option<T>,
    deadline: Instant,
) -> Result<T, Failure> {
    let exchange = async {
        connection.write_all(command.bytes()).await?;
        connection.flush().await?;
        read_answer(connection, most).await
    };
    let answer = timeout_at(deadline, exchange).await.map_err(|_| RedisProblem::TimedOut(PATIENCE))?;
    match answer.map_err(RedisProblem::from)? {
        Answer::Refusal(text) => Err(Failure::Refused(Refusal { text })),
        answer => read(answer).ok_or(Failure::Broken(RedisProblem::NotRedis)),
    }
}

/// The answer to what is done or not, in a word.
pub(super) fn status(answer: Answer) -> Option<()> {
    matches!(answer, Answer::Status(_)).then_some(())
}

/// The answer in a number.
pub(super) fn number(answer: Answer) -> Option<i64> {
    match answer {
        Answer::Number(number) => Some(number),
        _ => None,
    }
}

/// A value, if there is one.
pub(super) fn value(answer: Answer) -> Option<Option<Vec<u8>>> {
    match answer {
        Answer::Value(value) => Some(Some(value)),
        Answer::Nothing => Some(None),
        _ => None,
    }
}

/// A list of values.
pub(super) fn values(answer: Answer) -> Option<Vec<Vec<u8>>> {
    match answer {
        Answer::Values(values) => Some(values),
        _ => None,
    }
}

fn tls(settings: &RedisSettings) -> Result<Option<(ServerName<'static>, Arc<ClientConfig>)>, RedisProblem> {
    if !settings.tls {
        return Ok(None);
    }
    let name = ServerName::try_from(settings.host.clone());
    let name = name.map_err(|_| RedisProblem::Unreachable(format!("{:?} is no host name", settings.host)))?;
    let config = store_client_config(settings.ca_file.as_ref()).map_err(|error| match error {
        TrustError::CaFile { path, problem } => RedisProblem::CaFile { path, reason: problem.to_string() },
        TrustError::NoRootCertificates => RedisProblem::NoRootCertificates,
    })?;
    Ok(Some((name, config)))
}

fn failed(settings: &RedisSettings, problem: RedisProblem) -> StateError {
    StateError::Redis { address: format!("{}:{}", settings.host, settings.port), problem }
}

impl Refusal {
    /// Whether the connection is as good after this as before it: the server has said no, and may say yes to
    /// the next. Not so a server that became a replica: the name may lead to the new primary already.
    fn leaves_in_order(&self) -> bool {
        self.code() != "READONLY"
    }

    /// The first word.
    fn code(&self) -> &str {
        let code = self.text.split(' ').next().unwrap_or_default();
        // Before redis 7, what a command in a script is refused with comes last: "ERR Error running script
        // (call to f_…): @user_script:1: @user_script: 1: -OOM command not allowed when …".
        let within = Some(&self.text).filter(|text| code == "ERR" && text.contains("@user_script"));
        let within = within.and_then(|text| text.rsplit_once(": -"));
        within.and_then(|(_, refusal)| refusal.split(' ').next()).unwrap_or(code)
    }

    /// The answer to whatever is asked first, which may be the password.
    fn is_of_the_clients_number(&self) -> bool {
        self.text.contains("max number of clients")
    }
}

/// Without the server's own words, for some of them repeat what was said to it: the password among it.
impl From<Refusal> for RedisProblem {
    fn from(refusal: Refusal) -> Self {
        match refusal.code() {
            "NOAUTH" => Self::PasswordMissing,
            "ERR" if refusal.is_of_the_clients_number() => Self::TooManyClients,
            code => {
                let known = CODES.into_iter().find(|known| *known == code);
                Self::Server { code: known.unwrap_or("an error of its own") }
            }
        }
    }
}

impl From<Failure> for RedisProblem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Broken(problem) => problem,
        }
    }
}

impl From<RedisProblem> for Failure {
    fn from(problem: RedisProblem) -> Self {
        Self::Broken(problem)
    }
}

impl From<AnswerError> for RedisProblem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Io(error) => Self::Unreachable(error.to_string()),
            AnswerError::Foreign => Self::NotRedis,
            AnswerError::TooLarge { size, most } => Self::TooLarge { size, most },
        }
    }
}

impl From<ConnectError> for RedisProblem {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(refused) => Self::AddressRefused { address: refused.address, range: refused.range },
            ConnectError::LookUp(LookupError::TimedOut) | ConnectError::Dial(DialError::TimedOut) => {
                Self::TimedOut(PATIENCE)
            }
            other => Self::Unreachable(other.to_string()),
        }
    }
}
