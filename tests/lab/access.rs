//! The exercise on access rules: the table of who may do what, tried with the tools on the shipped files.

use grovemq_tests::{Program, SOON, free_port, peers, wait_until_listening};

use crate::bench::{Bench, Whose, eventually};

/// Hears and may publish everything, to see what becomes of the others.
const TEACHER: &str = "-u teacher -P blackboard";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Publish,
    Subscribe,
}

use Access::{Publish, Subscribe};

type Row = (&'static str, &'static str, Access, bool);

/// The table of expectations; a user without a name is an anonymous client.
const TABLE: [Row; 15] = [
    ("/sensor/temperature/data", "user1", Subscribe, true),
    ("/sensor/temperature/data", "user1", Publish, false),
    ("/sensor/temperature/data", "user2", Subscribe, true),
    ("/sensor/temperature/data", "user3", Subscribe, true),
    ("/sensor/temperature/data", "user117", Subscribe, false),
    ("/sensor/fanspeed/data", "user1", Publish, true),
    ("/sensor/fanspeed/data", "user1", Subscribe, true),
    ("/sensor/fanspeed/data", "user2", Publish, false),
    ("/sensor/fanspeed/data", "user2", Subscribe, true),
    ("/sensor/fanspeed/data", "user3", Publish, false),
    ("/sensor/fanspeed/data", "user3", Subscribe, true),
    ("/sensor/temperature/data", "user2", Publish, true),
    ("/sensor/user1/temperature/data", "user1", Publish, true),
    ("/sensor/user2/temperature/data", "user2", Publish, true),
    ("/sensor/user3/temperature/data", "user3", Publish, true),
];

/// What the table leaves out.
const BEYOND: [Row; 8] = [
    ("/sensor/user1/temperature/data", "user2", Publish, false),
    ("/sensor/user1/temperature/data", "user1", Subscribe, false),
    ("/sensor/temperature/other", "user1", Publish, false),
    ("/sensor/temperature/other", "user1", Subscribe, false),
    ("/sensor/temperature/data", "user3", Publish, false),
    ("/sensor/temperature/data", "user117", Publish, false),
    ("/sensor/temperature/data", "", Publish, false),
    ("/sensor/user1/temperature/data", "", Publish, false),
];

/// A broker with the shipped configuration and one of the shipped rules, in which there is a teacher too.
struct Room {
    bench: Bench,
    port: u16,
    broker: Program,
}

impl Room {
    #[track_caller]
    fn open(whose: Whose, rules: &str, anonymous: bool) -> Self {
        let bench = Bench::new(whose);
        let port = free_port();
        let shipped = |name: &str| {
            std::fs::read_to_string(peers::repository().join("examples/lab").join(name)).unwrap()
        };
        let conf = shipped("mosquitto.conf")
            .replace("listener 1883", &format!("listener {port} 127.0.0.1"))
            .replace("allow_anonymous false", &format!("allow_anonymous {anonymous}"))
            .replace("acl_file rules.acl", &format!("acl_file {rules}"));
        bench.write("mosquitto.conf", &conf);
        bench.write("passwords", &shipped("passwords"));
        bench.write(rules, &format!("{}\nuser teacher\ntopic readwrite #\n", shipped(rules)));
        bench.run("mosquitto_passwd -b passwords teacher blackboard").success();
        let broker = bench.start("mosquitto -v -c mosquitto.conf");
        wait_until_listening(port, SOON);
        Self { bench, port, broker }
    }

