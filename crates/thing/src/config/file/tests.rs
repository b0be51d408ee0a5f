//! Whole files: what they mean, and where their mistakes are shown.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::schema::{self, Kinds};
use crate::config::{Analog, Combine, Filter, Input, Output, Payload, Threshold};

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
        ("[broker]\nport = 70000", "thing.toml:2:8: port must be 1 to 65535"),
        ("[broker]\nport = '1883'", "thing.toml:2:8: port has to be an integer, not string"),
        ("broker = 1", "thing.toml:1:10: broker has to be a table, such as [broker]"),
        ("sensor = {}", "thing.toml:1:10: sensor has to be tables, each below [[sensor]]"),
        (
            "[[sensor]]\nkind = 'clock'\nname = 'c'\nfoo = 1",
            "thing.toml:4:1: unknown field `foo`, expected one of `kind`, `name`, `topic`",
        ),
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
            "thing.toml:7:9: unknown board `grovepi`; it is \"auto\", \"simulated\", the path of an I2C bus such as \
             \"/dev/i2c-1\", or \"unix:\" and the path of the socket of `grovemq board`",
            "thing.toml:10:8: `b` needs a pin",
            "thing.toml:13:8: the name `b` is taken already, in line 10",
            "thing.toml:14:7: D3 has no analog input; A0, A1 and A2 have",
            "thing.toml:15:13: dead_band must be below 1023",
            "thing.toml:18:8: a name is 1 to 64 letters, digits, `_`, `-` or `.`",
            "thing.toml:19:15: interval_ms must be 10 to 86400000",
            "thing.toml:20:1: a sensor or actuator of the kind `clock` has no `dead_band`",
            "thing.toml:24:1: a sensor or actuator of the kind `clock` has no `pin`",
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

#[test]
fn what_is_no_toml_and_what_means_nothing_is_told_together() {
    let lines =
        problems("[broker]\nport = = 1\nhots = 'x'\n[[sensor]]\nkind = 'clock'\nname = 'c'\nqos = 3\n");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("thing.toml:2:"), "{lines:?}");
    assert!(lines[1].starts_with("thing.toml:3:1: unknown field `hots`"), "{lines:?}");
    assert_eq!(lines[2], "thing.toml:7:7: qos is 0, 1 or 2");
}

#[test]
fn the_fields_of_a_sensor_are_understood() {
    let text = "[[sensor]]\nkind = 'light'\nname = 'l'\npin = 'A1'\nmedian = 5\nscale = 0.1\noffset = -4\n\
                dead_band = 0.5\nunit = 'lx'\nevery_s = 60\non_change = false\npayload = 'json'\nretain = true\n\
                [[sensor]]\nkind = 'dht11'\nname = 't'\npin = 'D7'\n\
                [[sensor]]\nkind = 'dht11'\nname = 'h'\npin = 'D7'\nmeasure = 'humidity'\n";
    let config = Config::parse(text, "t").unwrap();
    let light = &config.sensors[0];
    assert!(matches!(light.input, Input::Analog { sense: Analog::Light, .. }));
    let tuning = light.tuning;
    assert_eq!((tuning.filter, tuning.decimals), (Filter::Median(5), 2));
    assert_eq!(format!("{} {} {}", tuning.scale, tuning.offset, tuning.dead_band), "0.1 -4 0.5");
    assert_eq!((light.unit.as_deref(), light.every), (Some("lx"), Some(Duration::from_secs(60))));
    assert_eq!((light.on_change, light.payload, light.retain), (false, Payload::Json, true));
    assert_eq!(config.sensors[2].unit.as_deref(), Some("%"));
}

#[test]
fn the_fields_of_an_actuator_are_understood() {
    let text = "[[actuator]]\nkind = 'buzzer'\nname = 'b'\npin = 'D2'\nabove = 30\nhysteresis = 0.5\n\
                combine = 'maximum'\nsafe = 'False'\nsafe_when_offline = true\ntimeout_s = 9\ninvert = true\n\
                [[actuator]]\nkind = 'four_digit'\nname = 'd'\npin = 'D5'\nbrightness = 2\n";
    let config = Config::parse(text, "t").unwrap();
    let [buzzer, display] = &config.actuators[..] else { panic!("{config:?}") };
    assert_eq!(buzzer.rule.threshold, Some(Threshold::Above { on: 30.0, off: 29.5 }));
    assert_eq!((buzzer.rule.combine, buzzer.rule.invert), (Combine::Maximum, true));
    assert_eq!((buzzer.safe_when_offline, buzzer.timeout), (true, Some(Duration::from_secs(9))));
    assert!(matches!(display.output, Output::FourDigit { brightness: 2, .. }));
}

