//! One direction of a bridge: what comes from one client goes to the other, and is acknowledged when that has been.

use super::mapping::{Mapping, Side};
use crate::log::Log;
use grovemq_client::{AckToken, Client, Error, Event, Events, Message, Publication, Qos, Received};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, mpsc};

/// Unfinished publications, and their bytes, above which messages of `QoS` 0 are dropped. Those of `QoS` 1 and 2 are
/// bounded by what the sender may have unacknowledged.
const UNFINISHED_MAX: usize = 10_000;
const UNFINISHED_BYTES_MAX: usize = 64 << 20;

/// What the directions and the state machine of a bridge tell each other.
#[derive(Debug)]
pub(super) struct Shared {
    start: Instant,
    /// The other broker is connected.
    pub(super) online: AtomicBool,
    /// Messages on their way to the other broker.
    pub(super) waiting: AtomicUsize,
    /// When a message passed last, in milliseconds from the start.
    activity: AtomicU64,
    /// A message has come while the other broker is away.
    pub(super) woken: Notify,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            online: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            activity: AtomicU64::new(0),
            woken: Notify::new(),
        }
    }
}

impl Shared {
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.activity.store(now, Ordering::Relaxed);
    }

    pub(super) fn last_activity(&self) -> Instant {
        self.start + std::time::Duration::from_millis(self.activity.load(Ordering::Relaxed))
    }
}

/// What becomes of messages while their receiver is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// None are kept.
    Drop,
    /// Those of `QoS` 1 and 2 are, and so many of `QoS` 0.
    Keep { qos0_max: usize },
}

/// What is special in one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) from: Side,
    /// The retain flag is passed on.
    pub(super) retain: bool,
    pub(super) away: Away,
}

pub(super) struct Relay {
    pub(super) name: String,
    pub(super) events: Events,
    pub(super) from: Client,
    pub(super) to: Client,
    pub(super) mapping: Arc<Mapping>,
    pub(super) policy: Policy,
    pub(super) shared: Arc<Shared>,
    /// For everything that is no message.
    pub(super) lifecycle: mpsc::UnboundedSender<(Side, Event)>,
    pub(super) log: Log,
    pub(super) unfinished: Unfinished,
}

/// Publications on their way, in their order.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    queue: VecDeque<Flight>,
    bytes: usize,
}

#[derive(Debug)]
struct Flight {
    publication: Publication,
    ack: Option<AckToken>,
    topic: String,
    bytes: usize,
}

impl Relay {
    /// Runs until one of the clients is closed.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                result = self.unfinished.finish() => {
                    let Some(flight) = self.unfinished.pop() else { continue };
                    self.note_waiting();
                    if !self.finished(flight, result).await {
                        return;
                    }
                }
                event = self.events.next() => match event {
                    None => return,
                    Some(Event::Message(received)) => {
                        if !self.forward(received).await {
                            return;
                        }
                    }
                    // whoever has stopped listening does not care
                    Some(event) => drop(self.lifecycle.send((self.policy.from, event))),
                }
            }
        }
    }

    /// `false`: a client is closed.
    async fn forward(&mut self, received: Received) -> bool {
        let Received { message, ack, .. } = received;
        let renamed = self.mapping.rename(self.policy.from, &message.topic).map(std::borrow::Cow::into_owned);
        let Some(topic) = renamed.filter(|_| self.has_room(&message)) else {
            return self.acknowledge(ack).await;
        };
        self.shared.touch();
        let bytes = message.queue_bytes();
        let mut message = Message { topic: topic.clone(), ..message };
        message.retain &= self.policy.retain;
        // both are about the connection it came over
        message.properties.topic_alias = None;
        message.properties.subscription_ids.clear();
        let Ok(publication) = self.to.publish(message).await else { return false };
        self.unfinished.push(Flight { publication, ack, topic, bytes });
        self.note_waiting();
        true
    }

    fn has_room(&self, message: &Message) -> bool {
        let Unfinished { queue, bytes } = &self.unfinished;
        let crowded = queue.len() >= UNFINISHED_MAX || *bytes >= UNFINISHED_BYTES_MAX;
        let is_lossy = message.qos == Qos::AtMostOnce;
        let here = self.policy.from == Side::Remote || self.shared.online.load(Ordering::Acquire);
        match self.policy.away {
            _ if here => !(is_lossy && crowded),
            Away::Drop => false,
            Away::Keep { qos0_max } => !is_lossy || (!crowded && queue.len() < qos0_max),
        }
    }

    /// `false`: a client is closed.
    async fn finished(&self, flight: Flight, result: Result<(), Error>) -> bool {
        match result {
            Ok(()) => {}
            // it stays unacknowledged, to come again
            Err(Error::Closed) => return false,
            Err(e) => {
                let (name, topic) = (&self.name, flight.topic);
                self.log.warning(format!(
                    "Warning: Bridge {name} could not pass on a message of topic '{topic}': {e}."
                ));
            }
        }
        self.acknowledge(flight.ack).await
    }

    async fn acknowledge(&self, ack: Option<AckToken>) -> bool {
        match ack {
            Some(ack) => self.from.ack(ack).await.is_ok(),
            None => true,
        }
    }

    fn note_waiting(&self) {
        if self.policy.from == Side::Local {
            self.shared.waiting.store(self.unfinished.queue.len(), Ordering::Release);
            if !self.shared.online.load(Ordering::Acquire) {
                self.shared.woken.notify_one();
            }
        }
    }
}

impl Unfinished {
    /// How the first ends; never, if there is none. To be followed by [`Self::pop`].
    async fn finish(&mut self) -> Result<(), Error> {
        match self.queue.front_mut() {
            Some(flight) => (&mut flight.publication).await.map(drop),
            None => std::future::pending().await,
        }
    }

    fn push(&mut self, flight: Flight) {
        self.bytes += flight.bytes;
        self.queue.push_back(flight);
    }

    fn pop(&mut self) -> Option<Flight> {
        let flight = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(flight.bytes);
        Some(flight)
    }
}
