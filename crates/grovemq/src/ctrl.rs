//! `ctrl`: asks a running broker for what its administrator wants, by requests on its `$CONTROL` topics.

mod answer;
mod connection;
mod file;
mod shell;
mod table;

use crate::exit::Exit;
use crate::flags::high::Session;
use crate::flags::{self, Low, Source, Tool};
use crate::json::Json;
use crate::{Call, tools};
use connection::{Connection, Manner};
use grovemq_auth::passwd::{StdTerminal, Terminal};
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use table::{Form, MODULES, Module, Verb};

/// A line above this is not typed by anybody.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Why something was not done.
#[derive(Debug)]
struct Failure {
    /// For standard error.
    line: String,
    exit: Exit,
    /// The exit code of the original, which takes most failures for none.
    original: u8,
}

/// What was typed cannot be.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// What is wrong, unless it is only the number of arguments.
    line: String,
    /// What would be right, where the original says nothing of it.
    hint: String,
}

impl Wrong {
    fn arguments(line: &str) -> Self {
        Self { line: line.to_owned(), hint: String::new() }
    }

    fn hint(hint: String) -> Self {
        Self { line: String::new(), hint }
    }
}

/// `ctrl`, `mosquitto_ctrl`
pub(crate) fn run(call: &Call) -> Exit {
    let low = match tools::parse(Tool::Ctrl, call) {
        Ok(low) => low,
        Err(exit) => return exit,
    };
    let mut words = Vec::new();
    for word in &low.operands {
        let Some(word) = word.to_str() else {
            crate::complain(&format!("Error: Malformed UTF-8 in '{}'.", word.display()));
            return Exit::FAILURE;
        };
        words.push(word.to_owned());
    }
    let done = match &*words {
        [] if std::io::stdin().is_terminal() => return shell::run(call, low),
        [word] if word == "shell" => return shell::run(call, low),
        [] => return usage(call),
        [word] if word == "help" => return usage(call),
        [name, rest @ ..] => match Module::named(name) {
            Some(module) => one(call, low, module, rest),
            None => Err(no_module(name)),
        },
    };
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            crate::complain(&failure.line);
            if call.by_original_name { Exit::from_code(failure.original.into()) } else { failure.exit }
        }
    }
}

/// The modules by name, and the commands of each with what they do.
pub(crate) fn modules() -> impl Iterator<Item = (&'static str, impl Iterator<Item = (String, &'static str)>)>
{
    MODULES.iter().map(|module| (module.name, module.verbs.iter().map(|verb| (verb.synopsis(), verb.about))))
}

fn usage(call: &Call) -> Exit {
    let printed = crate::print(&help(&call.program));
    if call.by_original_name { Exit::FAILURE } else { printed }
}

fn no_module(name: &str) -> Failure {
    let mut line = format!("Error: Module '{name}' not supported.");
    if let Some(near) = crate::nearest(name, MODULES.iter().map(|module| module.name)) {
        let _infallible = write!(line, "\nDid you mean '{near}'?");
    }
    Failure { line, exit: Exit::USAGE, original: 10 }
}

fn no_verb(module: &Module, name: &str) -> Failure {
    let mut line = format!("Command '{name}' not recognised.");
    if let Some(near) = crate::nearest(name, module.verbs.iter().map(|verb| verb.name)) {
        let _infallible = write!(line, "\nDid you mean '{near}'?");
    }
    Failure { line, exit: Exit::USAGE, original: 13 }
}

/// One command, and the end.
fn one(call: &Call, mut low: Low, module: &'static Module, words: &[String]) -> Result<Exit, Failure> {
    let Some((name, args)) = words.split_first() else {
        crate::print(&module_help(module, &call.program));
        return Ok(if call.by_original_name { Exit::FAILURE } else { Exit::USAGE });
    };
    if name == "help" {
        return Ok(crate::print(&module_help(module, &call.program)));
    }
    let verb = module.verb(name).ok_or_else(|| no_verb(module, name))?;
    let mut terminal = StdTerminal::default();
    if verb.form == Form::Init {
        init(args, &call.program, &mut terminal, verb)?;
        return Ok(Exit::OK);
    }
    let members = members(verb, args, &mut terminal)?;
    if let Some(Source::File(path)) = &low.source {
        return offline(Path::new(path), verb, &members).map(|()| Exit::OK);
    }
    let manner = Manner { qos: low.qos, verbose: low.verbose, numbered: !call.by_original_name };
    let session = session(&mut low, &mut terminal)?;
    let mut connection = Connection::open(&session, manner)?;
    let response = connection.ask(module, verb.name, members)?;
    connection.close();
    answer::show(verb.name, &response).map(|text| crate::print(&text)).map_err(Failure::told)
}

/// The connection that the options ask for. A user name wants a password.
fn session(low: &mut Low, terminal: &mut dyn Terminal) -> Result<Session, Failure> {
    let failure = |line: String| Failure { line, exit: Exit::FAILURE, original: 1 };
    if let (Some(username), None) = (&low.username, &low.password) {
        let typed = terminal.prompt_hidden(&format!("Password for {username}: "));
        let typed = typed.map_err(|error| failure(format!("Error getting password.\n{error}")))?;
        if typed.is_empty() {
            return Err(failure("Error: Empty password.\nError getting password.".to_owned()));
        }
        low.password = Some(typed.into_bytes());
    }
    let session =
        Session::new(low, Tool::Ctrl).map_err(|complaint| failure(complaint.0))?.without_reconnecting();
    session.warn();
    if low.is_readable_by_others() {
        session.complain(
            "Warning: This connection is not encrypted. Whoever sees the network can read all that is sent, passwords \
             included.\n",
        );
    }
    Ok(session)
}

