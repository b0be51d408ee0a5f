//! What TLS, WebSocket and the properties of MQTT 5 cost a broker: ours and Debian's in turns, with our own `bench` as the load,
//! for mqload speaks plain TCP and sends no properties. The floor takes part in what it can: it speaks plain TCP, too.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::brokers::{Peer, example};
use super::page::Row;
use super::scenarios::Better;
use super::{median, number};
use crate::shell::{output, program};

pub(super) const NAME: &str = "transports";
pub(super) const PROPERTIES: &str = "properties";

/// Clock ticks in a second, as /proc counts them on every Linux there is.
const TICKS: f64 = 100.0;
const PATIENCE: Duration = Duration::from_secs(10);

struct Load {
    /// What it is asked for by.
    name: &'static str,
    /// Its own name, for programs.
    scenario: &'static str,
    title: &'static str,
    /// Of the configuration; `{dir}` holds the certificate.
    listener: &'static str,
    /// The floor can do it.
    floor: bool,
    options: &'static [&'static str],
}

#[rustfmt::skip]
const LOADS: [Load; 5] = [
    Load { name: NAME, scenario: "tcp", title: "TCP, the same load", listener: "", floor: true, options: &[] },
    Load {
        name: NAME,
        scenario: "tls",
        title: "TLS 1.3",
        listener: "certfile {dir}/server.pem\nkeyfile {dir}/server.key\n",
        floor: false,
        options: &["--cafile", "{dir}/ca.pem"],
    },
    Load { name: NAME, scenario: "websocket", title: "WebSocket", listener: "protocol websockets\n", floor: false, options: &["--ws"] },
    Load {
        name: PROPERTIES,
        scenario: "properties",
        title: "MQTT 5, five properties each, TCP",
        listener: "",
        floor: true,
        options: &[
            "-D", "publish", "content-type", "text/plain",
            "-D", "publish", "user-property", "unit", "celsius",
            "-D", "publish", "message-expiry-interval", "3600",
            "-D", "publish", "response-topic", "bench/answers",
            "-D", "publish", "correlation-data", "0123456789abcdef",
        ],
    },
    Load {
        name: PROPERTIES,
        scenario: "aliases",
        title: "MQTT 5, topic aliases, TCP",
        listener: "",
        floor: false,
        options: &[
            "-t", "plant/hall-3/line-12/machine-%i/bearing-temperature",
            "-D", "publish", "topic-alias", "1",
            "-D", "connect", "topic-alias-maximum", "10",
        ],
    },
];

const CONNECTIONS: &str = "1000";
const CONNECT: [&str; 7] = ["conn", "--clients", CONNECTIONS, "--ramp", "500", "--duration", "1"];
const FLOW: [&str; 11] =
    ["sub", "-t", "bench/%i", "--clients", "4", "--publishers", "4", "--rate", "max", "--duration", "4"];

/// What was measured in one turn.
#[derive(Default)]
struct Samples {
    connect_us: Vec<f64>,
    connect_cpu: Vec<f64>,
    rate: Vec<f64>,
    cpu: Vec<f64>,
}

/// The rows of one of the names above.
pub(super) fn measure(name: &str, programs: &[(Peer, PathBuf)], rounds: usize) -> Result<Vec<Row>> {
    let (_, load) = programs.iter().find(|(peer, _)| *peer == Peer::Ours).context("ours makes the load")?;
    let dir = tempfile::tempdir()?;
    // root's mosquitto becomes another user
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    certificate(dir.path())?;
    let mut rows = Vec::new();
    for kind in LOADS.iter().filter(|kind| kind.name == name) {
        let takes_part =
            |peer| matches!(peer, Peer::Ours | Peer::Debian) || peer == Peer::Floor && kind.floor;
        let here: Vec<_> = programs.iter().filter(|(peer, _)| takes_part(*peer)).collect();
        let mut all: Vec<Samples> = here.iter().map(|_| Samples::default()).collect();
        for _ in 0..rounds {
            for ((peer, path), samples) in here.iter().zip(&mut all) {
                once(*peer, path, load, kind, dir.path(), samples)
                    .with_context(|| format!("{} over {}", peer.name(), kind.title))?;
            }
        }
        let row = |figure, unit, better, of: &dyn Fn(&Samples) -> &Vec<f64>| Row {
            scenario: kind.scenario,
            title: kind.title,
            figure,
            unit,
            better,
            values: here
                .iter()
                .zip(&all)
                .filter_map(|((peer, _), s)| Some((*peer, median(of(s).clone())?)))
                .collect(),
        };
        if name == NAME {
            rows.extend([
                row("connect", "µs from socket to CONNACK, median at 500/s", Better::Less, &|s| {
                    &s.connect_us
                }),
                row("connect_cpu", "µs CPU per connect", Better::Less, &|s| &s.connect_cpu),
            ]);
        }
        rows.extend([
            row("rate", "deliveries/s, 4 pairs, the load's own limit", Better::More, &|s| &s.rate),
            row("cpu", "µs CPU per delivery", Better::Less, &|s| &s.cpu),
        ]);
    }
    if name == NAME && programs.iter().any(|(peer, _)| *peer == Peer::Floor) {
        let handshake = handshake_us(dir.path())?;
        let cpu = |row: &&mut Row, scenario| row.scenario == scenario && row.figure == "connect_cpu";
        let tcp = rows.iter_mut().find(|row| cpu(row, "tcp")).and_then(|row| row.of(Peer::Floor));
        if let (Some(tls), Some(tcp)) = (rows.iter_mut().find(|row| cpu(row, "tls")), tcp) {
            tls.values.push((Peer::Floor, tcp + handshake));
        }
    }
    Ok(rows)
}

