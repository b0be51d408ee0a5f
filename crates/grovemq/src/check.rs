//! `grovemq check FILE`, and `--test-config`: what is wrong with a configuration, without starting anything.
//!
//! Reads the configuration and the files it names; opens no port and no stored state.

mod effective;
mod files;
mod show;

use crate::Call;
use crate::exit::Exit;
use grovemq_config::{Config, Diagnostic, Inspection, Severity};
use std::path::Path;

pub(crate) fn run(call: &Call) -> Exit {
    let (mut file, mut effective) = (None, false);
    for arg in &call.args {
        match arg.to_str() {
            Some("-h" | "--help") => return crate::print(&help(&call.program)),
            Some("--effective") => effective = true,
            Some(option) if option.starts_with('-') && option.len() > 1 => {
                crate::complain(&format!("Error: Unknown option '{option}'."));
                crate::complain(&format!("\n{}", help(&call.program)));
                return Exit::USAGE;
            }
            _ if file.is_some() => {
                crate::complain("Error: Only one file can be checked at a time.");
                return Exit::USAGE;
            }
            _ => file = Some(Path::new(arg)),
        }
    }
    let Some(file) = file else {
        crate::complain(&format!("Error: Which file?\n\n{}", help(&call.program)));
        return Exit::USAGE;
    };
    check(file, effective)
}

pub(crate) fn help(program: &str) -> String {
    format!(
        "Usage: {program} [--effective] FILE\n\n\
         Checks a configuration of the broker, with the password, ACL and certificate files it names.\n\
         Opens no port and no stored state.\n\n \
         --effective   print what the configuration amounts to, defaults included, to standard output\n\n\
         Exit codes: 0 where the broker would start, 3 where it would not.\n"
    )
}

/// Tells all findings on standard error.
pub(crate) fn check(file: &Path, effective: bool) -> Exit {
    let inspection = Config::inspect(file);
    let mut findings = inspection.findings.clone();
    findings.extend(files::examine(&inspection));
    findings.sort_by_key(|f| f.place.as_ref().map(|p| (p.file.clone(), p.line)));
    let mut sources = show::Sources::default();
    for finding in &findings {
        crate::complain(&sources.show(finding));
    }
    if effective {
        crate::print(&effective::text(&inspection));
    }
    conclude(&inspection, &findings)
}

fn conclude(inspection: &Inspection, findings: &[Diagnostic]) -> Exit {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let warnings = match warnings {
        0 => String::new(),
        1 => " There is one warning.".into(),
        n => format!(" There are {n} warnings."),
    };
    if errors > 0 {
        let errors = if errors == 1 { "an error".into() } else { format!("{errors} errors") };
        crate::complain(&format!("Configuration file has {errors}.{warnings}"));
        return Exit::INVALID;
    }
    if inspection.config.local_only {
        crate::complain("No listener is configured: only clients on this machine can connect.");
    }
    crate::complain(&format!("Configuration file is OK.{warnings}"));
    Exit::OK
}
