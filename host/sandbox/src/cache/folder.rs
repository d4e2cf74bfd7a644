//! The folder of compiled components, and whom its files are taken from: from ourselves alone.
//!
//! Files are opened below the folder's descriptor and not by its path, and judged by their own: what is
//! checked is what is used, whatever is renamed in between. Each ends with the SHA-256 of its name and
//! content, against damage and not against malice: who can write here needs no forgery.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The end of the names of compiled components. Others are not ours.
pub const SUFFIX: &str = ".cwasm";

/// Until it is whole, a file has a name that ends like this.
const UNFINISHED: &str = ".cwasm.tmp";

/// What is not used for so long is of an older version or a component that is gone.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What all compiled components may have together: those of fifty tenants with components as large as those
/// with a language's interpreter in them.
const MOST_IN_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Write permission for those who are not the owner.
const OTHERS_WRITE: u32 = 0o022;

const HASH_IN_BYTES: u64 = 32;

/// Why a folder or file is not used.
#[derive(Debug, Error)]
pub enum Refusal {
    #[error("there is none")]
    Missing,
    #[error("it is a symbolic link, or not what it should be")]
    Kind,
    #[error("it belongs to the user {0}, and only our own is trusted")]
    Owner(u32),
    #[error("others can write to it (mode {0:04o})")]
    Mode(u32),
    #[error("it is damaged")]
    Damaged,
    #[error("there are {0} bytes of others that are in use, and {most} is the most", most = MOST_IN_BYTES)]
    Full(u64),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0:#}")]
    Engine(wasmtime::Error),
}

/// An open folder.
pub struct Folder {
    path: PathBuf,
    handle: File,
    /// The user whose files are trusted.
    owner: u32,
}

/// A file that was found to be whole and our own.
#[derive(Debug)]
pub struct Checked(File);

impl Checked {
    /// A path that leads to this file and no other, as long as it is open.
    pub fn path(&self) -> PathBuf {
        by_descriptor(&self.0)
    }
}

impl Folder {
    /// Opens the folder, made with its parents if it does not exist.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        Self::open_for(path, geteuid().as_raw())
    }

    pub(super) fn open_for(path: &Path, owner: u32) -> Result<Self, Refusal> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let handle = open(OpenOptions::new().read(true), path)?;
        let metadata = handle.metadata()?;
        if !metadata.is_dir() {
            return Err(Refusal::Kind);
        }
        trust(&metadata, owner)?;
        Ok(Self { path: path.to_owned(), handle, owner })
    }

    /// The same folder, with files of another user trusted.
    #[cfg(test)]
    pub fn trusting(self, owner: u32) -> Self {
        Self { owner, ..self }
    }

    /// Where it was opened, to tell the operator.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file that is ours and whole.
    pub fn open_file(&self, name: &str) -> Result<Checked, Refusal> {
        let mut file = open(OpenOptions::new().read(true), &self.at(name))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Refusal::Kind);
        }
        trust(&metadata, self.owner)?;
        let content_in_bytes = metadata.len().checked_sub(HASH_IN_BYTES).ok_or(Refusal::Damaged)?;
        let hash = hash(name, &mut (&mut file).take(content_in_bytes))?;
        let mut written = Vec::new();
        file.read_to_end(&mut written)?;
        if written != hash {
            return Err(Refusal::Damaged);
        }
        // So that it is not taken for unused. It is no harm if that can't be noted.
        let _ = file.set_modified(SystemTime::now());
        Ok(Checked(file))
    }

    /// Writes a file, or nothing. Whatever has the name is replaced. Others make room for it, those first
    /// that were not used for the longest time, but none that `is_used`.
    pub fn write(&self, name: &str, content: &[u8], is_used: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        self.make_room(content.len() as u64, MOST_IN_BYTES, &is_used)?;
        // Containers that share a volume may have the same process ids.
        let moment = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let unfinished = self.at(&format!("{name}.{}-{moment}{UNFINISHED}", std::process::id()));
        let written =
            self.write_new(&unfinished, name, content).and_then(|()| Ok(fs::rename(&unfinished, self.at(name))?));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        Ok(self.handle.sync_all()?)
    }

    fn write_new(&self, path: &Path, name: &str, content: &[u8]) -> Result<(), Refusal> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.write_all(&hash(name, &mut { content })?)?;
        Ok(file.sync_all()?)
    }

    /// Removes a file. It is no harm if it can't be: whoever has mapped it keeps it.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.at(name));
    }

    /// What can't be looked at or removed is left to the next time, or to another process that removes it
    /// just now.
    pub(super) fn make_room(&self, bytes: u64, most: u64, is_used: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let (mut total, mut unused) = (bytes, Vec::new());
        for entry in fs::read_dir(by_descriptor(&self.handle)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_ours = name.ends_with(SUFFIX) || name.ends_with(UNFINISHED);
            let Some(metadata) = entry.metadata().ok().filter(|_| is_ours) else { continue };
            total = total.saturating_add(metadata.len());
            if !is_used(&name) {
                unused.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), name));
            }
        }
        unused.sort();
        for (modified, size, name) in unused {
            let is_old = modified.elapsed().is_ok_and(|unused| unused > KEPT);
            if is_old || total > most {
                self.remove(&name);
                total -= size;
            }
        }
        if total > most { Err(Refusal::Full(total - bytes)) } else { Ok(()) }
    }

    fn at(&self, name: &str) -> PathBuf {
        by_descriptor(&self.handle).join(name)
    }
}

fn by_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Follows no link at the end of the path, and waits for nobody who would have to open the other end of a
/// pipe.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File, Refusal> {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => Refusal::Missing,
        Some(libc::ELOOP) => Refusal::Kind,
        _ => error.into(),
    })
}

fn trust(metadata: &Metadata, owner: u32) -> Result<(), Refusal> {
    if metadata.uid() != owner {
        Err(Refusal::Owner(metadata.uid()))
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Err(Refusal::Mode(metadata.mode() & 0o7777))
    } else {
        Ok(())
    }
}

/// In pieces: what is read whole would count as our memory.
fn hash(name: &str, content: &mut impl Read) -> io::Result<[u8; HASH_IN_BYTES as usize]> {
    let mut hasher = Sha256::new();
    hasher.update(name);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match content.read(&mut piece)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&piece[..count]),
        }
    }
}
