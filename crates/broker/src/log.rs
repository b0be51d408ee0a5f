//! Log lines in Mosquitto's words, written by a thread of their own.

use crate::limits::LOG_LINES_MAX;
use grovemq_config::{Log as Settings, LogDest, LogType, LogTypes};
use jiff::{Timestamp, tz::TimeZone};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// Longest line, as in the original; bytes.
const LINE_BYTES_MAX: usize = 1000;

/// Takes log lines from any thread without waiting. Lines above the bound are dropped and counted.
#[derive(Clone, Debug)]
pub struct Log {
    sender: SyncSender<Job>,
    types: LogTypes,
    pub(crate) connection_messages: bool,
    dropped: Arc<AtomicU64>,
}

/// A line as `$SYS/broker/log/…` publishes it.
pub(crate) type Publisher = Box<dyn FnMut(LogType, &str) + Send>;

enum Job {
    Line(LogType, Timestamp, String),
    /// Lines are also published from now on.
    Publish(Publisher),
    /// Close the files and open them again.
    Reopen,
    /// All lines so far are written; answer.
    Flush(Sender<()>),
}

struct Writer {
    outputs: Vec<Output>,
    timestamp: bool,
    format: Option<String>,
    publisher: Option<Publisher>,
    dropped: Arc<AtomicU64>,
}

enum Output {
    Stdout,
    Stderr,
    Topic,
    File(PathBuf, File),
}

impl Log {
    /// Opens the destinations and starts the writer.
    ///
    /// # Errors
    /// A log file cannot be opened; the text names it.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        let outputs = settings.dest.iter().map(Output::open).collect::<Result<Vec<_>, _>>()?;
        let (sender, receiver) = sync_channel(LOG_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            outputs,
            timestamp: settings.timestamp,
            format: settings.timestamp_format.clone(),
            publisher: None,
            dropped: dropped.clone(),
        };
        let _: JoinHandle<()> = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.run(&receiver))
            .map_err(|e| format!("Error: Unable to start the log thread: {e}."))?;
        let (types, connection_messages) = (settings.types, settings.connection_messages);
        Ok(Self { sender, types, connection_messages, dropped })
    }

    pub fn is_on(&self, kind: LogType) -> bool {
        self.types.contains(kind)
    }

    pub fn line(&self, kind: LogType, text: String) {
        if !self.is_on(kind) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Job::Line(kind, Timestamp::now(), text)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
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
        let (done, wait) = std::sync::mpsc::channel();
        if self.sender.send(Job::Flush(done)).is_ok() {
            wait.recv().ok();
        }
    }
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Line(kind, at, text) => self.write(kind, at, &text),
                Job::Publish(publisher) => self.publisher = Some(publisher),
                Job::Reopen => self.reopen(),
                Job::Flush(done) => {
                    done.send(()).ok();
                }
            }
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let text = format!("Warning: {dropped} log lines were dropped, the destination is too slow.");
                self.write(LogType::Warning, Timestamp::now(), &text);
            }
        }
    }

    fn write(&mut self, kind: LogType, at: Timestamp, text: &str) {
        let mut line = String::with_capacity(text.len() + 24);
        if self.timestamp {
            match &self.format {
                None => line.push_str(&at.as_second().to_string()),
                Some(format) => {
                    let local = at.to_zoned(TimeZone::system());
                    line.push_str(&jiff::fmt::strtime::format(format, &local).unwrap_or_default());
                }
            }
            line.push_str(": ");
        }
        push_escaped(&mut line, text);
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        for output in &mut self.outputs {
            match output {
                Output::Stdout => writeln!(io::stdout().lock(), "{line}"),
                Output::Stderr => writeln!(io::stderr().lock(), "{line}"),
                Output::File(_, file) => writeln!(file, "{line}"),
                Output::Topic => {
                    if let Some(publisher) = &mut self.publisher
                        && !matches!(kind, LogType::Debug | LogType::Internal)
                    {
                        publisher(kind, &line);
                    }
                    Ok(())
                }
            }
            // there is nowhere left to report a log that cannot be written
            .ok();
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
    fn open(dest: &LogDest) -> Result<Self, String> {
        Ok(match dest {
            LogDest::Stdout => Self::Stdout,
            LogDest::Stderr => Self::Stderr,
            LogDest::Topic => Self::Topic,
            LogDest::File(path) => {
                let file = open(path)
                    .map_err(|e| format!("Error: Unable to open log file {} for writing: {e}.", path.display()))?;
                Self::File(path.clone(), file)
            }
        })
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Control characters would let a client id forge lines; a tab is ours.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' { line.extend(c.escape_default()) } else { line.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d22_control_characters_cannot_forge_a_line() {
        let mut line = String::new();
        push_escaped(&mut line, "New client\n1700000000: forged\x1b[31m é");
        assert_eq!(line, "New client\\n1700000000: forged\\u{1b}[31m é");
    }
}