/// The members of a request, with the passwords that have to be asked for.
fn members(
    verb: &Verb,
    args: &[String],
    terminal: &mut dyn Terminal,
) -> Result<Vec<(String, Json)>, Failure> {
    let wrong = |wrong| wrong_arguments(verb, wrong);
    match verb.form {
        Form::Plain | Form::Init => verb.members(args).map_err(wrong),
        Form::DefaultAccess => {
            let entry = Json::Object(verb.members(args).map_err(wrong)?);
            Ok(vec![("acls".to_owned(), Json::Array(vec![entry]))])
        }
        Form::Password => {
            let mut members = verb.members(args).map_err(wrong)?;
            if let [user] = args {
                let password = new_password(user, terminal)?;
                members.push(("password".to_owned(), Json::text(&password)));
            }
            if args.get(1).is_some_and(String::is_empty) {
                return Err(Failure::told("Error: Empty password."));
            }
            Ok(members)
        }
        Form::NewClient => new_client(verb, args, terminal),
    }
}

fn new_client(
    verb: &Verb,
    args: &[String],
    terminal: &mut dyn Terminal,
) -> Result<Vec<(String, Json)>, Failure> {
    let wrong = |line: &str| wrong_arguments(verb, Wrong::arguments(line));
    let Some((user, options)) = args.split_first() else { return Err(wrong("")) };
    let (mut id, mut password) = (None, None);
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match (&**option, options.next()) {
            ("-c", Some(value)) => id = Some(value.clone()),
            ("-p", Some(value)) => password = Some(value.clone()),
            ("-c", None) => return Err(wrong("Error: -c argument given, but no clientid provided.")),
            ("-p", None) => return Err(wrong("Error: -p argument given, but no password provided.")),
            _ => return Err(wrong_arguments(verb, Wrong::hint(format!("There is no option '{option}'.")))),
        }
    }
    if password.is_none() {
        let ask = format!("A password for {user}. Without one (press return) this client cannot log in.\n");
        terminal.print(&ask).map_err(|error| Failure::told(format!("Error: {error}.")))?;
        password = match new_password(user, terminal) {
            Ok(password) => Some(password),
            Err(failure) if failure.line == EMPTY => None,
            Err(failure) => return Err(failure),
        };
    }
    let mut members = verb.members(std::slice::from_ref(user)).map_err(|e| wrong_arguments(verb, e))?;
    let others = [("clientid", id), ("password", password)];
    members
        .extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Json::text(&value?)))));
    Ok(members)
}

const EMPTY: &str = "Error: Empty password.";

/// Asks twice.
fn new_password(user: &str, terminal: &mut dyn Terminal) -> Result<String, Failure> {
    let mut ask = |prompt: String| {
        terminal.prompt_hidden(&prompt).map_err(|error| Failure::told(format!("Error: {error}.")))
    };
    let first = ask(format!("New password for {user}: "))?;
    if first.is_empty() {
        return Err(Failure::told(EMPTY));
    }
    if ask(format!("Reenter password for {user}: "))? != first {
        return Err(Failure::told("Error: Passwords do not match."));
    }
    Ok(first)
}

/// Asks for a line that may be seen.
fn ask_line(prompt: &str) -> Result<String, Failure> {
    crate::print(prompt);
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Failure::told(format!("Error: {error}.")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn wrong_arguments(verb: &Verb, wrong: Wrong) -> Failure {
    let mut line = wrong.line;
    if !line.is_empty() {
        line.push('\n');
    }
    line.push_str("Error: Invalid function arguments provided.\n");
    if !wrong.hint.is_empty() {
        let _infallible = writeln!(line, "{}", wrong.hint);
    }
    let _infallible = write!(line, "Usage: {}", verb.synopsis());
    Failure { line, exit: Exit::USAGE, original: 3 }
}

fn init(args: &[String], program: &str, terminal: &mut dyn Terminal, verb: &Verb) -> Result<(), Failure> {
    let (path, user, password) = file::init_arguments(args).map_err(|wrong| wrong_arguments(verb, wrong))?;
    if path.exists() {
        return Err(file::exists(path));
    }
    let password = match password {
        Some(password) => password.to_owned(),
        None => new_password(user, terminal)?,
    };
    file::init(path, user, &password)?;
    crate::print(&file::made(path, user, program));
    Ok(())
}

/// What can be done to the file itself.
fn offline(path: &Path, verb: &Verb, members: &[(String, Json)]) -> Result<(), Failure> {
    let [(_, Json::Text(user)), (_, Json::Text(password))] = members else {
        return Err(offline_is_not(verb));
    };
    if verb.form != Form::Password {
        return Err(offline_is_not(verb));
    }
    file::set_password(path, &String::from_utf8_lossy(user), &String::from_utf8_lossy(password))
}

fn offline_is_not(verb: &Verb) -> Failure {
    let line = format!("Error: {} needs a running broker: -f is for setClientPassword.", verb.name);
    Failure { line, exit: Exit::USAGE, original: 3 }
}

fn help(program: &str) -> String {
    let mut text = flags::help(Tool::Ctrl, program);
    text.push_str("\nModules:\n");
    for module in MODULES {
        let _infallible = writeln!(text, "  {:9}{}", module.name, module.about);
    }
    let _infallible = writeln!(text, "\nUse '{program} module help' to see the commands of a module.");
    text
}

fn module_help(module: &Module, program: &str) -> String {
    let text =
        format!("{}\n\nUsage: {program} [options] {} command [argument ...]\n\n", module.about, module.name);
    text + &verbs_help(module)
}

fn verbs_help(module: &Module) -> String {
    let mut text = String::new();
    for verb in module.verbs {
        let _infallible = writeln!(text, "  {}\n        {}.", verb.synopsis(), verb.about);
    }
    text
}
