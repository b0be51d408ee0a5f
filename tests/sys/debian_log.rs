//! Log lines as they are caused by Debian's tools.

use grovemq_tests::{Broker, Kind, SOON, Wire};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{listen, publish, subscribe};

#[test]
fn each_line_of_a_json_log_is_an_object_with_its_particulars() {
    let acl = "topic read a\nuser alice\ntopic deny a\n";
    let configuration = "allow_anonymous true\nlog_format json\nacl_file {dir}/acl\n";
    let broker = Broker::start_with_files(Kind::Ours, configuration, &[("acl", acl)]);
    publish(&broker, &["-i", "pub", "-u", "alice", "-P", "hunter2", "-t", "a", "-m", "x"]).success();
    subscribe(&broker, &["-i", "sub", "-t", "a/#", "-E"]).success();
    broker.wait_for_log("\"event\":\"subscribed\"");
    broker.program().terminate();
    broker.wait_for_log("terminating");
    let lines = broker.program().stderr_lines();
    assert!(!lines.concat().contains("hunter2"), "a password in the log");
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let find = |event: &str| lines.iter().find(|l| l["event"] == event).unwrap();
    let connected = find("client_connected");
    assert_eq!(
        (&connected["client"], &connected["user"], &connected["level"]),
        (&"pub".into(), &"alice".into(), &"notice".into())
    );
    assert!(connected["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(connected["message"].as_str().unwrap().starts_with("New client connected from 127.0.0.1:"));
    let denied = find("publish_denied");
    assert_eq!((&denied["topic"], &denied["user"]), (&"a".into(), &"alice".into()));
    assert!(denied["reason"].as_str().unwrap().contains("acl:3 `topic deny a`"), "{denied}");
    assert_eq!(find("subscribed")["filter"], "a/#");
    let ended = |l: &&Value| l["event"] == "client_disconnected" && l["client"] == "pub";
    assert_eq!(lines.iter().find(ended).unwrap()["reason"], "disconnected by client");
}

#[test]
fn d22_a_hostile_name_forges_no_line() {
    let broker = Broker::ours();
    // MQTT allows a line feed in a client id; a terminal's commands, too
    let mut wire = Wire::connect(broker.port());
    wire.send("10 16 \"MQTT\" 04 02 003c 000a 41 0a 'x: y' 1b '[2J'");
    wire.expect("20 02 00 00");
    let line = broker.wait_for_log("New client connected");
    assert!(line.contains("A\\nx: y\\u{1b}[2J"), "{line}");
}

#[test]
fn log_lines_are_published_and_a_subscription_has_its_own_type() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nlog_dest topic\nlog_dest stderr\n");
    let listening = listen(&broker, "watch", &["-t", "$SYS/broker/log/#", "-v", "-W", "4"]);
    subscribe(&broker, &["-i", "other", "-t", "x/y", "-q", "1", "-E"]).success();
    let heard = listening.finish(SOON).text();
    let heard: Vec<&str> = heard.lines().collect();
    let has = |topic: &str, end: &str| heard.iter().any(|l| l.starts_with(topic) && l.ends_with(end));
    assert!(has("$SYS/broker/log/M/subscribe ", ": other 1 x/y"), "{heard:#?}");
    assert!(heard.iter().any(|l| l.starts_with("$SYS/broker/log/N ") && l.contains("New client connected")));
    assert!(!heard.iter().any(|l| l.contains("PUBLISH")), "debug lines are never published: {heard:#?}");
}

#[test]
fn a_reload_changes_the_log() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nlog_dest stderr\n");
    let file = broker.dir().join("mosquitto.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}nonsense\n")).unwrap();
    broker.program().hang_up();
    broker.wait_for_log("Error: Unknown configuration variable 'nonsense'.");
    broker.wait_for_log("Nothing was reloaded");
    std::fs::write(&file, format!("{text}log_format json\n")).unwrap();
    broker.program().hang_up();
    // nothing says when a reload is over: clients come until one is logged in the new form
    let seen = AtomicBool::new(false);
    let line = std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..40 {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                publish(&broker, &["-i", "later", "-t", "a", "-m", "x"]).success();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let line = broker.wait_for_log("\"client\":\"later\"");
        seen.store(true, Ordering::Relaxed);
        line
    });
    assert!(line.starts_with('{'), "{line}");
}
