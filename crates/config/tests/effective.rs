//! What a configuration amounts to.

use std::path::Path;
use std::time::Duration;

use grovemq_config::{Config, Listener, LogDest, LogType, LogTypes, SocketDomain, Versions};

fn config(text: &str) -> Config {
    Config::from_text(text, Path::new("t")).unwrap_or_else(|errors| panic!("{text:?}: {errors:?}")).0
}

fn listeners(text: &str) -> Vec<Listener> {
    config(text).listeners
}

#[test]
fn nothing_is_the_local_only_mode() {
    let config = config("# nothing\n");
    assert_eq!(config, Config::default());
    let addresses: Vec<_> = config.listeners.iter().map(|l| (l.host.as_deref().unwrap(), l.port)).collect();
    assert_eq!(addresses, [("127.0.0.1", 1883), ("::1", 1883)]);
    assert!(config.local_only && config.listeners.iter().all(|l| l.local_only && l.allow_anonymous));
}

#[test]
fn a_listener_ends_the_local_only_mode_and_anonymous_access() {
    for text in ["listener 1884", "port 1884", "bind_address 0.0.0.0"] {
        let config = config(text);
        assert!(!config.local_only, "{text}");
        assert_eq!(config.listeners.len(), 1);
        assert!(!config.listeners[0].local_only && !config.listeners[0].allow_anonymous, "{text}");
    }
}

#[test]
fn listener_addresses() {
    let listeners = listeners(
        "listener 0x75b\nlistener 1884 localhost ignored\nlistener 1885 # note\nlistener 0 /run/m.sock",
    );
    let seen: Vec<_> =
        listeners.iter().map(|l| (l.port, l.host.as_deref(), l.unix_path.as_deref())).collect();
    assert_eq!(
        seen,
        [
            (1883, None, None),
            (1884, Some("localhost"), None),
            (1885, None, None),
            (0, None, Some(Path::new("/run/m.sock"))),
        ]
    );
    assert_eq!(listeners[1].place.as_ref().unwrap().to_string(), "t:2");
}

#[test]
fn port_and_bind_address_are_one_listener() {
    let listeners = listeners(
        "port 1900\nbind_address ::1\nmax_connections 3\nlistener 1901\nbind_interface_is_not_here 0"
            .split("\nbind_interface")
            .next()
            .unwrap(),
    );
    assert_eq!(
        (listeners[0].port, listeners[0].host.as_deref(), listeners[0].max_connections),
        (1900, Some("::1"), Some(3))
    );
    assert_eq!((listeners[1].port, listeners[1].max_connections), (1901, None));
}

#[test]
fn options_bind_to_the_listener_above_them() {
    let listeners = listeners(
        "listener 1\nmax_qos 1\nsocket_domain ipv6\nlistener 2\nmax_qos 0\naccept_protocol_versions 4, 5\nmax_topic_alias 7\nmax_topic_alias_broker 0\nuse_username_as_clientid true",
    );
    assert_eq!((listeners[0].max_qos, listeners[0].socket_domain), (1, SocketDomain::Ipv6));
    assert_eq!((listeners[1].max_qos, listeners[1].socket_domain), (0, SocketDomain::Any));
    assert_eq!(listeners[0].versions, Versions::default());
    assert_eq!(listeners[1].versions, Versions { v31: false, v311: true, v5: true });
    assert_eq!((listeners[0].max_topic_alias, listeners[0].max_topic_alias_broker), (10, 10));
    assert_eq!((listeners[1].max_topic_alias, listeners[1].max_topic_alias_broker), (7, 0));
    assert!(!listeners[0].use_username_as_clientid && listeners[1].use_username_as_clientid);
}

#[test]
fn an_option_above_the_first_listener_opens_port_1883() {
    let listeners = listeners("max_qos 1\nlistener 1884\nmax_qos 0");
    let seen: Vec<_> = listeners.iter().map(|l| (l.port, l.max_qos)).collect();
    assert_eq!(seen, [(1883, 1), (1884, 0)]);
}

