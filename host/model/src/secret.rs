//! A secret: text from the configuration, or a file that may change while the collector runs.

use std::path::PathBuf;

use collector_files::RootedPath;
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
    /// It stands in a file, which is opened anew each time that it is read.
    File(RootedPath),
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
    pub fn new(text: Option<&SecretString>, file: Option<RootedPath>) -> Option<Self> {
        file.map(Self::File).or_else(|| text.cloned().map(Self::Text))
    }

    /// The secret as it is now, without the line break that editors put at the end of a file.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Text(text) => Zeroizing::new(text.expose_secret().to_owned()),
            Self::File(file) => {
                let unreadable = |reason| SecretError::Unreadable { path: file.path().to_owned(), reason };
                let content = file.read(MAX_FILE_IN_BYTES).map(Zeroizing::new);
                let content = content.map_err(|error| unreadable(error.to_string()))?;
                let text = str::from_utf8(&content).map_err(|_| unreadable("it is no text in UTF-8".to_owned()))?;
                Zeroizing::new(text.to_owned())
            }
        };
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.trim().is_empty() { Err(SecretError::Empty) } else { Ok(SecretString::from(secret)) }
    }
}
