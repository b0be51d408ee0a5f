//! What ran, how long it took, what it said in the end, and what was left out.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The account of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
    left_out: Vec<String>,
    counts: Counts,
}

/// Tests and checks that passed and failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub passed: u64,
    pub failed: u64,
    /// Marked as ignored, or left out by name.
    pub skipped: u64,
}

#[derive(Debug)]
struct Section {
    name: String,
    took: Duration,
    good: bool,
}

impl Report {
    /// Runs one check, which counts as one.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        self.section(name, || check().map(|()| Counts { passed: 1, ..Counts::default() }));
    }

    /// Runs a section that counts for itself. An error counts as one failure.
    pub(crate) fn section(&mut self, name: &str, body: impl FnOnce() -> Result<Counts>) {
        println!("\n==== {name}");
        let start = Instant::now();
        let counts = body().unwrap_or_else(|e| {
            println!("{name}: {e:#}");
            Counts { failed: 1, ..Counts::default() }
        });
        let took = start.elapsed();
        let good = counts.failed == 0;
        println!("==== {name} {} in {:.1} s", verdict(good), took.as_secs_f64());
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        self.counts.skipped += counts.skipped;
        self.sections.push(Section { name: name.to_owned(), took, good });
    }

    /// Something that should have run cannot run here.
    pub(crate) fn leave_out(&mut self, what: &str, why: &str) {
        let line = format!("{what}: {why}");
        println!("LEFT OUT {line}");
        self.left_out.push(line);
    }

    /// Prints the account, the closing line last and alone, and says whether all is well.
    pub(crate) fn close(mut self) -> bool {
        println!("\n==== summary");
        for Section { name, took, good } in &self.sections {
            println!("{name:<12} {:<6} {:>7.1} s", verdict(*good), took.as_secs_f64());
        }
        let total: Duration = self.sections.iter().map(|section| section.took).sum();
        println!("{:<12} {:<6} {:>7.1} s", "together", "", total.as_secs_f64());
        if self.counts.skipped > 0 {
            self.left_out
                .push(format!("{} test(s), ignored or in need of what is named here", self.counts.skipped));
        }
        if !self.left_out.is_empty() {
            println!("\n**** LEFT OUT ****");
            for line in &self.left_out {
                println!("  {line}");
            }
        }
        println!("\n{} passed, {} failed", self.counts.passed, self.counts.failed);
        self.counts.failed == 0
    }
}

impl Counts {
    /// Takes in the closing line of a test program, `cargo test`'s or nextest's; other lines mean nothing.
    pub(crate) fn take_in(&mut self, line: &str) {
        // nextest repeats the output of failed tests, indented: only a line at the margin is the runner's own
        let numbers = if let Some(rest) = line.strip_prefix("test result:") {
            rest.split_once('.').map(|(_, numbers)| numbers)
        } else if line.trim_start().starts_with("Summary [") {
            line.split_once(" run:").map(|(_, numbers)| numbers)
        } else {
            None
        };
        for part in numbers.into_iter().flat_map(|numbers| numbers.split([',', ';'])) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next().and_then(|n| n.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" | "timed" | "exec" => self.failed += count,
                "skipped" | "ignored" | "filtered" => self.skipped += count,
                _ => {}
            }
        }
    }
}

fn verdict(good: bool) -> &'static str {
    if good { "ok" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_counted() {
        let mut counts = Counts::default();
        counts.take_in("test result: FAILED. 9 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.10s");
        assert_eq!(counts, Counts { passed: 9, failed: 1, skipped: 5 });
        counts.take_in(
            "     Summary [   0.123s] 12 tests run: 9 passed (2 slow), 2 failed, 1 timed out, 3 skipped",
        );
        assert_eq!(counts, Counts { passed: 18, failed: 4, skipped: 8 });
        counts.take_in("     Summary [   0.1s] 1 test run: 1 passed, 0 skipped");
        assert_eq!(counts.passed, 19);
        counts.take_in("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 16 filtered out");
        assert_eq!(counts.failed, 4);
        counts.take_in("test tests::five_passed ... ok, 7 passed");
        assert_eq!(counts.passed, 19);
    }

    #[test]
    fn an_error_is_a_failure_and_ends_nothing() {
        let mut report = Report::default();
        report.check("bad", || Err(anyhow::anyhow!("no")));
        report.check("good", || Ok(()));
        assert_eq!(report.counts, Counts { passed: 1, failed: 1, skipped: 0 });
        assert!(!report.close());
    }
}
