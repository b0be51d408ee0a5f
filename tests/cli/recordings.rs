//! `record` and `replay`: what was published comes out again, as it was and when it was.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, peers, scratch};
use serde_json::{Value, json};

fn tool(name: &str, port: u16, args: &[&str]) -> Command {
    let mut command = peers::ours(name);
    command.args(["-p", &port.to_string()]).args(args);
    command
}

fn run(name: &str, port: u16, args: &[&str]) -> Finished {
    Program::run(&mut tool(name, port, args), b"", SOON)
}

/// Records so many messages while they are published.
fn record(broker: &Broker, file: &Path, args: &[&str], publish: impl FnOnce(u16)) -> Finished {
    let mut command = tool("record", broker.port(), &[file.to_str().unwrap()]);
    let recorder = Program::start(command.args(args));
    broker.wait_for_log("Sending SUBACK");
    publish(broker.port());
    recorder.finish(SOON)
}

/// Starts a subscriber that ends after so many messages, plays the recording, and gives what the subscriber got.
fn played(file: &Path, count: usize, args: &[&str]) -> (Vec<Value>, Finished) {
    let broker = Broker::ours();
    let count = count.to_string();
    let sub = ["-t", "#", "-q", "2", "-V", "5", "--retain-as-published", "--json", "-C", &count];
    let sub = Program::start(&mut tool("sub", broker.port(), &sub));
    broker.wait_for_log("Sending SUBACK");
    let end = run("replay", broker.port(), &[&[file.to_str().unwrap()], args].concat());
    let lines = sub.finish(SOON).success().text();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), end)
}

/// A recording with a message at each of these microseconds.
fn recording(file: &Path, times: &[u64]) {
    let lines: Vec<String> =
        times.iter().map(|us| format!("{}\n", json!({"us": us, "topic": "a/b", "payload": "x"}))).collect();
    std::fs::write(file, format!("{{\"grovemq_recording\":1}}\n{}", lines.concat())).unwrap();
}

#[test]
fn what_was_recorded_is_played_as_it_was_published() {
    let dir = scratch();
    let file = dir.path().join("rec.jsonl");
    let broker = Broker::ours();
    let end = record(&broker, &file, &["-q", "2", "-C", "4"], |port| {
        run("pub", port, &["-t", "plant/a", "-m", "zero"]).success();
        run("pub", port, &["-t", "plant/a/b", "-m", "first", "-q", "1", "-r"]).success();
        let properties = ["-D", "publish", "content-type", "t", "-D", "publish", "user-property", "k", "v"];
        run("pub", port, &[&["-t", "plants", "-m", "second", "-q", "2"], &properties[..]].concat()).success();
        let mut bytes = Program::start(&mut tool("pub", port, &["-t", "plant/bytes", "-s"]));
        bytes.type_bytes(&[0, 0xff]);
        bytes.close_stdin();
        bytes.finish(SOON).success();
    });
    assert_eq!(end.success().stderr, "4 messages recorded\n");

    let args = ["--speed", "max", "--topic", "plant=test/x", "--topic", "plants=flowers"];
    let (mut messages, end) = played(&file, 4, &args);
    // the subscriber prints a message when it is acknowledged, which takes the longer the higher its QoS
    messages.sort_by_key(|message| message["payloadlen"].as_u64());
    assert!(end.success().stderr.starts_with("4 messages played in "));
    let shown: Vec<_> = messages
        .iter()
        .map(|m| (m["topic"].as_str().unwrap(), m["payload"].clone(), m["qos"].clone(), m["retain"].clone()))
        .collect();
    assert_eq!(
        shown,
        [
            ("test/x/bytes", json!({"base64": "AP8="}), json!(0), json!(0)),
            ("test/x/a", json!("zero"), json!(0), json!(0)),
            ("test/x/a/b", json!("first"), json!(1), json!(1)),
            ("flowers", json!("second"), json!(2), json!(0)),
        ]
    );
    assert_eq!(messages[3]["properties"], json!({"content-type": "t", "user-properties": {"k": "v"}}));
}

