//! What a thing tells the person who watches it.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

/// Takes lines, one per call, without a line end.
#[derive(Clone)]
pub struct Log {
    verbose: bool,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Log {
    /// Lines go to `write`; with `verbose` those of every reading and message too.
    pub fn new(verbose: bool, write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { verbose, write: Arc::new(write) }
    }

    /// Lines go to the standard error output.
    pub fn stderr(verbose: bool) -> Self {
        Self::new(verbose, |line| {
            // Nobody reads it any more: nothing to be done.
            drop(writeln!(std::io::stderr().lock(), "{line}"));
        })
    }

    /// A line that is always told.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        (self.write)(&line.to_string());
    }

    /// A line for those who want to know everything.
    pub(crate) fn detail(&self, line: impl fmt::Display) {
        if self.verbose {
            self.say(line);
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("verbose", &self.verbose).finish_non_exhaustive()
    }
}
