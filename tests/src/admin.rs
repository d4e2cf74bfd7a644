//! The admin pages of a running collector, asked for over HTTP as a monitoring system does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::PATIENCE;
use crate::collector::Collector;

/// Where a collector serves its pages.
#[derive(Debug, Clone, Copy)]
pub struct Admin(SocketAddr);

impl Admin {
    /// The address that the collector has told in its log.
    pub fn of(collector: &Collector) -> Result<Self> {
        let line = collector.wait_for_line(&["are served at http://"], PATIENCE)?;
        let (_, address) = line.rsplit_once("http://").context("no address")?;
        Ok(Self(address.trim_end_matches(['"', '}']).parse().with_context(|| line.clone())?))
    }

    /// The address itself.
    pub fn address(&self) -> SocketAddr {
        self.0
    }

    /// The body of a page that is there.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.0, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.0)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        Ok(body.to_owned())
    }

    /// The metrics of the process, or of one tenant.
    pub fn metrics(&self, tenant: Option<&str>) -> Result<Metrics> {
        let query = tenant.map(|tenant| format!("?tenant={tenant}")).unwrap_or_default();
        self.get(&format!("/metrics{query}")).map(Metrics)
    }
}

/// A page of metrics in Prometheus's text format.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// The value of the series of this name that has all of these labels, written as in `tenant="acme"`.
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut series = self.0.lines().filter_map(|line| line.rsplit_once(' ')).filter(|(series, _)| {
            let (found, given) = series.split_once('{').unwrap_or((series, ""));
            found == name && labels.iter().all(|label| given.contains(label))
        });
        series.next()?.1.parse().ok()
    }

    /// The page as it is.
    pub fn text(&self) -> &str {
        &self.0
    }
}
