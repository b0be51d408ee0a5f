//! One socket: requests to sessions, and their answers and news back.

use super::session::{Ask, Caller, Session, Told, content};
use super::{House, Terms};
use crate::inbox::Permit;
use crate::limits::{COAP_ASKS_MAX, COAP_EVICT_AFTER, COAP_IDLE_MAX, COAP_PROBE_PERIOD, COAP_SWEEP_PERIOD};
use grovemq_client::{Message, Qos};
use grovemq_coap::{Code, Endpoint, Format, Limits, Link, Lost, Method, Request, Response, link_format};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep_until};

/// Where topics stand.
const ROOT: &str = "ps";
/// Where the list of resources stands.
const LIST: &str = ".well-known/core";
/// Larger than any datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Answers and news of sessions that wait for the gateway.
const TOLD_MAX: usize = 256;

/// A gateway that is about to run.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) house: House,
    pub(super) terms: Arc<Mutex<Terms>>,
    pub(super) socket: UdpSocket,
    pub(super) stopped: oneshot::Receiver<()>,
}

/// What a running one knows.
struct Desk {
    house: House,
    terms: Arc<Mutex<Terms>>,
    endpoint: Endpoint,
    sessions: BTreeMap<u64, Open>,
    callers: HashMap<Caller, u64>,
    latest: u64,
    told: mpsc::Sender<(u64, Told)>,
}

/// A session as its gateway knows it. Dropping it ends it.
struct Open {
    caller: Caller,
    asks: mpsc::Sender<Ask>,
    used: Instant,
    /// Topics that are observed or about to be, and how many requests for it wait for their answer.
    topics: BTreeMap<String, usize>,
}

impl Gateway {
    /// Runs until it is stopped.
    pub(super) async fn run(self) {
        let Self { house, terms, socket, mut stopped } = self;
        let seed = RandomState::new().hash_one("gateway");
        let socket = match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => socket,
            Err(e) => return house.log.error(format!("Error: CoAP cannot be served: {e}.")),
        };
        let (told, mut news) = mpsc::channel(TOLD_MAX);
        let endpoint = Endpoint::new(Limits::default(), seed);
        let (sessions, callers) = (BTreeMap::new(), HashMap::new());
        let mut desk = Desk { house, terms, endpoint, sessions, callers, latest: 0, told };
        let mut sweep = interval(COAP_SWEEP_PERIOD);
        let mut probe = interval(COAP_PROBE_PERIOD);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            desk.forget_lost();
            while let Some((to, datagram)) = desk.endpoint.datagram() {
                // what cannot be sent is repeated like what was lost
                drop(socket.send_to(&datagram, to).await);
            }
            let tick = desk.endpoint.next_tick();
            tokio::select! {
                _ = &mut stopped => return,
                // an error is of an earlier datagram, which its receiver did not want
                received = socket.recv_from(&mut buffer) => if let Ok((length, from)) = received {
                    let datagram = buffer.get(..length).unwrap_or_default();
                    if let Some(request) = desk.endpoint.receive(Instant::now(), from, datagram) {
                        desk.serve(request);
                    }
                },
                Some((number, told)) = news.recv() => desk.hear(number, told),
                _ = sweep.tick() => desk.sweep(Instant::now()),
                _ = probe.tick() => desk.endpoint.probe(Instant::now()),
                () = until(tick) => desk.endpoint.tick(Instant::now()),
            }
        }
    }
}

impl Desk {
    fn serve(&mut self, request: Request) {
        let id = request.id;
        if let Some(response) = self.begin(request) {
            self.endpoint.respond(Instant::now(), id, &response);
        }
    }

