//! `devo-collector`: pulls CloudSEK XVigil alerts inside a WebAssembly sandbox and delivers them to Devo.
//!
//! This file reads the command line, watches for signals and gives the exit status; `collector` does the rest
//! for one configuration, and `tenants` for many.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use collector_config::{AdminAddress, AdminSettings, HostConfig, Persistence, Place, Plan, Policy, Schema};
use collector_sandbox::{compile_if_asked, usual_cache_folder};
use nix::sys::prctl;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use devo_collector::observe::log::{self, LogQuota, Masks};
use devo_collector::observe::status::allocator;
use devo_collector::observe::telemetry::{self, Messages, Routes};
use devo_collector::tenants::{self, Shown};
use devo_collector::{End, collector};

/// Pulls CloudSEK XVigil alerts and delivers them to Devo.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file, its name in the folder `config`, or the folder that holds `config/`
    #[arg(long, default_value = "config.yaml")]
    config: PathBuf,

    /// The job's file, in the form of Devo's collector server
    #[arg(long = "job_config_loc", requires = "collector_config_loc", conflicts_with = "config")]
    job_config_loc: Option<PathBuf>,

    /// The collector's file, in the form of Devo's collector server
    #[arg(long = "collector_config_loc", requires = "job_config_loc")]
    collector_config_loc: Option<PathBuf>,

    /// Host many tenants: each folder in this one is a tenant, with `config/`, `certs/` and `state/` in it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "job_config_loc", "validate", "no_save_state"])]
    tenants: Option<PathBuf>,

    /// What the operator of a hosting process decides; `host.yaml` beside the folder of the tenants if not
    /// given
    #[arg(long, value_name = "FILE", requires = "tenants")]
    host_config: Option<PathBuf>,

    /// Check the credentials and leave
    #[arg(long)]
    validate: bool,

    /// Keep the state in memory, whatever the configuration says
    #[arg(long)]
    no_save_state: bool,

    /// Folder for compiled components; `devo-collector` in $XDG_CACHE_HOME or ~/.cache if not given
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,

    /// Address for metrics, health and a status page, such as 127.0.0.1:9464 or unix:/path; none of them if
    /// not given
    #[arg(long, value_name = "ADDRESS", conflicts_with = "validate")]
    admin: Option<AdminAddress>,

    /// Name of this machine by which the admin address may be asked for, besides addresses and localhost; may
    /// be given several times
    #[arg(long, value_name = "NAME")]
    admin_name: Vec<String>,

    /// File with a token without which the admin address shows nothing
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// Let the system write the process's memory, secrets included, to a file when it crashes, and let a
    /// debugger attach
    #[arg(long)]
    core_dumps: bool,

    /// How the log is written, on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: log::Format,

    /// Print the JSON schema of the configuration and leave
    #[arg(long)]
    print_config_schema: bool,

    /// Print the JSON schema of `host.yaml` and leave
    #[arg(long)]
    print_host_schema: bool,

    /// Accepted for compatibility with the original collector; this one always runs in production mode
    #[arg(long)]
    prod_mode: bool,
}

impl Arguments {
    fn cache_folder(&self) -> Option<PathBuf> {
        self.cache.clone().or_else(|| usual_cache_folder(|name| std::env::var_os(name).map(PathBuf::from)))
    }

    /// What the command line says of the admin address, over what the operator's file says.
    fn admin(&self, file: AdminSettings) -> AdminSettings {
        AdminSettings {
            address: self.admin.clone().or(file.address),
            names: file.names.into_iter().chain(self.admin_name.clone()).collect(),
            token_file: self.admin_token_file.clone().or(file.token_file),
        }
    }

    fn place(&self) -> Place {
        match (&self.job_config_loc, &self.collector_config_loc) {
            (Some(job), Some(collector)) => Place::CollectorServer { job: job.clone(), collector: collector.clone() },
            _ => Place::OnPremise(self.config.clone()),
        }
    }
}

