//! Bridges: connections to other brokers, over which topics are exchanged.
//!
//! A bridge is two clients of the client library: one of the other broker, one of ours, through a pair of sockets inside
//! the process. A relay for each direction hands messages from one to the other, and acknowledges a message where it came
//! from only when it has been acknowledged where it goes to. What waits for a broker that is away waits in our session's
//! queue, with that queue's bounds.
//!
//! ```text
//! our broker ◄─ pair of sockets ─► local client ─► relay ─► remote client ◄─ TCP, TLS ─► other broker
//!                                             ▲    ◄─ relay ─◄   │ asks for streams
//!                                             └─ state machine ◄─┘
//! ```
//!
//! All of them share one thread, which is started with the first.

mod link;
mod mapping;
mod pace;
mod relay;
mod run;

use crate::inbox::Inbox;
use crate::log::Log;
use crate::security::Complaints;
use grovemq_client::{Qos, Tls, TlsVersion, Version};
use grovemq_config::{Bridge, Config};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often the first address is tried while another one is connected.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The bridges of a broker.
#[derive(Debug)]
pub(crate) struct Bridges {
    setup: Setup,
    /// The thread, once there was something to do for it.
    thread: Option<(mpsc::UnboundedSender<Job>, JoinHandle<()>)>,
}

/// What all bridges know of their broker.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    inboxes: Vec<Arc<Inbox>>,
    log: Log,
    host_name: String,
    limits: Limits,
}

/// What the configuration says of all clients.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// `QoS` 1 and 2 messages under way at a time.
    window: u16,
    /// Largest packet a client may send us.
    packet_bytes_max: u32,
    /// `QoS` 0 messages kept for a broker that is away; 0 is none.
    qos0_max: usize,
    /// The same for a lazy bridge.
    lazy_qos0_max: usize,
}

impl Limits {
    fn of(config: &Config) -> Self {
        let limits = &config.limits;
        let queued = limits.max_queued_messages.map_or(usize::MAX, |n| n as usize);
        Self {
            window: limits.max_inflight_messages.unwrap_or(u16::MAX),
            packet_bytes_max: limits.max_packet_size,
            qos0_max: if config.delivery.queue_qos0_messages { queued } else { 0 },
            lazy_qos0_max: queued,
        }
    }
}

/// A bridge that can be started: its certificates are read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) bridge: Bridge,
    tls: Option<Tls>,
}

/// How the other broker is spoken to, as far as it has been found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Manner {
    version: Version,
    private: bool,
    will_qos: Qos,
    will_retain: bool,
}

#[derive(Debug)]
enum Job {
    Apply(Setup, Vec<Plan>),
    Stop(Sender<()>),
}

/// What a running bridge is told.
#[derive(Debug)]
enum Order {
    /// Become this.
    Change(Box<Plan>),
    /// Come to an end, for good or for this run of the broker.
    End { for_good: bool, done: oneshot::Sender<()> },
}

