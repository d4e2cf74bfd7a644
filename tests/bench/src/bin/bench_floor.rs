//! The physical floor: reads as many bytes over HTTP, and writes as many over mutual TLS, as the collector
//! does, without looking at any of them. One thread and no runtime: what is left is the system's own work and
//! the cipher.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bench::arguments::Route;
use clap::Parser;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sandbox::tls;

/// As much as is read and written at a time.
const BUFFER: usize = 256 * 1024;

fn main() -> Result<()> {
    let route = Route::parse();
    let mut output = Output::connect(&route)?;
    let tcp = TcpStream::connect(&route.api)?;
    if route.https {
        move_pages(secured(tcp, client(&route.certs, false)?)?, &mut output, &route)?;
    } else {
        move_pages(tcp, &mut output, &route)?;
    }
    output.confirm()
}

fn move_pages(mut api: impl Read + Write, output: &mut Output, route: &Route) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let extra = vec![b' '; route.extra];
    for page in 1..=route.pages {
        // In one piece: the second of several would wait for the acknowledgement of the first.
        let request = format!(
            "GET {}?limit={}&page={page} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\r\n",
            sandbox::simulator::PATH,
            route.limit,
            route.token,
        );
        api.write_all(request.as_bytes())?;
        api.flush()?;
        let mut filled = 0;
        let head = loop {
            filled += read(&mut api, &mut buffer[filled..])?;
            if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let mut left = content_length(&buffer[..head])? - (filled - head);
        output.write(&buffer[head..filled])?;
        while left > 0 {
            let count = read(&mut api, &mut buffer)?;
            output.write(&buffer[..count])?;
            left = left.checked_sub(count).context("more than was announced")?;
        }
        output.write(&extra)?;
    }
    Ok(())
}

fn read(api: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    match api.read(buffer)? {
        0 => bail!("the source has closed the connection"),
        count => Ok(count),
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let value = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    Ok(value.context("no content-length")?.parse()?)
}

/// The connection to the receiver.
struct Output(StreamOwned<ClientConnection, TcpStream>);

impl Output {
    fn connect(route: &Route) -> Result<Self> {
        let mut stream = secured(TcpStream::connect(("127.0.0.1", route.port))?, client(&route.certs, true)?)?;
        // As large as what is written at a time: the library's own bound would make it many small writes.
        stream.conn.set_buffer_limit(None);
        Ok(Self(stream))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)?;
        Ok(())
    }

    /// Returns when the receiver has read everything.
    fn confirm(mut self) -> Result<()> {
        self.0.conn.send_close_notify();
        self.0.flush()?;
        self.0.sock.shutdown(Shutdown::Write)?;
        let mut ignored = [0; 512];
        loop {
            match self.0.sock.read(&mut ignored) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn secured(tcp: TcpStream, config: Arc<ClientConfig>) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    tcp.set_nodelay(true)?;
    Ok(StreamOwned::new(ClientConnection::new(config, ServerName::try_from("localhost")?)?, tcp))
}

/// The same provider as the collector's, so that the cipher is the same work.
fn client(certs: &Path, with_certificate: bool) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in tls::certificates(&certs.join("chain.crt"))? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = if with_certificate {
        let certificates = tls::certificates(&certs.join("example-domain.crt"))?;
        builder.with_client_auth_cert(certificates, tls::key(&certs.join("example-domain.key"))?)?
    } else {
        builder.with_no_client_auth()
    };
    Ok(Arc::new(config))
}
