//! Our files in Mosquitto's hands and the other way round. Needs `mosquitto`, `mosquitto_passwd` and
//! `mosquitto_pub` 2.0 or later, as Debian has them, and fails without: `cargo xtask test` installs them or leaves these tests out.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "in a test's own helpers too, a failure is to end the test")]

use std::ffi::OsString;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use grovemq_auth::acl::{Access, Acl, Who};
use grovemq_auth::passwd::{self, StdTerminal};
use grovemq_auth::password::PasswordFile;

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Paths of the three programs.
fn programs() -> [PathBuf; 3] {
    ["mosquitto", "mosquitto_passwd", "mosquitto_pub"].map(|name| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).collect::<Vec<_>>();
        let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
        found.unwrap_or_else(|| panic!("{name} is not installed: try `cargo xtask test`"))
    })
}

/// A running broker, ended when dropped.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start(program: &Path, folder: &Path, settings: &str) -> Broker {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.join("mosquitto.conf");
        // `user root`: no change of user, who might not be allowed to read the folder.
        let text = format!("listener {port} 127.0.0.1\nuser root\nallow_anonymous false\n{settings}");
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut broker = Broker { child, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(broker.child.try_wait().unwrap().is_none(), "the broker refuses its configuration");
            assert!(started.elapsed() < START_TIMEOUT, "the broker does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        broker
    }

    /// Publishes with MQTT 5 and an acknowledgement, in which a refusal is told.
    fn publish(&self, program: &Path, user: &str, password: &str, topic: &str) -> Output {
        let port = self.port.to_string();
        Command::new(program)
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-V",
                "5",
                "-q",
                "1",
                "-u",
                user,
                "-P",
                password,
                "-t",
                topic,
            ])
            .args(["-m", "x"])
            .output()
            .unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let ended: io::Result<_> = self.child.kill().and_then(|()| self.child.wait());
        ended.unwrap();
    }
}

fn ours(args: &[&str]) {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    assert_eq!(passwd::run(&args, &mut StdTerminal::default()), 0, "{args:?}");
}

#[test]
fn debian_reads_our_files_and_we_read_its() {
    let [broker, theirs, publish] = programs();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passwords");
    let file = path.to_str().unwrap();
    let their_passwd = |args: &[&str]| {
        let output = Command::new(&theirs).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    // Turn by turn, so that each changes what the other wrote.
    ours(&["-c", "-b", file, "portable", "geheim"]);
    their_passwd(&["-b", file, "theirs", "geheim"]);
    ours(&["--format", "2.0", "-b", file, "v20", "geheim"]);
    their_passwd(&["-H", "sha512", "-b", file, "theirs6", "geheim"]);
    ours(&["-H", "sha512", "-b", file, "sha512", "geheim"]);
    their_passwd(&["-b", file, "changed", "anders"]);
    ours(&["-b", file, "changed", "geheim"]);
    ours(&["-b", file, "leaver", "geheim"]);
    their_passwd(&["-D", file, "leaver"]);

    let users = PasswordFile::load(&path).unwrap();
    let broker = Broker::start(&broker, dir.path(), &format!("password_file {file}\n"));
    for user in ["portable", "theirs", "v20", "theirs6", "sha512", "changed", "leaver"] {
        for password in ["geheim", "anders"] {
            let by_us = users.verify(user, password.as_bytes());
            let by_them = broker.publish(&publish, user, password, "t").status.success();
            assert_eq!(by_us, by_them, "{user} with {password}");
            assert_eq!(by_us, user != "leaver" && password == "geheim", "{user} with {password}");
        }
    }
}

#[test]
fn debian_decides_on_publishing_as_we_do() {
    let [broker, _, publish] = programs();
    let dir = tempfile::tempdir().unwrap();
    let (passwords, rules) = (dir.path().join("passwords"), dir.path().join("rules"));
    let file = passwords.to_str().unwrap();
    ours(&["-c", "-b", file, "u", "p"]);
    ours(&["-b", file, "v", "p"]);
    let text = "topic anon\npattern write s/%u/+\npattern deny s/v/x\npattern write w/#\nuser u\ntopic write d/#\n\
                topic deny d/x\ntopic read r\ntopic rw\ntopic write two words\nuser v\ntopic write s/v/x\n";
    std::fs::write(&rules, text).unwrap();
    let (acl, _) = Acl::load(&rules).unwrap();
    let settings = format!("password_file {file}\nacl_file {}\n", rules.display());
    let broker = Broker::start(&broker, dir.path(), &settings);
    let topics = [
        "anon",
        "s/u/a",
        "s/v/a",
        "s/v/x",
        "s/u",
        "w",
        "w/a/b",
        "d",
        "d/a",
        "d/x",
        "r",
        "rw",
        "two words",
        "$d/a",
    ];
    for user in ["u", "v"] {
        for topic in topics {
            let output = broker.publish(&publish, user, "p", topic);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            let by_them = !told.contains("Not authorized");
            assert!(output.status.success() || !by_them, "{user} {topic}: {output:?}");
            let decision = acl.check(&Who { client_id: "c", username: Some(user) }, Access::Write, topic);
            assert_eq!(decision.allowed, by_them, "{user} {topic}: {decision}; {told}");
        }
    }
}
