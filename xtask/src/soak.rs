//! `cargo xtask soak`: the broker is killed under load, many times; or Debian's, to compare. `soak --things`: a thing whose
//! broker and board come and go.

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, execute, target};

/// The test that does it; it prints what became of every message.
const TEST: &str = "e01_what_is_acknowledged_survives_kills";

/// The test of a thing whose broker and board come and go.
const THINGS: &str = "soak::a_thing_heals_whatever_comes_and_goes";

/// Runs it. True if nothing was lost; Debian's broker is only counted.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    if let Some((&"--things", rest)) = args.split_first() {
        return things(rest);
    }
    let wanted = Wanted::read(args)?;
    let mut test = cargo(&["test", "--package", "grovemq-tests", "--test", "crash", "--"]);
    test.args(["--exact", TEST, "--nocapture"]).env("GROVEMQ_CYCLES", wanted.cycles.to_string());
    if wanted.debian {
        test.env("GROVEMQ_CRASH_BROKER", "mosquitto");
    } else {
        // a thousand starts, each of which reads the store: the debug build would take an hour
        execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
        test.env("GROVEMQ_BIN", target().join("release/grovemq"));
    }
    if let Some(seed) = wanted.seed {
        test.env("GROVEMQ_SEED", seed.to_string());
    }
    execute(&mut test)?;
    Ok(true)
}

/// Ten minutes, or as long as is wanted.
fn things(args: &[&str]) -> Result<bool> {
    let seconds: u64 = match args {
        [] => 600,
        ["--seconds", number] => number.parse().context("--seconds takes a number")?,
        _ => bail!("soak --things takes nothing but --seconds N"),
    };
    execute(&mut cargo(&["build", "--release", "--package", "grovemq"]))?;
    let mut test = cargo(&["test", "--package", "grovemq-tests", "--test", "lab", "--"]);
    test.args(["--exact", THINGS, "--nocapture"]).env("GROVEMQ_SOAK_SECONDS", seconds.to_string());
    execute(test.env("GROVEMQ_BIN", target().join("release/grovemq")))?;
    Ok(true)
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    cycles: u64,
    debian: bool,
    seed: Option<u64>,
}

impl Wanted {
    fn read(args: &[&str]) -> Result<Self> {
        let mut wanted = Self { cycles: 1000, debian: false, seed: None };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let value = args.next().copied().with_context(|| format!("{arg} takes a value"))?;
            let number = || value.parse().with_context(|| format!("{arg} takes a number, not `{value}`"));
            match (arg, value) {
                ("--cycles", _) => wanted.cycles = number()?,
                ("--seed", _) => wanted.seed = Some(number()?),
                ("--broker", "mosquitto") => wanted.debian = true,
                ("--broker", "grovemq") => wanted.debian = false,
                ("--broker", other) => bail!("--broker is grovemq or mosquitto, not `{other}`"),
                (other, _) => bail!("unknown option `{other}`"),
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_values() {
        let all = ["--cycles", "5", "--broker", "mosquitto", "--seed", "7"];
        assert_eq!(Wanted::read(&all).unwrap(), Wanted { cycles: 5, debian: true, seed: Some(7) });
        assert_eq!(Wanted::read(&[]).unwrap().cycles, 1000);
        assert!(run(&["--things", "--hours", "1"]).is_err());
        for bad in [&["--cycles"][..], &["--cycles", "x"], &["--broker", "other"], &["--fast", "1"]] {
            assert!(Wanted::read(bad).is_err(), "{bad:?}");
        }
    }
}