#[test]
fn an_option_without_any_listener_stays_local() {
    let config = config("max_qos 1");
    assert!(config.local_only && config.listeners.iter().all(|l| l.local_only && l.max_qos == 1));
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn security_is_shared_wherever_it_stands() {
    let listeners = listeners("listener 1\nlistener 2\nacl_file /a\npassword_file /p\nallow_anonymous true");
    for listener in listeners {
        assert!(listener.allow_anonymous);
        assert_eq!(listener.auth.acl_file.as_deref(), Some(Path::new("/a")));
        assert_eq!(listener.auth.password_file.as_deref(), Some(Path::new("/p")));
    }
}

#[test]
fn with_per_listener_settings_security_is_of_one_listener() {
    let listeners = listeners(
        "per_listener_settings true\nlistener 1\nacl_file /a\nallow_anonymous true\nallow_zero_length_clientid false\nlistener 2\nauto_id_prefix x\npassword_file /p",
    );
    assert_eq!(listeners[0].auth.acl_file.as_deref(), Some(Path::new("/a")));
    assert!(listeners[0].allow_anonymous && !listeners[0].auth.allow_zero_length_clientid);
    assert_eq!(listeners[0].auth.auto_id_prefix, "auto-");
    assert_eq!(listeners[1].auth.acl_file, None);
    assert!(!listeners[1].allow_anonymous && listeners[1].auth.allow_zero_length_clientid);
    assert_eq!(listeners[1].auth.auto_id_prefix, "x");
}

#[test]
fn per_listener_settings_stay_on() {
    let config = config(
        "per_listener_settings true\nper_listener_settings false\nlistener 1\nacl_file /a\nlistener 2",
    );
    assert!(config.per_listener_settings && config.listeners[1].auth.acl_file.is_none());
}

#[test]
fn the_listeners_own_word_beats_the_brokers() {
    let listeners = listeners(
        "allow_anonymous true\nauto_id_prefix all\nlistener 1\nlistener_allow_anonymous false\nlistener_auto_id_prefix one\nlistener 2",
    );
    assert_eq!((listeners[0].allow_anonymous, listeners[0].auth.auto_id_prefix.as_str()), (false, "one"));
    assert_eq!((listeners[1].allow_anonymous, listeners[1].auth.auto_id_prefix.as_str()), (true, "all"));
}

#[test]
fn the_local_only_mode_obeys_security() {
    let config = config("allow_anonymous false\npassword_file /p");
    assert!(
        config.local_only
            && config.listeners.iter().all(|l| !l.allow_anonymous && l.auth.password_file.is_some())
    );
}

#[test]
fn booleans() {
    for (word, expected) in
        [("true", true), ("1", true), ("false", false), ("0", false), ("true # note", true)]
    {
        assert_eq!(
            config(&format!("queue_qos0_messages {word}")).delivery.queue_qos0_messages,
            expected,
            "{word}"
        );
    }
    assert!(!config("enable_control_api true\nenable_control_api false").enable_control_api);
}

#[test]
fn numbers_that_mean_no_limit() {
    let limits =
        config("max_inflight_messages 0\nmax_queued_messages -1\nglobal_max_clients 0\nmax_keepalive 0")
            .limits;
    assert_eq!((limits.max_inflight_messages, limits.max_queued_messages), (None, None));
    assert_eq!((limits.global_max_clients, limits.max_keepalive), (None, None));
    assert_eq!(config("max_inflight_messages 65535").limits.max_inflight_messages, None);
    assert_eq!(config("max_inflight_messages 65534").limits.max_inflight_messages, Some(65534));
    assert_eq!(config("sys_interval 0").sys_interval, None);
    assert_eq!(listeners("listener 1\nmax_connections 0")[0].max_connections, None);
    assert_eq!(config("shards 0").shards, None);
    assert_eq!(config("shards 3").shards, Some(3));
}

#[test]
fn durations_with_units() {
    const DAY: u64 = 86_400;
    for (value, seconds) in [
        ("90s", 90),
        ("2h", 7200),
        ("1d", DAY),
        ("3w", 21 * DAY),
        ("2m", 60 * DAY),
        ("1y", 365 * DAY),
        ("2147483647y", 2_147_483_647 * 365 * DAY),
    ] {
        let limits = config(&format!("persistent_client_expiration {value}")).limits;
        assert_eq!(limits.persistent_client_expiration, Some(Duration::from_secs(seconds)), "{value}");
    }
}

#[test]
fn logging() {
    let log = config("log_dest stdout\nlog_dest file /var/log/m m.log\nlog_dest stdout\nlog_type error\nlog_type debug\nlog_timestamp_format %Y").log;
    assert_eq!(log.dest, [LogDest::Stdout, LogDest::File("/var/log/m m.log".into())]);
    assert_eq!(log.types, LogTypes::NONE.with(LogType::Error).with(LogType::Debug));
    assert!(log.types.contains(LogType::Debug) && !log.types.contains(LogType::Notice));
    assert_eq!(log.timestamp_format.as_deref(), Some("%Y"));
    assert_eq!(config("log_dest topic\nlog_dest none").log.dest, []);
    assert_eq!(config("log_dest none\nlog_dest topic").log.dest, [LogDest::Topic]);
    assert_eq!(config("log_dest syslog").log.dest, [LogDest::Syslog]);
    assert_eq!(config("log_type error\nlog_type none").log.types, LogTypes::NONE);
    assert!(!config("log_type all").log.types.contains(LogType::Internal));
}

#[test]
fn the_configuration_debian_ships() {
    let text = "# Place your local configuration in /etc/mosquitto/conf.d/\n\npid_file /run/mosquitto/mosquitto.pid\n\npersistence true\npersistence_location /var/lib/mosquitto/\n\nlog_dest file /var/log/mosquitto/mosquitto.log\n\ninclude_dir /etc/mosquitto/conf.d\n";
    let config = config(text);
    assert!(config.local_only && config.persistence.on);
    assert_eq!(config.process.pid_file.as_deref(), Some(Path::new("/run/mosquitto/mosquitto.pid")));
    assert_eq!(config.persistence.location.as_deref(), Some(Path::new("/var/lib/mosquitto/")));
}

#[test]
fn a_bridge_with_everything() {
    let text = "connection b\naddresses one:1884 [::1]:2 three\ntopic # both 2 in/ out/\ntopic \"a b\" IN 1\ntopic \"\" out 0 x y # remark\ntopic c\ntopic c out 0\n\
        cleansession true\nrestart_timeout 2 9 60\nbridge_protocol_version mqttv50\nkeepalive_interval 1\nclientid r\nbridge_tcp_keepalive 1 2 3";
    let (config, remarks) = Config::from_text(text, Path::new("t")).unwrap();
    let [bridge] = &*config.bridges else { panic!("{:?}", config.bridges) };
    let addresses: Vec<_> = bridge.addresses.iter().map(|a| (a.host.as_str(), a.port)).collect();
    assert_eq!(addresses, [("one", 1884), ("::1", 2), ("three", 1883)]);
    let topics: Vec<_> = bridge
        .topics
        .iter()
        .map(|t| (t.local_filter(), t.remote_filter(), t.is_in(), t.is_out(), t.qos as u8))
        .collect();
    let topic =
        |local: &str, remote: &str, inn, out, qos| (local.to_owned(), remote.to_owned(), inn, out, qos);
    assert_eq!(
        topics,
        [
            topic("in/#", "out/#", true, true, 2),
            topic("a b", "a b", true, false, 1),
            topic("x", "y", false, true, 0),
            topic("c", "c", false, true, 0)
        ]
    );
    assert!(bridge.cleansession && bridge.local_cleansession);
    assert_eq!(bridge.keepalive_interval.as_secs(), 5);
    assert_eq!(bridge.restart.cap.map(|cap| cap.as_secs()), Some(9));
    assert_eq!((bridge.remote_client_id("h"), bridge.local_client_id("h")), ("r".into(), "local.r".into()));
    let remarks: Vec<_> = remarks.iter().map(|remark| remark.message.as_str()).collect();
    assert_eq!(
        remarks,
        ["Duplicate bridge topic 'c', skipping.", "keepalive interval too low, using 5 seconds."]
    );
}

#[test]
fn local_cleansession_is_its_own_wherever_it_stands() {
    let bridge = "connection b\naddress a\ntopic #\n";
    for (lines, expected) in [
        ("", (false, false)),
        ("cleansession true", (true, true)),
        ("cleansession true\nlocal_cleansession false", (true, false)),
        ("local_cleansession false\ncleansession true", (true, false)),
        ("local_cleansession true", (false, true)),
    ] {
        let (config, _) = Config::from_text(&format!("{bridge}{lines}"), Path::new("t")).unwrap();
        let bridge = &config.bridges[0];
        assert_eq!((bridge.cleansession, bridge.local_cleansession), expected, "{lines}");
    }
}
