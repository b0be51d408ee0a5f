//! Another configuration while the broker runs: all of it, or nothing.
//!
//! First everything that can fail: files are read, certificates loaded, sockets and log files opened. Then it is put in
//! force, and nothing of that can fail.

use crate::acceptor::{Door, DoorChange, DoorTerms};
use crate::bridge::Plan;
use crate::inbox::Letter;
use crate::limits::RELOAD_TIME_MAX;
use crate::listeners::{self, Place, Slot, State};
use crate::security::{self, Read};
use crate::tls::Made;
use crate::{Broker, Log, StartError, coap, control, doors, log, settings, sys};
use grovemq_auth::password::PasswordFile;
use grovemq_config::{Config, Listener, Protocol};
use grovemq_core::Revoked;
use grovemq_net::{Inherited, listen, listen_unix};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, mpsc};

/// What was read and opened, and is not yet in force.
struct Prepared {
    places: Vec<Place>,
    slots: Vec<Slot>,
    read: Read,
    made: Made,
    bridges: Vec<Plan>,
    log: log::Prepared,
    opened: Vec<Door>,
    sockets: Vec<coap::Opened>,
    /// Listeners (by their place in the configuration) whose sockets are in the way of each other's.
    blocked: Vec<usize>,
    warnings: Vec<String>,
}

impl Broker {
    /// Puts another configuration in force, without touching connections that it does not concern. Says in the log what it
    /// does, and waits until all event loops have taken it over.
    ///
    /// What only a start can do (the user, the number of shards) is left as it is.
    ///
    /// # Errors
    /// All complaints, one text each; nothing has changed then.
    pub fn reload(&mut self, config: &Config) -> Result<(), Vec<String>> {
        let mut prepared = self.prepare(config)?;
        if prepared.slots.iter().any(Slot::needs_lobby) {
            self.ensure_lobbies().map_err(|e| vec![StartError::Thread(e).to_string()])?;
        }
        if !prepared.blocked.is_empty() {
            self.open_blocked(config, &mut prepared)?;
        }
        self.commit(config, prepared);
        Ok(())
    }

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<String>> {
        let Some(places) = listeners::assign(&self.slots, &config.listeners) else {
            return Err(vec![
                "Error: Too many different listeners since the start: restart the broker.".into(),
            ]);
        };
        let slots = listeners::advance(&self.slots, &config.listeners, &places);
        let mut complaints = Vec::new();
        let read = collect(Read::all(&config.listeners), &mut complaints);
        let open = |s: &Slot| (s.state == State::Open).then(|| s.listener.clone());
        let made = collect(Made::of(slots.iter().map(open).collect(), self.keys.clone()), &mut complaints);
        let bridges = collect(Plan::all(config), &mut complaints);
        let log = collect(Log::prepare(&config.log).map_err(|e| vec![e]), &mut complaints);
        let (mut opened, mut sockets, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (listener, place)) in config.listeners.iter().zip(&places).enumerate() {
            let Some(slot) = slots.get(place.number).filter(|_| place.door.is_none()) else { continue };
            match coap::open(slot, place.number, &self.log) {
                Ok(more) => sockets.extend(more),
                Err(e) => complaints.push(complaint(listener, &e)),
            }
            match open_doors(slot, place.number, &self.log) {
                Ok(doors) => opened.extend(doors),
                Err(e) if is_in_use(&e) && !self.in_the_way(&slots, listener).is_empty() => blocked.push(i),
                Err(e) => complaints.push(complaint(listener, &e)),
            }
        }
        match (read, made, bridges, log) {
            (Some((read, mut warnings)), Some((made, more)), Some((bridges, of_bridges)), Some(log))
                if complaints.is_empty() =>
            {
                warnings.extend(more.into_iter().chain(of_bridges));
                Ok(Prepared { places, slots, read, made, bridges, log, opened, sockets, blocked, warnings })
            }
            _ => Err(complaints),
        }
    }

    /// Open listeners that are about to close and have the same port or path.
    fn in_the_way(&self, slots: &[Slot], wanted: &Listener) -> Vec<u16> {
        let closing = |(i, old): &(usize, &Slot)| {
            old.state == State::Open
                && slots.get(*i).is_some_and(|new| new.state == State::Closed)
                && (old.listener.port, &old.listener.unix_path) == (wanted.port, &wanted.unix_path)
        };
        let all = self.slots.iter().enumerate().filter(closing);
        all.filter_map(|(i, _)| u16::try_from(i).ok()).collect()
    }

