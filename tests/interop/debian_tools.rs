//! Debian's `mosquitto_pub` and `mosquitto_sub` against our broker, in each version and quality of service.

use std::process::Command;

use grovemq_tests::{Broker, Kind, Program, SOON, peers, scratch};

use crate::listening::{Listening, run};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

fn publisher() -> Command {
    peers::debian("mosquitto_pub")
}

fn subscriber() -> Command {
    peers::debian("mosquitto_sub")
}

#[track_caller]
fn publish(broker: &Broker, args: &[&str]) {
    run(publisher(), broker.port(), args).success();
}

#[test]
fn every_version_reaches_every_version_at_every_quality() {
    let broker = Broker::ours();
    for from in VERSIONS {
        for to in VERSIONS {
            for (sent, asked) in [("0", "0"), ("1", "1"), ("2", "2"), ("2", "1"), ("0", "2"), ("1", "0")] {
                let args = ["-V", to, "-i", "to", "-t", "a/+", "-q", asked, "-C", "1", "-F", "%t %q %r %p"];
                let listening = Listening::start(subscriber(), broker.port(), &args);
                publish(&broker, &["-V", from, "-i", "from", "-t", "a/b", "-q", sent, "-m", "hello"]);
                assert_eq!(
                    listening.text(),
                    format!("a/b {} 0 hello\n", sent.min(asked)),
                    "{from} {to} {sent} {asked}"
                );
            }
        }
    }
}

#[test]
fn retained_messages_wait_for_subscribers_and_can_be_cleared() {
    for version in VERSIONS {
        let broker = Broker::ours();
        publish(&broker, &["-V", version, "-t", "a/kept", "-m", "old", "-r", "-q", "1"]);
        publish(&broker, &["-V", version, "-t", "a/kept", "-m", "new", "-r", "-q", "1"]);
        publish(&broker, &["-V", version, "-t", "a/gone", "-m", "x", "-r", "-q", "1"]);
        publish(&broker, &["-V", version, "-t", "a/gone", "-n", "-r", "-q", "1"]);
        let args = ["-V", version, "-t", "a/#", "-F", "%t %r %p", "-W", "1"];
        assert_eq!(run(subscriber(), broker.port(), &args).text(), "a/kept 1 new\n", "{version}");
    }
}

