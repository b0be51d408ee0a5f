//! The state machine of one bridge.
//!
//! ```text
//! Idle ──enough messages (lazy)──► Waiting ──time──► Opening ──stream──► Handshake ──CONNACK──► Online
//!   ▲                                 ▲                 │ no              │ no                    │ lost
//!   │ lazy                            └─────────────────┴──automatic──────┴───────────────────────┤
//!   └─────────────────────────────────────────────────────────────────────────────────────────────┤
//! Over ◄──once────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use super::link::{self, Cut, Request, STATE_QOS, Wire};
use super::mapping::{Mapping, Side};
use super::pace::Pace;
use super::relay::{Away, Policy, Relay, Shared, Unfinished};
use super::{Manner, Order, Plan, Setup};
use grovemq_client::{
    Client, ConnAckInfo, Disconnect, Error, Event, Message, Qos, ReasonCode, Refusal, RetainHandling,
    Subscription, Tls, Version,
};
use grovemq_config::{Bridge, BridgeAddress, BridgeReload, BridgeStart, LogType};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How long good-byes may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// A bridge from its start to its end.
pub(super) async fn run(setup: Setup, mut plan: Plan, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut manner = Manner::new(&plan.bridge);
    let mut stale = Vec::new();
    loop {
        let crossing = Crossing::new(&setup, &plan, manner, core::mem::take(&mut stale));
        match crossing.run(&mut orders).await {
            Outcome::Manner(other) => manner = other,
            Outcome::Changed(new) => {
                let topics =
                    |plan: &Plan| Mapping::new(plan.bridge.topics.clone()).subscriptions(Side::Local);
                let wanted = topics(&new);
                stale = topics(&plan).into_keys().filter(|filter| !wanted.contains_key(filter)).collect();
                manner = Manner::new(&new.bridge);
                plan = *new;
            }
            Outcome::Ended => return,
        }
    }
}

impl Manner {
    fn new(bridge: &Bridge) -> Self {
        Self { version: bridge.version, private: bridge.try_private, will_qos: STATE_QOS, will_retain: true }
    }
}

/// Why a pair of clients is given up.
enum Outcome {
    /// The other broker wants to be spoken to like this.
    Manner(Manner),
    /// The configuration has changed.
    Changed(Box<Plan>),
    Ended,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Opened = Result<Box<dyn Wire>, String>;

enum Phase {
    /// Until a message comes.
    Idle,
    Waiting(Instant),
    Opening(Later<Opened>),
    Handshake(Open),
    Online(Open),
    Over,
}

/// A connection to the other broker.
struct Open {
    address: BridgeAddress,
    since: Instant,
    /// Ends it.
    knife: oneshot::Sender<()>,
}

/// The two clients of a bridge and what happens between them.
struct Crossing<'a> {
    setup: &'a Setup,
    plan: &'a Plan,
    manner: Manner,
    /// As it was read last.
    tls: Option<Tls>,
    mapping: Arc<Mapping>,
    shared: Arc<Shared>,
    local: Client,
    remote: Client,
    lifecycle: mpsc::UnboundedReceiver<(Side, Event)>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// The remote client waits for a stream.
    request: Option<Request>,
    /// Relays and requests; they end with the bridge.
    tasks: JoinSet<()>,
    phase: Phase,
    pace: Pace,
    refusal: Option<Refusal>,
    /// The remote session was there before.
    known: bool,
    /// A change that waits for the end of the connection.
    next: Option<Box<Plan>>,
    first_answers: Option<Later<()>>,
}

/// What comes next to a bridge.
enum Step {
    Order(Option<Order>),
    Request(Option<Request>),
    Lifecycle(Option<(Side, Event)>),
    Opened(Opened),
    Woken,
    Time,
    FirstAnswers,
}