    /// Where the old socket has to go before the new one can come, as from all addresses to one: for a moment neither is
    /// there. If the new one does not come, the old one comes back.
    fn open_blocked(&mut self, config: &Config, prepared: &mut Prepared) -> Result<(), Vec<String>> {
        let Some(first) = self.inboxes.first() else { return Ok(()) };
        let blocked: Vec<&Listener> =
            prepared.blocked.iter().filter_map(|i| config.listeners.get(*i)).collect();
        let old: Vec<u16> = blocked.iter().flat_map(|l| self.in_the_way(&prepared.slots, l)).collect();
        let (reply, answer) = mpsc::channel();
        first.post(Letter::TakeDoors(old.clone(), reply));
        let taken: Vec<(u16, Option<SocketAddr>)> = match answer.recv_timeout(RELOAD_TIME_MAX) {
            Ok(doors) => doors.iter().map(|d| (d.index, d.listener.local_addr())).collect(),
            Err(_) => return Err(vec!["Error: The listeners do not answer.".into()]),
        };
        let mut complaints = Vec::new();
        for i in &prepared.blocked {
            let (Some(listener), Some(place)) = (config.listeners.get(*i), prepared.places.get(*i)) else {
                continue;
            };
            let Some(slot) = prepared.slots.get(place.number) else { continue };
            match open_doors(slot, place.number, &self.log) {
                Ok(doors) => prepared.opened.extend(doors),
                Err(e) => complaints.push(complaint(listener, &e)),
            }
        }
        if complaints.is_empty() {
            return Ok(());
        }
        // our own new sockets may be where the old ones were
        prepared.opened.clear();
        let restored = taken.iter().filter_map(|(index, address)| {
            let slot = self.slots.get(usize::from(*index))?;
            let socket = match (address, &slot.listener.unix_path) {
                (Some(address), _) => listen(*address, slot.listener.bind_interface.as_deref()),
                (None, Some(path)) => listen_unix(path),
                (None, None) => return None,
            };
            match socket {
                Ok(socket) => Some(doors::door(slot, usize::from(*index), socket)),
                Err(e) => {
                    complaints.push(format!("Error: A listener could not be opened again: {e}."));
                    None
                }
            }
        });
        let opened = restored.collect();
        self.change_doors(&self.slots, &keep_all(&self.slots), opened, self.total_max);
        Err(complaints)
    }

    fn commit(&mut self, config: &Config, prepared: Prepared) {
        let Prepared { places, mut slots, read, made, bridges, log, opened, sockets, warnings, .. } =
            prepared;
        self.log.commit(log);
        for warning in warnings {
            self.log.warning(warning);
        }
        let before: Vec<_> = self.slots.iter().map(|s| s.gate.passwords_now()).collect();
        self.security.commit(read);
        listeners::guard(&mut slots, &self.security);
        let revoked = revocations(&before, &slots);
        for door in &opened {
            if let Some(slot) = slots.get_mut(usize::from(door.index)) {
                slot.addresses.extend(door.listener.local_addr());
            }
        }
        for socket in &sockets {
            if let Some(slot) = slots.get_mut(socket.number) {
                slot.addresses.extend(socket.local_addr());
            }
        }
        let watched = made.has_files();
        self.entries.commit(made);
        *self.gates.write().unwrap_or_else(PoisonError::into_inner) =
            slots.iter().map(|s| s.gate.clone()).collect();
        *self.ports.write().unwrap_or_else(PoisonError::into_inner) = slots.iter().map(Slot::port).collect();
        self.logins.set_delay_max(config.limits.login_delay);
        self.memory.set_limit(config.limits.memory_limit);
        let settings = Arc::new(settings::settings(config, &slots, self.seed));
        let (reply, answers) = mpsc::channel();
        for inbox in &self.inboxes {
            inbox.post(Letter::Settings(settings.clone(), revoked.clone(), reply.clone()));
        }
        // behind the settings in the same post: no connection comes before the shards know its listener
        let kept = places.iter().filter_map(|p| Some((p.door?, p.number))).collect::<Vec<_>>();
        self.say_closed(&slots);
        self.total_max = config.limits.global_max_connections.map(|n| n as usize);
        self.change_doors(&slots, &kept, opened, self.total_max);
        self.sys.send(sys::Job::Configure(config.sys_interval, control::listed(config))).ok();
        self.slots = slots;
        if let Err(e) = self.bridges.apply(config, bridges) {
            self.log.error(format!("Error: Bridges cannot be started: {e}."));
        }
        if let Err(e) = self.gateways.apply(&self.slots, &kept, sockets) {
            self.log.error(format!("Error: CoAP cannot be served: {e}."));
        }
        if watched && let Err(e) = self.ensure_watch() {
            self.log.error(format!("Error: Certificates are not watched: {e}."));
        }
        drop(reply);
        for _ in &self.inboxes {
            if answers.recv_timeout(RELOAD_TIME_MAX).is_err() {
                break;
            }
        }
        self.log.info("Configuration reloaded.");
    }

