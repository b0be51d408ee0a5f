//! The ways to a server, ours beside Debian's: TLS, Unix sockets, proxies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use grovemq_tests::certificates::Authority;
use grovemq_tests::{Broker, Finished, Kind, Program, SOON, free_port, peers};

use crate::case::words;
use crate::runner::first_line;

/// A broker with several doors, and all the papers in its folder.
struct House {
    broker: Broker,
    /// It asks for a certificate.
    mutual: u16,
    plain: u16,
}

impl House {
    /// Its main door has TLS; `more` is about doors that Debian's broker does not have.
    fn open(kind: Kind, more: &str) -> Self {
        let (authority, other) = (Authority::new("one"), Authority::new("two"));
        let (server, client) = (authority.server("server"), authority.client("client", 1));
        let (mutual, plain) = (free_port(), free_port());
        let keys = "certfile {dir}/server.crt\nkeyfile {dir}/server.key\n";
        let lines = format!(
            "user root\nallow_anonymous true\n{keys}\
             listener {{port}} 127.0.0.2\nallow_anonymous true\n{keys}\
             listener {mutual} 127.0.0.1\nallow_anonymous true\n{keys}cafile {{dir}}/ca.crt\nrequire_certificate true\n\
             listener {plain} 127.0.0.1\nallow_anonymous true\n\
             listener 0 {{dir}}/mqtt.sock\nallow_anonymous true\n{more}"
        );
        let files = [
            ("ca.crt", authority.pem()),
            ("other.crt", other.pem()),
            ("server.crt", &server.certificate),
            ("server.key", &server.key),
            ("client.crt", &client.certificate),
            ("client.key", &client.key),
            ("empty", ""),
        ];
        Self { broker: Broker::start_with_files(kind, &lines, &files), mutual, plain }
    }

    fn run(&self, mut tool: std::process::Command, args: &str) -> Finished {
        let places = [("{tls}", self.broker.port()), ("{mutual}", self.mutual), ("{plain}", self.plain)];
        let args =
            places.iter().fold(args.to_owned(), |args, (name, port)| args.replace(name, &port.to_string()));
        let dir = self.broker.dir();
        tool.args(words(&args)).env("HOME", dir).env_remove("XDG_CONFIG_HOME").current_dir(dir);
        Program::run(&mut tool, b"", SOON)
    }
}

/// Publishers that send `x` to `a`.
const CASES: &[&str] = &[
    "-p {tls} --cafile ca.crt",
    "-p {tls} --cafile ca.crt -d -i x",
    "-h 127.0.0.2 -p {tls} --cafile ca.crt",
    "-h 127.0.0.2 -p {tls} --cafile ca.crt --insecure",
    "-p {tls} --cafile other.crt",
    "-p {tls} --cafile other.crt --insecure",
    "-p {tls} --tls-use-os-certs",
    "-p {tls} --cafile ca.crt --tls-version tlsv1.3",
    "-p {tls} --cafile ca.crt --tls-version tlsv1.2",
    "-p {tls} --cafile ca.crt --tls-version tlsv1.1",
    "-p {tls} --cafile ca.crt --ciphers ECDHE-ECDSA-AES128-GCM-SHA256",
    "-p {tls} --cafile ca.crt --ciphers WRONG",
    "-p {tls} --cafile ca.crt --tls-alpn mqtt",
    "-p {tls} --cafile none",
    "-p {tls} --cafile empty",
    "-p {tls} --cafile server.key",
    "-p {tls} --cafile ca.crt --cert none --key none",
    "-p {tls} --cafile ca.crt --cert client.crt",
    "-p {tls} --cafile ca.crt --key client.key",
    "-p {tls} --cafile ca.crt --cert client.crt --key server.key",
    "-p {tls} --cafile ca.crt --cert client.crt --key client.crt",
    "-p {mutual} --cafile ca.crt --cert client.crt --key client.key",
    "-p {mutual} --cafile ca.crt --cert client.crt --key client.key --keyform pem",
    "-p {mutual} --cafile ca.crt --cert client.crt --key client.key --keyform foo",
    "-p {tls} --cafile ca.crt --tls-version foo",
    "-p {tls}",
    "-p {plain} --cafile ca.crt",
    "--unix mqtt.sock",
    "--unix mqtt.sock -d -i x",
    "--unix none",
    "-h 127.0.0.1 -p {plain} -A 127.0.0.1",
    "-h 127.0.0.1 -p {plain} -A localhost",
    "-h 127.0.0.1 -p {plain} -A 10.1.2.3",
    "-h 127.0.0.1 -p {plain} -A no-such-host.invalid",
    "-L",
    "-L foo",
    "-L http://h/t",
    "-L mqtt://h",
    "-L mqtt://127.0.0.1:{plain}/b/c -d -i x",
    "-L mqtt://me:secret@127.0.0.1:{plain}/b/c -d -i x",
    "-L mqtt://127.0.0.1:{plain}/b/#",
    "-L mqtts://localhost:{tls}/b",
    "-L mqtts://localhost:{tls}/b --cafile other.crt",
    "-L mqtt://localhost:{tls}/b --cafile ca.crt",
    "--proxy",
    "--proxy foo",
    "--proxy socks5h://",
    "--proxy socks5h://h:0",
    "--proxy socks5h://127.0.0.1:1",
    "--cafile",
    "--capath",
    "--cert",
    "--key",
    "--keyform",
    "--ciphers",
    "--tls-alpn",
    "--tls-version",
    "--unix",
];

