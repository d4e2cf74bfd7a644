//! Devo's side fails: it is away, breaks off, says nothing, or refuses.

use anyhow::{Context, Result, ensure};
use chrono::{TimeDelta, Utc};

use super::{IMPATIENT, Scale, Trial, delivered, goes_on, impatient, settled};
use crate::check::{Report, compare};
use crate::collector::Collector;
use crate::receiver::{self, Behaviour, Receiver};
use crate::rsyslog::Rsyslog;
use crate::stage::Stage;
use crate::waiting::poll;
use crate::{ALERTS_TABLE, PATIENCE};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        fault: "away at the start",
        injected: "nothing listens on its port",
        happens: "waits and connects again; nothing is recorded as delivered",
        run: away_at_the_start,
    },
    Trial {
        fault: "away in the middle of a backfill",
        injected: "all connections cut, port closed, open again",
        happens: "sends what was not confirmed again, on a new connection",
        run: away_in_the_middle,
    },
    Trial {
        fault: "away for long while alerts go on arriving",
        injected: "port closed until two pulls have failed, new and late alerts before each",
        happens: "PullError 300, nothing is spooled; then catches up from the API",
        run: away_for_long,
    },
    Trial {
        fault: "connections reset",
        injected: "a reset after 1, 17, 300, 4,096, 16,385 and 70,000 bytes",
        happens: "sends what was not confirmed again; never a part of an event",
        run: resets,
    },
    Trial {
        fault: "closes without reading",
        injected: "accepts and resets every connection",
        happens: "nothing counts as delivered",
        run: |_| unconfirmed(Behaviour::CloseWithoutReading),
    },
    Trial {
        fault: "stops reading",
        injected: "accepts, never reads: the TCP window fills",
        happens: "gives up after `sending_timeout`; nothing counts as delivered",
        run: |_| unconfirmed(Behaviour::StopReading),
    },
    Trial {
        fault: "accepts and never answers",
        injected: "TCP connection without a handshake",
        happens: "gives up the handshake; nothing counts as delivered",
        run: |_| unconfirmed(Behaviour::NeverAnswer),
    },
    Trial {
        fault: "reads and never confirms",
        injected: "the connection's other half stays open",
        happens: "gives up after `confirm_timeout_in_seconds`; sends again",
        run: |_| unconfirmed(Behaviour::NeverConfirm),
    },
    Trial {
        fault: "refuses the client certificate",
        injected: "TLS 1.3: the alert comes after the handshake, with events on their way",
        happens: "names the certificate; nothing counts as delivered",
        run: refuses,
    },
    Trial {
        fault: "the client certificate expires while it runs",
        injected: "a certificate that is valid for seconds",
        happens: "says that it is no longer valid; delivers after a restart with a new one",
        run: certificate_expires,
    },
    Trial {
        fault: "one of two outputs is away",
        injected: "the second receiver's port closed, then open",
        happens: "nothing is recorded until both have confirmed",
        run: one_of_two_is_away,
    },
    Trial {
        fault: "rsyslog killed under load",
        injected: "a real rsyslogd with TLS, `kill -9` three times while it receives",
        happens: "sends what was not confirmed again",
        run: rsyslog_is_killed,
    },
    Trial {
        fault: "its name does not resolve",
        injected: "the name taken out of the only hosts file there is",
        happens: "names the address; looks it up again at each try",
        run: |_| super::names::devo_does_not_resolve(),
    },
];

fn place(stage: &Stage) -> String {
    format!("localhost:{}", stage.receiver.port())
}

fn away_at_the_start(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-away", 500)?;
    stage.receiver.stop();
    let collector = stage.start()?;
    collector.wait_for_complaint(&[&place(&stage)])?;
    ensure!(collector.sent()? == 0, "something was counted");
    stage.receiver.resume()?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}

fn away_in_the_middle(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-outage", 10_000)?;
    let collector = stage.start()?;
    stage.receiver.wait_for(ALERTS_TABLE, 500, PATIENCE)?;
    stage.receiver.stop();
    ensure!(stage.receiver.count(ALERTS_TABLE) < 10_000, "the outage came too late to be one");
    stage.receiver.resume()?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}

fn away_for_long(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-away-for-long", 300)?;
    let collector = delivered(&stage)?;
    stage.receiver.stop();
    for failures in 1..=2 {
        stage.add_newer(200);
        stage.add_late(20, TimeDelta::hours(3));
        collector.wait_for_lines(failures, &["PullError [CODE:0300]"], PATIENCE)?;
    }
    ensure!(collector.sent()? == 300, "something was counted");
    stage.receiver.resume()?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}

