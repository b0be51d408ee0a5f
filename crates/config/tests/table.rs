//! The table of directives against the original's list, and against itself.
#![expect(clippy::unwrap_used, reason = "a test may panic; the helpers are tests, too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use grovemq_config::table::{Kind, OPTIONS, Opt, Scope, Support, find};
use grovemq_config::{Config, Diagnostic};

/// Directives that are ours alone.
const OWN: &[&str] = &[
    "busy_poll",
    "log_format",
    "login_delay",
    "max_connection_rate",
    "max_publish_bytes_rate",
    "max_publish_rate",
    "max_retained_bytes",
    "max_retained_messages",
    "max_subscriptions_per_client",
    "persistence_commit_delay",
    "persistence_mode",
    "persistence_size_limit",
    "queue_policy",
    "shards",
];

fn read(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    Config::from_text(text, Path::new("t"))
}

#[test]
fn every_directive_of_the_original_is_in_the_table_and_no_other() {
    let theirs: BTreeSet<&str> = include_str!("directives.txt").lines().collect();
    let ours: BTreeSet<&str> =
        OPTIONS.iter().flat_map(Opt::names).filter(|name| !OWN.contains(name)).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn names_are_unique_and_found() {
    let mut seen = BTreeMap::new();
    for option in OPTIONS {
        for name in option.names() {
            assert_eq!(seen.insert(name, option.name), None, "{name}");
            let example = name.replace('*', "something");
            assert_eq!(find(&example).map(|found| found.name), Some(option.name), "{name}");
        }
    }
    for name in ["", "Listener", "plugin_op", "portx", "bridge"] {
        assert!(find(name).is_none(), "{name}");
    }
}

#[test]
fn texts_are_sentences() {
    for option in OPTIONS {
        let mut texts = vec![option.help];
        match option.support {
            Support::Supported => {}
            Support::NoEffect(text) | Support::Refused(text) => texts.push(text),
        }
        texts.extend(option.deprecated.filter(|text| !text.is_empty()));
        assert!(texts.iter().all(|text| text.len() > 10 && text.ends_with('.')), "{texts:?}");
    }
}

/// A value of the right form for each directive.
fn example(name: &str, kind: &Kind) -> String {
    match (name, kind) {
        ("listener" | "port", _) => "1900".to_owned(),
        ("accept_protocol_versions", _) => "3,4".to_owned(),
        ("persistent_client_expiration", _) => "2d".to_owned(),
        ("memory_limit" | "max_retained_bytes", _) => "5000000000".to_owned(),
        ("restart_timeout", _) => "5 40".to_owned(),
        ("bridge_tcp_keepalive", _) => "1 2 3".to_owned(),
        ("bridge_bind_address", _) => "127.0.0.1".to_owned(),
        ("topic", _) => "# both 1 in/ out/".to_owned(),
        ("socket_domain", _) => "ipv4".to_owned(),
        ("log_dest", _) => "topic".to_owned(),
        ("log_type", _) => "debug".to_owned(),
        ("per_listener_settings", _) | (_, Kind::Anything) => "true".to_owned(),
        (name, Kind::Bool) => if find(name).unwrap().default == "true" { "false" } else { "true" }.to_owned(),
        (_, Kind::Int { min, max }) => 25.clamp(*min, *max).to_string(),
        (name, Kind::Choice(words)) => {
            words.iter().find(|word| **word != find(name).unwrap().default).unwrap().to_string()
        }
        (_, Kind::Text | Kind::Words(_)) => "value".to_owned(),
    }
}

/// What must stand above a line of the directive.
fn context(scope: Scope) -> &'static str {
    match scope {
        Scope::Listener(_) => "listener 1883\n",
        Scope::Bridge => "connection bridge\naddress host\ntopic #\n",
        Scope::Plugin => "plugin /plugin.so\n",
        Scope::Global | Scope::Security => "",
    }
}

#[test]
fn every_supported_directive_changes_the_configuration() {
    for option in OPTIONS.iter().filter(|option| option.support == Support::Supported) {
        let value = match option.name {
            // the files do; and half a TLS listener is an error
            "include_dir" | "certfile" | "keyfile" | "bridge_certfile" | "bridge_keyfile" => continue,
            // a whole bridge
            "connection" => "b\naddress host\ntopic #".to_owned(),
            "max_qos" | "login_delay" => "1".to_owned(),
            "allow_anonymous" => "false".to_owned(), // the local-only mode allows it
            name => example(name, &option.kind()),
        };
        let tls = if matches!(option.name, "cafile" | "capath") { "certfile /c\nkeyfile /k\n" } else { "" };
        let above = match option.name {
            "address" => "connection b\ntopic #\n".to_owned(),
            _ => format!("{}{tls}", context(option.scope)),
        };
        let before = read(&above).map_or_else(|_| Config::default(), |(before, _)| before);
        for name in option.names() {
            let (after, _) = read(&format!("{above}{name} {value}")).unwrap();
            assert_ne!(before, after, "{name} {value}");
        }
    }
}

#[test]
fn every_refused_directive_is_an_error_with_advice() {
    for option in OPTIONS {
        let Support::Refused(advice) = option.support else { continue };
        let text =
            format!("{}{} {}", context(option.scope), option.name, example(option.name, &option.kind()));
        let errors = read(&text.replace('*', "something")).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert_eq!(errors[0].hint.as_deref(), Some(advice), "{text}");
    }
}

#[test]
fn every_directive_without_effect_is_warned_about_once() {
    for option in OPTIONS {
        let Support::NoEffect(reason) = option.support else { continue };
        let line = format!("{} {}\n", option.name, example(option.name, &option.kind()));
        let line = if line.starts_with("persistence_") { line } else { line.repeat(2) };
        let (_, warnings) = read(&line).unwrap();
        let count = warnings.iter().filter(|warning| warning.message.ends_with(reason)).count();
        assert_eq!(count, 1, "{line}");
    }
}

#[test]
fn defaults_of_the_table_are_those_of_the_configuration() {
    for option in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
        // Named, the default user must exist; in the local-only mode anonymous clients are allowed.
        if matches!(option.name, "user" | "allow_anonymous" | "tls_version") {
            continue;
        }
        let above = context(option.scope);
        if option.scope == Scope::Plugin {
            continue;
        }
        let (before, _) = read(above).unwrap();
        let (after, warnings) =
            read(&format!("{above}{} {}", option.name, option.default)).unwrap_or_else(|errors| {
                panic!("{}: {errors:?}", option.name);
            });
        assert_eq!(before, after, "{}", option.name);
        if option.deprecated.is_none() && option.name != "message_size_limit" {
            assert_eq!(warnings, [], "{}", option.name);
        }
    }
}
