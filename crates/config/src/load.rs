//! Reading the configuration files, and nothing else.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::build::Setting;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Place, Report, Severity};
use crate::limits::{INCLUDED_FILES_MAX, TEXT_BYTES_MAX};
use crate::parse::{Line, parse, read_text};

impl Config {
    /// Reads `path` and the files its `include_dir` lines name.
    ///
    /// Gives the configuration with warnings, or all errors: those of reading, then those of meaning.
    pub fn load(path: &Path) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let loader = Loader::of(path);
        Self::build(&loader.lines, loader.report)
    }

    /// Reads the same files to show and check what they amount to, even with errors.
    pub fn inspect(path: &Path) -> Inspection {
        let loader = Loader::of(path);
        let (config, settings, report) = Self::draft(&loader.lines, loader.report);
        Inspection { config, settings, findings: report.into_all() }
    }

    /// The configuration of a text in memory; `include_dir` lines have no effect. `file` is a name for messages.
    pub fn from_text(text: &str, file: &Path) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (lines, errors) = parse(text, file);
        let mut report = Report::default();
        report.extend(errors);
        Self::build(&lines, report)
    }
}

/// Everything about a configuration, be it right or wrong.
#[derive(Debug)]
pub struct Inspection {
    /// What it amounts to, as far as there are no errors.
    pub config: Config,
    /// The lines that were understood, in their order.
    pub settings: Vec<Setting>,
    /// All errors, then all else.
    pub findings: Vec<Diagnostic>,
}

struct Loader {
    lines: Vec<Line>,
    report: Report,
    bytes_left: usize,
    files: usize,
}

impl Loader {
    fn of(path: &Path) -> Self {
        let mut loader =
            Self { lines: Vec::new(), report: Report::default(), bytes_left: TEXT_BYTES_MAX, files: 0 };
        loader.load(path);
        loader
    }

    fn load(&mut self, path: &Path) {
        let mut main = Vec::new();
        self.read_file(path, None, &mut main);
        for line in main {
            let include = (line.name == "include_dir" && !line.value.is_empty())
                .then(|| (PathBuf::from(&line.value), Arc::new(line.place.clone())));
            self.lines.push(line);
            if let Some((dir, place)) = include {
                self.include(&dir, &place);
            }
        }
    }

    /// Reads the `*.conf` files of `dir` in the order of their names' bytes.
    fn include(&mut self, dir: &Path, place: &Arc<Place>) {
        let files = match conf_files(dir) {
            Ok(files) => files,
            Err(error) => {
                let message = format!("Unable to open include_dir '{}'.", dir.display());
                return self.error(place, message, Some(error.to_string()));
            }
        };
        for file in files {
            if self.report.is_overflown() {
                return;
            }
            if self.files == INCLUDED_FILES_MAX {
                return self.error(place, format!("More than {INCLUDED_FILES_MAX} included files."), None);
            }
            self.files += 1;
            let message = format!("Loading config file '{}'", file.display());
            self.report.push(Diagnostic::new(Severity::Information, None, message));
            let mut lines = std::mem::take(&mut self.lines);
            self.read_file(&file, Some(place), &mut lines);
            self.lines = lines;
        }
    }

    fn read_file(&mut self, path: &Path, included_at: Option<&Arc<Place>>, lines: &mut Vec<Line>) {
        let shown = path.display();
        let failure = match read_bounded(path, self.bytes_left) {
            Ok(Some(bytes)) => {
                self.bytes_left -= bytes.len().min(self.bytes_left);
                return read_text(&bytes, &Arc::from(path), included_at, lines, &mut self.report);
            }
            Ok(None) => {
                let mebibytes = TEXT_BYTES_MAX >> 20;
                (format!("Config file '{shown}' exceeds the {mebibytes} MiB of a configuration."), None)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                (format!("Config file '{shown}' is a directory."), None)
            }
            Err(error) => (format!("Unable to open config file '{shown}'."), Some(error.to_string())),
        };
        let (message, hint) = failure;
        let place = included_at.map(|place| (**place).clone());
        self.report.push(Diagnostic { hint, ..Diagnostic::error(place, message) });
    }

    fn error(&mut self, place: &Place, message: String, hint: Option<String>) {
        self.report.push(Diagnostic { hint, ..Diagnostic::error(Some(place.clone()), message) });
    }
}

/// The file's bytes, or nothing if there are more than `bytes_max`.
fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= bytes_max).then_some(bytes))
}

/// Entries of `dir` that end in `.conf`, sorted by bytes: capital letters come first.
fn conf_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.len() > ".conf".len() && bytes.ends_with(b".conf") {
            files.push(dir.join(name));
        }
    }
    files.sort_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}
