//! A secret: text from the configuration, or a file that may change while the collector runs.

use std::io::Read;
use std::path::PathBuf;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A secret is a few hundred bytes; whatever is larger is another file.
const MAX_FILE_IN_BYTES: u64 = 64 * 1024;

/// Where a secret comes from.
#[derive(Debug, Clone)]
pub enum Secret {
    /// It stands in the configuration, or in an environment variable that the configuration names.
    Text(SecretString),
    /// It stands in a file.
    File(PathBuf),
}

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("the file {} can't be read: {reason}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

impl Secret {
    /// The secret of a key and its `_file` form, which counts where both are given.
    pub fn new(text: Option<&SecretString>, file: Option<PathBuf>) -> Option<Self> {
        file.map(Self::File).or_else(|| text.cloned().map(Self::Text))
    }

    /// The secret as it is now, without the line break that editors put at the end of a file.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Text(text) => Zeroizing::new(text.expose_secret().to_owned()),
            Self::File(path) => {
                let mut text = Zeroizing::new(String::new());
                std::fs::File::open(path)
                    .and_then(|file| file.take(MAX_FILE_IN_BYTES).read_to_string(&mut text))
                    .map_err(|error| SecretError::Unreadable { path: path.clone(), reason: error.to_string() })?;
                text
            }
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.trim().is_empty() { Err(SecretError::Empty) } else { Ok(SecretString::from(secret)) }
    }
}
