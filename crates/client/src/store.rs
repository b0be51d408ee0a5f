//! Where a session is kept for the next run of the program.

use crate::Change;
use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps what of a session has to survive the program ([`Options::store`](crate::Options::store)).
///
/// It is called from threads where it may wait for a disk, never by two at a time. [`FileStore`] is one; another may
/// be a table in the program's own data base.
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// All entries, in any order: what the changes of all commits add up to.
    fn load(&self) -> io::Result<Vec<(u64, Vec<u8>)>>;

    /// Makes these changes, in their order. When this returns they are as safe as the store can make them; when it
    /// fails, any number of the first of them may have been made, and all of them come again.
    fn commit(&self, changes: &[Change]) -> io::Result<()>;
}

/// A session in one file: a log, which is written anew when most of it is out of date.
///
/// A damaged entry is passed over. Two programs cannot have the same file at a time.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    log: Mutex<Log>,
}

/// What the file begins with.
const HEAD: &[u8; 16] = b"MQTT session 1\n\0";

/// Length and checksum before each record.
const RECORD_HEAD: usize = 8;

/// Kind and key before each value.
const BODY_HEAD: usize = 9;

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// Below this size nothing is written anew.
const REWRITE_BYTES_MIN: u64 = 64 << 10;

#[derive(Debug)]
struct Log {
    file: File,
    /// Where the next record goes; what lies behind is the rest of a failed attempt.
    end: u64,
    /// Where each entry's record is, and its length.
    live: BTreeMap<u64, (u64, usize)>,
    live_bytes: u64,
}

impl FileStore {
    /// Opens the file, or makes it. An error names it: it is in use, no session, or out of reach.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        match Log::open(&path) {
            Ok(log) => Ok(Self { path, log: Mutex::new(log) }),
            Err(error) => Err(in_file(&path, &error)),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for FileStore {
    fn load(&self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        self.log().entries().map_err(|error| in_file(&self.path, &error))
    }

    fn commit(&self, changes: &[Change]) -> io::Result<()> {
        self.log().commit(&self.path, changes).map_err(|error| in_file(&self.path, &error))
    }
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path, false)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut log = Self { file, end: HEAD.len() as u64, live: BTreeMap::new(), live_bytes: 0 };
        if bytes.len() < HEAD.len() && HEAD.starts_with(&bytes) {
            log.file.rewind()?;
            log.file.write_all(HEAD)?;
            log.file.sync_all()?;
            sync_folder(path)?;
            return Ok(log);
        }
        let Some(records) = bytes.strip_prefix(HEAD) else {
            return Err(io::Error::new(ErrorKind::InvalidData, "this is no kept session"));
        };
        let mut rest = records;
        while let Some((body, after)) = next_record(rest) {
            let len = rest.len() - after.len();
            if let Some((kind, key, _)) = body.and_then(parts) {
                log.note(kind, key, len);
            }
            log.end += len as u64;
            rest = after;
        }
        Ok(log)
    }

    fn entries(&mut self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let places: Vec<_> = self.live.iter().map(|(&key, &place)| (key, place)).collect();
        let mut entries = Vec::with_capacity(places.len());
        for (key, place) in places {
            let record = self.record(place)?;
            entries.push((key, record.get(RECORD_HEAD + BODY_HEAD..).unwrap_or_default().to_vec()));
        }
        Ok(entries)
    }

    fn commit(&mut self, path: &Path, changes: &[Change]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut notes = Vec::with_capacity(changes.len());
        for change in changes {
            let start = bytes.len();
            let (kind, key, value) = match change {
                Change::Put { key, value } => (PUT, *key, value.as_slice()),
                Change::Remove { key } => (REMOVE, *key, &[][..]),
            };
            write_record(kind, key, value, &mut bytes)?;
            notes.push((kind, key, bytes.len() - start));
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        for (kind, key, len) in notes {
            self.note(kind, key, len);
            self.end += len as u64;
        }
        if self.end > REWRITE_BYTES_MIN && self.end / 4 > self.live_bytes {
            self.rewrite(path)?;
        }
        Ok(())
    }

    /// The same entries in a new file, which then takes the old one's name.
    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let mut new_path = path.as_os_str().to_owned();
        new_path.push(".new");
        let new_path = PathBuf::from(new_path);
        let mut new = Self { file: open(&new_path, true)?, end: 0, live: BTreeMap::new(), live_bytes: 0 };
        let mut bytes = HEAD.to_vec();
        new.end = HEAD.len() as u64;
        let places: Vec<_> = self.live.iter().map(|(&key, &place)| (key, place)).collect();
        for (key, place) in places {
            bytes.extend(self.record(place)?);
            new.note(PUT, key, place.1);
            new.end += place.1 as u64;
        }
        new.file.write_all(&bytes)?;
        new.file.sync_all()?;
        fs::rename(&new_path, path)?;
        sync_folder(path)?;
        *self = new;
        Ok(())
    }

    /// The record at `end` is this.
    fn note(&mut self, kind: u8, key: u64, len: usize) {
        let before = match kind {
            PUT => self.live.insert(key, (self.end, len)),
            _ => self.live.remove(&key),
        };
        let added = if kind == PUT { len as u64 } else { 0 };
        self.live_bytes = self.live_bytes + added - before.map_or(0, |(_, len)| len as u64);
    }

    fn record(&mut self, (at, len): (u64, usize)) -> io::Result<Vec<u8>> {
        let mut record = vec![0; len];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut record)?;
        Ok(record)
    }
}

