//! `grovemq store`: what a broker keeps on disk, to be looked at, checked, written out and filled while it does not run.

use crate::Call;
use crate::exit::Exit;
use grovemq_store::{Disk, Error, Memory, Options, Original, Recovery, Saved, Store};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Directory of the store, in `persistence_location`.
const STORE: &str = "grovemq.store";
/// There in every store.
const LOCK: &str = "lock";
/// How many queues and sessions `stats` names.
const NAMED: usize = 5;
/// A `mosquitto.db` begins with it, and no JSON does.
const FIRST_OF_ORIGINAL: u8 = 0;

pub(crate) fn run(call: &Call) -> Exit {
    if call.args.iter().any(|arg| arg == "-h" || arg == "--help") {
        return crate::print(&help(&call.program));
    }
    let done = match call.args.as_slice() {
        [verb, dir] if verb == "stats" => stats(dir),
        [verb, dir] if verb == "check" => check(dir),
        [verb, dir] if verb == "export" => export(dir, None),
        [verb, dir, file] if verb == "export" => export(dir, Some(file)),
        [verb, dir, file] if verb == "import" => import(dir, file),
        [verb, rest @ ..] if verb == "dump" => match crate::dump::dump(rest) {
            Some(exit) => Ok(exit),
            None => return misused(call, "Wrong arguments for 'dump'."),
        },
        [] => return misused(call, "What is to be done?"),
        [verb, ..] => {
            let known = ["stats", "check", "export", "import"].iter().any(|known| verb == known);
            let verb = verb.to_string_lossy();
            if known {
                return misused(call, &format!("Wrong number of arguments for '{verb}'."));
            }
            return misused(call, &format!("Unknown command 'store {verb}'."));
        }
    };
    done.unwrap_or_else(|error| {
        crate::complain(&format!("Error: {error}."));
        Exit::FAILURE
    })
}

fn misused(call: &Call, what: &str) -> Exit {
    crate::complain(&format!("Error: {what}\n\n{}", help(&call.program)));
    Exit::USAGE
}

pub(crate) fn help(program: &str) -> String {
    format!(
        "Usage: {program} stats DIR\n       {program} check DIR\n       {program} export DIR [FILE]\n       \
         {program} import DIR FILE\n       {program} dump [--stats | --client-stats] FILE\n\n\
         Works on what a broker keeps on disk, while that broker does not run.\n\n \
         stats    how much there is, the largest queues, and the sessions that were made first\n \
         check    reads all of it and names what is damaged\n \
         export   writes sessions, their messages and retained messages as JSON lines, to standard output or a new FILE\n \
         import   adds what is in FILE, such JSON lines or a mosquitto.db of Mosquitto up to 2.1; makes the store if\n          \
         there is none. A session that is there already is refused, a retained message is replaced.\n \
         dump     prints a mosquitto.db chunk by chunk, as `grovemq dump` does\n\n\
         DIR is the broker's persistence_location, or the store in it. stats, check and export change nothing there, and\n\
         take a mosquitto.db in its place.\n\
         Run it as the user of the broker, who has to be able to read what is imported.\n\n\
         Exit codes: 0, or 1 with an error or where something is damaged.\n"
    )
}

fn stats(dir: &OsString) -> Result<Exit, String> {
    let (mut store, path) = open_to_read(dir, SystemTime::now())?;
    let mut queues = Vec::new();
    let mut sessions = Vec::new();
    let found = store.recover(&mut |saved| {
        if let Saved::Session(session) = saved {
            let client = session.image.client_id;
            if !session.queue.is_empty() {
                queues.push((session.queue.len(), client.clone()));
            }
            sessions.push((session.image.id, client));
        }
    });
    let found = found.map_err(told)?;
    let sums = store.stats();
    queues.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // each event loop counts for itself, so this is the order in each of them
    sessions.sort_unstable();
    let mut text = format!("{}\n", path.display());
    let counts = [
        ("bytes", sums.bytes),
        ("sessions", found.sessions),
        ("subscriptions", found.subscriptions),
        ("queued", found.queued),
        ("messages", sums.messages),
        ("retained", found.retained),
        ("damaged", found.lost_count),
    ];
    for (name, count) in counts {
        let _infallible = writeln!(text, "  {name:14}{count}");
    }
    list(
        &mut text,
        "largest queues",
        queues.iter().map(|(len, client)| format!("{len:>8}  {}", shown(client))),
    );
    list(&mut text, "oldest sessions", sessions.iter().map(|(_, client)| format!("  {}", shown(client))));
    Ok(crate::print(&text))
}

fn list(text: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    if lines.len() > 0 {
        let _infallible = writeln!(text, "{title}:");
    }
    for line in lines.take(NAMED) {
        let _infallible = writeln!(text, "{line}");
    }
}

/// The name of a client, harmless on a terminal.
fn shown(client: &str) -> String {
    client.escape_debug().collect()
}

fn check(dir: &OsString) -> Result<Exit, String> {
    let (mut store, path) = open_to_read(dir, SystemTime::now())?;
    let found = store.recover(&mut |_| {}).map_err(told)?;
    if found.cut {
        crate::complain("The last group was not finished. Nobody had been told that it was safe.");
    }
    let exit = name_losses(&found);
    let state = if found.lost_count == 0 { "sound" } else { "damaged" };
    crate::print(&format!("{}: {state}. There are {}.\n", path.display(), sums(&found)));
    Ok(exit)
}

