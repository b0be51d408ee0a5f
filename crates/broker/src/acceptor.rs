//! Accepts connections for all shards, as a part of the first shard's loop: a thread of its own would cost each
//! connection two more changes of thread. So would one for a PROXY header or a WebSocket upgrade, which are short; only TLS has
//! its own.

use crate::inbox::{Arrival, Permit};
use crate::limits::{ACCEPT_PAUSE, ACCEPTS_PER_TURN};
use crate::lobby::LobbyDoor;
use crate::log::Log;
use crate::observer::address;
use crate::reception::{Newcomer, Reception};
use crate::tls::{Entries, Rules};
use grovemq_core::Time;
use grovemq_core::observe::Peer;
use grovemq_net::Listener;
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// The token of the first door; those of the others count down from it.
const FIRST: usize = usize::MAX - 1;
/// From here on, tokens of connections that are made ready.
const RECEPTION: usize = usize::MAX / 2;

/// In the unit of [`Time`].
const SECOND: u64 = 1000;

/// A socket and the configured listener it belongs to.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) index: u16,
    /// Connections of this listener, and the most there may be.
    pub(crate) count: Arc<AtomicUsize>,
    pub(crate) max: Option<usize>,
    /// The most within a second.
    pub(crate) rate: Option<u32>,
    /// For connections that are made ready first.
    pub(crate) rules: Option<Arc<Rules>>,
}

/// What becomes of the doors when the configuration changes.
#[derive(Debug)]
pub(crate) struct DoorChange {
    /// By the number of the listener an open door has had: what it is from now on. Doors not named are closed.
    pub(crate) kept: BTreeMap<u16, DoorTerms>,
    pub(crate) opened: Vec<Door>,
    pub(crate) lobbies: Vec<LobbyDoor>,
    pub(crate) total_max: Option<usize>,
}

/// A door's part in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct DoorTerms {
    pub(crate) index: u16,
    pub(crate) max: Option<usize>,
    pub(crate) rate: Option<u32>,
    pub(crate) rules: Option<Arc<Rules>>,
}

/// How many connections of a listener were accepted in the second that runs.
#[derive(Debug, Default)]
struct Pace {
    since: Time,
    count: u32,
    /// That it rests was said; not again before a second in which it need not have.
    told: bool,
}

#[derive(Debug)]
pub(crate) struct Acceptor {
    /// By token; places of closed doors are free.
    doors: Vec<Option<Door>>,
    /// Doors that may have more to accept.
    busy: Vec<bool>,
    /// Doors that rest, by their places, and until when.
    resting: BTreeMap<usize, Time>,
    /// By the number of the listener.
    paces: BTreeMap<u16, Pace>,
    entries: Arc<Entries>,
    reception: Reception,
    /// Those of them whose sockets are ready.
    called: Vec<Token>,
    /// Empty if no listener needs one.
    lobbies: Vec<LobbyDoor>,
    next_lobby: usize,
    total: Arc<AtomicUsize>,
    total_max: Option<usize>,
    /// The system had no descriptor: nothing is accepted until then.
    retry: Option<Time>,
    complained: bool,
    log: Log,
}

