//! The load on a broker that is killed again and again: publishers, durable subscribers that come and go, retained messages
//! set and deleted; and at the end the questions.

use crate::client::{Client, Log};
use crate::report::Report;
use grovemq_tests::{Broker, Kind, Random};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 6;
/// Unacknowledged messages of a publisher.
const WINDOW: usize = 10;
/// What everything that must come to an end has for it.
const PATIENCE: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(2);

/// Filters that a subscriber has from the beginning to the end, with their QoS.
pub(crate) fn filters(subscriber: usize) -> Vec<(String, u8)> {
    match subscriber % 3 {
        0 => vec![("m/#".into(), 2), (marker(subscriber), 1)],
        1 => vec![
            ("m/+/2/+".into(), 2),
            (format!("m/{}/1/#", subscriber % PUBLISHERS), 1),
            (marker(subscriber), 1),
        ],
        _ => vec![("m/+/+/0".into(), 1), (marker(subscriber), 1)],
    }
}

fn marker(subscriber: usize) -> String {
    format!("end/{subscriber}")
}

/// What clients and the main thread tell each other.
#[derive(Debug, Default)]
struct Signs {
    /// Nobody begins anything new.
    quiet: AtomicBool,
    /// Subscribers that have nothing open any more.
    settled: AtomicUsize,
    /// Publishers that have nothing open any more.
    drained: AtomicUsize,
    /// Messages acknowledged so far.
    acked: AtomicUsize,
    /// The broker is meant to be there.
    up: Mutex<bool>,
    changed: Condvar,
}

impl Signs {
    fn set_up(&self, up: bool) {
        *self.up.lock().unwrap() = up;
        self.changed.notify_all();
    }

    /// Waits a moment for a broker.
    fn wait_until_up(&self) {
        let up = self.up.lock().unwrap();
        drop(self.changed.wait_timeout_while(up, Duration::from_millis(200), |up| !*up).unwrap());
    }
}

pub(crate) struct Load {
    kind: Kind,
    broker: Option<Broker>,
    port: u16,
    random: Random,
    signs: Arc<Signs>,
    publishers: Vec<JoinHandle<Log>>,
    subscribers: Vec<JoinHandle<Log>>,
}

impl Load {
    /// A broker, its subscribers with their subscriptions, and publishers that begin.
    pub(crate) fn begin(kind: Kind, configuration: &str, seed: u64) -> Self {
        let broker = Broker::start_quietly(kind, configuration);
        let port = broker.port();
        let mut random = Random::new(seed);
        let signs = Arc::new(Signs { up: Mutex::new(true), ..Signs::default() });
        let mut subscribers = Vec::new();
        for n in 0..SUBSCRIBERS {
            let mut client = Client::new(&format!("s{n}"), port, true, Random::new(random.next()));
            assert!(client.connect());
            for (filter, qos) in filters(n) {
                client.subscribe(&filter, qos);
            }
            until("a subscription", || {
                client.step(STEP);
                client.is_idle()
            });
            subscribers.push(client);
        }
        let subscriber = |(n, client): (usize, Client)| {
            let signs = signs.clone();
            std::thread::spawn(move || subscribe(client, n, &signs))
        };
        let subscribers = subscribers.into_iter().enumerate().map(subscriber).collect();
        let publisher = |n| {
            let (client, signs) =
                (Client::new(&format!("p{n}"), port, true, Random::new(random.next())), signs.clone());
            std::thread::spawn(move || publish(client, n, &signs))
        };
        let publishers = (0..PUBLISHERS).map(publisher).collect();
        Self { kind, broker: Some(broker), port, random, signs, publishers, subscribers }
    }

    /// Kills the broker so often, then lets everybody come to an end, kills it once more, and asks what is left.
    pub(crate) fn run(mut self, cycles: u64) -> Report {
        for _ in 0..cycles {
            self.wait_a_little();
            self.kill();
        }
        self.signs.quiet.store(true, Ordering::SeqCst);
        let signs = self.signs.clone();
        until("the publishers' end", || {
            std::thread::sleep(STEP);
            signs.drained.load(Ordering::SeqCst) == PUBLISHERS
        });
        until("the subscribers' last requests", || {
            std::thread::sleep(STEP);
            signs.settled.load(Ordering::SeqCst) == SUBSCRIBERS
        });
        self.kill();
        let mut asker = Client::new("asker", self.port, false, Random::new(1));
        until("a connection", || asker.connect());
        let retained = Self::retained(&mut asker);
        // a probe for each subscription that comes and goes, then the sign that nothing will follow
        for n in 0..SUBSCRIBERS {
            for k in 0..FLICKERS {
                asker.publish(&flicker(n, k), 1, false, Some("probe"));
            }
            asker.publish(&marker(n), 1, false, Some("end"));
            until("the last messages", || {
                asker.step(STEP);
                asker.is_idle()
            });
        }
        let published: Vec<Log> = self.publishers.drain(..).map(|t| t.join().unwrap()).collect();
        let received: Vec<Log> = self.subscribers.drain(..).map(|t| t.join().unwrap()).collect();
        let name = if self.kind == Kind::Ours { "GroveMQ" } else { "Debian's mosquitto" };
        Report::new(name, cycles + 1, &published, &received, &retained)
    }

