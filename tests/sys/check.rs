//! `grovemq check` and `--test-config`.

use std::process::Command;

use grovemq_tests::{Finished, Program, SOON, free_port, peers, scratch};

fn check(file: &std::path::Path) -> Finished {
    Program::run(peers::ours("check").arg(file), b"", SOON)
}

#[test]
fn all_mistakes_are_told_in_one_run_whichever_file_they_are_in() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("acl"), "topic read a/b/#\nusr x\n").unwrap();
    std::fs::write(path("pw"), "alice\n").unwrap();
    let (acl, pw) = (path("acl"), path("pw"));
    std::fs::write(
        path("m.conf"),
        format!("listener 1883\npassword_file {pw}\nacl_file {acl}\nmax_inflight_mesages 3\nlog_type eror\n"),
    )
    .unwrap();
    let end = check(&dir.path().join("m.conf"));
    assert_eq!(end.code, 3);
    let conf = path("m.conf");
    for part in [
        "Error: Unknown configuration variable 'max_inflight_mesages'.",
        &format!("> {conf}:4:1\n"),
        "4 | max_inflight_mesages 3\n  | ^^^^^^^^^^^^^^^^^^^^\n  = Did you mean 'max_inflight_messages'?",
        &format!("> {conf}:5:10\n"),
        "5 | log_type eror\n  |          ^^^^\n  = Did you mean 'error'?",
        &format!("> {acl}:2:1\n"),
        "2 | usr x\n",
        &format!("> {pw}:1:1\n"),
        "Configuration file has 4 errors.",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is missing in\n{}", end.stderr);
    }
}

#[test]
fn what_works_but_hardly_as_meant_is_a_warning() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        path("acl"),
        "topic read x\nuser alice\ntopic home/#\ntopic read home/x\nuser carol\ntopic y\n",
    )
    .unwrap();
    std::fs::write(path("pw"), "").unwrap();
    let (acl, pw) = (path("acl"), path("pw"));
    for name in ["alice", "bob"] {
        Program::run(peers::ours("passwd").args(["-b", &pw, name, "secret"]), b"", SOON).success();
    }
    Command::new("chmod").args(["644", &pw]).status().unwrap();
    std::fs::write(path("m.conf"), format!("listener 1883\npassword_file {pw}\nacl_file {acl}\n")).unwrap();
    let end = check(&dir.path().join("m.conf")).success();
    for part in [
        "for anonymous clients only, and these are not let in",
        "The rule `topic read home/x` has no effect.",
        "= `topic home/#` in line 3 decides all that it could.",
        "The rules of user 'carol' have no effect",
        "User 'bob' may neither read nor write",
        "Everybody on this machine can read",
        "Configuration file is OK. There are 5 warnings.",
    ] {
        assert!(end.stderr.contains(part), "{part:?} is missing in\n{}", end.stderr);
    }
}

#[test]
fn a_certificate_past_its_time_is_a_warning_and_a_missing_one_an_error() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    certificate.not_after = rcgen::date_time_ymd(2020, 1, 2);
    std::fs::write(path("crt"), certificate.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(path("key"), key.serialize_pem()).unwrap();
    let lines = |crt: &str| {
        let (crt, key) = (path(crt), path("key"));
        format!("listener 8883 127.0.0.1\nallow_anonymous true\ncertfile {crt}\nkeyfile {key}\n")
    };
    std::fs::write(path("m.conf"), lines("crt")).unwrap();
    let end = check(&dir.path().join("m.conf")).success();
    assert!(end.stderr.contains("has ended: 2020-01-02"), "{}", end.stderr);
    std::fs::write(path("m.conf"), lines("nothing")).unwrap();
    let end = check(&dir.path().join("m.conf"));
    assert_eq!(end.code, 3);
    assert!(end.stderr.contains("/nothing"), "{}", end.stderr);
}

#[test]
fn neither_a_port_nor_a_file_is_touched() {
    let dir = scratch();
    let port = free_port();
    // somebody else has the port: a check must not mind
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let file = dir.path().join("m.conf");
    let place = dir.path().display();
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {place}/\n\
         log_dest file {place}/m.log\npid_file {place}/pid\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(dir.path().join("mosquitto.db"), "precious").unwrap();
    check(&file).success();
    let mut broker = peers::ours("broker");
    let end = Program::run(broker.arg("--test-config").arg("-c").arg(&file), b"", SOON).success();
    assert!(end.stderr.contains("Configuration file is OK."), "{}", end.stderr);
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["m.conf", "mosquitto.db"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("mosquitto.db")).unwrap(), "precious");
}

#[test]
fn the_effective_configuration_goes_to_standard_output() {
    let dir = scratch();
    let file = dir.path().join("m.conf");
    std::fs::write(&file, "sys_interval 3\nlistener 1884 localhost\nallow_anonymous true\n").unwrap();
    let end = Program::run(peers::ours("check").arg("--effective").arg(&file), b"", SOON).success();
    let text = end.text();
    for line in ["sys_interval 3", "listener 1884 localhost", "# default: max_packet_size 2000000"] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let wrong = Program::run(peers::ours("check").arg("/nonexistent"), b"", SOON);
    assert_eq!((wrong.code, wrong.stdout.len()), (3, 0));
    assert_eq!(Program::run(&mut peers::ours("check"), b"", SOON).code, 2);
}
