//! A proxy that makes tunnels (CONNECT), or refuses to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    refuses: Arc<AtomicBool>,
    port: u16,
    /// Its tasks end with it.
    _runtime: Runtime,
}

impl Proxy {
    /// Starts on a free port of the loopback interface.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let port = listener.local_addr()?.port();
        let refuses = Arc::new(AtomicBool::new(false));
        let refusing = Arc::clone(&refuses);
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let refusing = Arc::clone(&refusing);
                // An error is a client or an API that went away.
                tokio::spawn(async move { tunnel(stream, refusing.load(Ordering::Acquire)).await });
            }
        });
        Ok(Self { refuses, port, _runtime: runtime })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it answers 403 from now on.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Release);
    }
}

async fn tunnel(stream: TcpStream, refuses: bool) -> Result<()> {
    let mut client = BufReader::new(stream);
    let mut request = String::new();
    while client.read_line(&mut request).await? > 2 {}
    if refuses {
        client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    }
    let to = request.split(' ').nth(1).context("CONNECT without an address")?;
    let mut api = TcpStream::connect(to).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut api).await?;
    Ok(())
}
