//! TLS with the server's certificate alone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use grovemq_client::{Client, Event, Events, Options, Reconnect, Tls, Transport};
use grovemq_tests::{Broker, Kind, Program, SOON, Wire, free_port, peers as programs, scratch};

use crate::certificates::Authority;
use crate::peers::{CONNECT, mqttjs_echo, openssl, openssl_with, paho_echo, publish, tls_broker};

#[test]
fn debian_clients_publish_and_the_log_says_what_was_agreed_on() {
    let authority = Authority::new("authority");
    let broker = tls_broker(&authority, "", &[]);
    publish(&broker, "cl", &[]).success();
    broker.wait_for_log("New client connected from 127.0.0.1:");
    broker.wait_for_log("Client cl negotiated TLSv1.3 cipher TLS_AES_256_GCM_SHA384");
    broker.wait_for_log("Received PUBLISH from cl");
}

#[test]
fn paho_messages_of_all_sizes_come_back() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    paho_echo(broker.port(), "tcp", Some(&broker.dir().join("ca.crt")));
}

#[test]
fn mqttjs_messages_of_all_sizes_come_back() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    mqttjs_echo(broker.port(), "mqtts", Some(&broker.dir().join("ca.crt")));
}

#[test]
fn openssl_versions_and_ciphers_are_those_configured() {
    let authority = Authority::new("authority");
    let broker = tls_broker(
        &authority,
        "tls_version tlsv1.2\nciphers ECDHE-ECDSA-AES128-GCM-SHA256:AES128-SHA\nciphers_tls1.3 TLS_CHACHA20_POLY1305_SHA256",
        &[],
    );
    broker.wait_for_log("Warning: Cipher suite 'AES128-SHA' of 'ciphers' is not offered here.");
    openssl(&broker, &["-tls1_2"]);
    broker.wait_for_log("Client raw negotiated TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256");
    openssl(&broker, &["-tls1_3"]);
    broker.wait_for_log("Client raw negotiated TLSv1.3 cipher TLS_CHACHA20_POLY1305_SHA256");
    openssl(&broker, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
    broker.wait_for_log("TLS handshake failed: ");

    let newer = tls_broker(&authority, "tls_version tlsv1.3", &[]);
    openssl(&newer, &["-tls1_2"]);
    newer.wait_for_log("TLS handshake failed: peer is incompatible");
}

#[test]
fn openssl_closing_with_close_notify_is_an_end_and_not_an_error() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    openssl(&broker, &[]);
    broker.wait_for_log("Client raw [127.0.0.1:");
    let line = broker.wait_for_log("disconnected: connection closed by client.");
    assert!(line.contains("127.0.0.1"), "{line}");
}

#[test]
fn d02_openssl_renegotiation_ends_the_connection_alone() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    // a line that is "R" alone asks s_client to renegotiate
    openssl_with(&broker, b"R\n", &["-tls1_2"]);
    // others are still served
    openssl(&broker, &["-tls1_3"]);
    broker.wait_for_log("Client raw negotiated TLSv1.3");
}

#[test]
fn a_client_without_tls_is_told_apart_in_the_log() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    let mut wire = Wire::connect(broker.port());
    wire.send_bytes(CONNECT);
    broker.wait_for_log("appears to connect without TLS to a TLS listener.");
}

#[test]
fn a_client_with_tls_where_none_is_spoken_is_told_apart_in_the_log() {
    for lines in ["", "protocol websockets\n"] {
        let broker = Broker::start(Kind::Ours, &format!("{lines}allow_anonymous true\n"));
        let mut wire = Wire::connect(broker.port());
        wire.send("16 03 01 00 c8 01 00 00 c4 03 03");
        broker.wait_for_log("appears to be using TLS to connect to a non-TLS listener.");
        wire.expect_closed();
    }
}

#[test]
fn d02_a_first_record_of_nonsense_closes() {
    let broker = tls_broker(&Authority::new("authority"), "", &[]);
    for nonsense in [
        "16 03 01 00 04 01 00 00 00",
        "16 03 01 ff ff",
        "15 03 03 00 02 01 00",
        "16 03 01 00 05 02 00 00 01 00",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&grovemq_tests::hex(nonsense)).unwrap();
        let mut rest = Vec::new();
        // an alert, at most
        stream.read_to_end(&mut rest).ok();
        assert!(rest.len() < 10, "{rest:x?}");
    }
    broker.wait_for_log("TLS handshake failed: ");
    assert!(TcpStream::connect(("127.0.0.1", broker.port())).is_ok());
}

