//! The MQTT broker: event loops around the deterministic core.
//!
//! [`Broker::start`] opens the sockets and starts one shard per processor; the [`Broker`] stops them all when told.
//!
//! Invariant: decides nothing about MQTT; that is `grovemq_core`'s.
#![forbid(unsafe_code)]

mod acceptor;
mod event_loop;
mod inbox;
mod limits;
mod log;
mod observer;
mod security;
mod settings;

pub use log::Log;

use acceptor::{Acceptor, Door};
use event_loop::{EventLoop, WAKE};
use grovemq_config::{Config, Listener, LogType, SocketDomain};
use grovemq_core::{Router, Settings, Shard};
use grovemq_net::listen;
use inbox::{Inbox, Letter};
use mio::{Poll, Waker};
use observer::LogObserver;
use security::{Gate, Security};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    addresses: Vec<SocketAddr>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Vec<JoinHandle<()>>,
    acceptor_waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    security: Security,
    router: Arc<Router>,
    log: Log,
}

/// Why a broker could not start.
#[derive(Debug)]
pub enum StartError {
    /// Password or ACL files that cannot be used; one text each, with file and line.
    Files(Vec<String>),
    /// A socket cannot be opened.
    Listen(String, io::Error),
    Thread(io::Error),
}

impl Broker {
    /// Opens the listeners and starts the event loops. Says so in the log, in the original's lines.
    pub fn start(config: &Config, log: Log) -> Result<Self, StartError> {
        let (security, warnings) = Security::load(config).map_err(StartError::Files)?;
        for warning in warnings {
            log.warning(warning);
        }
        let doors = open_doors(config, &log)?;
        let addresses = doors.iter().filter_map(|d| d.listener.local_addr().ok()).collect();
        let seed = RandomState::new().hash_one("seed");
        let settings = Arc::new(settings::settings(config, &security, seed));
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(seed)));
        let ports: Arc<[u16]> = listener_ports(config, &doors);
        let mut threads = Vec::new();
        let inboxes = start_shards(shard_count(config), &settings, &router, &security, &log, &ports, &mut threads)
            .map_err(StartError::Thread)?;
        if config.log.dest.contains(&grovemq_config::LogDest::Topic) {
            log.publish_with(log_publisher(&inboxes));
        }
        let poll = Poll::new().map_err(StartError::Thread)?;
        let acceptor_waker = Arc::new(Waker::new(poll.registry(), WAKE).map_err(StartError::Thread)?);
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            poll,
            doors,
            inboxes: inboxes.clone(),
            total: Arc::new(AtomicUsize::new(0)),
            total_max: config.limits.global_max_connections.map(|n| n as usize),
            stop: stop.clone(),
            log: log.clone(),
        };
        threads.push(spawn("accept", &log, move || acceptor.run()).map_err(StartError::Thread)?);
        Ok(Self { addresses, inboxes, threads, acceptor_waker, stop, security, router, log })
    }

    /// The sockets that listen, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Reads password and ACL files again; with any error all stays as it was.
    pub fn reload(&self) {
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

    /// Publishes a message of the broker's own, as on `$SYS`.
    pub fn publish(&self, topic: &str, payload: &[u8], retain: bool) {
        if let Some(inbox) = self.inboxes.first() {
            inbox.post(Letter::Publish { topic: topic.into(), payload: payload.into(), retain });
        }
    }

    /// Tells every client, sends the wills, closes all and waits until it is done.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.acceptor_waker.wake().ok();
        for inbox in &self.inboxes {
            inbox.post(Letter::Stop);
            inbox.waker().ok();
        }
        for thread in self.threads {
            thread.join().ok();
        }
    }
}

