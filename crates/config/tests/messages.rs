//! Every sentence a wrong configuration is answered with, in the original's words.

use std::path::Path;

use grovemq_config::limits::{ERRORS_MAX, LISTENERS_MAX, WARNINGS_MAX};
use grovemq_config::{Config, Severity};

/// The messages with their lines, each with its hint behind ` | `.
fn errors(text: &str) -> Vec<String> {
    let errors = match Config::from_text(text, Path::new("t")) {
        Ok((_, warnings)) => panic!("{text:?} is accepted with {warnings:?}"),
        Err(errors) => errors,
    };
    let line =
        |error: &grovemq_config::Diagnostic| error.line().map_or(String::new(), |line| format!("{line}: "));
    let hint = |error: &grovemq_config::Diagnostic| {
        error.hint.as_ref().map_or(String::new(), |hint| format!(" | {hint}"))
    };
    errors.iter().map(|error| format!("{}{}{}", line(error), error.message, hint(error))).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) =
        Config::from_text(text, Path::new("t")).unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"));
    warnings.iter().map(ToString::to_string).collect()
}

/// Texts with one mistake each, and what is said about it.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str)] = &[
    // The form of a line
    ("nonsense 1", "1: Unknown configuration variable 'nonsense'."),
    ("alow_anonymous true", "1: Unknown configuration variable 'alow_anonymous'. | Did you mean 'allow_anonymous'?"),
    ("\n\n # x", "3: Unknown configuration variable '#'. | A comment must begin in the first column."),
    ("user a\0b", "1: Malformed UTF-8 in configuration."),
    ("user a\tb", "1: Malformed UTF-8 in configuration. | The value holds a control character."),
    // Booleans
    ("allow_anonymous", "1: Empty 'allow_anonymous' value in configuration."),
    ("allow_anonymous  ", "1: Empty 'allow_anonymous' value in configuration."),
    ("allow_anonymous maybe", "1: Invalid 'allow_anonymous' value (maybe)."),
    ("allow_anonymous True", "1: Invalid 'allow_anonymous' value (True). | Did you mean 'true'?"),
    ("allow_anonymous = false", "1: Invalid 'allow_anonymous' value (=). | Name and value stand side by side, without '='."),
    ("retain_available off", "1: Invalid 'retain_available' value (off). | Did you mean 'false'?"),
    ("retained_persistence x", "1: Invalid 'retained_persistence' value (x)."),
    // Numbers
    ("max_packet_size", "1: Empty 'max_packet_size' value in configuration."),
    ("max_packet_size 12k", "1: 'max_packet_size' value not a number."),
    ("max_packet_size 2147483648", "1: 'max_packet_size' value out of range."),
    ("max_packet_size 19", "1: 'max_packet_size' must be >= 20."),
    ("max_inflight_messages 65536", "1: 'max_inflight_messages' must be <= 65535."),
    ("max_keepalive 65536", "1: Invalid 'max_keepalive' value (65536)."),
    ("max_keepalive -1", "1: Invalid 'max_keepalive' value (-1)."),
    ("sys_interval 65536", "1: Invalid 'sys_interval' value (65536)."),
    ("message_size_limit 268435456", "1: Invalid 'message_size_limit' value (268435456)."),
    ("memory_limit -1", "1: Invalid 'memory_limit' value (-1)."),
    ("log_facility 8", "1: Invalid 'log_facility' value (8)."),
    ("retain_expiry_interval 0", "1: retain_expiry_interval must be >= 1."),
    ("packet_buffer_size 65536", "1: Packet buffer size must be between 0 and 65535 inclusive."),
    ("websockets_headers_size x", "1: 'websockets_headers_size' value not a number."),
    ("maximum_qos 3", "1: 'max_qos' must be between 0 and 2 inclusive."),
    ("maximum_qos", "1: Empty 'max_qos' value in configuration."),
    ("listener 1\nmax_topic_alias 65536", "2: Invalid 'max_topic_alias' value in configuration."),
    ("listener 1\nmax_topic_alias_broker -1", "2: Invalid 'max_topic_alias_broker' value in configuration."),
    ("listener 1\nenable_proxy_protocol 3", "2: enable_proxy_protocol must be 1 or 2."),
    ("shards 1025", "1: Invalid 'shards' value (1025)."),
    // Texts
    ("pid_file", "1: Empty 'pid_file' value in configuration."),
    ("pid_file /a\npid_file /b", "2: Duplicate 'pid_file' value in configuration. | The first one is at t:1."),
    ("auto_id_prefix a\nauto_id_prefix a", "2: Duplicate 'auto_id_prefix' value in configuration. | The first one is at t:1."),
    ("bind_address ::1\nbind_address ::1", "2: Duplicate 'default listener bind_address' value in configuration. | The first one is at t:1."),
    ("include_dir", "1: Empty 'include_dir' value in configuration."),
    ("auto_id_prefix 123456789012345678901234567890123456789012345678901", "1: auto_id_prefix length must be <= 50."),
    ("listener 1\nlistener_auto_id_prefix 123456789012345678901234567890123456789012345678901", "2: 'listener_auto_id_prefix' length must be <= 50."),
    ("listener 1\nmount_point a/+", "2: Invalid 'mount_point' value (a/+). Does it contain a wildcard character?"),
    // Logging
    ("log_dest", "1: Empty 'log_dest' value in configuration."),
    ("log_dest syslg", "1: Invalid 'log_dest' value (syslg). | Did you mean 'syslog'?"),
    ("log_dest file", "1: Empty \"log_dest file\" value in configuration."),
    ("log_dest file /a\nlog_dest file /b", "2: Duplicate \"log_dest file\" value."),
    ("log_type eror", "1: Invalid 'log_type' value (eror). | Did you mean 'error'?"),
    ("log_type", "1: Empty 'log_type' value in configuration."),
    // Durations
    ("persistent_client_expiration", "1: Empty 'persistent_client_expiration' value in configuration."),
    // Listeners
    ("listener", "1: Empty 'listener port' value in configuration."),
    ("listener localhost", "1: 'listener port' value not a number."),
    ("listener 65536", "1: Invalid 'port' value (65536)."),
    ("listener -1", "1: Invalid 'port' value (-1)."),
    ("listener 0", "1: A listener with port 0 must provide a Unix socket path."),
    ("listener 5683\nprotocol coap\ncertfile x", "3: 'certfile' cannot be used with 'protocol coap'."),
    ("listener 5683\nwebsockets_origin x\nprotocol coap", "2: 'websockets_origin' cannot be used with 'protocol coap'."),
    ("listener 0 /s\nprotocol coap", "1: 'protocol coap' needs a port: it cannot be used with a Unix socket."),
    ("listener 0 # /path", "1: A listener with port 0 must provide a Unix socket path."),
    ("port 0", "1: Invalid 'port' value (0)."),
    ("port x", "1: 'port' value not a number."),
    ("socket_domain ipv5", "1: Invalid 'socket_domain' value 'ipv5' in configuration."),
    ("protocol mqttsn", "1: Invalid 'protocol' value (mqttsn). | Did you mean 'mqtt'?"),
    ("listener 1\naccept_protocol_versions", "2: Empty 'accept_protocol_versions' value in configuration."),
    ("listener 1\naccept_protocol_versions 3,6", "2: Invalid 'accept_protocol_versions' value (6). | 3 is MQTT 3.1, 4 is MQTT 3.1.1, 5 is MQTT 5."),
    // Lines in the wrong place
    ("listener_allow_anonymous true", "1: The 'listener_allow_anonymous' option requires a listener to be defined first."),
    ("max_topic_alias 5", "1: The 'max_topic_alias' option requires a listener to be defined first."),
    ("max_qos 1\naccept_protocol_versions 5", "2: The 'accept_protocol_versions' option requires a listener to be defined first."),
    ("per_listener_settings true\npassword_file /p", "2: The 'password_file' option requires a listener to be defined first."),
    ("acl_file /a\nper_listener_settings true", "2: per_listener_settings must be set before any other security settings."),
    ("address localhost", "1: The 'address' option requires a bridge to be defined first."),
    ("try_private false", "1: The 'try_private' option requires a bridge to be defined first."),
    ("plugin_opt_file x", "1: The 'plugin_opt_file' option requires plugin/global_plugin/plugin_load to be defined first."),
    ("auth_plugin_deny_special_chars true", "1: An auth_plugin_deny_special_chars option exists in the config file without a plugin."),
];

