//! Who gets in and what they may do: password files, access rules, both read again while it runs.

use std::path::Path;

use grovemq_tests::{Broker, Kind, peers};

use crate::peer::{Peer, QUIET, local};

const RULES: &str = "examples/lab/rules.acl";
const TABLE: &str = "examples/lab/table.acl";

fn example(path: &str) -> String {
    let path = peers::repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A broker with the example's users, these rules, and these further lines.
#[track_caller]
fn guarded(rules: &str, lines: &str) -> Broker {
    let configuration = format!("password_file {{dir}}/passwords\nacl_file {{dir}}/rules\n{lines}");
    let passwords = example("examples/lab/passwords");
    Broker::start_with_files(Kind::Ours, &configuration, &[("passwords", &passwords), ("rules", rules)])
}

/// What the broker answers to this login in MQTT 5.
#[track_caller]
fn login(port: u16, id: &str, user: Option<(&str, &str)>) -> (Peer, u8) {
    let mut peer = Peer::open(local(port));
    let (flags, login) = match user {
        Some((name, password)) => ("c2", format!("\"{name}\" \"{password}\"")),
        None => ("02", String::new()),
    };
    peer.send(&format!("CONNECT{{\"MQTT\" 05 {flags} 003c {{}} \"{id}\" {login}}}"));
    let answer = peer.packet();
    assert_eq!(answer[0], 0x20, "{answer:x?}");
    (peer, answer[3])
}

/// What of one topic a user may do, tried over the wire.
struct Verdicts {
    broker: Broker,
    count: usize,
}

impl Verdicts {
    fn user(&mut self, user: &str) -> Option<Peer> {
        self.count += 1;
        let name = (user != "-").then_some((user, "iotlab"));
        let (peer, code) = login(self.broker.port(), &format!("{user}{}", self.count), name);
        (code == 0).then_some(peer)
    }

    /// A publish at QoS 1 is answered with what the rules say.
    fn may_publish(&mut self, user: &str, topic: &str) -> bool {
        let Some(mut peer) = self.user(user) else { return false };
        peer.send(&format!("PUBLISH1{{\"{topic}\" 0001 {{}} 'x'}}"));
        match peer.packet()[..] {
            [0x40, _, 0, 1] | [0x40, _, 0, 1, 0 | 0x10, ..] => true,
            [0x40, _, 0, 1, 0x87, ..] => false,
            ref other => panic!("{other:x?}"),
        }
    }

    /// A subscription is granted to anybody; what counts is what is delivered.
    fn may_subscribe(&mut self, user: &str, topic: &str, publisher: &str) -> bool {
        let Some(mut peer) = self.user(user) else { return false };
        // whatever comes for this filter comes before the answer to the last PINGREQ
        peer.subscribe_v5(topic, 0);
        assert!(self.may_publish(publisher, topic), "{publisher} should be able to publish {topic}");
        std::thread::sleep(QUIET);
        peer.send("PINGREQ{}");
        peer.packet()[0] >> 4 == 3
    }
}

/// Topic, user, access, expectation of the exercise's table.
const ROWS: [(&str, &str, &str, bool); 15] = [
    ("/sensor/temperature/data", "user1", "subscribe", true),
    ("/sensor/temperature/data", "user1", "publish", false),
    ("/sensor/temperature/data", "user2", "subscribe", true),
    ("/sensor/temperature/data", "user3", "subscribe", true),
    ("/sensor/temperature/data", "user117", "subscribe", false),
    ("/sensor/fanspeed/data", "user1", "publish", true),
    ("/sensor/fanspeed/data", "user1", "subscribe", true),
    ("/sensor/fanspeed/data", "user2", "publish", false),
    ("/sensor/fanspeed/data", "user2", "subscribe", true),
    ("/sensor/fanspeed/data", "user3", "publish", false),
    ("/sensor/fanspeed/data", "user3", "subscribe", true),
    ("/sensor/temperature/data", "user2", "publish", true),
    ("/sensor/user1/temperature/data", "user1", "publish", true),
    ("/sensor/user2/temperature/data", "user2", "publish", true),
    ("/sensor/user3/temperature/data", "user3", "publish", true),
];

/// Prints the table with what the broker really did (`cargo test -- --nocapture`), and compares.
fn check_table(rules: &str, lines: &str, differing: &[usize]) {
    let mut verdicts = Verdicts { broker: guarded(&example(rules), lines), count: 0 };
    println!("{rules} {}", lines.trim());
    println!("{:<32} {:<8} {:<10} {:<9} got", "topic", "user", "access", "expected");
    let mut wrong = Vec::new();
    for (row, (topic, user, access, expected)) in ROWS.into_iter().enumerate() {
        let publisher = if topic.contains("fanspeed") { "user1" } else { "user2" };
        let got = match access {
            "publish" => verdicts.may_publish(user, topic),
            _ => verdicts.may_subscribe(user, topic, publisher),
        };
        let word = |pass: bool| if pass { "pass" } else { "fail" };
        println!("{topic:<32} {user:<8} {access:<10} {:<9} {}", word(expected), word(got));
        if got != expected {
            wrong.push(row + 1);
        }
    }
    assert_eq!(wrong, differing, "rows of {rules} that come out otherwise");
}

#[test]
fn the_tables_rules_give_the_whole_table() {
    check_table(TABLE, "allow_anonymous false\n", &[]);
}

#[test]
fn the_rules_as_stated_differ_in_the_second_row_only() {
    check_table(RULES, "allow_anonymous false\n", &[2]);
}

#[test]
fn the_same_with_anonymous_clients_let_in_again() {
    check_table(TABLE, "allow_anonymous true\n", &[]);
    check_table(RULES, "allow_anonymous true\n", &[2]);
}

/// They have the rules before the first `user` line, and the patterns without a user name.
#[test]
fn anonymous_clients_have_the_first_rules_and_patterns() {
    let rules = format!("topic write free/#\ntopic read news\n{}", example(RULES));
    let mut verdicts = Verdicts { broker: guarded(&rules, "allow_anonymous true\n"), count: 0 };
    for (topic, may) in [
        ("free/a", true),
        ("news", false),
        ("/sensor/fanspeed/data", false),
        ("/sensor//temperature/data", false),
        ("/sensor/-/temperature/data", false),
    ] {
        assert_eq!(verdicts.may_publish("-", topic), may, "{topic}");
    }
    assert!(verdicts.may_subscribe("-", "/sensor/fanspeed/data", "user1"));
    assert!(!verdicts.may_publish("user1", "free/a"), "users do not have the anonymous clients' rules");
}

#[test]
fn who_is_refused_is_told_in_every_version() {
    let broker = guarded(&example(RULES), "allow_anonymous false\n");
    let port = broker.port();
    for (user, code) in [
        (Some(("user1", "iotlab")), 0),
        (Some(("user1", "wrong")), 0x87),
        (Some(("user1", "")), 0x87),
        (Some(("user117", "iotlab")), 0x87),
        (None, 0x87),
    ] {
        let (mut peer, got) = login(port, "a", user);
        assert_eq!(got, code, "{user:?}");
        if code != 0 {
            peer.closed();
        }
    }
    Peer::connect(port, "\"MQTT\" 04 c2 003c \"b\" \"user1\" \"wrong\"", "CONNACK{0005}").closed();
    Peer::connect(port, "\"MQTT\" 04 82 003c \"b\" \"user1\"", "CONNACK{0005}").closed();
    Peer::connect(port, "\"MQTT\" 04 02 003c \"b\"", "CONNACK{0005}").closed();
    Peer::connect(port, "\"MQTT\" 04 c2 003c \"b\" \"user1\" \"iotlab\"", "CONNACK{0000}").ping();
}

/// A29: what a client sends before its password is checked waits, and is dealt with in order.
#[test]
fn a29_what_comes_before_the_verdict_waits() {
    let broker = guarded("user user1\ntopic readwrite a\n", "");
    let mut good = Peer::open(local(broker.port()));
    good.send("CONNECT{\"MQTT\" 05 c2 003c {} \"a\" \"user1\" \"iotlab\"} SUBSCRIBE{0001 {} \"a\" 00} 500*(PINGREQ{}) PUBLISH{\"a\" {} 'x'}");
    good.expect("CONNACK{0000 *} SUBACK{0001 {} 00} 500*(PINGRESP{}) PUBLISH{\"a\" {} 'x'}");
    let mut bad = Peer::open(local(broker.port()));
    bad.send("CONNECT{\"MQTT\" 05 c2 003c {} \"b\" \"user1\" \"guess\"} PUBLISH{\"a\" {} 'y'}");
    bad.expect("CONNACK{0087 *}");
    bad.closed();
    good.silent();
}

/// B03: an alias that a refused message set is as good as any.
#[test]
fn b03_an_alias_of_a_refused_message_counts() {
    let broker = guarded("user user1\ntopic readwrite yes\n", "");
    let (mut peer, _) = login(broker.port(), "a", Some(("user1", "iotlab")));
    peer.subscribe_v5("yes", 0);
    peer.send("PUBLISH1{\"no\" 0001 {230001} 'x'} PUBLISH1{\"\" 0002 {230001} 'x'}");
    peer.expect("PUBACK{0001 87 *} PUBACK{0002 87 *}");
    peer.send("PUBLISH{\"yes\" {230001} '1'} PUBLISH{\"\" {230001} '2'}");
    peer.expect("PUBLISH{\"yes\" {} '1'} PUBLISH{\"yes\" {} '2'}");
    broker.wait_for_log("Denied PUBLISH from a (user 'user1') (d0, q1, r0, m2, 'no', ... (1 bytes)): ");
}

/// D20: a wildcard subscription brings only what may be read, on every way a message can come.
#[test]
fn d20_a_wildcard_does_not_open_a_denied_topic() {
    let rules = "user user1\ntopic readwrite #\nuser user2\ntopic read a/#\ntopic deny a/secret\n";
    let broker = guarded(rules, "allow_anonymous false\n");
    let port = broker.port();
    let (mut writer, _) = login(port, "w", Some(("user1", "iotlab")));
    writer.send("PUBLISH1+retain{\"a/secret\" 0001 {} 'r'} PUBLISH1+retain{\"a/open\" 0002 {} 'r'}");
    writer.expect("PUBACK{0001 10 *} PUBACK{0002 10 *}");
    let reader = |clean: &str| {
        let body = format!("\"MQTT\" 05 {clean} 003c {{1100001000}} \"r\" \"user2\" \"iotlab\"");
        Peer::connect(port, &body, "CONNACK{.. 00 *}")
    };
    let mut peer = reader("c2");
    peer.send("SUBSCRIBE{0001 {} \"#\" 01 \"$share/g/a/#\" 01}");
    peer.expect("SUBACK{0001 {} 01 01} PUBLISH1+retain{\"a/open\" 0001 {} 'r'}");
    writer.send("PUBLISH{\"a/secret\" {} 'live'} PUBLISH{\"a/open\" {} 'live'}");
    // once for the plain, once for the shared subscription
    peer.expect("2*(PUBLISH{\"a/open\" {} 'live'})");
    peer.silent();
    drop(peer);
    broker.wait_for_log("Client r [");
    writer.send("PUBLISH1{\"a/secret\" 0003 {} 'queued'} PUBLISH1{\"a/open\" 0004 {} 'queued'}");
    writer.packet();
    writer.packet();
    std::thread::sleep(QUIET);
    let mut peer = reader("c0");
    peer.expect("PUBLISH1+dup+retain{\"a/open\" 0001 {} 'r'} 2*(PUBLISH1{\"a/open\" .. .. {} 'queued'})");
    peer.silent();
}

/// C13: what waits for a session is asked about again when the session goes on under other rules.
#[test]
fn c13_a_right_taken_away_holds_for_what_waits() {
    let broker = guarded("user user1\ntopic readwrite #\nuser user2\ntopic read #\n", "");
    let port = broker.port();
    let durable = "\"MQTT\" 05 c0 003c {1100001000} \"d\" \"user2\" \"iotlab\"";
    let mut peer = Peer::connect(port, durable, "CONNACK{0000 *}");
    peer.subscribe_v5("#", 1);
    drop(peer);
    broker.wait_for_log("Client d [");
    let (mut writer, _) = login(port, "w", Some(("user1", "iotlab")));
    writer.send("PUBLISH1{\"secret\" 0001 {} 'x'} PUBLISH1{\"open\" 0002 {} 'x'}");
    writer.expect("PUBACK{0001 *} PUBACK{0002 *}");
    std::thread::sleep(QUIET);
    let rules = "user user1\ntopic readwrite #\nuser user2\ntopic read open\n";
    std::fs::write(broker.dir().join("rules"), rules).unwrap();
    reload(&broker, 1);
    let mut peer = Peer::connect(port, durable, "CONNACK{0100 *}");
    peer.expect("PUBLISH1{\"open\" 0001 {} 'x'}");
    writer.send("PUBLISH1{\"secret\" 0003 {} 'y'} PUBLISH1{\"open\" 0004 {} 'y'}");
    peer.expect("PUBLISH1{\"open\" 0002 {} 'y'}");
}

/// D19: a retained message is not given out once its author may no longer write it, unless that is wanted.
#[test]
fn d19_a_retained_message_of_an_author_without_the_right() {
    for (directive, kept) in [("", false), ("check_retain_source false\n", true)] {
        let broker =
            guarded("user user1\ntopic write a\ntopic write b\nuser user2\ntopic read #\n", directive);
        let port = broker.port();
        let (mut writer, _) = login(port, "w", Some(("user1", "iotlab")));
        writer.send("PUBLISH1+retain{\"a\" 0001 {} 'x'} PUBLISH1+retain{\"b\" 0002 {} 'x'}");
        writer.expect("PUBACK{0001 *} PUBACK{0002 *}");
        let rules = "user user1\ntopic write b\nuser user2\ntopic read #\n";
        std::fs::write(broker.dir().join("rules"), rules).unwrap();
        reload(&broker, 1);
        let (mut reader, _) = login(port, "r", Some(("user2", "iotlab")));
        if kept {
            reader.subscribe_v5("a", 0);
            reader.expect("PUBLISH+retain{\"a\" {} 'x'}");
        }
        reader.subscribe_v5("+", 0);
        let a = if kept { "PUBLISH+retain{\"a\" {} 'x'}" } else { "" };
        reader.expect_in_any_order(&format!("{a} PUBLISH+retain{{\"b\" {{}} 'x'}}"));
        reader.ping();
    }
}

/// D15: a user name is put into a pattern as it is; wildcards in it open nothing.
#[test]
fn d15_wildcards_in_a_name_open_nothing() {
    let broker = Broker::start_with_files(
        Kind::Ours,
        "allow_anonymous true\nacl_file {dir}/rules\n",
        &[("rules", "pattern readwrite own/%c/#\npattern readwrite user/%u/#\n")],
    );
    for id in ["+", "#", "a+", "+/x"] {
        let mut peer = Peer::v5(broker.port(), id);
        peer.send("PUBLISH1{\"own/other/t\" 0001 {} 'x'}");
        peer.expect("PUBACK{0001 87 *}");
    }
    let mut peer = Peer::v5(broker.port(), "me");
    peer.send("PUBLISH1{\"own/me/t\" 0001 {} 'x'} PUBLISH1{\"user//t\" 0002 {} 'x'}");
    peer.expect("PUBACK{0001 10 *} PUBACK{0002 87 *}");
}

/// D17: rules without a rule allow nothing.
#[test]
fn d17_an_empty_acl_file_denies_all() {
    let files = [("rules", "# nothing\n\n")];
    let broker = Broker::start_with_files(Kind::Ours, "allow_anonymous true\nacl_file {dir}/rules\n", &files);
    let mut peer = Peer::v5(broker.port(), "a");
    peer.send("PUBLISH1{\"a\" 0001 {} 'x'}");
    peer.expect("PUBACK{0001 87 *}");
}

/// A will is checked when it is sent.
#[test]
fn a_will_obeys_the_rules_of_its_author() {
    let broker = guarded("user user1\ntopic write a\nuser user2\ntopic read #\n", "");
    let (mut reader, _) = login(broker.port(), "r", Some(("user2", "iotlab")));
    reader.subscribe_v5("#", 0);
    for topic in ["b", "a"] {
        let body = format!("\"MQTT\" 04 c6 003c \"w\" \"{topic}\" \"gone\" \"user1\" \"iotlab\"");
        drop(Peer::connect(broker.port(), &body, "CONNACK{0000}"));
    }
    reader.expect("PUBLISH{\"a\" {} 'gone'}");
    reader.silent();
}

#[test]
fn d18_per_listener_settings_keep_the_listeners_apart() {
    let (open, guarded) = (grovemq_tests::free_port(), grovemq_tests::free_port());
    let dir = grovemq_tests::scratch();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("passwords"), example("examples/lab/passwords")).unwrap();
    std::fs::write(path("rules"), "user user1\ntopic read #\n").unwrap();
    let text = format!(
        "per_listener_settings true\nlistener {open} 127.0.0.1\nallow_anonymous true\n\
         listener {guarded} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\n",
        path("passwords"),
        path("rules")
    );
    std::fs::write(path("conf"), text).unwrap();
    let mut command = peers::ours("broker");
    let program = grovemq_tests::Program::start(command.arg("-c").arg(path("conf")));
    program.wait_for_stderr(concat!(env!("CARGO_PKG_VERSION"), " running"), grovemq_tests::SOON);
    let mut free = Peer::v5(open, "free");
    free.send("PUBLISH1{\"a\" 0001 {} 'x'}");
    free.expect("PUBACK{0001 10 *}");
    assert_eq!(login(guarded, "a", None).1, 0x87);
    let (mut user, code) = login(guarded, "a", Some(("user1", "iotlab")));
    assert_eq!(code, 0);
    user.subscribe_v5("a", 0);
    user.send("PUBLISH1{\"a\" 0001 {} 'x'}");
    user.expect("PUBACK{0001 87 *}");
    free.send("PUBLISH{\"a\" {} 'y'}");
    user.expect("PUBLISH{\"a\" {} 'y'}");
}

