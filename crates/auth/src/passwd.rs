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
    Change, Document, FIELD_BYTES_MAX, Format, Hash, HashError, PasswordFile, check_username, os_random,
};
use crate::scram;
pub use args::USAGE;
use args::{Action, Command, Task};

/// The exit code of every error but one.
const FAILURE: i32 = 1;
/// The exit code when the two passwords typed differ.
const MISMATCH: i32 = 2;
/// A name that SCRAM would look for in another form, and not find.
const NOT_FOR_SCRAM: &str = "Username for SCRAM must be at most 1024 bytes and in the form of SASLprep (no ligatures, no unusual blanks).";

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
                if format == Format::ScramSha256 && scram::prepare(&username).as_deref() != Ok(&*username) {
                    return Err(Failure::error(NOT_FOR_SCRAM));
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::path::PathBuf;

    #[derive(Default)]
    struct Script {
        typed: VecDeque<&'static str>,
        out: String,
        err: String,
        reserved: bool,
    }

    impl Terminal for Script {
        fn prompt_hidden(&mut self, prompt: &str) -> io::Result<String> {
            self.err.push_str(prompt);
            self.typed.pop_front().map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }

        fn print(&mut self, text: &str) -> io::Result<()> {
            self.out.push_str(text);
            Ok(())
        }

        fn eprint(&mut self, text: &str) -> io::Result<()> {
            self.err.push_str(text);
            Ok(())
        }

        fn reserve_stdout(&mut self) {
            self.reserved = true;
        }
    }

    /// Exit code, standard output and standard error (with the prompts).
    fn passwd(args: &[&str], typed: &[&'static str]) -> (i32, String, String) {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let mut script = Script { typed: typed.iter().copied().collect(), ..Script::default() };
        let code = run(&args, &mut script);
        (code, script.out, script.err)
    }

    fn scratch() -> (tempfile::TempDir, PathBuf, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let name = path.to_str().unwrap().to_owned();
        (dir, path, name)
    }

    #[test]
    fn a_session_as_in_the_lab() {
        let (_dir, path, file) = scratch();
        let (code, out, err) = passwd(&["-c", &file, "user1"], &["iotlab", "iotlab"]);
        assert_eq!((code, &*out), (0, "Adding password for user user1\n"), "{err}");
        assert_eq!(err, "Password: Reenter password: ");
        assert_eq!(passwd(&[&file, "user2"], &["a", "a"]).1, "Adding password for user user2\n");
        assert_eq!(passwd(&["-b", &file, "user2", "iotlab"], &[]).1, "Updating password for user user2\n");
        let users = PasswordFile::load(&path).unwrap();
        assert!(users.verify("user1", b"iotlab") && users.verify("user2", b"iotlab") && users.len() == 2);
        assert_eq!(passwd(&["-D", &file, "user1"], &[]), (0, String::new(), String::new()));
        let (code, _, err) = passwd(&["-D", &file, "user1"], &[]);
        assert_eq!((code, &*err), (1, "Warning: User user1 not found in password file.\n"));
        assert!(!PasswordFile::load(&path).unwrap().contains("user1"));
    }

    #[test]
    fn typing_errors_change_nothing() {
        let (_dir, path, file) = scratch();
        let (code, _, err) = passwd(&["-c", &file, "u"], &["a", "b"]);
        assert_eq!((code, &*err), (2, "Password: Reenter password: Error: Passwords do not match.\n"));
        let (code, _, err) = passwd(&["-c", &file, "u"], &[""]);
        assert_eq!((code, &*err), (1, "Password: Error: Empty password.\n"));
        assert_eq!(passwd(&["-c", &file, "u"], &[]).0, 1);
        assert!(!path.exists());
    }

    #[test]
    fn each_option_chooses_its_format() {
        let (_dir, path, file) = scratch();
        let table: [(&[&str], &str, usize); 9] = [
            (&[], "$7$1000$", 16),
            (&["-H", "sha512-pbkdf2", "-I", "7"], "$7$7$", 16),
            (&["--format", "2.0"], "$7$101$", 16),
            (&["--format", "2.1"], "$7$1000$", 88),
            (&["--format", "2.1", "-I", "3"], "$7$3$", 88),
            (&["-H", "sha512"], "$6$", 16),
            (&["-H", "argon2id"], "$argon2id$v=19$m=47104,t=1,p=1$", 86),
            (&["-H", "scram-sha-256"], "SCRAM-SHA-256$4096:", 24),
            (&["-H", "scram-sha-256", "-I", "5000"], "SCRAM-SHA-256$5000:", 24),
        ];
        for (options, start, salt_chars) in table {
            let args = [options, &["-c", "-b", &file, "u", "p"]].concat();
            assert_eq!(passwd(&args, &[]).0, 0, "{args:?}");
            let text = std::fs::read_to_string(&path).unwrap();
            let rest = text.strip_prefix("u:").and_then(|hash| hash.strip_prefix(start));
            assert_eq!(rest.and_then(|rest| rest.find('$')), Some(salt_chars), "{args:?}: {text}");
            assert!(PasswordFile::load(&path).unwrap().verify("u", b"p"));
        }
    }

    #[test]
    fn a_plain_file_is_hashed_and_what_a_broker_refuses_is_told() {
        let (_dir, path, file) = scratch();
        std::fs::write(&path, "# lab\na:one\nb:two\n").unwrap();
        assert_eq!(passwd(&["-U", &file], &[]), (0, String::new(), String::new()));
        let users = PasswordFile::load(&path).unwrap();
        assert!(users.verify("a", b"one") && users.verify("b", b"two"));
        std::fs::write(&path, "a:one\nb:two\n").unwrap();
        let (code, _, err) = passwd(&["-b", &file, "a", "x"], &[]);
        assert_eq!(code, 0);
        assert!(err.starts_with("Warning: Unable to decode line in password file: "), "{err}");
        assert!(err.contains("pw:2: user 'b'"), "{err}");
        std::fs::write(&path, "a:one\nnonsense\n").unwrap();
        let (code, _, err) = passwd(&["-b", &file, "a", "x"], &[]);
        assert_eq!((code, &*err), (1, "Error: Corrupt password file at line 2.\n"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a:one\nnonsense\n");
    }

    #[test]
    fn a_dash_prints_the_line() {
        let args = ["-c", "-", "u"].map(OsString::from);
        let mut script = Script { typed: ["p", "p"].into(), ..Script::default() };
        assert_eq!(run(&args, &mut script), 0);
        assert!(script.reserved, "prompts keep away");
        assert!(PasswordFile::parse(&script.out, "stdout").unwrap().verify("u", b"p"), "{}", script.out);
    }

    #[test]
    fn wrong_command_lines_are_explained() {
        let table: [(&[&str], &str); 25] = [
            (&["-c", "-D", "f", "u"], "Error: -c and -D cannot be used together.\n"),
            (&["-c", "-U", "f"], "Error: -c and -U cannot be used together.\n"),
            (&["-D", "-U", "f"], "Error: -D and -U cannot be used together.\n"),
            (&["-b", "-D", "f", "u"], "Error: -b and -D cannot be used together.\n"),
            (&["-c", "f"], "Error: -c argument given but password file or username missing.\n"),
            (
                &["-c", "-b", "f", "u"],
                "Error: -c argument given but password file, username, or password missing.\n",
            ),
            (&["-D", "f"], "Error: -D argument given but password file or username missing.\n"),
            (&["-U"], "Error: -U argument given but password file missing.\n"),
            (&["-U", "f", "g"], "Error: -U argument given but password file missing.\n"),
            (&["-H"], "Error: -H argument given but not enough other arguments.\n"),
            (&["-H", "md5", "f", "u"], "Error: Unknown hash type 'md5'\n"),
            (&["-I"], "Error: -I argument given but not enough other arguments.\n"),
            (&["-I", "0", "f", "u"], "Error: Number of iterations must be > 0.\n"),
            (&["-I", "-3", "f", "u"], "Error: Number of iterations must be > 0.\n"),
            (&["-I", "10000001", "f", "u"], "Error: Number of iterations must be at most 10000000.\n"),
            (&["--format", "1.6", "f", "u"], "Error: Unknown format '1.6' (known: portable, 2.0, 2.1).\n"),
            (
                &["-H", "argon2id", "--format", "2.0", "f", "u"],
                "Error: Mosquitto 2.0 cannot read argon2id hashes.\n",
            ),
            (
                &["-H", "scram-sha-256", "--format", "2.1", "f", "u"],
                "Error: Mosquitto cannot read scram-sha-256 hashes.\n",
            ),
            (
                &["-H", "scram-sha-256", "-I", "100", "-c", "-b", "f", "u", "p"],
                "Error: the number of iterations of SCRAM-SHA-256 must be 4096 to 1000000.\n",
            ),
            (
                &["-H", "scram-sha-256", "-c", "-b", "f", "\u{2168}", "p"],
                "Error: Username for SCRAM must be at most 1024 bytes and in the form of SASLprep (no ligatures, no unusual blanks).\n",
            ),
            (&["-x"], "Error: Unknown option '-x'.\n"),
            (&["-c", "-b", "f", "a:b", "p"], "Error: Username must not contain the ':' character.\n"),
            (&["-c", "-b", "f", "a\tb", "p"], "Error: Username must not contain control characters.\n"),
            (
                &["-b", "/nonexistent/pw", "u", "p"],
                "Error: Unable to open password file /nonexistent/pw. No such file or directory.\n",
            ),
            (
                &["-c", "-b", "/nonexistent/pw", "u", "p"],
                "Error: Unable to open file /nonexistent/pw for writing. No such file or directory.\n",
            ),
        ];
        for (args, text) in table {
            let (code, out, err) = passwd(args, &[]);
            assert_eq!((code, &*out, &*err), (1, "", text), "{args:?}");
        }
    }

    #[test]
    fn usage_help_and_version() {
        for (args, code) in [(&[] as &[&str], 1), (&["f"], 1), (&["f", "u", "p"], 1), (&["--help"], 0)] {
            assert_eq!(passwd(args, &[]), (code, USAGE.to_owned(), String::new()), "{args:?}");
        }
        let (code, out, _) = passwd(&["--version"], &[]);
        assert!(code == 0 && out.contains(env!("CARGO_PKG_VERSION")), "{out}");
    }
}
