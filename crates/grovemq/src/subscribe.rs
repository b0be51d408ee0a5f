//! `sub`: subscribes and prints what comes. `rr` does so as well, with one request and one response.

use crate::colour::Style;
use crate::exit::Exit;
use crate::flags::high::{Request, Subscribing};
use crate::format::Printed;
use crate::payload;
use crate::screen::Screen;
use crate::tally::Tally;
use crate::watch::{self, Loss, Watch};
use grovemq_auth::password::os_random;
use grovemq_client::{
    Client, Direction, Error, Event, Events, Message, PacketNote, Publication, PublishAck, Qos, ReasonCode,
    Received, Subscription, Version, topic,
};
use std::collections::VecDeque;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, interval_at, sleep_until};

/// Subscribes, prints, and gives the exit code.
pub(crate) fn run(plan: &Subscribing) -> Exit {
    let mut request = None;
    if let Some(wanted) = &plan.request {
        match payload::of_source(&wanted.source) {
            Ok(payload) => request = Some(Message { payload, ..wanted.message.clone() }),
            Err(lines) => {
                for line in &lines {
                    plan.session.complain(line);
                }
                return Exit::FAILURE;
            }
        }
    }
    crate::block_on(async {
        let out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
        let watch = Watch::new(&plan.session);
        Subscriber {
            plan,
            out,
            watch: if request.is_some() { watch.without_grants() } else { watch },
            request,
            asked: None,
            held: VecDeque::new(),
            left: plan.count,
            tally: plan.count_by.map(Tally::new),
            screen: plan.watch.then(Screen::default),
            rate: 0,
            end: None,
        }
        .run()
        .await
    })
}

const OUTPUT_BYTES: usize = 64 << 10;
const SECOND: Duration = Duration::from_secs(1);

struct Subscriber<'a, W> {
    plan: &'a Subscribing,
    out: W,
    watch: Watch,
    /// What `rr` has still to ask.
    request: Option<Message>,
    /// When it has asked.
    asked: Option<Instant>,
    /// Messages whose acknowledgement is still to be sent.
    held: VecDeque<Received>,
    /// How many messages are still to be printed.
    left: Option<u32>,
    /// Counts instead of printing.
    tally: Option<Tally>,
    screen: Option<Screen>,
    /// Messages of this second, where they are counted.
    rate: u64,
    /// How it ends, once that is certain.
    end: Option<Exit>,
}

