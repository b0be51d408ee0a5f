//! Installs the packages in a Debian of its own and runs the lab's commands there: the tests in tests/packages do it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Places;
use crate::peers;
use crate::report::{Counts, Report};
use crate::shell::{cargo, execute, program, succeeds, target, watched};

const RELEASE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// What a lab machine has besides the smallest Debian, and what the packages need.
/// The modules for names are those that most Debians have.
const BESIDES: &str =
    "adduser,bsdextrautils,iproute2,libnss-myhostname,libnss-systemd,man-db,procps,sudo,systemd";

/// Runs the tests, as far as this machine lets it.
pub(crate) fn run(report: &mut Report, places: &Places) {
    match fresh_debian(places) {
        Ok(root) => report.section("packages", || tests(places, &root)),
        Err(e) => report.leave_out("packages", &format!("no fresh Debian to install them in: {e:#}")),
    }
}

/// A small Debian, made once. Tests see it through a layer of their own and change nothing of it.
fn fresh_debian(places: &Places) -> Result<PathBuf> {
    ensure!(rustix::process::geteuid().is_root(), "only root can make one");
    ensure!(
        succeeds(&mut program("unshare", &["--mount", "--net", "--pid", "--fork", "true"])),
        "no right to make namespaces"
    );
    let root = places.out.join(format!("debian-{RELEASE}"));
    let done = root.join("var/cache/apt/ready");
    // one with other things in it, from another day, does not do
    if std::fs::read_to_string(&done).is_ok_and(|made_with| made_with == BESIDES) {
        return Ok(root);
    }
    let debootstrap = peers::debian("debootstrap", "debootstrap")?;
    if root.exists() {
        std::fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
    }
    let mut make = program(debootstrap, &["--variant=minbase", &format!("--include={BESIDES}"), RELEASE]);
    execute(make.arg(&root).arg(MIRROR))?;
    // the originals, to compare with: fetched now, installed where there is no network
    let fetch = "apt-get -q update && apt-get -q -y install --no-install-recommends --download-only mosquitto mosquitto-clients";
    execute(program("chroot", &[]).arg(&root).args(["sh", "-c", fetch]))?;
    std::fs::write(&done, BESIDES)?;
    Ok(root)
}

fn tests(places: &Places, root: &Path) -> Result<Counts> {
    let mut command = cargo(&["test", "--package", "grovemq-tests", "--test", "packages"]);
    command.args(["--", "--ignored", "--test-threads=2"]);
    command.env("GROVEMQ_DEBIAN", root).env("GROVEMQ_PACKAGES", &places.out);
    command.env("GROVEMQ_BIN", target().join("release/grovemq"));
    let mut counts = Counts::default();
    let good = watched(&mut command, |line| counts.take_in(line))?;
    ensure!(good || counts.failed > 0, "the tests do not build, or do not start");
    Ok(counts)
}
