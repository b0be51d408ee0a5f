//! `grovemq lab`: a broker, and the things of a scenario on simulated boards, to which something happens by itself.

mod scenario;

use self::scenario::{EXAMPLES, Example, Scenario};
use crate::exit::Exit;
use crate::up::{FAREWELL, start_broker};
use crate::{Call, complain};
use grovemq_config::port_argument;
use grovemq_thing::script::Script;
use grovemq_thing::{BoardChoice, Error, Log, SimulatedBoard, playground};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use self::scenario::NAMES;

const HELP: &str = "\
[scenario] [-p port] [--for time] [--write DIR] [-v]

Without a scenario: lists those there are. A scenario is one of these, or a folder with a lab.toml.

  -p, --port PORT   Let the broker listen on this port, not on any that is free.
      --for TIME    End by itself after this time, such as 10s or 2m. Without it Ctrl+C ends it.
      --write DIR   Do not run the scenario, but write its files into this folder, to be read, changed,
                    and run: grovemq lab DIR
  -v, --verbose     Print what the broker and the things do.
      --help        Print this help.
";

/// How often the boards are looked at, and things happen to them.
const LOOK: Duration = Duration::from_millis(40);
/// A board that has been the same for so long is shown …
const STILL: Duration = Duration::from_millis(250);
/// … and one that is never still, this often.
const RESTLESS: Duration = Duration::from_secs(1);
/// All things should have subscribed by then.
const READY: Duration = Duration::from_secs(10);
/// So many boards that show the same are named, more are counted.
const NAMED_MAX: usize = 3;

#[derive(Debug, PartialEq)]
struct Options {
    scenario: Option<OsString>,
    port: Option<u16>,
    time: Option<Duration>,
    write: Option<PathBuf>,
    verbose: bool,
}

/// `lab`
pub(crate) fn run(call: &Call) -> Exit {
    let done = match Options::parse(&call.args) {
        Ok(None) => return crate::print(&help(&call.program)),
        Ok(Some(options)) => options.run(),
        Err(text) => Err(format!("{text}\n\nUse '{} --help' to see usage.", call.program)),
    };
    done.unwrap_or_else(|text| {
        complain(&format!("Error: {text}"));
        Exit::FAILURE
    })
}

pub(crate) fn help(program: &str) -> String {
    format!("Usage: {program} {HELP}\n{}", list())
}

impl Options {
    /// `None`: help is wanted.
    fn parse(args: &[OsString]) -> Result<Option<Self>, String> {
        let mut options = Self { scenario: None, port: None, time: None, write: None, verbose: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{} needs a value.", arg.display()));
            match arg.to_str().unwrap_or_default() {
                "--help" | "-h" => return Ok(None),
                "-p" | "--port" => {
                    let port = port_argument(&value()?.to_string_lossy());
                    options.port = Some(port.map_err(|error| error.to_string())?);
                }
                "--for" => options.time = Some(time(&value()?.to_string_lossy())?),
                "--write" => options.write = Some(value()?.into()),
                "-v" | "--verbose" => options.verbose = true,
                option if option.starts_with('-') => return Err(format!("Unknown option '{option}'.")),
                _ if options.scenario.is_some() => {
                    return Err(format!("One scenario at a time, not '{}' too.", arg.display()));
                }
                _ => options.scenario = Some(arg.clone()),
            }
        }
        Ok(Some(options))
    }

    fn run(&self) -> Result<Exit, String> {
        let Some(wanted) = &self.scenario else { return Ok(crate::print(&list())) };
        let example = wanted.to_str().and_then(Example::find);
        if let Some(folder) = &self.write {
            let example = example.ok_or_else(|| unknown(&wanted.to_string_lossy()))?;
            example.write(folder)?;
            let text = format!("{0}: run it with grovemq lab {0}\n", folder.display());
            return Ok(crate::print(&text));
        }
        // gone at the end
        let own = example.map(|_| tempfile::Builder::new().prefix("grovemq-lab-").tempdir()).transpose();
        let own = own.map_err(|error| format!("no folder for the scenario: {error}"))?;
        let folder = match (&own, example) {
            (Some(own), Some(example)) => {
                example.write(own.path())?;
                own.path()
            }
            _ => Path::new(wanted),
        };
        if !folder.is_dir() {
            return Err(unknown(&wanted.to_string_lossy()));
        }
        // file names in a scenario count from its folder
        std::env::set_current_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        self.play(&wanted.to_string_lossy())
    }