    fn say_closed(&self, slots: &[Slot]) {
        for (old, new) in self.slots.iter().zip(slots) {
            if old.state == State::Open && new.state == State::Closed {
                let port = old.port();
                if old.listener.protocol == Protocol::Coap {
                    self.log.info(format!("Closing socket for CoAP on port {port}."));
                    continue;
                }
                let what = match &old.listener.unix_path {
                    Some(path) => format!("path {}", path.display()),
                    None => format!("port {port}"),
                };
                self.log.info(format!("Closing listen socket on {what}. Its clients stay."));
            }
        }
    }

    /// `kept`: doors that stay, by the number they have had, with the one they have from now on.
    fn change_doors(
        &self,
        slots: &[Slot],
        kept: &[(usize, usize)],
        opened: Vec<Door>,
        total_max: Option<usize>,
    ) {
        let terms = |(from, to): &(usize, usize)| {
            let slot = slots.get(*to)?;
            let (max, rate, rules) = (slot.max(), slot.listener.max_connection_rate, slot.rules());
            let terms = DoorTerms { index: u16::try_from(*to).ok()?, max, rate, rules };
            Some((u16::try_from(*from).ok()?, terms))
        };
        let kept = kept.iter().filter_map(terms).collect();
        let change = DoorChange { kept, opened, lobbies: self.lobbies.clone(), total_max };
        if let Some(first) = self.inboxes.first() {
            first.post(Letter::ChangeDoors(Box::new(change)));
        }
    }
}

fn keep_all(slots: &[Slot]) -> Vec<(usize, usize)> {
    let open = slots.iter().enumerate().filter(|(_, s)| s.state == State::Open);
    open.map(|(i, _)| (i, i)).collect()
}

fn open_doors(slot: &Slot, number: usize, log: &Log) -> Result<Vec<Door>, StartError> {
    doors::open(slot, number, &mut Inherited::default(), number == 0, log)
}

fn is_in_use(e: &StartError) -> bool {
    matches!(e, StartError::Listen(_, e) if e.kind() == ErrorKind::AddrInUse)
}

fn collect<T>(result: Result<T, Vec<String>>, complaints: &mut Vec<String>) -> Option<T> {
    result.map_err(|errors| complaints.extend(errors)).ok()
}

fn complaint(listener: &Listener, e: &StartError) -> String {
    match &listener.place {
        Some(place) => format!("{e}\nError found at {place}."),
        None => e.to_string(),
    }
}

/// By number of the listener.
fn revocations(before: &[Option<Arc<PasswordFile>>], slots: &[Slot]) -> Arc<[Revoked]> {
    type Known = (*const PasswordFile, *const PasswordFile, Revoked);
    let pointer = |file: Option<&Arc<PasswordFile>>| file.map_or(std::ptr::null(), Arc::as_ptr);
    // many listeners with one file are compared once
    let mut known: Vec<Known> = Vec::new();
    let all = slots.iter().enumerate().map(|(i, slot)| {
        // nobody has come through a new one yet
        let Some(old) = before.get(i) else { return Revoked::Nobody };
        let new = slot.gate.passwords_now();
        let (from, to) = (pointer(old.as_ref()), pointer(new.as_ref()));
        if from == to {
            return Revoked::Nobody;
        }
        if let Some((.., revoked)) = known.iter().find(|(a, b, _)| (*a, *b) == (from, to)) {
            return revoked.clone();
        }
        let revoked = security::revoked(old.as_deref(), new.as_deref());
        known.push((from, to, revoked.clone()));
        revoked
    });
    all.collect()
}
