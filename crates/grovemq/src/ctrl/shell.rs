//! `ctrl` without a command: a conversation, with completion and history.

use super::connection::{Connection, Manner};
use super::table::{Form, MODULES, Module};
use super::{Failure, answer};
use crate::exit::Exit;
use crate::flags::{Low, Tool};
use crate::{Call, flags};
use grovemq_auth::passwd::{StdTerminal, Terminal as _};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

const HISTORY_MAX: usize = 1000;
/// Names of clients, groups and roles offered for completion, of each.
const NAMES_MAX: usize = 1000;

/// What can be typed beside the modules' names.
const WORDS: &[(&str, &str)] = &[
    ("auth", "auth [username]: log in as somebody else, with the next connection"),
    (
        "connect",
        "connect [url]: connect, as the options said or to mqtt://, mqtts://, ws:// or wss://host[:port]",
    ),
    ("disconnect", "disconnect: end the connection"),
    ("return", "return: leave the module"),
    ("help", "help: this, or in a module its commands"),
    ("exit", "exit: end (also quit, or Ctrl-D)"),
];

/// The user reads and types until he has enough.
pub(super) fn run(call: &Call, low: Low) -> Exit {
    let config =
        Config::builder().max_history_size(HISTORY_MAX).map(|config| config.history_ignore_space(true));
    let config = match config {
        Ok(config) => config.build(),
        Err(error) => return failed(&error),
    };
    let mut editor: Editor<Completion, FileHistory> = match Editor::with_config(config) {
        Ok(editor) => editor,
        Err(error) => return failed(&error),
    };
    editor.set_helper(Some(Completion::default()));
    let history = if std::io::stdin().is_terminal() { history_file() } else { None };
    if let Some(path) = &history {
        // the first time there is none
        editor.load_history(path).ok();
    }
    let mut shell = Shell { call, low, module: None, connection: None, place: String::new(), exit: Exit::OK };
    loop {
        let line = match editor.readline(&shell.prompt()) {
            Ok(line) if line.len() as u64 > super::LINE_BYTES_MAX => {
                crate::complain("Error: The line is too long.");
                continue;
            }
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return failed(&error),
        };
        let words = words(&line);
        if !words.is_empty() && !is_secret(&words) {
            // without a history the conversation goes on
            editor.add_history_entry(&*line).ok();
            if let Some(path) = &history {
                editor.append_history(path).ok();
            }
        }
        match shell.obey(&words) {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => {
                crate::complain(&failure.line);
                shell.exit = failure.exit;
            }
        }
        if let Some(helper) = editor.helper_mut() {
            helper.follow(&mut shell);
        }
    }
    if let Some(connection) = shell.connection {
        connection.close();
    }
    // a script ends with what its last command came to
    if std::io::stdin().is_terminal() { Exit::OK } else { shell.exit }
}

fn failed(error: &ReadlineError) -> Exit {
    crate::complain(&format!("Error: {error}."));
    Exit::FAILURE
}

struct Shell<'a> {
    call: &'a Call,
    low: Low,
    module: Option<&'static Module>,
    connection: Option<Connection>,
    /// For the prompt: whom we are connected to.
    place: String,
    exit: Exit,
}

