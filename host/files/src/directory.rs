//! An open folder whose entries are made, renamed and removed by their plain names: none of that follows a
//! link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use crate::refusal::Refusal;
use crate::root::Root;

/// The most entries that are listed: a folder has no size that could be looked at first. Fifty files for each
/// of two thousand services.
pub(crate) const MAX_ENTRIES: usize = 100_000;

/// A folder that stays the same one whatever becomes of its name.
#[derive(Debug)]
pub struct Directory {
    handle: File,
    root: Root,
}

impl Directory {
    pub(crate) fn new(handle: File, root: Root) -> Self {
        Self { handle, root }
    }

    /// Makes a file for its owner alone, to write so many bytes to.
    ///
    /// # Errors
    /// There is something of that name, the system says no, or [`Refusal::QuotaExceeded`].
    pub fn create_new(&self, name: &OsStr, bytes: u64) -> io::Result<File> {
        self.root.take(bytes)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(openat(&self.handle, plain(name)?, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Gives an entry another name; what has that name is replaced.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.handle, plain(from)?, &self.handle, plain(to)?)?)
    }

    /// Gives an entry a second name.
    ///
    /// # Errors
    /// What the system says.
    pub fn hard_link(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(linkat(&self.handle, plain(from)?, &self.handle, plain(to)?, AtFlags::empty())?)
    }

    /// Removes a file, a link or a pipe.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.handle, plain(name)?, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Makes what was renamed and removed outlive a power cut.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// The names of its entries.
    ///
    /// # Errors
    /// What the system says, and [`Refusal::TooMany`].
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // A handle of its own, as reading moves it on.
        let again = openat(&self.handle, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(again)?.iter() {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == MAX_ENTRIES {
                return Err(Refusal::TooMany { most: MAX_ENTRIES }.into());
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// A name that leads into no other folder.
fn plain(name: &OsStr) -> io::Result<&OsStr> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name => Ok(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a name with folders in it")),
    }
}
