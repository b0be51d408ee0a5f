//! The task that owns the connection: it moves bytes between a transport and the protocol machine, requests into it
//! and events out of it, and decides when to connect again.

mod commands;

use crate::{
    Disconnect, Error, Event, Options, ReasonCode, Received, Version,
    backoff::{self, Backoff},
    handle::{Command, Reply},
    inbox::Inbox,
    keeper::Keeper,
    mailbox::Sink,
    replies::{Replies, answer},
    scram::Exchange,
    streams::Streams,
    transport::{self, Stream},
};
use grovemq_auth::scram::METHOD;
use grovemq_core::client::{self as core, Protocol, Time};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::ReadBuf,
    sync::{Notify, futures::Notified, mpsc},
    time::{Instant, Sleep, sleep_until, timeout},
};

/// Room for reading at first, and how far a busy connection makes it grow. A packet that does not fit makes it grow
/// further, as its bytes arrive.
const INPUT_BYTES_MIN: usize = 8 << 10;
const INPUT_BYTES_BUSY: usize = 256 << 10;

/// While this much output waits for the socket, no further requests are taken.
const OUTPUT_BYTES_HIGH: usize = 1 << 20;

/// Requests taken in one turn.
const COMMANDS_PER_TURN: usize = 256;

/// Turns before other tasks get theirs.
const TURNS_PER_POLL: usize = 4;

/// How long the last bytes may take to leave when the connection ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn run(
    options: Options,
    commands: mpsc::Receiver<Command>,
    closing: Arc<Notify>,
    sink: Sink<Event>,
) {
    let mut backoff = Backoff::new(options.reconnect);
    let mut task = Task::new(options, commands, sink);
    let mut closing = pin!(closing.notified());
    if let Err(error) = task.load().await {
        task.tell_lost(error.clone(), None);
        return task.finish(&error).await;
    }
    loop {
        let error = match task.connect(closing.as_mut()).await {
            Ok(mut stream) => task.serve(stream.as_mut(), closing.as_mut()).await,
            Err(error) => error,
        };
        if let Some(since) = task.online_since.take() {
            backoff.connection_lasted(since.elapsed());
        }
        let delay = if task.is_finished() { None } else { backoff.next(backoff::random()) };
        task.tell_lost(error.clone(), delay);
        let Some(delay) = delay else { return task.finish(&error).await };
        task.wait(delay, closing.as_mut()).await;
        if task.is_finished() {
            return task.finish(&Error::Closed).await;
        }
    }
}

/// What the user has said about ending.
#[derive(Debug)]
enum Ending {
    No,
    /// After everything else, or when the timer for it ends.
    Soon(Disconnect),
    Now,
}

struct Task {
    options: Arc<Options>,
    protocol: Protocol,
    commands: mpsc::Receiver<Command>,
    sink: Sink<Event>,
    replies: Replies,
    streams: Streams,
    keeper: Option<Keeper>,
    scram: Option<Exchange>,
    /// Events of this turn, handed over together.
    batch: VecDeque<Event>,
    ending: Ending,
    /// When [`Ending::Soon`] becomes [`Ending::Now`].
    ending_timer: Option<Pin<Box<Sleep>>>,
    goodbyes: Vec<Reply<()>>,
    online_since: Option<Instant>,
    /// The protocol's epoch.
    start: Instant,
    input: Input,
    output: Output,
    /// The protocol has ended the connection, for this reason.
    over: Option<Error>,
}

#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// The stream may hold some of it back.
    unflushed: bool,
}

impl Output {
    fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }
}

impl Task {
    fn new(options: Options, commands: mpsc::Receiver<Command>, sink: Sink<Event>) -> Self {
        let mut config = options.protocol.clone();
        if options.store.is_some() {
            config.clean_start = false;
            config.session_expiry.get_or_insert(u32::MAX);
        }
        if config.client_id.is_empty() && config.version == Version::V31 {
            config.client_id = backoff::random_client_id();
        }
        Self {
            protocol: Protocol::new(config),
            scram: options.scram.clone().map(Exchange::new),
            replies: Replies::new(Inbox::new(options.response_topic.clone(), &options.protocol.client_id)),
            keeper: options.store.clone().map(Keeper::new),
            options: Arc::new(options),
            commands,
            sink,
            streams: Streams::new(),
            batch: VecDeque::new(),
            ending: Ending::No,
            ending_timer: None,
            goodbyes: Vec::new(),
            online_since: None,
            start: Instant::now(),
            input: Input::default(),
            output: Output::default(),
            over: None,
        }
    }

