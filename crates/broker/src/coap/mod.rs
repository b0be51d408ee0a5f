//! The gateway for CoAP: topics as resources at `/ps/TOPIC`, for listeners with `protocol coap`.
//!
//! Each peer with its user name is a session like any other: a client of the client library, which comes in through a pair of
//! sockets inside the process under the number of the gateway's listener. So logins, rules, limits and acknowledgements
//! are those of MQTT.
//!
//! ```text
//! datagrams ◄─ UDP ─► gateway: endpoint ─► session: client ◄─ pair of sockets ─► our broker
//!                        ▲     ◄─ answers, news ─◄
//! ```
//!
//! All of them share one thread, which is started with the first.

mod gateway;
mod session;

use crate::doors;
use crate::inbox::Inbox;
use crate::limits::COAP_PEERS_MAX;
use crate::listeners::{Slot, State};
use crate::log::Log;
use crate::security::Gates;
use crate::{StartError, spawn};
use gateway::Gateway;
use grovemq_config::{Listener, Protocol};
use grovemq_core::access::{Access, Authorize as _, Who};
use grovemq_core::router::Cursor;
use grovemq_core::{Router, Time};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The gateways of a broker.
#[derive(Debug)]
pub(crate) struct Gateways {
    house: House,
    running: Vec<Running>,
    /// The thread, once there was something to do for it.
    thread: Option<(mpsc::UnboundedSender<Gateway>, JoinHandle<()>)>,
}

/// A socket of a listener, open and not yet served.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The listener's.
    pub(crate) number: usize,
    socket: UdpSocket,
}

/// What all gateways know of their broker.
#[derive(Clone, Debug)]
struct House {
    inbox: Option<Arc<Inbox>>,
    router: Arc<Router>,
    gates: Gates,
    /// Where the core's time begins.
    epoch: Instant,
    /// Sessions of all gateways.
    peers: Arc<AtomicUsize>,
    log: Log,
}

/// What a gateway knows of its listener, which a reload may change.
#[derive(Clone, Debug)]
struct Terms {
    number: u16,
    mount: Arc<str>,
    /// Sessions, and their limit.
    count: Arc<AtomicUsize>,
    max: Option<usize>,
}

/// One socket's gateway.
#[derive(Debug)]
struct Running {
    number: usize,
    terms: Arc<Mutex<Terms>>,
    /// Dropping it ends the gateway.
    _stop: oneshot::Sender<()>,
}

/// Opens the sockets of a listener; none if it does not speak CoAP.
pub(crate) fn open(slot: &Slot, number: usize, log: &Log) -> Result<Vec<Opened>, StartError> {
    let listener = &slot.listener;
    if listener.protocol != Protocol::Coap {
        return Ok(Vec::new());
    }
    let fail = |e| StartError::Listen(format!("CoAP, port {}", listener.port), e);
    let (mut opened, mut failure) = (Vec::new(), None);
    for address in doors::addresses(listener).map_err(fail)? {
        log.info(format!("Opening coap socket on port {}.", address.port()));
        match bind(listener, address) {
            Ok(socket) => opened.push(Opened { number, socket }),
            // a machine without IPv6 still serves IPv4
            Err(e) if address.is_ipv6() && doors::is_absent(&e) => failure = Some(e),
            Err(e) => return Err(fail(e)),
        }
    }
    if opened.is_empty() {
        return Err(fail(failure.unwrap_or_else(|| io::Error::other("no address to listen on"))));
    }
    Ok(opened)
}

fn bind(listener: &Listener, address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(name) = &listener.bind_interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl Opened {
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}

impl Gateways {
    pub(crate) fn new(
        inboxes: &[Arc<Inbox>],
        router: &Arc<Router>,
        gates: &Gates,
        epoch: Instant,
        log: &Log,
    ) -> Self {
        let (inbox, peers) = (inboxes.first().cloned(), Arc::default());
        let house =
            House { inbox, router: router.clone(), gates: gates.clone(), epoch, peers, log: log.clone() };
        Self { house, running: Vec::new(), thread: None }
    }

    /// From now on there are these listeners. `kept`: sockets that stay, by the number of the listener they have had, with
    /// the one they have from now on; all others close.
    pub(crate) fn apply(
        &mut self,
        slots: &[Slot],
        kept: &[(usize, usize)],
        opened: Vec<Opened>,
    ) -> io::Result<()> {
        self.running.retain_mut(|running| {
            let Some((_, number)) = kept.iter().find(|(from, _)| *from == running.number) else {
                return false;
            };
            running.number = *number;
            if let Some(terms) = slots.get(*number).and_then(|slot| Terms::of(slot, *number)) {
                *running.terms.lock().unwrap_or_else(PoisonError::into_inner) = terms;
            }
            true
        });
        if self.thread.is_none() && !opened.is_empty() {
            self.thread = Some(start(&self.house.log)?);
        }
        for Opened { number, socket } in opened {
            let Some(terms) = slots.get(number).and_then(|slot| Terms::of(slot, number)) else { continue };
            let terms = Arc::new(Mutex::new(terms));
            let (stop, stopped) = oneshot::channel();
            let gateway = Gateway { house: self.house.clone(), terms: terms.clone(), socket, stopped };
            if let Some((jobs, _)) = &self.thread {
                // without a thread the process ends
                jobs.send(gateway).ok();
            }
            self.running.push(Running { number, terms, _stop: stop });
        }
        Ok(())
    }

    /// Closes all sockets.
    pub(crate) fn stop(self) {
        drop(self.running);
        if let Some((jobs, thread)) = self.thread {
            drop(jobs);
            thread.join().ok();
        }
    }
}

fn start(log: &Log) -> io::Result<(mpsc::UnboundedSender<Gateway>, JoinHandle<()>)> {
    // names are looked up by nobody: a single thread is enough
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (jobs, mut queue) = mpsc::unbounded_channel::<Gateway>();
    let thread = spawn("coap", log, move || {
        runtime.block_on(async {
            while let Some(gateway) = queue.recv().await {
                tokio::spawn(gateway.run());
            }
        });
        runtime.shutdown_background();
        Ok(())
    })?;
    Ok((jobs, thread))
}

impl Terms {
    fn of(slot: &Slot, number: usize) -> Option<Self> {
        let listens = slot.state == State::Open && slot.listener.protocol == Protocol::Coap;
        listens.then(|| Self {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            mount: slot.listener.mount_point.as_deref().unwrap_or_default().into(),
            count: slot.count.clone(),
            max: slot.max(),
        })
    }

    /// The topic as the broker knows it.
    fn whole(&self, topic: &str) -> String {
        [&self.mount, topic].concat()
    }
}

impl House {
    /// Whether the listener's rules allow this, which for reading MQTT says by silence.
    fn may(&self, terms: &Terms, who: Who<'_>, access: Access, topic: &str) -> bool {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        let rules = gates.get(usize::from(terms.number)).and_then(|gate| gate.rules.clone());
        drop(gates);
        rules.is_none_or(|rules| rules.check(who, access, &terms.whole(topic)).is_ok())
    }

    /// The payload retained for a topic.
    fn retained(&self, terms: &Terms, topic: &str) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        self.router.retained().collect(&terms.whole(topic), None, &mut Cursor::Start, 1, &mut found);
        let now = Time(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX));
        found.pop().filter(|message| !message.is_expired(now)).map(|message| message.payload().to_vec())
    }

    /// There is room for so many peers.
    const PEERS_MAX: Option<usize> = Some(COAP_PEERS_MAX);
}
