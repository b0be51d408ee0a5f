//! `pub`: publishes and ends.

use crate::exit::Exit;
use crate::flags::{Source, high::Publishing};
use crate::payload;
use crate::watch::{self, Loss, PROTOCOL_ERROR, Watch};
use grovemq_client::{Client, Error, Event, Publication, ReasonCode};
use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Unacknowledged messages whose end is waited for later; above it the next one waits.
const PENDING_MAX: usize = 1000;

/// Publishes and gives the exit code.
pub(crate) fn run(plan: &Publishing) -> Exit {
    // What cannot be read need not be connected for.
    let payloads = match Payloads::open(&plan.source) {
        Ok(payloads) => payloads,
        Err(lines) => {
            for line in &lines {
                plan.session.complain(line);
            }
            return Exit::FAILURE;
        }
    };
    crate::block_on(async {
        let out = BufWriter::new(io::stdout().lock());
        let watch = Watch::new(&plan.session);
        Publisher { plan, out, watch, is_patient: plan.retry_connect.is_some(), excuse: None, end: None }
            .run(payloads)
            .await
    })
}

enum Payloads {
    One(Vec<u8>),
    Lines(mpsc::Receiver<Result<Vec<u8>, String>>),
}

impl Payloads {
    fn open(source: &Source) -> Result<Self, Vec<String>> {
        Ok(match source {
            Source::Lines => Self::Lines(payload::lines_of_stdin()),
            source => Self::One(payload::of_source(source)?),
        })
    }
}

struct Publisher<'a, W> {
    plan: &'a Publishing,
    out: W,
    watch: Watch,
    /// A first connection that fails is tried again.
    is_patient: bool,
    /// Why the last attempt at it failed.
    excuse: Option<(String, Exit)>,
    /// How it ends, once that is certain.
    end: Option<Exit>,
}

impl<W: Write> Publisher<'_, W> {
    async fn run(mut self, payloads: Payloads) -> Exit {
        let (client, mut events) = Client::start(self.plan.session.options.clone());
        let mut sending = pin!(send_all(&client, self.plan, payloads));
        let (mut is_connected, mut is_sent) = (false, false);
        let mut too_late = pin!(sleep_until(Instant::now() + self.plan.retry_connect.unwrap_or_default()));
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                exit = &mut sending, if is_connected && !is_sent => {
                    is_sent = true;
                    self.end.get_or_insert(exit);
                    continue;
                }
                () = &mut too_late, if self.is_patient => {
                    let in_vain = || ("Error: Connection timed out".to_owned(), Exit::FAILURE);
                    let (line, exit) = self.excuse.take().unwrap_or_else(in_vain);
                    self.plan.session.complain(&line);
                    self.end = Some(exit);
                    break;
                }
            };
            let Some(event) = event else { break };
            is_connected |= matches!(event, Event::Connected(_));
            // Messages are sent even when nobody reads what there is to tell.
            self.take(event).and_then(|()| self.out.flush()).ok();
            if self.end.is_some() && !is_sent {
                break;
            }
        }
        match self.end {
            Some(exit) => exit,
            // The connection is closed, so this has ended as well.
            None if is_connected && !is_sent => sending.await,
            None => Exit::FAILURE,
        }
    }

    fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Connected(info) => {
                self.is_patient = false;
                return self.watch.connected(&mut self.out, &info.client_id);
            }
            Event::Refused(refusal) if self.is_patient && watch::is_passing(&refusal) => {
                self.excuse = Some(watch::refused(&refusal));
            }
            Event::Refused(refusal) => {
                self.watch.release(&mut self.out)?;
                let (line, exit) = watch::refused(&refusal);
                self.plan.session.complain(&line);
                let is_known = refusal.v3_code.is_some_and(|code| code <= 5);
                let line = if is_known { "The connection was refused." } else { PROTOCOL_ERROR };
                self.plan.session.complain(&format!("Error: {line}"));
                self.end = Some(exit);
            }
            Event::Disconnected(error) if self.end.is_none() => {
                let (loss, line, exit) = watch::lost(&error);
                if self.is_patient && loss != Loss::Garbled {
                    // A refusal says more than the end of the connection that follows it.
                    if !matches!(error, Error::Refused { .. }) {
                        self.excuse = Some((line, exit));
                    }
                    return Ok(());
                }
                // Lines may come for days: a server that was there once will be there again.
                let goes_on = self.plan.source == Source::Lines
                    && match loss {
                        Loss::Broken => true,
                        Loss::Unreachable | Loss::Dismissed => self.watch.was_online(),
                        Loss::Garbled | Loss::Closed => false,
                    };
                if loss != Loss::Closed && !goes_on {
                    self.plan.session.complain(&line);
                    self.end = Some(exit);
                }
            }
            Event::Packet(direction, note) => return self.watch.packet(&mut self.out, direction, &note),
            _ => {}
        }
        Ok(())
    }
}

