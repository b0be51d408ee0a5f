//! Log lines in Mosquitto's words, or as JSON, written by a thread of their own.

mod record;
mod syslog;

pub(crate) use record::Fields;

use crate::limits::LOG_LINES_MAX;
use grovemq_config::{Log as Settings, LogDest, LogFormat, LogType, LogTypes};
use jiff::Timestamp;
use record::Record;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use syslog::Syslog;

/// Takes log lines from any thread without waiting. Lines above the bound are dropped and counted.
#[derive(Clone, Debug)]
pub struct Log {
    sender: Sender<Job>,
    switches: Arc<Switches>,
}

/// Other settings whose destinations are open.
pub(crate) struct Prepared {
    outputs: Vec<Output>,
    settings: Settings,
}

/// What a reload may change under those who write.
#[derive(Debug, Default)]
struct Switches {
    types: AtomicU16,
    connection_messages: AtomicBool,
    json: AtomicBool,
    /// Lines not yet written. A channel with a bound would take all its memory at once.
    waiting: AtomicUsize,
    /// Lines lost since the last that was written.
    dropped: AtomicU64,
}

/// A line as `$SYS/broker/log/…` publishes it.
pub(crate) type Publisher = Box<dyn FnMut(LogType, &str) + Send>;

enum Job {
    Line(Record),
    /// Lines are also published from now on, if there is such a destination.
    Publish(Publisher),
    /// Other destinations and another form.
    Change(Vec<Output>, Form),
    /// Close the files and open them again.
    Reopen,
    /// All lines so far are written; answer.
    Flush(Sender<()>),
}

struct Writer {
    outputs: Vec<Output>,
    form: Form,
    publisher: Option<Publisher>,
    switches: Arc<Switches>,
}

/// What a line looks like.
struct Form {
    json: bool,
    timestamp: bool,
    timestamp_format: Option<String>,
}

enum Output {
    Stdout,
    Stderr,
    Topic,
    Syslog(Syslog),
    File(PathBuf, File),
}

impl Log {
    /// Opens the destinations and starts the writer.
    ///
    /// # Errors
    /// A log file cannot be opened; the text names it.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        let outputs = Output::open_all(settings)?;
        let (sender, receiver) = channel();
        let switches = Arc::new(Switches::default());
        let writer =
            Writer { outputs, form: Form::of(settings), publisher: None, switches: switches.clone() };
        let _: JoinHandle<()> = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| format!("Error: Unable to start the log thread: {e}."))?;
        let log = Self { sender, switches };
        log.switches.set(settings);
        Ok(log)
    }

    /// Takes over other settings, for all clones of this log. With an error all stays as it was.
    ///
    /// # Errors
    /// A log file cannot be opened; the text names it.
    pub fn change(&self, settings: &Settings) -> Result<(), String> {
        self.commit(Self::prepare(settings)?);
        Ok(())
    }

    /// The part of a change that can fail.
    pub(crate) fn prepare(settings: &Settings) -> Result<Prepared, String> {
        Ok(Prepared { outputs: Output::open_all(settings)?, settings: settings.clone() })
    }

    pub(crate) fn commit(&self, prepared: Prepared) {
        let Prepared { outputs, settings } = prepared;
        self.switches.set(&settings);
        self.sender.send(Job::Change(outputs, Form::of(&settings))).ok();
    }

    pub fn is_on(&self, kind: LogType) -> bool {
        LogTypes::from_bits(self.switches.types.load(Ordering::Relaxed)).contains(kind)
    }

    /// Whether the coming and going of clients is logged.
    pub(crate) fn connection_messages(&self) -> bool {
        self.is_on(LogType::Notice) && self.switches.connection_messages.load(Ordering::Relaxed)
    }

    pub fn line(&self, kind: LogType, text: String) {
        self.event(kind, "message", text, |_| {});
    }

    /// A line with particulars, which are asked for only where the form of the log shows them.
    pub(crate) fn event(
        &self,
        kind: LogType,
        event: &'static str,
        text: String,
        fill: impl FnOnce(&mut Fields),
    ) {
        if !self.is_on(kind) {
            return;
        }
        if self.switches.waiting.fetch_add(1, Ordering::Relaxed) >= LOG_LINES_MAX {
            self.switches.waiting.fetch_sub(1, Ordering::Relaxed);
            self.switches.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut fields = Fields::default();
        if self.switches.json.load(Ordering::Relaxed) {
            fill(&mut fields);
        }
        let record = Record { kind, at: Timestamp::now(), text, event, fields };
        // the writer lives as long as the process
        self.sender.send(Job::Line(record)).ok();
    }

    pub fn error(&self, text: impl Into<String>) {
        self.line(LogType::Error, text.into());
    }

    pub fn warning(&self, text: impl Into<String>) {
        self.line(LogType::Warning, text.into());
    }

    pub fn notice(&self, text: impl Into<String>) {
        self.line(LogType::Notice, text.into());
    }

    pub fn info(&self, text: impl Into<String>) {
        self.line(LogType::Information, text.into());
    }

    pub(crate) fn publish_with(&self, publisher: Publisher) {
        self.sender.send(Job::Publish(publisher)).ok();
    }

    /// Closes and opens the log files, as after a rotation.
    pub fn reopen(&self) {
        self.sender.send(Job::Reopen).ok();
    }

    /// Waits until every line so far is written.
    pub fn flush(&self) {
        let (done, wait) = channel();
        if self.sender.send(Job::Flush(done)).is_ok() {
            wait.recv().ok();
        }
    }
}