#[test]
fn one_error_for_each_mistake() {
    for (text, expected) in MISTAKES {
        assert_eq!(errors(text), [*expected], "{text:?}");
    }
}

#[test]
fn durations_out_of_range() {
    for value in ["1", "0d", "-1d", "d", "1.5d", "1 d", "2147483648s", "99999999999999999999y", "1D", "ü"] {
        let expected = "1: Invalid 'persistent_client_expiration' duration in configuration. | Write a number with its unit, as in '14d': s, h, d, w, m (30 days) or y.";
        assert_eq!(errors(&format!("persistent_client_expiration {value}")), [expected]);
    }
}

#[test]
fn mistakes_inside_a_bridge() {
    for (line, expected) in [
        ("address", "2: Empty address value in configuration."),
        ("address a:0", "2: Invalid bridge port value (0)."),
        ("address a b:99999", "2: Invalid bridge port value (99999)."),
        ("address a\naddress b", "3: Invalid bridge configuration, 'address' only allowed once."),
        ("topic", "2: Empty 'topic' value in configuration."),
        ("topic a up", "2: Invalid bridge topic direction 'up'."),
        ("topic a in 3", "2: Invalid bridge QoS level '3'."),
        ("topic \"a b in", "2: Missing closing quote in topic value (a b in)."),
        ("topic a in 0 l# r/", "2: Invalid bridge topic local prefix 'l#'."),
        ("topic a in 0 l/ r+", "2: Invalid bridge topic remote prefix 'r+'."),
        ("topic \"\" in 0 l", "2: Invalid bridge remapping."),
        ("topic # in 0 l", "2: Invalid bridge topic local prefix and pattern combination 'l#'."),
        ("topic +/a in 0 \"\" r", "2: Invalid bridge topic remote prefix and pattern combination 'r+/a'."),
        ("notification_topic a/#", "2: Invalid 'notification_topic' value (a/#)."),
        ("bridge_bind_address nowhere", "2: Invalid 'bridge_bind_address' value (nowhere)."),
        ("bridge_tcp_keepalive 1 2", "2: Empty 'bridge_tcp_keepalive_counter' value in configuration."),
        ("bridge_tcp_keepalive 1 0 1", "2: invalid TCP keepalive interval value."),
        ("bridge_tcp_user_timeout -1", "2: invalid TCP user timeout value."),
        ("bridge_max_topic_alias -1", "2: bridge_max_topic_alias must be > 0 and <= 65535."),
        (
            "bridge_protocol_version mqttv5",
            "2: Invalid 'bridge_protocol_version' value (mqttv5). | Did you mean 'mqttv50'?",
        ),
        ("keepalive_interval 65536", "2: Bridge keepalive value too high."),
        ("restart_timeout 10 5", "2: backoff cap is lower than the base in restart_timeout."),
        ("restart_timeout 1 5 -1", "2: stable connection period cannot be negative."),
        ("username", "2: Empty 'bridge remote_username' value in configuration."),
        ("connection b", "2: Duplicate bridge name 'b'."),
        ("start_type manual", "2: 'start_type manual' is not supported. | Use 'lazy' or 'once'."),
    ] {
        assert_eq!(errors(&format!("connection b\n{line}")), [expected]);
    }
    assert_eq!(errors("connection"), ["1: Empty 'connection' value in configuration."]);
}