    /// Takes up what an earlier run of the program has kept.
    async fn load(&mut self) -> Result<(), Error> {
        let now = self.now();
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        if self.protocol.client_id().is_empty() {
            return Err(Error::Setup("a session that is kept needs a client id".to_owned()));
        }
        keeper.load(&mut self.protocol, now).await
    }

    /// Opens the transport, taking requests meanwhile.
    async fn connect(&mut self, mut closing: Pin<&mut Notified<'_>>) -> Result<Box<dyn Stream>, Error> {
        let options = Arc::clone(&self.options);
        let mut opening = pin!(transport::open(&options));
        poll_fn(|cx| {
            if self.poll_offline(cx, closing.as_mut()).is_ready() {
                return Poll::Ready(Err(Error::Closed));
            }
            opening.as_mut().poll(cx)
        })
        .await
    }

    /// Sits out the delay, taking requests meanwhile.
    async fn wait(&mut self, delay: Duration, mut closing: Pin<&mut Notified<'_>>) {
        let mut sleep = pin!(sleep_until(Instant::now() + delay));
        poll_fn(|cx| match self.poll_offline(cx, closing.as_mut()) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => sleep.as_mut().poll(cx),
        })
        .await;
    }

    /// Takes requests without a connection. Ready: the user wants to end.
    fn poll_offline(&mut self, cx: &mut Context<'_>, mut closing: Pin<&mut Notified<'_>>) -> Poll<()> {
        self.poll_ending(cx, closing.as_mut());
        self.poll_abandoned(cx);
        while matches!(self.ending, Ending::No) {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.command(command),
                Poll::Ready(None) => self.end_soon(Disconnect::default()),
                Poll::Pending => break,
            }
        }
        // Once more, for the timer that a request may have set.
        self.poll_ending(cx, closing);
        self.deliver();
        // an error is told when there is a connection that it ends
        let _kept = self.poll_keep(cx);
        if self.is_finished() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Runs one connection to its end and says why it ended.
    async fn serve(&mut self, stream: &mut dyn Stream, mut closing: Pin<&mut Notified<'_>>) -> Error {
        self.over = None;
        if let Some(keeper) = &mut self.keeper {
            keeper.try_again();
        }
        self.input.filled = 0;
        self.output = Output::default();
        if let Err(error) = self.begin() {
            self.protocol.handle_disconnected();
            self.ending = Ending::Now; // The same words would fail again.
            return error;
        }
        let mut sleep = pin!(sleep_until(self.start));
        let result = poll_fn(|cx| self.poll_serve(cx, stream, closing.as_mut(), sleep.as_mut())).await;
        let error = match (self.over.take(), result) {
            (Some(over), _) => {
                self.flush(stream).await;
                over
            }
            (None, Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Error::ConnectionLost,
            (None, Err(error)) => error.into(),
            (None, Ok(())) => Error::Closed,
        };
        self.protocol.handle_disconnected();
        self.deliver();
        if let Some(scram) = &mut self.scram {
            scram.stop(&error);
        }
        error
    }

    /// CONNECT.
    fn begin(&mut self) -> Result<(), Error> {
        if let Some(scram) = &mut self.scram {
            let first = scram.begin(self.options.protocol.version)?;
            self.protocol.prove(METHOD, first);
        }
        Ok(self.protocol.handle_connected(self.now())?)
    }

    /// Turn after turn while something moves. Ready: the connection is over.
    fn poll_serve(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn Stream,
        mut closing: Pin<&mut Notified<'_>>,
        mut sleep: Pin<&mut Sleep>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..TURNS_PER_POLL {
            if self.keeper.as_ref().is_some_and(Keeper::is_saving) && self.poll_keep(cx).is_pending() {
                return Poll::Pending;
            }
            let mut moved = self.poll_read(cx, stream)?;
            moved |= self.poll_abandoned(cx);
            moved |= self.poll_commands(cx);
            moved |= self.poll_time(cx, sleep.as_mut());
            moved |= self.poll_scram(cx);
            self.poll_ending(cx, closing.as_mut());
            self.end_when_asked();
            self.deliver();
            ready!(self.poll_keep(cx));
            match self.poll_write(cx, stream) {
                Ok(written) => moved |= written,
                // The server may have said why before it closed.
                Err(error) => {
                    let _secondary = self.poll_read(cx, stream);
                    self.deliver();
                    return Poll::Ready(if self.over.is_some() { Ok(()) } else { Err(error) });
                }
            }
            if self.over.is_some() {
                return Poll::Ready(Ok(()));
            }
            if !moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, stream: &mut dyn Stream) -> io::Result<bool> {
        let reading = self.sink.poll_room(cx).is_ready() & self.streams.poll_room(cx).is_ready();
        let now = self.now();
        self.protocol.handle_reading(now, reading);
        if !reading {
            return Ok(false);
        }
        let input = &mut self.input;
        if input.filled == input.bytes.len() {
            // Grows with what has arrived, not with what was announced.
            input.bytes.resize((input.bytes.len() * 2).max(INPUT_BYTES_MIN), 0);
        }
        let mut room = ReadBuf::new(input.bytes.get_mut(input.filled..).unwrap_or_default());
        match Pin::new(stream).poll_read(cx, &mut room) {
            Poll::Pending => return Ok(false),
            Poll::Ready(result) => result?,
        }
        if room.filled().is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let busy = room.remaining() == 0;
        input.filled += room.filled().len();
        let taken = self.protocol.handle_input(now, input.bytes.get(..input.filled).unwrap_or_default());
        if taken > 0 {
            input.bytes.copy_within(taken..input.filled, 0);
            input.filled -= taken;
        }
        if busy && input.bytes.len() < INPUT_BYTES_BUSY {
            input.bytes.resize(input.bytes.len() * 2, 0);
        } else if input.filled == 0 && input.bytes.len() > INPUT_BYTES_BUSY {
            input.bytes.truncate(INPUT_BYTES_BUSY);
            input.bytes.shrink_to_fit();
        }
        Ok(true)
    }

    /// Takes requests as long as the protocol has room; online, users wait instead of being refused.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        for taken in 0..COMMANDS_PER_TURN {
            let crowded = self.protocol.is_online() && self.protocol.is_full();
            if crowded || self.output.bytes.len() - self.output.written > OUTPUT_BYTES_HIGH {
                return taken > 0;
            }
            if !matches!(self.ending, Ending::No) {
                return taken > 0;
            }
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.command(command),
                Poll::Ready(None) => self.end_soon(Disconnect::default()),
                Poll::Pending => return taken > 0,
            }
        }
        true
    }

    /// Ready when everything done is kept, so that the server may hear of it; a store that refuses ends the connection.
    fn poll_keep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(keeper) = &mut self.keeper else { return Poll::Ready(()) };
        if let Err(error) = ready!(keeper.poll(cx, &mut self.protocol)) {
            self.over.get_or_insert(error);
        }
        Poll::Ready(())
    }

    /// Ends subscriptions whose streams were dropped.
    fn poll_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(filter) = self.streams.poll_abandoned(cx) {
            self.abandon(filter);
            moved = true;
        }
        moved
    }

    fn poll_time(&mut self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> bool {
        let mut moved = false;
        loop {
            let Some(next) = self.protocol.next_timeout() else { return moved };
            let next = self.start + Duration::from_millis(next.0);
            // A timer that ends too early is cheaper than one that moves with every packet.
            if next < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(next);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return moved;
            }
            let now = self.now();
            self.protocol.handle_timeout(now);
            moved = true;
        }
    }

    fn poll_scram(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Poll::Ready(made)) = self.scram.as_mut().map(|scram| scram.poll_answer(cx)) else {
            return false;
        };
        let now = self.now();
        let sent = made.and_then(|answer| {
            Ok(self.protocol.answer(now, answer.message.as_bytes(), answer.expected.into_bytes())?)
        });
        if let Err(error) = sent {
            self.over.get_or_insert(error);
        }
        true
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut dyn Stream) -> io::Result<bool> {
        let mut moved = false;
        loop {
            if self.output.is_empty() {
                self.output.bytes.clear();
                self.output.written = 0;
                if self.keeper.as_ref().is_some_and(|keeper| keeper.owes(&self.protocol)) {
                    return Ok(true);
                }
                let now = self.now();
                if !self.protocol.poll_output(now, &mut self.output.bytes) {
                    if self.output.unflushed
                        && let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(cx)
                    {
                        flushed?;
                        self.output.unflushed = false;
                    }
                    return Ok(moved);
                }
                self.deliver();
            }
            let rest = self.output.bytes.get(self.output.written..).unwrap_or_default();
            match Pin::new(&mut *stream).poll_write(cx, rest) {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    self.output.written += written;
                    self.output.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
            moved = true;
        }
    }

    fn poll_ending(&mut self, cx: &mut Context<'_>, closing: Pin<&mut Notified<'_>>) {
        if matches!(self.ending, Ending::Now) {
            return;
        }
        let late = self.ending_timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if late || closing.poll(cx).is_ready() {
            self.ending = Ending::Now;
        }
    }

    /// Says good-bye when it is time to.
    fn end_when_asked(&mut self) {
        let request = match &self.ending {
            Ending::Soon(request) if self.protocol.is_drained() && self.output.is_empty() => request.clone(),
            Ending::No | Ending::Soon(_) => return,
            Ending::Now => Disconnect::default(),
        };
        let _unsendable = self.protocol.disconnect(&request);
        self.ending = Ending::Now;
        self.over.get_or_insert(Error::Closed);
    }

    fn end_soon(&mut self, request: Disconnect) {
        if matches!(self.ending, Ending::No) {
            self.ending = Ending::Soon(request);
            self.ending_timer = Some(Box::pin(sleep_until(Instant::now() + self.options.disconnect_timeout)));
        }
    }

    /// Hands the protocol's events to those they are for.
    fn deliver(&mut self) {
        while let Some(event) = self.protocol.poll_event() {
            let event = match event {
                core::Event::Message(received) => match self.route(received) {
                    Some(received) => Event::Message(received),
                    None => continue,
                },
                core::Event::Published { token, result } => {
                    self.replies.published(token, result);
                    continue;
                }
                core::Event::Subscribed { token, result } | core::Event::Unsubscribed { token, result } => {
                    self.replies.subscribed(token, result);
                    continue;
                }
                core::Event::Closed(error) => {
                    self.over.get_or_insert(error.into());
                    continue;
                }
                core::Event::Connected(info) => {
                    self.online_since = Some(Instant::now());
                    Event::Connected(info)
                }
                core::Event::Refused(refusal) => Event::Refused(refusal),
                core::Event::SubscriptionLost { filter, reason } => {
                    self.streams.lost(&filter);
                    self.replies.inbox.lost(&filter, reason);
                    Event::SubscriptionLost { filter, reason }
                }
                core::Event::Auth { reason, data } => match &mut self.scram {
                    None => Event::Auth { reason, data },
                    Some(scram) => {
                        match reason {
                            ReasonCode::Success => scram.confirmed(),
                            _ => scram.challenged(data.unwrap_or_default()),
                        }
                        continue;
                    }
                },
                core::Event::Packet(direction, note) => Event::Packet(direction, note),
            };
            self.batch.push_back(event);
        }
        self.streams.flush();
        self.sink.push(&mut self.batch);
    }

    /// Gives a message to the request or the streams it is for; back if it is for nobody but [`Events`](crate::Events).
    fn route(&mut self, received: Received) -> Option<Received> {
        let ack = received.ack;
        let Some(received) = self.replies.inbox.route(received) else {
            // an answer is acknowledged by being one
            if let Some(token) = ack {
                self.protocol.ack(self.now(), token);
            }
            return None;
        };
        self.streams.route(received)
    }

    /// Writes what is left and closes, without waiting for ever.
    async fn flush(&mut self, stream: &mut dyn Stream) {
        let (mut shut, mut unread) = (false, false);
        let flushing = poll_fn(|cx| -> Poll<io::Result<()>> {
            if !shut {
                self.poll_write(cx, stream)?;
                if !self.output.is_empty() {
                    return Poll::Pending;
                }
                ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                shut = true;
            }
            // To close with bytes unread would reset the connection, and the server might never see our last packet:
            // where there are any, read to the end.
            loop {
                let mut waste = [0; 4096];
                let mut waste = ReadBuf::new(&mut waste);
                match Pin::new(&mut *stream).poll_read(cx, &mut waste)? {
                    Poll::Ready(()) if waste.filled().is_empty() => return Poll::Ready(Ok(())),
                    Poll::Ready(()) => unread = true,
                    Poll::Pending if unread => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(())),
                }
            }
        });
        // The connection is over either way, and its reason is known.
        drop(timeout(FLUSH_TIMEOUT, flushing).await);
    }

    fn tell_lost(&mut self, error: Error, delay: Option<Duration>) {
        self.batch.push_back(Event::Disconnected(error));
        if let Some(delay) = delay {
            self.batch.push_back(Event::Reconnecting { delay });
        }
        self.sink.push(&mut self.batch);
    }

    /// The end: what is to be kept is kept, and nobody is left waiting.
    async fn finish(mut self, error: &Error) {
        if let Some(keeper) = &mut self.keeper {
            keeper.try_again();
            poll_fn(|cx| self.poll_keep(cx)).await;
        }
        self.commands.close();
        self.replies.fail_all(error);
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Disconnect(_, reply) = command {
                self.goodbyes.push(reply);
            }
        }
        for reply in self.goodbyes.drain(..) {
            answer(reply, if *error == Error::Closed { Ok(()) } else { Err(error.clone()) });
        }
    }

    fn is_finished(&self) -> bool {
        match self.ending {
            Ending::No => false,
            Ending::Soon(_) => self.protocol.is_drained(),
            Ending::Now => true,
        }
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
