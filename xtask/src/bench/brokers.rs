//! The brokers that are compared: where each comes from, its configuration, its start and end.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Options;
use super::scenarios::Scenario;
use crate::peers;
use crate::shell::{cargo, execute, output, program, target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Ours,
    /// Debian's mosquitto.
    Debian,
    Nats,
    Rumqttd,
    /// It passes messages on and does nothing else.
    Floor,
}

pub(super) const PEERS: [Peer; 5] = [Peer::Ours, Peer::Debian, Peer::Nats, Peer::Rumqttd, Peer::Floor];

const RUMQTTD: &str = "rumqttd@0.20.0";

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "grovemq",
            Self::Debian => "mosquitto",
            Self::Nats => "nats",
            Self::Rumqttd => "rumqttd",
            Self::Floor => "floor",
        }
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        PEERS.into_iter().find(|peer| peer.name() == name)
    }

    /// So many times the messages that suit the slowest.
    pub(super) fn pace(self) -> u32 {
        match self {
            Self::Ours | Self::Floor => 12,
            Self::Debian => 1,
            Self::Nats | Self::Rumqttd => 2,
        }
    }

    /// Its program, installed where it is not there.
    pub(super) fn find(self, options: &Options) -> Result<PathBuf> {
        match self {
            Self::Ours => Ok(options.ours.clone()),
            Self::Debian => peers::debian("mosquitto", "mosquitto"),
            Self::Nats => peers::debian("nats-server", "nats-server"),
            Self::Rumqttd => rumqttd(),
            Self::Floor => example("floor"),
        }
    }

    /// Its name and version.
    pub(super) fn version(self, path: &Path) -> String {
        let args: &[&str] = match self {
            Self::Debian => &["-h"],
            Self::Floor => return "floor: passes bytes on, and does nothing else".into(),
            Self::Rumqttd => return RUMQTTD.replace('@', " "),
            Self::Ours | Self::Nats => &["--version"],
        };
        // mosquitto's help ends with an error
        let said = program(path, args).output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or(self.name()).replace(": ", " ")
    }

    /// What it is told: about the same for all.
    fn configuration(self, port: u16, dir: &Path) -> String {
        let folder = dir.display();
        match self {
            // with its default of 20 the original drops QoS 2 messages that mqload has under way
            Self::Ours | Self::Debian => format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\nmax_inflight_messages 0\n\
                 max_queued_messages 0\n"
            ),
            Self::Nats => format!(
                "listen: \"127.0.0.1:-1\"\nserver_name: bench\nmax_payload: 8MB\n\
                 jetstream {{ store_dir: \"{folder}/js\" }}\n\
                 mqtt {{ listen: \"127.0.0.1:{port}\", max_ack_pending: 60000 }}\n"
            ),
            Self::Rumqttd => format!(
                "id = 0\n[router]\nid = 0\nmax_connections = 20000\nmax_outgoing_packet_count = 200\n\
                 max_segment_size = 104857600\nmax_segment_count = 10\n[v4.1]\nname = \"v4-1\"\n\
                 listen = \"127.0.0.1:{port}\"\nnext_connection_delay_ms = 0\n[v4.1.connections]\n\
                 connection_timeout_ms = 60000\nmax_payload_size = 4194304\nmax_inflight_count = 100\n\
                 dynamic_filters = true\n"
            ),
            Self::Floor => String::new(),
        }
    }

    fn command(self, path: &Path, file: &Path, address: SocketAddr) -> Command {
        let mut command = program(path, &[]);
        match self {
            Self::Ours => command.args(["broker", "-c"]).arg(file),
            Self::Debian | Self::Nats | Self::Rumqttd => command.arg("-c").arg(file),
            Self::Floor => command.arg(address.to_string()),
        };
        command
    }
}

/// A broker that is killed when it is dropped.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(super) fn start(peer: Peer, path: &Path, scenario: &Scenario) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let dir = tempfile::tempdir()?;
        // root's mosquitto becomes another user, who must be able to come and write here
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))?;
        let own = scenario.lines.iter().filter(|(whose, _)| *whose == peer).map(|(_, lines)| *lines);
        let own: String = own.collect();
        let mut lines = peer.configuration(address.port(), dir.path());
        lines += &own.replace("{dir}", &dir.path().display().to_string());
        if matches!(peer, Peer::Ours | Peer::Debian) && !own.contains("persistence") {
            lines += "persistence false\n";
        }
        let ending = if peer == Peer::Rumqttd { "toml" } else { "conf" };
        let file = dir.path().join("broker").with_extension(ending);
        std::fs::write(&file, lines)?;
        let mut command = peer.command(path, &file, address);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{} does not start", peer.name()))?;
        let mut server = Self { child, address, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ends with {status}", peer.name());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {address}", peer.name());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program of our own that is no part of the product, optimised as the product is.
pub(super) fn example(name: &str) -> Result<PathBuf> {
    execute(&mut cargo(&["build", "--release", "--package", "xtask", "--example", name]))?;
    Ok(target().join("release/examples").join(name))
}

/// Built below target/, which takes some minutes the first time.
fn rumqttd() -> Result<PathBuf> {
    let root = target().join("tools");
    let path = root.join("bin/rumqttd");
    if !path.exists() {
        // its lock file holds a crate that present compilers refuse
        let mut install = cargo(&["install", "--root"]);
        execute(install.arg(&root).arg(RUMQTTD)).context("rumqttd cannot be installed")?;
    }
    Ok(path)
}

/// The machine all of them ran on.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let memory =
        field(&read("/proc/meminfo"), "MemTotal").and_then(|kib| kib.split(' ').next()?.parse().ok());
    let gib = memory.map_or(0, |kib: u64| (kib + (1 << 19)) >> 20);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = output(&mut program("uname", &["-sr"])).unwrap_or_default();
    format!("{model}, {cores} processors, {gib} GiB, {}", kernel.trim())
}
