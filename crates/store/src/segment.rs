//! The files of the log. Each is a window on it, made in its full size in advance, so that writing changes no metadata and
//! a sync costs one write; and used anew when nothing in it is needed any more.
//!
//! ```text
//! segment = header:28 zeros:4 header:28 zeros:4 frame* anything
//! header  = "GRVstore" format:4 salt:4 position:8 check:4
//! ```
//!
//! The name of a file says nothing: what it is, its header says, of which there are two copies.

use crate::Error;
use crate::change::Reader;
use crate::frame::{self, Header, checksum};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raised when an older version could misread what a newer one has written.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const HEADER_LEN: u64 = 64;
const COPY_LEN: usize = 28;
/// Both copies and what is between them.
const COPIES_LEN: usize = 60;
/// What a file that cannot be read at all is renamed to.
const DAMAGED: &str = "log.damaged";
const MAGIC: &[u8; 8] = b"GRVstore";
const SUFFIX: &str = "log";
/// There in every store.
pub(crate) const LOCK: &str = "lock";
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(30);
/// What the system keeps of a file in one piece.
const PAGE: usize = 4096;
/// What is written at once to a new file.
const ZEROS_AT_ONCE: usize = 256 << 10;
/// What one unreadable block of the disk costs.
const BLOCK: usize = 4096;

/// What may be done with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A file of the log, in use or not.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// Of its first byte in the log, when it is in use.
    pub(crate) position: u64,
    /// Behind its last frame; [`Segment::end`] if that is not known.
    pub(crate) used: u64,
}

/// What the beginning of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Ours {
        salt: u32,
        position: u64,
    },
    Newer(u32),
    /// As made, and never used; or cut off.
    Blank,
    Unreadable,
}

impl Segment {
    /// A new file of zeros. What there is of it after an error is removed.
    pub(crate) fn create(dir: &Path, len: u64) -> Result<Self, Error> {
        let free = |n: &u32| !path(dir, *n).exists();
        let path = path(dir, (1..u32::MAX).find(free).unwrap_or(u32::MAX));
        let made = (|| {
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            // fails at once where there is no room; not every file system can
            let room = fallocate(&file, FallocateFlags::empty(), 0, len);
            if let Err(e @ (Errno::NOSPC | Errno::DQUOT)) = room {
                return Err(e.into());
            }
            if write_zeros_past_cache(&path, len).is_err() {
                write_zeros(&file, len)?;
            }
            file.sync_all()?;
            sync_dir(dir)?;
            Ok(file)
        })();
        match made {
            Ok(file) => Ok(Self { file, path, len, position: 0, used: 0 }),
            Err(e) => {
                drop(std::fs::remove_file(&path));
                Err(Error::io(&path, "create", e))
            }
        }
    }

