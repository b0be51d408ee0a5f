//! `record`: messages and their times into a file.

use crate::exit::Exit;
use crate::flags::high::Session;
use crate::flags::{Complaint, Low, Tool};
use crate::recording::{Entry, write_entry, write_header};
use crate::watch;
use grovemq_client::{Client, Event, Events, ReasonCode, SubscribeOptions, Subscription, topic};
use jiff::Zoned;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What `record` is to do.
#[derive(Debug)]
pub(crate) struct Recording {
    session: Session,
    subscriptions: Vec<Subscription>,
    filter_out: Vec<String>,
    no_retained: bool,
    count: Option<u32>,
    duration: Option<Duration>,
    /// `-` is standard output.
    file: OsString,
}

impl Recording {
    pub(crate) fn new(low: Low) -> Result<Self, Complaint> {
        let session = Session::new(&low, Tool::Record)?;
        let Some(file) = low.operands.into_iter().next() else {
            return Err(Complaint::error("You must specify a file to record to; - is standard output."));
        };
        let filters = if low.topics.is_empty() { vec!["#".to_owned()] } else { low.topics };
        // a message is to be played back as it was published
        let options =
            SubscribeOptions { qos: low.qos, retain_as_published: true, ..SubscribeOptions::default() };
        Ok(Self {
            session,
            subscriptions: filters.into_iter().map(|filter| Subscription { filter, options }).collect(),
            filter_out: low.filter_out,
            no_retained: low.no_retained,
            count: low.count,
            duration: low.instruments.duration,
            file,
        })
    }
}

/// Records and gives the exit code.
pub(crate) fn run(plan: &Recording) -> Exit {
    plan.session.warn();
    let out: Box<dyn Write> = if plan.file == "-" {
        Box::new(io::stdout().lock())
    } else {
        // an earlier recording is not lost to a slip
        match File::create_new(&plan.file) {
            Ok(file) => Box::new(file),
            Err(error) => return cannot_write(plan, &error),
        }
    };
    let out = BufWriter::new(out);
    let exit =
        crate::block_on(async { Recorder { plan, out, begun: Instant::now(), messages: 0 }.run().await });
    let is_empty = std::fs::metadata(&plan.file).is_ok_and(|file| file.is_file() && file.len() == 0);
    if plan.file != "-" && is_empty {
        // there was no connection
        drop(std::fs::remove_file(&plan.file));
    }
    exit
}

struct Recorder<'a, W> {
    plan: &'a Recording,
    out: W,
    begun: Instant,
    messages: u32,
}

impl<W: Write> Recorder<'_, W> {
    async fn run(mut self) -> Exit {
        let session = &self.plan.session;
        let (client, mut events) = match watch::connect(session).await {
            Ok((client, events, _)) => (client, events),
            Err(exit) => return exit,
        };
        self.begun = Instant::now();
        let exit = match write_header(&mut self.out, &Zoned::now().timestamp().to_string()) {
            Ok(()) => self.record(&client, &mut events).await,
            Err(error) => Err(error),
        };
        let exit = exit.and_then(|exit| self.out.flush().map(|()| exit));
        client.close();
        match exit {
            Ok(exit) => {
                session.complain(&format!("{} messages recorded", self.messages));
                exit
            }
            Err(error) => cannot_write(self.plan, &error),
        }
    }

    async fn record(&mut self, client: &Client, events: &mut Events) -> io::Result<Exit> {
        let mut subscribing = pin!(client.subscribe(&self.plan.subscriptions));
        let mut is_subscribing = true;
        let mut interrupted = pin!(crate::interrupted());
        let mut over = pin!(sleep_until(self.begun + self.plan.duration.unwrap_or_default()));
        loop {
            tokio::select! {
                biased;
                event = events.next() => {
                    let mut next = event;
                    if next.is_none() {
                        return Ok(Exit::CONNECTION_LOST);
                    }
                    while let Some(event) = next {
                        if self.take(event)? {
                            return Ok(Exit::OK);
                        }
                        next = events.try_next();
                    }
                    // a recording that is killed ends with a whole line, or nearly so
                    self.out.flush()?;
                }
                codes = &mut subscribing, if is_subscribing => {
                    is_subscribing = false;
                    if let Ok(codes) = codes && self.all_denied(&codes) {
                        return Ok(Exit::FAILURE);
                    }
                }
                () = &mut interrupted => return Ok(Exit::OK),
                () = &mut over, if self.plan.duration.is_some() => return Ok(Exit::OK),
            }
        }
    }

    /// Whether that was all.
    fn take(&mut self, event: Event) -> io::Result<bool> {
        match event {
            Event::Message(received) => {
                let message = received.message;
                let is_out = |filter: &String| topic::matches(filter, &message.topic);
                if self.plan.filter_out.iter().any(is_out) || (self.plan.no_retained && message.retain) {
                    return Ok(false);
                }
                write_entry(&mut self.out, &Entry { at: self.begun.elapsed(), message })?;
                self.messages = self.messages.saturating_add(1);
                return Ok(Some(self.messages) == self.plan.count);
            }
            Event::Disconnected(error) => {
                self.plan.session.complain(&format!("Warning: {error}; trying again."));
            }
            Event::SubscriptionLost { filter, reason } => {
                let line = format!("Warning: The subscription to '{filter}' is lost: {reason}.");
                self.plan.session.complain(&line);
            }
            _ => {}
        }
        Ok(false)
    }

    fn all_denied(&self, codes: &[ReasonCode]) -> bool {
        for (subscription, code) in self.plan.subscriptions.iter().zip(codes) {
            if code.is_error() {
                let line =
                    format!("Warning: The subscription to '{}' is denied: {code}.", subscription.filter);
                self.plan.session.complain(&line);
            }
        }
        codes.iter().all(|code| code.is_error())
    }
}

fn cannot_write(plan: &Recording, error: &io::Error) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::OK;
    }
    plan.session.complain(&format!("Error: {}: {error}", plan.file.display()));
    Exit::FAILURE
}
