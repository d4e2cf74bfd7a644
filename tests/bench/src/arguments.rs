//! What the small programs of the benchmark are told: where the source is, and where the receiver.

use std::path::PathBuf;

use clap::Parser;

/// The source and the receiver, as one product folder's configuration has them.
#[derive(Debug, Clone, Parser)]
pub struct Route {
    /// Host and port of the API.
    #[arg(long)]
    pub api: String,
    /// Speak TLS to the API.
    #[arg(long)]
    pub https: bool,
    /// The API's token.
    #[arg(long)]
    pub token: String,
    /// Records of a page.
    #[arg(long)]
    pub limit: usize,
    /// How many pages there are.
    #[arg(long)]
    pub pages: usize,
    /// Bytes to send for a page beyond those that were received for it.
    #[arg(long)]
    pub extra: usize,
    /// Port of the receiver.
    #[arg(long)]
    pub port: u16,
    /// Folder with the client's certificates.
    #[arg(long)]
    pub certs: PathBuf,
}