#[test]
fn ways_to_debians_broker() {
    compare(&House::open(Kind::Debian, ""));
}

#[test]
fn debian_ways_to_our_broker() {
    compare(&House::open(Kind::Ours, ""));
}

#[track_caller]
fn compare(house: &House) {
    let mut differences = Vec::new();
    for case in CASES {
        let args = format!("-t a -m x -q 1 {case}");
        let theirs = house.run(peers::debian("mosquitto_pub"), &args);
        let ours = house.run(peers::ours("mosquitto_pub"), &args);
        if shown(&ours) != shown(&theirs) {
            differences.push(format!("{case}\n  theirs {:?}\n  ours   {:?}\n", shown(&theirs), shown(&ours)));
        }
    }
    assert!(differences.is_empty(), "{}", differences.concat());
}

fn shown(end: &Finished) -> (i32, String, String) {
    let line = first_line(&end.stderr);
    // which of the two it is depends on how quick the server is
    if line == "Unable to connect (A TLS error occurred.)." {
        return (8, "Error: A TLS error occurred.".to_owned(), end.text());
    }
    (end.code, line, end.text())
}

#[test]
fn debian_subscribers_and_requesters_know_the_same_ways() {
    let house = House::open(Kind::Debian, "");
    for (tool, args) in [
        ("mosquitto_sub", "-p {tls} --cafile ca.crt -t a -E"),
        ("mosquitto_sub", "-p {tls} --cafile other.crt -t a -E"),
        ("mosquitto_sub", "-L mqtt://127.0.0.1:{plain}/b/# -d -i x -E"),
        ("mosquitto_sub", "-t c -L mqtt://127.0.0.1:{plain}/b/+ -d -i x -E"),
        ("mosquitto_sub", "--unix mqtt.sock -t a -E"),
        ("mosquitto_sub", "--unix none -t a -E"),
        ("mosquitto_rr", "-p {tls} --cafile ca.crt -t a -e a -m x"),
        ("mosquitto_rr", "-p {tls} --cafile other.crt -t a -e a -m x"),
        ("mosquitto_rr", "-L mqtt://127.0.0.1:{plain}/b -e b -m x"),
        ("mosquitto_rr", "--unix mqtt.sock -t a -e a -m x"),
    ] {
        let theirs = house.run(peers::debian(tool), args);
        let ours = house.run(peers::ours(tool), args);
        assert_eq!(shown(&ours), shown(&theirs), "{tool} {args}");
    }
}

/// What Debian's tools of this version do not have.
#[test]
fn websocket_key_log_and_folders_of_certificates() {
    let (ws, wss) = (free_port(), free_port());
    let more = format!(
        "listener {ws} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n\
         listener {wss} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n\
         certfile {{dir}}/server.crt\nkeyfile {{dir}}/server.key\n"
    );
    let house = House::open(Kind::Ours, &more);
    for args in [
        format!("-p {ws} --ws -t a -e a"),
        format!("-L ws://localhost:{ws}/a -e a"),
        format!("-p {wss} --ws --cafile ca.crt -t a -e a"),
        format!("-L wss://localhost:{wss}/a -e a --cafile ca.crt"),
        "-p {tls} --capath . -t a -e a".to_owned(),
        "-p {tls} --cafile ca.crt --tls-keylog keys -t a -e a".to_owned(),
    ] {
        let end = house.run(peers::ours("mosquitto_rr"), &format!("-W 10 -m hello {args}"));
        assert_eq!((end.code, &*end.text(), &*end.stderr), (0, "hello\n", ""), "{args}");
    }
    let keys = std::fs::read_to_string(house.broker.dir().join("keys")).unwrap();
    assert!(keys.contains("CLIENT_TRAFFIC_SECRET_0"), "{keys}");

    // a server that speaks no WebSocket, and one that speaks nothing else
    let end = house.run(peers::ours("mosquitto_pub"), "-p {plain} --ws -t a -m x");
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.starts_with("Error: WebSocket: "), "{end:?}");
    let end = house.run(peers::ours("mosquitto_pub"), &format!("-p {ws} -t a -m x"));
    assert_ne!(end.code, 0, "{end:?}");
    // what would not be encrypted says so
    let end = house.run(peers::ours("mosquitto_pub"), "-p {plain} --insecure -t a -m x");
    assert_eq!(end.code, 0);
    assert!(end.stderr.starts_with("Warning: --insecure means nothing"), "{}", end.stderr);
}