    /// Whether the message, or the subscription, has its effect.
    fn passes(&self, (topic, user, access, _): Row) -> bool {
        let credentials = if user.is_empty() { String::new() } else { format!("-u {user} -P iotlab") };
        let publish = |who: &str, what: &str| {
            let line = format!("mosquitto_pub -h 127.0.0.1 -p {} {who} -t {topic} -m '{what}'", self.port);
            self.bench.run(&line).code == 0
        };
        if access == Publish {
            let teacher = self.bench.listen(self.port, &format!("-t {topic} {TEACHER}"));
            let connected = publish(&credentials, "from the user");
            assert!(publish(TEACHER, "the end"));
            teacher.hears("the end");
            let arrived = teacher.lines().iter().any(|line| line == "from the user");
            assert!(connected || !arrived);
            return arrived;
        }
        // who is refused at the door has subscribed to nothing
        let may_connect = self
            .bench
            .run(&format!("mosquitto_pub -h 127.0.0.1 -p {} {credentials} -t /nowhere -m x", self.port));
        if may_connect.code != 0 {
            assert_eq!(may_connect.code, 5, "{}", may_connect.stderr);
            return false;
        }
        let ear = self.bench.listen(self.port, &format!("{credentials} -t {topic} -C 1 -W 1"));
        assert!(publish(TEACHER, "from the teacher"));
        let end = ear.finish();
        assert!([0, 27].contains(&end.code), "{end:?}");
        end.text() == "from the teacher\n"
    }

    /// Tries each row and prints it; the rows that came out otherwise than expected.
    fn differing(&self, rows: &[Row]) -> Vec<Row> {
        let mut differing = Vec::new();
        for row in rows {
            let (topic, user, access, expected) = *row;
            let passes = self.passes(*row);
            let word = |pass| if pass { "pass" } else { "fail" };
            let access = format!("{access:?}").to_lowercase();
            println!("{topic:32} {user:8} {access:10} expected {}, got {}", word(expected), word(passes));
            if passes != expected {
                differing.push(*row);
            }
        }
        differing
    }
}

#[test]
fn the_table_comes_out_as_expected_with_its_rules() {
    let room = Room::open(Whose::Ours, "table.acl", false);
    assert_eq!(room.differing(&TABLE), []);
    assert_eq!(room.differing(&BEYOND), []);
    room.broker.wait_for_stderr("Denied PUBLISH from", SOON);
}

#[test]
fn by_the_rules_as_stated_one_row_comes_out_otherwise() {
    let room = Room::open(Whose::Ours, "rules.acl", false);
    assert_eq!(room.differing(&TABLE), [TABLE[1]]);
    assert_eq!(room.differing(&BEYOND), []);
}

#[test]
fn anonymous_clients_may_hear_the_scheme_and_publish_nothing() {
    let room = Room::open(Whose::Ours, "rules.acl", true);
    assert_eq!(room.differing(&TABLE), [TABLE[1]]);
    assert_eq!(room.differing(&BEYOND), []);
    assert_eq!(room.differing(&[("/sensor/temperature/data", "", Subscribe, true)]), []);
}

#[test]
fn other_rules_are_taken_by_a_reload() {
    let room = Room::open(Whose::Ours, "rules.acl", false);
    assert!(room.passes(TABLE[1]));
    let other = std::fs::read_to_string(peers::repository().join("examples/lab/table.acl")).unwrap();
    room.bench.write("rules.acl", &format!("{other}\nuser teacher\ntopic readwrite #\n"));
    room.broker.hang_up();
    room.broker.wait_for_stderr("Reloading", SOON);
    eventually(|| !room.passes(TABLE[1]), || "the old rules still hold".to_owned());
}

#[test]
fn a_refusal_is_told_to_who_asks_for_an_answer() {
    let room = Room::open(Whose::Ours, "rules.acl", false);
    let line = format!(
        "mosquitto_pub -h 127.0.0.1 -p {} -V 5 -q 1 -u user3 -P iotlab -t /sensor/temperature/data -m x",
        room.port
    );
    let end = room.bench.run(&line);
    assert!(end.stderr.contains("Not authorized"), "{end:?}");
    room.broker.wait_for_stderr("no rule allows it", SOON);
}

#[test]
fn debian_broker_and_tools_come_to_the_same_table() {
    for (rules, anonymous) in [("table.acl", false), ("rules.acl", true)] {
        let [ours, theirs] = [Whose::Ours, Whose::Debian]
            .map(|whose| Room::open(whose, rules, anonymous).differing(&[&TABLE[..], &BEYOND].concat()));
        assert_eq!(ours, theirs, "{rules}");
    }
}