#[test]
fn a_recording_is_played_in_its_own_time_or_faster() {
    let dir = scratch();
    let file = dir.path().join("rec.jsonl");
    recording(&file, &[5_000_000, 5_600_000, 6_200_000]);
    let took = |args: &[&str]| {
        let begun = Instant::now();
        let (messages, end) = played(&file, 3, args);
        end.success();
        assert_eq!(messages.len(), 3);
        begun.elapsed()
    };
    // the first message is not waited for; no upper limit holds on a machine that is busy
    assert!(took(&[]) >= Duration::from_millis(1200));
    assert!(took(&["--speed", "2"]) >= Duration::from_millis(600));
    recording(&file, &[0, 3_600_000_000]);
    let (messages, end) = played(&file, 2, &["--speed", "max"]);
    end.success();
    assert_eq!(messages.len(), 2);
}

#[test]
fn a_cut_recording_is_played_up_to_the_cut() {
    let dir = scratch();
    let file = dir.path().join("rec.jsonl");
    recording(&file, &[0, 1, 2]);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 10]).unwrap();
    let (messages, end) = played(&file, 2, &[]);
    assert_eq!(messages.len(), 2);
    assert_eq!(end.code, 1);
    let expected = format!("Error: {}:4: the recording is cut off in this line", file.display());
    assert_eq!(end.stderr.lines().next(), Some(&*expected), "{end:?}");
    assert!(end.stderr.contains("2 messages played"), "{end:?}");
}

#[test]
fn a_recorder_that_is_killed_leaves_what_came_before() {
    let dir = scratch();
    let file = dir.path().join("rec.jsonl");
    let broker = Broker::ours();
    let recorder = Program::start(&mut tool("record", broker.port(), &[file.to_str().unwrap()]));
    broker.wait_for_log("Sending SUBACK");
    run("pub", broker.port(), &["-t", "a", "-m", "x", "-q", "1"]).success();
    grovemq_tests::eventually(
        || std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2),
        || "the message is not in the file".to_owned(),
    );
    recorder.kill();
    recorder.finish(SOON);
    let (messages, end) = played(&file, 1, &[]);
    end.success();
    assert_eq!(messages[0]["payload"], "x");
}

#[test]
fn an_interrupted_recording_is_whole() {
    let dir = scratch();
    let file = dir.path().join("rec.jsonl");
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\n");
    let recorder = Program::start(&mut tool("record", broker.port(), &["-t", "b", file.to_str().unwrap()]));
    broker.wait_for_log("Sending SUBACK");
    recorder.interrupt();
    assert_eq!(recorder.finish(SOON).success().stderr, "0 messages recorded\n");
    let end = run("replay", broker.port(), &[file.to_str().unwrap()]).success();
    assert!(end.stderr.starts_with("0 messages played"), "{end:?}");
}

#[test]
fn what_is_wrong_is_told() {
    let broker = Broker::ours();
    let dir = scratch();
    let none = dir.path().join("none");
    let end = run("replay", broker.port(), &[none.to_str().unwrap()]);
    let text = format!("Error: {}: No such file or directory (os error 2)\n", none.display());
    assert_eq!((end.code, end.stderr), (1, text));
    std::fs::write(&none, "something else\n").unwrap();
    let end = run("replay", broker.port(), &[none.to_str().unwrap()]);
    assert!(
        end.stderr.starts_with(&format!("Error: {}:1: this is no recording\n", none.display())),
        "{end:?}"
    );
    for (name, args, text) in [
        ("record", &[][..], "Error: You must specify a file to record to; - is standard output."),
        ("replay", &[][..], "Error: You must specify a recording to play; - is standard input."),
        ("replay", &["x", "--speed", "0"][..], "Error: Invalid speed \"0\"."),
        ("replay", &["x", "y"][..], "Error: Unknown option 'y'."),
    ] {
        let end = run(name, broker.port(), args);
        assert_eq!((end.code, end.stderr.lines().next()), (1, Some(text)), "{name} {args:?}");
    }
}

#[test]
fn an_earlier_recording_is_kept_and_none_is_left_without_a_server() {
    let dir = scratch();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    std::fs::write(&old, "precious").unwrap();
    let refused = run("record", grovemq_tests::free_port(), &[old.to_str().unwrap()]);
    assert!(refused.code == 1 && refused.stderr.contains("old: File exists"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
    assert_ne!(run("record", grovemq_tests::free_port(), &[new.to_str().unwrap()]).code, 0);
    assert!(!new.exists());
}
