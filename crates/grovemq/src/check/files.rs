//! What listeners let in, and the files they name.

use grovemq_auth::acl::{Acl, Rule};
use grovemq_auth::password::PasswordFile;
use grovemq_config::{Config, Diagnostic, Inspection, Listener, Place, Setting, Severity};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Everything that `Config::inspect` cannot see, because it opens no other files.
pub(super) fn examine(inspection: &Inspection) -> Vec<Diagnostic> {
    let mut exam = Exam { inspection, findings: Vec::new() };
    let passwords = exam.read_passwords();
    exam.read_rules(&passwords);
    exam.read_certificates();
    for listener in &inspection.config.listeners {
        exam.check_listener(listener);
    }
    exam.check_secrets();
    exam.findings
}

struct Exam<'a> {
    inspection: &'a Inspection,
    findings: Vec<Diagnostic>,
}

impl<'a> Exam<'a> {
    fn read_passwords(&mut self) -> BTreeMap<&'a Path, PasswordFile> {
        let mut read = BTreeMap::new();
        for path in distinct(&self.inspection.config, |l| l.auth.password_file.as_deref()) {
            if !self.can_read(path, "password_file") {
                continue;
            }
            match PasswordFile::load(path) {
                Ok(file) => drop(read.insert(path, file)),
                Err(errors) => {
                    for e in errors {
                        let place = u32::try_from(e.line).ok().filter(|line| *line > 0);
                        let place =
                            place.map_or_else(|| self.named_at(path), |line| Some(Place::new(path, line)));
                        self.push(Severity::Error, place, e.to_string());
                    }
                }
            }
        }
        read
    }

    fn read_rules(&mut self, passwords: &BTreeMap<&Path, PasswordFile>) {
        for path in distinct(&self.inspection.config, |l| l.auth.acl_file.as_deref()) {
            if !self.can_read(path, "acl_file") {
                continue;
            }
            let at = |line: usize| u32::try_from(line).ok().filter(|n| *n > 0).map(|n| Place::new(path, n));
            match Acl::load(path) {
                Ok((acl, warnings)) => {
                    for w in warnings {
                        self.push(Severity::Warning, at(w.line), w.to_string());
                    }
                    self.check_rules(path, &acl, passwords);
                }
                Err(errors) => {
                    for e in errors {
                        let place = at(e.line).or_else(|| self.named_at(path));
                        self.push(Severity::Error, place, e.to_string());
                    }
                }
            }
        }
    }

    /// Rules and users that have no effect.
    fn check_rules(&mut self, path: &Path, acl: &Acl, passwords: &BTreeMap<&Path, PasswordFile>) {
        let place = |line: usize| Some(Place::new(path, u32::try_from(line).unwrap_or(u32::MAX)));
        for dead in acl.dead_rules() {
            let message = format!("The rule `{}` has no effect.", dead.rule.text());
            let because = dead.because;
            let hint = format!("`{}` in line {} decides all that it could.", because.text(), because.line());
            self.findings
                .push(Diagnostic::new(Severity::Warning, place(dead.rule.line()), message).hint(hint));
        }
        let all = &self.inspection.config.listeners;
        let listeners: Vec<&Listener> =
            all.iter().filter(|l| l.auth.acl_file.as_deref() == Some(path)).collect();
        if !listeners.iter().any(|l| l.allow_anonymous)
            && let Some(line) = acl.anonymous_rules().map(Rule::line).min()
        {
            let message =
                "Rules above the first 'user' are for anonymous clients only, and these are not let in.";
            let hint = "For everybody, write 'pattern' instead of 'topic'.";
            self.findings.push(Diagnostic::new(Severity::Warning, place(line), message).hint(hint));
        }
        // names may come from certificates as well
        let certified = |l: &Listener| l.tls.use_identity_as_username || l.tls.use_subject_as_username;
        if listeners.iter().any(|l| l.auth.password_file.is_none() || certified(l)) {
            return;
        }
        let files = listeners.iter().filter_map(|l| l.auth.password_file.as_deref());
        let Some(files) = files.map(|file| passwords.get(file)).collect::<Option<Vec<_>>>() else { return };
        let mut users: Vec<&str> = acl.users().collect();
        users.sort_unstable();
        for user in users {
            if !files.iter().any(|file| file.contains(user)) {
                let line = acl.rules_of(user).map(Rule::line).min();
                let message =
                    format!("The rules of user '{user}' have no effect: no password file has that user.");
                self.push(Severity::Warning, line.and_then(place), message);
            }
        }
        if !acl.has_patterns() {
            let known = files.iter().flat_map(|file| file.entries().map(|(name, _)| name));
            for user in known.collect::<BTreeSet<_>>() {
                if acl.rules_of(user).next().is_none() {
                    let message = format!(
                        "User '{user}' may neither read nor write: {} has no rule for him.",
                        path.display()
                    );
                    self.push(Severity::Warning, self.named_at(path), message);
                }
            }
        }
    }

    fn read_certificates(&mut self) {
        let mut readable = true;
        for listener in &self.inspection.config.listeners {
            let tls = &listener.tls;
            for file in [&tls.certfile, &tls.keyfile, &tls.cafile, &tls.crlfile].into_iter().flatten() {
                readable &= self.can_read(file, "certificate or key");
            }
        }
        if !readable {
            return;
        }
        let (severity, texts) = match grovemq_broker::check_certificates(&self.inspection.config) {
            Ok(warnings) => (Severity::Warning, warnings),
            Err(errors) => (Severity::Error, errors),
        };
        for text in texts {
            self.push(severity, None, text);
        }
    }

    fn check_listener(&mut self, listener: &Listener) {
        let auth = &listener.auth;
        let certified = listener.tls.use_identity_as_username || listener.tls.use_subject_as_username;
        let name = match &listener.unix_path {
            Some(path) => format!("the socket {}", path.display()),
            None => format!("port {}", listener.port),
        };
        let named = auth.password_file.is_some() || listener.tls.psk_hint.is_some() || certified;
        if !listener.allow_anonymous && !named {
            let message = format!(
                "Nobody can connect to {name}: anonymous clients are refused, and there is no password file."
            );
            let hint = "Add 'password_file FILE', or 'allow_anonymous true'.";
            self.findings
                .push(Diagnostic::new(Severity::Warning, listener.place.clone(), message).hint(hint));
        }
        let everywhere =
            listener.host.is_none() && listener.unix_path.is_none() && listener.bind_interface.is_none();
        if listener.allow_anonymous
            && everywhere
            && !listener.local_only
            && auth.acl_file.is_none()
            && !listener.tls.require_certificate
        {
            let message = format!(
                "Everybody who reaches {name} on any address of this machine can read and write everything."
            );
            let hint = format!(
                "To let in programs of this machine only, write 'listener {} 127.0.0.1'.",
                listener.port
            );
            self.findings
                .push(Diagnostic::new(Severity::Warning, listener.place.clone(), message).hint(hint));
        }
        let same = |other: &&Listener| {
            other.port == listener.port
                && other.unix_path == listener.unix_path
                && other.place != listener.place
                && (other.host == listener.host || other.host.is_none() || listener.host.is_none())
        };
        let earlier = self.inspection.config.listeners.iter().take_while(|l| l.place != listener.place);
        if let Some(other) = earlier.filter(|l| l.unix_path.is_some() || l.port != 0).find(same) {
            let at = other.place.as_ref().map(|p| format!(" at {p}")).unwrap_or_default();
            self.push(
                Severity::Warning,
                listener.place.clone(),
                format!("Two listeners open {name}; the other is{at}."),
            );
        }
    }

    /// Files with secrets that everybody on this machine can read.
    fn check_secrets(&mut self) {
        let config = &self.inspection.config;
        let mut secret = distinct(config, |l| l.auth.password_file.as_deref());
        secret.extend(distinct(config, |l| l.auth.psk_file.as_deref()));
        secret.extend(distinct(config, |l| l.tls.keyfile.as_deref()));
        for path in secret {
            self.check_mode(path, self.named_at(path), "It should belong to the broker's user alone");
        }
        let mut seen = BTreeSet::new();
        for setting in self.inspection.settings.iter().filter(|s| s.option.secret) {
            if seen.insert(setting.place.file.clone()) {
                let why = format!(
                    "It holds the secret '{}'; it should belong to the broker's user alone",
                    setting.name
                );
                self.check_mode(&setting.place.file, Some(setting.place.clone()), &why);
            }
        }
    }

    fn check_mode(&mut self, path: &Path, place: Option<Place>, why: &str) {
        let Ok(metadata) = fs::metadata(path) else { return };
        if metadata.is_file() && metadata.permissions().mode() & 0o004 != 0 {
            let message = format!("Everybody on this machine can read {}.", path.display());
            let hint = format!("{why}: chmod o= {}", path.display());
            self.findings.push(Diagnostic::new(Severity::Warning, place, message).hint(hint));
        }
    }

    /// `false` for what only the broker's user may read: that is no fault of the configuration.
    fn can_read(&mut self, path: &Path, what: &str) -> bool {
        match fs::File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("The {what} {} cannot be checked by this user: {e}.", path.display());
                self.push(Severity::Warning, self.named_at(path), message);
                false
            }
            _ => true,
        }
    }

    /// The line that names the file.
    fn named_at(&self, path: &Path) -> Option<Place> {
        let names = |setting: &&Setting| Path::new(&setting.value) == path;
        self.inspection.settings.iter().find(names).map(|setting| setting.place.clone())
    }

    fn push(&mut self, severity: Severity, place: Option<Place>, message: impl Into<String>) {
        let message: String = message.into();
        let message = message.strip_prefix("Error: ").unwrap_or(&message);
        self.findings.push(Diagnostic::new(severity, place, message));
    }
}

fn distinct<'a>(config: &'a Config, file: impl Fn(&'a Listener) -> Option<&'a Path>) -> BTreeSet<&'a Path> {
    config.listeners.iter().filter_map(file).collect()
}
