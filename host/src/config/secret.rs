//! The API token: text from the configuration, or a file that may change while the collector runs.

use std::io::Read;
use std::path::PathBuf;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A token is a few hundred bytes; whatever is larger is another file.
const MAX_FILE_IN_BYTES: u64 = 64 * 1024;

/// Where the token comes from.
#[derive(Debug, Clone)]
pub enum Token {
    /// It stands in the configuration, or in an environment variable that the configuration names.
    Text(SecretString),
    /// It stands in a file.
    File(PathBuf),
}

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file can't be read.
    #[error("the token file {} can't be read: {reason}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There is nothing in it.
    #[error("the token is empty; put the API token from your CloudSEK admin portal there")]
    Empty,
}

impl Token {
    /// The token as it is now, without the white space around it.
    pub fn read(&self) -> Result<SecretString, TokenError> {
        let text = match self {
            Self::Text(text) => Zeroizing::new(text.expose_secret().to_owned()),
            Self::File(path) => {
                let mut text = Zeroizing::new(String::new());
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_FILE_IN_BYTES).read_to_string(&mut text))
                    .map_err(|error| TokenError::Unreadable { path: path.clone(), reason: error.to_string() })?;
                text
            }
        };
        let token = text.trim();
        if token.is_empty() { Err(TokenError::Empty) } else { Ok(SecretString::from(token)) }
    }
}