impl Acceptor {
    pub(crate) fn new(
        doors: Vec<Door>,
        entries: Arc<Entries>,
        lobbies: Vec<LobbyDoor>,
        total_max: Option<usize>,
        log: Log,
    ) -> Self {
        Self {
            busy: vec![false; doors.len()],
            doors: doors.into_iter().map(Some).collect(),
            resting: BTreeMap::new(),
            paces: BTreeMap::new(),
            entries,
            reception: Reception::new(RECEPTION, log.clone()),
            called: Vec::new(),
            lobbies,
            next_lobby: 0,
            total: Arc::default(),
            total_max,
            retry: None,
            complained: false,
            log,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (i, door) in self.doors.iter_mut().enumerate() {
            if let Some(door) = door {
                registry.register(&mut door.listener, Token(FIRST - i), Interest::READABLE)?;
            }
        }
        Ok(())
    }

    /// Gives doors up, with their sockets still open.
    pub(crate) fn take(&mut self, registry: &Registry, listeners: &[u16]) -> Vec<Door> {
        let mut taken = Vec::new();
        for place in &mut self.doors {
            if let Some(mut door) = place.take_if(|d| listeners.contains(&d.index)) {
                registry.deregister(&mut door.listener).ok();
                taken.push(door);
            }
        }
        taken
    }

    /// Closes, changes and opens doors.
    pub(crate) fn change(&mut self, registry: &Registry, change: DoorChange) {
        let DoorChange { kept, opened, lobbies, total_max } = change;
        let closed: Vec<u16> = self.doors.iter().flatten().map(|d| d.index).collect();
        let closed: Vec<u16> = closed.into_iter().filter(|index| !kept.contains_key(index)).collect();
        drop(self.take(registry, &closed));
        for door in self.doors.iter_mut().flatten() {
            if let Some(terms) = kept.get(&door.index).cloned() {
                (door.index, door.max, door.rate, door.rules) =
                    (terms.index, terms.max, terms.rate, terms.rules);
            }
        }
        self.paces.retain(|index, _| self.doors.iter().flatten().any(|d| d.index == *index));
        (self.lobbies, self.total_max) = (lobbies, total_max);
        for door in opened {
            self.put(registry, door);
        }
    }

    fn put(&mut self, registry: &Registry, mut door: Door) {
        let place = self.doors.iter().position(Option::is_none).unwrap_or(self.doors.len());
        if let Err(e) = registry.register(&mut door.listener, Token(FIRST - place), Interest::READABLE) {
            let listener = door.listener.address().map_or_else(|_| String::new(), |a| a.to_string());
            self.log.error(format!("Error: Unable to accept connections on {listener}: {e}."));
            return;
        }
        // clients may be waiting already
        if let (Some(free), Some(busy)) = (self.doors.get_mut(place), self.busy.get_mut(place)) {
            (*free, *busy) = (Some(door), true);
        } else {
            self.doors.push(Some(door));
            self.busy.push(true);
        }
    }

    /// Notes an event; `false` when it is neither for a door nor for somebody at one.
    pub(crate) fn on_event(&mut self, token: Token) -> bool {
        if let Some(busy) = self.busy.get_mut(FIRST.wrapping_sub(token.0)) {
            *busy = true;
        } else if token.0 >= RECEPTION {
            self.called.push(token);
        } else {
            return false;
        }
        true
    }

    /// Whether there is something to accept now.
    pub(crate) fn is_busy(&self) -> bool {
        self.retry.is_none() && self.busy.contains(&true)
    }

    /// When [`Acceptor::accept`] has something to do without an event.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let doors = self.retry.or_else(|| self.resting.values().min().copied());
        doors.into_iter().chain(self.reception.next_timeout()).min()
    }

    /// Accepts a bounded number of connections. Those that are ready, also of earlier ones, go to `arrivals`.
    pub(crate) fn accept(&mut self, registry: &Registry, now: Time, arrivals: &mut Vec<Arrival>) {
        for token in self.called.drain(..) {
            arrivals.extend(self.reception.advance(registry, token));
        }
        self.reception.expire(now);
        if self.retry.is_some_and(|at| now < at) {
            return;
        }
        self.retry = None;
        for place in self.rested(now) {
            self.resting.remove(&place);
            self.set_busy(place, true);
        }
        for i in 0..self.doors.len() {
            if self.busy.get(i) != Some(&true) {
                continue;
            }
            match self.accept_some(registry, i, now, arrivals) {
                Ok(more) => {
                    self.set_busy(i, more == More::Now);
                    if let More::At(time) = more {
                        self.resting.insert(i, time);
                    }
                    self.complained = false;
                }
                Err(e) => {
                    // out of descriptors or memory: the connections we have go on, new ones wait a little
                    if !self.complained {
                        self.log.error(format!("Error: Unable to accept connections: {e}. Trying again."));
                        self.complained = true;
                    }
                    self.retry = Some(now + ACCEPT_PAUSE);
                }
            }
        }
    }

    fn rested(&self, now: Time) -> Vec<usize> {
        self.resting.iter().filter(|(_, until)| **until <= now).map(|(place, _)| *place).collect()
    }

    fn set_busy(&mut self, place: usize, is_busy: bool) {
        if let Some(busy) = self.busy.get_mut(place) {
            *busy = is_busy;
        }
    }

