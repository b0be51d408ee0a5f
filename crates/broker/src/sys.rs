//! The broker's own thread: the `$SYS` topics at their times, and answers to `$CONTROL` requests.
//!
//! | below `$SYS/broker/` | is |
//! |---|---|
//! | `version`, `uptime` | this broker's; seconds since its start |
//! | `clients/total`, `connected` (`active`), `disconnected` (`inactive`) | sessions, and those with and without a connection |
//! | `clients/maximum`, `expired` | most sessions seen at a time; sessions that expired |
//! | `messages/received`, `sent`, `bytes/received`, `sent` | packets of every kind, and their bytes |
//! | `publish/messages/…`, `publish/bytes/…` | PUBLISH packets received, sent, dropped, and their payload bytes |
//! | `messages/stored` (`store/messages/count`), `store/messages/bytes` | retained messages, and those queued or in flight, once for each receiver |
//! | `retained messages/count`, `subscriptions/count`, `shared_subscriptions/count` | what clients and the broker keep, these topics included |
//! | `packet/out/bytes`, `packet/out/count` | what clients' sockets have not taken yet; the count is estimated by the mean packet |
//! | `connections/socket/count` | connections accepted since the start |
//! | `heap/current`, `heap/maximum` | bytes of anonymous memory in use (Linux), and the most seen |
//! | `process/cpu`, `process/cpu_seconds` | per cent of one core since the last update; processor time since the start |
//! | `load/…/1min`, `5min`, `15min` | moving averages per minute |
//!
//! Each is retained and published when it changes. The shards count in plain variables of their own; a shard is asked for
//! its numbers by a letter, once per update.

use crate::control::{self, Listed};
use crate::inbox::{Inbox, Letter};
use crate::limits::{CONTROL_REQUESTS_MAX, REPORT_TIME_MAX};
use crate::log::Log;
use grovemq_codec::Qos;
use grovemq_core::observe::{Census, Stats};
use grovemq_core::{Request, Router};
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the thread is asked to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// A client's request on a `$CONTROL/` topic.
    Control(Request),
    /// Another `sys_interval` (`None` is off), and other listeners for `listListeners`.
    Configure(Option<Duration>, Vec<Listed>),
    Stop,
}

/// Where shards send requests to: never waits, says when there are too many.
pub(crate) fn channel() -> (SyncSender<Job>, Receiver<Job>) {
    mpsc::sync_channel(CONTROL_REQUESTS_MAX)
}

pub(crate) struct Sys {
    pub(crate) jobs: Receiver<Job>,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) router: Arc<Router>,
    pub(crate) listeners: Vec<Listed>,
    pub(crate) interval: Option<Duration>,
    pub(crate) log: Log,
}

impl Sys {
    /// Runs until [`Job::Stop`], or until nobody is left who could send it.
    pub(crate) fn run(mut self) {
        let start = Instant::now();
        let mut tree = Tree::default();
        if self.interval.is_some() {
            self.update(&mut tree, start);
        }
        loop {
            let job = match self.interval {
                None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(interval) => self.jobs.recv_timeout(until_multiple(interval, SystemTime::now())),
            };
            match job {
                Err(RecvTimeoutError::Timeout) => self.update(&mut tree, start),
                Err(RecvTimeoutError::Disconnected) | Ok(Job::Stop) => return,
                Ok(Job::Configure(interval, listeners)) => {
                    self.interval = interval;
                    self.listeners = listeners;
                }
                Ok(Job::Control(request)) => self.answer(&request),
            }
        }
    }

    fn answer(&self, request: &Request) {
        // a topic nobody serves is accepted and has no effect, as in the original
        if &*request.topic == control::TOPIC {
            let payload = control::answer(request, &self.listeners, &self.log);
            self.publish(control::RESPONSE_TOPIC, payload, Qos::AtMostOnce, false);
        }
    }

    fn update(&self, tree: &mut Tree, start: Instant) {
        let Some(totals) = self.totals() else { return };
        tree.update(start.elapsed(), &totals, |topic, text| {
            self.publish(&format!("$SYS/broker/{topic}"), text.into(), Qos::ExactlyOnce, true);
        });
    }

