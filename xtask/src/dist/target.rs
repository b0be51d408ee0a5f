//! The processors programs are built for, and how.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{cargo, execute, output, program, succeeds, target};

/// A kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// As Rust calls it.
    triple: &'static str,
    /// As Debian calls it.
    pub(crate) debian: &'static str,
    /// The C compiler that builds and links for it on another machine, as Debian calls that.
    compiler: &'static str,
}

const TARGETS: &[Target] = &[
    Target {
        name: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        debian: "amd64",
        compiler: "x86_64-linux-gnu-gcc",
    },
    Target {
        name: "aarch64",
        triple: "aarch64-unknown-linux-gnu",
        debian: "arm64",
        compiler: "aarch64-linux-gnu-gcc",
    },
    Target {
        name: "armv7",
        triple: "armv7-unknown-linux-gnueabihf",
        debian: "armhf",
        compiler: "arm-linux-gnueabihf-gcc",
    },
];

impl Target {
    /// By its name or its triple.
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        let found = TARGETS.iter().find(|target| target.name == name || target.triple == name);
        found.with_context(|| format!("no packages for `{name}`: there are {}", known()))
    }

    /// This machine's.
    pub(crate) fn here() -> Result<&'static Self> {
        let arch = std::env::consts::ARCH;
        Self::find(if arch == "arm" { "armv7" } else { arch })
    }

    /// Why it cannot be built here, if it cannot.
    pub(crate) fn left_out(&self) -> Option<String> {
        if Self::here().is_ok_and(|here| here == self) {
            None
        } else if !has_standard_library(self.triple) {
            Some(format!("its standard library is not installed: rustup target add {}", self.triple))
        } else if !has_zigbuild() && !starts(self.compiler) {
            Some(format!("neither cargo-zigbuild nor {} is installed", self.compiler))
        } else {
            None
        }
    }

    /// The release build of the program.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        if Self::here().is_ok_and(|here| here == self) {
            execute(&mut release("build"))?;
            return Ok(target().join("release/grovemq"));
        }
        let mut build = release(if has_zigbuild() { "zigbuild" } else { "build" });
        build.args(["--target", self.triple]);
        if !has_zigbuild() {
            let triple = self.triple.replace('-', "_");
            build.env(format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase()), self.compiler);
            build.env(format!("CC_{triple}"), self.compiler);
        }
        execute(&mut build)?;
        Ok(binary(self.triple))
    }
}

/// The oldest glibc for static programs. What reads files and asks DNS for names is in it; older ones load that from the
/// machine that the program runs on, where it ends the program unless it is of the very same version.
const STATIC_GLIBC_MIN: (u32, u32) = (2, 34);

/// getrandom looks its function up by name while the program runs, which finds nothing in a static one with glibc; then it
/// reads /dev/urandom, which an empty root does not have.
const STATIC_FLAGS: &str = r#"-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom""#;

/// The program for this processor without any library of the system, and how that was done: with glibc, whose allocator
/// is much the faster (docs/adr/0015), or with musl where that alone will do.
pub(crate) fn build_static() -> Result<(PathBuf, &'static str)> {
    let mut build = release("build");
    if has_static_glibc() {
        let gnu = Target::here()?.triple;
        // a target by name, so that the flags are not for build scripts and macros
        execute(build.args(["--target", gnu]).env("RUSTFLAGS", STATIC_FLAGS))?;
        return Ok((binary(gnu), "glibc"));
    }
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    ensure!(
        has_standard_library(&musl) && starts("musl-gcc"),
        "neither glibc {}.{} or later with its libc.a is installed, nor musl-gcc and Rust's {musl}",
        STATIC_GLIBC_MIN.0,
        STATIC_GLIBC_MIN.1
    );
    execute(build.args(["--target", &musl]))?;
    Ok((binary(&musl), "musl"))
}

fn has_static_glibc() -> bool {
    let version = output(&mut program("getconf", &["GNU_LIBC_VERSION"])).unwrap_or_default();
    // the compiler gives the bare name back if it knows no such file
    let archive = output(&mut program("cc", &["-print-file-name=libc.a"])).unwrap_or_default();
    glibc(&version).is_some_and(|version| version >= STATIC_GLIBC_MIN) && archive.contains('/')
}

/// As `getconf` tells it.
fn glibc(told: &str) -> Option<(u32, u32)> {
    let mut parts = told.trim().strip_prefix("glibc ")?.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn release(how: &str) -> Command {
    cargo(&[how, "--release", "--locked", "--package", "grovemq"])
}

fn binary(triple: &str) -> PathBuf {
    target().join(triple).join("release/grovemq")
}

fn has_standard_library(triple: &str) -> bool {
    let root = output(&mut program("rustc", &["--print", "sysroot"])).unwrap_or_default();
    Path::new(root.trim()).join("lib/rustlib").join(triple).join("lib").is_dir()
}

fn has_zigbuild() -> bool {
    succeeds(&mut cargo(&["zigbuild", "--help"]))
}

fn starts(compiler: &str) -> bool {
    succeeds(&mut program(compiler, &["--version"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_glibc_are_numbers() {
        assert_eq!(glibc("glibc 2.36\n"), Some((2, 36)));
        assert_eq!(glibc("glibc 2.40.9000"), Some((2, 40)));
        assert!(glibc("glibc 2.9") < Some(STATIC_GLIBC_MIN));
        for other in ["", "glibc", "undefined\n", "glibc 2"] {
            assert_eq!(glibc(other), None, "{other:?}");
        }
    }
}
