//! One connection of a sender, from the handshake to its end.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::frame::{Frame, parts};
use super::{Behaviour, Connection, End, Handshake, Number, Shared, State};

/// Room for reading. Larger than a TLS record, so that a busy sender is read with few system calls.
const CHUNK: usize = 256 * 1024;

/// How the tables begin that the collector writes its own messages to.
const MESSAGES: &str = "devo.";

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Too many open files, for example: the next client may be luckier.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (number, behaviour, handshake) = shared.state.change(|state| {
            state.connections.push(Connection::default());
            (state.connections.len() - 1, state.behaviour, state.handshake.clone())
        });
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let end = converse(stream, number, behaviour, handshake, &shared).await;
            shared.state.change(|state| state.connections[number].end = Some(end));
        });
    }
}

/// A connection that is ready for events.
trait Ready: AsyncRead + AsyncWrite + Unpin {
    /// How it ends when its sender ends it in order.
    const GOOD_END: End;

    /// The connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Ready for TlsStream<TcpStream> {
    const GOOD_END: End = End::CloseNotify;

    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Ready for TcpStream {
    const GOOD_END: End = End::EndOfStream;

    fn tcp(&self) -> &TcpStream {
        self
    }
}

async fn converse(
    stream: TcpStream,
    number: usize,
    behaviour: Behaviour,
    handshake: Option<Handshake>,
    shared: &Shared,
) -> End {
    if behaviour == Behaviour::NeverAnswer {
        return hold(stream).await;
    }
    let Some(Handshake { accepts, refuses }) = handshake else { return serve(stream, number, behaviour, shared).await };
    let config = if behaviour == Behaviour::RefuseClientCertificate { refuses } else { accepts };
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => serve(stream, number, behaviour, shared).await,
        Err(_) => End::NoHandshake,
    }
}

async fn serve<S: Ready>(mut stream: S, number: usize, behaviour: Behaviour, shared: &Shared) -> End {
    let end = match behaviour {
        Behaviour::CloseWithoutReading => End::CutOff,
        Behaviour::StopReading => return hold(stream).await,
        _ => read(&mut stream, number, behaviour, shared).await,
    };
    match end {
        End::CutOff => {
            let _ = stream.tcp().set_zero_linger();
        }
        End::CloseNotify | End::EndOfStream if behaviour == Behaviour::NeverConfirm => {
            return hold(stream).await;
        }
        // This is what tells the sender that all of it was read.
        End::CloseNotify | End::EndOfStream => {
            let _ = stream.shutdown().await;
        }
        End::Broken | End::NoHandshake => {}
    }
    end
}

/// Keeps a connection open for as long as the receiver runs.
async fn hold<T>(_stream: T) -> End {
    std::future::pending().await
}

async fn read<S: Ready>(stream: &mut S, number: usize, behaviour: Behaviour, shared: &Shared) -> End {
    let mut lines = BytesMut::with_capacity(CHUNK);
    let mut unpack = None;
    let mut bytes = 0;
    loop {
        lines.reserve(CHUNK / 4);
        let before = lines.len();
        let count = match stream.read_buf(&mut lines).await {
            Ok(0) => return S::GOOD_END,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return End::EndOfStream,
            Err(_) => return End::Broken,
        };
        // The two first bytes of gzip; an event starts with `<`.
        if bytes == 0 && lines.starts_with(&[0x1f]) {
            unpack = Some(MultiGzDecoder::new(Vec::new()));
        }
        bytes += count as u64;
        if let Some(unpack) = &mut unpack {
            let packed = lines.split_off(before);
            if unpack.write_all(&packed).and_then(|()| unpack.flush()).is_err() {
                return End::Broken;
            }
            lines.extend_from_slice(&std::mem::take(unpack.get_mut()));
        }
        let frames = split(&mut lines, number);
        let carries_messages =
            frames.first().and_then(Frame::parts).is_some_and(|parts| parts.tag.starts_with(MESSAGES));
        let cut_off = shared.state.change(|state| {
            let connection = &mut state.connections[number];
            connection.bytes = bytes;
            connection.events += frames.len();
            connection.compressed = unpack.is_some();
            connection.unfinished = Bytes::copy_from_slice(&lines[..lines.len().min(256)]);
            state.record(frames, shared.keep, shared.number);
            match behaviour {
                Behaviour::ResetAfter { bytes: enough, times } if bytes >= enough && state.resets_done < times => {
                    state.resets_done += 1;
                    true
                }
                _ => false,
            }
        });
        if cut_off {
            return End::CutOff;
        }
        if carries_messages && behaviour == Behaviour::StallMessages {
            return std::future::pending().await;
        }
    }
}

/// Takes the finished lines out of `lines`. They share its memory: nothing is copied.
fn split(lines: &mut BytesMut, connection: usize) -> Vec<Frame> {
    let Some(last) = memchr::memrchr(b'\n', lines) else { return Vec::new() };
    let mut whole = lines.split_to(last + 1).freeze();
    let mut frames = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', &whole) {
        let mut line = whole.split_to(end + 1);
        line.truncate(end);
        frames.push(Frame { connection, line });
    }
    frames
}

impl State {
    fn record(&mut self, frames: Vec<Frame>, keep: bool, number: Option<Number>) {
        for frame in &frames {
            let parts = parts(&frame.line);
            if let Some(number) = number.zip(parts).and_then(|(number, parts)| number(parts.message)) {
                self.sums = add(self.sums, number);
            }
            let tag = parts.map_or("", |parts| parts.tag);
            match self.counts.get_mut(tag) {
                Some(count) => *count += 1,
                None => {
                    self.counts.insert(tag.to_owned(), 1);
                }
            }
        }
        if keep {
            self.frames.extend(frames);
        }
    }
}

/// A sum of numbers and that of their squares, with one number more.
pub fn add([sum, squares]: [u64; 2], number: u64) -> [u64; 2] {
    [sum.wrapping_add(number), squares.wrapping_add(number.wrapping_mul(number))]
}