    /// Asks every shard; `None` when one does not answer in time.
    fn totals(&self) -> Option<Totals> {
        let (reply, reports) = mpsc::channel();
        for inbox in &self.inboxes {
            inbox.post(Letter::Report(reply.clone()));
        }
        drop(reply);
        let deadline = Instant::now() + REPORT_TIME_MAX;
        let mut totals = Totals::default();
        for _ in &self.inboxes {
            let left = deadline.saturating_duration_since(Instant::now());
            let (stats, census) = reports.recv_timeout(left).ok()?;
            add_stats(&mut totals.stats, &stats);
            add_census(&mut totals.census, &census);
        }
        (totals.subscriptions, totals.shared_subscriptions) = self.router.subscription_counts();
        let retained = self.router.retained();
        (totals.retained, totals.retained_bytes) = (retained.len(), retained.bytes());
        drop(retained);
        totals.heap_bytes = heap_bytes();
        totals.cpu = cpu_time();
        Some(totals)
    }

    fn publish(&self, topic: &str, payload: Vec<u8>, qos: Qos, retain: bool) {
        if let Some(inbox) = self.inboxes.first() {
            inbox.post(Letter::Publish { topic: topic.into(), payload, qos, retain });
        }
    }
}

/// The broker's numbers at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    stats: Stats,
    census: Census,
    subscriptions: usize,
    shared_subscriptions: usize,
    retained: usize,
    retained_bytes: usize,
    /// 0 where the system does not say.
    heap_bytes: u64,
    cpu: Duration,
}

impl Totals {
    /// How many packets the waiting bytes are, if they are like those sent before.
    fn packets_waiting(&self) -> u64 {
        let mean = self.stats.bytes_sent.checked_div(self.stats.messages_sent).unwrap_or(0).max(2);
        self.census.output_bytes.div_ceil(mean)
    }
}

type Number = fn(&Totals) -> u64;
type Counter = fn(&Stats) -> u64;

/// Topics below `$SYS/broker/` with a whole number each.
#[rustfmt::skip]
const NUMBERS: &[(&str, Number)] = &[
    ("clients/total", |t| t.census.sessions),
    ("clients/connected", |t| t.census.connected),
    ("clients/active", |t| t.census.connected),
    ("clients/disconnected", |t| t.census.sessions.saturating_sub(t.census.connected)),
    ("clients/inactive", |t| t.census.sessions.saturating_sub(t.census.connected)),
    ("clients/expired", |t| t.stats.sessions_expired),
    ("messages/received", |t| t.stats.messages_received),
    ("messages/sent", |t| t.stats.messages_sent),
    ("messages/stored", |t| t.retained as u64 + t.census.messages),
    ("store/messages/count", |t| t.retained as u64 + t.census.messages),
    ("store/messages/bytes", |t| t.retained_bytes as u64 + t.census.message_bytes),
    ("publish/messages/received", |t| t.stats.publish_received),
    ("publish/messages/sent", |t| t.stats.publish_sent),
    ("publish/messages/dropped", |t| t.stats.publish_dropped),
    ("publish/bytes/received", |t| t.stats.publish_bytes_received),
    ("publish/bytes/sent", |t| t.stats.publish_bytes_sent),
    ("bytes/received", |t| t.stats.bytes_received),
    ("bytes/sent", |t| t.stats.bytes_sent),
    ("subscriptions/count", |t| t.subscriptions as u64),
    ("shared_subscriptions/count", |t| t.shared_subscriptions as u64),
    ("retained messages/count", |t| t.retained as u64),
    ("packet/out/count", Totals::packets_waiting),
    ("packet/out/bytes", |t| t.census.output_bytes),
    ("connections/socket/count", |t| t.stats.connections),
    ("heap/current", |t| t.heap_bytes),
    ("process/cpu_seconds", |t| t.cpu.as_secs()),
];

/// Those that only rise.
#[rustfmt::skip]
const MAXIMA: &[(&str, Number)] = &[
    ("clients/maximum", |t| t.census.sessions),
    ("heap/maximum", |t| t.heap_bytes),
];

