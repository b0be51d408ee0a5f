//! Changing a password file: its lines stay as they are, but for the users that change.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{FIELD_BYTES_MAX, FILE_BYTES_MAX, Hash, HashError, is_skipped, split_entry};
use crate::text_file;

/// The lines of a password file that is being changed. Unlike [`super::PasswordFile`] it takes users whose
/// password is still in plain text, and users that stand there twice: it is the tool to mend such files with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Without their `\n`.
    lines: Vec<String>,
}

/// What [`Document::set`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The user is new, at the end of the file.
    Added,
    /// The user's line was replaced.
    Updated,
}

/// A line that is neither comment nor `user:something`. Counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorruptLine(pub usize);

impl Document {
    /// Takes a text apart; nothing is changed in it.
    pub fn parse(text: &str) -> Result<Document, CorruptLine> {
        let lines: Vec<String> =
            text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::to_owned).collect();
        let is_sound = |line: &String| {
            is_skipped(line)
                || split_entry(line).is_some_and(|(name, stored)| !name.is_empty() && !stored.is_empty())
        };
        match lines.iter().position(|line| !is_sound(line)) {
            Some(index) => Err(CorruptLine(index + 1)),
            None if text.is_empty() => Ok(Document::default()),
            None => Ok(Document { lines }),
        }
    }

    /// Reads a file. The inner error names a line that is no entry.
    pub fn load(path: &Path) -> io::Result<Result<Document, CorruptLine>> {
        let bytes = text_file::read(path, FILE_BYTES_MAX)?;
        Ok(text_file::decode(bytes).map_err(CorruptLine).and_then(|text| Document::parse(&text)))
    }

    /// Replaces the user's line or appends one. The name must have passed [`check_username`].
    pub fn set(&mut self, username: &str, hash: &Hash) -> Change {
        let entry = format!("{username}:{hash}");
        let first = self.lines.iter().position(|line| is_entry_of(line, username));
        if let Some(line) = first.and_then(|index| self.lines.get_mut(index)) {
            *line = entry;
            let mut index = 0;
            self.lines.retain(|line| {
                index += 1;
                Some(index - 1) <= first || !is_entry_of(line, username)
            });
            Change::Updated
        } else {
            self.lines.push(entry);
            Change::Added
        }
    }

    /// Removes the user. Whether there was one.
    pub fn remove(&mut self, username: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !is_entry_of(line, username));
        self.lines.len() != before
    }

    /// Hashes every password that is in plain text; what is a hash already stays. How many were hashed.
    pub fn hash_plain(
        &mut self,
        hash: &mut dyn FnMut(&str) -> Result<Hash, HashError>,
    ) -> Result<usize, HashError> {
        let mut count = 0;
        for line in &mut self.lines {
            let Some((name, stored)) = split_entry(line).filter(|_| !is_skipped(line)) else { continue };
            if stored.parse::<Hash>().is_err() {
                *line = format!("{name}:{}", hash(stored)?);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Writes the file: a new one with mode 0600; an existing one keeps mode and owner, and its place is taken in
    /// one step, so that a reader sees the old file or the new one whole.
    ///
    /// Where the system refuses that step (a file mounted by itself, somebody else's file), the file is
    /// overwritten in place, with a copy `FILE.backup.XXXXXX` beside it until that is done.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        // Through a symbolic link the file behind it is meant.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = self.to_string();
        match replace(&target, text.as_bytes()) {
            Err(error) if target.exists() => overwrite(&target, text.as_bytes()).map_err(|overwriting| {
                if matches!(overwriting, SaveError::Write(_)) { SaveError::Write(error) } else { overwriting }
            }),
            done => done.map_err(SaveError::Write),
        }
    }
}

/// The file's text.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for CorruptLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Corrupt password file at line {}.", self.0)
    }
}

impl std::error::Error for CorruptLine {}

