//! The MQTT broker: event loops around the deterministic core.
//!
//! [`Broker::start`] opens the sockets and starts one shard per processor; the [`Broker`] stops them all when told.
//!
//! Invariant: decides nothing about MQTT; that is `grovemq_core`'s.
#![forbid(unsafe_code)]

mod acceptor;
mod bridge;
mod coap;
mod control;
mod doors;
mod event_loop;
mod guesses;
mod inbox;
mod keylog;
mod limits;
mod listeners;
mod listing;
mod lobby;
mod log;
mod logins;
mod memory;
mod observer;
mod persistence;
mod pulse;
mod reception;
mod reload;
mod security;
mod settings;
mod sys;
mod tls;
mod undated;
mod watch;
mod wire;

pub use listing::Subscribed;
pub use log::Log;
pub use pulse::Pulse;

use acceptor::{Acceptor, Door};
use bridge::{Bridges, Plan};
use coap::Gateways;
use event_loop::{EventLoop, Neighbours, WAKE};
use grovemq_codec::Qos;
use grovemq_config::{Config, LogType};
use grovemq_core::{Router, Settings, Shard};
use grovemq_net::Inherited;
use grovemq_store::Store;
use inbox::{Inbox, Letter};
use keylog::KeyFile;
use listeners::{Slot, State};
use lobby::{Lobby, LobbyDoor};
use logins::Logins;
use memory::Memory;
use mio::{Poll, Waker};
use observer::{LogObserver, Ports};
use persistence::{Keeper, Persistence};
use security::{Gates, Read, Security};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use sys::Sys;
use tls::{Entries, Made};

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    /// The listeners by their numbers.
    slots: Vec<Slot>,
    total_max: Option<usize>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    /// The way to the store and its thread, where there is one.
    persistence: Option<(Persistence, JoinHandle<()>)>,
    /// To the thread of `$SYS` and `$CONTROL`.
    sys: SyncSender<sys::Job>,
    stop: Arc<AtomicBool>,
    security: Security,
    gates: Gates,
    logins: Logins,
    ports: Ports,
    entries: Arc<Entries>,
    /// Keeps the thread that looks at certificates, if there is one.
    watch: Option<std::sync::mpsc::Sender<()>>,
    lobbies: Vec<LobbyDoor>,
    /// Where the secrets of TLS go, if anywhere.
    keys: Option<Arc<KeyFile>>,
    bridges: Bridges,
    gateways: Gateways,
    router: Arc<Router>,
    memory: Arc<Memory>,
    /// Of all hashes.
    seed: u64,
    log: Log,
}

/// Why a broker could not start.
#[derive(Debug)]
pub enum StartError {
    /// Password or ACL files that cannot be used; one text each, with file and line.
    Files(Vec<String>),
    /// Certificates, keys or options of TLS that cannot be used; one text each.
    Tls(Vec<String>),
    /// A socket cannot be opened.
    Listen(String, io::Error),
    /// What had to be done once the sockets were open has failed.
    Prepare(String),
    /// The store cannot be used.
    Store(grovemq_store::Error),
    Thread(io::Error),
}

impl Broker {
    /// Opens the listeners and starts the event loops. Says so in the log, in the original's lines.
    pub fn start(config: &Config, log: Log) -> Result<Self, StartError> {
        Self::start_after(config, log, || Ok(()))
    }