impl StartError {
    /// Exit code of the process, as the original's.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Files(_) => 3,
            Self::Listen(..) | Self::Thread(_) => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(errors) => f.write_str(&errors.join("\n")),
            Self::Listen(place, e) => write!(f, "Error: {} ({place})", io_text(e)),
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

fn start_shards(
    count: usize,
    settings: &Arc<Settings>,
    router: &Arc<Router>,
    security: &Security,
    log: &Log,
    ports: &Arc<[u16]>,
    threads: &mut Vec<JoinHandle<()>>,
) -> io::Result<Vec<Arc<Inbox>>> {
    let gates: Arc<[Gate]> = security.gates.clone().into();
    let logins = security::start_login_threads(gates)?;
    let polls = (0..count).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let inboxes = polls
        .iter()
        .map(|poll| Ok(Arc::new(Inbox::new(Waker::new(poll.registry(), WAKE)?))))
        .collect::<io::Result<Vec<_>>>()?;
    let epoch = Instant::now();
    let total = u16::try_from(count).unwrap_or(1);
    for (id, poll) in polls.into_iter().enumerate() {
        let observer = Box::new(LogObserver { log: log.clone(), ports: ports.clone() });
        let number = u16::try_from(id).unwrap_or(0);
        let shard = Shard::new(number, total, router.clone(), settings.clone(), observer);
        if let Some(event_loop) = EventLoop::new(id, shard, poll, inboxes.clone(), logins.clone(), epoch) {
            threads.push(spawn(&format!("shard-{id}"), log, move || event_loop.run())?);
        }
    }
    Ok(inboxes)
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

fn open_doors(config: &Config, log: &Log) -> Result<Vec<Door>, StartError> {
    let mut doors = Vec::new();
    for (index, listener) in config.listeners.iter().enumerate() {
        let count = Arc::new(AtomicUsize::new(0));
        let max = listener.max_connections.map(|n| n as usize);
        let before = doors.len();
        let mut failure = None;
        for address in addresses(listener).map_err(|e| StartError::Listen(place(listener), e))? {
            let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            log.info(format!("Opening {family} listen socket on port {}.", address.port()));
            match listen(address, listener.bind_interface.as_deref()) {
                Ok(socket) => {
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    doors.push(Door { listener: socket, index, count: count.clone(), max });
                }
                // a machine without IPv6 still serves IPv4
                Err(e) if address.is_ipv6() && is_absent(&e) => failure = Some(e),
                Err(e) => return Err(StartError::Listen(format!("port {}", address.port()), e)),
            }
        }
        if doors.len() == before && (doors.is_empty() || !listener.local_only) {
            let error = failure.unwrap_or_else(|| io::Error::other("no address to listen on"));
            return Err(StartError::Listen(place(listener), error));
        }
    }
    Ok(doors)
}

fn addresses(listener: &Listener) -> io::Result<Vec<SocketAddr>> {
    let port = listener.port;
    let wanted = |a: &SocketAddr| match listener.socket_domain {
        SocketDomain::Any => true,
        SocketDomain::Ipv4 => a.is_ipv4(),
        SocketDomain::Ipv6 => a.is_ipv6(),
    };
    let all: Vec<SocketAddr> = match &listener.host {
        Some(host) => (host.as_str(), port).to_socket_addrs()?.collect(),
        None if listener.local_only => {
            vec![SocketAddr::from(([127, 0, 0, 1], port)), (std::net::Ipv6Addr::LOCALHOST, port).into()]
        }
        None => vec![SocketAddr::from(([0, 0, 0, 0], port)), (std::net::Ipv6Addr::UNSPECIFIED, port).into()],
    };
    Ok(all.into_iter().filter(wanted).collect())
}

fn is_absent(e: &io::Error) -> bool {
    // address family not supported, or the address is not on this machine
    matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported) || e.raw_os_error() == Some(97)
}

fn place(listener: &Listener) -> String {
    match &listener.host {
        Some(host) => format!("{host}, port {}", listener.port),
        None => format!("port {}", listener.port),
    }
}

fn listener_ports(config: &Config, doors: &[Door]) -> Arc<[u16]> {
    let port = |i: usize, l: &Listener| {
        let door = doors.iter().find(|d| usize::from(d.index) == i);
        door.and_then(|d| d.listener.local_addr().ok()).map_or(l.port, |a| a.port())
    };
    config.listeners.iter().enumerate().map(|(i, l)| port(i, l)).collect()
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
            inbox.post(Letter::Publish { topic, payload: line.as_bytes().to_vec(), retain: false });
        }
    })
}
