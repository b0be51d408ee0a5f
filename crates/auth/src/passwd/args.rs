//! The command line of `mosquitto_passwd`, taken apart.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::password::{Format, ITERATIONS_MAX};

/// The help text of the command.
pub const USAGE: &str = "\
mosquitto_passwd manages password files: one user and one hashed password per line.

Usage: mosquitto_passwd [options] [-c | -D] passwordfile username
       mosquitto_passwd [options] [-c] -b passwordfile username password
       mosquitto_passwd [options] -U passwordfile
 -b : take the password from the command line, where other users of this machine may see it.
 -c : start a new password file, replacing one that exists. With '-' for the file, print the line instead.
 -D : delete the user.
 -H : how to hash: sha512-pbkdf2 (default), argon2id (46 MiB of memory at each login; Mosquitto 2.0 cannot
      read it), sha512 (weak, for Mosquitto 1.6 and older), or scram-sha-256 (for clients that log in with
      SCRAM, which never sends the password, as well as for others; no Mosquitto can read it).
 -I : iterations of sha512-pbkdf2 and scram-sha-256. More make guessing and each login slower.
 -U : hash the passwords of a file that still has them in plain text; hashed ones stay.
 --format FORMAT : who must read sha512-pbkdf2 hashes:
      portable : every broker since 2.0, with 1000 iterations (default)
      2.0      : as Mosquitto 2.0 writes them, with 101 iterations
      2.1      : as Mosquitto 2.1 writes them, with a longer salt; a 2.0 broker drops such users
 --help : this text.
 --version : the version.

Without -b the password is asked for twice; where the input is no terminal, two lines are read from it.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Version,
    /// Something is missing or too much: the usage text and an error.
    Usage,
    Run(Task),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) action: Action,
    pub(super) file: PathBuf,
    pub(super) format: Format,
    pub(super) iterations: Option<u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Add or update a user; in a new file with `create`. Without a password it is asked for.
    Set {
        username: String,
        password: Option<OsString>,
        create: bool,
    },
    Delete {
        username: String,
    },
    HashPlain,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag of the command line, checked together")]
struct Options {
    batch: bool,
    create: bool,
    delete: bool,
    upgrade: bool,
    algorithm: Algorithm,
    format: Option<Format>,
    iterations: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    #[default]
    Pbkdf2,
    Sha512,
    Argon2id,
    ScramSha256,
}

/// Errors are the text after `Error: `.
pub(super) fn parse(args: &[OsString]) -> Result<Command, String> {
    if args.is_empty() {
        return Ok(Command::Usage);
    }
    let mut options = Options::default();
    let mut rest = args.iter();
    let mut operands: Vec<&OsString> = Vec::new();
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("--help") => return Ok(Command::Help),
            Some("--version") => return Ok(Command::Version),
            Some("-b") => options.batch = true,
            Some("-c") => options.create = true,
            Some("-D") => options.delete = true,
            Some("-U") => options.upgrade = true,
            Some("-H") => options.algorithm = parse_algorithm(value_of("-H", rest.next())?)?,
            Some("-I") => options.iterations = Some(parse_iterations(value_of("-I", rest.next())?)?),
            Some("--format") => options.format = Some(parse_format(value_of("--format", rest.next())?)?),
            Some("--") => break,
            Some(other) if other.len() > 1 && other.starts_with('-') => {
                return Err(format!("Unknown option '{other}'."));
            }
            _ => {
                operands.push(arg);
                break;
            }
        }
    }
    operands.extend(rest);
    options.check()?;
    let format = options.format()?;
    let iterations = options.iterations;
    let operands: Vec<&OsStr> = operands.into_iter().map(OsString::as_os_str).collect();
    Ok(options.action(&operands)?.map_or(Command::Usage, |(action, file)| {
        Command::Run(Task { action, file: file.into(), format, iterations })
    }))
}

