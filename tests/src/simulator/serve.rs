//! The connections of the API: from a socket to an [`Answer`], and from that back to bytes, or to the lack of
//! them.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::answer::Answer;

pub(super) async fn accept(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, shared: Arc<Shared>) {
    let tls = tls.map(TlsAcceptor::from);
    loop {
        // Too many open files, for example: the next client may be luckier.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let tls = tls.clone();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if shared.state.read(|state| state.settings.mute) {
                return std::future::pending().await;
            }
            let Ok(handle) = stream.as_fd().try_clone_to_owned() else { return };
            match tls {
                None => serve(stream, handle, shared).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    serve(stream, handle, shared).await;
                }
            }
        });
    }
}

/// `handle` is the socket below `stream`: closing it hard takes more than what a byte stream can do.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, handle: OwnedFd, shared: Arc<Shared>) {
    let socket = Socket(Arc::new(handle));
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = shared.answer(&request);
        respond(answer, socket.clone())
    });
    // An error here is a client that went away, or a fault that was asked for.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(answer: Answer, socket: Socket) -> Result<Response<BoxBody<Bytes, Broken>>, Broken> {
    match answer {
        Answer::Whole(response) => Ok(response.map(|body| Full::new(body).map_err(never).boxed())),
        Answer::Cut(response) => Ok(half(response, End::Cut)),
        Answer::Hang(response) => Ok(half(response, End::Hang)),
        Answer::Stall => std::future::pending().await,
        Answer::Reset => {
            socket.reset_on_close();
            Err(Broken)
        }
        Answer::Raw(bytes) => {
            socket.write(&bytes);
            Err(Broken)
        }
    }
}

fn half(mut response: Response<Bytes>, end: End) -> Response<BoxBody<Bytes, Broken>> {
    let length = response.body().len();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response.map(|mut body| Half { data: Some(body.split_to(length / 2)), end, flushed: false }.boxed())
}

fn never(never: Infallible) -> Broken {
    match never {}
}

/// What ends a connection on purpose.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a fault that was asked for")
    }
}

impl std::error::Error for Broken {}

#[derive(Clone)]
struct Socket(Arc<OwnedFd>);

impl Socket {
    fn reset_on_close(&self) {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let _ = nix::sys::socket::setsockopt(&self.0, nix::sys::socket::sockopt::Linger, &linger);
    }

    /// Past the HTTP library. A socket takes a few kilobytes at once.
    fn write(&self, bytes: &[u8]) {
        let _ = nix::unistd::write(&*self.0, bytes);
    }
}

enum End {
    Cut,
    Hang,
}

/// A body that is shorter than it promised.
struct Half {
    data: Option<Bytes>,
    end: End,
    flushed: bool,
}

impl Body for Half {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.end {
            End::Hang => Poll::Pending,
            // hyper drops what it has not written when a body fails; a pause lets it write the half.
            End::Cut if !self.flushed => {
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(Broken))),
        }
    }
}
