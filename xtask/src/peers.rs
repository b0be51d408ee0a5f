//! Real peers and tools: found, or installed where that is possible.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::shell::{cargo, execute, program, repository, succeeds, target};

/// What is in a Debian package that tests need, and the word in the names of those tests.
const DEBIAN: &[(&str, &str, &str)] = &[
    ("mosquitto", "mosquitto", "debian"),
    ("mosquitto_pub", "mosquitto-clients", "debian"),
    ("tshark", "tshark", "tshark"),
    ("openssl", "openssl", "openssl"),
    ("strace", "strace", "strace"),
    ("coap-client-notls", "libcoap3-bin", "libcoap"),
];

const PAHO: &str = "paho-mqtt==2.1.0";
const MQTTJS: &str = "mqtt@5.16.0";
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// Makes every peer ready. Returns the words of those that are not: tests with such a word in their names cannot run.
pub(crate) fn prepare(report: &mut Report) -> Vec<&'static str> {
    let mut without = debian_packages(report);
    if !without.contains(&"tshark") && !may_capture() {
        report.leave_out("tshark", "no right to capture packets here: run as root, with CAP_NET_RAW");
        without.push("tshark");
    }
    if let Err(e) = paho() {
        report.leave_out("paho", &format!("no Python with {PAHO}: {e:#}"));
        without.push("paho");
    }
    if let Err(e) = mqttjs() {
        report.leave_out("mqttjs", &format!("no node with {MQTTJS}: {e:#}"));
        without.push("mqttjs");
    }
    without
}

/// The Python of the private environment.
pub(crate) fn python() -> PathBuf {
    repository().join("target/venv/bin/python")
}

/// `cargo deny`: the installed one, or one built below target/.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if succeeds(&mut cargo(&["deny", "--version"])) {
        return Ok("cargo-deny".into());
    }
    let root = target().join("tools");
    let path = root.join("bin/cargo-deny");
    if !path.exists() {
        // a debug build is made sooner, and runs for a second
        let mut install = cargo(&["install", "--locked", "--debug", "--root"]);
        execute(install.arg(&root).arg(CARGO_DENY)).context("cargo-deny cannot be installed")?;
    }
    Ok(path)
}

/// A program of a Debian package, installed if it is not there and that is possible.
pub(crate) fn debian(name: &str, package: &str) -> Result<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin"];
    let find = || folders.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    if find().is_none() && is_root() && succeeds(&mut program("apt-get", &["--version"])) {
        apt_install(&[package])?;
    }
    find().with_context(|| format!("not installed; as root: apt-get install {package}"))
}

fn debian_packages(report: &mut Report) -> Vec<&'static str> {
    let missing = missing_packages();
    let packages: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    let possible = !packages.is_empty() && is_root() && succeeds(&mut program("apt-get", &["--version"]));
    if possible && let Err(e) = apt_install(&packages) {
        println!("{e:#}");
    }
    let mut without = Vec::new();
    for (package, word) in missing_packages() {
        report.leave_out(word, &format!("not installed; as root: apt-get install {package}"));
        without.push(word);
    }
    without
}

fn missing_packages() -> Vec<(&'static str, &'static str)> {
    let present = |name: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    DEBIAN.iter().filter(|(name, ..)| !present(name)).map(|(_, package, word)| (*package, *word)).collect()
}

/// Installs packages without a question. A service that comes with one is not wanted: tests start their own.
fn apt_install(packages: &[&str]) -> Result<()> {
    let apt = |args: &[&str]| {
        let mut command = program("apt-get", args);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        execute(&mut command)
    };
    apt(&["-q", "update"])?;
    let install = [&["-q", "-y", "install", "--no-install-recommends"], packages].concat();
    apt(&install)?;
    for service in packages.iter().filter(|name| ["mosquitto", "nats-server"].contains(name)) {
        if Path::new("/run/systemd/system").exists() {
            execute(&mut program("systemctl", &["disable", "--now", service]))?;
        }
    }
    Ok(())
}

fn paho() -> Result<()> {
    let python = python();
    if succeeds(&mut program(&python, &["-c", "import paho.mqtt.client"])) {
        return Ok(());
    }
    let environment = repository().join("target/venv");
    let make = || execute(program("python3", &["-m", "venv"]).arg(&environment));
    if let Err(e) = make() {
        if !is_root() {
            return Err(e.context("apt-get install python3-venv"));
        }
        apt_install(&["python3-venv"])?;
        make()?;
    }
    execute(&mut program(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PAHO]))
}

/// MQTT.js below target/, for the node that is installed.
fn mqttjs() -> Result<()> {
    let folder = repository().join("target/mqttjs");
    if folder.join("node_modules/mqtt/package.json").exists()
        && succeeds(&mut program("node", &["--version"]))
    {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    let mut install = program("npm", &["install", "--no-audit", "--no-fund", "--silent", "--prefix"]);
    execute(install.arg(&folder).arg(MQTTJS)).context("apt-get install npm")
}

fn may_capture() -> bool {
    succeeds(&mut program("tshark", &["-q", "-i", "lo", "-a", "duration:1", "-w", "/dev/null"]))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
