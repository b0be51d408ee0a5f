//! The user's two ends of the connection's task.

use crate::{
    AckToken, ConnAckInfo, Direction, Disconnect, Error, Message, Messages, Options, PacketNote, PublishAck,
    ReasonCode, Received, Refusal, Subscribe, Subscription, Unsubscribe, Version, driver,
    mailbox::{Source, mailbox},
    streams::Reader,
};
use futures_core::Stream;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// What the connection's task tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// CONNACK said yes, for the first time or again.
    Connected(ConnAckInfo),
    /// CONNACK said no. [`Event::Disconnected`] follows.
    Refused(Refusal),
    Message(Received),
    /// There is no connection any more, or an attempt at one failed. Unless [`Event::Reconnecting`] follows, this is
    /// the end.
    Disconnected(Error),
    /// The next attempt comes after this delay.
    Reconnecting {
        delay: Duration,
    },
    /// A remembered subscription could not be renewed on a new session and is forgotten.
    SubscriptionLost {
        filter: String,
        reason: ReasonCode,
    },
    /// The server goes on with an authentication exchange; answer with [`Client::auth`].
    Auth {
        reason: ReasonCode,
        data: Option<Vec<u8>>,
    },
    /// A packet went by (only with [`Options::trace`]).
    Packet(Direction, PacketNote),
}

/// A cheap handle to the connection's task; clone it freely.
///
/// Requests are carried out in the order given. While there is no connection, or the server's window is full, they
/// wait in a bounded queue: offline a full queue is [`Error::QueueFull`], online the caller is made to wait.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    closing: Arc<tokio::sync::Notify>,
    version: Version,
}

impl Client {
    /// Starts the task and returns at once; [`Events`] tells how the connection fares.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn start(options: Options) -> (Self, Events) {
        let (client, events, task) = Self::with_task(options);
        let _detached = tokio::spawn(task);
        (client, events)
    }

    /// The task is the caller's to run.
    pub(crate) fn with_task(options: Options) -> (Self, Events, impl Future<Output = ()> + Send + 'static) {
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let closing = Arc::new(tokio::sync::Notify::new());
        let (event_sink, event_source) = mailbox(options.events_bytes_max);
        let version = options.protocol.version;
        let task = driver::run(options, command_queue, Arc::clone(&closing), event_sink);
        let events = Events { source: event_source, ready: VecDeque::new(), _alive: commands.clone() };
        (Self { commands, closing, version }, events, task)
    }

    /// Starts the task and waits for the first connection. With [`Reconnect::Never`](crate::Reconnect::Never) the
    /// first failure is returned, otherwise this waits until a connection stands.
    pub async fn connect(options: Options) -> Result<(Self, Events, ConnAckInfo), Error> {
        let (client, mut events) = Self::start(options);
        let info = events.connected().await?;
        Ok((client, events, info))
    }

    /// Hands a message over; waits only for room. The [`Publication`] tells how it ended and may be dropped.
    pub async fn publish(&self, message: Message) -> Result<Publication, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Publish(message, Some(reply))).await?;
        Ok(Publication { answer })
    }

    /// Hands a message over and never hears of it again: the quickest way, meant for `QoS` 0.
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        self.command(Command::Publish(message, None)).await
    }

    /// Subscribes and waits for SUBACK: one code per filter, in order, each of which may be an error. Granted
    /// subscriptions are remembered and made again whenever the server has lost the session.
    pub async fn subscribe(&self, subscriptions: &[Subscription]) -> Result<Vec<ReasonCode>, Error> {
        self.subscribe_with(subscriptions.into()).await
    }

    /// As [`Self::subscribe`], with an identifier and user properties.
    pub async fn subscribe_with(&self, request: Subscribe) -> Result<Vec<ReasonCode>, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Subscribe(request, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Subscribes and gives the messages that match, apart from all others: they do not come as [`Event::Message`].
    /// Dropping the stream unsubscribes. A filter the server refuses is [`Error::Refused`].
    ///
    /// Messages that match and that [`Events`] has not been asked for yet come first. So nothing is missed where the
    /// server goes on with an old session and sends what it has kept before anybody could ask for it.
    ///
    /// What waits in a stream is bounded by [`Options::events_bytes_max`]: a stream that is not read stops the
    /// connection from being read, and with it all others. Streams whose filters overlap get each message once per copy
    /// that the server sends, which may be one for each of them.
    ///
    /// Cancel safe: dropped before it is done, it leaves no subscription behind.
    pub async fn subscribe_stream(&self, subscription: Subscription) -> Result<Messages, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Stream(subscription, reply)).await?;
        let (reader, granted) = answer.await.unwrap_or(Err(Error::Closed))?;
        Ok(Messages::new(reader, granted, self.commands.clone()))
    }

    /// Sends a message that asks for an answer, and waits for that. [`Error::NoAnswer`] if none comes in time.
    ///
    /// In MQTT 5 the answers of all requests come to one topic ([`Options::response_topic`]) and are told apart by their
    /// correlation data; a server that says that nobody listens to the request ends the wait at once.
    ///
    /// A message with a response topic of its own has its answer there, and in 3.x, where the message cannot say that,
    /// it is by convention the request's topic with `/response` at its end. The first message there counts, so such
    /// requests are better made one after the other. Whoever answers uses [`Received::response`].
    ///
    /// Cancel safe: dropped before it is done, the answer is dropped when it comes.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time enabled.
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<Received, Error> {
        tokio::time::timeout(timeout, self.ask(message)).await.unwrap_or(Err(Error::NoAnswer))
    }

    /// [`Self::request`] without an end.
    pub(crate) async fn ask(&self, message: Message) -> Result<Received, Error> {
        if self.version == Version::V5 && message.properties.response_topic.is_none() {
            let (reply, answer) = oneshot::channel();
            self.command(Command::Request(message, reply)).await?;
            return answer.await.unwrap_or(Err(Error::Closed));
        }
        let wanted = message.properties.correlation_data.clone().filter(|_| self.version == Version::V5);
        let own = message.properties.response_topic.clone();
        let topic = own.unwrap_or_else(|| format!("{}/response", message.topic));
        let mut answers = self.subscribe_stream(Subscription::new(topic, message.qos)).await?;
        self.publish(message).await?.await?;
        while let Some(received) = answers.next().await {
            if let Some(token) = received.ack {
                self.ack(token).await?;
            }
            if wanted.is_none() || received.message.properties.correlation_data == wanted {
                return Ok(received);
            }
        }
        Err(Error::Closed)
    }

    /// Unsubscribes and waits for UNSUBACK: one code per filter; in 3.x, which has none, all are
    /// [`ReasonCode::Success`].
    pub async fn unsubscribe<S: AsRef<str>>(&self, filters: &[S]) -> Result<Vec<ReasonCode>, Error> {
        let filters = filters.iter().map(|f| f.as_ref().to_owned()).collect();
        self.unsubscribe_with(Unsubscribe { filters, user: Vec::new() }).await
    }

    /// As [`Self::unsubscribe`], with user properties.
    pub async fn unsubscribe_with(&self, request: Unsubscribe) -> Result<Vec<ReasonCode>, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Unsubscribe(request, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Acknowledges a message ([`Options::manual_ack`]).
    pub async fn ack(&self, token: AckToken) -> Result<(), Error> {
        self.command(Command::Ack(token)).await
    }

    /// Proves anew who both sides are ([`Options::scram`]) while the connection goes on. A server that is not content ends the
    /// connection.
    pub async fn authenticate_anew(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::AuthenticateAnew(reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Goes on with an authentication exchange (MQTT 5): [`ReasonCode::ContinueAuthentication`] to answer a
    /// challenge, [`ReasonCode::ReAuthenticate`] to begin anew.
    pub async fn auth(&self, reason: ReasonCode, data: Option<Vec<u8>>) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Auth(reason, data, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Says good-bye once everything given before is sent and acknowledged, at most
    /// [`Options::disconnect_timeout`] from now; then the task ends. Returns when the transport is closed.
    pub async fn disconnect(&self, request: Disconnect) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Disconnect(request, reply)).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Says good-bye at once, whatever waits; the task ends.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| Error::Closed)
    }
}

