//! What came of the load: counts, latencies, and the report.

use super::{Benching, DRAIN};
use crate::flags::instruments::BenchMode;
use grovemq_client::{Error, PublishAck};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Shared by all clients.
#[derive(Debug)]
pub(super) struct Stats {
    /// What times in payloads count from.
    epoch: Instant,
    /// In payloads, so that only those of this run are counted.
    mark: u64,
    connected: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
    connects: Latencies,
    publications: Latencies,
    deliveries: Latencies,
    first_error: Mutex<Option<String>>,
}

/// What is in front of a payload: the mark, and when the message was due, in nanoseconds.
pub(crate) const PAYLOAD_HEAD: usize = 16;

impl Stats {
    pub(super) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            epoch: Instant::now(),
            mark: u64::from(now.subsec_nanos()) << 32 | u64::from(std::process::id()),
            connected: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            received: AtomicU64::new(0),
            connects: Latencies::new(),
            publications: Latencies::new(),
            deliveries: Latencies::new(),
            first_error: Mutex::new(None),
        }
    }

    pub(super) fn connection_came(&self, took: Duration) {
        self.connects.add(took);
        self.connected.fetch_add(1, Relaxed);
    }

    pub(super) fn connection_failed(&self, error: &Error) {
        self.failed.fetch_add(1, Relaxed);
        self.note(error);
    }

    pub(super) fn connection_lost(&self, error: &Error) {
        self.lost.fetch_add(1, Relaxed);
        self.note(error);
    }

    pub(super) fn message_sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    /// Only the end of the connection is an error to the client.
    pub(super) fn publication_ended(
        &self,
        took: Duration,
        outcome: Result<PublishAck, Error>,
    ) -> Result<(), Error> {
        match outcome {
            Ok(_) => {
                self.acknowledged.fetch_add(1, Relaxed);
                self.publications.add(took);
                Ok(())
            }
            Err(error @ (Error::Refused { .. } | Error::Unsupported(_) | Error::TooLarge { .. })) => {
                self.refused.fetch_add(1, Relaxed);
                self.note(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn message_came(&self, payload: &[u8]) {
        self.received.fetch_add(1, Relaxed);
        let Some((mark, rest)) = payload.split_first_chunk::<8>() else { return };
        let Some((due, _)) = rest.split_first_chunk::<8>() else { return };
        if u64::from_be_bytes(*mark) == self.mark {
            let due = Duration::from_nanos(u64::from_be_bytes(*due));
            self.deliveries.add(self.epoch.elapsed().saturating_sub(due));
        }
    }

    /// A payload that says when it was due.
    pub(super) fn payload(&self, due: Instant, size: usize) -> Vec<u8> {
        let since = due.saturating_duration_since(self.epoch).as_nanos();
        let mut payload = Vec::with_capacity(size.max(PAYLOAD_HEAD));
        payload.extend(self.mark.to_be_bytes());
        payload.extend(u64::try_from(since).unwrap_or(u64::MAX).to_be_bytes());
        payload.resize(size.max(PAYLOAD_HEAD), b'x');
        payload
    }

    /// Resolves when nothing has come for a moment, so that nothing more is expected; at the latest after [`DRAIN`].
    pub(super) async fn all_came(&self) {
        let deadline = Instant::now() + DRAIN;
        let mut before = u64::MAX;
        while Instant::now() < deadline {
            let now = self.received.load(Relaxed);
            if now == before {
                return;
            }
            before = now;
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// Connections that came about or failed.
    pub(super) fn settled(&self) -> u64 {
        self.connected() + self.failed.load(Relaxed)
    }

    /// How it goes, in a line.
    pub(super) fn progress(&self, since: Duration) -> String {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        format!(
            "{:6.1} s  {} connected  {} failed  {} lost  {} sent  {} acknowledged  {} received",
            since.as_secs_f64(),
            self.connected(),
            count(&self.failed),
            count(&self.lost),
            count(&self.sent),
            count(&self.acknowledged),
            count(&self.received),
        )
    }

    pub(super) fn report(&self, plan: &Benching, seconds: f64) -> Report {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let first_error = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report {
            mode: plan.mode,
            seconds,
            wanted: plan.connections(),
            connected: self.connected(),
            failed: count(&self.failed),
            lost: count(&self.lost),
            sent: count(&self.sent),
            acknowledged: count(&self.acknowledged),
            refused: count(&self.refused),
            received: count(&self.received),
            connects: self.connects.summary(),
            publications: self.publications.summary(),
            deliveries: self.deliveries.summary(),
            first_error,
        }
    }

    fn note(&self, error: &Error) {
        let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| error.to_string());
    }
}

/// Latencies from a microsecond to an hour, in three digits.
#[derive(Debug)]
struct Latencies {
    /// Without bounds that make sense there is none.
    histogram: Option<Mutex<Histogram<u64>>>,
}

const HOUR_US: u64 = 3_600_000_000;

impl Latencies {
    fn new() -> Self {
        Self { histogram: Histogram::new_with_bounds(1, HOUR_US, 3).ok().map(Mutex::new) }
    }

    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(histogram) = &self.histogram {
            histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(us);
        }
    }

    fn summary(&self) -> Option<Summary> {
        let histogram = self.histogram.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Some(Summary {
            count: histogram.len(),
            min: histogram.min(),
            mean: histogram.mean(),
            percentiles: PERCENTILES.map(|(_, quantile)| at(quantile)),
            max: histogram.max(),
        })
    }
}

const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// In microseconds.
#[derive(Clone, Debug, PartialEq)]
struct Summary {
    count: u64,
    min: u64,
    mean: f64,
    percentiles: [u64; PERCENTILES.len()],
    max: u64,
}

impl Summary {
    fn as_json(&self) -> Value {
        let mut members = serde_json::Map::new();
        members.insert("count".to_owned(), self.count.into());
        members.insert("min".to_owned(), self.min.into());
        members.insert("mean".to_owned(), self.mean.round().into());
        for ((name, _), value) in PERCENTILES.iter().zip(self.percentiles) {
            members.insert((*name).to_owned(), value.into());
        }
        members.insert("max".to_owned(), self.max.into());
        Value::Object(members)
    }

    fn as_text(&self) -> String {
        let mut text = format!("min {}", milliseconds(self.min));
        for ((name, _), value) in PERCENTILES.iter().zip(self.percentiles) {
            let _infallible = write!(text, "  {name} {}", milliseconds(value));
        }
        let _infallible = write!(text, "  max {} ms", milliseconds(self.max));
        text
    }
}

/// In three digits or so.
fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02}", us / 1000, us % 1000 / 10),
        10_000..100_000 => format!("{}.{}", us / 1000, us % 1000 / 100),
        _ => format!("{}", us / 1000),
    }
}

