//! `grovemq store` on what a real broker has left.

use grovemq_tests::peer::Peer;
use grovemq_tests::{Broker, Finished, Kind, Program, SOON, peers, scratch};
use std::path::Path;

/// `user root`: a test's folder is its own.
const STORED: &str = "allow_anonymous true\nuser root\npersistence true\npersistence_location {dir}\n";
/// All that [`filled`] leaves.
const ALL: &str = "2 sessions with 2 subscriptions and 3 queued messages, and 1 retained messages";

fn filled(kind: Kind) -> Broker {
    let broker = Broker::start(kind, STORED);
    for (id, filter) in [("first", "t/#"), ("second", "t/a")] {
        let body = format!("\"MQTT\" 04 00 003c \"{id}\"");
        let mut sub = Peer::connect(broker.port(), &body, "CONNACK{00 00}");
        sub.subscribe_v3(filter, 1);
        sub.end();
    }
    let mut publisher = Peer::v3(broker.port(), "pub");
    publisher.send("PUBLISH1{\"t/a\" 0001 'one'} PUBLISH1{\"t/b\" 0002 ff00}");
    publisher.expect_in_any_order("PUBACK{0001} PUBACK{0002}");
    // a group of its own: damage in the last one cannot be told from one that was not finished
    publisher.send("PUBLISH1+retain{\"k\" 0003 'kept'}");
    publisher.expect("PUBACK{0003}");
    broker
}