/// Why a file was not written.
#[derive(Debug)]
pub enum SaveError {
    /// The file is as it was.
    Write(io::Error),
    /// The file is as it was: no copy could be made before overwriting it.
    Backup(PathBuf, io::Error),
    /// Overwriting failed half-way; the old contents are in the named copy.
    Interrupted(PathBuf, io::Error),
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveError::Write(reason) => write!(f, "Unable to write the password file. {reason}."),
            SaveError::Backup(backup, reason) => write!(
                f,
                "Error creating backup password file \"{}\", not continuing. {reason}.",
                backup.display()
            ),
            SaveError::Interrupted(backup, reason) => write!(
                f,
                "Error occurred updating password file. {reason}.\n\
                 Password file may be corrupt, check the backup file: {}.",
                backup.display()
            ),
        }
    }
}

impl std::error::Error for SaveError {}

/// Why a name cannot stand in a password file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsernameError {
    /// Nothing, or blanks around it, which reading the file would cut off.
    Blank,
    /// Longer than [`FIELD_BYTES_MAX`].
    TooLong,
    /// A control character.
    Control,
    /// A `:`, which ends the name.
    Colon,
    /// A `#` in the first place, which makes the line a comment.
    Comment,
}

impl fmt::Display for UsernameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UsernameError::Blank => "Username must not be empty, nor begin or end with a blank.",
            UsernameError::TooLong => "Username must be less than 65536 characters long.",
            UsernameError::Control => "Username must not contain control characters.",
            UsernameError::Colon => "Username must not contain the ':' character.",
            UsernameError::Comment => "Username must not begin with the '#' character.",
        })
    }
}

impl std::error::Error for UsernameError {}

/// Whether a name can be written to a password file and will be read back as the same name.
pub fn check_username(username: &str) -> Result<(), UsernameError> {
    if username.len() > FIELD_BYTES_MAX {
        Err(UsernameError::TooLong)
    } else if username.contains(char::is_control) {
        Err(UsernameError::Control)
    } else if username.contains(':') {
        Err(UsernameError::Colon)
    } else if username.starts_with('#') {
        Err(UsernameError::Comment)
    } else if username.is_empty() || super::trim(username) != username {
        Err(UsernameError::Blank)
    } else {
        Ok(())
    }
}

fn is_entry_of(line: &str, username: &str) -> bool {
    !is_skipped(line) && split_entry(line).is_some_and(|(name, _)| name == username)
}

fn replace(target: &Path, contents: &[u8]) -> io::Result<()> {
    let dir = directory_of(target);
    let mut file = tempfile::Builder::new().prefix(".passwd.").tempfile_in(dir)?;
    file.write_all(contents)?;
    keep_owner_and_mode(target, file.as_file())?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(unix)]