/// A record's body, or none if it is damaged, and what follows. None: the end, or a record that was not finished.
fn next_record(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (body, rest) = rest.split_at_checked(len)?;
    let good = crc32fast::hash(body) == u32::from_le_bytes(*checksum);
    Some((good.then_some(body), rest))
}

/// Kind, key and value.
fn parts(body: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (&kind, rest) = body.split_first()?;
    let (key, value) = rest.split_first_chunk()?;
    [PUT, REMOVE].contains(&kind).then_some((kind, u64::from_le_bytes(*key), value))
}

fn write_record(kind: u8, key: u64, value: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let body = [&[kind][..], &key.to_le_bytes(), value].concat();
    let len = u32::try_from(body.len()).map_err(io::Error::other)?;
    out.extend(len.to_le_bytes());
    out.extend(crc32fast::hash(&body).to_le_bytes());
    out.extend(body);
    Ok(())
}

/// For this process alone, as far as the system can see to that.
fn open(path: &Path, empty: bool) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    #[cfg(unix)]
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| io::Error::new(ErrorKind::WouldBlock, "in use by another program"))?;
    if empty {
        file.set_len(0)?;
    }
    Ok(file)
}

/// A new name is only safe when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: u64, value: impl Into<Vec<u8>>) -> Change {
        Change::Put { key, value: value.into() }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session");
        (dir, path)
    }

    fn reopened(path: &Path) -> Vec<(u64, Vec<u8>)> {
        FileStore::open(path).unwrap().load().unwrap()
    }

    #[test]
    fn what_changes_add_up_to_comes_back() {
        let (_dir, path) = folder();
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.commit(&[put(1, "one"), put(2, "two"), put(1 << 63, "")]).unwrap();
        store.commit(&[Change::Remove { key: 1 }, put(2, "zwei"), Change::Remove { key: 9 }]).unwrap();
        let wanted = [(2, b"zwei".to_vec()), (1 << 63, vec![])];
        assert_eq!(store.load().unwrap(), wanted);
        drop(store);
        assert_eq!(reopened(&path), wanted);
    }

    #[test]
    fn a_file_has_one_owner_and_has_to_be_a_session() {
        let (_dir, path) = folder();
        let store = FileStore::open(&path).unwrap();
        let error = FileStore::open(&path).unwrap_err();
        assert!(error.to_string().contains("session: in use"), "{error}");
        drop(store);
        fs::write(&path, "something else entirely").unwrap();
        assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(fs::read(&path).unwrap(), b"something else entirely");
    }

    #[test]
    fn cut_anywhere_it_keeps_what_was_finished_and_goes_on() {
        let (_dir, path) = folder();
        FileStore::open(&path).unwrap().commit(&[put(1, "one"), put(2, "two")]).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let store = FileStore::open(&path).unwrap();
            let kept = store.load().unwrap();
            assert!(kept.len() <= 1 && kept.iter().all(|entry| *entry == (1, b"one".to_vec())), "{len}");
            store.commit(&[put(3, "three")]).unwrap();
            drop(store);
            assert_eq!(reopened(&path).last(), Some(&(3, b"three".to_vec())), "{len}");
        }
    }

    #[test]
    fn a_changed_byte_harms_no_other_entry() {
        let (_dir, path) = folder();
        FileStore::open(&path).unwrap().commit(&[put(1, "one"), put(2, "two"), put(3, "three")]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let two = bytes.windows(3).position(|w| w == b"two").unwrap();
        bytes[two] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(reopened(&path), [(1, b"one".to_vec()), (3, b"three".to_vec())]);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let (_dir, path) = folder();
        let store = FileStore::open(&path).unwrap();
        store.commit(&[put(0, "stays")]).unwrap();
        for key in 1..200 {
            store.commit(&[put(key, vec![0; 5000])]).unwrap();
            store.commit(&[Change::Remove { key }]).unwrap();
            assert!(fs::metadata(&path).unwrap().len() < 2 * REWRITE_BYTES_MIN);
        }
        drop(store);
        assert_eq!(reopened(&path), [(0, b"stays".to_vec())]);
    }
}