#[test]
fn wildcards_match_as_the_specification_says() {
    let topics = ["a", "a/b", "a/b/c", "/a", "b", "$other/a"];
    let table: [(&str, &[&str]); 9] = [
        ("#", &["a", "a/b", "a/b/c", "/a", "b"]),
        ("+", &["a", "b"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("a/+", &["a/b"]),
        ("+/+", &["a/b", "/a"]),
        ("/+", &["/a"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("$other/#", &["$other/a"]),
        ("$other/+", &["$other/a"]),
    ];
    let broker = Broker::ours();
    for (filter, expected) in table {
        // the first one is sent again at the end: when it comes, all have come
        let expected: Vec<&str> = expected.iter().chain(&expected[..1]).copied().collect();
        let args = ["-t", filter, "-F", "%t", "-q", "1", "-C", &expected.len().to_string()];
        let listening = Listening::start(subscriber(), broker.port(), &args);
        for topic in topics.iter().chain(&expected[..1]) {
            publish(&broker, &["-t", topic, "-m", "x", "-q", "1"]);
        }
        assert_eq!(listening.text().lines().collect::<Vec<_>>(), expected, "{filter}");
    }
}

#[test]
fn a_will_is_published_when_its_client_dies_and_not_when_it_leaves() {
    for version in VERSIONS {
        let broker = Broker::ours();
        let args = ["-V", version, "-t", "will/#", "-t", "end", "-v", "-q", "1", "-C", "2"];
        let witness = Listening::start(subscriber(), broker.port(), &args);
        let with_will = |id: &str| {
            let topic = format!("will/{id}");
            let args = [
                "-V",
                version,
                "-i",
                id,
                "-t",
                "x",
                "--will-topic",
                &topic,
                "--will-payload",
                "gone",
                "--will-qos",
                "1",
            ];
            Listening::start(subscriber(), broker.port(), &[&args[..], &["-C", "1"]].concat())
        };
        let leaves = with_will("leaves");
        publish(&broker, &["-t", "x", "-m", "you may go"]);
        leaves.text();
        with_will("dies").kill();
        std::thread::sleep(std::time::Duration::from_millis(300));
        publish(&broker, &["-t", "end", "-m", "x", "-q", "1"]);
        assert_eq!(witness.text(), "will/dies gone\nend x\n", "{version}");
    }
}

#[test]
fn a_durable_session_is_given_what_came_meanwhile_in_order() {
    for version in VERSIONS {
        let broker = Broker::ours();
        let session = ["-V", version, "-i", "durable", "-c", "-q", "2", "-t", "a/#", "-v"];
        let first = [&session[..], &["-W", "1"]].concat();
        run(subscriber(), broker.port(), &first);
        for payload in ["1", "2", "3"] {
            publish(&broker, &["-t", "a/b", "-m", payload, "-q", "2"]);
        }
        let second = [&session[..], &["-C", "3", "-W", "10"]].concat();
        assert_eq!(run(subscriber(), broker.port(), &second).text(), "a/b 1\na/b 2\na/b 3\n", "{version}");
    }
}

#[test]
fn properties_of_version_5_arrive_unchanged() {
    let broker = Broker::ours();
    let args = [
        "-V",
        "5",
        "-t",
        "a",
        "-C",
        "1",
        "-F",
        "%C|%D|%F|%R|%P|%S",
        "-D",
        "subscribe",
        "subscription-identifier",
        "7",
    ];
    let listening = Listening::start(subscriber(), broker.port(), &args);
    let mut message = vec!["-V", "5", "-t", "a", "-m", "hello"];
    for property in [
        &["content-type", "text/plain"][..],
        &["correlation-data", "c"],
        &["payload-format-indicator", "1"],
        &["response-topic", "r"],
        &["user-property", "name", "one"],
        &["user-property", "name", "two"],
    ] {
        message.extend([&["-D", "publish"], property].concat());
    }
    publish(&broker, &message);
    assert_eq!(listening.text(), "text/plain|c|1|r|name:one name:two|7\n");
}

#[test]
fn shared_subscriptions_divide_the_messages() {
    let broker = Broker::ours();
    let args = ["-V", "5", "-t", "$share/group/a", "-q", "1", "-W", "2"];
    let members = [0, 1].map(|_| Listening::start(subscriber(), broker.port(), &args));
    for payload in ["1", "2", "3", "4", "5", "6"] {
        publish(&broker, &["-t", "a", "-m", payload, "-q", "1"]);
    }
    let heard = members.map(Listening::heard);
    let mut together: Vec<&str> = heard.iter().flat_map(|text| text.lines()).collect();
    together.sort_unstable();
    assert_eq!(together, ["1", "2", "3", "4", "5", "6"]);
    assert!(heard.iter().all(|text| !text.is_empty()), "one member got all: {heard:?}");
}

#[test]
fn large_and_many_messages_pass() {
    // the publisher is paced: nothing may be lost although the subscriber falls behind
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\n");
    let dir = scratch();
    let file = dir.path().join("large");
    std::fs::write(&file, vec![b'x'; 1_000_000]).unwrap();
    let listening =
        Listening::start(subscriber(), broker.port(), &["-t", "large", "-q", "2", "-C", "2", "-F", "%l"]);
    publish(&broker, &["-t", "large", "-q", "2", "-f", file.to_str().unwrap(), "--repeat", "2"]);
    assert_eq!(listening.text(), "1000000\n1000000\n");

    let lines = (0..3000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
    let listening = Listening::start(subscriber(), broker.port(), &["-t", "many", "-q", "1", "-C", "3000"]);
    let mut command = publisher();
    command.args(["-p", &broker.port().to_string(), "-t", "many", "-q", "1", "-l"]);
    Program::run(&mut command, lines.as_bytes(), SOON).success();
    assert!(listening.text() == lines, "messages are lost or out of order");
}

#[test]
fn passwords_and_access_rules_hold() {
    let dir = scratch();
    let file = dir.path().join("passwords");
    let mut passwd = peers::debian("mosquitto_passwd");
    Program::run(passwd.args(["-b", "-c"]).arg(&file).args(["user1", "iotlab"]), b"", SOON).success();
    let lines = "allow_anonymous false\npassword_file {dir}/passwords\nacl_file {dir}/acl\n";
    let passwords = std::fs::read_to_string(&file).unwrap();
    let files = [
        ("passwords", passwords.as_str()),
        ("acl", "user user1\ntopic read open/#\npattern write own/%u/#\n"),
    ];
    let broker = Broker::start_with_files(Kind::Ours, lines, &files);
    let with = |password: &str, args: &[&str]| {
        let credentials = ["-V", "5", "-q", "1", "-u", "user1", "-P", password, "-m", "x", "-t"];
        run(publisher(), broker.port(), &[&credentials, args].concat())
    };
    assert_eq!(with("iotlab", &["own/user1/a"]).code, 0);
    assert_eq!(with("wrong", &["own/user1/a"]).code, 135);
    assert!(with("iotlab", &["open/a"]).stderr.contains("Not authorized"));
    let anonymous = run(publisher(), broker.port(), &["-t", "own/user1/a", "-m", "x"]);
    assert_eq!(anonymous.code, 5, "{}", anonymous.stderr);
}

#[test]
fn connections_are_logged_as_the_original_logs_them() {
    let broker = Broker::ours();
    let wanted = "as watched (p4, c1, k30).";
    publish(&broker, &["-i", "watched", "-k", "30", "-t", "a", "-m", "x"]);
    let line = broker.wait_for_log(wanted);
    assert!(line.contains("New client connected from 127.0.0.1:"), "{line}");
    broker.wait_for_log("Client watched [127.0.0.1:");
}