#[test]
fn the_way_to_the_broker_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "iotlab\nmore\n").unwrap();
    let text = format!(
        "[broker]\nusername = 'u'\npassword_file = '{}'\nwebsocket = '/mqtt'\n[broker.tls]\nca_file = 'ca.pem'\n",
        secret.display()
    );
    let broker = Config::parse(&text, "t").unwrap().broker;
    assert_eq!((broker.port, broker.password), (8883, Some(Secret("iotlab".to_owned()))));
    assert_eq!(broker.websocket.as_deref(), Some("/mqtt"));
    assert_eq!(broker.tls.unwrap().ca_file, Some("ca.pem".into()));
    assert_eq!(
        problems("[broker]\nusername='u'\npassword_file='/nonexistent'\n[broker.tls]\nkey='k'\n"),
        [
            "thing.toml:3:15: /nonexistent: No such file or directory (os error 2)",
            "thing.toml:4:1: certificate and key belong together",
        ]
    );
}

#[test]
fn mistakes_between_fields_are_told() {
    for (text, expected) in [
        (
            "[[sensor]]\nkind='light'\nname='l'\npin='A0'\nmedian=3\naverage=3",
            "6:9: median and average exclude each other",
        ),
        ("[[sensor]]\nkind='light'\nname='l'\npin='A0'\nscale=0", "5:7: scale must not be 0"),
        (
            "[[actuator]]\nkind='led'\nname='l'\npin='D2'\nabove=1\nbelow=0",
            "6:7: above and below exclude each other",
        ),
        (
            "[[actuator]]\nkind='led'\nname='l'\npin='D2'\nhysteresis=1",
            "5:12: hysteresis is a number from 0 on, beside above or below",
        ),
        ("[[actuator]]\nkind='led_bar'\nname='l'\npin='D8'", "4:5: D8 takes no display; D2 to D7 do"),
        (
            "[[actuator]]\nkind='led_bar'\nname='l'\npin='D2'\n[[sensor]]\nkind='button'\nname='b'\npin='D3'",
            "4:5: D3 is taken already, by `b`",
        ),
        (
            "[[sensor]]\nkind='dht11'\nname='a'\npin='D2'\n[[sensor]]\nkind='dht22'\nname='b'\npin='D2'",
            "8:5: D2 is taken already, by `a`",
        ),
        (
            "[[actuator]]\nkind='led_bar'\nname='l'\npin='D2'\nfrom=[1,1]",
            "5:6: from takes two different numbers, such as [0, 1023]",
        ),
        ("[[sensor]]\nkind='command'\nname='c'\ncommand=[]", "4:9: command takes 1 to 64 words"),
        ("[[sensor]]\nkind='gpio'\nname='g'", "1:1: missing field `line`"),
    ] {
        assert_eq!(problems(text), [format!("thing.toml:{expected}")], "{text}");
    }
}

/// Every field of the reference is taken, and no other.
#[test]
fn the_reference_and_the_reader_agree() {
    for (section, kinds) in [("sensor", &schema::SENSORS), ("actuator", &schema::ACTUATORS)] {
        for kind in kinds.kinds {
            let analog = ["potentiometer", "angle", "light", "sound", "moisture", "analog", "temperature"];
            let pin = if analog.contains(&kind.name) { "A0" } else { "D5" };
            let lines = problems(&format!(
                "[[{section}]]\nkind = '{}'\nname = 'x'\npin = '{pin}'\nline = 1\ncommand = ['x']\nno_such_field = 1",
                kind.name
            ));
            let line = lines.iter().find(|line| line.contains("`no_such_field`")).unwrap();
            let mut read: Vec<_> = line.split('`').skip(3).step_by(2).collect();
            let mut documented = documented(kinds, kind);
            read.sort_unstable();
            documented.sort_unstable();
            assert_eq!(read, documented, "{}", kind.name);
        }
    }
}

fn documented(kinds: &Kinds, kind: &schema::Kind) -> Vec<&'static str> {
    let groups = kind.groups.iter().flat_map(|group| group.iter());
    kinds.common.iter().chain(kind.fields).chain(groups).map(|field| field.name).collect()
}

#[test]
fn the_reference_is_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/thing.toml.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == schema::schema(), "renew docs/thing.toml.md: grovemq thing schema > docs/thing.toml.md");
}

#[test]
fn the_weather_station_is_valid_and_has_weather() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/thing");
    let load = |name: &str| Config::load(format!("{folder}/{name}").as_ref());
    let station = load("weather-station.toml").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((station.sensors.len(), station.actuators.len()), (4, 3));
    let weather = crate::script::Script::load(format!("{folder}/weather.toml").as_ref());
    let board = grovemq_grovepi::simulated::SimulatedBoard::default();
    weather.unwrap_or_else(|error| panic!("{error}")).apply(&board, 45.0);
    assert_eq!(board.climate(grovemq_grovepi::Pin::D7).unwrap().0.to_string(), "33.0 °C");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[\\[\\]a-z_='\"{}\n0-9ä. ]{0,80}") {
        drop(Config::parse(&text, "thing.toml"));
    }
}
