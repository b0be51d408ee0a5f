//! A machine to install things on: a fresh Debian under a layer that is thrown away, with its own network, processes and
//! mounts.

use std::path::PathBuf;
use std::process::Command;

use grovemq_tests::{Finished, Program, SOON, eventually};

/// Makes the machine, then is its first process and reaps those that others have left behind.
const BOOT: &str = r#"
set -e
mount -t tmpfs none "$LAYER"
mkdir "$LAYER/upper" "$LAYER/work" "$LAYER/root"
mount -t overlay overlay -o "lowerdir=$DEBIAN,upperdir=$LAYER/upper,workdir=$LAYER/work" "$LAYER/root"
cd "$LAYER/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs none run
mkdir run/lock packages
# Debian's init script expects it of its unit
mkdir -m 777 run/mosquitto
cp "$PACKAGES"/*_"$(chroot . dpkg --print-architecture)".deb "$PACKAGES"/*_all.deb packages
cp -r "$PACKAGES/container" packages
chroot . ip link set lo up
chroot . useradd --create-home --shell /bin/bash pi
echo 'pi ALL=(ALL) NOPASSWD: ALL' > etc/sudoers.d/pi
# the host's name, which sudo looks for
echo "127.0.0.1 localhost $(hostname)" > etc/hosts
# no service manager runs here, and yet packages may start what they bring
printf '#!/bin/sh\nexit 0\n' > usr/sbin/policy-rc.d
chmod +x usr/sbin/policy-rc.d
echo booted
while :; do sleep 3600 & wait $!; done
"#;

/// Where programs are, for the user of a Raspberry Pi.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) struct Machine {
    holder: Program,
    /// Its first process.
    init: String,
    layer: tempfile::TempDir,
}

impl Machine {
    /// A Debian with nothing of ours on it; /packages has the packages.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let place = |name: &str| {
            let set = std::env::var_os(name);
            PathBuf::from(
                set.unwrap_or_else(|| panic!("{name} is not set: `cargo xtask dist --check` runs this")),
            )
        };
        let layer = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-c", BOOT]);
        command.env("DEBIAN", place("GROVEMQ_DEBIAN")).env("PACKAGES", place("GROVEMQ_PACKAGES"));
        let holder = Program::start(command.env("LAYER", layer.path()));
        holder.wait_for_stdout("booted", SOON);
        let pid = holder.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let init = children.split_whitespace().next().unwrap().to_owned();
        Self { holder, init, layer }
    }

    /// The same with our packages, or with Debian's originals.
    #[track_caller]
    pub(crate) fn with(packages: &str) -> Self {
        let machine = Self::new();
        machine.install(packages);
        machine
    }

    /// As root, without a network.
    #[track_caller]
    pub(crate) fn install(&self, packages: &str) {
        self.root(&format!("apt-get -q -y --no-install-recommends install {packages}")).success();
    }

    /// Stops what the package has started, so that somebody can start it by hand.
    #[track_caller]
    pub(crate) fn by_hand(&self) {
        self.root("service mosquitto stop").success();
        // Debian's init script leaves a file of root's, its unit would make the folder
        self.root("rm -f /run/mosquitto/*; install -d -o mosquitto /run/mosquitto /var/log/mosquitto")
            .success();
        self.wait_for_silence();
    }

    /// What a user types, as the user pi; ends in its folder.
    pub(crate) fn shell(&self, line: &str) -> Command {
        self.command("pi", "/home/pi", line)
    }

    /// The line as pi types it, until it has ended.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Finished {
        Program::run(&mut self.shell(line), b"", SOON * 2)
    }

    /// The line in a terminal that stays open.
    #[track_caller]
    pub(crate) fn start(&self, line: &str) -> Program {
        Program::start(&mut self.shell(line))
    }

    /// The line as root types it.
    #[track_caller]
    pub(crate) fn root(&self, line: &str) -> Finished {
        Program::run(&mut self.command("root", "/", line), b"", SOON * 8)
    }

    /// What root's line prints.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) -> String {
        self.root(line).success().text().trim_end().to_owned()
    }

    /// Waits until somebody listens on port 1883.
    #[track_caller]
    pub(crate) fn wait_for_broker(&self) {
        eventually(|| self.listening(), || format!("nobody listens\n{}", self.holder.transcript()));
    }

    /// Waits until nobody does.
    #[track_caller]
    pub(crate) fn wait_for_silence(&self) {
        eventually(|| !self.listening(), || "somebody still listens on port 1883".to_owned());
    }

    fn listening(&self) -> bool {
        !self.root("ss --no-header --listening --tcp --numeric 'sport = :1883'").text().is_empty()
    }

    fn command(&self, user: &str, home: &str, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init, "--mount", "--net", "--pid", "--ipc", "chroot"])
            .arg(self.layer.path().join("root"))
            .args(["runuser", "-u", user, "--", "env", "--ignore-environment", "--chdir", home])
            .args([format!("HOME={home}"), format!("PATH={PATH}")])
            .args(["LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "bash", "-c", line]);
        command
    }
}
