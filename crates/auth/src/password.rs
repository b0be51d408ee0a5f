//! Password files: `user:hash` by line, in the format of `mosquitto_passwd`.
//!
//! Lines whose first character is `#` and blank lines are skipped, blanks around name and hash are cut (thus
//! CRLF files work). Everything else must be an entry that can be checked: a file with a user twice, a user
//! without a name, or a hash that cannot be decoded is refused as a whole, with all its faults. No user is ever
//! let in for want of a readable password.
//!
//! A line of the kind `SCRAM-SHA-256$` serves SCRAM ([`crate::scram`]) and plain passwords alike. From Mosquitto's own kinds
//! no SCRAM can be made, as they do not hold what it is made of: such users are told the same as unknown ones.

mod edit;
mod hash;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use edit::{Change, CorruptLine, Document, SaveError, UsernameError, check_username};
use hash::HashAlgorithm;
pub use hash::{
    ARGON2_LANES_MAX, ARGON2_MEMORY_KIB_MAX, ARGON2_PASSES_MAX, FIELD_BYTES_MAX, Format, Hash, HashError,
    ITERATIONS_MAX, os_random,
};

use crate::{scram, text_file};

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
    /// Where no user has an entry for SCRAM, it is not offered.
    made_up: Option<MadeUp>,
}

/// What is told to those who ask for SCRAM under a name that has no entry for it: always the same for one name, and as it
/// is for most users of the file.
#[derive(Debug)]
struct MadeUp {
    /// Made of all entries, so that nobody who knows some of them can tell what is made up. It changes with the file.
    secret: Secret,
    iterations: u32,
    salt_bytes: usize,
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
            let made_up = MadeUp::of(&entries);
            Ok(PasswordFile { entries, by_name, decoy, made_up })
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

    /// Whether SCRAM is offered: some user has an entry for it.
    #[must_use]
    pub fn offers_scram(&self) -> bool {
        self.made_up.is_some()
    }