#[test]
fn a_bridge_has_to_be_whole() {
    let whole = "connection b\naddress a\ntopic #\n";
    for (text, expected) in [
        ("connection b\ntopic #", "1: Invalid bridge configuration: no remote addresses defined."),
        ("connection b\naddress a", "1: Invalid bridge configuration: no topics defined."),
        (
            &*format!("{whole}local_clientid x\nconnection c\naddress a\ntopic #\nlocal_clientid x"),
            "5: Bridge local_clientid 'x' is not unique. Try changing or setting the local_clientid value for one of the bridges.",
        ),
        (
            &format!("{whole}bridge_cafile /c\nbridge_certfile /c"),
            "1: Both bridge_certfile and bridge_keyfile must be provided to use a certificate.",
        ),
        (
            &format!("{whole}bridge_keyfile /k\nbridge_certfile /c"),
            "1: bridge_certfile specified without bridge_cafile, bridge_capath or bridge_tls_use_os_certs.",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text}");
    }
    assert!(Config::from_text(&format!("{whole}{}", whole.replace(" b", " c")), Path::new("t")).is_ok());
}

#[test]
fn the_display_is_the_originals() {
    let errors = Config::from_text("\nalow_anonymous true", Path::new("/etc/m.conf")).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "Error: Unknown configuration variable 'alow_anonymous'.\nError found at /etc/m.conf:2.\nDid you mean 'allow_anonymous'?"
    );
}