/// What SIGHUP changes, and E10: with a broken file nothing changes at all.
#[test]
fn files_are_read_again_at_sighup() {
    let broker = guarded("user user1\ntopic readwrite a\n", "allow_anonymous false\n");
    let port = broker.port();
    let write = |name: &str, text: &str| std::fs::write(Path::new(broker.dir()).join(name), text).unwrap();
    let users = example("examples/lab/passwords");
    let without_user2: String =
        users.split_inclusive('\n').filter(|line| !line.starts_with("user2:")).collect();
    let (mut peer, _) = login(port, "stays", Some(("user1", "iotlab")));
    peer.subscribe_v5("#", 0);
    let topics = |peer: &mut Peer, a: &str, b: &str, delivered: &str| {
        peer.send("PUBLISH1{\"a\" 0001 {} 'x'} PUBLISH1{\"b\" 0002 {} 'x'}");
        let all = format!("PUBACK{{0001 {a}}} PUBACK{{0002 {b}}} PUBLISH{{\"{delivered}\" {{}} 'x'}}");
        peer.expect_in_any_order(&all);
    };
    topics(&mut peer, "*", "87 *", "a");

    write("rules", "user user1\ntopic readwrite b\n");
    reload(&broker, 1);
    topics(&mut peer, "87 *", "*", "b");

    let (mut other, _) = login(port, "goes", Some(("user2", "iotlab")));
    write("passwords", &without_user2);
    reload(&broker, 2);
    // who is no longer known is told, others stay
    other.closed_with(0x87);
    assert_eq!(login(port, "x", Some(("user2", "iotlab"))).1, 0x87);
    assert_eq!(login(port, "x", Some(("user1", "iotlab"))).1, 0);
    peer.ping();

    for (name, text, complaint) in [
        ("rules", "user user1\ntopic readwrite a\ntopik write c\n", "rules:3"),
        ("passwords", "user1\n", "passwords:1"),
    ] {
        let good = std::fs::read_to_string(broker.dir().join(name)).unwrap();
        // the other file is changed, too: it must not be taken over alone
        write(name, text);
        let other = if name == "rules" {
            ("passwords", &*users)
        } else {
            ("rules", "user user1\ntopic readwrite a\n")
        };
        let kept = std::fs::read_to_string(broker.dir().join(other.0)).unwrap();
        write(other.0, other.1);
        broker.program().hang_up();
        broker.wait_for_log(complaint);
        broker.wait_for_log("Error: Nothing was reloaded, the previous settings stay in force.");
        topics(&mut peer, "87 *", "*", "b");
        assert_eq!(login(port, "x", Some(("user2", "iotlab"))).1, 0x87, "after the broken {name}");
        assert_eq!(login(port, "x", None).1, 0x87);
        write(name, &good);
        write(other.0, &kept);
    }
    std::fs::remove_file(broker.dir().join("passwords")).unwrap();
    broker.program().hang_up();
    assert_eq!(login(port, "x", Some(("user1", "iotlab"))).1, 0);
    assert_eq!(login(port, "x", None).1, 0x87);
}

