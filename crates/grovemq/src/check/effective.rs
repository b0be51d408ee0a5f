//! The effective configuration, as a file that amounts to the same.

use grovemq_config::table::{OPTIONS, Opt, Scope, Support};
use grovemq_config::{Inspection, Listener, Owner, Setting};
use std::fmt::Write as _;

/// Lines of the files stand below the place they come from; defaults are comments.
pub(super) fn text(inspection: &Inspection) -> String {
    let mut text = String::from("# The broker\n");
    section(&mut text, inspection, Owner::Broker, |scope| matches!(scope, Scope::Global | Scope::Security));
    let owners: Vec<Owner> = inspection.settings.iter().map(|s| s.owner).collect();
    let mut next = 0;
    while let Some(listener) = inspection.config.listeners.get(next) {
        if inspection.config.local_only {
            let _infallible = writeln!(text, "\n# {} (no listener is configured)", summary(listener));
        } else {
            let _infallible = writeln!(text, "\n# {}", summary(listener));
            section(&mut text, inspection, Owner::Listener(next), |scope| {
                matches!(scope, Scope::Listener(_))
            });
        }
        next += 1;
    }
    let mut bridge = 0;
    while owners.contains(&Owner::Bridge(bridge)) {
        let _infallible = writeln!(text, "\n# Bridge {}", bridge + 1);
        section(&mut text, inspection, Owner::Bridge(bridge), |scope| scope == Scope::Bridge);
        bridge += 1;
    }
    text
}

fn section(text: &mut String, inspection: &Inspection, owner: Owner, in_scope: impl Fn(Scope) -> bool) {
    let own: Vec<&Setting> = inspection.settings.iter().filter(|s| s.owner == owner).collect();
    let opens = |s: &&&Setting| matches!(s.option.name, "listener" | "port" | "bind_address" | "connection");
    for setting in own.iter().filter(opens) {
        line(text, setting);
    }
    for option in OPTIONS {
        let given: Vec<&&Setting> =
            own.iter().filter(|s| s.option.name == option.name && !opens(s)).collect();
        for setting in &given {
            line(text, setting);
        }
        if given.is_empty() && in_scope(option.scope) && is_worth_telling(option) {
            let _infallible = writeln!(text, "# default: {} {}", option.name, option.default);
        }
    }
}

fn line(text: &mut String, setting: &Setting) {
    let value = if setting.option.secret { "********" } else { setting.value.as_str() };
    let commented = if setting.option.name == "include_dir" { "# " } else { "" };
    let _infallible = writeln!(text, "# {}\n{commented}{} {value}", setting.place, setting.name);
}

fn is_worth_telling(option: &Opt) -> bool {
    !option.default.is_empty() && option.support == Support::Supported
}

/// Where a listener listens and whom it lets in.
fn summary(listener: &Listener) -> String {
    let place = match (&listener.unix_path, &listener.host) {
        (Some(path), _) => format!("Unix socket {}", path.display()),
        (None, Some(host)) => format!("Port {} of {host}", listener.port),
        (None, None) => format!("Port {} of every address", listener.port),
    };
    let anonymous = if listener.allow_anonymous { "anonymous clients" } else { "no anonymous clients" };
    let users = match &listener.auth.password_file {
        Some(file) => format!("the users of {}", file.display()),
        None if listener.allow_anonymous => "any user name".into(),
        None => "no users".into(),
    };
    let rules = match &listener.auth.acl_file {
        Some(file) => format!("by the rules of {}", file.display()),
        None => "for everything".into(),
    };
    let tls = if listener.tls.is_on() { "TLS" } else { "no TLS" };
    format!("{place}: {tls}, {anonymous}, {users}, {rules}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_config::Config;
    use std::path::Path;

    fn write(name: &str, content: &str) -> std::path::PathBuf {
        let file = std::env::temp_dir().join(format!("grovemq-effective-{}-{name}.conf", std::process::id()));
        std::fs::write(&file, content).unwrap();
        file
    }

    fn inspect(file: &Path) -> Inspection {
        let inspection = Config::inspect(file);
        std::fs::remove_file(file).unwrap();
        inspection
    }

    #[test]
    fn it_is_a_file_that_amounts_to_the_same() {
        let given = "sys_interval 3\nlog_type error\nlog_type notice\nallow_anonymous true\nlistener 1 localhost\nmax_qos 1\nlistener 2\nmax_topic_alias 5\n";
        let first = inspect(&write("a", given));
        let printed = text(&first);
        let second = inspect(&write("b", &printed));
        let mut expected = first.config.clone();
        // only the places differ
        for (ours, theirs) in expected.listeners.iter_mut().zip(&second.config.listeners) {
            ours.place.clone_from(&theirs.place);
        }
        assert_eq!(second.config, expected, "{printed}");
        assert!(second.findings.iter().all(|f| f.severity < grovemq_config::Severity::Error), "{printed}");
        for line in
            ["# default: max_inflight_messages 20", "max_qos 1", "# default: max_qos 2", "sys_interval 3"]
        {
            assert!(printed.lines().any(|l| l == line), "{line}\n{printed}");
        }
        assert!(printed.contains("# Port 2 of every address: no TLS, anonymous clients"), "{printed}");
    }

    #[test]
    fn without_listeners_it_says_who_can_connect() {
        let printed = text(&inspect(&write("c", "persistence false\n")));
        assert!(printed.contains("# Port 1883 of 127.0.0.1: no TLS, anonymous clients"), "{printed}");
    }
}