impl Options {
    fn check(&self) -> Result<(), String> {
        let exclusive = [
            (self.create && self.delete, "-c and -D"),
            (self.create && self.upgrade, "-c and -U"),
            (self.delete && self.upgrade, "-D and -U"),
            (self.delete && self.batch, "-b and -D"),
        ];
        match exclusive.iter().find(|(both, _)| *both) {
            Some((_, names)) => Err(format!("{names} cannot be used together.")),
            None => Ok(()),
        }
    }

    fn format(&self) -> Result<Format, String> {
        match (self.algorithm, self.format) {
            (Algorithm::Pbkdf2, format) => Ok(format.unwrap_or_default()),
            (Algorithm::Sha512, _) => Ok(Format::Sha512),
            (Algorithm::Argon2id, None | Some(Format::V2_1)) => Ok(Format::Argon2id),
            (Algorithm::Argon2id, Some(_)) => Err("Mosquitto 2.0 cannot read argon2id hashes.".to_owned()),
            (Algorithm::ScramSha256, None) => Ok(Format::ScramSha256),
            (Algorithm::ScramSha256, Some(_)) => {
                Err("Mosquitto cannot read scram-sha-256 hashes.".to_owned())
            }
        }
    }

    /// `None` where the number of operands is wrong and the usage text says more than an error.
    fn action<'a>(&self, operands: &[&'a OsStr]) -> Result<Option<(Action, &'a OsStr)>, String> {
        let create = self.create;
        let set = |username: &OsStr, password: Option<&OsStr>| -> Result<Action, String> {
            let password = password.map(OsStr::to_owned);
            Ok(Action::Set { username: text_of(username)?, password, create })
        };
        match *operands {
            [file, username, password, ..] if create && self.batch => {
                Ok(Some((set(username, Some(password))?, file)))
            }
            _ if create && self.batch => {
                Err("-c argument given but password file, username, or password missing.".to_owned())
            }
            [file, username, ..] if create => Ok(Some((set(username, None)?, file))),
            _ if create => Err("-c argument given but password file or username missing.".to_owned()),
            [file, username, ..] if self.delete => {
                Ok(Some((Action::Delete { username: text_of(username)? }, file)))
            }
            _ if self.delete => Err("-D argument given but password file or username missing.".to_owned()),
            [file] if self.upgrade => Ok(Some((Action::HashPlain, file))),
            _ if self.upgrade => Err("-U argument given but password file missing.".to_owned()),
            [file, username, password] if self.batch => Ok(Some((set(username, Some(password))?, file))),
            [file, username] if !self.batch => Ok(Some((set(username, None)?, file))),
            _ => Ok(None),
        }
    }
}

fn value_of<'a>(option: &str, value: Option<&'a OsString>) -> Result<&'a OsString, String> {
    value.ok_or_else(|| format!("{option} argument given but not enough other arguments."))
}

fn parse_algorithm(value: &OsString) -> Result<Algorithm, String> {
    match value.to_str() {
        Some("sha512") => Ok(Algorithm::Sha512),
        Some("sha512-pbkdf2") => Ok(Algorithm::Pbkdf2),
        Some("argon2id") => Ok(Algorithm::Argon2id),
        Some("scram-sha-256") => Ok(Algorithm::ScramSha256),
        _ => Err(format!("Unknown hash type '{}'", value.display())),
    }
}

fn parse_format(value: &OsString) -> Result<Format, String> {
    match value.to_str() {
        Some("portable") => Ok(Format::Portable),
        Some("2.0") => Ok(Format::V2_0),
        Some("2.1") => Ok(Format::V2_1),
        _ => Err(format!("Unknown format '{}' (known: portable, 2.0, 2.1).", value.display())),
    }
}

fn parse_iterations(value: &OsString) -> Result<u32, String> {
    match value.to_str().and_then(|text| text.parse::<u64>().ok()) {
        None | Some(0) => Err("Number of iterations must be > 0.".to_owned()),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|number| *number <= ITERATIONS_MAX)
            .ok_or_else(|| format!("Number of iterations must be at most {ITERATIONS_MAX}.")),
    }
}

fn text_of(username: &OsStr) -> Result<String, String> {
    username.to_str().map(str::to_owned).ok_or_else(|| "Username must be UTF-8.".to_owned())
}