impl<'a> Crossing<'a> {
    fn new(setup: &'a Setup, plan: &'a Plan, manner: Manner, stale: Vec<String>) -> Self {
        let bridge = &plan.bridge;
        let (ask, requests) = mpsc::unbounded_channel();
        let (tell, lifecycle) = mpsc::unbounded_channel();
        let (local, local_events) = Client::start(link::local_options(setup, plan));
        let (remote, remote_events) = Client::start(link::remote_options(setup, plan, manner, ask));
        let mapping = Arc::new(Mapping::new(bridge.topics.clone()));
        let shared = Arc::new(Shared::default());
        let lazy = bridge.start_type == BridgeStart::Lazy;
        let away = match (lazy, bridge.local_cleansession) {
            (true, _) => Away::Keep { qos0_max: setup.limits.lazy_qos0_max },
            (false, true) => Away::Drop,
            (false, false) => Away::Keep { qos0_max: setup.limits.qos0_max },
        };
        let mut tasks = JoinSet::new();
        let out = Policy { from: Side::Local, retain: bridge.outgoing_retain, away };
        let back = Policy { from: Side::Remote, retain: true, away: Away::Keep { qos0_max: 0 } };
        for (policy, events, from, to) in
            [(out, local_events, &local, &remote), (back, remote_events, &remote, &local)]
        {
            let relay = Relay {
                name: bridge.name.clone(),
                events,
                from: from.clone(),
                to: to.clone(),
                mapping: mapping.clone(),
                policy,
                shared: shared.clone(),
                lifecycle: tell.clone(),
                log: setup.log.clone(),
                unfinished: Unfinished::default(),
            };
            tasks.spawn(relay.run());
        }
        let mut crossing = Self {
            setup,
            plan,
            manner,
            tls: plan.tls.clone(),
            mapping,
            shared,
            local,
            remote,
            lifecycle,
            requests,
            request: None,
            tasks,
            phase: if lazy { Phase::Idle } else { Phase::Waiting(Instant::now()) },
            pace: Pace::new(bridge.restart, bridge.addresses.len()),
            refusal: None,
            known: false,
            next: None,
            first_answers: None,
        };
        crossing.begin(stale);
        crossing
    }

    /// What waits for the other broker begins to wait.
    fn begin(&mut self, stale: Vec<String>) {
        if !stale.is_empty() {
            let local = self.local.clone();
            // only messages that are dropped come of a subscription that stays
            self.tasks.spawn(async move { drop(local.unsubscribe(&stale).await) });
        }
        if self.plan.bridge.notifications {
            self.tell_local("0");
        }
        self.subscribe(Side::Local, RetainHandling::Never);
    }

    async fn run(mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Outcome {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.try_open();
            let outcome = match self.step(orders).await {
                Step::Order(Some(Order::Change(plan))) => self.change(plan),
                Step::Order(Some(Order::End { for_good, done })) => {
                    self.say_goodbye(for_good).await;
                    // who asked may have stopped waiting
                    done.send(()).ok();
                    return Outcome::Ended;
                }
                Step::Order(None) | Step::Request(None) | Step::Lifecycle(None) => return Outcome::Ended,
                Step::Request(Some(request)) => {
                    self.request = Some(request);
                    None
                }
                Step::Lifecycle(Some((side, event))) => self.on_event(side, event),
                Step::Opened(result) => self.on_opened(result),
                Step::Woken => {
                    self.start_if_lazy();
                    None
                }
                Step::Time => {
                    self.on_time();
                    None
                }
                Step::FirstAnswers => {
                    self.return_to_first();
                    None
                }
            };
            if let Some(outcome) = outcome {
                if matches!(outcome, Outcome::Changed(_)) {
                    self.say_goodbye(false).await;
                }
                return outcome;
            }
        }
    }