/// Sends everything, waits for the acknowledgements, says good-bye.
async fn send_all(client: &Client, plan: &Publishing, payloads: Payloads) -> Exit {
    let mut pending = Pending { plan, publications: VecDeque::new(), number: 0 };
    let mut exit = Exit::OK;
    match payloads {
        Payloads::One(payload) => {
            let mut message = plan.message.clone();
            message.payload = payload;
            for i in 0..plan.repeat {
                if i > 0 && !plan.repeat_delay.is_zero() {
                    tokio::time::sleep(plan.repeat_delay).await;
                }
                pending.push(client.publish(message.clone()).await).await;
            }
        }
        Payloads::Lines(mut lines) => {
            while let Some(line) = lines.recv().await {
                match line {
                    Ok(payload) => {
                        let mut message = plan.message.clone();
                        message.payload = payload;
                        pending.push(client.publish(message).await).await;
                    }
                    Err(line) => {
                        plan.session.complain(&line);
                        exit = Exit::FAILURE;
                    }
                }
            }
        }
    }
    while !pending.publications.is_empty() {
        pending.settle_first().await;
    }
    // The connection's own end says what there is to say.
    client.disconnect(plan.session.disconnect.clone()).await.ok();
    exit
}

/// Publications under way, each with its number.
struct Pending<'a> {
    plan: &'a Publishing,
    publications: VecDeque<(u16, Publication)>,
    number: u16,
}

impl Pending<'_> {
    async fn push(&mut self, begun: Result<Publication, Error>) {
        self.number = self.number.wrapping_add(1).max(1);
        match begun {
            Ok(publication) => self.publications.push_back((self.number, publication)),
            Err(error) => self.tell(self.number, &error),
        }
        if self.publications.len() > PENDING_MAX {
            self.settle_first().await;
        }
    }

    async fn settle_first(&mut self) {
        let Some((number, publication)) = self.publications.pop_front() else { return };
        if let Err(error) = publication.await {
            self.tell(number, &error);
        }
    }

    /// A message that could not be sent, or that the server did not want, is told and no failure of the whole.
    fn tell(&self, number: u16, error: &Error) {
        let line = match error {
            Error::Refused { reason, .. } => format!("Warning: Publish {number} failed: {reason}."),
            Error::Invalid(_) => "Error: Invalid input. Does your topic contain '+' or '#'?".to_owned(),
            Error::TooLarge { .. } => "Error: Message payload is too large.".to_owned(),
            Error::Unsupported(ReasonCode::QosNotSupported) => {
                "Error: Message QoS not supported on broker, try a lower QoS.".to_owned()
            }
            Error::Unsupported(_) | Error::QueueFull | Error::Expired => format!("Error: {error}."),
            // The end of the connection is told once, for all of them.
            _ => return,
        };
        self.plan.session.complain(&line);
    }
}
