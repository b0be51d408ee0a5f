//! One client with the tasks that live on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grovemq_client::{Client, Error as ClientError, Event, Events, Message, ReasonCode, Version};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::actuator::ActuatorTask;
use crate::availability::Faults;
use crate::board::BoardLink;
use crate::discovery;
use crate::face::{Order, Present};
use crate::log::Log;
use crate::plan::{Plan, PlannedActuator};
use crate::rule::{Act, Follower};
use crate::sensor::SensorTask;

/// The connection that stands, by number; `None` while there is none.
pub(crate) type Online = Option<u64>;

/// A payload is shown up to this many characters.
const SHOWN_CHARS_MAX: usize = 60;
/// A connection lost sooner than this may be another client's doing.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// A client with the tasks of its sensors and actuators; these end with it.
pub(crate) struct Connection<'a> {
    plan: &'a Plan,
    version: Version,
    client: Client,
    events: Events,
    online: watch::Sender<Online>,
    connections: u64,
    connected_at: Option<Instant>,
    /// The trouble that was told last, so that each is told once.
    told: Option<String>,
    subscribed: Arc<AtomicBool>,
    lamps: Vec<Lamp<'a>>,
    present: Present,
    tasks: JoinSet<()>,
    log: Log,
}

/// Why listening ended.
pub(crate) enum End {
    /// The broker does not know MQTT 5, and another version may be tried.
    VersionRefused,
    Gone(ClientError),
}

struct Lamp<'a> {
    planned: &'a PlannedActuator,
    follower: Follower,
    wanted: watch::Sender<Act>,
}

impl<'a> Connection<'a> {
    /// Starts the client and the tasks; nothing is waited for.
    pub(crate) fn start(
        plan: &'a Plan,
        version: Version,
        board: &BoardLink,
        present: &Present,
        log: &Log,
    ) -> Self {
        let (client, events) = Client::start(plan.client_options(version));
        let online = watch::Sender::new(None);
        let faults = Faults::new(log.clone());
        let mut tasks = JoinSet::new();
        for (index, planned) in plan.sensors.iter().cloned().enumerate() {
            let (board, client, faults, log) = (board.clone(), client.clone(), faults.clone(), log.clone());
            let (online, present) = (online.subscribe(), present.clone());
            tasks.spawn(SensorTask { planned, board, client, index, present, online, faults, log }.run());
        }
        let mut lamps = Vec::with_capacity(plan.actuators.len());
        for (index, planned) in plan.actuators.iter().enumerate() {
            let follower = Follower::new(&planned.actuator);
            present.act(index, &follower.safe());
            let (sender, wanted) = watch::channel(follower.safe());
            let task = ActuatorTask::new(&planned.actuator, wanted, board, faults.clone(), log.clone());
            tasks.spawn(task.run());
            lamps.push(Lamp { planned, follower, wanted: sender });
        }
        tasks.spawn(faults.publish(client.clone(), plan.availability.clone(), online.subscribe()));
        Self {
            plan,
            version,
            client,
            events,
            online,
            connections: 0,
            connected_at: None,
            told: None,
            subscribed: Arc::default(),
            lamps,
            present: present.clone(),
            tasks,
            log: log.clone(),
        }
    }

    /// Follows what the client tells, and orders. Cancelling loses nothing.
    pub(crate) async fn listen(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        let mut last_error = ClientError::Closed;
        loop {
            let event = tokio::select! {
                event = self.events.next() => event,
                Some(order) = orders.recv() => {
                    self.carry_out(order);
                    continue;
                }
            };
            let Some(event) = event else { return End::Gone(last_error) };
            match event {
                Event::Connected(info) => {
                    let session = if info.session_present { ", session resumed" } else { "" };
                    self.connected(session);
                }
                Event::Message(received) => self.obey(&received.message),
                Event::Disconnected(error) => {
                    if self.is_version_trouble(&error) {
                        return End::VersionRefused;
                    }
                    self.disconnected(&error);
                    last_error = error;
                }
                Event::Reconnecting { delay } => {
                    self.log.detail(format_args!("next attempt in {:.1} s", delay.as_secs_f32()));
                }
                Event::SubscriptionLost { filter, reason } => {
                    self.log.say(format_args!(
                        "the broker does not renew the subscription to {filter}: {reason}"
                    ));
                    self.subscribed.store(false, Ordering::Relaxed);
                }
                // A refusal comes again as the reason of the disconnection.
                _ => {}
            }
        }
    }