    /// For some time, or until some messages are acknowledged: a kill that finds nobody at work proves nothing.
    fn wait_a_little(&mut self) {
        if self.random.one_in(4) {
            return std::thread::sleep(Duration::from_millis(self.random.below(50) as u64));
        }
        let enough = self.signs.acked.load(Ordering::Relaxed) + self.random.below(300);
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.signs.acked.load(Ordering::Relaxed) < enough && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(self.random.below(2000) as u64));
        }
    }

    fn kill(&mut self) {
        let broker = self.broker.take().unwrap();
        self.signs.set_up(false);
        self.broker = Some(broker.kill_and_restart(self.kind));
        self.signs.set_up(true);
    }

    /// The retained messages of all topics that anybody might have set.
    fn retained(asker: &mut Client) -> BTreeMap<String, String> {
        for topic in (0..PUBLISHERS).flat_map(|n| (0..KEPT).map(move |k| kept(n, k))) {
            asker.subscribe(&topic, 1);
            asker.ping();
            until("an answer", || {
                asker.step(STEP);
                asker.is_answered()
            });
        }
        let arrivals = std::mem::take(&mut asker.log.arrivals);
        arrivals.into_iter().map(|a| (a.topic, a.text)).collect()
    }
}

/// Topics with retained messages, of each publisher.
const KEPT: usize = 4;
/// Subscriptions that come and go, of each subscriber.
const FLICKERS: usize = 3;

fn kept(publisher: usize, k: usize) -> String {
    format!("keep/{publisher}/{k}")
}

fn flicker(subscriber: usize, k: usize) -> String {
    format!("flick/{subscriber}/{k}")
}

/// Waits for what must come.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} does not come within {PATIENCE:?}");
    }
}

/// A publisher's life: as much as its window lets it, until all is acknowledged.
fn publish(mut client: Client, n: usize, signs: &Signs) -> Log {
    let deadline = |quiet: bool| quiet.then(|| Instant::now() + PATIENCE);
    let mut end = None;
    loop {
        let quiet = signs.quiet.load(Ordering::SeqCst);
        if quiet && client.is_idle() {
            break;
        }
        end = end.or_else(|| deadline(quiet));
        assert!(
            end.is_none_or(|end| Instant::now() < end),
            "{} does not come to an end: {client:?}",
            client.id
        );
        if !client.is_connected() {
            signs.wait_until_up();
            client.connect();
            continue;
        }
        while !quiet && client.unacknowledged() < WINDOW {
            let topic = format!("m/{n}/{{}}/{}", client.random.below(2));
            match client.random.below(100) {
                0 => {
                    // one QoS for each topic: only then is there an order
                    let k = client.random.below(KEPT);
                    let text = client.random.of(&[None, Some("kept")]);
                    client.publish(&kept(n, k), 1 + u8::from(k < KEPT / 2), true, text);
                }
                k => {
                    let qos = 1 + u8::from(k % 2 == 0);
                    client.publish(&topic.replace("{}", &qos.to_string()), qos, false, Some("message"));
                }
            }
        }
        if !quiet && client.random.one_in(100) {
            let politely = client.random.one_in(2);
            client.leave(politely);
        }
        let before = client.unacknowledged();
        client.step(STEP);
        signs.acked.fetch_add(before - client.unacknowledged(), Ordering::Relaxed);
    }
    signs.drained.fetch_add(1, Ordering::SeqCst);
    client.log
}

/// A subscriber's life: it comes and goes, and changes some of its subscriptions, until the sign of the end.
fn subscribe(mut client: Client, n: usize, signs: &Signs) -> Log {
    let (mut settled, mut end) = (false, None);
    let marker = marker(n);
    let mut looked_at = 0;
    let mut at_end = false;
    loop {
        let quiet = signs.quiet.load(Ordering::SeqCst);
        at_end |= client.log.arrivals[looked_at..].iter().any(|a| a.topic == marker);
        looked_at = client.log.arrivals.len();
        if at_end && client.is_idle() {
            return client.log;
        }
        if quiet && !settled && client.is_idle() {
            settled = true;
            signs.settled.fetch_add(1, Ordering::SeqCst);
        }
        if quiet {
            let end = *end.get_or_insert_with(|| Instant::now() + PATIENCE * 2);
            assert!(Instant::now() < end, "{} does not come to an end: {client:?}", client.id);
        }
        if !client.is_connected() {
            signs.wait_until_up();
            client.connect();
            continue;
        }
        if !quiet && client.random.one_in(100) {
            let politely = client.random.one_in(2);
            client.leave(politely);
            std::thread::sleep(Duration::from_millis(client.random.below(300) as u64));
            continue;
        }
        if !quiet && client.random.one_in(20) {
            let filter = flicker(n, client.random.below(FLICKERS));
            if client.random.one_in(2) {
                client.subscribe(&filter, 1);
            } else {
                client.unsubscribe(&filter);
            }
        }
        client.step(STEP);
    }
}
