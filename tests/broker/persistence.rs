//! What a restart leaves, over real sockets and a real disk.

use std::time::Duration;

use grovemq_tests::{Broker, Kind, Program, SOON, peers};

use crate::peer::Peer;

/// `user root`: a test's folder is its own.
const STORED: &str = "allow_anonymous true\nuser root\npersistence true\npersistence_location {dir}\n";

fn durable(broker: &Broker, id: &str, present: &str) -> Peer {
    let body = format!("\"MQTT\" 04 00 003c \"{id}\"");
    Peer::connect(broker.port(), &body, &format!("CONNACK{{{present} 00}}"))
}

/// E01: what was acknowledged is delivered after SIGKILL, once where that was promised; retained messages, too.
#[test]
fn e01_an_acknowledged_message_survives_a_kill() {
    let broker = Broker::start(Kind::Ours, STORED);
    let mut sub = durable(&broker, "sub", "00");
    sub.subscribe_v3("t/#", 2);
    sub.end();
    let mut publisher = Peer::v3(broker.port(), "pub");
    for n in 0..200u16 {
        let id = n + 1;
        publisher.send(&format!("PUBLISH1{{\"t/{}\" {id:04x} 'x'}}", n % 3));
        publisher.expect(&format!("PUBACK{{{id:04x}}}"));
    }
    publisher.send("PUBLISH2{\"t/2\" 1000 'twice?'}");
    publisher.expect("PUBREC{1000}");
    publisher.send("PUBREL{1000}");
    publisher.expect("PUBCOMP{1000}");
    publisher.send("PUBLISH1+retain{\"kept\" 1001 'kept'} PUBLISH1+retain{\"gone\" 1002 'x'} PUBLISH1+retain{\"gone\" 1003}");
    publisher.expect("PUBACK{1001} PUBACK{1002} PUBACK{1003}");

    let broker = broker.kill_and_restart(Kind::Ours);
    broker.wait_for_log(
        "Restored 1 sessions with 1 subscriptions and 201 queued messages, and 1 retained messages.",
    );
    let mut sub = durable(&broker, "sub", "01");
    for n in 0..200u16 {
        sub.expect(
            &format!("PUBLISH1+dup{{\"t/{}\" {:04x} 'x'}}", n % 3, n + 1)
                .replace("+dup", if n < 20 { "+dup" } else { "" }),
        );
        sub.send(&format!("PUBACK{{{:04x}}}", n + 1));
    }
    sub.expect("PUBLISH2{\"t/2\" 00c9 'twice?'}");
    sub.send("PUBREC{00c9}");
    sub.expect("PUBREL{00c9}");
    sub.send("PUBCOMP{00c9}");
    sub.ping();
    let broker = broker.restart(Kind::Ours);
    let mut sub = durable(&broker, "sub", "01");
    sub.ping();
    let mut reader = Peer::v3(broker.port(), "reader");
    reader.subscribe_v3("#", 0);
    reader.expect("PUBLISH+retain{\"kept\" 'kept'}");
    reader.ping();
}

/// E-rows: one store, one broker.
#[test]
fn a_second_broker_on_the_same_store_is_refused() {
    let broker = Broker::start(Kind::Ours, STORED);
    let file = broker.dir().join("second.conf");
    let text = format!(
        "listener 0 {0}/second.sock\nallow_anonymous true\nuser root\npersistence true\npersistence_location {0}\n",
        broker.dir().display()
    );
    std::fs::write(&file, text).unwrap();
    let end = Program::run(peers::ours("broker").arg("-c").arg(&file), b"", SOON);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("grovemq.store: in use by another broker"), "{end:?}");
    Peer::v3(broker.port(), "after").ping();
}

#[test]
fn without_persistence_and_in_memory_mode_nothing_is_stored() {
    for more in ["", "persistence true\npersistence_mode memory\npersistence_location {dir}\n"] {
        let broker = Broker::start(Kind::Ours, &format!("allow_anonymous true\n{more}"));
        let mut sub = durable(&broker, "sub", "00");
        sub.subscribe_v3("t", 1);
        sub.end();
        assert!(!broker.dir().join("grovemq.store").exists());
        let broker = broker.restart(Kind::Ours);
        durable(&broker, "sub", "00").ping();
    }
}

/// `persistence_commit_delay` holds acknowledgements back and loses none.
#[test]
fn commits_can_wait_for_others() {
    let broker = Broker::start(
        Kind::Ours,
        &format!("{STORED}persistence_commit_delay 50\npersistence_mode written\n"),
    );
    let mut sub = durable(&broker, "sub", "00");
    sub.subscribe_v3("t", 1);
    let mut publisher = Peer::v3(broker.port(), "pub").with_patience(Duration::from_secs(20));
    for id in 1..10 {
        publisher.send(&format!("PUBLISH1{{\"t\" {id:04x} 'x'}}"));
    }
    for id in 1..10 {
        publisher.expect(&format!("PUBACK{{{id:04x}}}"));
    }
}

/// A session with two queued messages, and a retained one, as Debian's broker leaves them.
fn left_by_debian() -> Broker {
    let broker = Broker::start(Kind::Debian, STORED);
    let mut sub = durable(&broker, "sub", "00");
    sub.subscribe_v3("t/#", 1);
    sub.end();
    let mut publisher = Peer::v3(broker.port(), "pub");
    publisher.send(
        "PUBLISH1{\"t/a\" 0001 'one'} PUBLISH1{\"t/b\" 0002 'two'} PUBLISH1+retain{\"kept\" 0003 'kept'}",
    );
    publisher.expect_in_any_order("PUBACK{0001} PUBACK{0002} PUBACK{0003}");
    broker
}