/// How a publication ends: `QoS` 0 when it is handed to the transport, `QoS` 1 and 2 when it is acknowledged. A reason
/// code that is an error comes as [`Error::Refused`].
#[derive(Debug)]
#[must_use = "dropping it says that the outcome does not matter"]
pub struct Publication {
    answer: oneshot::Receiver<Result<PublishAck, Error>>,
}

impl Future for Publication {
    type Output = Result<PublishAck, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.answer).poll(cx)).unwrap_or(Err(Error::Closed)))
    }
}

/// What the connection's task tells, in order. Dropping it discards what comes later; messages are then
/// acknowledged and forgotten.
#[derive(Debug)]
pub struct Events {
    source: Source<Event>,
    ready: VecDeque<Event>,
    /// Keeps the connection up for one who only listens.
    _alive: mpsc::Sender<Command>,
}

impl Events {
    /// The next event; `None` when the task has ended and everything was taken.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Waits for the first connection, or the end. What comes before it and is not about it is kept.
    pub(crate) async fn connected(&mut self) -> Result<ConnAckInfo, Error> {
        let mut seen = VecDeque::new();
        let mut last = Error::Closed;
        while let Some(event) = self.next().await {
            match event {
                Event::Connected(info) => {
                    seen.append(&mut self.ready);
                    // where a stream that is opened next can still claim its messages
                    self.source.give_back(seen);
                    return Ok(info);
                }
                Event::Disconnected(error) => last = error,
                Event::Packet(..) | Event::Auth { .. } if seen.len() < COMMANDS_MAX => seen.push_back(event),
                _ => {}
            }
        }
        Err(last)
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        if self.ready.is_empty() {
            self.source.take(&mut self.ready);
        }
        self.ready.pop_front()
    }

    /// [`Self::next`] for those who write futures by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ready.is_empty() && !ready!(self.source.poll_take(cx, &mut self.ready)) {
            return Poll::Ready(None);
        }
        Poll::Ready(self.ready.pop_front())
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Self::poll_next(self.get_mut(), cx)
    }
}

/// Requests that may wait between the handles and the task.
const COMMANDS_MAX: usize = 1024;

/// What a handle asks of the task.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Message, Option<Reply<PublishAck>>),
    Subscribe(Subscribe, Reply<Vec<ReasonCode>>),
    Unsubscribe(Unsubscribe, Reply<Vec<ReasonCode>>),
    Stream(Subscription, Reply<Granted>),
    Request(Message, Reply<Received>),
    Ack(AckToken),
    AuthenticateAnew(Reply<()>),
    Auth(ReasonCode, Option<Vec<u8>>, Reply<()>),
    Disconnect(Disconnect, Reply<()>),
}

/// A stream and what the server said to it.
pub(crate) type Granted = (Reader, ReasonCode);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;
