//! The collector without a host of this project: composed with adapters, served by Node, called by a
//! scheduler, delivering to Devo's HTTP ingestion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use packaging::compose::{COMPOSITIONS, Composition, interfaces};
use sandbox::PATIENCE;
use sandbox::conformance::{Peer, node, python};
use sandbox::ingestion::{DOMAIN, Ingestion, TOKEN};
use sandbox::process::Process;
use sandbox::simulator::Fault;
use sandbox::stage::{Plan, Stage};
use serde_json::{Value, json};

/// A source, an ingestion endpoint, and a composition that Node serves between them.
struct Served {
    stage: Stage,
    ingestion: Ingestion,
    server: Process,
    port: u64,
    folder: PathBuf,
}

impl Served {
    fn start(composition: &str, alerts: usize) -> Result<Self> {
        let stage = Stage::set("composed", &Plan { https: false, ..Plan::new(alerts) })?;
        let ingestion = Ingestion::start()?;
        let folder = folder(&stage)?;
        let component = compose(composition, &folder)?;
        let mut served = Self { server: serve(&component, &folder)?, stage, ingestion, port: 0, folder };
        served.configure(&[])?;
        let line = served.server.wait_for_line(&[r#"{"port":"#], PATIENCE)?;
        served.port = serde_json::from_str::<Value>(&line)?["port"].as_u64().context("a port")?;
        Ok(served)
    }

    fn configure(&self, changes: &[(&str, &str)]) -> Result<()> {
        let (token, url) = (self.stage.simulator.token(), self.ingestion.url());
        let mut settings = BTreeMap::from([
            ("base_url", self.stage.simulator.base_url()),
            ("token", token),
            ("devo_url", url),
            ("devo_domain", DOMAIN.to_owned()),
            ("devo_token", TOKEN.to_owned()),
        ]);
        settings.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Ok(std::fs::write(self.folder.join("settings.json"), serde_json::to_string(&settings)?)?)
    }

    /// What the scheduler does.
    fn request(&self, method: Method) -> Result<(u16, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = Request::builder().method(method).uri(format!("http://127.0.0.1:{}/", self.port));
        let request = request.body(Full::new(Bytes::new()))?;
        runtime.block_on(async {
            let answer = Client::builder(TokioExecutor::new()).build_http().request(request);
            let response = tokio::time::timeout(PATIENCE, answer).await??;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? }))
        })
    }

    /// A request is answered with a summary that says so, and all that the source has is there, once and as
    /// it was.
    fn delivers(&self, sent: usize) -> Result<()> {
        let (status, summary) = self.request(Method::POST)?;
        let right = status == 200 && summary["sent"] == sent && summary["up_to_date"] == true;
        ensure!(right, "{status} {summary}, and {sent} were to be sent{}", self.server.tail());
        self.ingestion.compare(&self.stage.source).exactly_once()
    }

    fn fails(&self, status: u16, error: &str, code: u16) -> Result<Value> {
        let (answered, problem) = self.request(Method::POST)?;
        let right = answered == status && problem["error"] == error && problem["code"] == code;
        ensure!(right, "{answered} {problem} instead of {status} {error} {code}{}", self.server.tail());
        Ok(problem)
    }
}

