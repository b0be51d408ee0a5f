//! SIGHUP: the configuration changes under clients that stay connected.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Instant;

use grovemq_tests::{Broker, Kind, SOON, free_port, peers};

use crate::peer::Peer;

/// A broker whose configuration a test writes anew.
struct Reloaded {
    broker: Broker,
    reloads: usize,
}

impl Reloaded {
    /// With `listener PORT 127.0.0.1` in front of the lines.
    fn start(lines: &str) -> Self {
        Reloaded { broker: Broker::start(Kind::Ours, lines), reloads: 0 }
    }

    fn port(&self) -> u16 {
        self.broker.port()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.broker.dir().join(name)
    }

    fn write(&self, text: &str) {
        let text = text.replace("{dir}", self.broker.dir().to_str().unwrap());
        let text = text.replace("{port}", &self.port().to_string());
        std::fs::write(self.path("mosquitto.conf"), text).unwrap();
    }

    /// Writes this configuration, in which `{port}` is the first listener's, and waits until it is in force.
    #[track_caller]
    fn change(&mut self, text: &str) {
        self.write(text);
        self.broker.program().hang_up();
        self.reloads += 1;
        self.wait_for_lines(": Configuration reloaded.", self.reloads);
    }

    /// A configuration that is refused, with these texts in the log.
    #[track_caller]
    fn change_in_vain(&mut self, text: &str, complaints: &[&str]) {
        let (refused, before) =
            ("Error: Nothing was reloaded, the previous settings stay in force.", self.lines());
        let known = before.iter().filter(|line| line.ends_with(refused)).count();
        self.write(text);
        self.broker.program().hang_up();
        self.wait_for_lines(refused, known + 1);
        let new = self.lines().split_off(before.len()).join("\n");
        for complaint in complaints {
            assert!(new.contains(complaint), "no {complaint:?} in:\n{new}");
        }
        assert!(!new.contains("Configuration reloaded."), "{new}");
    }

    fn lines(&self) -> Vec<String> {
        self.broker.program().stderr_lines()
    }

    #[track_caller]
    fn wait_for_lines(&self, end: &str, count: usize) {
        let deadline = Instant::now() + SOON;
        while self.lines().iter().filter(|line| line.ends_with(end)).count() < count {
            assert!(Instant::now() < deadline, "not {count} times {end:?}: {:#?}", self.lines());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

const OPEN: &str = "listener {port} 127.0.0.1\nallow_anonymous true\n";

#[test]
fn clients_of_an_unchanged_listener_go_on_where_they_were() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let mut peers: Vec<Peer> = (0..8).map(|i| Peer::v5(broker.port(), &format!("p{i}"))).collect();
    for peer in &mut peers {
        peer.subscribe_v5("t", 2);
    }
    // in the middle of both handshakes of QoS 2
    peers[0].send("PUBLISH2{\"t\" 0007 {} 'x'}");
    peers[0].expect_in_any_order("PUBREC{0007 *} PUBLISH2{\"t\" 0001 {} 'x'}");
    for peer in &mut peers[1..] {
        peer.expect("PUBLISH2{\"t\" 0001 {} 'x'}");
        peer.send("PUBREC{0001}");
        peer.expect("PUBREL{0001}");
    }
    let other = free_port();
    broker.change(&format!("{OPEN}max_queued_messages 5\nlistener {other} 127.0.0.1\nmax_qos 1\n"));
    for peer in &mut peers[1..] {
        peer.send("PUBCOMP{0001}");
    }
    peers[0].send("PUBREL{0007} PUBREC{0001}");
    peers[0].expect("PUBCOMP{0007} PUBREL{0001}");
    peers[0].send("PUBCOMP{0001} PUBLISH{\"t\" {} 'y'}");
    for peer in &mut peers {
        peer.expect("PUBLISH{\"t\" {} 'y'}");
        peer.ping();
    }
    // the new listener's clients belong to the same broker
    let mut new = Peer::connect(other, "\"MQTT\" 05 02 003c {} \"new\"", "CONNACK{0000 *}");
    new.send("PUBLISH{\"t\" {} 'z'}");
    peers[3].expect("PUBLISH{\"t\" {} 'z'}");
    // opened, and entered
    broker.wait_for_lines(&format!(" on port {other}."), 2);
}

#[test]
fn a_port_moves_and_who_is_inside_stays() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let old = broker.port();
    let mut peer = Peer::v5(old, "stays");
    peer.subscribe_v5("t", 1);
    let new = free_port();
    broker.change(&format!("listener {new} 127.0.0.1\nallow_anonymous true\n"));
    broker.broker.wait_for_log(&format!("Closing listen socket on port {old}."));
    let deadline = Instant::now() + SOON;
    while is_open(old) {
        assert!(Instant::now() < deadline, "the old port is still open");
    }
    let mut other = Peer::v5(new, "comes");
    other.send("PUBLISH1{\"t\" 0001 {} 'x'}");
    other.expect("PUBACK{0001}");
    peer.expect("PUBLISH1{\"t\" 0001 {} 'x'}");
    peer.send("PUBACK{0001}");
    peer.ping();
    // and back
    broker.change(OPEN);
    Peer::v3(old, "again").ping();
    other.ping();
}

/// The old socket is in the way of the new one: from all addresses to one, and back.
#[test]
fn the_address_of_a_port_changes() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let port = broker.port();
    let mut peer = Peer::v5(port, "stays");
    broker.change(&format!("listener {port}\nallow_anonymous true\n"));
    Peer::v5_at(([127, 0, 0, 2], port).into(), "everywhere").ping();
    broker.change(OPEN);
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err(), "it still listens everywhere");
    Peer::v5(port, "here").ping();
    // another one has the address: the old door is opened again
    let taken = TcpListener::bind(("127.0.0.3", port)).unwrap();
    broker.change_in_vain(
        &format!("listener {port}\nallow_anonymous true\n"),
        &["Error: Address already in use", "mosquitto.conf:1."],
    );
    drop(taken);
    Peer::v5(port, "again").ping();
    peer.ping();
}

