//! SCRAM-SHA-256 as Python's `hashlib` has it, against our broker and the line that our `passwd` writes.

use std::process::Command;

use grovemq_tests::{Broker, Kind, Program, SOON, peers};

#[test]
fn an_independent_client_of_scram() {
    let mut passwd = peers::ours("passwd");
    passwd.args(["-H", "scram-sha-256", "-I", "5000", "-b", "-c", "-", "a,b=c", "pass=w,rd"]);
    let line = Program::run(&mut passwd, b"", SOON);
    assert_eq!(line.code, 0, "{}", line.stderr);
    let files = [("passwords", &*line.text())];
    let broker = Broker::start_with_files(Kind::Ours, "password_file {dir}/passwords\n", &files);
    let script = peers::repository().join("tests/interop/scram_dialogue.py");
    let mut python = Command::new("python3");
    python.arg(script).args([&broker.port().to_string(), "a,b=c", "pass=w,rd"]);
    let end = Program::run(&mut python, b"", SOON * 4);
    assert_eq!(end.code, 0, "stdout:\n{}\nstderr:\n{}", end.text(), end.stderr);
    assert!(end.text().ends_with("all is well\n"), "{}", end.text());
}
