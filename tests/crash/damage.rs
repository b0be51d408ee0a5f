//! Stores whose files were damaged while the broker was away: it starts with whatever is left, says what is not, and
//! delivers nothing that was never sent.

use crate::client::Client;
use crate::{OURS, load::until};
use grovemq_tests::{Broker, Kind, Random};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MESSAGES: usize = 200;
const STEP: Duration = Duration::from_millis(2);
/// Beside these, everything the broker says about the store.
const DAMAGED: &str = "Part of the store is damaged and was left out";

/// A broker with a store in which an absent client has so many messages, and one topic is retained.
fn filled() -> Broker {
    let broker = Broker::start_quietly(Kind::Ours, OURS);
    let mut receiver = receiver(&broker);
    receiver.subscribe("t", 1);
    until("a subscription", || {
        receiver.step(STEP);
        receiver.is_idle()
    });
    receiver.leave(true);
    let mut publisher = Client::new("publisher", broker.port(), false, Random::new(1));
    assert!(publisher.connect());
    publisher.publish("kept", 1, true, Some("kept"));
    for n in 0..MESSAGES {
        publisher.publish("t", 1, false, Some(&"x".repeat(n)));
        until("an acknowledgement", || {
            publisher.step(STEP);
            publisher.unacknowledged() < 20
        });
    }
    until("all acknowledgements", || {
        publisher.step(STEP);
        publisher.is_idle()
    });
    broker
}

fn receiver(broker: &Broker) -> Client {
    let mut client = Client::new("receiver", broker.port(), true, Random::new(2));
    assert!(client.connect());
    client
}

/// The numbers of the messages that are still there, each checked to be as it was sent, and in order. A message that is new
/// arrives behind them: the broker does its work.
fn remaining(broker: &Broker) -> Vec<usize> {
    let mut receiver = receiver(broker);
    receiver.subscribe("end", 1);
    until("a subscription", || {
        receiver.step(STEP);
        receiver.is_idle()
    });
    let mut publisher = Client::new("publisher", broker.port(), false, Random::new(1));
    assert!(publisher.connect());
    publisher.publish("end", 1, false, Some("end"));
    until("the end", || {
        publisher.step(STEP);
        receiver.step(STEP);
        receiver.log.arrivals.iter().any(|a| a.topic == "end")
    });
    let mut numbers = Vec::new();
    for arrival in receiver.log.arrivals.iter().filter(|a| a.topic == "t") {
        let (number, text) = arrival.text.split_once(' ').unwrap_or_else(|| panic!("garbage: {arrival:?}"));
        let number: usize = number.parse().unwrap_or_else(|_| panic!("garbage: {arrival:?}"));
        assert_eq!(text, "x".repeat(number - 1), "message {number}");
        numbers.push(number);
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "out of order: {numbers:?}");
    numbers
}

fn store(dir: &Path) -> PathBuf {
    dir.join("grovemq.store")
}

/// The files of the log, in the order they were made.
fn files(store: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.sort();
    logs
}

/// Puts every file back as it was; what the last broker added goes.
fn put_back(dir: &Path, from: &[(PathBuf, Vec<u8>)]) {
    for path in files(&store(dir)) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in from {
        fs::write(path, bytes).unwrap();
    }
}

/// All files, with what is in them.
fn copy_of(store: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files(store).into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Behind the last byte that is not zero, and the few zeros that a group may end with.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| bytes.len().min(at + 16))
}

/// The file that the messages are in.
fn main_file(store: &Path) -> (PathBuf, Vec<u8>) {
    copy_of(store).into_iter().max_by_key(|(_, bytes)| written(bytes)).unwrap()
}

#[test]
fn e03_a_group_half_written_at_the_end_costs_nothing_that_was_acknowledged() {
    let mut random = Random::new(3);
    let mut broker = filled();
    for tail in [1, 20, 511, 4096] {
        broker = broker.kill_and_restart_after(Kind::Ours, |dir| {
            let (path, mut bytes) = main_file(&store(dir));
            let end = written(&bytes);
            let torn: Vec<u8> = (0..tail).map(|_| random.below(256).to_le_bytes()[0] | 1).collect();
            let room = bytes.len().min(end + tail);
            bytes.splice(end..room, torn.into_iter().take(room - end));
            fs::write(path, bytes).unwrap();
        });
    }
    assert_eq!(remaining(&broker), (1..=MESSAGES).collect::<Vec<_>>());
}

#[test]
fn e03_a_truncated_file_leaves_what_was_before_the_cut() {
    let mut random = Random::new(4);
    let mut broker = filled();
    let mut whole = Vec::new();
    let mut counts = BTreeSet::new();
    for turn in 0..12 {
        broker = broker.kill_and_restart_after(Kind::Ours, |dir| {
            if turn == 0 {
                whole = copy_of(&store(dir));
            }
            put_back(dir, &whole);
            let (path, mut bytes) = main_file(&store(dir));
            let end = written(&bytes);
            bytes.truncate(if turn == 0 { end } else { random.below(end) });
            fs::write(path, bytes).unwrap();
        });
        let left = remaining(&broker);
        assert_eq!(left, (1..=left.len()).collect::<Vec<_>>(), "only the end is missing");
        counts.insert(left.len());
    }
    assert_eq!(counts.last(), Some(&MESSAGES), "a cut behind the end takes nothing");
    assert!(counts.len() > 5, "the cuts were felt: {counts:?}");
}

#[test]
fn e03_flipped_bits_take_no_more_than_they_hit_and_are_named() {
    let mut random = Random::new(5);
    let mut broker = filled();
    let mut whole = Vec::new();
    let mut losses = 0;
    for turn in 0..12 {
        broker = broker.kill_and_restart_after(Kind::Ours, |dir| {
            if turn == 0 {
                whole = copy_of(&store(dir));
            }
            put_back(dir, &whole);
            let (path, mut bytes) = main_file(&store(dir));
            // the last groups are left alone: damage there cannot be told from a group that was never finished
            let end = written(&bytes) * 9 / 10;
            for _ in 0..=random.below(3) {
                bytes[random.below(end)] ^= 1 << random.below(8);
            }
            fs::write(path, bytes).unwrap();
        });
        let left = remaining(&broker);
        if left.len() < MESSAGES {
            losses += 1;
            broker.wait_for_log(DAMAGED);
        }
    }
    assert!(losses > 5, "the flips were felt: {losses}");
}