/// Averages below `load/`, and the counters whose growth they follow.
#[rustfmt::skip]
const LOADS: &[(&str, Counter)] = &[
    ("messages/received", |s| s.messages_received),
    ("messages/sent", |s| s.messages_sent),
    ("publish/received", |s| s.publish_received),
    ("publish/sent", |s| s.publish_sent),
    ("publish/dropped", |s| s.publish_dropped),
    ("bytes/received", |s| s.bytes_received),
    ("bytes/sent", |s| s.bytes_sent),
    ("sockets", |s| s.connections),
    ("connections", |s| s.connects),
];

/// Name and seconds of the spans averaged over.
const SPANS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

/// A change of a load or of the processor's use below this is not published.
const CHANGE_MIN: f64 = 0.01;

/// What was published last.
#[derive(Debug, Default)]
struct Tree {
    /// `None` before the first update, at which everything is published.
    last: Option<(Duration, Totals)>,
    maxima: [u64; MAXIMA.len()],
    loads: [[f64; SPANS.len()]; LOADS.len()],
    cpu_percent: f64,
}

impl Tree {
    /// Publishes what has changed; topics are given without `$SYS/broker/`.
    fn update(&mut self, uptime: Duration, totals: &Totals, mut publish: impl FnMut(&str, String)) {
        let first = self.last.is_none();
        if first {
            publish("version", format!("grovemq version {}", env!("CARGO_PKG_VERSION")));
        }
        publish("uptime", format!("{} seconds", uptime.as_secs()));
        let (last_uptime, last) = self.last.unwrap_or_default();
        let elapsed = uptime.saturating_sub(last_uptime).as_secs_f64();
        self.update_loads(first, elapsed, &last.stats, &totals.stats, &mut publish);
        let percent = if elapsed > 0.0 {
            totals.cpu.saturating_sub(last.cpu).as_secs_f64() / elapsed * 100.0
        } else {
            0.0
        };
        if first || (percent - self.cpu_percent).abs() >= CHANGE_MIN {
            self.cpu_percent = percent;
            publish("process/cpu", format!("{percent:.2}"));
        }
        for (topic, number) in NUMBERS {
            let n = number(totals);
            if first || n != number(&last) {
                publish(topic, n.to_string());
            }
        }
        for ((topic, number), max) in MAXIMA.iter().zip(&mut self.maxima) {
            let n = number(totals);
            if first || n > *max {
                *max = n;
                publish(topic, n.to_string());
            }
        }
        self.last = Some((uptime, *totals));
    }

    /// The growth per minute since the last update, averaged exponentially.
    fn update_loads(
        &mut self,
        first: bool,
        elapsed: f64,
        last: &Stats,
        now: &Stats,
        publish: &mut impl FnMut(&str, String),
    ) {
        let mut topic = String::new();
        for ((name, counter), averages) in LOADS.iter().zip(&mut self.loads) {
            let growth = counter(now).saturating_sub(counter(last));
            for ((span, seconds), average) in SPANS.iter().zip(averages) {
                let mut new = *average;
                if !first && elapsed > 0.0 {
                    #[expect(clippy::cast_precision_loss, reason = "an average with two decimals")]
                    let per_minute = growth as f64 * 60.0 / elapsed;
                    // not the system's `exp`: a whole library would be loaded for it
                    new = per_minute + libm::exp(-elapsed / seconds) * (*average - per_minute);
                }
                if first || (new - *average).abs() >= CHANGE_MIN {
                    topic.clear();
                    let _infallible = write!(topic, "load/{name}/{span}");
                    publish(&topic, format!("{new:.2}"));
                }
                *average = new;
            }
        }
    }
}

/// The time to the next moment that is a whole multiple of the interval since 1970.
fn until_multiple(interval: Duration, now: SystemTime) -> Duration {
    let interval = interval.as_millis().max(1);
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Duration::from_millis(u64::try_from(interval - since % interval).unwrap_or(u64::MAX))
}

fn add_stats(sum: &mut Stats, s: &Stats) {
    sum.bytes_received += s.bytes_received;
    sum.bytes_sent += s.bytes_sent;
    sum.messages_received += s.messages_received;
    sum.messages_sent += s.messages_sent;
    sum.publish_received += s.publish_received;
    sum.publish_sent += s.publish_sent;
    sum.publish_dropped += s.publish_dropped;
    sum.publish_bytes_received += s.publish_bytes_received;
    sum.publish_bytes_sent += s.publish_bytes_sent;
    sum.connections += s.connections;
    sum.connects += s.connects;
    sum.sessions_expired += s.sessions_expired;
}

