//! paho-mqtt, the client library of Python, against our broker.

use grovemq_tests::{Broker, Program, SOON, peers};

/// Runs the dialogue of `paho_dialogue.py` in this version of MQTT; every check it makes prints a line.
#[track_caller]
fn dialogue(version: &str) {
    let broker = Broker::ours();
    let script = peers::repository().join("tests/interop/paho_dialogue.py");
    let mut python = peers::paho_python();
    python.arg(script).args([version, &broker.port().to_string()]);
    let end = Program::run(&mut python, b"", SOON * 4);
    assert_eq!(end.code, 0, "stdout:\n{}\nstderr:\n{}", end.text(), end.stderr);
    assert!(end.text().ends_with("all is well\n"), "{}", end.text());
}

#[test]
fn version_3_1_1() {
    dialogue("4");
}

#[test]
fn version_5() {
    dialogue("5");
}