impl Plan {
    /// Reads the certificates of all bridges; gives the warnings with it, or every error.
    pub(crate) fn all(config: &Config) -> Result<(Vec<Self>, Complaints), Complaints> {
        let (mut plans, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for bridge in &config.bridges {
            match tls(bridge, &mut warnings) {
                Ok(tls) => plans.push(Self { bridge: bridge.clone(), tls }),
                Err(e) => errors.push(match &bridge.place {
                    Some(place) => format!("{place}: Error: Bridge {}: {e}", bridge.name),
                    None => format!("Error: Bridge {}: {e}", bridge.name),
                }),
            }
        }
        if errors.is_empty() { Ok((plans, warnings)) } else { Err(errors) }
    }

    /// Where the bridge tells whether it is up.
    fn state_topic(&self, setup: &Setup) -> String {
        let usual =
            || format!("$SYS/broker/connection/{}/state", self.bridge.remote_client_id(&setup.host_name));
        self.bridge.notification_topic.clone().unwrap_or_else(usual)
    }

    /// The same bridge, wherever it stands.
    fn is_same(&self, other: &Bridge) -> bool {
        Bridge { place: None, ..self.bridge.clone() } == Bridge { place: None, ..other.clone() }
    }
}

fn tls(bridge: &Bridge, warnings: &mut Complaints) -> Result<Option<Tls>, String> {
    let from = &bridge.tls;
    if !from.is_on() {
        return Ok(None);
    }
    // for its warnings: the client has none
    grovemq_net::ciphers::provider(from.ciphers.as_deref(), from.ciphers_tls13.as_deref(), warnings)?;
    let lowest = if from.tls13_only { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
    let mut builder = Tls::builder().minimum_version(lowest);
    if let Some(list) = &from.ciphers {
        builder = builder.ciphers(list);
    }
    if let Some(list) = &from.ciphers_tls13 {
        builder = builder.ciphers_tls13(list);
    }
    if let Some(file) = &from.cafile {
        builder = builder.ca_file(file);
    }
    if let Some(dir) = &from.capath {
        builder = builder.ca_dir(dir);
    }
    if from.use_os_certs {
        builder = builder.system_certificates();
    }
    if let (Some(certificate), Some(key)) = (&from.certfile, &from.keyfile) {
        builder = builder.client_certificate(certificate, key);
    }
    if let Some(alpn) = &from.alpn {
        builder = builder.alpn(alpn.as_bytes());
    }
    if from.insecure {
        builder = builder.without_host_name_check();
    }
    builder.build().map(Some).map_err(|e| e.to_string())
}

impl Bridges {
    pub(crate) fn new(config: &Config, inboxes: &[Arc<Inbox>], log: &Log) -> Self {
        let host_name = gethostname::gethostname().to_string_lossy().into_owned();
        let (inboxes, log, limits) = (inboxes.to_vec(), log.clone(), Limits::of(config));
        Self { setup: Setup { inboxes, log, host_name, limits }, thread: None }
    }

    /// From now on there are these bridges: others end, changed ones change when their `bridge_reload_type` says so, and
    /// those that stay the same take no notice, except of new certificates.
    pub(crate) fn apply(&mut self, config: &Config, plans: Vec<Plan>) -> io::Result<()> {
        self.setup.limits = Limits::of(config);
        if plans.is_empty() && self.thread.is_none() {
            return Ok(());
        }
        if self.thread.is_none() {
            self.thread = Some(start(&self.setup.log)?);
        }
        if let Some((jobs, _)) = &self.thread {
            // without a thread the process ends
            jobs.send(Job::Apply(self.setup.clone(), plans)).ok();
        }
        Ok(())
    }

    /// Says good-bye everywhere, and waits for it a little.
    pub(crate) fn stop(&mut self) {
        let Some((jobs, thread)) = self.thread.take() else { return };
        let (done, wait) = std::sync::mpsc::channel();
        if jobs.send(Job::Stop(done)).is_ok() {
            wait.recv().ok();
        }
        thread.join().ok();
    }
}

fn start(log: &Log) -> io::Result<(mpsc::UnboundedSender<Job>, JoinHandle<()>)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build()?;
    let (jobs, queue) = mpsc::unbounded_channel();
    let thread = crate::spawn("bridges", log, move || {
        runtime.block_on(manage(queue));
        // a look at a name that hangs is not waited for
        runtime.shutdown_background();
        Ok(())
    })?;
    Ok((jobs, thread))
}

/// A bridge's task.
struct Running {
    bridge: Bridge,
    orders: mpsc::UnboundedSender<Order>,
}

async fn manage(mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Apply(setup, plans) => apply(&setup, &mut running, plans).await,
            Job::Stop(done) => {
                end(running.into_values().collect(), false).await;
                done.send(()).ok();
                return;
            }
        }
    }
}

async fn apply(setup: &Setup, running: &mut BTreeMap<String, Running>, plans: Vec<Plan>) {
    let gone: Vec<String> =
        running.keys().filter(|name| !plans.iter().any(|plan| plan.bridge.name == **name)).cloned().collect();
    end(gone.iter().filter_map(|name| running.remove(name)).collect(), true).await;
    for plan in plans {
        let bridge = plan.bridge.clone();
        if let Some(known) = running.get_mut(&bridge.name) {
            known.bridge = bridge;
            known.orders.send(Order::Change(Box::new(plan))).ok();
        } else {
            let (orders, queue) = mpsc::unbounded_channel();
            running.insert(bridge.name.clone(), Running { bridge, orders });
            tokio::spawn(run::run(setup.clone(), plan, queue));
        }
    }
}

/// Ends these all at once.
async fn end(running: Vec<Running>, for_good: bool) {
    let mut waits = Vec::new();
    for bridge in running {
        let (done, wait) = oneshot::channel();
        bridge.orders.send(Order::End { for_good, done }).ok();
        waits.push(wait);
    }
    for wait in waits {
        // a bridge that has ended by itself answers as well: it drops the other end
        wait.await.ok();
    }
}
