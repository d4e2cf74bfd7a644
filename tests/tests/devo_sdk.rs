//! The bytes on the wire are those of Devo's own sender, devo-sdk, for the same date, host, table and
//! message.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use sandbox::certificates::Certificates;
use sandbox::collector::workspace;
use sandbox::folder::Folder;
use sandbox::process::Process;
use sandbox::receiver::{Frame, Receiver, Settings};
use sandbox::stage::Stage;
use sandbox::{ALERTS_TABLE, PATIENCE};

fn python() -> Result<PathBuf> {
    let python = workspace().join(".venv/bin/python");
    let sdk = Command::new(&python).args(["-c", "import devo.sender"]).output();
    if !sdk.is_ok_and(|output| output.status.success()) {
        bail!("there is no devo-sdk in {}: run ./setup.sh", python.display());
    }
    Ok(python)
}

/// Whether the events are compressed on their way.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Zip,
}

/// Sends these (date, host, table, message) with the SDK.
fn send(folder: &Path, to: u16, certificates: &Certificates, messages: &[[Option<&str>; 4]], form: Form) -> Result<()> {
    let file = folder.join("messages.json");
    let mut lines = String::new();
    for message in messages {
        writeln!(lines, "{}", serde_json::to_string(message)?)?;
    }
    std::fs::write(&file, lines)?;
    let mut command = Command::new(python()?);
    command.arg(workspace().join("tests/peers/devo_sdk_sender.py")).args(["localhost", &to.to_string()]).args([
        &certificates.chain,
        &certificates.client.cert,
        &certificates.client.key,
        &file,
    ]);
    command.arg(match form {
        Form::Plain => "plain",
        Form::Zip => "zip",
    });
    let sender = Process::start("devo-sdk", command, &folder.join("devo-sdk.log"))?;
    let status = sender.wait_for_exit(PATIENCE)?;
    ensure!(status.success(), "{status}: {:#?}", sender.lines());
    Ok(())
}

/// Compares what the stage's collector sends with what the SDK makes of the same dates, hosts, tables and
/// messages.
fn assert_same_frames(stage: &Stage, form: Form) {
    let collector = stage.start().unwrap();
    collector.wait_until_sent(200).unwrap();
    let ours: Vec<Frame> = stage.arrived();

    // The bare SDK dates every event `Jan  1 00:00:00`; the original collector passes the date, and so does
    // this comparison.
    let parts: Vec<_> = ours.iter().map(|frame| frame.parts().unwrap()).collect();
    let messages: Vec<_> = parts
        .iter()
        .map(|parts| {
            let message = std::str::from_utf8(parts.message).unwrap();
            [Some(parts.date), Some(parts.host), Some(parts.tag), Some(message)]
        })
        .collect();
    let reference = Receiver::start(&stage.certificates, &Settings::default()).unwrap();
    send(stage.folder.path(), reference.port(), &stage.certificates, &messages, form).unwrap();
    reference.wait_for(ALERTS_TABLE, 200, PATIENCE).unwrap();

    for (ours, theirs) in ours.iter().zip(reference.events(ALERTS_TABLE)) {
        assert_eq!(String::from_utf8_lossy(&ours.line), String::from_utf8_lossy(&theirs.line));
    }
    assert_eq!(reference.frames_from(0).len(), 200);
    for receiver in [&stage.receiver, &reference] {
        let mut carriers = receiver.connections().into_iter().filter(|connection| connection.events > 0);
        assert!(carriers.all(|connection| connection.compressed == matches!(form, Form::Zip)));
    }
    let host = nix::unistd::gethostname().unwrap();
    assert!(parts.iter().all(|parts| parts.host == host.to_str().unwrap()), "the host is this machine");
}

#[test]
fn the_frames_are_those_of_devos_own_sender() {
    assert_same_frames(&Stage::new("devo-sdk", 200).unwrap(), Form::Plain);
}

#[test]
fn unpacked_the_frames_are_those_of_devos_own_sender_with_zip() {
    let mut stage = Stage::new("devo-sdk-zip", 200).unwrap();
    stage.settings.output = "threshold_for_using_gzip_in_transport_layer: -1\n".into();
    stage.configure().unwrap();
    assert_same_frames(&stage, Form::Zip);
}

#[test]
fn the_receiver_understands_devos_own_sender() {
    let folder = Folder::new("devo-sdk-receiver").unwrap();
    let certificates = Certificates::write_to(folder.path()).unwrap();
    let receiver = Receiver::start(&certificates, &Settings::default()).unwrap();
    let messages = [
        [None, Some("host"), Some("my.app.table"), Some("undated")],
        [Some("2023-06-02 10:11:12.123"), Some("host"), Some("my.app.table"), Some(r#"{"text":"例え 🏦"}"#)],
    ];
    send(folder.path(), receiver.port(), &certificates, &messages, Form::Plain).unwrap();
    receiver.wait_for("my.app.table", 2, PATIENCE).unwrap();
    let lines: Vec<_> = receiver.events("my.app.table").iter().map(|frame| frame.line.clone()).collect();
    assert_eq!(lines[0], "<14>Jan  1 00:00:00 host my.app.table: undated");
    assert_eq!(lines[1], "<14>2023-06-02 10:11:12.123 host my.app.table: {\"text\":\"例え 🏦\"}");
}
