//! What the command line adds to the configuration file.

use std::path::PathBuf;

use crate::config::{Config, LogTypes};
use crate::diagnostic::{Diagnostic, Severity};
use crate::limits::COMMAND_LINE_PORTS_MAX;

/// Settings of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// `-p PORT`, as often as given.
    pub ports: Vec<u16>,
    /// `-v`: everything is logged, whatever the file says.
    pub verbose: bool,
    /// `-q`: nothing is logged, not even with `-v`.
    pub quiet: bool,
    /// `--tls-keylog FILE`: the secrets of TLS connections go there.
    pub tls_keylog: Option<PathBuf>,
}

impl Config {
    /// Lays the command line over the configuration; gives warnings.
    ///
    /// Ports count in the local-only mode alone: a file that names its listeners is obeyed.
    pub fn overlay(&mut self, overlay: &Overlay) -> Result<Vec<Diagnostic>, Diagnostic> {
        if overlay.ports.len() > COMMAND_LINE_PORTS_MAX {
            let message =
                format!("Only {COMMAND_LINE_PORTS_MAX} ports can be specified on the command line.");
            return Err(Diagnostic::error(None, message));
        }
        let mut warnings = Vec::new();
        if self.local_only && !overlay.ports.is_empty() {
            let model = self.listeners.first().cloned().unwrap_or_default();
            self.listeners = Self::local_listeners(&overlay.ports, &model);
        } else {
            let unknown = |port: &&u16| self.listeners.iter().all(|listener| listener.port != **port);
            warnings.extend(overlay.ports.iter().filter(unknown).map(|port| {
                let message = format!("-p {port} is ignored: the configuration file defines the listeners.");
                Diagnostic::new(Severity::Warning, None, message)
            }));
        }
        self.process.tls_keylog.clone_from(&overlay.tls_keylog);
        if overlay.quiet {
            self.log.types = LogTypes::NONE;
        } else if overlay.verbose {
            self.log.types = LogTypes::VERBOSE;
        }
        Ok(warnings)
    }
}

/// Reads the argument of `-p`.
pub fn port_argument(text: &str) -> Result<u16, Diagnostic> {
    text.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
        let number = text.parse::<i64>().unwrap_or(0);
        Diagnostic::error(None, format!("Invalid port specified ({number})."))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::from_text(text, Path::new("t")).unwrap().0
    }

    fn addresses(config: &Config) -> Vec<(u16, Option<&str>)> {
        config.listeners.iter().map(|listener| (listener.port, listener.host.as_deref())).collect()
    }

    #[test]
    fn ports_alone_are_local_and_anonymous() {
        let mut config = Config::default();
        let overlay = Overlay { ports: vec![1884, 1885], ..Overlay::default() };
        assert_eq!(config.overlay(&overlay), Ok(vec![]));
        let local = [Some("127.0.0.1"), Some("::1")];
        assert_eq!(
            addresses(&config),
            [(1884, local[0]), (1884, local[1]), (1885, local[0]), (1885, local[1])]
        );
        assert!(config.listeners.iter().all(|listener| listener.allow_anonymous && listener.local_only));
    }

    #[test]
    fn ports_keep_what_the_file_says_about_security() {
        let mut config = config("allow_anonymous false\npassword_file /p");
        config.overlay(&Overlay { ports: vec![1884], ..Overlay::default() }).unwrap();
        assert!(!config.listeners[0].allow_anonymous);
        assert_eq!(config.listeners[1].auth.password_file.as_deref(), Some(Path::new("/p")));
    }

    #[test]
    fn ports_beside_listeners_are_ignored() {
        let mut config = config("listener 1900");
        let warnings = config.overlay(&Overlay { ports: vec![1900, 1901], ..Overlay::default() }).unwrap();
        assert_eq!(addresses(&config), [(1900, None)]);
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["Warning: -p 1901 is ignored: the configuration file defines the listeners."]);
    }

    #[test]
    fn verbose_beats_the_file_and_quiet_beats_verbose() {
        let mut config = config("log_type error");
        config.overlay(&Overlay { verbose: true, ..Overlay::default() }).unwrap();
        assert_eq!(config.log.types, LogTypes::VERBOSE);
        config.overlay(&Overlay { verbose: true, quiet: true, ..Overlay::default() }).unwrap();
        assert_eq!(config.log.types, LogTypes::NONE);
    }

    #[test]
    fn too_many_ports() {
        let error = Config::default().overlay(&Overlay { ports: vec![1; 11], ..Overlay::default() });
        assert_eq!(
            error.unwrap_err().to_string(),
            "Error: Only 10 ports can be specified on the command line."
        );
    }

    #[test]
    fn port_arguments() {
        assert_eq!(port_argument("1883"), Ok(1883));
        for (text, number) in [("0", "0"), ("65536", "65536"), ("-1", "-1"), ("x", "0"), ("", "0")] {
            let error = port_argument(text).unwrap_err().to_string();
            assert_eq!(error, format!("Error: Invalid port specified ({number})."));
        }
    }
}