/// The store that a broker of ours left when it was killed.
fn left() -> tempfile::TempDir {
    let broker = filled(Kind::Ours);
    broker.program().kill();
    let dir = scratch();
    let (from, to) = (broker.dir().join("grovemq.store"), dir.path().join("grovemq.store"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn store(verb: &str, paths: &[&Path]) -> Finished {
    Program::run(peers::ours("store").arg(verb).args(paths), b"", SOON)
}

#[track_caller]
fn refused(end: &Finished, code: i32, what: &str) {
    assert_eq!(end.code, code, "{end:?}");
    assert!(end.stderr.contains(what), "{end:?}");
}

#[test]
fn stats_and_check_tell_what_is_there() {
    let dir = left();
    let text = store("stats", &[dir.path()]).success().text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let sums = "sessions 2 subscriptions 2 queued 3 messages 3 retained 1 damaged 0 \
                largest queues: 2 first 1 second oldest sessions: ";
    // made in two event loops, they have no order
    let both = ["first second", "second first"].map(|both| format!("{sums}{both}"));
    assert!(both.iter().any(|end| text.ends_with(end)), "{text}");
    // the store itself may be named as well
    let checked = store("check", &[&dir.path().join("grovemq.store")]).success().text();
    assert!(checked.ends_with(&format!("grovemq.store: sound. There are {ALL}.\n")), "{checked}");
}

#[test]
fn check_names_what_is_lost() {
    let dir = left();
    for entry in std::fs::read_dir(dir.path().join("grovemq.store")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(3).position(|three| three == b"one") {
            bytes[at] = b'x';
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let end = store("check", &[dir.path()]);
    refused(&end, 1, "Damaged and left out: ");
    assert!(end.text().contains("damaged. There are 2 sessions"), "{end:?}");
    refused(&store("export", &[dir.path()]), 1, "Damaged and left out: ");
}

#[test]
fn what_was_exported_can_be_imported() {
    let dir = left();
    let lines = store("export", &[dir.path()]).success();
    let second = scratch();
    let file = second.path().join("store.jsonl");
    let end = store("export", &[dir.path(), &file]).success();
    assert!(end.stderr.contains(&format!("Exported {ALL}.")), "{end:?}");
    let count = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
    assert_eq!(count(&std::fs::read(&file).unwrap()), count(&lines.stdout));
    refused(&store("export", &[dir.path(), &file]), 1, "store.jsonl: cannot create: ");

    let end = store("import", &[second.path(), &file]).success();
    assert!(end.stderr.contains(&format!("Imported {ALL}.")), "{end:?}");
    let checked = store("check", &[second.path()]).success();
    assert!(checked.text().contains(&format!("sound. There are {ALL}.")), "{checked:?}");
    // once is enough
    refused(&store("import", &[second.path(), &file]), 1, "already; nothing was imported");
    store("check", &[second.path()]).success();

    std::fs::write(&file, "{\"kind\":\"retained\",\"message\":1}\n").unwrap();
    let third = scratch();
    refused(&store("import", &[third.path(), &file]), 1, "store.jsonl: line 1: there is no message 1");
    assert!(!third.path().join("grovemq.store").exists());
}

#[test]
fn what_debian_left_can_be_imported() {
    let broker = filled(Kind::Debian).restart(Kind::Debian);
    let file = broker.dir().join("mosquitto.db");
    let dir = scratch();
    let end = store("import", &[dir.path(), &file]).success();
    assert!(end.stderr.contains(&format!("Imported {ALL}.")), "{end:?}");
    let text = store("export", &[dir.path()]).success().text();
    assert!(text.contains("\"client_id\":\"first\"") && text.contains("\"payload\":\"kept\""), "{text}");

    // and looked at as it is
    assert_eq!(store("export", &[&file]).success().text().lines().count(), text.lines().count());
    let checked = store("check", &[&file]).success().text();
    assert!(checked.ends_with(&format!("mosquitto.db: sound. There are {ALL}.\n")), "{checked}");
    let stats = store("stats", &[&file]).success().text();
    let words: Vec<&str> = stats.split_whitespace().collect();
    assert!(words.join(" ").contains("retained 1 damaged 0 largest queues: 2 first 1 second"), "{stats}");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    refused(&store("check", &[&file]), 1, "Damaged and left out: ");
}

/// Lines of a dump without the names of messages, which differ from time to time.
fn dumped(args: &[&str], file: &Path) -> String {
    let end = Program::run(peers::ours("dump").args(args).arg(file), b"", SOON).success();
    end.text().lines().filter(|line| !line.contains("ID: ") || line.contains("Client ID")).fold(
        String::new(),
        |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        },
    )
}

#[test]
fn what_debian_left_is_dumped() {
    let broker = filled(Kind::Debian);
    let port = broker.port().to_string();
    let run = |tool: &str, args: &str| {
        let args = args.split(' ').filter(|word| !word.is_empty());
        Program::run(peers::debian(tool).args(["-p", &port, "-V", "5"]).args(args), b"", SOON).success();
    };
    run("mosquitto_sub", "-c -i five -x 100 -q 1 -t p -D subscribe subscription-identifier 7 -E");
    let about =
        "-D publish content-type text/plain -D publish correlation-data xy -D publish response-topic r";
    run("mosquitto_pub", &format!("-q 1 -t p -m hello {about} -D publish user-property a b"));
    let broker = broker.restart(Kind::Debian);
    let file = broker.dir().join("mosquitto.db");

    let text = dumped(&[], &file);
    let begin = "Mosquitto DB dump\nCRC: 0\nDB version: 6\nDB_CHUNK_CFG:\n\tLength: 16\n\tShutdown: 1\n";
    assert!(text.starts_with(begin), "{text}");
    let message = "\tTopic: p\n\tQoS: 1\n\tRetain: 0\n\tPayload Length: 5\n\tExpiry Time: 0\n\tPayload: hello\n\
                   \tProperties:\n\t\tContent type: text/plain\n\t\tCorrelation data: 7879\n\
                   \t\tResponse topic: r\n\t\tUser property: a , b\nDB_CHUNK_";
    let sent = "DB_CHUNK_CLIENT_MSG:\n\tLength: 23\n\tClient ID: five\n\tQoS: 1\n\tRetain: 0\n\tDirection: 1\n\
                \tState: 11\n\tDup: 0\n\tSubscription identifier: 7\n";
    let client = "\tSession expiry interval: 100\n";
    let filter = "DB_CHUNK_SUB:\n\tLength: 17\n\tClient ID: five\n\tTopic: p\n\tQoS: 1\n\tOptions: 0x00\n";
    // ff00 is no text
    let binary = "\tTopic: t/b\n\tQoS: 1\n\tRetain: 0\n\tPayload Length: 2\n\tExpiry Time: 0\nDB_CHUNK_";
    for part in [message, sent, client, filter, binary, "DB_CHUNK_RETAIN:\n\tLength: 8\n"] {
        assert!(text.contains(part), "{part}in {text}");
    }
    let stats = dumped(&["--stats"], &file);
    let counts = [("CFG", 1), ("BASE_MSG", 4), ("CLIENT_MSG", 4), ("RETAIN", 1), ("SUB", 3), ("CLIENT", 3)];
    let line = |(name, count): (&str, u32)| format!("{:21}{count}\n", format!("DB_CHUNK_{name}:"));
    assert_eq!(stats, counts.map(line).concat());
    let clients = dumped(&["--client-stats"], &file);
    assert!(clients.lines().any(|line| line.starts_with("SC: 1 SS: 17 MC: 1 MS: ")), "{clients}");
    assert!(clients.lines().any(|line| line.ends_with("   first")), "{clients}");
    assert_eq!(clients.lines().count(), 3, "{clients}");

    // by either name, and as far as it goes
    let whole = Program::run(peers::ours("dump").arg(&file), b"", SOON).success().text();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    for end in [store("dump", &[&file]), Program::run(peers::ours("dump").arg(&file), b"", SOON)] {
        refused(&end, 1, "mosquitto.db:");
        assert!(end.stderr.contains("the rest of the file"), "{end:?}");
        assert!(end.text().len() > 100 && whole.starts_with(&end.text()), "{end:?}");
    }
}

#[test]
fn older_files_are_dumped() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/store/tests/data");
    for format in 2..=4 {
        let file = data.join(format!("mosquitto-format-{format}.db"));
        let text = dumped(&[], &file);
        assert!(text.contains(&format!("\nDB version: {format}\n")), "{text}");
        assert!(text.contains("DB_CHUNK_CLIENT:\n") && text.contains("\tClient ID: sub\n"), "{text}");
        let end = Program::run(peers::ours("mosquitto_db_dump").arg("--stats").arg(&file), b"", SOON);
        assert!(end.success().text().contains("DB_CHUNK_CLIENT:     1\n"));
    }
    let end = Program::run(&mut peers::ours("mosquitto_db_dump"), b"", SOON);
    refused(&end, 1, "Usage: mosquitto_db_dump [--stats | --client-stats] FILE");
    refused(&store("dump", &[]), 2, "Wrong arguments for 'dump'");
    refused(&store("dump", &[&data.join("none")]), 1, "none: cannot read: ");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    refused(&store("dump", &[&other]), 1, "not a mosquitto.db");
}

#[test]
fn debian_finds_the_same_in_older_files() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/store/tests/data");
    for format in 2..=4 {
        let old = data.join(format!("mosquitto-format-{format}.db"));
        let put = |dir: &Path| {
            std::fs::copy(&old, dir.join("mosquitto.db")).unwrap();
        };
        let broker = Broker::start(Kind::Debian, STORED).kill_and_restart_after(Kind::Debian, put);
        // it writes anew at its end what it has read
        let broker = broker.restart(Kind::Debian);
        let written = store("export", &[&broker.dir().join("mosquitto.db")]).success().text();
        assert!(written.contains("\"client_id\":\"sub\""), "{written}");
        assert_eq!(store("export", &[&old]).success().text(), written, "format {format}");
    }
}

#[test]
fn mistakes_are_explained() {
    let broker = Broker::start(Kind::Ours, STORED);
    for verb in ["stats", "check", "export"] {
        refused(&store(verb, &[broker.dir()]), 1, "grovemq.store: a broker is using it; stop that first.");
        let empty = scratch();
        refused(&store(verb, &[empty.path()]), 1, "there is no store in it");
        refused(&store(verb, &[&empty.path().join("none")]), 1, "none: there is no such directory");
        refused(&store(verb, &[]), 2, "Wrong number of arguments");
    }
    let conf = broker.dir().join("mosquitto.conf");
    refused(&store("import", &[broker.dir(), &conf]), 1, "a broker is using it");
    refused(&store("import", &[&broker.dir().join("none"), &conf]), 1, "there is no such directory");
    refused(&store("burn", &[broker.dir()]), 2, "Unknown command 'store burn'");
    let help = Program::run(peers::ours("store").arg("--help"), b"", SOON).success().text();
    assert!(help.contains("export DIR [FILE]"), "{help}");
}
