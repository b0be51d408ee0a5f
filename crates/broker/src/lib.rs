//! The MQTT broker: event loops around the deterministic core.
//!
//! [`Broker::start`] opens the sockets and starts one shard per processor; the [`Broker`] stops them all when told.
//!
//! Invariant: decides nothing about MQTT; that is `grovemq_core`'s.
#![forbid(unsafe_code)]

mod acceptor;
mod control;
mod doors;
mod event_loop;
mod inbox;
mod limits;
mod lobby;
mod log;
mod observer;
mod persistence;
mod security;
mod settings;
mod sys;
mod tls;
mod undated;
mod watch;

pub use log::Log;

use acceptor::Acceptor;
use event_loop::{EventLoop, Neighbours, WAKE};
use grovemq_codec::Qos;
use grovemq_config::{Config, LogType};
use grovemq_core::{Router, Settings, Shard};
use inbox::{Inbox, Letter};
use lobby::{Lobby, LobbyDoor};
use mio::{Poll, Waker};
use observer::LogObserver;
use persistence::{Keeper, Persistence};
use security::{Gate, Security};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use sys::Sys;
use tls::Entries;

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    addresses: Vec<SocketAddr>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    /// The way to the store and its thread, where there is one.
    persistence: Option<(Persistence, JoinHandle<()>)>,
    /// To the thread of `$SYS` and `$CONTROL`.
    sys: SyncSender<sys::Job>,
    stop: Arc<AtomicBool>,
    security: Security,
    entries: Arc<Entries>,
    /// Keeps the thread that looks at certificates.
    watch: std::sync::mpsc::Sender<()>,
    lobbies: Vec<LobbyDoor>,
    router: Arc<Router>,
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
    /// The store cannot be used.
    Store(grovemq_store::Error),
    Thread(io::Error),
}