    /// What SCRAM needs of a user; for one without an entry for it something made up, which no proof fits. `None` where
    /// SCRAM is not offered.
    #[must_use]
    pub fn scram(&self, username: &str) -> Option<scram::Entry> {
        let made_up = self.made_up.as_ref()?.entry(username);
        Some(self.hash(username).and_then(Hash::scram).unwrap_or(made_up))
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

/// Not to be shown.
struct Secret([u8; scram::KEY_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl MadeUp {
    fn of(entries: &[(Arc<str>, Hash)]) -> Option<MadeUp> {
        let mut secret = [0; scram::KEY_BYTES];
        let mut shapes: BTreeMap<(u32, usize), usize> = BTreeMap::new();
        for entry in entries.iter().filter_map(|(_, hash)| hash.scram()) {
            secret = scram::hmac(&secret, &[&entry.stored_key, &entry.server_key]);
            *shapes.entry((entry.iterations, entry.salt.len())).or_default() += 1;
        }
        let usual = shapes.into_iter().max_by_key(|(_, count)| *count);
        usual.map(|((iterations, salt_bytes), _)| MadeUp { secret: Secret(secret), iterations, salt_bytes })
    }

    fn entry(&self, username: &str) -> scram::Entry {
        let make = |what: &[u8]| scram::hmac(&self.secret.0, &[what, username.as_bytes()]);
        let salt = make(b"salt:").into_iter().chain(make(b"more:")).take(self.salt_bytes).collect();
        let (stored_key, server_key) = (make(b"stored:"), make(b"server:"));
        scram::Entry { salt, iterations: self.iterations, stored_key, server_key, exists: false }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "$7$101$D9nJggqKYFc144CS$iM+9U9hY/0RVmmq1Id/ad3AJjBwZCG8WoICSO310x3oz4B5r6Vw8c41n9f2kRVF7A32C19ZbWF4AhJ5BJqXmHA==";

    fn parse(text: &str) -> Result<PasswordFile, Vec<String>> {
        PasswordFile::parse(text, "pw").map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn takes_comments_blank_lines_and_crlf() {
        let text =
            format!("# made by hand\r\n\r\n  \t\nuser1:{HASH}\r\n user2 : {HASH}\n#user3:x\nuser4:{HASH}");
        let file = parse(&text).unwrap();
        let names: Vec<&str> = file.entries().map(|(name, _)| name).collect();
        assert_eq!(names, ["user1", "user2", "user4"]);
        assert!(names.iter().all(|name| file.verify(name, b"iotlab")));
        assert!(!file.verify("user1", b"iotlabb"));
    }

    #[test]
    fn refuses_malformed_files_with_place_and_reason() {
        let table = [
            ("user1".to_owned(), "pw:1: no ':' between user and hash"),
            ("  # indented".to_owned(), "pw:1: no ':' between user and hash"),
            (format!("\n:{HASH}"), "Empty username in password file: pw:2"),
            (format!("  :{HASH}"), "Empty username in password file: pw:1"),
            ("user1:".to_owned(), "pw:1: user 'user1': this is not a password hash"),
            ("#\nuser1:iotlab".to_owned(), "Unable to decode line in password file: pw:2: user 'user1'"),
            (format!("a:{HASH}\nb:{HASH}\na:{HASH}"), "Duplicate user 'a' in password file: pw:3"),
            (format!("a:{HASH}:x"), "pw:1: user 'a': the hash is not Base64"),
            (
                format!("{}:{HASH}", "x".repeat(FIELD_BYTES_MAX + 1)),
                "Username too long in password file: pw:1",
            ),
        ];
        for (text, expected) in table {
            let errors = parse(&text).map(|_| ()).expect_err(&text);
            assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?} for {expected}");
        }
        assert_eq!(parse("a\nb\nc:x\n").map(|_| ()).unwrap_err().len(), 3);
        assert_eq!(parse(&"a\n".repeat(10_000)).map(|_| ()).unwrap_err().len(), ERRORS_MAX);
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        for text in ["", "\n", "# nothing\n"] {
            let file = parse(text).unwrap();
            assert!(file.is_empty() && !file.verify("", b"") && !file.verify("user1", b""), "{text:?}");
        }
    }

    #[test]
    fn d13_the_decoy_costs_what_most_users_cost() {
        let dear = HASH.replace("$101$", "$900$");
        let usual = |text: &str| parse(text).unwrap().decoy.algorithm();
        let of = |iterations| HashAlgorithm::Pbkdf2 { iterations };
        assert_eq!(usual(&format!("a:{HASH}\nb:{dear}\nc:{HASH}")), of(101));
        assert_eq!(usual(&format!("a:{HASH}\nb:{dear}")), of(900));
        assert_eq!(usual(""), of(1000));
    }

    #[test]
    fn who_has_no_entry_for_scram_is_told_something_made_up() {
        let scram = |i: u32| {
            format!("SCRAM-SHA-256${i}:AAECAwQFBgcICQoLDA0ODw==${key}:{key}", key = "A".repeat(43) + "=")
        };
        let (known, dear) = (scram(4096), scram(9000));
        let plain = parse(&format!("a:{HASH}")).unwrap();
        assert!(!plain.offers_scram() && plain.scram("a").is_none());
        let file = parse(&format!("a:{HASH}\nb:{known}\nc:{known}\nd:{dear}")).unwrap();
        let told = |file: &PasswordFile, name: &str| {
            let entry = file.scram(name).unwrap();
            (entry.exists, entry.iterations, entry.salt)
        };
        assert_eq!(told(&file, "d"), (true, 9000, (0..16).collect()));
        for name in ["a", "nobody"] {
            let (exists, iterations, salt) = told(&file, name);
            assert_eq!((exists, iterations, salt.len()), (false, 4096, 16), "{name}");
            assert_eq!(told(&file, name).2, salt, "always the same");
        }
        assert_ne!(told(&file, "a").2, told(&file, "nobody").2);
        let other = parse(&format!("b:{known}")).unwrap();
        assert_ne!(told(&file, "nobody").2, told(&other, "nobody").2, "other files tell something else");
        assert!(!format!("{file:?}").contains("Secret("));
    }

    #[test]
    fn loading_bounds_the_size_and_decodes_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let load = || PasswordFile::load(&path).map_err(|errors| errors[0].to_string());
        assert!(load().unwrap_err().starts_with("Unable to open pwfile \""));
        std::fs::write(&path, format!("# Gr\u{f6}\n# \u{1}\nü:{HASH}\n")).unwrap();
        assert!(load().unwrap().verify("ü", b"iotlab"));
        std::fs::write(&path, [b"# Latin-1: \xfc\n", format!("a:{HASH}").as_bytes()].concat()).unwrap();
        assert!(load().unwrap().contains("a"));
        std::fs::write(&path, b"#\na\xfc:x\n").unwrap();
        assert!(load().unwrap_err().ends_with("pw:2: not UTF-8"));
        std::fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(load().unwrap_err().contains("larger than"), "a sparse file beyond the bound");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[a-z:$#67+=/, \r\n\t%é0-9]{0,200}", start in 0usize..4) {
            let start = ["", "$7$101$", "u:SCRAM-SHA-256$4096:", "u:$argon2id$v=19$m=64,t=1,p=1$"][start];
            let text = format!("{start}{text}");
            drop(parse(&text));
            drop(text.parse::<Hash>());
            drop(Document::parse(&text));
        }

        #[test]
        fn what_is_written_is_read_back(names in proptest::collection::vec("[^\\p{C}:]{1,12}", 0..12)) {
            let mut document = Document::parse("# kept\n").unwrap();
            let hash: Hash = HASH.parse().unwrap();
            let mut expected: Vec<&str> = Vec::new();
            for name in names.iter().filter(|name| check_username(name).is_ok()) {
                let change = document.set(name, &hash);
                prop_assert_eq!(change == Change::Added, !expected.contains(&name.as_str()));
                if change == Change::Added {
                    expected.push(name);
                }
            }
            let file = parse(&document.to_string()).unwrap();
            let read: Vec<&str> = file.entries().map(|(name, _)| name).collect();
            prop_assert_eq!(read, expected);
            prop_assert!(file.entries().all(|(_, stored)| *stored == hash));
        }
    }
}