    /// Runs the scenario of the current folder.
    fn play(&self, name: &str) -> Result<Exit, String> {
        let port = self.port.map_or_else(free_port, Ok)?;
        let scenario = Scenario::load(port)?;
        let broker = start_broker(scenario.broker.clone(), port, self.verbose)
            .map_err(|text| text.trim_start_matches("Error: ").to_owned())?;
        crate::print(&greeting(name, &scenario, port));
        let exit = crate::block_on(self.live(scenario));
        broker.stop();
        Ok(exit)
    }

    /// Everything runs until somebody or something ends it.
    async fn live(&self, scenario: Scenario) -> Exit {
        let mut class = Class::start(scenario, self.verbose);
        let mut look = tokio::time::interval(LOOK);
        let end = crate::interrupted();
        tokio::pin!(end);
        let called = Instant::now();
        let mut begun: Option<Instant> = None;
        loop {
            tokio::select! {
                () = &mut end => break,
                Some(ended) = class.tasks.join_next() => {
                    if let Ok(Err(error)) = ended {
                        complain(&format!("Error: {error}"));
                    }
                    class.end().await;
                    return Exit::FAILURE;
                }
                _ = look.tick() => {}
            }
            if begun.is_none() && (class.is_ready() || called.elapsed() > READY) {
                if !class.is_ready() {
                    complain("Not all things have subscribed yet; -v tells more.");
                }
                crate::print("  ready\n\n");
                begun = Some(Instant::now());
            }
            if let Some(begun) = begun {
                if self.time.is_some_and(|time| begun.elapsed() >= time) {
                    break;
                }
                class.play(begun.elapsed().as_secs_f64());
                crate::print(&class.news());
            }
        }
        if class.end().await { Exit::OK } else { Exit::FAILURE }
    }
}

/// The things that run, and their boards.
struct Class {
    boards: Vec<Seat>,
    tasks: JoinSet<Result<(), Error>>,
    /// Dropped, it ends them.
    stop: watch::Sender<()>,
}

/// A board, what happens to it, and what was seen of it.
struct Seat {
    label: String,
    board: SimulatedBoard,
    script: Option<(Script, f64)>,
    /// How many of the subscriptions are still to come.
    missing: Arc<AtomicUsize>,
    seen: String,
    seen_at: Instant,
    shown: String,
    shown_at: Instant,
}

impl Class {
    fn start(scenario: Scenario, verbose: bool) -> Self {
        let (stop, stopped) = watch::channel(());
        let (mut boards, mut tasks) = (Vec::new(), JoinSet::new());
        for thing in scenario.things {
            let seat = Seat::new(thing.label, thing.script);
            // the same topic of two actuators is subscribed to once
            let mut topics: Vec<_> = Vec::new();
            for topic in thing.config.actuators.iter().flat_map(|actuator| &actuator.subscribe) {
                if !topics.contains(&topic) {
                    topics.push(topic);
                }
            }
            let subscriptions = topics.len();
            // one that has none is there once it is online
            seat.missing.store(subscriptions.max(1), Ordering::Relaxed);
            let sign = if subscriptions == 0 { "connected to" } else { "subscribed to" };
            let (missing, label) = (Arc::clone(&seat.missing), seat.label.clone());
            let log = Log::new(true, move |line| {
                if line.starts_with(sign) {
                    // a later connection begins anew with nothing missing: there it stays
                    missing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).ok();
                }
                if verbose {
                    complain(&format!("{label}: {line}"));
                }
            });
            let mut stopped = stopped.clone();
            // an error means that the sender is gone, which is the sign
            let shutdown = async move { drop(stopped.changed().await) };
            let board = BoardChoice::Simulated(seat.board.clone());
            tasks.spawn(grovemq_thing::run(thing.config, board, log, shutdown));
            boards.push(seat);
        }
        Self { boards, tasks, stop }
    }

    fn is_ready(&self) -> bool {
        self.boards.iter().all(|seat| seat.missing.load(Ordering::Relaxed) == 0)
    }

    fn play(&mut self, seconds: f64) {
        for seat in &mut self.boards {
            if let Some((script, behind)) = &mut seat.script {
                script.apply(&seat.board, seconds - *behind);
            }
        }
    }

    /// A line for each board, or for several that show the same, that has something new.
    fn news(&mut self) -> String {
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for seat in &mut self.boards {
            let Some(view) = seat.look() else { continue };
            match lines.iter_mut().find(|(text, _)| *text == view) {
                Some((_, labels)) => labels.push(&seat.label),
                None => lines.push((view, vec![&seat.label])),
            }
        }
        let mut text = String::new();
        for (view, labels) in lines {
            let who =
                if labels.len() > NAMED_MAX { format!("{} things", labels.len()) } else { labels.join(", ") };
            let _infallible = writeln!(text, "  {who:11}  {view}");
        }
        text
    }

    /// Ends all things; false if one of them does not end well.
    async fn end(self) -> bool {
        let Self { stop, mut tasks, .. } = self;
        drop(stop);
        let mut well = true;
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(error)) = &ended {
                complain(&format!("Error: {error}"));
            }
            well &= matches!(ended, Ok(Ok(())));
        }
        tokio::time::sleep(FAREWELL).await;
        well
    }
}

