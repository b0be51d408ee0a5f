//! `cargo xtask nightly`: what takes longer than a change should wait for. Tests as 32-bit programs, each fuzz target for
//! a minute, and the packages.

use anyhow::{Context, Result, bail};

use crate::dist;
use crate::report::Report;
use crate::shell::{cargo, execute, output, program, repository, succeeds};

/// The name of the step that is no fuzz target.
const NARROW: &str = "32-bit";
/// Its programs run on 64-bit processors of the family, and are linked by what comes with Rust.
const NARROW_TARGET: &str = "i686-unknown-linux-musl";

/// The tests as 32-bit programs, then all targets of fuzz/Cargo.toml, then the packages; or only what is named. True if
/// nothing failed.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    let (seconds, mut chosen) = arguments(args)?;
    let all = chosen.is_empty();
    let narrow = all || chosen.contains(&NARROW);
    chosen.retain(|name| *name != NARROW);
    let manifest =
        std::fs::read_to_string(repository().join("fuzz/Cargo.toml")).context("fuzz/Cargo.toml")?;
    let targets = targets(&manifest)?;
    if let Some(unknown) = chosen.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("unknown fuzz target `{unknown}`: there are {}", targets.join(", "));
    }
    if (all || !chosen.is_empty()) && !succeeds(&mut cargo(&["fuzz", "--version"])) {
        bail!("cargo-fuzz is missing: cargo install --locked cargo-fuzz");
    }
    let mut report = Report::default();
    if narrow {
        test_narrow(&mut report);
    }
    for target in targets.iter().filter(|target| all || chosen.contains(&target.as_str())) {
        report.check(target, || {
            let limit = format!("-max_total_time={seconds}");
            let mut fuzz = cargo(&["fuzz", "run", target, "--", &limit]);
            // the sanitizer's compiler flags are unstable; the language is not
            execute(fuzz.env("RUSTC_BOOTSTRAP", "1"))
        });
    }
    if all {
        dist::into(&mut report, &["--check"])?;
    }
    Ok(report.close())
}

/// The crates that count, store and parse, where `usize` has 32 bits.
fn test_narrow(report: &mut Report) {
    let libraries = output(&mut program("rustc", &["--print", "target-libdir", "--target", NARROW_TARGET]));
    if !libraries.is_ok_and(|path| std::path::Path::new(path.trim()).exists()) {
        return report.leave_out(NARROW, &format!("rustup target add {NARROW_TARGET}"));
    }
    report.check(NARROW, || {
        let mut test = cargo(&["test", "--no-fail-fast", "--lib", "--tests", "--target", NARROW_TARGET]);
        test.args(
            ["codec", "core", "store"].iter().flat_map(|name| ["-p".to_owned(), format!("grovemq-{name}")]),
        );
        execute(test.env("CARGO_TARGET_I686_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"))
    });
}

fn arguments<'a>(args: &[&'a str]) -> Result<(u32, Vec<&'a str>)> {
    let (mut seconds, mut chosen) = (60, Vec::new());
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--seconds" => {
                let value = args.next().context("--seconds takes a number")?;
                seconds =
                    value.parse().with_context(|| format!("--seconds takes a number, not `{value}`"))?;
            }
            flag if flag.starts_with('-') => bail!("unknown option `{flag}`"),
            target => chosen.push(target),
        }
    }
    Ok((seconds, chosen))
}

/// The names of the `[[bin]]`s.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let bins =
        manifest.get("bin").and_then(|bins| bins.as_array()).context("fuzz/Cargo.toml lists no [[bin]]")?;
    let name = |bin: &toml::Value| bin.get("name").and_then(|name| name.as_str()).map(str::to_owned);
    bins.iter().map(|bin| name(bin).context("a [[bin]] of fuzz/Cargo.toml has no name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_bins_of_the_manifest() {
        let manifest = "[package]\nname = \"f\"\n[[bin]]\nname = \"framing\"\npath = \"a.rs\"\n[[bin]]\nname = \"topics\"\n";
        assert_eq!(targets(manifest).unwrap(), ["framing", "topics"]);
        assert!(targets("[package]\n").is_err());
    }

    #[test]
    fn seconds_and_targets_are_told_apart() {
        assert_eq!(arguments(&["a", "--seconds", "5", "b"]).unwrap(), (5, vec!["a", "b"]));
        assert!(arguments(&["--seconds", "x"]).is_err());
        assert!(arguments(&["--fast"]).is_err());
    }
}