/// A SOCKS5 proxy that wants this login, or none; the name it is to look up is `far.example`, which is `port` here.
fn proxy(login: Option<&'static [u8]>, port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // what a client does wrong ends its connection
            std::thread::spawn(move || serve(stream, login, port).ok());
        }
    });
    here
}

fn serve(mut near: TcpStream, login: Option<&[u8]>, port: u16) -> std::io::Result<()> {
    let mut head = [0; 2];
    near.read_exact(&mut head)?;
    let mut methods = vec![0; usize::from(head[1])];
    near.read_exact(&mut methods)?;
    let method = if login.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return near.write_all(&[5, 0xff]);
    }
    near.write_all(&[5, method])?;
    if let Some(login) = login {
        let mut given = vec![0; login.len()];
        near.read_exact(&mut given)?;
        near.write_all(&[1, u8::from(given != login)])?;
    }
    let mut request = [0; 18];
    near.read_exact(&mut request)?;
    if &request[..16] != b"\x05\x01\0\x03\x0bfar.example" {
        return near.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
    let mut far = TcpStream::connect(("127.0.0.1", port))?;
    near.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut near_too, mut far_too) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || {
        std::io::copy(&mut near_too, &mut far_too).ok();
        far_too.shutdown(std::net::Shutdown::Write).ok();
    });
    std::io::copy(&mut far, &mut near)?;
    near.shutdown(std::net::Shutdown::Write)
}

/// Debian's tool fails now and then with the same proxy, so there is nothing to compare with.
#[test]
fn proxies() {
    let house = House::open(Kind::Ours, "");
    let free = proxy(None, house.plain);
    let guarded = proxy(Some(b"\x01\x02me\x04op@n"), house.plain);
    for (args, code, line) in [
        (format!("-h far.example --proxy socks5h://127.0.0.1:{free}"), 0, ""),
        (format!("-h far.example --proxy socks5h://me:op%40n@127.0.0.1:{guarded}"), 0, ""),
        (format!("-h far.example --proxy socks5h://me:shut@127.0.0.1:{guarded}"), 16, "Error: Proxy error."),
        (format!("-h far.example --proxy socks5h://127.0.0.1:{guarded}"), 16, "Error: Proxy error."),
        (format!("-h bad.example --proxy socks5h://127.0.0.1:{free}"), 16, "Error: Proxy error."),
    ] {
        let end = house.run(peers::ours("mosquitto_pub"), &format!("-t a -m x -q 1 {args}"));
        assert_eq!((end.code, &*first_line(&end.stderr)), (code, line), "{args}");
    }
}

/// The server says so after the handshake, and how that ends at Debian's tool depends on how quick it is.
#[test]
fn debian_servers_want_a_certificate() {
    for kind in [Kind::Debian, Kind::Ours] {
        let house = House::open(kind, "");
        for tool in ["mosquitto_pub -m x", "mosquitto_sub -E", "mosquitto_rr -e b -m x"] {
            let (tool, more) = tool.split_once(' ').unwrap();
            let args = format!("-p {{mutual}} --cafile ca.crt -t a {more}");
            assert_ne!(house.run(peers::debian(tool), &args).code, 0);
            let end = house.run(peers::ours(tool), &args);
            assert_eq!(
                (end.code, &*first_line(&end.stderr)),
                (7, "Error: The connection was lost."),
                "{tool}"
            );
            assert!(end.stderr.contains("the server refused TLS: CertificateRequired"), "{}", end.stderr);
        }
    }
}