#[test]
fn d01_stalled_handshakes_cost_nothing_and_end_at_their_deadline() {
    let plain = free_port();
    let broker = tls_broker(&Authority::new("authority"), &format!("listener {plain} 127.0.0.1"), &[]);
    // a ClientHello
    stall(&broker, plain, &grovemq_tests::hex("16 03 01 00 c8 01 00 00 c4 03 03 00 00 00 00 00 00"));
}

/// Clients stop after some bytes of what they have to say first; another one, at the plain port, does not notice.
pub(crate) fn stall(broker: &Broker, plain: u16, hello: &[u8]) {
    let started = Instant::now();
    let mut stalled: Vec<TcpStream> = (0..300)
        .map(|i| {
            let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
            stream.write_all(&hello[..i % hello.len()]).unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let before = cpu_ticks(broker.program().pid());
    let mut wire = Wire::introduce(plain, 4, "plain");
    wire.send("c000");
    wire.expect("d000");
    std::thread::sleep(Duration::from_secs(3));
    let spent = cpu_ticks(broker.program().pid()) - before;
    assert!(spent < 30, "{spent} hundredths of a second of computing for idle connections");
    broker.wait_for_log("disconnected: exceeded timeout.");
    for stream in &mut stalled {
        stream.set_read_timeout(Some(SOON)).unwrap();
        assert!(matches!(stream.read(&mut [0; 100]), Ok(0) | Err(_)));
    }
    let took = started.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(25)).contains(&took), "{took:?}");
}

/// D03: hundreds of clients come at once, and all at once again when the broker has been restarted. All get in, each with
/// a handshake of its own, and who is inside is answered meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_hundreds_of_clients_reconnect_at_once() {
    const CLIENTS: usize = 300;
    let plain = free_port();
    let broker = tls_broker(&Authority::new("authority"), &format!("listener {plain} 127.0.0.1"), &[]);
    let tls = Tls::builder().ca_file(broker.dir().join("ca.crt")).build().unwrap();
    let backoff = Reconnect::Backoff { min: Duration::from_millis(200), max: Duration::from_secs(2) };
    let mut clients = Vec::new();
    for i in 0..CLIENTS {
        let transport = Transport::tcp("localhost", broker.port()).tls(tls.clone());
        let options = Options::over(transport).client_id(format!("c{i}")).reconnect(backoff);
        clients.push(Client::start(options.connect_timeout(Duration::from_secs(30))));
    }
    all_come(&mut clients, plain).await;
    let broker = tokio::task::spawn_blocking(|| broker.restart(Kind::Ours)).await.unwrap();
    all_come(&mut clients, plain).await;
    drop(broker);
}

/// Waits until each of these is connected; somebody else has answers in between.
async fn all_come(clients: &mut [(Client, Events)], port: u16) {
    let mut inside = Wire::introduce(port, 4, "inside");
    for (_, events) in clients {
        while !matches!(events.next().await, Some(Event::Connected(_))) {}
        inside.send("c000");
        inside.expect("d000");
    }
}

/// User and system time of a process so far, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// What is written there opens what was captured: it is what the client's side writes, too.
#[test]
fn openssl_secrets_go_to_the_keylog_when_asked_for() {
    let authority = Authority::new("authority");
    let (dir, port) = (scratch(), free_port());
    authority.server("server").write(dir.path(), "server");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (certificate, key) = (path("server.crt"), path("server.key"));
    let lines = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\ncertfile {certificate}\nkeyfile {key}\n"
    );
    std::fs::write(path("conf"), lines).unwrap();
    let mut command = programs::ours("broker");
    let broker = Program::start(command.args(["-c", &path("conf"), "--tls-keylog", &path("keys")]));
    broker.wait_for_stderr("Warning: The secrets of TLS connections are written to", SOON);
    broker.wait_for_stderr(" running", SOON);
    let mut tool = programs::debian("openssl");
    tool.args([
        "s_client",
        "-quiet",
        "-connect",
        &format!("localhost:{port}"),
        "-keylogfile",
        &path("theirs"),
    ]);
    let mut client = Program::start(&mut tool);
    client.type_bytes(CONNECT);
    broker.wait_for_stderr("Client raw negotiated", SOON);
    let secrets = |name: &str| -> std::collections::BTreeSet<String> {
        let text = std::fs::read_to_string(path(name)).unwrap();
        text.lines().filter(|l| l.contains("TRAFFIC_SECRET")).map(str::to_owned).collect()
    };
    assert_eq!(secrets("keys").len(), 4);
    assert_eq!(secrets("keys"), secrets("theirs"));
}