#[test]
fn e10_a_broken_configuration_changes_nothing_and_says_all_that_is_wrong() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let (port, new) = (broker.port(), free_port());
    let mut peer = Peer::v5(port, "stays");
    let unchanged = |peer: &mut Peer| {
        peer.ping();
        Peer::v5(port, "new").ping();
        assert!(!is_open(new), "the new listener is open");
    };
    broker.change_in_vain(
        &format!("listener {new} 127.0.0.1\nallow_anonimous true\nmax_qos 7\n"),
        &["Unknown configuration variable 'allow_anonimous'", "mosquitto.conf:2", "mosquitto.conf:3"],
    );
    unchanged(&mut peer);
    // files that are named in it, all of them
    std::fs::write(broker.path("users"), "user1\n").unwrap();
    std::fs::write(broker.path("rules"), "topik read a\n").unwrap();
    broker.change_in_vain(
        &format!(
            "{OPEN}listener {new} 127.0.0.1\ncertfile {{dir}}/none.pem\nkeyfile {{dir}}/none.key\n\
             password_file {{dir}}/users\nacl_file {{dir}}/rules\nlog_dest file {{dir}}/none/log\n"
        ),
        &["users:1", "rules:1", "Unable to load server certificate", "/none/log"],
    );
    unchanged(&mut peer);
    // a port in use, beside one that is not, and beside another limit
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().port();
    broker.change_in_vain(
        &format!("{OPEN}max_qos 0\nlistener {new} 127.0.0.1\nlistener {busy} 127.0.0.1\n"),
        &["Error: Address already in use", "mosquitto.conf:5."],
    );
    unchanged(&mut peer);
    peer.send("PUBLISH1{\"t\" 0001 {} 'x'}");
    peer.expect("PUBACK{0001 *}");
    drop(taken);
    broker.broker.program().hang_up();
    broker.wait_for_lines(": Configuration reloaded.", 1);
    Peer::v5(new, "new").ping();
    Peer::v5(busy, "new").ping();
}

