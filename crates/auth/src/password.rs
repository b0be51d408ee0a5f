//! Password files: `user:hash` by line, in the format of `mosquitto_passwd`.
//!
//! Lines whose first character is `#` and blank lines are skipped, blanks around name and hash are cut (thus
//! CRLF files work). Everything else must be an entry that can be checked: a file with a user twice, a user
//! without a name, or a hash that cannot be decoded is refused as a whole, with all its faults. No user is ever
//! let in for want of a readable password.

mod edit;
mod hash;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use edit::{Change, CorruptLine, Document, SaveError, UsernameError, check_username};
use hash::HashAlgorithm;
pub use hash::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, FIELD_BYTES_MAX, Format, Hash, HashError,
    ITERATIONS_MAX, os_random,
};

use crate::text_file;

/// The largest password file read, in bytes: about 300 000 users.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// How many faults of one file are reported at most.
pub const ERRORS_MAX: usize = 100;

/// The users of a password file. Cheap to look up, slow to check: see [`PasswordFile::verify`].
#[derive(Debug)]
pub struct PasswordFile {
    /// In the file's order.
    entries: Vec<(Arc<str>, Hash)>,
    by_name: HashMap<Arc<str>, usize>,
    decoy: Hash,
}

impl PasswordFile {
    /// Reads and parses a file.
    pub fn load(path: &Path) -> Result<PasswordFile, Vec<PasswordFileError>> {
        let file = path.display().to_string();
        let bytes = text_file::read(path, FILE_BYTES_MAX).map_err(|e| {
            vec![PasswordFileError { file: file.clone(), line: 0, problem: Problem::Open(e.to_string()) }]
        })?;
        let text = text_file::decode(bytes).map_err(|line| {
            vec![PasswordFileError { file: file.clone(), line, problem: Problem::NotUtf8 }]
        })?;
        PasswordFile::parse(&text, &file)
    }

    /// Parses the text of a file; `file_name` is used in errors only.
    pub fn parse(text: &str, file_name: &str) -> Result<PasswordFile, Vec<PasswordFileError>> {
        let mut entries: Vec<(Arc<str>, Hash)> = Vec::new();
        let mut by_name = HashMap::new();
        let mut errors = Vec::new();
        for (line, content) in (1..).zip(text.split('\n')) {
            match parse_line(content) {
                Ok(None) => {}
                Ok(Some((name, hash))) => {
                    let name: Arc<str> = name.into();
                    if by_name.insert(Arc::clone(&name), entries.len()).is_some() {
                        let problem = Problem::Duplicate(Arc::clone(&name));
                        errors.push(PasswordFileError { file: file_name.to_owned(), line, problem });
                    }
                    entries.push((name, hash));
                }
                Err(problem) => errors.push(PasswordFileError { file: file_name.to_owned(), line, problem }),
            }
            if errors.len() >= ERRORS_MAX {
                break;
            }
        }
        if errors.is_empty() {
            let decoy = Hash::decoy(usual_algorithm(&entries));
            Ok(PasswordFile { entries, by_name, decoy })
        } else {
            Err(errors)
        }
    }

    /// Whether this user exists and this is the password.
    ///
    /// Costs what the hash costs (milliseconds, with Argon2 46 MiB as well; never call it from an event loop). For
    /// an unknown user as much work is done as for most users of the file, so that time does not tell who exists.
    #[must_use]
    pub fn verify(&self, username: &str, password: &[u8]) -> bool {
        if let Some(hash) = self.hash(username) {
            hash.verify(password)
        } else {
            // The result is used, lest the work be optimised away; it never is `true`.
            self.decoy.verify(password) && self.contains(username)
        }
    }

    /// Whether the file has this user.
    #[must_use]
    pub fn contains(&self, username: &str) -> bool {
        self.by_name.contains_key(username)
    }

    /// What is stored for a user. Two loads of a file that agree here need no new login after a reload.
    #[must_use]
    pub fn hash(&self, username: &str) -> Option<&Hash> {
        self.by_name.get(username).and_then(|index| self.entries.get(*index)).map(|(_, hash)| hash)
    }

    /// Users and what is stored for them, in the file's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Hash)> {
        self.entries.iter().map(|(name, hash)| (&**name, hash))
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A fault of a password file and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordFileError {
    /// The file's name as it was given.
    pub file: String,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a password file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The file cannot be read; the system's reason.
    Open(String),
    /// The line is not UTF-8.
    NotUtf8,
    /// No `:` in the line.
    NoColon,
    /// Nothing before the `:`.
    EmptyUsername,
    /// A name longer than [`FIELD_BYTES_MAX`].
    UsernameTooLong,
    /// The user of an earlier line again.
    Duplicate(Arc<str>),
    /// What follows the user's `:` is no password hash.
    Hash(String, HashError),
}

impl fmt::Display for PasswordFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PasswordFileError { file, line, problem } = self;
        match problem {
            Problem::Open(reason) => write!(f, "Unable to open pwfile \"{file}\": {reason}"),
            Problem::NotUtf8 => write!(f, "Unable to decode line in password file: {file}:{line}: not UTF-8"),
            Problem::NoColon => {
                write!(
                    f,
                    "Unable to decode line in password file: {file}:{line}: no ':' between user and hash"
                )
            }
            Problem::EmptyUsername => write!(f, "Empty username in password file: {file}:{line}"),
            Problem::UsernameTooLong => write!(f, "Username too long in password file: {file}:{line}"),
            Problem::Duplicate(user) => write!(f, "Duplicate user '{user}' in password file: {file}:{line}"),
            Problem::Hash(user, reason) => {
                write!(f, "Unable to decode line in password file: {file}:{line}: user '{user}': {reason}")
            }
        }
    }
}

impl std::error::Error for PasswordFileError {}

/// `None` for a comment or a blank line.
fn parse_line(line: &str) -> Result<Option<(&str, Hash)>, Problem> {
    if is_skipped(line) {
        return Ok(None);
    }
    let (name, stored) = split_entry(line).ok_or(Problem::NoColon)?;
    if name.is_empty() {
        return Err(Problem::EmptyUsername);
    }
    if name.len() > FIELD_BYTES_MAX {
        return Err(Problem::UsernameTooLong);
    }
    let hash = stored.parse().map_err(|reason| Problem::Hash(name.to_owned(), reason))?;
    Ok(Some((name, hash)))
}

/// Whether a line is a comment or blank. Only a `#` in the first place makes a comment.
fn is_skipped(line: &str) -> bool {
    line.starts_with('#') || trim(line).is_empty()
}

/// Name and what is stored, without the blanks around them.
fn split_entry(line: &str) -> Option<(&str, &str)> {
    line.split_once(':').map(|(name, stored)| (trim(name), trim(stored)))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n', '\x0b', '\x0c'])
}

/// The computation most users have; among equals the dearest.
fn usual_algorithm(entries: &[(Arc<str>, Hash)]) -> HashAlgorithm {
    let mut counts: HashMap<HashAlgorithm, usize> = HashMap::new();
    for (_, hash) in entries {
        *counts.entry(hash.algorithm()).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(algorithm, count)| (*count, *algorithm));
    usual.map_or(Format::default().algorithm(None), |(algorithm, _)| algorithm)
}