    /// Ends the tasks; the client, and whether it is connected, stay.
    pub(crate) fn release(mut self) -> (Client, bool) {
        self.tasks.abort_all();
        (self.client, self.online.borrow().is_some())
    }

    fn connected(&mut self, session: &str) {
        let Plan { broker, client_id, .. } = self.plan;
        self.log.say(format_args!("connected to {}:{} as {client_id}{session}", broker.host, broker.port));
        self.told = None;
        self.connections += 1;
        self.connected_at = Some(Instant::now());
        if !self.subscribed.load(Ordering::Relaxed) {
            self.subscribe();
        }
        self.introduce();
        self.online.send_replace(Some(self.connections));
    }

    /// Tells Home Assistant what there is, if it is asked for.
    fn introduce(&mut self) {
        let messages = discovery::messages(self.plan);
        if messages.is_empty() {
            return;
        }
        let (client, log) = (self.client.clone(), self.log.clone());
        self.tasks.spawn(async move {
            for message in messages {
                log.detail(format_args!("introduced at {}", message.topic));
                // a closed client is the main loop's matter
                if client.send(message).await.is_err() {
                    return;
                }
            }
        });
    }

    fn subscribe(&mut self) {
        let subscriptions = self.plan.subscriptions();
        if subscriptions.is_empty() {
            return;
        }
        let (client, log, subscribed) = (self.client.clone(), self.log.clone(), Arc::clone(&self.subscribed));
        self.tasks.spawn(async move {
            match client.subscribe(&subscriptions).await {
                Ok(codes) => {
                    let refused = |code: &ReasonCode| code.is_error();
                    for (subscription, code) in subscriptions.iter().zip(&codes) {
                        let filter = &subscription.filter;
                        if refused(code) {
                            log.say(format_args!("the broker refuses the subscription to {filter}: {code}"));
                        } else {
                            log.detail(format_args!("subscribed to {filter}"));
                        }
                    }
                    subscribed.store(!codes.iter().any(refused), Ordering::Relaxed);
                }
                // The next connection brings another attempt.
                Err(error) => log.say(format_args!("not subscribed yet: {error}")),
            }
        });
    }

    fn disconnected(&mut self, error: &ClientError) {
        if self.online.send_if_modified(|online| online.take().is_some()) {
            self.make_safe();
        }
        let lived = self.connected_at.take().map(|since| since.elapsed());
        let Plan { broker, client_id, .. } = self.plan;
        let text = if let ClientError::ServerClosed { reason: ReasonCode::SessionTakenOver, .. } = error {
            format!(
                "another client has connected as {client_id} and taken over; every thing needs its own client_id, \
                 below [broker] in its file"
            )
        } else if let ClientError::Refused {
            reason: ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized,
            ..
        } = error
        {
            let who = match &broker.username {
                Some(username) => format!("for username {username:?} and its password"),
                None => "without username and password".to_owned(),
            };
            format!(
                "{}:{}: {error}, {who}; they stand below [broker] in the thing's file; trying again",
                broker.host, broker.port
            )
        } else {
            let what = if lived.is_some() { "" } else { "no connection: " };
            let cut = matches!(error, ClientError::ConnectionLost | ClientError::Io { .. });
            let suspicion = if cut && lived.is_some_and(|lived| lived < SHORT_LIFE) {
                format!("; perhaps another client is called {client_id} too")
            } else {
                String::new()
            };
            let address = format!("{}:{}", broker.host, broker.port);
            let error = error.to_string();
            let error = error.strip_prefix(&format!("{address}: ")).unwrap_or(&error);
            format!("{address}: {what}{error}{suspicion}; trying again")
        };
        if self.told.as_ref() != Some(&text) {
            self.log.say(&text);
            self.told = Some(text);
        }
    }