fn add_census(sum: &mut Census, c: &Census) {
    sum.sessions += c.sessions;
    sum.connected += c.connected;
    sum.messages += c.messages;
    sum.message_bytes += c.message_bytes;
    sum.output_bytes += c.output_bytes;
}

/// Anonymous memory in use, in bytes; 0 where the system does not say.
pub(crate) fn heap_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) << 10
}

/// Processor time of all threads since the process began.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn update(tree: &mut Tree, seconds: u64, totals: &Totals) -> BTreeMap<String, String> {
        let mut published = BTreeMap::new();
        tree.update(Duration::from_secs(seconds), totals, |topic, text| {
            assert_eq!(published.insert(topic.to_owned(), text), None, "{topic} twice");
        });
        published
    }

    #[test]
    fn the_first_update_publishes_the_whole_tree() {
        let published = update(&mut Tree::default(), 0, &Totals::default());
        let rest = ["version", "uptime", "process/cpu"].len();
        assert_eq!(published.len(), rest + NUMBERS.len() + MAXIMA.len() + LOADS.len() * SPANS.len());
        assert_eq!(published["uptime"], "0 seconds");
        assert_eq!(published["clients/maximum"], "0");
        assert_eq!(published["load/publish/dropped/15min"], "0.00");
    }

    #[test]
    fn later_ones_publish_what_changes() {
        let mut tree = Tree::default();
        let mut totals = Totals::default();
        update(&mut tree, 0, &totals);
        assert_eq!(update(&mut tree, 10, &totals).into_keys().collect::<Vec<_>>(), ["uptime"]);
        totals.census.sessions = 3;
        totals.census.connected = 1;
        let published = update(&mut tree, 20, &totals);
        assert_eq!(published["clients/disconnected"], "2");
        assert_eq!(published["clients/maximum"], "3");
        totals.census.sessions = 2;
        let published = update(&mut tree, 30, &totals);
        assert_eq!(published["clients/total"], "2");
        assert!(!published.contains_key("clients/maximum"));
    }

    #[test]
    fn loads_are_exponential_averages_per_minute() {
        let mut tree = Tree::default();
        let mut totals = Totals::default();
        update(&mut tree, 0, &totals);
        totals.stats.connects = 1;
        let published = update(&mut tree, 10, &totals);
        // 6 per minute, of which 1 - e^(-10/60) counts
        assert_eq!(published["load/connections/1min"], "0.92");
        assert_eq!(published["load/connections/5min"], "0.20");
        assert_eq!(published["load/connections/15min"], "0.07");
        let published = update(&mut tree, 70, &totals);
        assert_eq!(published["load/connections/1min"], "0.34");
        // an hour later it is over, and said to be
        for n in 1..400 {
            update(&mut tree, 70 + n * 10, &totals);
        }
        assert!(tree.loads.iter().flatten().all(|load| *load < 1.0));
        assert_eq!(update(&mut tree, 9_000, &totals).len(), 1);
    }

    #[test]
    fn updates_fall_on_multiples_of_the_clock() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let left = |seconds, ms| until_multiple(Duration::from_secs(seconds), at(ms)).as_millis();
        assert_eq!(left(10, 1_700_000_003_250), 6_750);
        assert_eq!(left(10, 1_700_000_000_000), 10_000);
        assert_eq!(left(1, 999), 1);
    }

    #[test]
    fn waiting_bytes_are_packets_of_the_mean_size() {
        let mut totals = Totals::default();
        assert_eq!(totals.packets_waiting(), 0);
        totals.census.output_bytes = 101;
        (totals.stats.bytes_sent, totals.stats.messages_sent) = (1000, 10);
        assert_eq!(totals.packets_waiting(), 2);
    }

    #[test]
    fn the_system_says_what_the_process_uses() {
        assert!(cpu_time() > Duration::ZERO);
        if cfg!(target_os = "linux") {
            assert!(heap_bytes() > 0);
        }
    }
}