    /// The same with something to do once the sockets are open and before the store is and any thread runs: to give up
    /// rights that only the sockets needed.
    pub fn start_after(
        config: &Config,
        log: Log,
        prepare: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, StartError> {
        let keys = open_keys(config, &log)?;
        let (read, warnings) = Read::all(&config.listeners).map_err(StartError::Files)?;
        let places = listeners::assign(&[], &config.listeners).unwrap_or_default();
        let mut slots = listeners::advance(&[], &config.listeners, &places);
        let (made, more) = Made::of(config.listeners.iter().cloned().map(Some).collect(), keys.clone())
            .map_err(StartError::Tls)?;
        let (plans, of_bridges) = Plan::all(config).map_err(StartError::Tls)?;
        for warning in warnings.into_iter().chain(more).chain(of_bridges) {
            log.warning(warning);
        }
        let mut security = Security::default();
        security.commit(read);
        listeners::guard(&mut slots, &security);
        let (doors, sockets) = open_doors(&mut slots, &log)?;
        prepare().map_err(StartError::Prepare)?;
        let seed = RandomState::new().hash_one("seed");
        let (epoch, wall_clock) = (Instant::now(), SystemTime::now());
        let mut store = persistence::open(config, wall_clock, &log).map_err(StartError::Store)?;
        let store_epoch = store.is_some().then(|| persistence::millis(wall_clock));
        let settings = Arc::new(Settings { store_epoch, ..settings::settings(config, &slots, seed) });
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(seed)));
        let gates = Gates::new(slots.iter().map(|s| s.gate.clone()).collect::<Vec<_>>().into());
        let ports = Ports::new(slots.iter().map(Slot::port).collect::<Vec<_>>().into());
        let mut threads = Vec::new();
        let (sys, jobs) = sys::channel();
        let observer = LogObserver { log: log.clone(), ports: ports.clone() };
        let mut shards = make_shards(shard_count(config), &settings, &router, &observer);
        if let Some(store) = &mut store {
            persistence::recover(&mut **store, &mut shards, &router, &log).map_err(StartError::Store)?;
        }
        let memory = Arc::new(Memory::new(config.limits.memory_limit, log.clone()));
        let logins = Logins::start(&gates, config.limits.login_delay, &log).map_err(StartError::Thread)?;
        let neighbours = Neighbours::new(logins.clone(), sys.clone(), store.is_some(), memory.clone());
        let neighbours = Neighbours { busy_poll: config.busy_poll, ..neighbours };
        let neighbours =
            start_shards(shards, epoch, neighbours, &log, &mut threads).map_err(StartError::Thread)?;
        let persistence =
            start_keeper(store, &neighbours, &router, config, &log).map_err(StartError::Thread)?;
        let inboxes = neighbours.inboxes;
        log.publish_with(log_publisher(&inboxes));
        threads.push(start_sys(config, jobs, &inboxes, &router, &log).map_err(StartError::Thread)?);
        let total_max = config.limits.global_max_connections.map(|n| n as usize);
        let watched = made.has_files();
        let bridges = Bridges::new(config, &inboxes, &log);
        let mut broker = Self {
            gateways: Gateways::new(&inboxes, &router, &gates, epoch, &log),
            slots,
            total_max,
            inboxes,
            threads,
            persistence,
            sys,
            stop: Arc::default(),
            security,
            gates,
            logins,
            ports,
            entries: Arc::new(Entries::new(made)),
            watch: None,
            lobbies: Vec::new(),
            keys,
            bridges,
            router,
            memory,
            seed,
            log,
        };
        broker.admit(doors, sockets, watched).map_err(StartError::Thread)?;
        broker.bridges.apply(config, plans).map_err(StartError::Thread)?;
        Ok(broker)
    }

    /// The sockets that listen, in the order of the configuration at the start.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let open = self.slots.iter().filter(|s| s.state == State::Open);
        open.flat_map(|s| s.addresses.iter().copied()).collect()
    }

    /// Lets the first clients in.
    fn admit(&mut self, doors: Vec<Door>, sockets: Vec<coap::Opened>, watched: bool) -> io::Result<()> {
        if self.slots.iter().any(Slot::needs_lobby) {
            self.ensure_lobbies()?;
        }
        if watched {
            self.ensure_watch()?;
        }
        let (entries, lobbies) = (self.entries.clone(), self.lobbies.clone());
        let acceptor = Acceptor::new(doors, entries, lobbies, self.total_max, self.log.clone());
        if let Some(first) = self.inboxes.first() {
            first.post(Letter::Doors(Box::new(acceptor)));
        }
        self.gateways.apply(&self.slots, &[], sockets)
    }

    /// Starts the threads for handshakes when they are needed first.
    fn ensure_lobbies(&mut self) -> io::Result<()> {
        if self.lobbies.is_empty() {
            let count = self.inboxes.len().min(limits::LOBBIES_MAX);
            self.lobbies = start_lobbies(count, &self.inboxes, &self.stop, &self.log, &mut self.threads)?;
        }
        Ok(())
    }

    /// Starts the thread that looks at certificates when there are some.
    fn ensure_watch(&mut self) -> io::Result<()> {
        if self.watch.is_none() {
            let (watch, stop) = std::sync::mpsc::channel();
            let (entries, log) = (self.entries.clone(), self.log.clone());
            let look = move || {
                watch::run(&entries, &log, &stop);
                Ok(())
            };
            self.threads.push(spawn("watch", &self.log, look)?);
            self.watch = Some(watch);
        }
        Ok(())
    }

    /// Makes everything stored so far safe from a power cut, which `persistence_mode durable` does by itself.
    pub fn save(&self) {
        if let Some((persistence, _)) = &self.persistence {
            persistence.save();
        }
    }

    /// Who is subscribed to what, without a promise about changes meanwhile; no more than a million subscriptions.
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        listing::subscriptions(&self.router, &self.inboxes)
    }

    /// The event loops, to be asked whether they turn.
    pub fn pulse(&self) -> Pulse {
        Pulse::of(&self.inboxes)
    }

    /// Publishes a message of the broker's own, as on `$SYS`.
    pub fn publish(&self, topic: &str, payload: &[u8], retain: bool) {
        if let Some(inbox) = self.inboxes.first() {
            let (topic, payload, qos) = (topic.into(), payload.into(), Qos::ExactlyOnce);
            inbox.post(Letter::Publish { topic, payload, qos, retain });
        }
    }

    /// Tells every client, sends the wills, closes all and waits until it is done.
    pub fn stop(mut self) {
        self.bridges.stop();
        self.stop.store(true, Ordering::Release);
        self.lobbies.iter().for_each(LobbyDoor::wake);
        drop(self.watch);
        self.sys.send(sys::Job::Stop).ok();
        for inbox in &self.inboxes {
            inbox.post(Letter::Stop);
            inbox.waker().ok();
        }
        for thread in self.threads {
            thread.join().ok();
        }
        self.gateways.stop();
        // after the last change of the last shard
        if let Some((persistence, keeper)) = self.persistence {
            persistence.stop();
            keeper.join().ok();
        }
    }
}