/// Sends SIGHUP and waits until it is obeyed for the n-th time.
#[track_caller]
fn reload(broker: &Broker, n: usize) {
    broker.program().hang_up();
    let deadline = std::time::Instant::now() + grovemq_tests::SOON;
    loop {
        let lines = broker.program().stderr_lines();
        if lines.iter().filter(|line| line.ends_with(": Configuration reloaded.")).count() == n {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{lines:#?}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// D16: a file that cannot be understood is no reason to let everybody in.
#[test]
fn d16_a_broken_file_ends_with_3() {
    for (file, text, place) in [("passwords", "user1\n", "passwords:1"), ("rules", "nonsense\n", "rules:1")] {
        let dir = grovemq_tests::scratch();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
        std::fs::write(path("passwords"), example("examples/lab/passwords")).unwrap();
        std::fs::write(path("rules"), example(RULES)).unwrap();
        std::fs::write(path(file), text).unwrap();
        let port = grovemq_tests::free_port();
        let conf = format!(
            "listener {port} 127.0.0.1\npassword_file {}\nacl_file {}\n",
            path("passwords"),
            path("rules")
        );
        std::fs::write(path("conf"), conf).unwrap();
        let mut command = peers::ours("broker");
        let end = grovemq_tests::Program::run(command.arg("-c").arg(path("conf")), b"", grovemq_tests::SOON);
        assert_eq!(end.code, 3, "{end:?}");
        assert!(end.stderr.contains(place), "{place} is missing: {end:?}");
    }
}

/// C02: another user who takes a session over does not get what the first may read.
#[test]
fn c02_another_user_does_not_inherit_what_he_may_not_read() {
    let rules = "user user1\ntopic readwrite #\nuser user2\ntopic read open\n";
    let broker = guarded(rules, "allow_anonymous false\n");
    let port = broker.port();
    let as_user = |name: &str| format!("\"MQTT\" 05 c0 003c {{1100001000}} \"same\" \"{name}\" \"iotlab\"");
    let mut first = Peer::connect(port, &as_user("user1"), "CONNACK{0000 *}");
    first.subscribe_v5("#", 1);
    let (mut writer, _) = login(port, "w", Some(("user1", "iotlab")));
    writer.send("PUBLISH1{\"secret\" 0001 {} 'in flight'}");
    writer.expect("PUBACK{0001}");
    first.expect("PUBLISH1{\"secret\" 0001 {} 'in flight'}");
    drop(first);
    broker.wait_for_log("Client same [");
    writer.send("PUBLISH1{\"secret\" 0002 {} 'queued'}");
    writer.expect("PUBACK{0002 *}");
    let mut second = Peer::connect(port, &as_user("user2"), "CONNACK{.. 00 *}");
    second.silent();
    writer.send("PUBLISH1{\"secret\" 0003 {} 'live'} PUBLISH1{\"open\" 0004 {} 'live'}");
    writer.packet();
    writer.packet();
    // whether the subscription goes on or not, nothing of the first user's comes
    second.send("SUBSCRIBE{0001 {} \"open\" 00}");
    writer.send("PUBLISH{\"open\" {} 'end'}");
    loop {
        let packet = second.packet();
        let text = String::from_utf8_lossy(&packet);
        assert!(!text.contains("secret"), "{text:?}");
        if text.ends_with("end") {
            break;
        }
    }
}

/// D14: after a few wrong passwords the next login from there has to wait, even with the right one; it is said once.
#[test]
fn d14_after_failed_logins_the_next_waits() {
    let broker = guarded("topic readwrite #\n", "");
    let guess = |i: u32| login(broker.port(), &format!("g{i}"), Some(("user1", "guess"))).1;
    for i in 0..5 {
        assert_eq!(guess(i), 0x87);
    }
    let start = std::time::Instant::now();
    assert_eq!(login(broker.port(), "user", Some(("user1", "iotlab"))).1, 0);
    assert!(start.elapsed() >= std::time::Duration::from_millis(250), "{:?}", start.elapsed());
    assert_eq!(guess(5), 0x87);
    broker.wait_for_log("Logins from 127.0.0.1 are delayed: too many have failed.");
    let lines = broker.program().stderr_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("are delayed")).count(), 1, "{lines:#?}");
}
