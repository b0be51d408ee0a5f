//! Real clients on encrypted and framed connections.

use std::path::Path;
use std::process::Command;

use grovemq_tests::{Broker, Finished, Kind, Program, SOON, peers};

use crate::certificates::{Authority, Pair};

/// A CONNECT of MQTT 3.1.1: clean session, client id `raw`.
pub(crate) const CONNECT: &[u8] = b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03raw";

/// A broker whose first listener has TLS with these further lines; `ca.crt`, `server.crt` and `server.key` lie in its
/// folder, and so does what `more` brings.
#[track_caller]
pub(crate) fn tls_broker(authority: &Authority, lines: &str, more: &[(&str, &Pair)]) -> Broker {
    let server = authority.server("server one");
    let mut files = vec![
        ("ca.crt".to_owned(), authority.pem().to_owned()),
        ("server.crt".to_owned(), server.certificate),
        ("server.key".to_owned(), server.key),
        ("none.crl".to_owned(), authority.revoke(&[])),
    ];
    for (name, pair) in more {
        files.push((format!("{name}.crt"), pair.certificate.clone()));
        files.push((format!("{name}.key"), pair.key.clone()));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(n, c)| (n.as_str(), c.as_str())).collect();
    let tls = "certfile {dir}/server.crt\nkeyfile {dir}/server.key\n";
    Broker::start_with_files(Kind::Ours, &format!("{tls}{lines}\nallow_anonymous true\n"), &files)
}

/// Debian's `mosquitto_pub` with the authority of the broker's folder.
pub(crate) fn publish(broker: &Broker, id: &str, more: &[&str]) -> Finished {
    let mut tool = peers::debian("mosquitto_pub");
    tool.args(["-h", "localhost", "-p", &broker.port().to_string(), "--cafile"]);
    tool.arg(broker.dir().join("ca.crt")).args(["-i", id, "-t", "a", "-m", "b", "-q", "1"]).args(more);
    Program::run(&mut tool, b"", SOON)
}

/// `openssl s_client` sends a CONNECT, waits a moment and closes. Its exit code tells nothing: look at the broker's log.
pub(crate) fn openssl(broker: &Broker, more: &[&str]) -> Finished {
    openssl_with(broker, CONNECT, more)
}

pub(crate) fn openssl_with(broker: &Broker, input: &[u8], more: &[&str]) -> Finished {
    let mut tool = peers::debian("openssl");
    tool.args(["s_client", "-connect", &format!("localhost:{}", broker.port()), "-CAfile"]);
    tool.arg(broker.dir().join("ca.crt")).args(more).current_dir(broker.dir());
    let mut program = Program::start(&mut tool);
    program.type_bytes(input);
    std::thread::sleep(std::time::Duration::from_millis(700));
    program.close_stdin();
    program.finish(SOON)
}

/// Messages of many sizes there and back by paho-mqtt: `tcp` or `websockets`, with the authority's file for TLS.
#[track_caller]
pub(crate) fn paho_echo(port: u16, transport: &str, ca: Option<&Path>) {
    let mut python = peers::paho_python();
    run_echo(&mut python, "echo.py", &[transport, &port.to_string()], ca);
}

/// The same by MQTT.js; `scheme` is `mqtt`, `mqtts`, `ws` or `wss`.
#[track_caller]
pub(crate) fn mqttjs_echo(port: u16, scheme: &str, ca: Option<&Path>) {
    let mut node = peers::mqttjs_node();
    run_echo(&mut node, "echo.cjs", &[&format!("{scheme}://localhost:{port}")], ca);
}

#[track_caller]
fn run_echo(command: &mut Command, script: &str, args: &[&str], ca: Option<&Path>) {
    let script = peers::repository().join("tests/transports").join(script);
    let end = Program::run(command.arg(script).args(args).args(ca), b"", SOON * 2);
    assert_eq!(end.code, 0, "stdout:\n{}\nstderr:\n{}", end.text(), end.stderr);
    assert!(end.text().ends_with("all is well\n"), "{}\n{}", end.text(), end.stderr);
}
