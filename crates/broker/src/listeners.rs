//! The listeners by their numbers. Connections and sessions carry the number of the listener they came through, so it keeps
//! its meaning as long as the broker runs, whatever becomes of the configuration.
//!
//! ```text
//!            not configured any more
//!   Open ─────────────────────────────► Closed     who came in stays
//!    ▲ └──same address, other terms───► Retired    who came in is closed
//!    └──────configured again──────────────┘
//! ```

use crate::limits::LISTENER_NUMBERS_MAX;
use crate::security::{Gate, Security};
use crate::tls::{Rules, has_entry};
use grovemq_config::Listener;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Whether a listener lets clients in, or those who came in stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Closed,
    Retired,
}

/// One listener, present or past.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) listener: Listener,
    pub(crate) gate: Gate,
    pub(crate) state: State,
    /// Connections through its doors.
    pub(crate) count: Arc<AtomicUsize>,
    /// Where its sockets listen.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Where a listener of a new configuration belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: usize,
    /// The listener whose open sockets become its own.
    pub(crate) door: Option<usize>,
}

/// A number for each configured listener: the one it has had if its address and terms are the same. `None` when there
/// have been too many.
pub(crate) fn assign(slots: &[Slot], listeners: &[Listener]) -> Option<Vec<Place>> {
    let mut places: Vec<Place> = Vec::with_capacity(listeners.len());
    let mut next = slots.len();
    for wanted in listeners {
        let find = |accept: &dyn Fn(usize, &Slot) -> bool| {
            slots.iter().enumerate().position(|(i, s)| s.listener.listens_like(wanted) && accept(i, s))
        };
        let door = find(&|i, s| s.state == State::Open && places.iter().all(|p| p.door != Some(i)));
        let same = |i: usize, s: &Slot| {
            s.listener.admits_like(wanted)
                && (door == Some(i) || s.state != State::Open)
                && places.iter().all(|p| p.number != i)
        };
        let number = find(&|i, s| door == Some(i) && same(i, s)).or_else(|| find(&same));
        let number = number.unwrap_or_else(|| {
            next += 1;
            next - 1
        });
        places.push(Place { number, door });
    }
    (next <= LISTENER_NUMBERS_MAX).then_some(places)
}

/// The listeners as they will be; without the gates, which files decide.
pub(crate) fn advance(slots: &[Slot], listeners: &[Listener], places: &[Place]) -> Vec<Slot> {
    let mut all = slots.to_vec();
    for (i, slot) in all.iter_mut().enumerate() {
        let stays = places.iter().any(|p| p.number == i);
        let succeeded = listeners.iter().any(|l| l.listens_like(&slot.listener));
        slot.state = match slot.state {
            _ if stays => State::Open,
            _ if succeeded => State::Retired,
            State::Open => State::Closed,
            past => past,
        };
    }
    for (listener, place) in listeners.iter().zip(places) {
        let of = |i: usize| slots.get(i);
        let count = place.door.and_then(of).or_else(|| of(place.number)).map(|s| s.count.clone());
        let slot = Slot {
            listener: listener.clone(),
            gate: Gate::default(),
            state: State::Open,
            count: count.unwrap_or_default(),
            addresses: place.door.and_then(of).map(|s| s.addresses.clone()).unwrap_or_default(),
        };
        match all.get_mut(place.number) {
            Some(old) => *old = slot,
            None => all.push(slot),
        }
    }
    all
}

/// Gives each listener its files. Those of the past keep what they had, unless another has taken their address.
pub(crate) fn guard(slots: &mut [Slot], security: &Security) {
    let open: Vec<Listener> =
        slots.iter().filter(|s| s.state == State::Open).map(|s| s.listener.clone()).collect();
    for slot in slots {
        let successor = open.iter().find(|l| l.listens_like(&slot.listener));
        match (slot.state, successor) {
            (State::Open, _) => slot.gate = security.gate(&slot.listener.auth),
            (State::Retired, Some(successor)) => slot.gate = security.gate(&successor.auth),
            (State::Retired, None) | (State::Closed, _) => {}
        }
    }
}

impl Slot {
    pub(crate) fn max(&self) -> Option<usize> {
        self.listener.max_connections.map(|n| n as usize)
    }

    /// For connections that are made ready first.
    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        has_entry(&self.listener).then(|| Arc::new(Rules::of(&self.listener)))
    }

    /// Its connections begin with what would hold an event loop up.
    pub(crate) fn needs_lobby(&self) -> bool {
        self.state == State::Open && self.listener.tls.is_on()
    }

    /// 0 for a socket of the file system.
    pub(crate) fn port(&self) -> u16 {
        self.addresses.first().map_or(self.listener.port, SocketAddr::port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_config::Config;
    use std::path::Path;

    fn listeners(text: &str) -> Vec<Listener> {
        Config::from_text(text, Path::new("t")).unwrap().0.listeners
    }

    /// What becomes of `slots` under this configuration: numbers and doors, then all states.
    fn change(slots: &mut Vec<Slot>, text: &str) -> String {
        let listeners = listeners(text);
        let places = assign(slots, &listeners).unwrap();
        *slots = advance(slots, &listeners, &places);
        let place =
            |p: &Place| format!("{}{}", p.number, p.door.map(|d| format!("<{d}")).unwrap_or_default());
        let places: Vec<String> = places.iter().map(place).collect();
        let states: Vec<String> = slots.iter().map(|s| format!("{:?}", s.state)).collect();
        format!("{} | {}", places.join(" "), states.join(" "))
    }

    #[test]
    fn numbers_keep_their_meaning() {
        let mut slots = Vec::new();
        for (text, expected) in [
            ("listener 1\nlistener 2\n", "0 1 | Open Open"),
            // another order, other limits: the same
            ("listener 2\nmax_qos 1\nlistener 1\n", "1<1 0<0 | Open Open"),
            ("listener 2\n", "1<1 | Closed Open"),
            ("listener 2\nlistener 3\n", "1<1 2 | Closed Open Open"),
            // the old number comes back with the address
            ("listener 1\nlistener 2\n", "0 1<1 | Open Open Closed"),
            // other terms behind the same door
            ("listener 1\nmount_point m/\nlistener 2\n", "3<0 1<1 | Retired Open Closed Open"),
            ("listener 1\nlistener 2\n", "0<3 1<1 | Open Open Closed Retired"),
            // gone, and back with other terms
            ("listener 2\n", "1<1 | Closed Open Closed Retired"),
            ("listener 1\nprotocol websockets\n", "4 | Retired Closed Closed Retired Open"),
            // twice the same is the second one's problem
            ("listener 2\nlistener 2\n", "1 5 | Retired Open Closed Retired Closed Open"),
        ] {
            assert_eq!(change(&mut slots, text), expected, "{text}");
        }
    }

    #[test]
    fn going_to_and_fro_costs_no_numbers() {
        let mut slots = Vec::new();
        for _ in 0..100 {
            change(&mut slots, "listener 1\nmount_point a/\n");
            change(&mut slots, "listener 1\nmount_point b/\nlistener 2\n");
        }
        assert_eq!(slots.len(), 3);
    }
}
