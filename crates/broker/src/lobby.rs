//! Threads in which connections shake hands for TLS. That may take milliseconds of computing, which is not the event
//! loops' concern.

use crate::event_loop::WAKE;
use crate::inbox::{Arrival, Inbox, Letter};
use crate::limits::EVENTS;
use crate::log::Log;
use crate::reception::{Newcomer, Reception};
use grovemq_core::Time;
use mio::{Events, Poll, Waker};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The way into a lobby.
#[derive(Clone, Debug)]
pub(crate) struct LobbyDoor {
    sender: Sender<Newcomer>,
    waker: Arc<Waker>,
}

impl LobbyDoor {
    pub(crate) fn enter(&self, newcomer: Newcomer) {
        if self.sender.send(newcomer).is_ok() {
            self.waker.wake().ok();
        }
    }

    pub(crate) fn wake(&self) {
        self.waker.wake().ok();
    }
}

pub(crate) struct Lobby {
    poll: Poll,
    newcomers: Receiver<Newcomer>,
    reception: Reception,
    inboxes: Vec<Arc<Inbox>>,
    /// The shard that gets the next one.
    next: usize,
    epoch: Instant,
    stop: Arc<AtomicBool>,
}

impl Lobby {
    pub(crate) fn new(
        inboxes: Vec<Arc<Inbox>>,
        stop: Arc<AtomicBool>,
        log: Log,
    ) -> io::Result<(Self, LobbyDoor)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, newcomers) = channel();
        let (reception, epoch) = (Reception::new(0, log), Instant::now());
        let lobby = Self { poll, newcomers, reception, inboxes, next: 0, epoch, stop };
        Ok((lobby, LobbyDoor { sender, waker }))
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stop.load(Ordering::Acquire) {
            let now = self.now();
            // one millisecond more, so that the deadline has passed on waking
            let timeout = self.reception.next_timeout();
            let timeout = timeout.map(|at| Duration::from_millis(at.0.saturating_sub(now.0) + 1));
            match self.poll.poll(&mut events, timeout) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            for event in &events {
                if event.token() != WAKE {
                    let arrival = self.reception.advance(self.poll.registry(), event.token());
                    self.hand_over(arrival);
                }
            }
            while let Ok(newcomer) = self.newcomers.try_recv() {
                let now = self.now();
                let arrival = self.reception.receive(self.poll.registry(), now, newcomer);
                self.hand_over(arrival);
            }
            self.reception.expire(self.now());
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn hand_over(&mut self, arrival: Option<Arrival>) {
        let Some(arrival) = arrival else { return };
        self.next = (self.next + 1) % self.inboxes.len().max(1);
        if let Some(inbox) = self.inboxes.get(self.next) {
            inbox.post(Letter::Accepted(arrival));
        }
    }
}
