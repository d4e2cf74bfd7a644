//! Why a file is not used although the system would let us.

use std::io;

use thiserror::Error;

/// What is wrong with a file. The source of an [`io::Error`], so that whoever reports what the system says
/// reports this too.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The name leads out of the root, by `..`, by a link, or because it begins with `/`.
    #[error("it leads out of the tenant's own folder")]
    Outside,
    /// A folder, a pipe, a socket or a device.
    #[error("it is no regular file")]
    NotRegular,
    /// More than is read of this kind of file.
    #[error("it has {size} bytes, and {most} is the most")]
    TooLarge {
        /// The bytes that it has; at least these.
        size: u64,
        /// The bytes that it may have.
        most: u64,
    },
    /// There is no room left in the tenant's folder.
    #[error(
        "the tenant's folder has {used} bytes of the {most} that it may have (quota.disk_in_bytes); remove dead letters \
         that are of no use any more, or ask the operator for more"
    )]
    QuotaExceeded {
        /// The bytes that are there.
        used: u64,
        /// The bytes that there may be.
        most: u64,
    },
    /// A folder with more entries than are listed.
    #[error("it has more than {most} entries")]
    TooMany {
        /// The entries that it may have.
        most: usize,
    },
}

impl Refusal {
    /// The refusal in an error, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Outside => io::ErrorKind::PermissionDenied,
            Refusal::NotRegular => io::ErrorKind::InvalidInput,
            Refusal::QuotaExceeded { .. } => io::ErrorKind::QuotaExceeded,
            Refusal::TooLarge { .. } | Refusal::TooMany { .. } => io::ErrorKind::FileTooLarge,
        };
        Self::new(kind, refusal)
    }
}
