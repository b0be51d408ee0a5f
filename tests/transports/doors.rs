//! Where a broker listens: Unix sockets, sockets of the service manager, interfaces and families.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};

use grovemq_tests::{Broker, Kind, Program, SOON, Wire, free_port, peers, scratch, wait_until_listening};

use crate::peers::CONNECT;

fn greet(mut stream: impl Read + Write) -> Vec<u8> {
    stream.write_all(CONNECT).unwrap();
    let mut reply = vec![0; 4];
    stream.read_exact(&mut reply).unwrap();
    reply
}

/// A folder that a broker without root can write to.
fn open_scratch() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = scratch();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

#[test]
fn a_unix_socket_serves_and_its_file_goes_with_the_broker() {
    let dir = open_scratch();
    let path = dir.path().join("socket");
    // left over by a broker that was killed
    drop(UnixListener::bind(&path).unwrap());
    let broker = Broker::start(Kind::Ours, &format!("listener 0 {}\nallow_anonymous true\n", path.display()));
    broker.wait_for_log(&format!("Opening unix listen socket on path {}.", path.display()));
    broker.wait_for_log(" running");
    assert_eq!(greet(UnixStream::connect(&path).unwrap()), b"\x20\x02\0\0");
    broker.wait_for_log("New client connected from ");

    // somebody serves it: a second broker must not take it away
    let file = dir.path().join("second.conf");
    std::fs::write(&file, format!("listener 0 {}\n", path.display())).unwrap();
    let second = Program::run(peers::ours("broker").arg("-c").arg(&file), b"", SOON);
    assert_eq!(second.code, 1);
    assert!(second.stderr.to_lowercase().contains("in use"), "{}", second.stderr);
    assert_eq!(greet(UnixStream::connect(&path).unwrap()), b"\x20\x02\0\0");

    broker.program().terminate();
    let deadline = std::time::Instant::now() + SOON;
    while path.exists() {
        assert!(std::time::Instant::now() < deadline, "the file is still there");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn debian_clients_use_the_unix_socket() {
    let dir = open_scratch();
    let path = dir.path().join("socket");
    let broker = Broker::start(Kind::Ours, &format!("listener 0 {}\nallow_anonymous true\n", path.display()));
    let mut tool = peers::debian("mosquitto_pub");
    tool.args(["--unix", path.to_str().unwrap(), "-i", "local", "-t", "a", "-m", "b", "-q", "2"]);
    Program::run(&mut tool, b"", SOON).success();
    broker.wait_for_log("Received PUBREL from local");
}

#[test]
fn no_file_but_a_socket_is_replaced() {
    let dir = open_scratch();
    let path = dir.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let file = dir.path().join("c.conf");
    std::fs::write(&file, format!("listener 0 {}\n", path.display())).unwrap();
    let end = Program::run(peers::ours("broker").arg("-c").arg(&file), b"", SOON);
    assert_eq!(end.code, 1, "{}", end.stderr);
    assert_eq!(std::fs::read(&path).unwrap(), b"data");
}

/// Opens a socket as descriptor 3 and becomes the program named after it.
const ACTIVATE: &str = "import os, socket, sys
s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen()
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])";

#[test]
fn paho_python_hands_over_a_socket_as_systemd_does() {
    let dir = scratch();
    let port = free_port();
    let file = dir.path().join("c.conf");
    std::fs::write(&file, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
    let mut python = peers::paho_python();
    python
        .args(["-c", ACTIVATE, &port.to_string()])
        .arg(peers::grovemq())
        .args(["broker", "-v", "-c"])
        .arg(&file);
    let program = Program::start(&mut python);
    wait_until_listening(port, SOON);
    assert_eq!(greet(TcpStream::connect(("127.0.0.1", port)).unwrap()), b"\x20\x02\0\0");
    program.wait_for_stderr(&format!("Using the socket of the service manager for port {port}."), SOON);
    program.terminate();
    program.finish(SOON);
}

#[test]
fn families_and_interfaces_are_those_configured() {
    let (v4, lo) = (free_port(), free_port());
    let broker = Broker::start(
        Kind::Ours,
        &format!(
            "listener {v4}\nsocket_domain ipv4\nlistener {lo}\nbind_interface lo\nallow_anonymous true\n"
        ),
    );
    Wire::introduce(v4, 4, "four");
    Wire::introduce(lo, 4, "loopback");
    assert!(TcpStream::connect(("::1", v4)).is_err());
    broker.wait_for_log("New client connected from 127.0.0.1:");
}
