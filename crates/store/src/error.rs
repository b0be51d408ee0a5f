//! What can go wrong with a store, and whose fault it is.

use std::path::{Path, PathBuf};
use std::{fmt, io};

#[derive(Debug)]
pub enum Error {
    /// Another process has it open.
    Locked { path: PathBuf },
    /// Written by a later version than this one, with this format number.
    Newer { path: PathBuf, format: u32 },
    /// There is something else in its place.
    Foreign { path: PathBuf },
    /// A file that is to be taken over is not what it should be.
    Unreadable { path: PathBuf, what: String },
    /// No room for the group: the size limit, or the disk. Nothing of it was kept.
    Full { path: PathBuf, limit: Limit },
    /// The world outside; `doing` is what was tried. Nothing of the group was kept.
    Io { path: PathBuf, doing: &'static str, source: io::Error },
}

/// What a full store has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `size_max`, in bytes.
    Size(u64),
    /// The disk, or the quota of the user.
    Disk,
}

impl Error {
    /// An error of the file system at `path`; no space left is [`Error::Full`].
    pub fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.into(), limit: Limit::Disk }
            }
            _ => Self::Io { path: path.into(), doing, source },
        }
    }

    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path } => write!(f, "{}: in use by another broker", path.display()),
            Self::Newer { path, format } => {
                write!(f, "{}: written by a newer GroveMQ (store format {format})", path.display())
            }
            Self::Foreign { path } => write!(f, "{}: not a store of GroveMQ", path.display()),
            Self::Unreadable { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Full { path, limit: Limit::Size(bytes) } => {
                write!(f, "{}: full, its size limit is {bytes} bytes", path.display())
            }
            Self::Full { path, limit: Limit::Disk } => {
                write!(f, "{}: no space left on the disk", path.display())
            }
            Self::Io { path, doing, source } => write!(f, "{}: cannot {doing}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