#[track_caller]
fn has_all_of_it(broker: &Broker) {
    let mut sub = durable(broker, "sub", "01");
    sub.expect("PUBLISH1+dup{\"t/a\" 0001 'one'} PUBLISH1+dup{\"t/b\" 0002 'two'}");
    sub.ping();
    sub.end();
    let mut reader = Peer::v3(broker.port(), "reader");
    reader.subscribe_v3("#", 0);
    reader.expect("PUBLISH+retain{\"kept\" 'kept'}");
    reader.ping();
}

#[test]
fn a_first_start_takes_over_what_debian_left() {
    // the first restart makes Debian's broker write its file
    let broker = left_by_debian().restart(Kind::Debian);
    let file = broker.dir().join("mosquitto.db");
    let before = std::fs::read(&file).unwrap();
    // as a first start that was cut short
    let unfinished = broker.dir().join("grovemq.unfinished");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("00000001.log"), "half").unwrap();

    let broker = broker.kill_and_restart(Kind::Ours);
    let line = broker.wait_for_log("Took over");
    let told =
        "Took over 1 sessions with 1 subscriptions and 2 queued messages, and 1 retained messages from ";
    assert!(line.contains(&format!("{told}{}, which stays as it is.", file.display())), "{line}");
    has_all_of_it(&broker);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert!(!unfinished.exists());

    // now there is a store of ours, and it counts
    let mut sub = durable(&broker, "sub", "01");
    sub.expect("PUBLISH1+dup{\"t/a\" 0001 'one'} PUBLISH1+dup{\"t/b\" 0002 'two'}");
    sub.send("PUBACK{0001} PUBACK{0002}");
    sub.ping();
    let broker = broker.restart(Kind::Ours);
    broker.wait_for_log("Restored 1 sessions with 1 subscriptions and 0 queued messages, and 1 retained");
    assert!(!broker.program().transcript().contains("Took over"));
}

#[test]
fn what_is_damaged_in_what_debian_left_is_named() {
    let broker = left_by_debian().restart(Kind::Debian);
    let file = broker.dir().join("mosquitto.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let whole = bytes.len();
    bytes.extend([0, 0, 0, 2, 0, 0, 0, 200, 1, 2, 3]);
    std::fs::write(&file, bytes).unwrap();
    let broker = broker.kill_and_restart(Kind::Ours);
    let line = broker.wait_for_log("damaged");
    let place = format!("{}:{whole}: the rest of the file", file.display());
    assert!(line.contains("Error: Part of") && line.contains(&place), "{line}");
    has_all_of_it(&broker);
}

/// To start with nothing would look as if all had been lost.
#[test]
fn what_is_not_of_the_original_is_not_taken_for_it() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\n");
    std::fs::write(broker.dir().join("mosquitto.db"), "something else").unwrap();
    let file = broker.dir().join("second.conf");
    let text = format!(
        "listener 0 {0}/second.sock\nuser root\npersistence true\npersistence_location {0}\n",
        broker.dir().display()
    );
    std::fs::write(&file, text).unwrap();
    let end = Program::run(peers::ours("broker").arg("-c").arg(&file), b"", SOON);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("mosquitto.db: not a mosquitto.db"), "{end:?}");
    assert!(!broker.dir().join("grovemq.store").exists());
}

#[test]
fn d25_the_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let broker = Broker::start(Kind::Ours, STORED);
    let mut sub = durable(&broker, "sub", "00");
    sub.subscribe_v3("t", 1);
    let store = broker.dir().join("grovemq.store");
    let files = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
    for path in files.chain([store.clone()]) {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

/// E07, on a small scale: a store that holds much is there at once after the restart, whole and in order. How long millions
/// take is a measurement (`store_bench`).
#[test]
fn e07_a_restart_with_very_many_messages() {
    const MESSAGES: u32 = 50_000;
    const BATCH: u32 = 1000;
    let broker = Broker::start_quietly(
        Kind::Ours,
        &format!("{STORED}max_queued_messages 0\nmax_inflight_messages 0\n"),
    );
    let mut sub = durable(&broker, "sub", "00");
    sub.subscribe_v3("t", 1);
    sub.end();
    let mut publisher = Peer::v3(broker.port(), "pub").with_patience(SOON * 3);
    for batch in 0..MESSAGES / BATCH {
        let packet = |i: u32| {
            crate::notation::bytes(&format!(
                "PUBLISH1{{\"t\" {:04x} {:08x} 20*78}}",
                i + 1,
                batch * BATCH + i
            ))
        };
        publisher.send_bytes(&(0..BATCH).flat_map(packet).collect::<Vec<u8>>());
        for i in 0..BATCH {
            publisher.expect(&format!("PUBACK{{{:04x}}}", i + 1));
        }
    }
    let start = std::time::Instant::now();
    let broker = broker.restart(Kind::Ours);
    println!("{MESSAGES} messages are back after {:?}", start.elapsed());
    broker.wait_for_log(&format!("Restored 1 sessions with 1 subscriptions and {MESSAGES} queued messages"));
    let mut sub = durable(&broker, "sub", "01").with_patience(SOON * 3);
    for i in 0..MESSAGES {
        let packet = sub.packet();
        assert_eq!((packet[0] >> 4, &packet[7..11]), (3, &i.to_be_bytes()[..]));
        sub.send_bytes(&[0x40, 2, packet[5], packet[6]]);
    }
}
