//! Where the programs are: ours, Debian's, and the Python that has paho-mqtt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Our program under one of its names: `mosquitto_pub` is `grovemq pub` called by the original's name, and any name that
/// is no tool of the original is a subcommand (`thing`, `broker`, `acl`).
///
/// With `GROVEMQ_PEERS_INSTEAD=1` in the environment Debian's program of that name is taken: it must pass every test that
/// compares with it, so this shows a mistake of the test itself.
pub fn ours(name: &str) -> Command {
    if !name.starts_with("mosquitto") {
        let mut command = Command::new(grovemq());
        command.arg(name);
        return command;
    }
    if instead() { debian(name) } else { Command::new(link(name)) }
}

/// Debian's program: `mosquitto`, `mosquitto_pub`, `mosquitto_sub`, `mosquitto_passwd`, `tshark`.
///
/// # Panics
/// If it is not installed: `cargo xtask test` installs it, or leaves out the tests that need it.
#[track_caller]
pub fn debian(name: &str) -> Command {
    let path =
        ["/usr/bin", "/usr/sbin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    Command::new(path.unwrap_or_else(|| panic!("{name} is not installed: try `cargo xtask test`")))
}

/// A Python that has paho-mqtt: `GROVEMQ_PYTHON`, or the one in the private environment that `cargo xtask test` makes.
///
/// # Panics
/// If there is none.
pub fn paho_python() -> Command {
    let path = std::env::var_os("GROVEMQ_PYTHON")
        .map_or_else(|| repository().join("target/venv/bin/python"), PathBuf::from);
    assert!(path.exists(), "{} is missing: `cargo xtask test` makes it", path.display());
    Command::new(path)
}

/// A node that finds MQTT.js: `GROVEMQ_MQTTJS` is the folder it is installed in, or it is where `cargo xtask test` put it.
///
/// # Panics
/// If it is not there.
pub fn mqttjs_node() -> Command {
    let dir =
        std::env::var_os("GROVEMQ_MQTTJS").map_or_else(|| repository().join("target/mqttjs"), PathBuf::from);
    let modules = dir.join("node_modules");
    assert!(modules.join("mqtt").exists(), "{} is missing: `cargo xtask test` makes it", modules.display());
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules);
    command
}

/// The path of our program: `GROVEMQ_BIN`, or the one beside the running test, built now if it is absent or older than the
/// sources.
pub fn grovemq() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("GROVEMQ_BIN") {
        Some(path) => PathBuf::from(path),
        None => built(),
    })
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn instead() -> bool {
    std::env::var_os("GROVEMQ_PEERS_INSTEAD").is_some()
}

fn built() -> PathBuf {
    let profile_dir = profile_dir();
    let path = profile_dir.join("grovemq");
    let age = path.metadata().and_then(|m| m.modified()).ok();
    if age.is_none_or(|built| newest_source(&repository().join("crates")) > built) {
        // cargo's own lock keeps parallel tests from building twice at a time
        let target = profile_dir.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--quiet", "--package", "grovemq", "--target-dir"])
            .arg(target)
            .current_dir(repository());
        if profile_dir.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "cargo build --package grovemq fails");
    }
    path
}

/// `target/debug` of the test that runs: it lies in `target/debug/deps`.
fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().unwrap();
    if dir.ends_with("deps") { dir.parent().unwrap().to_owned() } else { dir.to_owned() }
}

fn newest_source(dir: &Path) -> SystemTime {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let newest = entries.map(|path| {
        if path.is_dir() {
            newest_source(&path)
        } else {
            path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        }
    });
    newest.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A symbolic link of this name to our program, as a person would set it up.
fn link(name: &str) -> PathBuf {
    let dir = profile_dir().join("names");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    if std::fs::read_link(&path).ok().as_deref() != Some(grovemq()) {
        // made aside and renamed: a parallel test never sees it missing
        let aside = dir.join(format!("{name}.{}", std::process::id()));
        drop(std::fs::remove_file(&aside));
        std::os::unix::fs::symlink(grovemq(), &aside).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
    path
}
