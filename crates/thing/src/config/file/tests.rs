//! Whole files: what they mean, and where their mistakes are shown.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn problems(text: &str) -> Vec<String> {
    let error = Config::parse(text, "thing.toml").unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn an_empty_file_is_the_default_thing() {
    assert_eq!(Config::parse("", "thing.toml"), Ok(Config::default()));
    assert_eq!(Config::parse("# only a remark\n[broker]\n", "thing.toml"), Ok(Config::default()));
}

#[test]
fn the_default_thing_can_be_written_out() {
    let text = r#"
        [broker]
        host = "127.0.0.1"
        port = 1883
        keep_alive_s = 60
        protocol = "auto"
        [thing]
        board = "auto"
        availability = "{ip}/availability"
        [[sensor]]
        kind = "button"
        name = "button0"
        pin = "D3"
        topic = "{ip}/sensors/{name}"
        interval_ms = 150
        qos = 0
        retain = false
        [[sensor]]
        kind = "potentiometer"
        name = "potentiometer0"
        pin = "a0"
        interval_ms = 400
        dead_band = 2
        [[sensor]]
        kind = "clock"
        name = "clock0"
        topic = "{ip}/stuff/{name}"
        interval_ms = 2000
        [[actuator]]
        kind = "led"
        name = "led0"
        pin = "D4"
        subscribe = ["{ip}/sensors/button0"]
        [[actuator]]
        kind = "dimmed_led"
        name = "led1"
        pin = "D5"
        subscribe = ["{ip}/sensors/potentiometer0"]
    "#;
    let written = Config::parse(text, "thing.toml").unwrap();
    let mut default = Config::default();
    // The same topics, written in another way.
    for (sensor, group) in default.sensors.iter_mut().zip(["sensors", "sensors", "stuff"]) {
        if sensor.name != "potentiometer0" {
            sensor.topic = Template::parse(&format!("{{ip}}/{group}/{{name}}")).unwrap();
        }
    }
    assert_eq!(written, default);
}

#[test]
fn everything_can_be_said() {
    let text = r#"
        [broker]
        host = "172.16.32.5"
        port = 8883
        username = "user1"
        password = "iotlab"
        client_id = "porch-{mac}"
        keep_alive_s = 30
        protocol = "3.1.1"
        [thing]
        interface = "wlan0"
        address = "127.0.0.2"
        board = "/dev/i2c-0"
        [[actuator]]
        kind = "led"
        name = "led0"
        pin = "D8"
        subscribe = ["{ip}/sensors/button0", "+/alarm"]
        qos = 2
    "#;
    let config = Config::parse(text, "thing.toml").unwrap();
    assert_eq!(config.broker.host, "172.16.32.5");
    assert_eq!(config.broker.port, 8883);
    assert_eq!(config.broker.version, Some(Version::V311));
    assert_eq!(config.broker.keep_alive, Duration::from_secs(30));
    assert_eq!(config.interface.as_deref(), Some("wlan0"));
    assert_eq!(config.address, Some("127.0.0.2".parse().unwrap()));
    assert_eq!(config.board, BoardSetting::I2c("/dev/i2c-0".into()));
    assert!(config.sensors.is_empty());
    assert_eq!(config.actuators[0].subscribe.len(), 2);
    assert_eq!(config.actuators[0].qos, Qos::ExactlyOnce);
    assert!(!format!("{config:?}").contains("iotlab"));
}

#[test]
fn mistakes_of_form_are_shown_where_they_are() {
    for (text, expected) in [
        ("[broker]\nhots = 'x'", "thing.toml:2:1: unknown field `hots`, expected one of `host`, `port`"),
        ("[brokr]", "thing.toml:1:2: unknown field `brokr`, expected one of `broker`"),
        (
            "[[sensor]]\nkind = 'buton'\nname = 'b'",
            "thing.toml:2:8: unknown variant `buton`, expected one of `button`",
        ),
        ("[[sensor]]\nkind = 'clock'\nname = 'c'\nqos = 3", "thing.toml:4:7: qos is 0, 1 or 2"),
        (
            "[[sensor]]\nkind = 'button'\nname = 'b'\npin = 'D9'",
            "thing.toml:4:7: not a port of the board; the ports are D2",
        ),
        (
            "[[sensor]]\nkind = 'clock'\nname = 'c'\ntopic = '{id}'",
            "thing.toml:4:9: unknown placeholder `{id}`",
        ),
        ("[broker]\nport = 70000", "thing.toml:2:8: invalid value: integer `70000`, expected u16"),
        ("[thing]\naddress = '127.0.0'", "thing.toml:2:11: invalid IP address syntax"),
        ("[[sensor]]\nname = 'c'", "thing.toml:1:1: missing field `kind`"),
        ("[broker\n", "thing.toml:1:8: "),
    ] {
        let lines = problems(text);
        assert!(lines[0].starts_with(expected), "{text}\n{lines:?}");
    }
}