fn export(dir: &OsString, file: Option<&OsString>) -> Result<Exit, String> {
    let epoch = SystemTime::now();
    let (mut store, _) = open_to_read(dir, epoch)?;
    let found = if let Some(file) = file {
        let path = Path::new(file);
        // the messages are for the broker's user only
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let made = made.map_err(|e| told(Error::io(path, "create", e)))?;
        grovemq_store::export(&mut *store, epoch, &mut BufWriter::new(&made))
            .and_then(|found| made.sync_all().map(|()| found).map_err(|e| Error::io(path, "write", e)))
    } else {
        grovemq_store::export(&mut *store, epoch, &mut BufWriter::new(io::stdout().lock()))
    };
    match found {
        // a reader that has seen enough is no failure
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::OK),
        Err(error) => Err(told(error)),
        Ok(found) => {
            let exit = name_losses(&found);
            if file.is_some() {
                crate::complain(&format!("Exported {}.", sums(&found)));
            }
            Ok(exit)
        }
    }
}

/// Reads all of the file before anything is changed.
fn import(dir: &OsString, file: &OsString) -> Result<Exit, String> {
    let (dir, file) = (Path::new(dir), Path::new(file));
    if !dir.is_dir() {
        return Err(format!("{}: there is no such directory", dir.display()));
    }
    let options = Options::default();
    let failed = |e| told(Error::io(file, "read", e));
    let mut input = BufReader::new(File::open(file).map_err(failed)?);
    let of_original = input.fill_buf().map_err(failed)?.first() == Some(&FIRST_OF_ORIGINAL);
    let path = place(dir);
    let (mut there, mut highest) = (HashSet::new(), 0);
    // a new store is made only when there is something to put into it
    let mut store = if path.exists() { Some(Disk::open(&path, &options).map_err(told)?) } else { None };
    if let Some(store) = &mut store {
        let before = store.recover(&mut |saved| {
            if let Saved::Session(session) = saved {
                there.insert(session.image.client_id);
            }
        });
        highest = before.map_err(told)?.highest_session;
    }
    let first = highest.saturating_add(1);
    let mut read = Memory::default();
    let found = if of_original {
        grovemq_store::take_over(&mut read, |visit| {
            grovemq_store::read_mosquitto_db(file, options.epoch, first, visit)
        })
    } else {
        grovemq_store::import(&mut input, file, options.epoch, first, &mut read)
    };
    let found = found.map_err(told)?;
    let mut twice = None;
    let visit = &mut |saved| {
        if let Saved::Session(session) = saved
            && !there.insert(session.image.client_id.clone())
        {
            twice.get_or_insert(session.image.client_id);
        }
    };
    read.recover(visit).map_err(told)?;
    if let Some(client) = twice {
        let client = shown(&client);
        return Err(format!(
            "{}: there is a session of '{client}' already; nothing was imported",
            file.display()
        ));
    }
    let mut store = store.map_or_else(|| Disk::open(&path, &options).map_err(told), Ok)?;
    grovemq_store::take_over(&mut store, |visit| read.recover(visit)).map_err(told)?;
    Box::new(store).close().map_err(told)?;
    let exit = name_losses(&found);
    crate::complain(&format!("Imported {}.", sums(&found)));
    Ok(exit)
}

fn open_to_read(dir: &OsString, epoch: SystemTime) -> Result<(Box<dyn Store>, PathBuf), String> {
    let dir = Path::new(dir);
    if !dir.exists() {
        return Err(format!("{}: there is no such directory", dir.display()));
    }
    if is_of_original(dir) {
        return Ok((Box::new(Original::read(dir, epoch).map_err(told)?), dir.to_owned()));
    }
    let path = place(dir);
    if !path.exists() {
        return Err(format!("{}: there is no store in it", dir.display()));
    }
    Ok((Box::new(Disk::open_to_read(&path, epoch).map_err(told)?), path))
}

fn is_of_original(path: &Path) -> bool {
    let begin =
        || File::open(path).and_then(|file| BufReader::new(file).fill_buf().map(|b| b.first().copied()));
    path.is_file() && begin().is_ok_and(|first| first == Some(FIRST_OF_ORIGINAL))
}

/// The store that is meant by a directory: itself, or the one in it.
fn place(dir: &Path) -> PathBuf {
    let is_store =
        dir.is_file() || dir.join(LOCK).exists() || dir.file_name().is_some_and(|name| name == STORE);
    if is_store { dir.to_owned() } else { dir.join(STORE) }
}

fn told(error: Error) -> String {
    match error {
        Error::Locked { path } => format!("{}: a broker is using it; stop that first", path.display()),
        error => error.to_string(),
    }
}

pub(crate) fn name_losses(found: &Recovery) -> Exit {
    for loss in &found.lost {
        crate::complain(&format!("Damaged and left out: {loss}."));
    }
    if found.lost_count > found.lost.len() as u64 {
        crate::complain(&format!("{} damaged parts in all.", found.lost_count));
    }
    if found.lost_count == 0 { Exit::OK } else { Exit::FAILURE }
}

fn sums(found: &Recovery) -> String {
    let Recovery { sessions, subscriptions, queued, retained, .. } = found;
    format!(
        "{sessions} sessions with {subscriptions} subscriptions and {queued} queued messages, and {retained} retained messages"
    )
}