impl<W: Write> Subscriber<'_, W> {
    async fn run(mut self) -> Exit {
        let (client, mut events) = Client::start(self.plan.session.options.clone());
        let mut asking = pin!(ask(&client, self.plan));
        let mut interrupted = pin!(crate::interrupted());
        // Without a limit the branch is off, and the time does not matter.
        let deadline = Instant::now() + self.plan.wait.unwrap_or_default();
        let mut too_late = pin!(sleep_until(deadline));
        let (mut is_online, mut is_asking, mut leaves_early) = (false, true, false);
        let mut published = None;
        let mut second = interval_at(Instant::now() + SECOND, SECOND);
        while self.end.is_none() {
            tokio::select! {
                biased;
                event = events.next() => {
                    if let Err(error) = self.take_all(event, &mut events, &client, &mut is_online).await {
                        return broken_output(&error, self.plan);
                    }
                }
                answer = &mut asking, if is_online && is_asking => {
                    is_asking = false;
                    self.answered(answer);
                    if let Some(request) = self.request.take().filter(|_| self.end.is_none()) {
                        self.asked = Some(Instant::now());
                        published = client.publish(request).await.ok();
                    }
                }
                outcome = outcome_of(&mut published), if published.is_some() => {
                    published = None;
                    // the connection's own end is told where it happens
                    if let Err(error @ (Error::Refused { .. } | Error::Unsupported(_) | Error::TooLarge { .. }))
                        = outcome
                    {
                        self.plan.session.complain(&format!("Error: {error}"));
                        self.end = Some(Exit::FAILURE);
                    }
                }
                () = &mut interrupted => {
                    leaves_early = true;
                    self.end = Some(Exit::OK);
                }
                _ = second.tick(), if self.plan.message_rate => {
                    if let Err(error) = self.print_rate() {
                        return broken_output(&error, self.plan);
                    }
                }
                () = &mut too_late, if self.plan.wait.is_some() => {
                    self.plan.session.complain("Timed out");
                    leaves_early = true;
                    self.end = Some(Exit::TIMED_OUT);
                }
            }
        }
        let printed = self.print_tally();
        if is_online {
            self.say_goodbye(&client, &mut events, leaves_early).await;
        }
        match printed {
            Ok(()) => self.end.unwrap_or(Exit::OK),
            Err(error) => broken_output(&error, self.plan),
        }
    }

    /// This event, and all that are there already.
    async fn take_all(
        &mut self,
        event: Option<Event>,
        events: &mut Events,
        client: &Client,
        is_online: &mut bool,
    ) -> io::Result<()> {
        let mut next = event;
        if next.is_none() {
            self.end = Some(Exit::FAILURE);
        }
        while let Some(event) = next.take().filter(|_| self.end.is_none()) {
            *is_online = match event {
                Event::Connected(_) => true,
                Event::Disconnected(_) => false,
                _ => *is_online,
            };
            self.take(event, client).await?;
            next = if self.end.is_none() { events.try_next() } else { None };
        }
        self.out.flush()
    }

    fn print_rate(&mut self) -> io::Result<()> {
        let count = std::mem::take(&mut self.rate);
        writeln!(self.out, "{count} messages/s").and_then(|()| self.out.flush())
    }

    fn print_tally(&mut self) -> io::Result<()> {
        match &self.tally {
            Some(tally) => tally.print(&mut self.out, self.plan.colours).and_then(|()| self.out.flush()),
            None => Ok(()),
        }
    }

    /// Shows the last packets, but no messages any more. In MQTT 5, leaving before everything came is an occasion for
    /// the will.
    async fn say_goodbye(&mut self, client: &Client, events: &mut Events, leaves_early: bool) {
        let mut request = self.plan.session.disconnect.clone();
        if leaves_early && self.plan.session.version == Version::V5 {
            request.reason = ReasonCode::DisconnectWithWill;
        }
        let goodbye = client.disconnect(request);
        let show = async {
            while let Some(event) = events.next().await {
                if let Event::Packet(direction, note) = event {
                    // There is no later line that could fail as well.
                    self.show(direction, &note).ok();
                }
            }
            self.out.flush().ok();
        };
        // An error here is the connection's end, which was wanted.
        drop(tokio::join!(goodbye, show));
    }

    async fn take(&mut self, event: Event, client: &Client) -> io::Result<()> {
        match event {
            Event::Message(received) if received.packet_id.is_some() && self.holds() => {
                self.held.push_back(received);
            }
            Event::Message(received) => return self.message(&received, client).await,
            Event::Packet(direction, note) => return self.packet(direction, &note, client).await,
            Event::Connected(info) => return self.watch.connected(&mut self.out, &info.client_id),
            Event::Refused(refusal) => {
                self.watch.release(&mut self.out)?;
                // The server has closed; the original shows that it would have said good-bye.
                self.show(Direction::Sent, &PacketNote::Disconnect { reason: ReasonCode::Success })?;
                let (line, exit) = watch::refused(&refusal);
                self.plan.session.complain(&line);
                self.end = Some(exit);
            }
            Event::Disconnected(error) => {
                // Who has a message may print it, whatever became of the acknowledgement.
                while let Some(received) = self.held.pop_front() {
                    if self.end.is_none() {
                        self.message(&received, client).await?;
                    }
                }
                self.disconnected(&error);
            }
            Event::SubscriptionLost { filter, reason } => {
                let line = format!("Warning: The subscription to '{filter}' is lost: {reason}.");
                self.plan.session.complain(&line);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether messages wait until they are acknowledged, and those of two exchanges until both are complete:
    /// ending before would leave the server with half of it.
    fn holds(&self) -> bool {
        let is_exact = |subscription: &Subscription| subscription.options.qos == Qos::ExactlyOnce;
        self.plan.session.debug || self.plan.subscribe.subscriptions.iter().any(is_exact)
    }

    async fn packet(&mut self, direction: Direction, note: &PacketNote, client: &Client) -> io::Result<()> {
        self.show(direction, note)?;
        let (Direction::Sent, PacketNote::PubAck { packet_id, .. } | PacketNote::PubComp { packet_id, .. }) =
            (direction, note)
        else {
            return Ok(());
        };
        let is_it = |held: &Received| held.packet_id.is_some_and(|id| id.get() == *packet_id);
        match self.held.iter().position(is_it).and_then(|i| self.held.remove(i)) {
            Some(received) => self.message(&received, client).await,
            None => Ok(()),
        }
    }

    fn show(&mut self, direction: Direction, note: &PacketNote) -> io::Result<()> {
        if self.plan.session.debug { self.watch.packet(&mut self.out, direction, note) } else { Ok(()) }
    }

    /// A server that cannot be reached at first ends it; later ones may come back.
    fn disconnected(&mut self, error: &Error) {
        let (loss, line, exit) = watch::lost(error);
        match loss {
            Loss::Broken if self.plan.request.is_none() => {}
            Loss::Unreachable if self.watch.was_online() => {}
            Loss::Dismissed | Loss::Closed => self.end = Some(Exit::OK),
            Loss::Broken | Loss::Unreachable | Loss::Garbled => {
                self.plan.session.complain(&line);
                self.end = Some(exit);
            }
        }
    }

    fn answered(&mut self, answer: Result<Vec<ReasonCode>, Error>) {
        match answer {
            Ok(codes) if codes.iter().all(|code| code.is_error()) => {
                self.plan.session.complain("All subscription requests were denied.");
                self.end = Some(Exit::OK);
            }
            Ok(_) if self.plan.exit_after_suback => self.end = Some(Exit::OK),
            // The end of the connection is told where it happens.
            Ok(_) | Err(Error::Closed | Error::ConnectionLost | Error::Protocol(_)) => {}
            Err(error) => {
                self.plan.session.complain(&format!("Error: {error}"));
                self.end = Some(Exit::FAILURE);
            }
        }
    }

    async fn message(&mut self, received: &Received, client: &Client) -> io::Result<()> {
        let message = &received.message;
        if self.plan.retained_only && !message.retain {
            // Our own removals come back as well, perhaps before the last retained message.
            if !(self.plan.remove_retained && message.payload.is_empty()) {
                self.end = Some(Exit::OK);
            }
            return Ok(());
        }
        if self.plan.filter_out.iter().any(|filter| topic::matches(filter, &message.topic)) {
            return Ok(());
        }
        if message.retain && self.plan.remove_retained {
            let removal = Message::new(&message.topic, "").qos(Qos::AtLeastOnce).retain(true);
            // Whether it worked shows with the next subscription.
            drop(client.publish(removal).await);
        }
        if message.retain && self.plan.no_retained {
            return Ok(());
        }
        self.rate += 1;
        match &mut self.tally {
            Some(tally) => tally.add(&message.topic),
            None if self.plan.message_rate || !is_chosen(self.plan.random_filter) => {}
            None => self.print(received)?,
        }
        if let (Some(Request { latency: true, .. }), Some(asked)) = (&self.plan.request, self.asked) {
            crate::complain(&format!("Latency: {:.3} ms", asked.elapsed().as_secs_f64() * 1000.0));
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                self.end = Some(Exit::OK);
            }
        }
        Ok(())
    }

    fn print(&mut self, received: &Received) -> io::Result<()> {
        let Some(screen) = &mut self.screen else { return print(self.plan, &mut self.out, received) };
        let mut line = Vec::new();
        print(self.plan, &mut line, received)?;
        screen.show(&mut self.out, &received.message.topic, &line)
    }
}

/// Prints a message as the options want it.
fn print(plan: &Subscribing, out: &mut dyn Write, received: &Received) -> io::Result<()> {
    let message = &received.message;
    let line_end: &[u8] = if plan.line_end { b"\n" } else { b"" };
    if let Some(format) = &plan.format {
        if format.print(out, received, plan.pretty)? == Printed::NotJson {
            let topic = &message.topic;
            let line = format!("Error: Message payload is not valid JSON on topic {topic}.");
            plan.session.complain(&line);
        }
        return out.write_all(line_end);
    }
    let colours = plan.colours;
    let topic = colours.paint(if message.retain { Style::Retained } else { Style::Topic }, &message.topic);
    if message.payload.is_empty() {
        let shown = plan.verbose && plan.line_end;
        let null = colours.paint(Style::Aside, "(null)");
        return if shown { writeln!(out, "{topic} {null}") } else { Ok(()) };
    }
    if plan.verbose {
        write!(out, "{topic} ")?;
    }
    out.write_all(&message.payload)?;
    out.write_all(line_end)
}

/// Whether chance wants a message printed; without chance, all are.
fn is_chosen(per_thousand: Option<u32>) -> bool {
    let Some(per_thousand) = per_thousand else { return true };
    let mut bytes = [0; 4];
    let drawn = os_random(&mut bytes).map(|()| u32::from_le_bytes(bytes) % 1000);
    drawn.is_ok_and(|drawn| drawn < per_thousand)
}

async fn outcome_of(published: &mut Option<Publication>) -> Result<PublishAck, Error> {
    match published {
        Some(publication) => publication.await,
        None => std::future::pending().await,
    }
}

/// Both requests go out at once; the answer is that to the subscription.
async fn ask(client: &Client, plan: &Subscribing) -> Result<Vec<ReasonCode>, Error> {
    let subscribed = client.subscribe_with(plan.subscribe.clone());
    let unsubscribed = async {
        match plan.unsubscribe.clone() {
            Some(request) => client.unsubscribe_with(request).await.map(drop),
            None => Ok(()),
        }
    };
    let (answer, unsubscribed) = tokio::join!(subscribed, unsubscribed);
    unsubscribed.and(answer)
}

/// A reader that has seen enough is no failure.
fn broken_output(error: &io::Error, plan: &Subscribing) -> Exit {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Exit::OK;
    }
    plan.session.complain(&format!("Error: {error}"));
    Exit::FAILURE
}
