//! What takes more than one run, or a broker that refuses: durable sessions, passwords, the reasons of refusals.

use std::process::Command;

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, peers, scratch};

use crate::case::words;
use crate::runner::debian_publishes;

/// Both tools do this; the outcomes are equal.
#[track_caller]
fn same(what: impl Fn(&dyn Fn(&str) -> Command) -> Vec<Finished>) {
    let theirs = what(&|name| peers::debian(name));
    let ours = what(&|name| peers::ours(name));
    let pairs = (1..).zip(theirs.iter().zip(&ours));
    let different: Vec<String> = pairs
        .filter(|(_, (theirs, ours))| theirs != ours)
        .map(|(run, (theirs, ours))| format!("run {run}\n  theirs {theirs:?}\n  ours   {ours:?}"))
        .collect();
    assert!(different.is_empty() && theirs.len() == ours.len(), "{}", different.join("\n"));
}

fn run(tool: &dyn Fn(&str) -> Command, name: &str, broker: &Broker, args: &str) -> Finished {
    let mut command = tool(name);
    command.args(["-p", &broker.port().to_string()]).args(words(args));
    Program::run(&mut command, b"", SOON)
}

#[test]
fn a_durable_session_keeps_what_came_meanwhile() {
    for version in ["", "-V 5 -x 60"] {
        same(|tool| {
            let broker = Broker::debian();
            let first = run(tool, "mosquitto_sub", &broker, &format!("-i x -c -q 1 -t a -W 1 -v {version}"));
            debian_publishes(broker.port(), "-t a -m 1 -q 1");
            debian_publishes(broker.port(), "-t a -m 2 -q 2");
            let second =
                run(tool, "mosquitto_sub", &broker, &format!("-i x -c -q 1 -t a -C 2 -W 5 -v {version}"));
            assert_eq!(second.text(), "a 1\na 2\n", "{}", second.stderr);
            vec![first, second]
        });
    }
}

#[test]
fn a_clean_session_keeps_nothing() {
    same(|tool| {
        let broker = Broker::debian();
        let first = run(tool, "mosquitto_sub", &broker, "-i x -q 1 -t a -W 1 -v");
        debian_publishes(broker.port(), "-t a -m 1 -q 1");
        let second = run(tool, "mosquitto_sub", &broker, "-i x -q 1 -t a -W 1 -v");
        assert_eq!(second.text(), "");
        vec![first, second]
    });
}

#[test]
fn removed_retained_messages_are_gone() {
    same(|tool| {
        let broker = Broker::debian();
        debian_publishes(broker.port(), "-t a/1 -m 1 -r");
        debian_publishes(broker.port(), "-t b -m 2 -r");
        let removed = run(tool, "mosquitto_sub", &broker, "-i x -t a/# -v -W 1 --remove-retained");
        let left = run(tool, "mosquitto_sub", &broker, "-i x -t # -v -W 1");
        assert_eq!(left.text(), "b 2\n");
        vec![removed, left]
    });
}

#[test]
fn refusals_are_told_and_set_the_exit_code() {
    let dir = scratch();
    let file = dir.path().join("passwords");
    let mut passwd = peers::debian("mosquitto_passwd");
    Program::run(passwd.args(["-b", "-c"]).arg(&file).args(["user1", "iotlab"]), b"", SOON).success();
    let passwords = std::fs::read_to_string(&file).unwrap();
    let acl = "user user1\ntopic write allowed\n";
    let lines = "allow_anonymous false\npassword_file {dir}/passwords\nacl_file {dir}/acl\n";
    same(|tool| {
        let files = [("passwords", passwords.as_str()), ("acl", acl)];
        let broker = Broker::start_with_files(Kind::Debian, lines, &files);
        let mut ends = Vec::new();
        for version in ["", " -V 5"] {
            for credentials in ["", "-u user1 -P wrong", "-u nobody -P iotlab", "-u user1 -P iotlab"] {
                for quality in ["", " -q 1", " -q 2"] {
                    let args = format!("-i x {credentials} -m hello{quality}{version} -t");
                    ends.push(run(tool, "mosquitto_pub", &broker, &format!("{args} allowed")));
                    ends.push(run(tool, "mosquitto_pub", &broker, &format!("{args} forbidden")));
                }
                let args = format!("-i x {credentials} -W 1 -t allowed{version}");
                ends.push(run(tool, "mosquitto_sub", &broker, &args));
            }
        }
        ends
    });
}

#[test]
fn each_refusal_of_a_connection_is_told() {
    for answer in ["20 02 00 01", "20 02 00 02", "20 02 00 03", "20 02 00 04", "20 02 00 05"] {
        for (name, args) in [("mosquitto_pub", "-i x -t a -m hello"), ("mosquitto_sub", "-i x -t a -W 5")] {
            same(|tool| {
                let port = one_answer(grovemq_tests::hex(answer));
                let mut command = tool(name);
                command.args(["-p", &port.to_string()]).args(words(args));
                vec![Program::run(&mut command, b"", SOON)]
            });
        }
    }
}

/// A listener that gives every connection this answer to its first packet, and closes.
fn one_answer(bytes: Vec<u8>) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            // whoever connects and goes is no matter here
            if connection.read(&mut request).is_ok_and(|n| n > 0) {
                connection.write_all(&bytes).ok();
            }
        }
    });
    port
}
