//! `cargo xtask dist`: what users install. A static binary, a folder to build a container in, Debian packages; and a
//! check that installs them in a Debian of its own.

mod check;
mod package;
mod target;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::report::Report;
use crate::shell;
use target::Target;

/// Makes everything for this machine's processor, or for the named ones. True if nothing failed.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    let mut report = Report::default();
    into(&mut report, args)?;
    Ok(report.close())
}

/// The same, as a part of something larger.
pub(crate) fn into(report: &mut Report, args: &[&str]) -> Result<()> {
    let wanted = Wanted::read(args)?;
    let places = Places::new()?;
    for target in wanted.targets.iter().copied() {
        match target.left_out() {
            Some(why) => report.leave_out(&format!("packages for {}", target.name), &why),
            None => report.check(target.name, || packages(target, &places)),
        }
    }
    if wanted.targets.contains(&Target::here()?) {
        report.check("static", || container(&places));
    }
    if wanted.check {
        check::run(report, &places);
    }
    Ok(())
}

/// Where things come to lie.
struct Places {
    /// All that is made: target/dist.
    out: PathBuf,
}

impl Places {
    fn new() -> Result<Self> {
        let out = shell::repository().join("target/dist");
        std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
        Ok(Self { out })
    }

    /// The folder in which `docker build` finds everything.
    fn container(&self) -> PathBuf {
        self.out.join("container")
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    targets: Vec<&'static Target>,
    check: bool,
}

impl Wanted {
    fn read(args: &[&str]) -> Result<Self> {
        let mut wanted = Self { targets: Vec::new(), check: false };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            match arg {
                "--check" => wanted.check = true,
                "--target" => {
                    let name = args.next().context("--target takes a name")?;
                    wanted.targets.push(Target::find(name)?);
                }
                other => bail!("unknown option `{other}`"),
            }
        }
        if wanted.targets.is_empty() {
            wanted.targets.push(Target::here()?);
        }
        Ok(wanted)
    }
}

fn packages(target: &Target, places: &Places) -> Result<()> {
    let binary = target.build()?;
    let needs = package::libraries(&binary)?;
    let made = [package::grovemq(target, &binary, &needs, &places.out)?, package::names(&places.out)?];
    say_size(&binary)?;
    made.iter().try_for_each(|path| say_size(path))
}

/// The static binary, by itself and in the folder for a container.
fn container(places: &Places) -> Result<()> {
    let (binary, how) = target::build_static()?;
    let folder = places.container();
    // an empty folder, because a build `FROM scratch` cannot make one
    std::fs::create_dir_all(folder.join("state"))?;
    let from = shell::repository().join("packaging/container");
    for name in ["Containerfile", "grovemq.conf"] {
        std::fs::copy(from.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    std::fs::copy(&binary, folder.join("grovemq"))?;
    let name = format!("grovemq-{}-{}-linux-static", package::VERSION, std::env::consts::ARCH);
    let alone = places.out.join(name);
    std::fs::copy(&binary, &alone)?;
    println!("static by {how}");
    say_size(&alone)
}

fn say_size(path: &Path) -> Result<()> {
    let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    println!("{}: {} KiB", path.display(), bytes.div_ceil(1 << 10));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_short_names() {
        let wanted = Wanted::read(&["--target", "aarch64", "--target", "armv7", "--check"]).unwrap();
        let names: Vec<&str> = wanted.targets.iter().map(|target| target.name).collect();
        assert_eq!(names, ["aarch64", "armv7"]);
        assert!(wanted.check);
        for bad in [&["--target"][..], &["--target", "vax"], &["--fast"]] {
            assert!(Wanted::read(bad).is_err(), "{bad:?}");
        }
    }
}