fn main() -> ExitCode {
    // The same program under another name: it compiles a component for this one.
    if let Some(status) = compile_if_asked() {
        return status;
    }
    let arguments = Arguments::parse();
    let schemas = [(arguments.print_config_schema, Schema::Config), (arguments.print_host_schema, Schema::Host)];
    if let Some((_, schema)) = schemas.into_iter().find(|(is_asked, _)| *is_asked) {
        print!("{}", schema.text());
        return ExitCode::SUCCESS;
    }
    if let Err(error) = forbid_core_dumps(&arguments) {
        // How the log is written is not known yet.
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    let end = match &arguments.tenants {
        Some(folder) => host(folder, &arguments),
        None => collect(&arguments),
    };
    match end {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::Failed) => ExitCode::FAILURE,
        Err(error) => {
            collector::report(&error);
            ExitCode::FAILURE
        }
    }
}

/// From now on a crash writes no memory to a file, and no other program of our user reads it: before there is
/// any secret in it.
fn forbid_core_dumps(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.core_dumps {
        return Ok(());
    }
    prctl::set_dumpable(false).context("core dumps can't be switched off; --core-dumps leaves them as they are")
}

/// Runs one configuration.
fn collect(arguments: &Arguments) -> anyhow::Result<End> {
    allocator::retain_freed();
    let plan = collector_config::read(&arguments.place()).and_then(|source| Plan::new(source, &Policy::permissive()));
    let (routes, messages) = (Routes::default(), Messages::default());
    routes.add(None, messages.clone());
    let masks = Masks::default();
    if let Ok(plan) = &plan {
        masks.add(None, plan.secrets.clone());
    }
    arguments.log_format.start(
        plan.as_ref().is_ok_and(|plan| plan.debug),
        telemetry::Layer(routes, masks.clone()),
        masks,
        LogQuota::default(),
    );
    let mut plan = plan?;
    if arguments.no_save_state {
        plan.persistence = Persistence::Memory;
    }
    let (cache, admin) = (arguments.cache_folder(), arguments.admin(AdminSettings::default()));
    run(async |stop| {
        if arguments.validate {
            collector::validate(plan, cache.as_deref(), stop).await
        } else {
            Ok(collector::run(plan, cache.as_deref(), &admin, messages, stop).await)
        }
    })
}

/// Runs the configurations of many tenants.
fn host(folder: &Path, arguments: &Arguments) -> anyhow::Result<End> {
    allocator::limit_arenas();
    let host = HostConfig::read(arguments.host_config.as_deref(), folder);
    let (routes, masks) = (Routes::default(), Masks::default());
    let log_quota =
        host.as_ref().map(|host| LogQuota::new(host.policy.quota.log_in_bytes_a_minute)).unwrap_or_default();
    arguments.log_format.start(
        host.as_ref().is_ok_and(|host| host.debug),
        telemetry::Layer(routes.clone(), masks.clone()),
        masks.clone(),
        log_quota.clone(),
    );
    let mut host = host?;
    host.admin = arguments.admin(host.admin);
    let cache = arguments.cache_folder();
    run(async |stop| tenants::run(folder, host, cache.as_deref(), Shown { routes, masks, log_quota }, stop).await)
}

/// Runs `work` until it ends, and tells it of signals.
fn run(work: impl AsyncFnOnce(CancellationToken) -> anyhow::Result<End>) -> anyhow::Result<End> {
    // Two at least: one that a component computes on, and one for everybody else.
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let end = runtime.block_on(async { work(stop_on_signals()?).await });
    // A look-up or a write that hangs in the system must not hold up the end.
    runtime.shutdown_background();
    end
}

/// SIGTERM and SIGINT stop the collector in good order.
fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        let (name, code) = tokio::select! {
            _ = terminate.recv() => ("Terminated", 15),
            _ = interrupt.recv() => ("Interrupt", 2),
        };
        info!("Received the \"{name}\" system signal (code: {code}), all the processes will be gracefully stopped");
        stopping.cancel();
    });
    Ok(stop)
}