/// Loads certificates, keys and lists of all listeners and bridges as a start would, and forgets them: warnings, also of certificates
/// that have ended or soon will, or every error.
pub fn check_certificates(config: &Config) -> Result<Vec<String>, Vec<String>> {
    let (_, mut warnings) = Made::of(config.listeners.iter().cloned().map(Some).collect(), None)?;
    warnings.extend(Plan::all(config)?.1);
    warnings.extend(tls::ending(config, SystemTime::now()));
    Ok(warnings)
}

impl StartError {
    /// Exit code of the process, as the original's.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Files(_) => 3,
            Self::Prepare(_) => 14,
            Self::Tls(_) | Self::Listen(..) | Self::Store(_) | Self::Thread(_) => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(errors) | Self::Tls(errors) => f.write_str(&errors.join("\n")),
            Self::Listen(place, e) => write!(f, "Error: {} ({place})", io_text(e)),
            Self::Prepare(error) => f.write_str(error),
            Self::Store(e) => write!(f, "Error: Unable to open the store: {e}."),
            Self::Thread(e) => write!(f, "Error: Unable to start: {e}."),
        }
    }
}

impl std::error::Error for StartError {}

/// The system's text without Rust's decoration.
fn io_text(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(end) => text.get(..end).unwrap_or(&text).to_string(),
        None => text,
    }
}

fn shard_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.shards.filter(|n| *n > 0).map_or(cores, usize::from).clamp(1, limits::SHARDS_MAX)
}

fn open_keys(config: &Config, log: &Log) -> Result<Option<Arc<KeyFile>>, StartError> {
    let Some(path) = &config.process.tls_keylog else { return Ok(None) };
    let shown = path.display();
    let keys = KeyFile::open(path)
        .map_err(|e| StartError::Tls(vec![format!("Error: Unable to open TLS keylog file {shown}: {e}.")]))?;
    log.warning(format!(
        "Warning: The secrets of TLS connections are written to {shown}: whoever has it can read along."
    ));
    Ok(Some(Arc::new(keys)))
}

/// The sockets of all listeners, those for CoAP apart.
fn open_doors(slots: &mut [Slot], log: &Log) -> Result<(Vec<Door>, Vec<coap::Opened>), StartError> {
    let mut inherited = Inherited::take();
    let (mut all, mut sockets) = (Vec::new(), Vec::new());
    for (number, slot) in slots.iter_mut().enumerate() {
        let gateway = coap::open(slot, number, log)?;
        let doors = doors::open(slot, number, &mut inherited, all.is_empty(), log)?;
        slot.addresses = doors.iter().filter_map(|d| d.listener.local_addr()).collect();
        slot.addresses.extend(gateway.iter().filter_map(coap::Opened::local_addr));
        sockets.extend(gateway);
        all.extend(doors);
    }
    for address in inherited.addresses() {
        log.warning(format!(
            "Warning: The service manager opened {address}, but no listener is configured for it."
        ));
    }
    Ok((all, sockets))
}

