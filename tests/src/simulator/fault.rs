//! What can go wrong at the API.

use bytes::Bytes;

/// How a request fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with the documented error body. For 429 with a short `Retry-After`.
    Status(u16),
    /// This status, with an error body that repeats the credential of the request.
    Echo(u16),
    /// 200 with a web page instead of JSON, as a login wall or a proxy answers.
    Html,
    /// `success: false` inside a 200.
    ErrorInside200,
    /// The right answer, cut in the middle though its length was announced; then the connection ends.
    Truncated,
    /// The connection is reset instead of an answer.
    Reset,
    /// No answer; the connection stays open.
    Stall,
    /// Half of the right answer, and then nothing; the connection stays open.
    StallInBody,
    /// A redirect to this address.
    Redirect(String),
    /// This answer, whatever was asked for.
    Answer {
        /// Its status.
        status: u16,
        /// Its headers, besides those about the connection and the length.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: Bytes,
    },
    /// These bytes as they are, be they HTTP or not, and then the end of the connection. Over plain HTTP
    /// only.
    Raw(Bytes),
}