impl Shell<'_> {
    fn prompt(&self) -> String {
        let module = self.module.map_or("", |module| module.name);
        match (self.place.is_empty(), module.is_empty()) {
            (true, true) => "> ".to_owned(),
            (true, false) => format!("{module}> "),
            (false, true) => format!("{}> ", self.place),
            (false, false) => format!("{}|{module}> ", self.place),
        }
    }

    /// Does what was typed; false if that was good-bye.
    fn obey(&mut self, words: &[String]) -> Result<bool, Failure> {
        self.exit = Exit::OK;
        let Some((first, args)) = words.split_first() else { return Ok(true) };
        match &**first {
            "exit" | "quit" => return Ok(false),
            "help" => self.help(),
            "return" => self.module = None,
            "auth" => self.log_in(args.first())?,
            "connect" => self.connect(args.first())?,
            "disconnect" => self.disconnect(),
            word => match (Module::named(word), self.module) {
                (Some(module), _) if args.is_empty() => self.module = Some(module),
                (Some(module), _) => self.command(module, args)?,
                (None, Some(module)) => self.command(module, words)?,
                (None, None) => return Err(super::no_module(word)),
            },
        }
        Ok(true)
    }

    fn help(&self) {
        let mut text = String::new();
        if let Some(module) = self.module {
            text += &super::verbs_help(module);
            text.push('\n');
        } else {
            for module in MODULES {
                let _infallible = writeln!(text, "  {}: {}", module.name, module.about);
            }
        }
        for (_, about) in WORDS {
            let _infallible = writeln!(text, "  {about}");
        }
        crate::print(&text);
    }

    fn log_in(&mut self, username: Option<&String>) -> Result<(), Failure> {
        self.disconnect();
        let username = match username {
            Some(name) => name.clone(),
            None => super::ask_line("User name: ")?,
        };
        let password = StdTerminal::default().prompt_hidden(&format!("Password for {username}: "));
        let password = password.map_err(|error| Failure::told(format!("Error: {error}.")))?;
        self.low.username = Some(username);
        self.low.password = Some(password.into_bytes());
        Ok(())
    }

    fn connect(&mut self, url: Option<&String>) -> Result<(), Failure> {
        self.disconnect();
        if let Some(url) = url {
            let wrong = |error: String| Failure::told(format!("Error: {error}"));
            flags::set_url(&mut self.low, Tool::Ctrl, url).map_err(wrong)?;
        }
        let session = super::session(&mut self.low, &mut StdTerminal::default())?;
        let manner = Manner { qos: self.low.qos, verbose: self.low.verbose, numbered: true };
        self.connection = Some(Connection::open(&session, manner)?);
        self.place = self.low.place();
        Ok(())
    }

    fn disconnect(&mut self) {
        self.place.clear();
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    fn command(&mut self, module: &'static Module, words: &[String]) -> Result<(), Failure> {
        let Some((name, args)) = words.split_first() else { return Ok(()) };
        if name == "help" {
            crate::print(&super::verbs_help(module));
            return Ok(());
        }
        let verb = module.verb(name).ok_or_else(|| super::no_verb(module, name))?;
        let mut terminal = StdTerminal::default();
        if verb.form == Form::Init {
            return super::init(args, &self.call.program, &mut terminal, verb);
        }
        let members = super::members(verb, args, &mut terminal)?;
        if self.connection.is_none() {
            self.connect(None)?;
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match connection.ask(module, verb.name, members) {
            Ok(response) => {
                let text = answer::show(verb.name, &response).map_err(Failure::told)?;
                crate::print(&text);
                Ok(())
            }
            Err(failure) => {
                if connection.is_over() {
                    self.disconnect();
                }
                Err(failure)
            }
        }
    }

    /// The names that the broker lists, for completion: without a connection there are none.
    fn names(&mut self, command: &str) -> Vec<String> {
        let Some(module) = self.module else { return Vec::new() };
        let (Some(connection), Some(verb)) = (&mut self.connection, module.verb(command)) else {
            return Vec::new();
        };
        // one who may not list may still do other things
        let Ok(response) = connection.ask(module, verb.name, Vec::new()) else { return Vec::new() };
        answer::names(verb.name, &response).into_iter().take(NAMES_MAX).collect()
    }
}

/// Words, with `'…'` and `"…"` around spaces.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A line with a password in it is not written down.
fn is_secret(words: &[String]) -> bool {
    let has = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
    has("setClientPassword")
        || has("init")
        || has("-p")
        || (has("connect") && words.iter().any(|w| w.contains('@')))
}

/// Where what was typed is kept, if there is a home.
fn history_file() -> Option<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state =
        variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    let dir = state.join("grovemq");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).ok()?;
    Some(dir.join("ctrl_history"))
}

/// What may come next: words of the shell, of the table, and names that the broker has told.
#[derive(Debug, Default)]
struct Completion {
    module: Option<&'static Module>,
    is_connected: bool,
    names: BTreeMap<&'static str, Vec<String>>,
}