/// The result.
#[derive(Debug)]
pub(super) struct Report {
    mode: BenchMode,
    seconds: f64,
    wanted: u32,
    connected: u64,
    failed: u64,
    lost: u64,
    sent: u64,
    acknowledged: u64,
    refused: u64,
    received: u64,
    connects: Option<Summary>,
    publications: Option<Summary>,
    deliveries: Option<Summary>,
    first_error: Option<String>,
}

impl Report {
    /// Everything went as it was asked for.
    pub(super) fn is_good(&self) -> bool {
        self.connected == u64::from(self.wanted)
            && self.failed + self.lost + self.refused == 0
            && self.acknowledged == self.sent
    }

    pub(super) fn as_json(&self) -> String {
        let latencies = |summary: &Option<Summary>| summary.as_ref().map(Summary::as_json);
        let value = json!({
            "mode": self.mode.name(),
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "clients": {
                "wanted": self.wanted, "connected": self.connected, "failed": self.failed, "lost": self.lost,
            },
            "connect_us": latencies(&self.connects),
            "messages": {
                "sent": self.sent, "acknowledged": self.acknowledged, "refused": self.refused,
                "received": self.received,
                "sent_per_second": self.rate(self.sent).round(),
                "received_per_second": self.rate(self.received).round(),
            },
            "publish_us": latencies(&self.publications),
            "delivery_us": latencies(&self.deliveries),
            "first_error": self.first_error,
        });
        format!("{value}\n")
    }

    pub(super) fn as_text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, rest: &str| {
            let _infallible = writeln!(text, "{name:10}{rest}");
        };
        let Self { wanted, connected, failed, lost, .. } = self;
        line("clients", &format!("{connected} of {wanted} connected, {failed} failed, {lost} lost"));
        if let Some(summary) = &self.connects {
            line("connect", &summary.as_text());
        }
        if self.sent > 0 {
            let Self { sent, acknowledged, refused, seconds, .. } = self;
            let rate = self.rate(*sent);
            line("sent", &format!("{sent} in {seconds:.1} s, {rate:.0}/s"));
            line("accepted", &format!("{acknowledged}, {refused} refused"));
        }
        if let Some(summary) = &self.publications {
            line("publish", &summary.as_text());
        }
        if self.mode == BenchMode::Sub {
            line("received", &format!("{}, {:.0}/s", self.received, self.rate(self.received)));
        }
        if let Some(summary) = &self.deliveries {
            line("delivery", &summary.as_text());
        }
        if let Some(error) = &self.first_error {
            line("error", &format!("{error} (the first)"));
        }
        text
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact anyway")]
    fn rate(&self, messages: u64) -> f64 {
        if self.seconds > 0.0 { messages as f64 / self.seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up() {
        let latencies = Latencies::new();
        assert_eq!(latencies.summary(), None);
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        latencies.add(Duration::ZERO);
        latencies.add(Duration::from_secs(100_000));
        let summary = latencies.summary().unwrap();
        assert_eq!((summary.count, summary.min), (1002, 1));
        assert!((499_000..502_000).contains(&summary.percentiles[0]), "{summary:?}");
        assert!((988_000..992_000).contains(&summary.percentiles[2]), "{summary:?}");
        assert!(summary.max >= HOUR_US, "{summary:?}");
    }

    #[test]
    fn milliseconds_have_three_digits() {
        for (us, shown) in [(1, "0.00"), (15, "0.01"), (1234, "1.23"), (45_678, "45.6"), (1_234_567, "1234")]
        {
            assert_eq!(milliseconds(us), shown);
        }
    }

    #[tokio::test]
    async fn a_payload_says_when_it_was_due() {
        let stats = Stats::new();
        let payload = stats.payload(Instant::now(), 100);
        assert_eq!(payload.len(), 100);
        stats.message_came(&payload);
        stats.message_came(b"of somebody else");
        stats.message_came(b"");
        assert_eq!(stats.received.load(Relaxed), 3);
        assert_eq!(stats.deliveries.summary().map(|summary| summary.count), Some(1));
        assert_eq!(stats.payload(Instant::now(), 0).len(), PAYLOAD_HEAD);
    }
}