fn make_shards(
    count: usize,
    settings: &Arc<Settings>,
    router: &Arc<Router>,
    observer: &LogObserver,
) -> Vec<Shard> {
    let total = u16::try_from(count).unwrap_or(1);
    let shard = |id| Shard::new(id, total, router.clone(), settings.clone(), Box::new(observer.clone()));
    (0..total).map(shard).collect()
}

fn start_shards(
    shards: Vec<Shard>,
    epoch: Instant,
    mut neighbours: Neighbours,
    log: &Log,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<Neighbours> {
    let polls = shards.iter().map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    neighbours.inboxes = polls
        .iter()
        .map(|poll| Ok(Arc::new(Inbox::new(Waker::new(poll.registry(), WAKE)?))))
        .collect::<io::Result<Vec<_>>>()?;
    for (id, (shard, poll)) in shards.into_iter().zip(polls).enumerate() {
        let registry = poll.registry().try_clone()?;
        if let Some(event_loop) = EventLoop::new(id, shard, registry, neighbours.clone(), epoch)
            && let Some(inbox) = neighbours.inboxes.get(id)
        {
            let event_loop = Arc::new(Mutex::new(event_loop));
            inbox.set_owner(Arc::downgrade(&event_loop));
            threads.push(spawn(&format!("shard-{id}"), log, move || EventLoop::run(&event_loop, poll))?);
        }
    }
    Ok(neighbours)
}

/// The way to the store and its thread, where there is one.
fn start_keeper(
    store: Option<Box<dyn Store>>,
    neighbours: &Neighbours,
    router: &Arc<Router>,
    config: &Config,
    log: &Log,
) -> io::Result<Option<(Persistence, JoinHandle<()>)>> {
    let Some((persistence, store)) = neighbours.persistence.clone().zip(store) else { return Ok(None) };
    let (inboxes, memory) = (neighbours.inboxes.clone(), neighbours.memory.clone());
    let keeper = Keeper::new(store, &persistence, inboxes, router.clone(), memory, config, log.clone());
    let thread = spawn("store", log, move || keeper.run())?;
    Ok(Some((persistence, thread)))
}

fn start_sys(
    config: &Config,
    jobs: Receiver<sys::Job>,
    inboxes: &[Arc<Inbox>],
    router: &Arc<Router>,
    log: &Log,
) -> io::Result<JoinHandle<()>> {
    let sys = Sys {
        jobs,
        inboxes: inboxes.to_vec(),
        router: router.clone(),
        listeners: control::listed(config),
        interval: config.sys_interval,
        log: log.clone(),
    };
    spawn("sys", log, move || {
        sys.run();
        Ok(())
    })
}

fn start_lobbies(
    count: usize,
    inboxes: &[Arc<Inbox>],
    stop: &Arc<AtomicBool>,
    log: &Log,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<Vec<LobbyDoor>> {
    let mut doors = Vec::new();
    for id in 0..count {
        let (lobby, door) = Lobby::new(inboxes.to_vec(), stop.clone(), log.clone())?;
        threads.push(spawn(&format!("lobby-{id}"), log, move || lobby.run())?);
        doors.push(door);
    }
    Ok(doors)
}

fn spawn(
    name: &str,
    log: &Log,
    body: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (log, title) = (log.clone(), name.to_string());
    std::thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(e) = body() {
            // half a broker is worse than none: a supervisor starts it anew
            log.error(format!("Error: Thread {title} failed: {e}."));
            log.flush();
            std::process::exit(1);
        }
    })
}

fn log_publisher(inboxes: &[Arc<Inbox>]) -> log::Publisher {
    let inbox = inboxes.first().cloned();
    Box::new(move |kind, line| {
        let name = match kind {
            LogType::Error => "E",
            LogType::Warning => "W",
            LogType::Notice => "N",
            LogType::Information => "I",
            LogType::Subscribe => "M/subscribe",
            LogType::Unsubscribe => "M/unsubscribe",
            LogType::Websockets => "WS",
            LogType::Debug | LogType::Internal => return,
        };
        if let Some(inbox) = &inbox {
            let topic = format!("$SYS/broker/log/{name}");
            let (payload, qos) = (line.as_bytes().to_vec(), Qos::ExactlyOnce);
            inbox.post(Letter::Publish { topic, payload, qos, retain: false });
        }
    })
}