    async fn step(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Step {
        let deadline = self.deadline();
        let opening = async {
            match &mut self.phase {
                Phase::Opening(opening) => opening.await,
                _ => std::future::pending().await,
            }
        };
        let first_answers = async {
            match &mut self.first_answers {
                Some(answers) => answers.await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => Step::Order(order),
            request = self.requests.recv() => Step::Request(request),
            event = self.lifecycle.recv() => Step::Lifecycle(event),
            result = opening => Step::Opened(result),
            () = self.shared.woken.notified() => Step::Woken,
            () = first_answers => Step::FirstAnswers,
            () = time => Step::Time,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            // the client asks at once, which makes it go on
            Phase::Waiting(at) => Some(*at).filter(|_| self.request.is_some()),
            Phase::Online(_) if self.is_lazy() => {
                Some(Instant::from_std(self.shared.last_activity()) + self.plan.bridge.idle_timeout)
            }
            _ => None,
        }
    }

    /// A lazy bridge has had nothing to do for long; or it is only time to go on.
    fn on_time(&mut self) {
        if !matches!(self.phase, Phase::Online(_)) {
            return;
        }
        self.shared.touch();
        if self.shared.waiting.load(Ordering::Acquire) == 0 {
            let name = &self.plan.bridge.name;
            self.setup
                .log
                .notice(format!("Bridge connection {name} has exceeded idle timeout, disconnecting."));
            self.cut();
        }
    }

    fn is_lazy(&self) -> bool {
        self.plan.bridge.start_type == BridgeStart::Lazy
    }

    fn start_if_lazy(&mut self) {
        let waiting = self.shared.waiting.load(Ordering::Acquire);
        if matches!(self.phase, Phase::Idle) && waiting >= usize::from(self.plan.bridge.threshold) {
            self.phase = Phase::Waiting(Instant::now());
        }
    }

    /// Opens a stream if it is time and somebody wants one.
    fn try_open(&mut self) {
        if !matches!(self.phase, Phase::Waiting(at) if at <= Instant::now()) || self.request.is_none() {
            return;
        }
        let (log, name) = (self.setup.log.clone(), self.plan.bridge.name.clone());
        let Some(address) = self.address() else { return };
        let step = move |number: u8, address: &BridgeAddress| {
            let BridgeAddress { host, port } = address;
            log.notice(format!("Connecting bridge (step {number}) {name} ({host}:{port})"));
        };
        step(1, &address);
        let plan = Plan { tls: self.tls.clone(), ..self.plan.clone() };
        self.phase = Phase::Opening(Box::pin(async move {
            let target = address.clone();
            link::open(&plan, &address, move || step(2, &target)).await
        }));
    }

    fn address(&self) -> Option<BridgeAddress> {
        self.plan.bridge.addresses.get(self.pace.address()).cloned()
    }

    fn on_opened(&mut self, result: Opened) -> Option<Outcome> {
        match (result, self.request.take(), self.address()) {
            (Ok(wire), Some(request), Some(address)) => {
                let (stream, knife) = Cut::new(wire);
                self.phase = Phase::Handshake(Open { address, since: Instant::now(), knife });
                // a client that has gone tells so itself
                request.send(Ok(stream)).ok();
                None
            }
            (Err(e), request, _) => {
                self.request = request;
                self.setup.log.error(format!("Error creating bridge: {e}."));
                self.rest(None)
            }
            _ => self.rest(None),
        }
    }

    fn on_event(&mut self, side: Side, event: Event) -> Option<Outcome> {
        let name = &self.plan.bridge.name;
        match (side, event) {
            (Side::Remote, Event::Connected(info)) => self.on_connected(&info),
            (Side::Remote, Event::Refused(refusal)) => self.refusal = Some(refusal),
            (Side::Remote, Event::Disconnected(error)) => return self.on_disconnected(&error),
            (_, Event::SubscriptionLost { filter, reason }) => {
                self.setup.log.warning(format!(
                    "Warning: Bridge {name} lost its subscription to '{filter}': {reason}."
                ));
            }
            (Side::Local, Event::Refused(refusal)) => {
                let reason = refusal.reason;
                self.setup.log.error(format!("Error: Bridge {name} is refused by its own broker: {reason}."));
            }
            _ => {}
        }
        None
    }

    fn on_connected(&mut self, info: &ConnAckInfo) {
        let (log, bridge) = (&self.setup.log, &self.plan.bridge);
        let Phase::Handshake(open) = core::mem::replace(&mut self.phase, Phase::Over) else { return };
        let open = Open { since: Instant::now(), ..open };
        let (name, BridgeAddress { host, port }) = (&bridge.name, &open.address);
        log.info(format!("Bridge {name} connected to {host}:{port}."));
        self.phase = Phase::Online(open);
        self.shared.touch();
        self.shared.online.store(true, Ordering::Release);
        if !bridge.round_robin && self.pace.is_away() {
            self.first_answers = Some(Box::pin(link::first_answers(bridge.clone())));
        }
        if bridge.notifications {
            self.tell_local("1");
            if !bridge.notifications_local_only {
                self.tell_remote("1");
            }
        }
        // the client itself renews subscriptions that the other broker has forgotten
        if !self.known || info.session_present {
            self.subscribe(Side::Remote, RetainHandling::Always);
        }
        if bridge.attempt_unsubscribe {
            self.unsubscribe_leftovers();
        }
        self.known = true;
        self.subscribe(Side::Local, RetainHandling::Always);
    }

    fn on_disconnected(&mut self, error: &Error) -> Option<Outcome> {
        self.shared.online.store(false, Ordering::Release);
        self.first_answers = None;
        let refusal = self.refusal.take();
        let phase = core::mem::replace(&mut self.phase, Phase::Over);
        let (log, bridge) = (&self.setup.log, &self.plan.bridge);
        let lasted = match phase {
            Phase::Online(open) => {
                let (name, BridgeAddress { host, port }) = (&bridge.name, &open.address);
                log.notice(format!("Bridge {name} disconnected from {host}:{port}: {error}."));
                if bridge.notifications {
                    self.tell_local("0");
                }
                Some(open.since.elapsed())
            }
            Phase::Handshake(_) => {
                let Some(refusal) = refusal else {
                    log.error(format!("Error creating bridge: {error}."));
                    return self.rest(None);
                };
                if let Some(manner) = self.refused(&refusal) {
                    return Some(Outcome::Manner(manner));
                }
                None
            }
            // nothing was open
            other => {
                self.phase = other;
                return None;
            }
        };
        self.rest(lasted)
    }

    /// Says why; gives how to try again, if it may help.
    fn refused(&self, refusal: &Refusal) -> Option<Manner> {
        let (log, now) = (&self.setup.log, self.manner);
        let name = &self.plan.bridge.name;
        match refusal.reason {
            ReasonCode::UnsupportedProtocolVersion if now.version == Version::V5 => {
                log.notice(format!(
                    "Warning: Remote bridge {name} does not support MQTT v5.0, reconnecting using MQTT v3.1.1."
                ));
                Some(Manner { version: Version::V311, ..now })
            }
            ReasonCode::UnsupportedProtocolVersion => {
                log.error("Connection Refused: unacceptable protocol version");
                now.private.then_some(Manner { private: false, ..now })
            }
            ReasonCode::RetainNotSupported if now.will_retain => {
                log.error("Connection Refused: retain not available (will retry)");
                Some(Manner { will_retain: false, ..now })
            }
            ReasonCode::QosNotSupported if now.will_qos != Qos::AtMostOnce => {
                log.error("Connection Refused: QoS not supported (will retry)");
                Some(Manner { will_qos: Qos::AtMostOnce, ..now })
            }
            reason => {
                let text = match refusal.v3_code {
                    Some(2) => "identifier rejected".to_owned(),
                    Some(3) => "broker unavailable".to_owned(),
                    Some(4) => "bad user name or password".to_owned(),
                    Some(5) => "not authorised".to_owned(),
                    Some(_) => "unknown reason".to_owned(),
                    None => reason.to_string(),
                };
                log.error(format!("Connection Refused: {text}"));
                None
            }
        }
    }

    /// After a failure, or a connection that lasted so long.
    fn rest(&mut self, lasted: Option<Duration>) -> Option<Outcome> {
        if let Some(next) = self.next.take() {
            return Some(Outcome::Changed(next));
        }
        let (log, name) = (&self.setup.log, &self.plan.bridge.name);
        let lazy = self.is_lazy();
        let busy = self.shared.waiting.load(Ordering::Acquire) >= usize::from(self.plan.bridge.threshold);
        self.phase = match self.plan.bridge.start_type {
            BridgeStart::Once => Phase::Over,
            BridgeStart::Lazy if lazy && !busy => Phase::Idle,
            _ => {
                let random = RandomState::new().hash_one(0u8);
                let next = self.pace.next(lasted, random);
                if next.reset {
                    log.info(format!("Bridge {name} connection was stable enough, resetting backoff"));
                }
                if next.varies {
                    let millis = next.time.as_millis();
                    log.info(format!("Bridge {name} next backoff will be {millis} ms"));
                }
                Phase::Waiting(Instant::now() + next.time)
            }
        };
        None
    }

    /// Ends the connection without a word, as a broken cable does: all that is under way is kept.
    fn cut(&mut self) {
        if let Phase::Online(open) = &mut self.phase {
            let (unused, _) = oneshot::channel();
            // a stream that has ended needs no knife
            core::mem::replace(&mut open.knife, unused).send(()).ok();
        }
    }

    fn return_to_first(&mut self) {
        self.first_answers = None;
        self.pace.return_to_first();
        self.cut();
    }

    fn change(&mut self, plan: Box<Plan>) -> Option<Outcome> {
        if self.plan.is_same(&plan.bridge) {
            self.next = None;
            // from the next connection on
            self.tls = plan.tls;
            return None;
        }
        let connected = matches!(self.phase, Phase::Online(_) | Phase::Handshake(_));
        if connected && plan.bridge.reload_type == BridgeReload::Lazy {
            self.next = Some(plan);
            return None;
        }
        Some(Outcome::Changed(plan))
    }

    /// Subscribes in the background; refusals are logged.
    fn subscribe(&mut self, side: Side, retain: RetainHandling) {
        let (client, id) = match side {
            Side::Local => (self.local.clone(), self.plan.bridge.local_client_id(&self.setup.host_name)),
            Side::Remote => (self.remote.clone(), self.plan.bridge.remote_client_id(&self.setup.host_name)),
        };
        let wanted = self.mapping.subscriptions(side).into_iter();
        let wanted: Vec<Subscription> = wanted
            .map(|(filter, qos)| {
                // [MQTT-3.8.3-4]
                let shared = filter.starts_with("$share/");
                Subscription::new(filter, qos)
                    .no_local(!shared)
                    .retain_as_published(true)
                    .retain_handling(retain)
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let (log, name) = (self.setup.log.clone(), self.plan.bridge.name.clone());
        for subscription in &wanted {
            let filter = &subscription.filter;
            let doing = if side == Side::Local { "doing local" } else { "sending" };
            log.line(LogType::Debug, format!("Bridge {id} {doing} SUBSCRIBE on topic {filter}"));
        }
        self.tasks.spawn(async move {
            for part in wanted.chunks(SUBSCRIPTIONS_AT_ONCE) {
                let Ok(codes) = client.subscribe(part).await else { return };
                for (subscription, reason) in part.iter().zip(codes).filter(|(_, reason)| reason.is_error()) {
                    let filter = &subscription.filter;
                    log.warning(format!("Warning: Bridge {name} may not subscribe to '{filter}': {reason}."));
                }
            }
        });
    }

    fn unsubscribe_leftovers(&mut self) {
        let leftovers = self.mapping.leftovers();
        let remote = self.remote.clone();
        self.tasks.spawn(async move {
            for part in leftovers.chunks(SUBSCRIPTIONS_AT_ONCE) {
                // that there was none is the usual answer
                drop(remote.unsubscribe(part).await);
            }
        });
    }

    fn tell_local(&mut self, state: &'static str) {
        let message = self.state_message(state);
        let local = self.local.clone();
        self.tasks.spawn(async move { drop(local.publish(message).await) });
    }

    fn tell_remote(&mut self, state: &'static str) {
        let message = self.state_message(state);
        let remote = self.remote.clone();
        self.tasks.spawn(async move { drop(remote.publish(message).await) });
    }

    fn state_message(&self, state: &'static str) -> Message {
        Message::new(self.plan.state_topic(self.setup), state).qos(STATE_QOS).retain(true)
    }

    /// Tells both brokers that the bridge ends, and lets go of its clients.
    async fn say_goodbye(&mut self, for_good: bool) {
        let online = matches!(self.phase, Phase::Online(_));
        // the relays pass nothing on from here; what is not acknowledged comes again to the next ones
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let bridge = &self.plan.bridge;
        let (local, remote) = (self.local.clone(), self.remote.clone());
        let message = self.state_message("0");
        let tell = bridge.notifications;
        let tell_remote = tell && online && !bridge.notifications_local_only;
        let goodbye = async {
            if tell_remote && let Ok(published) = remote.publish(message.clone()).await {
                // a broker that does not answer learns it from the will
                drop(published.await);
            }
            if online {
                remote.close();
            }
            if tell && let Ok(published) = local.publish(message).await {
                drop(published.await);
            }
            // a bridge that is gone for good leaves nothing to wait for it
            let session_expiry = for_good.then_some(0);
            drop(local.disconnect(Disconnect { session_expiry, ..Disconnect::default() }).await);
        };
        drop(timeout(GOODBYE_TIMEOUT, goodbye).await);
        self.remote.close();
        self.local.close();
    }
}

/// Filters of one SUBSCRIBE or UNSUBSCRIBE.
const SUBSCRIPTIONS_AT_ONCE: usize = 100;
