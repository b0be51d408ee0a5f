//! Files of options, one per line: `-option value`.

use super::{Action, Complaint, Tool, find};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A file above this is none of options.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The options to take before those of the command line: of the file that `-o` names, or else of the user's file for
/// this tool, if there is one.
pub(crate) fn options(tool: Tool, args: &[OsString]) -> Result<Vec<OsString>, Complaint> {
    if let Some(path) = named(tool, args)? {
        let path = Path::new(path);
        return match read(path) {
            Ok(text) => parse(tool, path, &text),
            Err(error) => Err(format!("Unable to read options from \"{}\": {error}.", path.display()).into()),
        };
    }
    let Some(path) = usual(tool) else { return Ok(Vec::new()) };
    match read(&path) {
        Ok(text) => parse(tool, &path, &text),
        // most people have none, and somebody else's is not ours to read
        Err(_) => Ok(Vec::new()),
    }
}

pub(super) fn missing() -> Complaint {
    Complaint::error("-o argument given but no options file specified.")
}

/// What `-o` names; what is wrong with the command line otherwise is found later.
fn named(tool: Tool, args: &[OsString]) -> Result<Option<&OsStr>, Complaint> {
    let mut rest = args.iter();
    while let Some(typed) = rest.next() {
        if tool.is_operand(typed) {
            continue;
        }
        let Some(flag) = typed.to_str().and_then(|typed| find(tool, typed)) else { break };
        match flag.action {
            Action::OptionsFile => return Ok(Some(rest.next().ok_or_else(missing)?)),
            Action::Value { .. } => {
                rest.next();
            }
            Action::Property => {
                let name = rest.nth(1);
                let values = if name.is_some_and(|name| name == "user-property") { 2 } else { 1 };
                rest.nth(values - 1);
            }
            _ => {}
        }
    }
    Ok(None)
}

fn usual(tool: Tool) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let dir = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(dir.join(tool.original()?))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// One option per line and the rest of the line as its value; those of `-D` are words.
fn parse(tool: Tool, path: &Path, text: &str) -> Result<Vec<OsString>, Complaint> {
    let mut args = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let line = line.trim_start_matches(' ');
        let (typed, value) = line.split_once(' ').map_or((line, None), |(typed, value)| (typed, Some(value)));
        if typed.is_empty() {
            continue;
        }
        let flag = find(tool, typed);
        if flag.is_some_and(|flag| matches!(flag.action, Action::OptionsFile)) {
            let place = format!("{}:{}", path.display(), number + 1);
            return Err(format!("{place}: -o cannot be used in a file of options.").into());
        }
        args.push(typed.into());
        match (flag.map(|flag| &flag.action), value) {
            (Some(Action::Property), Some(value)) => args.extend(value.split_whitespace().map(Into::into)),
            // a value is wanted, and none is here: the next line is not it
            (Some(Action::Value { missing, complains_as, .. }), None) => {
                return Err(format!("{complains_as} argument given but {missing} specified.").into());
            }
            (_, value) => args.extend(value.map(Into::into)),
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<OsString>, String> {
        parse(Tool::Pub, Path::new("f"), text).map_err(|complaint| complaint.0)
    }

    #[test]
    fn one_option_per_line() {
        let text = "# who\n-t a\n\n  -m two  words \r\n--retain\n-D publish user-property k v\n";
        let args = parsed(text).unwrap();
        assert_eq!(
            args,
            ["-t", "a", "-m", "two  words ", "--retain", "-D", "publish", "user-property", "k", "v"]
        );
        assert_eq!(parsed("-t").unwrap_err(), "Error: -t argument given but no topic specified.");
        assert_eq!(parsed("-n\n-o x").unwrap_err(), "Error: f:2: -o cannot be used in a file of options.");
    }

    #[test]
    fn the_file_is_found_on_the_command_line() {
        let named = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            named(Tool::Pub, &args).map(|path| path.map(OsStr::to_owned)).map_err(|complaint| complaint.0)
        };
        assert_eq!(named("-r -t a -o f").unwrap(), Some("f".into()));
        assert_eq!(named("-m -o -D publish user-property -o -o -o f").unwrap(), Some("f".into()));
        assert_eq!(named("-m -o").unwrap(), None);
        assert!(named("-o").is_err());
    }
}
