//! `cargo xtask test`: every check and test, in order, all of them even if one fails.

use std::process::Command;

use anyhow::{Result, bail};

use crate::guard;
use crate::peers;
use crate::report::{Counts, Report};
use crate::shell::{cargo, execute, program, succeeds, target, watched};

const SECTIONS: &[&str] = &["fmt", "clippy", "docs", "deny", "tests", "doctests", "guard"];

/// Runs all sections, or the named ones. True if nothing failed.
pub(crate) fn run(sections: &[&str]) -> Result<bool> {
    if let Some(unknown) = sections.iter().find(|name| !SECTIONS.contains(name)) {
        bail!("unknown section `{unknown}`: there are {}", SECTIONS.join(", "));
    }
    let wanted = |name: &str| sections.is_empty() || sections.contains(&name);
    let mut report = Report::default();
    if wanted("fmt") {
        report.check("fmt", || run_cargo(&["fmt", "--all", "--check"]));
    }
    if wanted("clippy") {
        report.check("clippy", || {
            run_cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        });
    }
    if wanted("docs") {
        report.check("docs", || {
            execute(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))
        });
    }
    if wanted("deny") {
        deny(&mut report);
    }
    if wanted("tests") {
        let without = peers::prepare(&mut report);
        report.section("tests", || tests(&without));
    }
    if wanted("doctests") {
        report.section("doctests", || counted(&mut cargo(&["test", "--workspace", "--doc", "--quiet"])));
    }
    if wanted("guard") {
        match peers::debian("valgrind", "valgrind") {
            Ok(_) => report.check("guard", || guard::run(false)),
            Err(e) => report.leave_out("guard", &format!("{e:#}")),
        }
    }
    Ok(report.close())
}

fn deny(report: &mut Report) {
    match peers::cargo_deny() {
        Ok(path) => {
            report.check("deny", || execute(&mut program(path, &["check", "bans", "licenses", "sources"])));
        }
        Err(e) => report.leave_out("deny", &format!("{e:#}")),
    }
}

/// All tests but those whose peers are missing.
fn tests(without: &[&str]) -> Result<Counts> {
    // tests over real sockets start this very program
    run_cargo(&["build", "--package", "grovemq"])?;
    let mut command = if succeeds(&mut cargo(&["nextest", "--version"])) {
        cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])
    };
    command.env("GROVEMQ_BIN", target().join("debug/grovemq")).env("GROVEMQ_PYTHON", peers::python());
    command.arg("--");
    for word in without {
        command.args(["--skip", word]);
    }
    counted(&mut command)
}

/// Runs tests and counts what their closing lines say. A failure that no closing line mentions is one, too.
fn counted(command: &mut Command) -> Result<Counts> {
    let mut counts = Counts::default();
    let good = watched(command, |line| counts.take_in(line))?;
    if !good && counts.failed == 0 {
        bail!("the tests do not build, or do not start");
    }
    Ok(counts)
}

fn run_cargo(args: &[&str]) -> Result<()> {
    execute(&mut cargo(args))
}