    /// All there are, in no order.
    pub(crate) fn open_all(dir: &Path, access: Access) -> Result<Vec<Self>, Error> {
        let failed = |e| Error::io(dir, "list", e);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) && path.is_file() {
                let file = OpenOptions::new().read(true).write(access == Access::Write).open(&path);
                let file = file.map_err(|e| Error::io(&path, "open", e))?;
                let len = file.metadata().map_err(|e| Error::io(&path, "open", e))?.len();
                all.push(Self { file, path, len, position: 0, used: 0 });
            }
        }
        Ok(all)
    }

    pub(crate) fn face(&self) -> Face {
        let mut bytes = [0; COPIES_LEN];
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Face::Unreadable,
            _ => {}
        }
        let copies = [bytes.first_chunk(), bytes.last_chunk()];
        let unknown = if bytes == [0; COPIES_LEN] { Face::Blank } else { Face::Unreadable };
        copies.into_iter().flatten().find_map(Self::decode).unwrap_or(unknown)
    }

    /// Out of the way, so that nothing is written over it.
    pub(crate) fn set_aside(&self) {
        // where that fails it is in the way, and has been told of
        drop(std::fs::rename(&self.path, self.path.with_extension(DAMAGED)));
    }

    fn decode(bytes: &[u8; COPY_LEN]) -> Option<Face> {
        let (body, check) = bytes.split_at(24);
        let mut from = Reader(body.strip_prefix(MAGIC)?);
        if checksum(&[body]) != *check {
            return None;
        }
        let format = from.fixed().map(u32::from_le_bytes)?;
        if format > FORMAT {
            return Some(Face::Newer(format));
        }
        let salt = from.fixed().map(u32::from_le_bytes)?;
        Some(Face::Ours { salt, position: from.fixed().map(u64::from_le_bytes)? })
    }

    /// From now on it is the window that begins at `position`.
    pub(crate) fn begin(&mut self, position: u64, salt: u32) -> Result<(), Error> {
        let fields: [&[u8]; 4] = [MAGIC, &FORMAT.to_le_bytes(), &salt.to_le_bytes(), &position.to_le_bytes()];
        let mut header = fields.concat();
        let check = checksum(&[&header]);
        header.extend_from_slice(&check);
        let first = header.clone();
        header.resize(COPIES_LEN - COPY_LEN, 0);
        header.extend_from_slice(&first);
        self.position = position;
        self.write(position, &header)
    }

    /// One past its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.len
    }

    pub(crate) fn first_frame(&self) -> u64 {
        self.position + HEADER_LEN
    }

    pub(crate) fn write(&self, position: u64, bytes: &[u8]) -> Result<(), Error> {
        let offset = position.saturating_sub(self.position);
        self.file.write_all_at(bytes, offset).map_err(|e| Error::io(&self.path, "write", e))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, "sync", e))
    }

    /// From here to where the system's next page begins. A page that is written to its end need not be read before.
    pub(crate) fn rest_of_page(&self, position: u64) -> usize {
        let offset = position.saturating_sub(self.position);
        let end = offset.next_multiple_of(PAGE as u64).min(self.len);
        usize::try_from(end.saturating_sub(offset)).unwrap_or(0)
    }

    /// Everything behind the header; zeros where the disk cannot be read.
    pub(crate) fn frames(&self) -> Vec<u8> {
        let len = usize::try_from(self.len.saturating_sub(HEADER_LEN)).unwrap_or(0);
        let mut bytes = vec![0; len];
        if self.file.read_exact_at(&mut bytes, HEADER_LEN).is_ok() {
            return bytes;
        }
        for (n, block) in bytes.chunks_mut(BLOCK).enumerate() {
            if self.file.read_exact_at(block, HEADER_LEN + (n * BLOCK) as u64).is_err() {
                block.fill(0);
            }
        }
        bytes
    }

    /// The frame that begins at `position`.
    pub(crate) fn frame_at(&self, position: u64, salt: u32) -> Option<(Header, Vec<u8>)> {
        let offset = position.checked_sub(self.position)?;
        let mut header = [0; frame::HEADER_LEN];
        self.file.read_exact_at(&mut header, offset).ok()?;
        let header = Header::decode(&header, position, salt)?;
        let len = Some(header.frame_len()).filter(|len| offset + len <= self.len)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some((header, bytes))
    }

    /// Where the next frame begins, after a place where none does.
    pub(crate) fn frame_after(&self, position: u64, salt: u32) -> Option<u64> {
        let from = usize::try_from(position.checked_sub(self.first_frame())?).ok()?;
        Some(position + frame::next_frame(self.frames().get(from..)?, position, salt)? as u64)
    }

    /// Its position by what its frames say, for a header that cannot be read.
    pub(crate) fn guess_position(&self, salt: u32) -> Option<u64> {
        frame::position_of(&self.frames(), salt)?.checked_sub(HEADER_LEN)
    }

    pub(crate) fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(|e| Error::io(&self.path, "remove", e))
    }
}

/// Keeps other processes out of a directory for as long as it lives.
pub(crate) fn lock(dir: &Path, access: Access) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let write = access == Access::Write;
    let mut open = OpenOptions::new();
    let file = open.read(true).write(write).create(write).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|e| Error::io(&path, "open", e))?;
    // a child that is just being started holds it for a moment, too, and so does a broker that is about to end
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(e) => return Err(Error::io(&path, "lock", e.into())),
        }
    }
    Err(Error::Locked { path: dir.into() })
}

fn path(dir: &Path, n: u32) -> PathBuf {
    dir.join(format!("{n:08}.{SUFFIX}"))
}

/// Not every file system can. What takes none of the system's pages costs a fraction, and they come with the groups.
fn write_zeros_past_cache(path: &Path, len: u64) -> io::Result<()> {
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    let most = left.min(ZEROS_AT_ONCE);
    // a whole page begins somewhere in the first one
    let bytes = vec![0; most + PAGE];
    let first = bytes.as_ptr().align_offset(PAGE);
    let zeros = bytes.get(first..).and_then(|zeros| zeros.get(..most)).unwrap_or_default();
    while left > 0 {
        let now = left.min(most);
        file.write_all(zeros.get(..now).unwrap_or(zeros))?;
        left -= now;
    }
    Ok(())
}

fn write_zeros(mut file: &File, len: u64) -> io::Result<()> {
    // page by page: a file system that keeps larger pieces would write as much for each small group
    let zeros = [0; PAGE];
    let mut left = len;
    while left > 0 {
        let now = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(zeros.get(..now).unwrap_or(&zeros))?;
        left -= now as u64;
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
