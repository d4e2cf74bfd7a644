//! A name beneath a root, and everything that is done with the file that it leads to.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use crate::directory::Directory;
use crate::refusal::Refusal;
use crate::root::Root;
use crate::threads::Threads;

/// A name beneath a [`Root`]. Every use of it opens it anew, beneath the root.
#[derive(Clone, PartialEq, Eq)]
pub struct RootedPath {
    root: Root,
    name: PathBuf,
    /// The same as a whole path.
    shown: PathBuf,
    /// What its owner may have, whatever the reader would take.
    largest: u64,
}

impl RootedPath {
    pub(crate) fn new(root: Root, name: &Path) -> Self {
        let shown = if name.as_os_str().is_empty() { root.path().to_owned() } else { root.path().join(name) };
        Self { root, name: name.to_owned(), shown, largest: u64::MAX }
    }

    /// A path of the operator's, which leads wherever it leads.
    pub fn of_operator(path: impl AsRef<Path>) -> Self {
        Root::unrestricted("").join(path)
    }

    /// The same path, of which no more than this is read, at whatever time and by whomever.
    pub fn at_most(self, largest: u64) -> Self {
        Self { largest, ..self }
    }

    /// The whole path, to tell somebody. Not to open anything.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// The whole path as a text.
    pub fn display(&self) -> std::path::Display<'_> {
        self.shown.display()
    }

    /// The folder of its owner, to tell owners apart.
    pub fn owner(&self) -> &Path {
        self.root.path()
    }

    /// The threads on which its owner may wait for it.
    pub fn threads(&self) -> &Threads {
        self.root.threads()
    }

    /// Its last part; empty for the root itself.
    pub fn file_name(&self) -> OsString {
        self.name.file_name().unwrap_or_default().to_owned()
    }

    /// A name in the folder that this one is.
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        self.root.join(self.name.join(name))
    }

    /// The name with something at its end.
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let mut name = OsString::from(&self.name);
        name.push(suffix);
        self.root.join(name)
    }

    /// The folder that it is in.
    pub fn parent(&self) -> Self {
        self.root.join(self.name.parent().unwrap_or(Path::new("")))
    }

    /// What is there, links followed.
    ///
    /// # Errors
    /// Nothing is, or nothing within the root.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.handle()?.metadata()
    }

    /// Whether there is a regular file. False too where that can't be told.
    pub fn is_file(&self) -> bool {
        self.metadata().is_ok_and(|metadata| metadata.is_file())
    }

    /// Whether anything is there.
    ///
    /// # Errors
    /// It can't be told, or is not within the root.
    pub fn try_exists(&self) -> io::Result<bool> {
        match self.handle() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The whole content.
    ///
    /// # Errors
    /// What the system says, or a [`Refusal`], among them of more than `most` bytes: of a file that says so
    /// not one is read.
    pub fn read(&self, most: u64) -> io::Result<Vec<u8>> {
        let most = most.min(self.largest);
        let file = self.open(OFlag::O_RDONLY)?;
        let size = file.metadata()?.len();
        if size > most {
            return Err(Refusal::TooLarge { size, most }.into());
        }
        // In one piece: a secret leaves no copies behind. A byte more, for the end to be seen.
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default().saturating_add(1));
        file.take(most.saturating_add(1)).read_to_end(&mut content)?;
        let size = content.len() as u64;
        if size > most { Err(Refusal::TooLarge { size, most }.into()) } else { Ok(content) }
    }

    /// Opens it to read and to add so many bytes to its end; made for its owner alone if it is not there.
    ///
    /// # Errors
    /// What the system says, or a [`Refusal`].
    pub fn open_to_append(&self, bytes: u64) -> io::Result<File> {
        self.root.take(bytes)?;
        self.open(OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT)
    }

    /// Opens it to write next to nothing, such as a lock; made for its owner alone if it is not there.
    ///
    /// # Errors
    /// What the system says, or a [`Refusal`].
    pub fn open_to_write(&self) -> io::Result<File> {
        self.open(OFlag::O_WRONLY | OFlag::O_CREAT)
    }

    /// Opens the folder that it is.
    ///
    /// # Errors
    /// It is none, can't be read, or is not within the root.
    pub fn directory(&self) -> io::Result<Directory> {
        self.root
            .open_file(&self.name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
            .map(|handle| Directory::new(handle, self.root.clone()))
    }

    /// Makes the folder, with those that it is in, for their owner alone.
    ///
    /// # Errors
    /// What the system says, or a [`Refusal`].
    pub fn create_directory(&self) -> io::Result<()> {
        match self.folder_handle() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.name.as_os_str().is_empty() => {}
            other => return other.map(drop),
        }
        let Some(name) = self.name.file_name() else { return Err(Refusal::Outside.into()) };
        let parent = self.parent();
        parent.create_directory()?;
        match mkdirat(parent.folder_handle()?, name, Mode::S_IRWXU) {
            // By somebody else, just now; a link that leads nowhere has the name too.
            Err(nix::errno::Errno::EEXIST) => self.folder_handle().map(drop),
            made => Ok(made?),
        }
    }

    pub(crate) fn handle(&self) -> io::Result<File> {
        self.root.open_handle(&self.name, OFlag::empty())
    }

    fn folder_handle(&self) -> io::Result<File> {
        self.root.open_handle(&self.name, OFlag::O_DIRECTORY)
    }

    fn open(&self, flags: OFlag) -> io::Result<File> {
        let file = self.root.open_file(&self.name, flags)?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(Refusal::NotRegular.into()) }
    }
}

impl fmt::Debug for RootedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

#[cfg(test)]
mod tests;