    /// What can be answered at once.
    fn begin(&mut self, request: Request) -> Option<Response> {
        if request.path.join("/") == LIST {
            return Some(list(&request));
        }
        let topic = match topic_of(&request.path) {
            Ok(topic) => topic,
            Err(refusal) => return Some(refusal),
        };
        let caller = Caller {
            address: request.from,
            username: request.argument("u").map(str::to_owned),
            password: request.argument("p").map(str::to_owned),
        };
        let observed = request.observes.then(|| topic.clone());
        let ask = match ask(request, topic) {
            Ok(ask) => ask,
            Err(refusal) => return Some(refusal),
        };
        let now = Instant::now();
        if let Some(topic) = &observed
            && self.observer(caller.address, topic).is_some_and(|open| open.caller != caller)
        {
            return Some(Response::error(Code::BadRequest, "observed under another user name"));
        }
        let Some(open) = self.session(now, caller) else {
            return Some(Response::error(Code::ServiceUnavailable, "too many peers").max_age(1));
        };
        open.used = now;
        if open.asks.try_send(ask).is_err() {
            return Some(Response::error(Code::ServiceUnavailable, "too many requests").max_age(1));
        }
        if let Some(topic) = observed {
            *open.topics.entry(topic).or_default() += 1;
        }
        None
    }

    /// The caller's session, a new one if it has none; `None` where there is no room.
    fn session(&mut self, now: Instant, caller: Caller) -> Option<&mut Open> {
        let known = self.callers.get(&caller).copied();
        let number = match known {
            Some(number) => number,
            None => self.open(now, caller)?,
        };
        self.sessions.get_mut(&number)
    }

    fn open(&mut self, now: Instant, caller: Caller) -> Option<u64> {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(permit) = Permit::take([(&terms.count, terms.max), (&self.house.peers, House::PEERS_MAX)])
        else {
            // there will be room when it has gone
            self.evict(now);
            return None;
        };
        self.latest += 1;
        let number = self.latest;
        let (asks, queue) = mpsc::channel(COAP_ASKS_MAX);
        let session = Session {
            number,
            caller: caller.clone(),
            house: self.house.clone(),
            terms: self.terms.clone(),
            permit,
            told: self.told.clone(),
        };
        tokio::spawn(session.run(queue));
        self.callers.insert(caller.clone(), number);
        self.sessions.insert(number, Open { caller, asks, used: now, topics: BTreeMap::new() });
        Some(number)
    }