fn once(peer: Peer, path: &Path, load: &Path, kind: &Load, dir: &Path, samples: &mut Samples) -> Result<()> {
    let broker = Running::start(peer, path, kind, dir)?;
    let place = dir.display().to_string();
    let options: Vec<_> = kind.options.iter().map(|option| option.replace("{dir}", &place)).collect();
    let port = broker.address.port().to_string();
    let measured = |what: &[&str]| -> Result<(String, f64)> {
        let before = broker.cpu_us()?;
        let mut command = program(load, &["bench"]);
        command.args(what).args(["-h", "localhost", "-p", &port, "--json"]).args(&options);
        let said = output(command.stdin(Stdio::null()))?;
        Ok((said, broker.cpu_us()? - before))
    };
    if kind.name == NAME {
        let (said, cpu) = measured(&CONNECT)?;
        let connected = number(&said, "\"connected\":", ",").context("no connections")?;
        samples.connect_cpu.push(cpu / connected);
        let connects = said.split_once("\"connect_us\":").map_or("", |(_, rest)| rest);
        samples.connect_us.extend(number(connects, "\"p50\":", ","));
    }
    let (said, cpu) = measured(&FLOW)?;
    let received = number(&said, "\"received\":", ",").context("no messages")?;
    samples.cpu.push(cpu / received);
    samples.rate.extend(number(&said, "\"received_per_second\":", ","));
    Ok(())
}

/// What the cryptography of one connection takes, at least: clients that were here before resume their sessions.
fn handshake_us(dir: &Path) -> Result<f64> {
    let said = output(program(example("handshakes")?, &[]).arg(dir))?;
    print!("{said}");
    number(&said, " full, ", " us resumed").context("no handshakes")
}

/// A broker that is killed when it is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(peer: Peer, path: &Path, kind: &Load, dir: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listener = kind.listener.replace("{dir}", &dir.display().to_string());
        let plain = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // with a listener for WebSocket alone the original does not start
        let lines = format!(
            "listener {plain} 127.0.0.1\nlistener {} 127.0.0.1\n{listener}allow_anonymous true\nlog_type error\npersistence false\n\
             max_inflight_messages 0\nmax_queued_messages 0\n",
            address.port()
        );
        let file = dir.join("mosquitto.conf");
        std::fs::write(&file, lines)?;
        let mut command = program(path, &[]);
        match peer {
            Peer::Ours => command.args(["broker", "-c"]).arg(&file),
            Peer::Floor => command.arg(address.to_string()),
            _ => command.arg("-c").arg(&file),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Self { child: command.spawn()?, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > PATIENCE || running.child.try_wait()?.is_some() {
                bail!("it does not listen on {address}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(running)
    }

    /// Processor time so far, of user and system.
    fn cpu_us(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // behind the name, which may have spaces in it, these are the 12th and 13th
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS * 1e6)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An authority and a certificate for localhost, in files.
fn certificate(dir: &Path) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    std::fs::write(dir.join("ca.pem"), params.self_signed(&key)?.pem())?;
    let authority = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &authority)?;
    std::fs::write(dir.join("server.pem"), server.pem())?;
    let secret = dir.join("server.key");
    std::fs::write(&secret, key.serialize_pem())?;
    // for the user that root's broker becomes; it is worth nothing and gone soon
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_have_a_name_each() {
        let mut names: Vec<_> = LOADS.iter().map(|kind| kind.scenario).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LOADS.len());
    }
}
