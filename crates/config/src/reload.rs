//! What changes between two configurations: which doors stay open, who may stay behind them, what has to wait for a restart.

use std::collections::BTreeMap;

use crate::build::Setting;
use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::listener::{Listener, Protocol};
use crate::table::{Opt, Support};

impl Listener {
    /// Both are served by the same socket.
    pub fn listens_like(&self, other: &Self) -> bool {
        let is_udp = |l: &Self| l.protocol == Protocol::Coap;
        (self.port, &self.host, &self.unix_path, self.local_only, self.socket_domain, &self.bind_interface)
            == (
                other.port,
                &other.host,
                &other.unix_path,
                other.local_only,
                other.socket_domain,
                &other.bind_interface,
            )
            && is_udp(self) == is_udp(other)
    }

    /// Both let clients in on the same terms, so that who came in by the one may stay under the other. Certificates,
    /// ciphers and origins count for new connections only.
    pub fn admits_like(&self, other: &Self) -> bool {
        let terms = |l: &Self| {
            let tls = &l.tls;
            (
                (l.protocol, l.proxy, l.proxy_require_tls, l.use_username_as_clientid),
                (tls.is_on(), tls.require_certificate),
                (tls.use_identity_as_username, tls.use_subject_as_username),
            )
        };
        terms(self) == terms(other) && self.mount_point == other.mount_point
    }
}

/// One finding for each directive that a reload cannot take over and that says something else than before.
pub fn needs_restart(before: &[Setting], after: &[Setting]) -> Vec<Diagnostic> {
    let (before, after) = (lasting(before), lasting(after));
    let mut findings = Vec::new();
    for (name, new) in &after {
        let old = before.get(name).map_or(new.option.default, |s| &s.value);
        if old != new.value {
            findings.push(finding(name, &new.place));
        }
    }
    for (name, old) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        if old.value != old.option.default {
            let gone = Diagnostic::new(
                Severity::Warning,
                Some(old.place.clone()),
                format!("Without '{name}' takes effect after a restart."),
            );
            findings.push(gone);
        }
    }
    findings
}

fn finding(name: &str, place: &Place) -> Diagnostic {
    Diagnostic::new(Severity::Warning, Some(place.clone()), format!("'{name}' takes effect after a restart."))
}

/// The last line of each directive that only a start obeys.
fn lasting(settings: &[Setting]) -> BTreeMap<&'static str, &Setting> {
    let fixed = |o: &Opt| !o.reload && o.support == Support::Supported;
    settings.iter().filter(|s| fixed(s.option)).map(|s| (s.option.name, s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::diagnostic::Report;
    use crate::parse::parse;
    use std::path::Path;

    fn settings(text: &str) -> Vec<Setting> {
        let (lines, errors) = parse(text, Path::new("f"));
        assert!(errors.is_empty(), "{errors:?}");
        Config::draft(&lines, Report::default()).1
    }

    fn findings(before: &str, after: &str) -> Vec<String> {
        needs_restart(&settings(before), &settings(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_line_for_each_directive_that_waits() {
        let before = "user a\nshards 2\nsys_interval 1\n";
        assert_eq!(findings(before, before), [""; 0]);
        assert_eq!(
            findings(before, "\npid_file /p\nuser b\nsys_interval 2\nmax_queued_messages 1\n"),
            [
                "Warning: 'pid_file' takes effect after a restart. (f:2)",
                "Warning: 'user' takes effect after a restart. (f:3)",
                "Warning: Without 'shards' takes effect after a restart. (f:2)",
            ]
        );
        assert_eq!(findings("user a\n", "user b\nuser a\n"), [""; 0], "the last line counts");
        assert_eq!(findings("", "user mosquitto\nshards 0\n"), [""; 0], "the default says nothing new");
    }

    #[test]
    fn doors_and_terms() {
        let config = |text: &str| Config::from_text(text, Path::new("f")).unwrap().0.listeners.remove(0);
        let plain = config("listener 1884\n");
        for (text, same_door, same_terms) in [
            ("listener 1884\nmax_connections 7\nmax_qos 1\n", true, true),
            ("listener 1885\n", false, true),
            ("listener 1884 127.0.0.1\n", false, true),
            ("listener 1884\nsocket_domain ipv4\n", false, true),
            ("listener 1884\nmount_point a/\n", true, false),
            ("listener 1884\nprotocol websockets\n", true, false),
            ("listener 1884\ncertfile c\nkeyfile k\n", true, false),
            ("listener 1884\nallow_anonymous true\n", true, true),
        ] {
            let other = config(text);
            assert_eq!(plain.listens_like(&other), same_door, "{text}");
            assert_eq!(plain.admits_like(&other), same_terms, "{text}");
        }
    }
}