    /// Ends the session that has been idle longest.
    fn evict(&mut self, now: Instant) {
        let idle = self.sessions.iter().filter(|(_, open)| open.topics.is_empty());
        let oldest = idle.min_by_key(|(_, open)| open.used).map(|(number, open)| (*number, open.used));
        if let Some((number, used)) = oldest
            && now.duration_since(used) >= COAP_EVICT_AFTER
        {
            self.close(number);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let is_idle = |open: &Open| open.topics.is_empty() && now.duration_since(open.used) >= COAP_IDLE_MAX;
        let idle: Vec<u64> = self.sessions.iter().filter(|(_, o)| is_idle(o)).map(|(n, _)| *n).collect();
        for number in idle {
            self.close(number);
        }
    }

    fn close(&mut self, number: u64) -> Option<Open> {
        let open = self.sessions.remove(&number)?;
        self.callers.remove(&open.caller);
        Some(open)
    }

    fn hear(&mut self, number: u64, told: Told) {
        let now = Instant::now();
        match told {
            Told::Answer { id, response, observes } => {
                self.endpoint.respond(now, id, &response);
                if let Some(topic) = observes {
                    let open = self.sessions.get_mut(&number);
                    if let Some(waiting) = open.and_then(|open| open.topics.get_mut(&topic)) {
                        *waiting = waiting.saturating_sub(1);
                    }
                    self.forget_unobserved(number, &topic);
                }
            }
            Told::News { topic, payload } => {
                if let Some(open) = self.sessions.get(&number).filter(|open| open.topics.contains_key(&topic))
                {
                    let peer = Some(open.caller.address);
                    self.endpoint.notify(now, &resource(&topic), peer, &content(payload));
                }
            }
            Told::Ended(why) => self.end(now, number, &why),
        }
    }

    /// Closes a session and tells its observers.
    fn end(&mut self, now: Instant, number: u64, why: &Response) {
        let Some(open) = self.close(number) else { return };
        for topic in open.topics.keys() {
            self.endpoint.notify(now, &resource(topic), Some(open.caller.address), why);
        }
    }

    /// Ends the subscriptions of observers that are no more.
    fn forget_lost(&mut self) {
        while let Some(Lost { peer, resource }) = self.endpoint.lost() {
            let Some(topic) = resource.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let observer = |open: &Open| open.caller.address == peer && open.topics.contains_key(topic);
            let number = self.sessions.iter().find(|(_, open)| observer(open)).map(|(number, _)| *number);
            if let Some(number) = number {
                self.forget_unobserved(number, topic);
            }
        }
    }

    fn forget_unobserved(&mut self, number: u64, topic: &str) {
        let Some(open) = self.sessions.get_mut(&number) else { return };
        let is_awaited = open.topics.get(topic).is_some_and(|waiting| *waiting > 0);
        if is_awaited || self.endpoint.is_observed(&resource(topic), open.caller.address) {
            return;
        }
        let now = Instant::now();
        open.used = now;
        let forget = Ask::Forget { topic: topic.to_owned() };
        if open.topics.remove(topic).is_some() && open.asks.try_send(forget).is_err() {
            // too busy to forget: its subscriptions end with it
            self.end(now, number, &Response::error(Code::ServiceUnavailable, "too many requests"));
        }
    }

    fn observer(&self, peer: SocketAddr, topic: &str) -> Option<&Open> {
        self.sessions.values().find(|open| open.caller.address == peer && open.topics.contains_key(topic))
    }
}

/// What a request wants of its session.
fn ask(request: Request, topic: String) -> Result<Ask, Response> {
    let id = request.id;
    let (keep, confirmable) = (request.argument("retain") == Some("1"), request.confirmable);
    // who waits for an answer is told when the broker has it
    let qos = if confirmable { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    match request.method {
        Method::Put | Method::Post => {
            let message = Message::new(topic, request.payload).qos(qos).retain(keep);
            Ok(Ask::Publish { id, message, done: Code::Changed })
        }
        Method::Delete => {
            let message = Message::new(topic, Vec::new()).qos(qos).retain(true);
            Ok(Ask::Publish { id, message, done: Code::Deleted })
        }
        Method::Get if request.observes => Ok(Ask::Observe { id, topic }),
        Method::Get => Ok(Ask::Read { id, topic }),
        _ => Err(Response::new(Code::MethodNotAllowed)),
    }
}

/// The topic that a path names: one topic has one path.
fn topic_of(path: &[String]) -> Result<String, Response> {
    let bad = |why| Err(Response::error(Code::BadRequest, why));
    let segments = match path.split_first() {
        Some((root, segments)) if root == ROOT => segments,
        _ => return Err(Response::error(Code::NotFound, "topics are at /ps/")),
    };
    if segments.iter().any(|segment| segment.contains(['/', '\0'])) {
        return bad("not a level of a topic");
    }
    let topic = segments.join("/");
    if topic.is_empty() {
        return bad("a topic belongs behind /ps/");
    }
    if topic.contains(['+', '#']) || topic.starts_with("$share/") {
        return bad("one topic, not a filter");
    }
    Ok(topic)
}

fn resource(topic: &str) -> String {
    format!("{ROOT}/{topic}")
}

fn list(request: &Request) -> Response {
    if request.method != Method::Get {
        return Response::new(Code::MethodNotAllowed);
    }
    let link = Link { path: vec![ROOT.into()], kind: Some("core.ps".into()), ..Link::default() };
    Response::content(Format::LINKS, link_format(&[link], &request.query))
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_has_one_path() {
        let topic = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|segment| (*segment).to_owned()).collect();
            topic_of(&path).map_err(|refusal| refusal.code)
        };
        assert_eq!(topic(&["ps", "a", "b"]), Ok("a/b".into()));
        assert_eq!(topic(&["ps", "", "b"]), Ok("/b".into()));
        assert_eq!(topic(&["ps", "$SYS", "x"]), Ok("$SYS/x".into()));
        for path in [&["ps"][..], &["ps", ""], &["ps", "a/b"], &["ps", "+"], &["ps", "$share", "g", "t"]] {
            assert_eq!(topic(path), Err(Code::BadRequest), "{path:?}");
        }
        assert_eq!(topic(&["x"]), Err(Code::NotFound));
        assert_eq!(topic(&[]), Err(Code::NotFound));
    }
}
