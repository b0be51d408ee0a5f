//! `capture`: what passes is shown, as lines and to Wireshark, and arrives all the same.

use std::path::Path;
use std::process::Command;

use grovemq_tests::{Broker, Program, SOON, eventually, free_port, peers, scratch};

/// A capture between a fresh port and a broker.
struct Between {
    program: Program,
    port: u16,
    broker: Broker,
}

impl Between {
    fn start(args: &[&str]) -> Self {
        let broker = Broker::ours();
        let port = free_port();
        let mut command = peers::ours("capture");
        command.args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--to",
            &format!("127.0.0.1:{}", broker.port()),
        ]);
        let program = Program::start(command.args(args));
        program.wait_for_stderr("Listening on", SOON);
        Self { program, port, broker }
    }

    fn tool(&self, name: &str, args: &[&str]) -> Command {
        let mut command = peers::ours(name);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).args(args);
        command
    }

    /// A subscriber and a publisher on the way through the capture.
    fn talk(&self, payload: &str) {
        let sub =
            Program::start(&mut self.tool("sub", &["-t", "a/+", "-q", "1", "-C", "1", "-i", "listener"]));
        self.broker.wait_for_log("Sending SUBACK");
        let args =
            ["-t", "a/b", "-q", "2", "-m", payload, "-V", "5", "-u", "me", "-P", "secret", "-i", "speaker"];
        Program::run(&mut self.tool("pub", &args), b"", SOON).success();
        assert_eq!(sub.finish(SOON).success().text(), format!("{payload}\n"));
    }

    /// All lines, once there is one for the end of both connections.
    fn lines(&self) -> Vec<String> {
        let ends =
            || self.program.stdout_lines().iter().filter(|line| line.ends_with(" end of stream")).count();
        eventually(|| ends() == 4, || self.program.transcript());
        self.program.stdout_lines()
    }
}

#[test]
fn packets_are_shown_as_lines() {
    let between = Between::start(&[]);
    between.talk("hello");
    let lines = between.lines();
    let has = |end: &str| assert!(lines.iter().any(|line| line.ends_with(end)), "{end}\n{lines:#?}");
    has(r#"#1 -> CONNECT MQTT=3.1.1 client="listener" keep-alive=60 clean"#);
    has(r#"#1 -> SUBSCRIBE id=1 "a/+" q1"#);
    has("#1 <- SUBACK id=1 0x01 (Granted QoS 1)");
    has(r#"#2 -> PUBLISH "a/b" q2 id=1 5 bytes "hello""#);
    has("#2 <- PUBCOMP id=1");
    has(r#"#1 <- PUBLISH "a/b" q1 id=1 5 bytes "hello""#);
    let connect = lines.iter().find(|line| line.contains("client=\"speaker\"")).unwrap();
    assert!(connect.contains("MQTT=5") && connect.contains("user=\"me\" password"), "{connect}");
    assert!(!lines.concat().contains("secret"), "{lines:#?}");
}

#[test]
fn what_is_no_mqtt_passes_too() {
    use std::io::{Read, Write};
    let echo = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = echo.local_addr().unwrap().to_string();
    let echoing = std::thread::spawn(move || {
        let (mut stream, _) = echo.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let listen = format!("127.0.0.1:{}", free_port());
    let mut command = peers::ours("capture");
    let program = Program::start(command.args(["--listen", &listen, "--to", &to]));
    program.wait_for_stderr("Listening on", SOON);
    let mut stream = std::net::TcpStream::connect(&listen).unwrap();
    let mut sent = vec![0, 1, 2, 3];
    sent.resize(100_000, 0x16);
    stream.write_all(&sent).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut came = Vec::new();
    stream.read_to_end(&mut came).unwrap();
    assert_eq!(came, sent);
    echoing.join().unwrap();
    program.wait_for_stdout("-> (no MQTT: ", SOON);
    program.interrupt();
    program.finish(SOON).success();
}

/// What tshark, told nothing about ports, makes of the file.
fn dissected(file: &Path, args: &[&str]) -> String {
    let mut tshark = peers::debian("tshark");
    Program::run(tshark.arg("-r").arg(file).args(args), b"", SOON * 4).success().text()
}

#[test]
fn tshark_reads_the_file() {
    let dir = scratch();
    let file = dir.path().join("talk.pcapng");
    let between = Between::start(&["--write", file.to_str().unwrap()]);
    // more than one packet on any link, and more than is passed on at once
    between.talk(&"x".repeat(100_000));
    let ends = || dissected(&file, &["-Y", "tcp.flags.fin == 1"]).lines().count();
    eventually(|| ends() == 4, || format!("{} connections end", ends()));
    between.program.interrupt();
    between.program.finish(SOON).success();

    let bad = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == 0";
    assert_eq!(dissected(&file, &["-o", "tcp.check_checksum:true", "-Y", bad]), "");
    let types = dissected(&file, &["-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype"]);
    let seen: std::collections::BTreeSet<u8> =
        types.split(['\n', ',']).filter_map(|number| number.parse().ok()).collect();
    // CONNECT, CONNACK, PUBLISH and its acknowledgements, SUBSCRIBE, SUBACK, DISCONNECT
    assert!([1, 2, 3, 4, 5, 6, 7, 8, 9, 14].iter().all(|number| seen.contains(number)), "{seen:?}");
    let fields = ["-Y", "mqtt.clientid", "-T", "fields", "-e", "mqtt.clientid", "-e", "tcp.dstport"];
    assert_eq!(dissected(&file, &fields), "listener\t1883\nspeaker\t1883\n");
    let len = ["-Y", "mqtt.msgtype == 3", "-T", "fields", "-e", "mqtt.topic", "-e", "mqtt.len"];
    assert!(dissected(&file, &len).starts_with("a/b\t1000"), "{}", dissected(&file, &len));
}

#[test]
fn what_is_wrong_is_told() {
    let run = |args: &[&str]| {
        let end = Program::run(peers::ours("capture").args(args), b"", SOON);
        (end.code, end.stderr.lines().next().unwrap_or_default().to_owned())
    };
    let place = "Error: Invalid place \"1884\" for --listen: it is host:port.";
    assert_eq!(run(&["--listen", "1884"]), (1, place.to_owned()));
    let (code, text) = run(&["--write", "/no/such/folder/file"]);
    assert_eq!((code, &*text), (1, "Error: /no/such/folder/file: No such file or directory (os error 2)"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, text) = run(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(code == 1 && text.contains("in use"), "{text}");
}