/// Limits hold for new clients at once; who was promised another one is not punished for it.
#[test]
fn limits_change() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let port = broker.port();
    let mut old = Peer::v5(port, "old");
    broker.change(&format!("{OPEN}max_packet_size 100\nmax_keepalive 20\nmax_qos 1\nmax_connections 3\n"));
    let large = "x".repeat(200);
    old.send(&format!("PUBLISH2{{\"t\" 0001 {{}} '{large}'}}"));
    old.expect("PUBREC{0001 *}");
    let mut new = Peer::open(crate::peer::local(port));
    new.send("CONNECT{\"MQTT\" 05 02 003c {} \"new\"}");
    // topic alias maximum, QoS 1, keep-alive 20, packets of 100 bytes, receive maximum
    new.expect("CONNACK{0000 {22000a 2401 130014 2700000064 210014}}");
    new.send(&format!("PUBLISH{{\"t\" {{}} '{large}'}}"));
    new.closed_with(0x95);
    broker.change(OPEN);
    let mut newest = Peer::open(crate::peer::local(port));
    newest.send("CONNECT{\"MQTT\" 05 02 003c {} \"newest\"}");
    newest.expect("CONNACK{0000 {22000a 27001e8480 210014}}");
    old.ping();
}

#[test]
fn other_terms_close_the_clients_of_the_old_ones() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let (port, other) = (broker.port(), free_port());
    let two = |terms: &str| format!("{OPEN}{terms}listener {other} 127.0.0.1\n");
    broker.change(&two(""));
    let mut inside = Peer::v5(port, "inside");
    let mut beside = Peer::v5(other, "beside");
    beside.subscribe_v5("#", 0);
    broker.change(&two("mount_point m/\n"));
    inside.closed_with(0x98);
    let mut mounted = Peer::v5(port, "mounted");
    mounted.send("PUBLISH{\"t\" {} 'x'}");
    beside.expect("PUBLISH{\"m/t\" {} 'x'}");
    // a listener becomes one for WebSocket, which needs threads there were none of before
    broker.change(&two("protocol websockets\n"));
    mounted.closed_with(0x98);
    let mut plain = Peer::open(crate::peer::local(port));
    plain.send_anyway("CONNECT{\"MQTT\" 05 02 003c {} \"plain\"}");
    assert!(plain.time_to_close() < SOON, "it is let in");
    broker.change(&two(""));
    Peer::v5(port, "plain").ping();
    beside.ping();
}

fn users() -> String {
    std::fs::read_to_string(peers::repository().join("examples/lab/passwords")).unwrap()
}

fn as_user(name: &str, id: &str) -> String {
    format!("\"MQTT\" 05 c0 003c {{1100001000}} \"{id}\" \"{name}\" \"iotlab\"")
}

/// C13: after the rules have changed, nothing that may no longer be read comes, on none of the ways a message can come.
#[test]
fn c13_new_rules_hold_for_what_waits_and_what_comes() {
    let rules = "user user1\ntopic readwrite #\nuser user2\ntopic read #\n";
    let lines =
        "allow_anonymous false\npassword_file {dir}/users\nacl_file {dir}/rules\nmax_inflight_messages 2\n";
    let broker = Broker::start_with_files(Kind::Ours, lines, &[("users", &users()), ("rules", rules)]);
    let mut broker = Reloaded { broker, reloads: 0 };
    let port = broker.port();
    let enter = |name: &str, id: &str| Peer::connect(port, &as_user(name, id), "CONNACK{.. 00 *}");
    let mut slow = enter("user2", "slow");
    slow.subscribe_v5("#", 1);
    let mut away = enter("user2", "away");
    away.subscribe_v5("#", 1);
    away.send("DISCONNECT{}");
    away.closed();
    let mut writer = enter("user1", "writer");
    let mut id = 0;
    let mut publish = |writer: &mut Peer, topic: &str| {
        id += 1;
        writer.send(&format!("PUBLISH1{{\"{topic}\" {id:04x} {{}} '{id}'}}"));
        writer.expect(&format!("PUBACK{{{id:04x} *}}"));
    };
    for topic in ["secret", "open", "secret", "secret", "open"] {
        publish(&mut writer, topic);
    }
    slow.expect("PUBLISH1{\"secret\" 0001 {} '1'} PUBLISH1{\"open\" 0002 {} '2'}");

    let text = "user user1\ntopic readwrite #\nuser user2\ntopic read open\n";
    std::fs::write(broker.path("rules"), text).unwrap();
    broker.change(&format!("listener {{port}} 127.0.0.1\n{lines}"));
    publish(&mut writer, "secret");
    publish(&mut writer, "open");
    // two of the messages that waited may no longer come, nor the new one
    slow.send("PUBACK{0001} PUBACK{0002}");
    slow.expect("PUBLISH1{\"open\" 0003 {} '5'} PUBLISH1{\"open\" 0004 {} '7'}");
    slow.send("PUBACK{0003} PUBACK{0004}");
    slow.silent();
    let mut away = enter("user2", "away");
    away.expect("PUBLISH1{\"open\" .. .. {} '2'} PUBLISH1{\"open\" .. .. {} '5'}");
    away.send("PUBACK{0001} PUBACK{0002}");
    away.expect("PUBLISH1{\"open\" .. .. {} '7'}");
    away.silent();

    // another file, and then none at all
    std::fs::write(broker.path("other"), "user user1\ntopic readwrite #\nuser user2\ntopic read secret\n")
        .unwrap();
    let other = lines.replace("/rules", "/other");
    broker.change(&format!("listener {{port}} 127.0.0.1\n{other}"));
    publish(&mut writer, "open");
    publish(&mut writer, "secret");
    slow.expect("PUBLISH1{\"secret\" 0005 {} '9'}");
    let none = lines.replace("acl_file {dir}/rules\n", "");
    broker.change(&format!("listener {{port}} 127.0.0.1\n{none}"));
    publish(&mut writer, "open");
    slow.expect("PUBLISH1{\"open\" 0006 {} '10'}");
}

