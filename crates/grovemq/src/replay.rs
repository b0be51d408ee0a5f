//! `replay`: plays a recording at any speed.

use crate::exit::Exit;
use crate::flags::high::Session;
use crate::flags::instruments::{Rewrite, Speed};
use crate::flags::{Complaint, Low, Tool};
use crate::recording::{Entry, Fault, Reader};
use crate::watch;
use grovemq_client::{Client, Disconnect, Error, Event, Events, Message, Publication, topic};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What `replay` is to do.
#[derive(Debug)]
pub(crate) struct Replaying {
    session: Session,
    /// `-` is standard input.
    file: OsString,
    speed: Speed,
    rewrites: Vec<Rewrite>,
}

impl Replaying {
    pub(crate) fn new(low: Low) -> Result<Self, Complaint> {
        let session = Session::new(&low, Tool::Replay)?.without_reconnecting();
        let Some(file) = low.operands.into_iter().next() else {
            return Err(Complaint::error("You must specify a recording to play; - is standard input."));
        };
        Ok(Self {
            session,
            file,
            speed: low.instruments.speed.unwrap_or(Speed::Times(1.0)),
            rewrites: low.instruments.rewrites,
        })
    }

    fn complain(&self, line: &str) {
        self.session.complain(&format!("Error: {}:{line}", self.file.display()));
    }

    fn topic(&self, recorded: &str) -> String {
        self.rewrites
            .iter()
            .find_map(|rewrite| rewrite.apply(recorded))
            .unwrap_or_else(|| recorded.to_owned())
    }
}

/// Entries read ahead, and publications whose outcome is waited for later.
const AHEAD_MAX: usize = 64;
const PENDING_MAX: usize = 1000;

/// Plays and gives the exit code.
pub(crate) fn run(plan: &Replaying) -> Exit {
    plan.session.warn();
    let input: Box<dyn BufRead + Send> = if plan.file == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        match File::open(&plan.file) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => {
                plan.complain(&format!(" {error}"));
                return Exit::FAILURE;
            }
        }
    };
    let entries = read_ahead(input);
    crate::block_on(async {
        match watch::connect(&plan.session).await {
            Ok((client, events, _)) => play_all(plan, &client, events, entries).await,
            Err(exit) => exit,
        }
    })
}

type Read = Result<(u64, Entry), Fault>;

/// A thread of its own reads, which may wait for its input for ever. A fault is the end.
fn read_ahead(input: Box<dyn BufRead + Send>) -> mpsc::Receiver<Read> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    std::thread::spawn(move || {
        let mut reader = match Reader::new(input) {
            Ok(reader) => reader,
            // nobody waits for it any more: that is no matter
            Err(fault) => return drop(sender.blocking_send(Err(fault))),
        };
        while let Some(read) = reader.next_entry().transpose() {
            let is_last = read.is_err();
            if sender.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

async fn play_all(
    plan: &Replaying,
    client: &Client,
    mut events: Events,
    entries: mpsc::Receiver<Read>,
) -> Exit {
    let begun = Instant::now();
    let mut player = Player {
        plan,
        client,
        begun,
        first: None,
        pending: VecDeque::new(),
        messages: 0,
        line: 0,
        has_refusals: false,
    };
    let mut interrupted = pin!(crate::interrupted());
    let end = {
        let mut playing = pin!(player.play(entries));
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(Event::Disconnected(error)) => break Err(error),
                    Some(_) => {}
                    None => break Err(Error::Closed),
                },
                exit = &mut playing => break Ok(exit),
                () = &mut interrupted => break Ok(Exit::OK),
            }
        }
    };
    let Player { messages, line, .. } = player;
    match end {
        Ok(exit) => {
            // everything is acknowledged, so what goes wrong now does no harm
            client.disconnect(Disconnect::default()).await.ok();
            let seconds = begun.elapsed().as_secs_f64();
            plan.session.complain(&format!("{messages} messages played in {seconds:.1} s"));
            exit
        }
        Err(error) => {
            let (_, text, exit) = watch::lost(&error);
            plan.session.complain(&text);
            plan.complain(&format!("{line}: played up to here"));
            exit
        }
    }
}

struct Player<'a> {
    plan: &'a Replaying,
    client: &'a Client,
    begun: Instant,
    /// The recording's time of the first message.
    first: Option<Duration>,
    /// With their lines.
    pending: VecDeque<(u64, Publication)>,
    messages: u64,
    line: u64,
    /// Messages that the server did not want.
    has_refusals: bool,
}

impl Player<'_> {
    async fn play(&mut self, mut entries: mpsc::Receiver<Read>) -> Exit {
        let mut exit = Exit::OK;
        while let Some(read) = entries.recv().await {
            let played = match read {
                Ok((line, entry)) => {
                    self.line = line;
                    self.play_one(entry).await.map_err(|what| format!("{line}: {what}"))
                }
                Err(Fault::Io(error)) => Err(format!(" {error}")),
                Err(fault) => Err(fault.to_string()),
            };
            if let Err(line) = played {
                self.plan.complain(&line);
                exit = Exit::FAILURE;
                break;
            }
        }
        while let Some((line, publication)) = self.pending.pop_front() {
            self.settle(line, publication).await;
        }
        if self.has_refusals { Exit::FAILURE } else { exit }
    }

    async fn play_one(&mut self, entry: Entry) -> Result<(), String> {
        let since_first = entry.at.saturating_sub(*self.first.get_or_insert(entry.at));
        if let Speed::Times(speed) = self.plan.speed {
            let due = Duration::try_from_secs_f64(since_first.as_secs_f64() / speed).ok();
            let due = due.and_then(|due| self.begun.checked_add(due));
            sleep_until(due.ok_or("this time never comes")?).await;
        }
        let topic = self.plan.topic(&entry.message.topic);
        topic::validate_name(&topic).map_err(|_| format!("'{topic}' is no topic"))?;
        let message = Message { topic, ..entry.message };
        let publication = self.client.publish(message).await.map_err(|error| error.to_string())?;
        self.messages += 1;
        self.pending.push_back((self.line, publication));
        if self.pending.len() > PENDING_MAX
            && let Some((line, publication)) = self.pending.pop_front()
        {
            self.settle(line, publication).await;
        }
        Ok(())
    }

    /// A message that the server does not want is told, and the next is played.
    async fn settle(&mut self, line: u64, publication: Publication) {
        match publication.await {
            Err(Error::Closed | Error::ConnectionLost) | Ok(_) => {}
            Err(error) => {
                self.has_refusals = true;
                self.plan.complain(&format!("{line}: {error}"));
            }
        }
    }
}