    fn accept_some(
        &mut self,
        registry: &Registry,
        door: usize,
        now: Time,
        arrivals: &mut Vec<Arrival>,
    ) -> io::Result<More> {
        let Some(Some(door)) = self.doors.get(door) else { return Ok(More::None) };
        for _ in 0..ACCEPTS_PER_TURN {
            let pace = door.rate.map(|rate| (self.paces.entry(door.index).or_default(), rate));
            if let Some((pace, rate)) = pace
                && let Some((until, tell)) = pace.take(now, rate)
            {
                if tell {
                    self.log.notice(slowed(door, rate));
                }
                return Ok(More::At(until));
            }
            match door.listener.accept() {
                Ok((stream, address)) => {
                    let peer = Peer { address, listener: door.index, secured: None };
                    let places = [(&door.count, door.max), (&self.total, self.total_max)];
                    let Some(permit) = Permit::take(places) else {
                        self.deny(peer);
                        continue;
                    };
                    if let Some(rules) = &door.rules {
                        let (entry, rules) = (self.entries.get(door.index), rules.clone());
                        let newcomer = Newcomer { stream, entry, rules, peer, permit };
                        if newcomer.entry.tls.is_none() {
                            arrivals.extend(self.reception.receive(registry, now, newcomer));
                            continue;
                        }
                        self.next_lobby = self.next_lobby.wrapping_add(1);
                        if let Some(lobby) = self.lobbies.get(self.next_lobby % self.lobbies.len().max(1)) {
                            lobby.enter(newcomer);
                        }
                    } else {
                        arrivals.push(Arrival { stream, peer, identity: None, permit, readable: true });
                    }
                }
                Err(e) => {
                    if let Some(pace) = self.paces.get_mut(&door.index) {
                        pace.give_back();
                    }
                    match e.kind() {
                        ErrorKind::WouldBlock => return Ok(More::None),
                        // the connection was gone before we got to it
                        ErrorKind::Interrupted
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionReset => {}
                        _ => return Err(e),
                    }
                }
            }
        }
        Ok(More::Now)
    }

    #[cold]
    fn deny(&self, peer: Peer) {
        let ip = peer.address.map_or_else(|| address(peer), |a| a.ip().to_canonical().to_string());
        self.log.notice(format!("Client connection from {ip} denied: max_connections exceeded."));
    }
}

/// Whether there may be more to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum More {
    None,
    Now,
    /// Then, and not before.
    At(Time),
}

impl Pace {
    /// Takes one connection's part of this second. If there is none left: when there will be, and whether that is worth a
    /// line.
    fn take(&mut self, now: Time, rate: u32) -> Option<(Time, bool)> {
        let passed = now.0.saturating_sub(self.since.0);
        if passed >= SECOND {
            self.told &= self.count >= rate && passed < 2 * SECOND;
            (self.since, self.count) = (now, 0);
        }
        if self.count < rate {
            self.count += 1;
            return None;
        }
        let tell = !core::mem::replace(&mut self.told, true);
        Some((Time(self.since.0.saturating_add(SECOND)), tell))
    }

    /// It was not used.
    fn give_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }
}

#[cold]
fn slowed(door: &Door, rate: u32) -> String {
    let port = door.listener.address().map_or_else(|_| String::new(), |a| a.to_string());
    format!("More than {rate} connections to {port} within a second: further ones wait.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_and_a_burst_is_said_once() {
        let mut pace = Pace::default();
        let second = |pace: &mut Pace, start: u64| {
            assert!((0..3).all(|i| pace.take(Time(start + i), 3).is_none()));
            pace.take(Time(start + 999), 3)
        };
        assert_eq!(second(&mut pace, 5000), Some((Time(6000), true)));
        assert_eq!(pace.take(Time(5999), 3), Some((Time(6000), false)));
        assert_eq!(second(&mut pace, 6000), Some((Time(7000), false)), "the same burst");
        // a second with room to spare ends it
        assert_eq!(pace.take(Time(7000), 3), None);
        assert_eq!(second(&mut pace, 8000), Some((Time(9000), true)));
        assert_eq!(second(&mut pace, 20_000), Some((Time(21_000), true)));
    }

    #[test]
    fn what_was_not_used_is_left() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            assert_eq!(pace.take(Time(1), 1), None);
            pace.give_back();
        }
    }
}