#[test]
fn all_errors_are_given() {
    let text =
        "allow_anonymous x\nnonsense\nplugin /p\nlistener 1\nmax_topic_alias -1\npsk_hint h\nmax_qos 9";
    let lines: Vec<String> =
        errors(text).iter().map(|error| error.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["1", "2", "3", "5", "6", "7"]);
}

#[test]
fn a_wrong_listener_still_owns_the_lines_below_it() {
    assert_eq!(
        errors("listener 1883\nlistener x\nmax_qos 1\nmax_connections y"),
        ["2: 'listener port' value not a number.", "4: 'max_connections' value not a number."]
    );
}

#[test]
fn refused_words_are_named_and_their_harmless_forms_accepted() {
    assert_eq!(
        errors("listener 1\nprotocol http_api"),
        [
            "2: 'protocol http_api' is not supported. | The HTTP interface is not supported yet: remove this listener."
        ]
    );
    assert_eq!(
        warnings("listener 1\nprotocol mqtt\nrequire_certificate false\nuse_identity_as_username 0"),
        [""; 0]
    );
}

#[test]
fn warnings_and_notes() {
    for (text, expected) in [
        (
            "persistence true\nautosave_interval 60",
            "Warning: 'autosave_interval' has no effect: every change is saved at once. (t:2)",
        ),
        (
            "log_dest dlt",
            "Warning: 'log_dest dlt' has no effect: there is no DLT daemon; log lines go to standard error instead. (t:1)",
        ),
        ("dhparamfile /x", "Warning: 'dhparamfile' has no effect: it is no longer required. (t:1)"),
        ("acl_file /a\nacl_file /b", "Warning: This 'acl_file' replaces the one at t:1. (t:2)"),
        (
            "acl_file /a # b",
            "Warning: The value of 'acl_file' holds a '#': a comment needs a line of its own. (t:1)",
        ),
        ("port 1900", "The 'port' option is deprecated. Please use 'listener' instead. (t:1)"),
        (
            "message_size_limit 1",
            "Note: It is recommended to replace `message_size_limit` with `max_packet_size`. (t:1)",
        ),
        (
            "log_type error warning",
            "Warning: Only the first word of a 'log_type' line counts: write a line for each. (t:1)",
        ),
        (
            "max_qos 1",
            "Warning: Creating default listener due to 'max_qos' option. (t:1)\nIt is best practice to define a 'listener' first. Using the 'max_qos' option without a listener will be disabled in the future.",
        ),
    ] {
        assert_eq!(warnings(text), [expected], "{text:?}");
    }
    assert_eq!(
        warnings("max_qos 1\nlistener 1884").last().unwrap(),
        "Warning: Port 1883 is open on every address, because 'max_qos' stands above the first 'listener'. (t:1)"
    );
    assert_eq!(
        warnings(
            "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\nallow_anonymous true"
        )
        .len(),
        2
    );
    assert_eq!(
        warnings("port 1900\nport 1901").last().unwrap(),
        "Warning: This 'port' replaces the one at t:1. (t:2)"
    );
}

#[test]
fn counts_are_bounded() {
    assert_eq!(errors(&"nonsense\n".repeat(10_000)).len(), ERRORS_MAX + 1);
    assert_eq!(errors(&"nonsense\n".repeat(ERRORS_MAX)).len(), ERRORS_MAX);
    assert_eq!(warnings(&"acl_file /a\n".repeat(10_000)).len(), WARNINGS_MAX);
    let (config, _) = Config::from_text(&"listener 1\n".repeat(LISTENERS_MAX), Path::new("t")).unwrap();
    assert_eq!(config.listeners.len(), LISTENERS_MAX);
    assert_eq!(errors(&"listener 1\n".repeat(LISTENERS_MAX + 1)), ["257: More than 256 listeners."]);
}

#[test]
fn long_and_hostile_names_are_shown_short_and_clean() {
    let error = &errors(&format!("\u{1b}[31m{}", "x".repeat(60_000)))[0];
    assert!(error.len() < 300 && !error.contains('\u{1b}') && error.contains('…'), "{error}");
}

#[test]
fn severities_are_ordered() {
    assert!(Severity::Information < Severity::Notice && Severity::Notice < Severity::Warning);
    assert!(Severity::Warning < Severity::Error);
}