fn folder(stage: &Stage) -> Result<PathBuf> {
    let folder = stage.folder.path().join("platform");
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

fn compose(name: &str, folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{name}.wasm"));
    std::fs::write(&path, Composition::named(name)?.compose()?)?;
    Ok(path)
}

fn serve(component: &Path, folder: &Path) -> Result<Process> {
    let mut command = node("serve.mjs")?;
    command.arg(component).arg(folder);
    // As the platform's only bucket is called.
    if component.ends_with("cloudsek-xvigil-spin.wasm") {
        command.arg("default");
    } else if component.ends_with("cloudsek-xvigil-wasmcloud.wasm") {
        command.arg("cloudsek-xvigil");
    }
    Process::start("node", command, &folder.join("log"))
}

#[test]
fn every_composition_that_is_served_pulls_and_delivers() {
    for name in ["cloudsek-xvigil-http", "cloudsek-xvigil-spin", "cloudsek-xvigil-wasmcloud"] {
        let mut served = Served::start(name, 250).unwrap();
        served.delivers(250).with_context(|| name).unwrap();
        let posts = served.ingestion.posts();
        served.delivers(0).with_context(|| name).unwrap();
        assert_eq!(served.ingestion.posts(), posts, "{name}: a cycle without events posts nothing");
        served.stage.add_newer(120);
        served.delivers(120).with_context(|| name).unwrap();
    }
}

#[test]
fn what_devo_did_not_take_is_sent_again() {
    let served = Served::start("cloudsek-xvigil-http", 120).unwrap();
    for (status, said) in [(503, "Devo answered with the status 503."), (401, "Devo refused the token: status 401.")] {
        served.ingestion.fail(status);
        let problem = served.fails(502, "PullError", 300).unwrap();
        assert!(problem["reason"].as_str().unwrap().contains(said), "{problem}");
    }
    served.delivers(120).unwrap();
}

#[test]
fn a_failure_is_answered_with_its_code_and_the_next_request_goes_on() {
    let served = Served::start("cloudsek-xvigil-http", 20).unwrap();
    served.stage.simulator.fail(1, Fault::Status(403));
    served.fails(502, "ApiError", 403).unwrap();
    served.configure(&[("base_url", "api.example.com")]).unwrap();
    served.fails(500, "InitVariablesError", 3).unwrap();
    served.configure(&[("devo_token", "")]).unwrap();
    let problem = served.fails(502, "PullError", 300).unwrap();
    assert!(problem["reason"].as_str().unwrap().contains("the setting devo_token is missing"), "{problem}");
    served.configure(&[]).unwrap();
    served.delivers(20).unwrap();
    let secrets = [served.stage.simulator.token(), TOKEN.to_owned(), TOKEN.replace('/', "%2F")];
    let log = served.server.lines().join("\n");
    assert!(secrets.iter().all(|secret| !log.contains(secret.as_str())), "a token is in the log");
}

#[test]
fn only_a_post_runs_a_cycle() {
    let served = Served::start("cloudsek-xvigil-http", 20).unwrap();
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(served.request(method).unwrap(), (405, Value::Null));
    }
    assert_eq!(served.stage.simulator.request_count(), 0);
}

#[test]
fn a_server_that_is_started_anew_goes_on_from_the_state() {
    let mut served = Served::start("cloudsek-xvigil-spin", 120).unwrap();
    served.delivers(120).unwrap();
    served.server.kill().unwrap();
    served.server = serve(&served.folder.join("cloudsek-xvigil-spin.wasm"), &served.folder).unwrap();
    let line = served.server.wait_for_line(&[r#"{"port":"#], PATIENCE).unwrap();
    served.port = serde_json::from_str::<Value>(&line).unwrap()["port"].as_u64().unwrap();
    served.stage.add_newer(10);
    served.delivers(10).unwrap();
}

#[test]
fn events_on_standard_output_are_the_records() {
    let stage = Stage::set("console", &Plan { https: false, ..Plan::new(120) }).unwrap();
    let folder = folder(&stage).unwrap();
    let component = compose("cloudsek-xvigil-console", &folder).unwrap();
    let settings = json!({ "base_url": stage.simulator.base_url(), "token": stage.simulator.token() });
    std::fs::write(folder.join("settings.json"), settings.to_string()).unwrap();
    let mut peer = Peer::start(python("collector.py").unwrap(), &component, &folder).unwrap();
    // What it prints is that of the last call.
    let mut printed = String::new();
    let mut sent = 0;
    for name in std::iter::once("pull").chain(std::iter::repeat_n("backfill", 20)) {
        let summary = peer.call(name).unwrap().unwrap().unwrap();
        printed += &std::fs::read_to_string(folder.join("stdout")).unwrap();
        sent += summary.sent;
        if summary.up_to_date {
            break;
        }
    }
    assert_eq!(sent, 120);
    let ingestion = Ingestion::start().unwrap();
    ingestion.put(sandbox::ALERTS_TABLE, &printed);
    ingestion.compare(&stage.source).exactly_once().unwrap();
}

/// The interfaces of the platforms: a composition asks for nothing else.
#[test]
fn a_composition_imports_what_its_platform_has() {
    for composition in COMPOSITIONS {
        let component = composition.compose().unwrap();
        let (imports, exports) = interfaces(&component).unwrap();
        assert!(imports.iter().all(|name| !name.starts_with("devo:")), "{}: {imports:?}", composition.name);
        let offered = if composition.name.ends_with("console") {
            "devo:collector/service@2.0.0"
        } else {
            "wasi:http/incoming-handler@0.2.0"
        };
        assert_eq!(exports.iter().collect::<Vec<_>>(), [offered], "{}", composition.name);
    }
}
