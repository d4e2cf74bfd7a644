//! An open folder, and the one system call by which everything beneath it is opened.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use crate::path::RootedPath;
use crate::refusal::Refusal;
use crate::space::Space;
use crate::threads::{Threads, WeakThreads};

/// Whatever is opened: it may be a pipe, whose other end nobody opens, or a terminal, and is not for our
/// children.
const ALWAYS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// Handles that stand for a name and can neither be read nor written: the system takes no other flags with
/// these.
const HANDLE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// The system asks for another try while somebody renames folders on the way. Who does that without end gets
/// nothing.
const TRIES: usize = 64;

/// Where names begin. Clones share the handle.
#[derive(Clone)]
pub struct Root(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// The folder that nothing leads out of; none for the operator.
    handle: Option<OwnedFd>,
    threads: Threads,
    /// What may be written in it.
    space: Space,
    /// What may be written in each folder in it, if that is not everything.
    quota: Option<u64>,
    /// The threads of the folders in it.
    shares: Mutex<HashMap<String, WeakThreads>>,
}

impl Inner {
    fn new(path: PathBuf, handle: Option<OwnedFd>, threads: Threads) -> Self {
        Self { path, handle, threads, space: Space::default(), quota: None, shares: Mutex::default() }
    }
}

impl Root {
    /// Of the operator: names are taken as they are written, relative ones from this folder on.
    pub fn unrestricted(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Inner::new(path.into(), None, Threads::of_operator())))
    }

    /// Of a tenant: no name leads out of this folder, whatever becomes of the path that it was opened by.
    /// Links are followed as long as they are relative and stay within it.
    ///
    /// # Errors
    /// There is no such folder, the path is itself a link, or this system can't open files beneath a folder
    /// ([`io::ErrorKind::Unsupported`]).
    pub fn confined(path: &Path) -> io::Result<Self> {
        Self::confined_with(path, None)
    }

    /// As [`Root::confined`], for the folder that the tenants are in. What each of them has in its own may
    /// come to so many bytes; more is not written.
    ///
    /// # Errors
    /// As [`Root::confined`].
    pub fn of_tenants(path: &Path, quota: u64) -> io::Result<Self> {
        Self::confined_with(path, Some(quota))
    }

    fn confined_with(path: &Path, quota: Option<u64>) -> io::Result<Self> {
        let handle = openat(AT_FDCWD, path, HANDLE | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty())?;
        let inner = Inner::new(path.to_owned(), Some(handle), Threads::of_tenant());
        let root = Self(Arc::new(Inner { quota, ..inner }));
        match root.join("").handle() {
            Ok(_) => Ok(root),
            Err(error) if matches!(error.raw_os_error(), Some(code) if is_unsupported(code)) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no openat2, without which a tenant's files can't be kept apart from others': it needs \
                 Linux 5.6 or later, and a container runtime whose seccomp profile allows it",
            )),
            Err(error) => Err(error),
        }
    }

    /// The root of a folder in this one: the same kind of root, and no link.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        let path = self.0.path.join(name);
        let Some(handle) = &self.0.handle else { return Ok(Self::unrestricted(path)) };
        let how = how(HANDLE | OFlag::O_DIRECTORY, Mode::empty()).resolve(beneath() | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let handle = retried(|| openat2(handle, name, how))?;
        let inner = Inner::new(path, Some(handle), self.threads_of(name));
        Ok(Self(Arc::new(Inner { space: Space::of(self.0.quota), ..inner })))
    }

    /// The share of threads of whoever has this root.
    pub fn threads(&self) -> &Threads {
        &self.0.threads
    }

    /// The share of whoever has the folder of this name: the same one as long as anybody has it or a thread
    /// of it is not back.
    pub fn threads_of(&self, name: &str) -> Threads {
        let mut shares = self.0.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = shares.get(name).and_then(WeakThreads::upgrade) {
            return threads;
        }
        shares.retain(|_, threads| threads.upgrade().is_some());
        let threads = Threads::of_tenant();
        shares.insert(name.to_owned(), threads.downgrade());
        threads
    }

    /// A name beneath this root. What is there is found out by whoever uses it.
    pub fn join(&self, name: impl AsRef<Path>) -> RootedPath {
        RootedPath::new(self.clone(), name.as_ref())
    }

    /// Where it was opened, to tell somebody.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether nothing leads out of it.
    pub fn is_confined(&self) -> bool {
        self.0.handle.is_some()
    }

    /// Device and inode of the folder: what it is, whatever its path leads to later.
    ///
    /// # Errors
    /// The system can't say.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.join("").metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Takes room for so many bytes, before they are written.
    pub(crate) fn take(&self, bytes: u64) -> io::Result<()> {
        self.0.space.take(bytes, || self.open_file(Path::new(""), OFlag::O_RDONLY | OFlag::O_DIRECTORY))
    }

    /// Opens a name, and refuses what leads out. What it has opened may be anything.
    pub(crate) fn open(&self, name: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        let opened = match &self.0.handle {
            None => openat(AT_FDCWD, &self.0.path.join(name), flags, mode),
            Some(handle) => retried(|| openat2(handle, name, how(flags, mode).resolve(beneath()))),
        };
        match opened {
            Ok(handle) => Ok(handle.into()),
            Err(Errno::EXDEV) if self.is_confined() => Err(Refusal::Outside.into()),
            // A socket, or a pipe to write to that nobody reads.
            Err(Errno::ENXIO) => Err(Refusal::NotRegular.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Root::open`], to read or write.
    pub(crate) fn open_file(&self, name: &Path, flags: OFlag) -> io::Result<File> {
        let mode = if flags.contains(OFlag::O_CREAT) { Mode::S_IRUSR | Mode::S_IWUSR } else { Mode::empty() };
        self.open(name, flags | ALWAYS, mode)
    }

    /// As [`Root::open`], for a handle that only stands for what is there.
    pub(crate) fn open_handle(&self, name: &Path, flags: OFlag) -> io::Result<File> {
        self.open(name, flags | HANDLE, Mode::empty())
    }
}

/// Equal are roots that were opened at the same place and lead as far.
impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        let same = self.0.path == other.0.path && self.is_confined() == other.is_confined();
        Arc::ptr_eq(&self.0, &other.0) || same && (!self.is_confined() || self.identity().ok() == other.identity().ok())
    }
}

impl Eq for Root {}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_confined() { "confined" } else { "unrestricted" };
        write!(f, "{kind} {:?}", self.0.path)
    }
}

fn how(flags: OFlag, mode: Mode) -> OpenHow {
    OpenHow::new().flags(flags).mode(mode)
}

fn beneath() -> ResolveFlag {
    ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS
}

fn retried(open: impl Fn() -> nix::Result<OwnedFd>) -> nix::Result<OwnedFd> {
    let mut tries = (0..TRIES).map(|_| open());
    tries.find(|opened| !matches!(opened, Err(Errno::EAGAIN | Errno::EINTR))).unwrap_or(Err(Errno::EAGAIN))
}

/// Filters of system calls say one or the other of a call that they don't know.
fn is_unsupported(code: i32) -> bool {
    [Errno::ENOSYS, Errno::EPERM].contains(&Errno::from_raw(code))
}
