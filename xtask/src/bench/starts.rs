//! How soon a program is ready, how soon it is done, and how much room it takes: ours, Debian's and the floor in turns.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::brokers::Peer;
use super::median;
use super::page::Row;
use super::scenarios::Better;
use crate::peers;
use crate::shell::{program, repository};

pub(super) const NAME: &str = "start";

/// The lab's configuration, with users and access rules, and one of its users.
const LAB: &str = "examples/lab";
const LAB_LISTENER: &str = "listener 1883";
const CONNECT: &[u8] = b"\x10\x1c\0\x04MQTT\x04\xc2\0\x3c\0\x01s\0\x05user1\0\x06iotlab";

/// Waits longer than this are failures.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Samples {
    ready_ms: Vec<f64>,
    resting_kib: Vec<f64>,
    publish_ms: Vec<f64>,
    size_mib: Vec<f64>,
}

/// A row for each measure; brokers other than ours and Debian's do not read this configuration.
pub(super) fn measure(programs: &[(Peer, PathBuf)], times: usize) -> Result<Vec<Row>> {
    let here: Vec<_> =
        programs.iter().filter(|(peer, _)| matches!(peer, Peer::Ours | Peer::Debian | Peer::Floor)).collect();
    let mut all: Vec<Samples> = here.iter().map(|_| Samples::default()).collect();
    for _ in 0..times {
        for ((peer, path), samples) in here.iter().zip(&mut all) {
            once(*peer, path, samples).with_context(|| format!("{} in the lab", peer.name()))?;
        }
    }
    let row = |figure, unit, of: &dyn Fn(&Samples) -> &Vec<f64>| Row {
        scenario: NAME,
        title: "start, with the lab's configuration",
        figure,
        unit,
        better: Better::Less,
        values: here
            .iter()
            .zip(&all)
            .filter_map(|((peer, _), s)| Some((*peer, median(of(s).clone())?)))
            .collect(),
    };
    Ok(vec![
        row("ready", "ms from exec to the first CONNACK", &|s| &s.ready_ms),
        row("resting", "KiB resident with nobody there", &|s| &s.resting_kib),
        row("publish", "ms of a publishing program", &|s| &s.publish_ms),
        row("size", "MiB of the program", &|s| &s.size_mib),
    ])
}

/// A broker from its start to its first message.
fn once(peer: Peer, path: &Path, samples: &mut Samples) -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))?;
    let address = lab(dir.path())?;
    let mut command = program(path, &[]);
    match peer {
        Peer::Ours => command.args(["broker", "-c", "mosquitto.conf"]),
        Peer::Floor => command.arg(address.to_string()),
        _ => command.args(["-c", "mosquitto.conf"]),
    };
    command.current_dir(dir.path()).stdin(Stdio::null());
    let started = Instant::now();
    let mut broker = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    while connect(address).is_none() {
        if started.elapsed() > PATIENCE || broker.0.try_wait()?.is_some() {
            bail!("nobody answers at {address}");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    samples.ready_ms.push(started.elapsed().as_secs_f64() * 1000.0);
    std::thread::sleep(Duration::from_millis(50));
    samples.resting_kib.extend(resident(broker.0.id()));
    let mut publish = match peer {
        Peer::Ours => program(path, &["pub"]),
        Peer::Floor => program(path, &["pub", &address.to_string()]),
        _ => program(peers::debian("mosquitto_pub", "mosquitto-clients")?, &[]),
    };
    // what is no broker has a size that says nothing
    if peer != Peer::Floor {
        let kib = u32::try_from(std::fs::metadata(path)?.len() >> 10)?;
        samples.size_mib.push(f64::from(kib) / 1024.0);
        let port = address.port().to_string();
        publish.args(["-h", "127.0.0.1", "-p", &port, "-u", "user1", "-P", "iotlab", "-t", "a", "-m", "b"]);
    }
    samples.publish_ms.push(timed(&mut publish)?);
    Ok(())
}

/// The lab's files in that folder, on a port that is free.
fn lab(dir: &Path) -> Result<SocketAddr> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for name in ["mosquitto.conf", "passwords", "rules.acl"] {
        let place = format!("{LAB}/{name}");
        let text = std::fs::read_to_string(repository().join(&place)).with_context(|| place.clone())?;
        let text = text.replace(LAB_LISTENER, &format!("listener {} 127.0.0.1", address.port()));
        std::fs::write(dir.join(name), text)?;
    }
    Ok(address)
}

/// Some, as soon as a client is let in.
fn connect(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(CONNECT).ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    (answer == [0x20, 2, 0, 0]).then_some(())
}

fn resident(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    super::number(&status, "VmRSS:", "kB")
}

/// Milliseconds from exec to exit.
fn timed(command: &mut Command) -> Result<f64> {
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if !status.success() {
        bail!("publishing ends with {status}");
    }
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_as_long_as_it_says() {
        assert_eq!(usize::from(CONNECT[1]), CONNECT.len() - 2);
    }

    #[test]
    fn the_labs_listener_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let address = lab(dir.path()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("mosquitto.conf")).unwrap();
        assert!(text.lines().any(|line| line == format!("listener {} 127.0.0.1", address.port())), "{text}");
    }
}