impl Switches {
    fn set(&self, settings: &Settings) {
        self.types.store(settings.types.bits(), Ordering::Relaxed);
        self.connection_messages.store(settings.connection_messages, Ordering::Relaxed);
        self.json.store(settings.format == LogFormat::Json, Ordering::Relaxed);
    }
}

impl Form {
    fn of(settings: &Settings) -> Self {
        Self {
            json: settings.format == LogFormat::Json,
            timestamp: settings.timestamp,
            timestamp_format: settings.timestamp_format.clone(),
        }
    }

    /// The line, and the same without its time, which the system's log adds by itself.
    fn shape(&self, record: &Record) -> (String, String) {
        if self.json {
            let format = self.timestamp_format.as_deref();
            return (record.json(self.timestamp, format), record.json(false, None));
        }
        let sentence = record.sentence();
        let line = match &self.timestamp_format {
            _ if !self.timestamp => sentence.clone(),
            None => format!("{}: {sentence}", record.at.as_second()),
            Some(format) => format!("{}: {sentence}", record.time(format)),
        };
        (line, sentence)
    }
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Line(record) => {
                    self.switches.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.write(&record);
                }
                Job::Publish(publisher) => self.publisher = Some(publisher),
                Job::Change(outputs, form) => (self.outputs, self.form) = (outputs, form),
                Job::Reopen => self.reopen(),
                Job::Flush(done) => {
                    done.send(()).ok();
                }
            }
            let dropped = self.switches.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                self.warn(format!("Warning: {dropped} log lines were dropped, the destination is too slow."));
            }
        }
    }

    fn warn(&mut self, text: String) {
        let (kind, at) = (LogType::Warning, Timestamp::now());
        self.write(&Record { kind, at, text, event: "log", fields: Fields::default() });
    }

    fn write(&mut self, record: &Record) {
        let (mut line, bare) = self.form.shape(record);
        line.push('\n'); // so that a line is one write
        let kind = record.kind;
        let mut complaint = None;
        for output in &mut self.outputs {
            match output {
                Output::Stdout => io::stdout().lock().write_all(line.as_bytes()),
                Output::Stderr => io::stderr().lock().write_all(line.as_bytes()),
                Output::File(_, file) => file.write_all(line.as_bytes()),
                Output::Syslog(syslog) => {
                    complaint = syslog.send(kind, record.at, &bare).err();
                    Ok(())
                }
                Output::Topic => {
                    if let Some(publisher) = &mut self.publisher
                        && !matches!(kind, LogType::Debug | LogType::Internal)
                    {
                        publisher(kind, line.trim_end());
                    }
                    Ok(())
                }
            }
            // there is nowhere left to report a log that cannot be written
            .ok();
        }
        if let Some(text) = complaint {
            self.lament(&text);
        }
    }

    /// The system's log is gone: service managers collect standard error.
    fn lament(&mut self, text: &str) {
        let others = self.outputs.iter().any(|output| !matches!(output, Output::Syslog(_)));
        if others {
            self.warn(text.into());
        } else {
            writeln!(io::stderr().lock(), "{text}").ok();
        }
    }

    fn reopen(&mut self) {
        for output in &mut self.outputs {
            if let Output::File(path, file) = output
                && let Ok(new) = open(path)
            {
                *file = new;
            }
        }
    }
}

impl Output {
    fn open_all(settings: &Settings) -> Result<Vec<Self>, String> {
        settings.dest.iter().map(|dest| Self::open(dest, settings)).collect()
    }

    fn open(dest: &LogDest, settings: &Settings) -> Result<Self, String> {
        Ok(match dest {
            LogDest::Stdout => Self::Stdout,
            LogDest::Stderr => Self::Stderr,
            LogDest::Topic => Self::Topic,
            LogDest::Syslog => Self::Syslog(Syslog::new(settings.facility)),
            LogDest::File(path) => {
                let file = open(path).map_err(|e| {
                    format!("Error: Unable to open log file {} for writing: {e}.", path.display())
                })?;
                Self::File(path.clone(), file)
            }
        })
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_every_clone_and_a_wrong_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let settings = |name: &str| Settings {
            dest: vec![LogDest::File(file(name))],
            types: LogTypes::NONE.with(LogType::Error),
            timestamp: false,
            ..Settings::default()
        };
        let log = Log::start(&settings("a")).unwrap();
        let clone = log.clone();
        clone.notice("unheard");
        clone.error("one");
        assert!(log.change(&settings("absent/b")).unwrap_err().contains("absent/b"));
        clone.error("two");
        let types = LogTypes::DEFAULT;
        log.change(&Settings { types, format: LogFormat::Json, ..settings("c") }).unwrap();
        clone.event(LogType::Notice, "connected", "three".into(), |f| {
            f.text("client", "x");
        });
        clone.flush();
        let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
        assert_eq!(read("a"), "one\ntwo\n");
        assert_eq!(
            read("c"),
            "{\"level\":\"notice\",\"event\":\"connected\",\"message\":\"three\",\"client\":\"x\"}\n"
        );
    }
}