fn resets(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-resets", 0)?;
    // Or a connection with these might be the one that is reset.
    stage.settings.output += "internal_messages: false\n";
    stage.configure()?;
    let collector = stage.start()?;
    for bytes in [1, 17, 300, 4_096, 16_385, 70_000] {
        stage.receiver.behave(Behaviour::ResetAfter { bytes, times: 1 });
        stage.add_newer(150);
        stage.wait_for_all(&collector)?;
        ensure!(stage.receiver.resets() == 1, "there was no reset after {bytes} bytes");
    }
    settled(&stage, &collector)
}

fn unconfirmed(behaviour: Behaviour) -> Result<Report> {
    let stage = impatient("devo-unconfirmed", 40)?;
    stage.receiver.behave(behaviour);
    let collector = stage.start()?;
    collector.wait_for_complaint(&[&place(&stage)])?;
    ensure!(collector.sent()? == 0, "something was counted");
    stage.receiver.behave(Behaviour::Healthy);
    collector.wait_until_sent(40)?;
    settled(&stage, &collector)
}

fn refuses(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-refuses", 300)?;
    let collector = delivered(&stage)?;
    collector.stop(PATIENCE)?;
    let state = stage.installation.state_files()?;
    ensure!(!state.is_empty(), "what was delivered is not recorded");
    stage.receiver.behave(Behaviour::RefuseClientCertificate);
    stage.add_newer(50);
    let collector = stage.start()?;
    collector.wait_for_complaint(&["ertificate", &place(&stage), "PullError [CODE:0300]"])?;
    ensure!(collector.sent()? == 0 && stage.receiver.count(ALERTS_TABLE) == 300, "something was counted");
    ensure!(stage.installation.state_files()? == state, "the state has changed");
    stage.receiver.behave(Behaviour::Healthy);
    collector.wait_until_sent(50)?;
    settled(&stage, &collector)
}

fn certificate_expires(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-expires", 50)?;
    // Long enough for the first delivery even on a busy machine.
    let last = Utc::now() + TimeDelta::seconds(15);
    stage.installation.copy_pair(&stage.certificates.client_until(last)?)?;
    stage.settings.cert = "short-lived.crt".into();
    stage.settings.key = "short-lived.key".into();
    stage.configure()?;
    let collector = delivered(&stage)?;
    poll("the certificate to expire", PATIENCE, || Ok((Utc::now() > last + TimeDelta::seconds(1)).then_some(())))?;
    stage.add_newer(10);
    collector.wait_for_complaint(&[
        "PullError [CODE:0300]",
        "the client certificate is refused; it is not valid at this time",
    ])?;
    ensure!(collector.sent()? == 50, "something was counted");
    collector.stop(PATIENCE)?;
    stage.settings.cert = "example-domain.crt".into();
    stage.settings.key = "example-domain.key".into();
    stage.configure()?;
    let collector = stage.start()?;
    goes_on(&mut stage, &collector)
}

fn one_of_two_is_away(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-and-relay", 300)?;
    let plain = receiver::Settings { tls: false, ..receiver::Settings::default() };
    let mut relay = Receiver::start(&stage.certificates, &plain)?;
    stage.settings.more_outputs = format!(
        "relay_1: {{type: syslog, config: {{address: localhost, port: {}, {}}}}}\n",
        relay.port(),
        IMPATIENT.trim_end().replace('\n', ", ")
    );
    stage.configure()?;
    let collector = delivered(&stage)?;
    relay.stop();
    stage.add_newer(50);
    collector
        .wait_for_complaint(&["PullError [CODE:0300]", &format!("output \"relay_1\" at localhost:{}", relay.port())])?;
    ensure!(collector.sent()? == 300, "something was counted");
    relay.resume()?;
    collector.wait_until_sent(350)?;
    let report = settled(&stage, &collector)?;
    let other = compare(&stage.source, &relay.frames_from(0));
    other.at_least_once().context("the output that was away")?;
    Ok(report)
}

fn rsyslog_is_killed(_: Scale) -> Result<Report> {
    let mut stage = impatient("devo-rsyslog", 8_000)?;
    let mut rsyslog = Rsyslog::start(stage.folder.path(), &stage.certificates, "example-domain")?;
    stage.settings.port = rsyslog.port();
    stage.configure()?;
    let collector = stage.start()?;
    for kill in 1..=3 {
        // A moment in which it receives: some of what there is has been written, and not all of it.
        rsyslog.wait_for(kill * 1_500)?;
        rsyslog.kill()?;
        ensure!(rsyslog.frames()?.len() < stage.source.len(), "it was killed too late");
        rsyslog.start_again()?;
        stage.add_newer(500);
    }
    wait_for_rsyslog(&rsyslog, &stage, &collector)
}

fn wait_for_rsyslog(rsyslog: &Rsyslog, stage: &Stage, collector: &Collector) -> Result<Report> {
    rsyslog.wait_for_all(&stage.source)?;
    let cycles = collector.statistics()?.len();
    collector.wait_for_cycles(cycles + 2)?;
    Ok(compare(&stage.source, &rsyslog.frames()?))
}
