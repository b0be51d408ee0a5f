//! One client of the load: it connects when it is due, then publishes, subscribes or sits there.

use super::stats::Stats;
use super::{Benching, DRAIN};
use crate::flags::instruments::Rate;
use grovemq_client::{
    Client as Connection, Disconnect, Error, Event, Events, Message, Options, Properties, Publication,
    PublishAck, Qos, Subscription,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// What everybody does at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    Connecting,
    Running { start: Instant, end: Instant },
    Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Idle,
    Publisher,
    Subscriber,
}

/// A client, before it is one.
pub(super) struct Client {
    options: Options,
    role: Role,
    /// When it is to connect.
    due: Instant,
    stats: Arc<Stats>,
    phases: watch::Receiver<Phase>,
    topics: Topics,
    qos: Qos,
    properties: Properties,
    size: usize,
    /// Between two messages of this client; none: one after the other.
    interval: Option<Duration>,
    /// How long after the others it sends its first message.
    offset: Duration,
}

/// Which topic a message goes to.
struct Topics {
    pattern: String,
    /// The number of the next message's topic, and how far to go to the one after it.
    next: u32,
    step: u32,
    count: u32,
}

impl Topics {
    fn next(&mut self) -> String {
        let topic = self.pattern.replace("%i", &self.next.to_string());
        self.next =
            u32::try_from((u64::from(self.next) + u64::from(self.step)) % u64::from(self.count.max(1)))
                .unwrap_or_default();
        topic
    }
}

impl Client {
    pub(super) fn new(
        plan: &Benching,
        number: u32,
        role: Role,
        due: Instant,
        stats: Arc<Stats>,
        phases: watch::Receiver<Phase>,
    ) -> Self {
        let publishers = if plan.publishers > 0 { plan.publishers } else { plan.clients };
        let (interval, offset) = match plan.rate {
            Rate::Max => (None, Duration::ZERO),
            Rate::PerSecond(rate) => {
                let position = number.checked_sub(plan.clients).unwrap_or(number);
                let seconds = |messages: u32| Duration::try_from_secs_f64(f64::from(messages) / rate);
                (
                    Some(seconds(publishers).unwrap_or(Duration::MAX)),
                    seconds(position).unwrap_or(Duration::MAX),
                )
            }
        };
        // those who publish for subscribers reach them by turns, the others have a topic each
        let (next, step) = match number.checked_sub(plan.clients) {
            Some(position) => (position % plan.clients.max(1), plan.publishers),
            None => (number, 0),
        };
        Self {
            options: plan.options.clone().client_id(format!("{}{number}", plan.id_prefix)),
            role,
            due,
            stats,
            phases,
            topics: Topics { pattern: plan.topic.clone(), next, step, count: plan.clients },
            qos: plan.qos,
            properties: plan.properties.clone(),
            size: plan.size,
            interval,
            offset,
        }
    }

    pub(super) async fn run(mut self) {
        let mut ending = self.phases.clone();
        tokio::select! {
            () = sleep_until(self.due) => {}
            _ = wait_for(&mut ending, is_ending) => return,
        }
        let opened = tokio::select! {
            opened = self.open() => opened,
            _ = wait_for(&mut ending, is_ending) => return,
        };
        let (connection, events) = match opened {
            Ok(online) => online,
            Err(error) => return self.stats.connection_failed(&error),
        };
        self.stats.connection_came(self.due.elapsed());
        let lost = match self.role {
            Role::Publisher => {
                drop(events);
                self.publish(&connection).await
            }
            Role::Idle | Role::Subscriber => self.listen(events).await,
        };
        match lost {
            Ok(()) => drop(timeout(DRAIN, connection.disconnect(Disconnect::default())).await),
            Err(error) => self.stats.connection_lost(&error),
        }
    }

    async fn open(&mut self) -> Result<(Connection, Events), Error> {
        let (connection, events, _) = Connection::connect(self.options.clone()).await?;
        if self.role == Role::Subscriber {
            let codes = connection.subscribe(&[Subscription::new(self.topics.next(), self.qos)]).await?;
            if let Some(code) = codes.into_iter().find(|code| code.is_error()) {
                return Err(Error::Unsupported(code));
            }
        }
        Ok((connection, events))
    }

    /// Takes what comes until the end, and a little longer for what is still on its way.
    async fn listen(&mut self, mut events: Events) -> Result<(), Error> {
        let mut phases = self.phases.clone();
        let mut is_over = false;
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                _ = wait_for(&mut phases, is_ending), if !is_over => {
                    is_over = true;
                    continue;
                }
                () = self.stats.all_came(), if is_over => return Ok(()),
            };
            let mut next = event;
            if next.is_none() {
                return Err(Error::Closed);
            }
            while let Some(event) = next {
                match event {
                    Event::Message(received) => self.stats.message_came(&received.message.payload),
                    Event::Disconnected(error) => return Err(error),
                    _ => {}
                }
                next = events.try_next();
            }
        }
    }

    async fn publish(&mut self, connection: &Connection) -> Result<(), Error> {
        let mut phases = self.phases.clone();
        let Phase::Running { start, end } = wait_for(&mut phases, |phase| phase != Phase::Connecting).await
        else {
            return Ok(());
        };
        let mut pending: VecDeque<(Instant, Publication)> = VecDeque::new();
        let mut next = start.checked_add(self.offset).unwrap_or(end);
        loop {
            let has_more = next < end;
            tokio::select! {
                biased;
                (due, outcome) = first(&mut pending), if !pending.is_empty() => {
                    self.stats.publication_ended(due.elapsed(), outcome)?;
                }
                () = until(next), if has_more && pending.len() < PENDING_MAX => {
                    let due = if self.interval.is_some() { next } else { Instant::now() };
                    let payload = self.stats.payload(due, self.size);
                    let message = Message::new(self.topics.next(), payload);
                    let message = message.qos(self.qos).properties(self.properties.clone());
                    pending.push_back((due, connection.publish(message).await?));
                    self.stats.message_sent();
                    next = match self.interval {
                        Some(interval) => next.checked_add(interval).unwrap_or(end),
                        None => Instant::now(),
                    };
                }
                _ = wait_for(&mut phases, is_ending), if has_more => next = end,
                () = sleep_until(end + DRAIN), if !has_more => return Ok(()),
            }
            if next >= end && pending.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Timers are good for a millisecond: what is due already does not wait for one.
async fn until(time: Instant) {
    if time > Instant::now() {
        sleep_until(time).await;
    }
}

fn is_ending(phase: Phase) -> bool {
    phase == Phase::Ending
}

/// Waits for such a phase; without anybody who could tell, it is the last one.
async fn wait_for(phases: &mut watch::Receiver<Phase>, is_it: impl Fn(Phase) -> bool) -> Phase {
    phases.wait_for(|phase| is_it(*phase)).await.map_or(Phase::Ending, |phase| *phase)
}

/// Publications of one client whose end is waited for. More of them wait with their times running.
const PENDING_MAX: usize = 4096;

async fn first(pending: &mut VecDeque<(Instant, Publication)>) -> (Instant, Result<PublishAck, Error>) {
    let Some((due, publication)) = pending.front_mut() else { return std::future::pending().await };
    let (due, outcome) = (*due, publication.await);
    pending.pop_front();
    (due, outcome)
}
