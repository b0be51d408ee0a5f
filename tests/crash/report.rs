//! What became of every message, counted.

use crate::client::{Arrival, Log};
use crate::load::filters;
use grovemq_codec::topic;
use std::collections::BTreeMap;
use std::fmt;

/// Deliveries are counted once for each durable session that was entitled to them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    broker: &'static str,
    kills: u64,
    /// Messages whose PUBACK or PUBCOMP their publishers saw.
    acked: usize,
    /// Deliveries that follow from those, and how many of them came.
    owed: usize,
    delivered: usize,
    lost: usize,
    /// Came again with QoS 1, as they may, and with QoS 2, as they may not.
    again: usize,
    doubled: usize,
    disordered: usize,
    /// Retained topics in all, and those that have not the last message acknowledged.
    retained: usize,
    retained_wrong: usize,
    /// Subscriptions that came and went, and those that are not as acknowledged last.
    subscriptions: usize,
    subscriptions_wrong: usize,
    sessions_lost: u32,
    /// The first of each kind, in words.
    examples: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        broker: &'static str,
        kills: u64,
        published: &[Log],
        received: &[Log],
        retained: &BTreeMap<String, String>,
    ) -> Self {
        let mut report = Self { broker, kills, ..Self::default() };
        for log in published {
            report.acked += log.published.values().flatten().filter(|acked| **acked).count();
            report.sessions_lost += log.sessions_lost;
        }
        for (n, log) in received.iter().enumerate() {
            report.sessions_lost += log.sessions_lost;
            for (name, acked) in published.iter().flat_map(|log| &log.published) {
                report.deliveries(n, log, name, acked);
            }
            report.subscriptions(n, log);
        }
        for log in published {
            report.retained(log, retained);
        }
        report
    }

    /// Nothing was lost, doubled, disordered or forgotten.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [self.lost, self.doubled, self.disordered, self.retained_wrong, self.subscriptions_wrong];
        self.acked > 0 && self.sessions_lost == 0 && wrong.iter().all(|n| *n == 0)
    }

    /// One topic at one subscriber.
    fn deliveries(&mut self, n: usize, log: &Log, name: &str, acked: &[bool]) {
        let granted =
            filters(n).into_iter().filter(|(f, _)| topic::matches(f, name)).map(|(_, qos)| qos).max();
        if granted.is_none() {
            return;
        }
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut last = 0;
        for Arrival { text, qos, .. } in log.arrivals.iter().filter(|a| a.topic == name) {
            let number: usize = text.split(' ').next().unwrap().parse().unwrap();
            let times = seen.entry(number).or_default();
            *times += 1;
            if *times > 1 && *qos == 2 {
                self.doubled += 1;
                self.example(format!("s{n} got {number} of {name} {times} times"));
            } else if *times > 1 {
                self.again += 1;
            } else if number < last {
                self.disordered += 1;
                self.example(format!("s{n} got {number} of {name} after {last}"));
            } else {
                last = number;
            }
        }
        for number in (1..=acked.len()).filter(|number| acked[number - 1]) {
            self.owed += 1;
            if seen.contains_key(&number) {
                self.delivered += 1;
            } else {
                self.lost += 1;
                self.example(format!("s{n} never got {number} of {name}"));
            }
        }
    }

    fn subscriptions(&mut self, n: usize, log: &Log) {
        for (name, qos) in log.subscribed.iter().filter(|(f, _)| f.starts_with("flick/")) {
            self.subscriptions += 1;
            let wanted = qos.is_some();
            let got = log.arrivals.iter().any(|a| a.topic == *name);
            if wanted != got {
                self.subscriptions_wrong += 1;
                self.example(format!("s{n} on {name}: subscribed {wanted}, got the probe {got}"));
            }
        }
    }

    /// The retained message is the last one acknowledged, or one tried after it.
    fn retained(&mut self, log: &Log, retained: &BTreeMap<String, String>) {
        for (name, all) in log.published.iter().filter(|(t, _)| t.starts_with("keep/")) {
            self.retained += 1;
            let last = all.len();
            let found = retained.get(name).map_or("nothing", String::as_str);
            let expected = log.texts.get(name).map_or("nothing", String::as_str);
            if found != expected {
                self.retained_wrong += 1;
                self.example(format!("{name} has {found:?} instead of {expected:?}, {last} messages in all"));
            }
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < 10 {
            self.examples.push(text);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| broker | kills | acked | owed | delivered | lost | again (QoS 1) | doubled (QoS 2) | disordered | retained wrong | subscriptions wrong | sessions lost |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        let Self { broker, kills, acked, owed, delivered, lost, again, doubled, disordered, .. } = self;
        writeln!(
            f,
            "| {broker} | {kills} | {acked} | {owed} | {delivered} | {lost} | {again} | {doubled} | {disordered} | {} of {} | {} of {} | {} |",
            self.retained_wrong,
            self.retained,
            self.subscriptions_wrong,
            self.subscriptions,
            self.sessions_lost
        )?;
        self.examples.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}