#[test]
fn who_may_no_longer_log_in_is_closed() {
    let lines = "allow_anonymous true\npassword_file {dir}/users\n";
    let broker = Broker::start_with_files(Kind::Ours, lines, &[("users", &users())]);
    let mut broker = Reloaded { broker, reloads: 0 };
    let port = broker.port();
    let mut user1 = Peer::connect(port, &as_user("user1", "a"), "CONNACK{0000 *}");
    let mut user2 = Peer::connect(port, &as_user("user2", "b"), "CONNACK{0000 *}");
    let mut nobody = Peer::v5(port, "c");
    let listener = "listener {port} 127.0.0.1\n";
    broker.change(&format!("{listener}{lines}"));
    for peer in [&mut user1, &mut user2, &mut nobody] {
        peer.ping();
    }
    // another password
    let (one, two) = (users(), users());
    let line = |text: &str, user: &str| text.lines().find(|l| l.starts_with(user)).unwrap().to_string();
    let changed = line(&one, "user1:").replace("user1:", "user2:");
    let text = format!("{}\n{changed}\n", line(&two, "user1:"));
    std::fs::write(broker.path("users"), text).unwrap();
    broker.change(&format!("{listener}{lines}"));
    user2.closed_with(0x87);
    user1.ping();
    nobody.ping();
    broker.change(&format!("{listener}{}", lines.replace("true", "false")));
    nobody.closed_with(0x87);
    user1.ping();
    // without a file nobody is known
    broker.change(&format!("{listener}allow_anonymous false\n"));
    user1.closed_with(0x87);
}

#[test]
fn what_has_to_wait_for_a_restart_is_named() {
    let mut broker = Reloaded::start("allow_anonymous true\nshards 2\n");
    broker.change(&format!("{OPEN}\nshards 3\npid_file {{dir}}/pid\nmax_queued_messages 3\n"));
    for text in [
        "Warning: 'shards' takes effect after a restart. (",
        "mosquitto.conf:4)",
        "Warning: 'pid_file' takes effect after a restart. (",
        "mosquitto.conf:5)",
    ] {
        broker.broker.wait_for_log(text);
    }
    assert!(
        !broker.lines().iter().any(|l| l.contains("'max_queued_messages' takes")),
        "{:#?}",
        broker.lines()
    );
}

#[test]
fn the_control_api_is_switched() {
    let mut broker = Reloaded::start("allow_anonymous true\n");
    let mut peer = Peer::v5(broker.port(), "a");
    peer.subscribe_v5("$CONTROL/#", 0);
    let request = "PUBLISH1{\"$CONTROL/broker/v1\" 0001 {} '{\"commands\":[]}'}";
    peer.send(request);
    peer.expect("PUBACK{0001 87 *}");
    broker.change(&format!("{OPEN}enable_control_api true\n"));
    peer.send(request);
    peer.expect_in_any_order(
        "PUBACK{0001 *} PUBLISH{\"$CONTROL/broker/v1/response\" {} '{\"responses\":[]}'}",
    );
    broker.change(OPEN);
    peer.send(request);
    peer.expect("PUBACK{0001 87 *}");
}