fn keep_owner_and_mode(target: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let old = match fs::metadata(target) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        old => old?,
    };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_owner_and_mode(_target: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

fn overwrite(target: &Path, contents: &[u8]) -> Result<(), SaveError> {
    let backup = back_up(target).map_err(|e| {
        let mut name = target.as_os_str().to_owned();
        name.push(".backup.XXXXXX");
        SaveError::Backup(name.into(), e)
    })?;
    let mut file = OpenOptions::new().write(true).open(target).map_err(SaveError::Write)?;
    let written = file
        .write_all(contents)
        .and_then(|()| file.set_len(contents.len() as u64))
        .and_then(|()| file.sync_all());
    written.map_err(|e| match backup.keep() {
        Ok((_, path)) => SaveError::Interrupted(path, e),
        Err(keeping) => SaveError::Interrupted(keeping.file.path().to_owned(), e),
    })
}

/// A copy beside the file that vanishes when dropped.
fn back_up(target: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut prefix = target.file_name().unwrap_or_default().to_owned();
    prefix.push(".backup.");
    let mut backup = tempfile::Builder::new().prefix(&prefix).tempfile_in(directory_of(target))?;
    io::copy(&mut File::open(target)?, backup.as_file_mut())?;
    backup.as_file().sync_all()?;
    Ok(backup)
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{Format, os_random};

    const HASH: &str = "$6$tdLGNMZ0kys5jit/$LSQoCV281po+tcw2IDUwZheW12JZiPsSXbzQLK36rVZchTENxdM/Ya4VBTNaMpEDeJ+QOBiKn6giG7fezq0C5w==";

    fn hash() -> Hash {
        HASH.parse().unwrap()
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        let text = "# users\r\n\r\na:plain\r\n  b : x\na:again\n#a:comment\nc:y";
        let mut document = Document::parse(text).unwrap();
        assert_eq!(document.to_string(), format!("{text}\n"));
        assert_eq!(document.set("a", &hash()), Change::Updated);
        assert_eq!(document.set("d", &hash()), Change::Added);
        let expected = format!("# users\r\n\r\na:{HASH}\n  b : x\n#a:comment\nc:y\nd:{HASH}\n");
        assert_eq!(document.to_string(), expected);
        assert!(document.remove("b") && !document.remove("b"));
        assert_eq!(document.to_string(), expected.replace("  b : x\n", ""));
    }

    #[test]
    fn corrupt_lines_are_named() {
        for (text, line) in [("a:x\nb\n", 2), (":x", 1), ("a:x\n\n a: \n", 3), (" #c", 1)] {
            assert_eq!(Document::parse(text), Err(CorruptLine(line)), "{text:?}");
        }
        assert_eq!(CorruptLine(2).to_string(), "Corrupt password file at line 2.");
    }

    #[test]
    fn plain_passwords_are_hashed_once() {
        let mut document = Document::parse(&format!("# x:y\na:iot lab:x \nb:{HASH}\n")).unwrap();
        let mut hash = |password: &str| Hash::create(password.as_bytes(), Format::V2_0, None, &mut os_random);
        assert_eq!(document.hash_plain(&mut hash), Ok(1));
        assert_eq!(document.hash_plain(&mut hash), Ok(0));
        let file = crate::password::PasswordFile::parse(&document.to_string(), "pw").unwrap();
        assert!(file.verify("a", b"iot lab:x") && file.verify("b", b"iotlab"));
        assert!(document.to_string().starts_with("# x:y\n"));
    }

    #[test]
    fn names_that_would_not_be_read_back_are_refused() {
        let long = "x".repeat(FIELD_BYTES_MAX + 1);
        let table = [
            ("", UsernameError::Blank),
            (" a", UsernameError::Blank),
            ("a\u{a0}:b", UsernameError::Colon),
            ("a\nb", UsernameError::Control),
            ("#a", UsernameError::Comment),
            (&long, UsernameError::TooLong),
        ];
        for (name, error) in table {
            assert_eq!(check_username(name), Err(error), "{name:?}");
        }
        assert_eq!(check_username("Jörg von #1"), Ok(()));
        assert_eq!(check_username(&"x".repeat(FIELD_BYTES_MAX)), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn saving_keeps_the_mode_and_leaves_nothing_behind() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("pw"), dir.path().join("link"));
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        let mut document = Document::default();
        document.set("a", &hash());
        document.save(&path).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        document.set("b", &hash());
        document.save(&link).unwrap();
        assert_eq!(mode(), 0o640);
        assert_ne!(fs::metadata(&path).unwrap().ino(), inode, "replaced, not overwritten");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), document.to_string());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn overwriting_in_place_shortens_the_file_and_removes_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        fs::write(&path, "old and long\n").unwrap();
        overwrite(&path, b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let copy = back_up(&path).unwrap();
        let name = copy.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("pw.backup.") && name.len() == "pw.backup.XXXXXX".len(), "{name}");
        assert_eq!(fs::read_to_string(copy.path()).unwrap(), "new\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = Document::default().save(&dir.path().join("no/pw")).unwrap_err();
        assert!(matches!(error, SaveError::Write(_)), "{error}");
    }
}