impl Completion {
    /// Keeps up with what has been done.
    fn follow(&mut self, shell: &mut Shell<'_>) {
        self.module = shell.module;
        let is_connected = shell.connection.is_some();
        let lists = [("username", "listClients"), ("groupname", "listGroups"), ("rolename", "listRoles")];
        // only where somebody can press the key
        if is_connected && std::io::stdin().is_terminal() {
            for (kind, command) in lists {
                self.names.insert(kind, shell.names(command));
            }
        } else if self.is_connected {
            self.names.clear();
        }
        self.is_connected = is_connected;
    }

    /// Candidates for a word after these.
    fn candidates(&self, before: &[String]) -> Vec<String> {
        let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let verbs =
            |module: &Module| module.verbs.iter().map(|verb| verb.name.to_owned()).collect::<Vec<_>>();
        let (module, before) = match before.split_first() {
            Some((first, rest)) if Module::named(first).is_some() => (Module::named(first), rest),
            _ => (self.module, before),
        };
        let Some((name, args)) = before.split_first() else {
            let mut found = module.map(verbs).unwrap_or_default();
            found.extend(WORDS.iter().map(|(word, _)| (*word).to_owned()));
            found.extend(MODULES.iter().map(|module| module.name.to_owned()));
            return found;
        };
        if name == "connect" {
            return all(&["mqtt://", "mqtts://", "ws://", "wss://"]);
        }
        let param = module.and_then(|module| module.verb(name)?.params.get(args.len()));
        match param {
            Some(param) if !param.words().is_empty() => all(param.words()),
            Some(param) => self.names.get(param.name).cloned().unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..pos).unwrap_or_default();
        let start = typed.rfind([' ', '\t']).map_or(0, |at| at + 1);
        let (before, begun) = typed.split_at_checked(start).unwrap_or(("", typed));
        let begun = begun.to_ascii_lowercase();
        let fits = |word: &String| word.to_ascii_lowercase().starts_with(&begun);
        let mut found: Vec<String> = self.candidates(&words(before)).into_iter().filter(fits).collect();
        for word in &mut found {
            if word.contains([' ', '\t']) {
                *word = format!("'{word}'");
            }
        }
        Ok((start, found))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {}

impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(module: Option<&str>, line: &str) -> Vec<String> {
        let names = BTreeMap::from([("rolename", vec!["reader".to_owned(), "two words".to_owned()])]);
        let completion = Completion { module: module.and_then(Module::named), is_connected: true, names };
        let history = FileHistory::new();
        completion.complete(line, line.len(), &Context::new(&history)).unwrap().1
    }

    #[test]
    fn words_that_may_come_next() {
        assert_eq!(completed(None, "dyn"), ["dynsec"]);
        assert_eq!(completed(None, "dynsec getr"), ["getRole"]);
        assert_eq!(completed(Some("dynsec"), "addClientR"), ["addClientRole"]);
        assert_eq!(completed(Some("dynsec"), "deleteRole "), ["reader", "'two words'"]);
        assert_eq!(completed(Some("dynsec"), "addRoleACL r sub"), ["subscribeLiteral", "subscribePattern"]);
        assert_eq!(completed(Some("dynsec"), "addRoleACL r x t "), ["allow", "deny"]);
        assert_eq!(completed(Some("broker"), "list"), ["listListeners", "listPlugins"]);
        assert_eq!(completed(None, "connect mqtts"), ["mqtts://"]);
        assert!(completed(None, "getRole ").is_empty());
    }

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        assert_eq!(words(" a  'b \" c'\"\" '' d'e'"), ["a", "b \" c", "", "de"]);
        assert_eq!(words("'open end"), ["open end"]);
    }

    #[test]
    fn passwords_are_not_written_down() {
        for (line, secret) in [
            ("createClient a -p x", true),
            ("dynsec setclientpassword a x", true),
            ("connect mqtt://u:p@host", true),
            ("connect mqtt://host", false),
            ("getClient a", false),
        ] {
            assert_eq!(is_secret(&words(line)), secret, "{line}");
        }
    }
}
