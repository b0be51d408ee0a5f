//! The client for programs without `async`: the same names, and each call waits for its answer.
//!
//! A thread of its own carries the connection, with all that runs in it. It ends with the connection's task: when
//! [`Client`] and [`Events`] are dropped, or after [`Client::disconnect`].
//!
//! ```no_run
//! use grovemq_client::{Event, Message, Options, Qos, Subscription, blocking::Client};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), grovemq_client::Error> {
//! let (client, mut events, _info) = Client::connect(Options::new("localhost", 1883).client_id("porch"))?;
//! client.subscribe(&[Subscription::new("garden/+/light", Qos::AtLeastOnce)])?;
//! client.publish(Message::new("garden/1/light", "on").qos(Qos::AtLeastOnce))?.wait()?;
//! while let Some(event) = events.next_timeout(Duration::from_secs(60)) {
//!     if let Event::Message(received) = event {
//!         println!("{}: {:?}", received.message.topic, received.message.payload);
//!     }
//! }
//! client.disconnect(Default::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! Several threads may use one connection: [`Client`] can be cloned. Not to be called from `async` code, whose thread
//! it would block.

use crate::{
    AckToken, ConnAckInfo, Disconnect, Error, Event, Message, Options, PublishAck, ReasonCode, Received,
    Subscribe, Subscription, Unsubscribe,
};
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// [`Client`](crate::Client), waiting.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
}

impl Client {
    /// Starts the connection's thread and returns at once; [`Events`] tells how it fares. [`Error::Io`] if there is no
    /// thread to be had.
    pub fn start(options: Options) -> Result<(Self, Events), Error> {
        let (inner, events, task) = crate::Client::with_task(options);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("mqtt".to_owned()).spawn(move || {
            runtime.block_on(task);
            // a name that is still being resolved is not waited for
            runtime.shutdown_background();
        })?;
        Ok((Self { inner }, Events { inner: events }))
    }

    /// Starts the connection's thread and waits for the first connection, as
    /// [`Client::connect`](crate::Client::connect) does.
    pub fn connect(options: Options) -> Result<(Self, Events, ConnAckInfo), Error> {
        let (client, mut events) = Self::start(options)?;
        let info = wait(events.inner.connected())?;
        Ok((client, events, info))
    }

    /// Hands a message over; waits only for room. The [`Publication`] tells how it ended and may be dropped.
    pub fn publish(&self, message: Message) -> Result<Publication, Error> {
        Ok(Publication { inner: wait(self.inner.publish(message))? })
    }

    /// Hands a message over and never hears of it again: the quickest way, meant for `QoS` 0.
    pub fn send(&self, message: Message) -> Result<(), Error> {
        wait(self.inner.send(message))
    }

    /// Subscribes and waits for SUBACK: one code per filter, in order, each of which may be an error.
    pub fn subscribe(&self, subscriptions: &[Subscription]) -> Result<Vec<ReasonCode>, Error> {
        wait(self.inner.subscribe(subscriptions))
    }

    /// As [`Self::subscribe`], with an identifier and user properties.
    pub fn subscribe_with(&self, request: Subscribe) -> Result<Vec<ReasonCode>, Error> {
        wait(self.inner.subscribe_with(request))
    }

    /// Subscribes and gives the messages that match, as
    /// [`Client::subscribe_stream`](crate::Client::subscribe_stream) does.
    pub fn subscribe_stream(&self, subscription: Subscription) -> Result<Messages, Error> {
        Ok(Messages { inner: wait(self.inner.subscribe_stream(subscription))? })
    }

    /// Sends a message that asks for an answer and waits for that, as [`Client::request`](crate::Client::request) does.
    pub fn request(&self, message: Message, timeout: Duration) -> Result<Received, Error> {
        let deadline = Instant::now().checked_add(timeout);
        wait_until(self.inner.ask(message), deadline).unwrap_or(Err(Error::NoAnswer))
    }

    /// Unsubscribes and waits for UNSUBACK: one code per filter.
    pub fn unsubscribe<S: AsRef<str>>(&self, filters: &[S]) -> Result<Vec<ReasonCode>, Error> {
        wait(self.inner.unsubscribe(filters))
    }

    /// As [`Self::unsubscribe`], with user properties.
    pub fn unsubscribe_with(&self, request: Unsubscribe) -> Result<Vec<ReasonCode>, Error> {
        wait(self.inner.unsubscribe_with(request))
    }

    /// Acknowledges a message ([`Options::manual_ack`]).
    pub fn ack(&self, token: AckToken) -> Result<(), Error> {
        wait(self.inner.ack(token))
    }

    /// Goes on with an authentication exchange, as [`Client::auth`](crate::Client::auth) does.
    pub fn auth(&self, reason: ReasonCode, data: Option<Vec<u8>>) -> Result<(), Error> {
        wait(self.inner.auth(reason, data))
    }

    /// Says good-bye once everything given before is sent and acknowledged, at most
    /// [`Options::disconnect_timeout`] from now. Returns when the transport is closed.
    pub fn disconnect(&self, request: Disconnect) -> Result<(), Error> {
        wait(self.inner.disconnect(request))
    }

    /// Says good-bye at once, whatever waits.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// How a publication ends; see [`Publication`](crate::Publication).
#[derive(Debug)]
#[must_use = "dropping it says that the outcome does not matter"]
pub struct Publication {
    inner: crate::Publication,
}

impl Publication {
    pub fn wait(self) -> Result<PublishAck, Error> {
        wait(self.inner)
    }
}

/// What the connection tells, in order: an iterator that ends with the connection's task. Dropping it discards what
/// comes later.
#[derive(Debug)]
pub struct Events {
    inner: crate::Events,
}

impl Events {
    /// The next event, if one comes in time; `None` as well when the task has ended and everything was taken.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Event> {
        wait_until(self.inner.next(), Instant::now().checked_add(timeout)).flatten()
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.inner.try_next()
    }
}

impl Iterator for Events {
    type Item = Event;

    /// Waits for the next event; `None` when the task has ended and everything was taken.
    fn next(&mut self) -> Option<Event> {
        wait(self.inner.next())
    }
}

/// The messages of one subscription; see [`Messages`](crate::Messages). An iterator that waits for each.
#[derive(Debug)]
#[must_use = "dropping it unsubscribes"]
pub struct Messages {
    inner: crate::Messages,
}

impl Messages {
    /// The next message, if one comes in time; `None` as well when there will be no more.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Received> {
        wait_until(self.inner.next(), Instant::now().checked_add(timeout)).flatten()
    }

    /// Ends the stream and leaves the subscription; see [`Messages::detach`](crate::Messages::detach).
    pub fn detach(self) {
        self.inner.detach();
    }

    /// The next message if there is one now.
    pub fn try_next(&mut self) -> Option<Received> {
        self.inner.try_next()
    }
}

impl Iterator for Messages {
    type Item = Received;

    /// Waits for the next message; `None` when there will be no more.
    fn next(&mut self) -> Option<Received> {
        wait(self.inner.next())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that needs no runtime: those of the handles are channels.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        // without a deadline there is always a value
        if let Some(value) = wait_until(future.as_mut(), None) {
            return value;
        }
    }
}

/// The same up to a point in time; without one for ever.
fn wait_until<T>(future: impl Future<Output = T>, deadline: Option<Instant>) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}