#[test]
fn d05_openssl_a_new_certificate_is_served_after_sighup_and_connections_live_on() {
    let authority = Authority::new("authority");
    let broker = tls_broker(&authority, "", &[]);
    let mut tool = programs::debian("openssl");
    tool.args(["s_client", "-quiet", "-connect", &format!("localhost:{}", broker.port()), "-CAfile"]);
    let mut old = Program::start(tool.arg(broker.dir().join("ca.crt")));
    old.type_bytes(CONNECT);
    broker.wait_for_log("Client raw negotiated");

    authority.server("server two").write(broker.dir(), "server");
    broker.program().hang_up();
    wait_for_subject(&broker, "server two");
    old.type_bytes(b"\xc0\0");
    broker.wait_for_log("Received PINGREQ from raw");

    // files that cannot be used change nothing
    let other = authority.server("server three");
    std::fs::write(broker.dir().join("server.crt"), &other.certificate).unwrap();
    broker.program().hang_up();
    broker.wait_for_log("Server certificate/key are inconsistent");
    broker.wait_for_log("the previous ones stay in use");
    wait_for_subject(&broker, "server two");
    std::fs::write(broker.dir().join("server.crt"), "nonsense").unwrap();
    broker.program().hang_up();
    broker.wait_for_log("Unable to load server certificate");
    wait_for_subject(&broker, "server two");
    old.type_bytes(b"\xe0\0");
    broker.wait_for_log("Received DISCONNECT from raw");
}

#[test]
fn openssl_a_new_certificate_is_noticed_without_a_signal() {
    let authority = Authority::new("authority");
    let broker = tls_broker(&authority, "", &[]);
    authority.server("server two").write(broker.dir(), "server");
    broker.wait_for_log("Certificates have changed on disk and are in use now.");
    wait_for_subject(&broker, "server two");
}

/// Asks until the certificate served is this one.
#[track_caller]
fn wait_for_subject(broker: &Broker, name: &str) {
    let deadline = Instant::now() + SOON;
    loop {
        let text = openssl_with(broker, b"", &[]).text();
        if text.contains(&format!("CN = {name}")) || text.contains(&format!("CN={name}")) {
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[test]
fn material_that_cannot_be_used_ends_the_start_with_exit_code_1() {
    let authority = Authority::new("authority");
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).display().to_string();
    authority.server("s").write(dir.path(), "good");
    authority.server("t").write(dir.path(), "other");
    std::fs::write(path("ca.crt"), authority.pem()).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(
        path("secret.key"),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    let good = format!("certfile {}\nkeyfile {}\n", path("good.crt"), path("good.key"));
    let table = [
        (good.replace("good.crt", "missing"), "Unable to load server certificate"),
        (good.replace("good.crt", "empty"), "Unable to load server certificate"),
        (good.replace("good.key", "missing"), "Unable to load server key file"),
        (good.replace("good.key", "secret.key"), "it is encrypted"),
        (good.replace("good.key", "other.key"), "Server certificate/key are inconsistent"),
        (format!("{good}require_certificate true\n"), "'require_certificate' needs"),
        (
            format!("{good}require_certificate true\ncafile {}\n", path("empty")),
            "Unable to load CA certificates",
        ),
        (
            format!("{good}require_certificate true\ncafile {}\ncrlfile {}\n", path("ca.crt"), path("empty")),
            "Unable to load certificate revocation file",
        ),
        (format!("{good}ciphers AES128-SHA\n"), "Unable to set TLS ciphers"),
        (format!("{good}ciphers_tls1.3 nonsense\n"), "Unable to set TLS ciphers"),
        (format!("{good}tls_version tlsv1.1\n"), "Unsupported tls_version 'tlsv1.1'"),
        ("require_certificate true\n".to_owned(), "without 'certfile' and 'keyfile'"),
    ];
    for (lines, expected) in table {
        let file = dir.path().join("c.conf");
        std::fs::write(&file, format!("listener {} 127.0.0.1\n{lines}", free_port())).unwrap();
        let end = Program::run(programs::ours("broker").arg("-c").arg(&file), b"", SOON);
        assert_eq!(end.code, 1, "{lines}{}", end.stderr);
        assert!(end.stderr.contains(expected), "{lines}{}", end.stderr);
    }
}
