//! The `mosquitto_passwd` command, option for option, as a function.
//!
//! Beyond the original: comments and blank lines of the file stay, a file is replaced in one step, `-U` leaves
//! hashed passwords alone, and `--format` chooses for which broker `$7$` hashes are written. Its default is one
//! that Mosquitto 2.0 and 2.1 both read: what 2.1 writes by itself makes a 2.0 broker drop the user.

mod args;

use std::ffi::OsString;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use crate::password::{
    Change, Document, FIELD_BYTES_MAX, Hash, HashError, PasswordFile, check_username, os_random,
};
use args::{Action, Command, Task, USAGE};

/// The exit code of every error but one.
const FAILURE: i32 = 1;
/// The exit code when the two passwords typed differ.
const MISMATCH: i32 = 2;

/// The person (or script) in front of the command.
pub trait Terminal {
    /// Asks for a line that is not shown; without its line end.
    fn prompt_hidden(&mut self, prompt: &str) -> io::Result<String>;
    /// Writes to standard output.
    fn print(&mut self, text: &str) -> io::Result<()>;
    /// Writes to standard error.
    fn eprint(&mut self, text: &str) -> io::Result<()>;
    /// Standard output is going to be a password file's line: prompts must keep away from it.
    fn reserve_stdout(&mut self) {}
}

/// The process's own terminal. Where standard input is none, lines are read from it with the prompts on standard
/// output, as the original does.
#[derive(Debug, Default)]
pub struct StdTerminal {
    stdout_reserved: bool,
}

impl Terminal for StdTerminal {
    fn prompt_hidden(&mut self, prompt: &str) -> io::Result<String> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return rpassword::prompt_password(prompt);
        }
        self.print_prompt(prompt)?;
        let mut line = Vec::new();
        stdin.lock().take(FIELD_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line)?;
        self.print_prompt("\n")?;
        let line = String::from_utf8(line)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    fn eprint(&mut self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    fn reserve_stdout(&mut self) {
        self.stdout_reserved = true;
    }
}

impl StdTerminal {
    fn print_prompt(&mut self, text: &str) -> io::Result<()> {
        if self.stdout_reserved { self.eprint(text) } else { self.print(text) }
    }
}

/// Runs the command with its arguments (without the program's name) and gives the exit code: 0, 1 for an error, 2
/// where the two passwords typed differ.
pub fn run(args: &[OsString], io: &mut dyn Terminal) -> i32 {
    let done = match args::parse(args) {
        Ok(Command::Help) => io.print(USAGE).map_err(Failure::from),
        Ok(Command::Usage) => match io.print(USAGE) {
            Ok(()) => return FAILURE,
            Err(error) => Err(error.into()),
        },
        Ok(Command::Version) => {
            let text = format!("mosquitto_passwd of GroveMQ version {}\n", env!("CARGO_PKG_VERSION"));
            io.print(&text).map_err(Failure::from)
        }
        Ok(Command::Run(task)) => task.run(io),
        Err(text) => Err(Failure::error(text)),
    };
    match done {
        Ok(()) => 0,
        Err(Failure { text, code }) => {
            // With standard error gone there is nobody left to tell; the exit code still does.
            io.eprint(&format!("{text}\n")).ok();
            code
        }
    }
}

/// The text for standard error, and the exit code.
struct Failure {
    text: String,
    code: i32,
}

impl Failure {
    fn error(text: impl std::fmt::Display) -> Failure {
        Failure { text: format!("Error: {text}"), code: FAILURE }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::error(format_args!("{}.", reason(&error)))
    }
}

impl Task {
    fn run(self, io: &mut dyn Terminal) -> Result<(), Failure> {
        let Task { action, file, format, iterations } = self;
        let hash = |password: &[u8]| Hash::create(password, format, iterations, &mut os_random);
        match action {
            Action::Set { username, password, create } => {
                check_username(&username).map_err(Failure::error)?;
                let to_stdout = create && file.as_os_str() == "-";
                if to_stdout {
                    io.reserve_stdout();
                }
                let mut document = if create { Document::default() } else { load(&file)? };
                let password = match password {
                    Some(password) => password.into_encoded_bytes(),
                    None => ask(io)?.into_bytes(),
                };
                let change = document.set(&username, &hash(&password).map_err(hash_failure)?);
                if to_stdout {
                    return Ok(io.print(&document.to_string())?);
                }
                save(&document, &file, create)?;
                let doing = match change {
                    Change::Added => "Adding",
                    Change::Updated => "Updating",
                };
                io.print(&format!("{doing} password for user {username}\n"))?;
                warn(&document, &file, io)
            }
            Action::Delete { username } => {
                check_username(&username).map_err(Failure::error)?;
                let mut document = load(&file)?;
                if !document.remove(&username) {
                    let text = format!("Warning: User {username} not found in password file.");
                    return Err(Failure { text, code: FAILURE });
                }
                save(&document, &file, false)
            }
            Action::HashPlain => {
                let mut document = load(&file)?;
                document.hash_plain(&mut |password| hash(password.as_bytes())).map_err(hash_failure)?;
                save(&document, &file, false)?;
                warn(&document, &file, io)
            }
        }
    }
}

/// The password, typed twice.
fn ask(io: &mut dyn Terminal) -> Result<String, Failure> {
    let mut prompt = |text: &str| {
        let password = io.prompt_hidden(text).map_err(|e| Failure::error(format_args!("{}.", reason(&e))))?;
        if password.is_empty() { Err(Failure::error("Empty password.")) } else { Ok(password) }
    };
    let password = prompt("Password: ")?;
    if prompt("Reenter password: ")? == password {
        Ok(password)
    } else {
        Err(Failure { text: "Error: Passwords do not match.".to_owned(), code: MISMATCH })
    }
}

fn load(file: &Path) -> Result<Document, Failure> {
    let document = Document::load(file).map_err(|e| {
        Failure::error(format_args!("Unable to open password file {}. {}.", file.display(), reason(&e)))
    })?;
    document.map_err(Failure::error)
}

fn save(document: &Document, file: &Path, create: bool) -> Result<(), Failure> {
    use crate::password::SaveError;
    document.save(file).map_err(|error| match error {
        SaveError::Write(e) if create => Failure::error(format_args!(
            "Unable to open file {} for writing. {}.",
            file.display(),
            reason(&e)
        )),
        SaveError::Write(e) => {
            Failure::error(format_args!("Unable to write password file {}. {}.", file.display(), reason(&e)))
        }
        other => Failure { text: other.to_string(), code: FAILURE },
    })
}

/// Says what a broker is going to refuse about the file as it now is, such as a user that stands there twice.
fn warn(document: &Document, file: &Path, io: &mut dyn Terminal) -> Result<(), Failure> {
    let name = file.display().to_string();
    if let Err(faults) = PasswordFile::parse(&document.to_string(), &name) {
        for fault in faults {
            io.eprint(&format!("Warning: {fault}\n"))?;
        }
    }
    Ok(())
}

fn hash_failure(error: HashError) -> Failure {
    Failure::error(format_args!("{error}."))
}

/// The system's words for an error, without the number that Rust puts behind them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}