impl Broker {
    /// Opens the listeners and starts the event loops. Says so in the log, in the original's lines.
    pub fn start(config: &Config, log: Log) -> Result<Self, StartError> {
        let (security, warnings) = Security::load(config).map_err(StartError::Files)?;
        let (entries, more) = Entries::load(config).map_err(StartError::Tls)?;
        for warning in warnings.into_iter().chain(more) {
            log.warning(warning);
        }
        let entries = Arc::new(entries);
        let doors = doors::open(config, &log)?;
        let addresses = doors.iter().filter_map(|d| d.listener.local_addr()).collect();
        let seed = RandomState::new().hash_one("seed");
        let (epoch, wall_clock) = (Instant::now(), SystemTime::now());
        let mut store = persistence::open(config, wall_clock).map_err(StartError::Store)?;
        let settings = settings::settings(config, &security, seed);
        let store_epoch = store.is_some().then(|| persistence::millis(wall_clock));
        let settings = Arc::new(Settings { store_epoch, ..settings });
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(seed)));
        let ports: Arc<[u16]> = doors::ports(config, &doors);
        let mut threads = Vec::new();
        let (sys, jobs) = sys::channel();
        let observer = LogObserver { log: log.clone(), ports };
        let mut shards = make_shards(shard_count(config), &settings, &router, &observer);
        if let Some(store) = &mut store {
            persistence::recover(&mut **store, &mut shards, &router, &log).map_err(StartError::Store)?;
        }
        let persistence = store.is_some().then(Persistence::default);
        let inboxes = start_shards(shards, epoch, &security, &sys, persistence.as_ref(), &log, &mut threads)
            .map_err(StartError::Thread)?;
        let persistence = persistence.zip(store).map(|(persistence, store)| {
            let keeper =
                Keeper::new(store, &persistence, inboxes.clone(), router.clone(), config, log.clone());
            spawn("store", &log, move || keeper.run()).map(|thread| (persistence, thread))
        });
        let persistence = persistence.transpose().map_err(StartError::Thread)?;
        log.publish_with(log_publisher(&inboxes));
        threads.push(start_sys(config, jobs, &inboxes, &router, &log).map_err(StartError::Thread)?);
        let stop = Arc::new(AtomicBool::new(false));
        let lobbies = if doors.iter().any(|d| d.rules.is_some()) {
            let count = inboxes.len().min(limits::LOBBIES_MAX);
            start_lobbies(count, &inboxes, &stop, &log, &mut threads).map_err(StartError::Thread)?
        } else {
            Vec::new()
        };
        let (watch, stop_watch) = std::sync::mpsc::channel();
        if entries.has_files() {
            let (entries, own_log) = (entries.clone(), log.clone());
            let look = move || {
                watch::run(&entries, &own_log, &stop_watch);
                Ok(())
            };
            threads.push(spawn("watch", &log, look).map_err(StartError::Thread)?);
        }
        let total_max = config.limits.global_max_connections.map(|n| n as usize);
        let acceptor = Acceptor::new(doors, entries.clone(), lobbies.clone(), total_max, log.clone());
        if let Some(first) = inboxes.first() {
            first.post(Letter::Doors(Box::new(acceptor)));
        }
        Ok(Self {
            addresses,
            inboxes,
            threads,
            persistence,
            sys,
            stop,
            security,
            entries,
            watch,
            lobbies,
            router,
            log,
        })
    }

    /// The sockets that listen, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reads certificates, password and ACL files again; with any error all of that kind stays as it was.
    pub fn reload(&self) {
        watch::reload(&self.entries, &self.log);
        match self.security.reload() {
            Ok(warnings) => {
                for warning in warnings {
                    self.log.warning(warning);
                }
                self.router.invalidate();
            }
            Err(errors) => {
                for error in errors {
                    self.log.error(error);
                }
                self.log.error("Error: Nothing was reloaded, the previous settings stay in force.");
            }
        }
    }

    /// Takes over those settings of another configuration that need no new sockets and concern no client: the log, the
    /// period of `$SYS`, what `listListeners` shows.
    ///
    /// # Errors
    /// A log file cannot be opened, and nothing was taken over; the text names it.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        self.log.change(&config.log)?;
        self.sys.send(sys::Job::Configure(config.sys_interval, control::listed(config))).ok();
        Ok(())
    }

    /// Makes everything stored so far safe from a power cut, which `persistence_mode durable` does by itself.
    pub fn save(&self) {
        if let Some((persistence, _)) = &self.persistence {
            persistence.save();
        }
    }

    /// Publishes a message of the broker's own, as on `$SYS`.
    pub fn publish(&self, topic: &str, payload: &[u8], retain: bool) {
        if let Some(inbox) = self.inboxes.first() {
            let (topic, payload, qos) = (topic.into(), payload.into(), Qos::ExactlyOnce);
            inbox.post(Letter::Publish { topic, payload, qos, retain });
        }
    }

    /// Tells every client, sends the wills, closes all and waits until it is done.
    pub fn stop(self) {
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
        // after the last change of the last shard
        if let Some((persistence, keeper)) = self.persistence {
            persistence.stop();
            keeper.join().ok();
        }
    }
}

/// Loads certificates, keys and lists of all listeners as a start would, and forgets them: warnings, also of certificates
/// that have ended or soon will, or every error.
pub fn check_certificates(config: &Config) -> Result<Vec<String>, Vec<String>> {
    let (_, mut warnings) = Entries::load(config)?;
    warnings.extend(tls::ending(config, SystemTime::now()));
    Ok(warnings)
}

impl StartError {
    /// Exit code of the process, as the original's.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Files(_) => 3,
            Self::Tls(_) | Self::Listen(..) | Self::Store(_) | Self::Thread(_) => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(errors) | Self::Tls(errors) => f.write_str(&errors.join("\n")),
            Self::Listen(place, e) => write!(f, "Error: {} ({place})", io_text(e)),
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
    security: &Security,
    sys: &SyncSender<sys::Job>,
    persistence: Option<&Persistence>,
    log: &Log,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<Vec<Arc<Inbox>>> {
    let gates: Arc<[Gate]> = security.gates.clone().into();
    let logins = security::start_login_threads(&gates)?;
    let polls = shards.iter().map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let inboxes = polls
        .iter()
        .map(|poll| Ok(Arc::new(Inbox::new(Waker::new(poll.registry(), WAKE)?))))
        .collect::<io::Result<Vec<_>>>()?;
    let neighbours = Neighbours {
        inboxes: inboxes.clone(),
        logins,
        requests: sys.clone(),
        persistence: persistence.cloned(),
    };
    for (id, (shard, poll)) in shards.into_iter().zip(polls).enumerate() {
        if let Some(event_loop) = EventLoop::new(id, shard, poll, neighbours.clone(), epoch) {
            threads.push(spawn(&format!("shard-{id}"), log, move || event_loop.run())?);
        }
    }
    Ok(inboxes)
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