impl Seat {
    fn new(label: String, script: Option<(Script, f64)>) -> Self {
        let now = Instant::now();
        Self {
            label,
            board: SimulatedBoard::default(),
            script,
            missing: Arc::default(),
            seen: String::new(),
            seen_at: now,
            shown: String::new(),
            shown_at: now,
        }
    }

    /// What there is to see, if that is new and worth a line.
    fn look(&mut self) -> Option<String> {
        let view = view(&self.board);
        if view != self.seen {
            self.seen = view;
            self.seen_at = Instant::now();
        }
        let due = self.seen_at.elapsed() >= STILL || self.shown_at.elapsed() >= RESTLESS;
        if self.seen == self.shown || !due {
            return None;
        }
        self.shown.clone_from(&self.seen);
        self.shown_at = Instant::now();
        Some(self.shown.clone())
    }
}

/// The board in one line.
fn view(board: &SimulatedBoard) -> String {
    let seen = playground::view(board);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    // an empty row of an LCD is nothing to see
    let lines = seen.lines().map(words).filter(|line| !line.starts_with("LCD | |"));
    lines.collect::<Vec<_>>().join(", ")
}

fn list() -> String {
    let mut text = String::new();
    for example in EXAMPLES {
        let _infallible = writeln!(text, "{:11} {}", example.name, example.about());
    }
    text.push_str("\nRun one: grovemq lab scenario-1\n");
    text
}

fn unknown(name: &str) -> String {
    let near = crate::nearest(name, NAMES.iter().copied());
    let hint = near.map(|near| format!(" Did you mean '{near}'?")).unwrap_or_default();
    format!("'{name}' is neither a scenario nor a folder.{hint}")
}

fn greeting(name: &str, scenario: &Scenario, port: u16) -> String {
    let sheet = &scenario.sheet;
    let mut text = format!("{name}: {}\n\n  broker  127.0.0.1 and [::1], port {port}\n", sheet.about);
    if let [first, .., last] = scenario.things.as_slice() {
        let count = scenario.things.len();
        let _infallible = writeln!(text, "  things  {count}, {} to {}", first.label, last.label);
    }
    if !sheet.story.is_empty() {
        let _infallible = writeln!(text, "  story   {}", sheet.story);
    }
    for (number, command) in sheet.commands.iter().enumerate() {
        let head = if number == 0 { "try" } else { "" };
        let _infallible = writeln!(text, "  {head:6}  {}", command.replace("{port}", &port.to_string()));
    }
    text.push_str("  end     Ctrl+C\n\n");
    text
}

/// One that nobody has at this moment.
fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

/// `10s`, `2m`, `500ms` or plain seconds.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| format!("'{text}' is no time such as 10s or 2m."))?;
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        _ => return Err(format!("'{text}' is no time such as 10s or 2m.")),
    };
    Ok(unit * number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_thing::Pin;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        let expected = Options {
            scenario: Some("class".into()),
            port: Some(1884),
            time: Some(Duration::from_secs(120)),
            write: Some("d".into()),
            verbose: true,
        };
        assert_eq!(parse("class -p 1884 --for 2m --write d -v"), Ok(Some(expected)));
        assert_eq!(parse("class --help"), Ok(None));
        for (line, error) in [
            ("--for", "--for needs a value."),
            ("--for soon", "'soon' is no time such as 10s or 2m."),
            ("--for 3d", "'3d' is no time such as 10s or 2m."),
            ("a b", "One scenario at a time, not 'b' too."),
            ("--fro 1s", "Unknown option '--fro'."),
        ] {
            assert_eq!(parse(line), Err(error.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_name_that_is_none_gets_a_hint() {
        assert_eq!(
            unknown("scenario1"),
            "'scenario1' is neither a scenario nor a folder. Did you mean 'scenario-1'?"
        );
    }

    #[test]
    fn what_does_not_stay_is_not_shown_at_once() {
        let mut seat = Seat::new("a".to_owned(), None);
        seat.board.set_digital(Pin::D3, true);
        assert_eq!(seat.look(), None);
        seat.seen_at -= STILL;
        assert_eq!(seat.look().as_deref(), Some("D3 pressed, D4 off"));
        assert_eq!(seat.look(), None);
    }
}