    /// Whether this is how a broker without MQTT 5 answers, and no version was asked for by name.
    fn is_version_trouble(&self, error: &ClientError) -> bool {
        let never_connected = self.connections == 0;
        let unknown_version = matches!(
            error,
            ClientError::Protocol(_)
                | ClientError::Refused { reason: ReasonCode::UnsupportedProtocolVersion, .. }
        );
        self.plan.broker.version.is_none()
            && self.version == Version::V5
            && never_connected
            && unknown_version
    }

    /// What is not to go on without a broker goes to its safe state.
    fn make_safe(&mut self) {
        for (index, Lamp { planned, follower, wanted }) in self.lamps.iter_mut().enumerate() {
            if planned.actuator.safe_when_offline {
                follower.forget();
                let safe = follower.safe();
                self.log.say(format_args!("{}: no broker: {safe}", planned.actuator.name));
                self.present.act(index, &safe);
                wanted.send_replace(safe);
            }
        }
    }

    /// Does what one actuator was told by itself.
    fn carry_out(&mut self, Order { actuator, payload, outcome }: Order) {
        let Some(Lamp { planned, follower, wanted }) = self.lamps.get_mut(actuator) else { return };
        let name = &planned.actuator.name;
        let done = follower.ordered(&payload).map_err(|ignored| ignored.to_string());
        let shown = shown(&payload);
        match &done {
            Ok(act) => {
                self.log.detail(format_args!("{name}: {shown} by CoAP"));
                self.present.actuator(actuator, &payload);
                wanted.send_replace(act.clone());
            }
            Err(ignored) => self.log.say(format_args!("{name}: ignores {shown} by CoAP: {ignored}")),
        }
        // whoever asked may be gone
        drop(outcome.send(done.map(drop)));
    }

    fn obey(&mut self, message: &Message) {
        let Message { topic, payload, .. } = message;
        for (index, Lamp { planned, follower, wanted }) in self.lamps.iter_mut().enumerate() {
            let Some(filter) = planned.listens_to(topic) else { continue };
            let name = &planned.actuator.name;
            match follower.hear(filter, topic, payload) {
                Ok(act) => {
                    self.log.detail(format_args!("{name}: {} from {topic:?}", shown(payload)));
                    self.present.actuator(index, payload);
                    wanted.send_replace(act);
                }
                Err(ignored) => {
                    let shown = shown(payload);
                    self.log.say(format_args!("{name}: ignores {shown} from {topic:?}: {ignored}"));
                }
            }
        }
    }
}

/// A payload on one short line, with nothing in it that a terminal would obey.
fn shown(payload: &[u8]) -> String {
    // No character takes more than four bytes: what lies behind is not shown anyway.
    let start = payload.get(..SHOWN_CHARS_MAX * 4).unwrap_or(payload);
    let text = String::from_utf8_lossy(start);
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if short.len() < text.len() || start.len() < payload.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_short_and_harmless() {
        assert_eq!(shown(b"Hello, World!"), "\"Hello, World!\"");
        assert_eq!(shown(b"\x1b[2J\n\xff"), "\"\\u{1b}[2J\\n\u{fffd}\"");
        assert_eq!(shown(&[b'x'; 60]), format!("\"{}\"", "x".repeat(60)));
        assert_eq!(shown(&[b'x'; 61]), format!("\"{}\"…", "x".repeat(60)));
        assert_eq!(shown(&vec![b'x'; 1 << 20]), format!("\"{}\"…", "x".repeat(60)));
    }
}