#[test]
fn mistakes_of_meaning_are_all_told_at_once() {
    let text = "\
[broker]
host = ''
port = 0
password = 'x'
keep_alive_s = 1
[thing]
board = 'grovepi'
[[sensor]]
kind = 'button'
name = 'b'
[[sensor]]
kind = 'potentiometer'
name = 'b'
pin = 'D3'
dead_band = 1023
[[sensor]]
kind = 'clock'
name = 'ä/b'
interval_ms = 1
dead_band = 2
[[sensor]]
kind = 'clock'
name = 'c'
pin = 'D2'
[[actuator]]
kind = 'led'
name = 'l'
pin = 'D3'
subscribe = []
[[actuator]]
kind = 'dimmed_led'
name = 'm'
pin = 'D4'
";
    assert_eq!(
        problems(text),
        [
            "thing.toml:2:8: host must not be empty",
            "thing.toml:3:8: port must be 1 to 65535",
            "thing.toml:4:12: a password needs a username beside it",
            "thing.toml:5:16: keep_alive_s must be 5 to 65535",
            "thing.toml:7:9: unknown board `grovepi`; it is \"auto\", \"simulated\" or the path of an I2C bus such as \
             \"/dev/i2c-1\"",
            "thing.toml:10:8: `b` needs a pin",
            "thing.toml:13:8: the name `b` is taken already, in line 10",
            "thing.toml:14:7: D3 has no analog input; A0, A1 and A2 have",
            "thing.toml:15:13: dead_band must be below 1023",
            "thing.toml:18:8: a name is 1 to 64 letters, digits, `_`, `-` or `.`",
            "thing.toml:19:15: interval_ms must be 10 to 86400000",
            "thing.toml:20:13: only a potentiometer has a dead_band",
            "thing.toml:24:7: a clock is on no pin",
            "thing.toml:28:7: D3 is taken already, by `b`",
            "thing.toml:29:13: subscribe takes 1 to 32 topics",
            "thing.toml:33:7: D4 cannot be dimmed; D3, D5 and D6 can",
        ]
    );
}

#[test]
fn columns_count_characters() {
    assert_eq!(position("ä = 1\nöü = 2", 11), (2, 3));
    assert_eq!(position("a", 99), (1, 2));
}

#[test]
fn too_many_resources_are_refused() {
    let clocks: Vec<_> =
        (0..=RESOURCES_MAX).map(|n| format!("[[sensor]]\nkind='clock'\nname='c{n}'")).collect();
    assert_eq!(problems(&clocks.join("\n")), ["thing.toml:1:1: more than 64 sensors and actuators"]);
}

#[test]
fn an_unreadable_file_is_named() {
    let error = Config::load("/nonexistent/thing.toml".as_ref()).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/thing.toml: No such file"), "{error}");
    assert_eq!(error.problems()[0].position, None);
}

#[test]
fn the_examples_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lab");
    for scenario in ["scenario-1", "scenario-2"] {
        for thing in ["thing-1.toml", "thing-2.toml"] {
            let path = format!("{folder}/{scenario}/{thing}");
            let config = Config::load(path.as_ref()).unwrap_or_else(|error| panic!("{error}"));
            assert!(config.address.is_some_and(|ip| ip.is_loopback()), "{path}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[\\[\\]a-z_='\"{}\n0-9ä. ]{0,80}") {
        drop(Config::parse(&text, "thing.toml"));
    }
}
