//! All tables, kinds and fields of the file, for people.

use std::fmt::Write as _;

/// A field of a table.
pub(super) struct Field {
    pub(super) name: &'static str,
    /// What it takes, by an example.
    takes: &'static str,
    /// What it is when it is not given; empty if it has to be.
    default: &'static str,
    about: &'static str,
}

/// What a `[[sensor]]` or an `[[actuator]]` can be.
pub(super) struct Kind {
    pub(super) name: &'static str,
    about: &'static str,
    /// Its own fields.
    pub(super) fields: &'static [Field],
    /// Which of the fields for some it has.
    pub(super) groups: &'static [&'static [Field]],
}

/// All that a `[[sensor]]` or an `[[actuator]]` can be.
pub(super) struct Kinds {
    pub(super) common: &'static [Field],
    pub(super) kinds: &'static [Kind],
}

const fn field(name: &'static str, takes: &'static str, default: &'static str, about: &'static str) -> Field {
    Field { name, takes, default, about }
}

#[rustfmt::skip]
const BROKER: &[Field] = &[
    field("host", r#""172.16.32.5""#, r#""127.0.0.1""#, "Name or address of the broker."),
    field("port", "1883", "1883, with `[broker.tls]` 8883", "Its port."),
    field("username", r#""user1""#, "none", "Who the thing is to the broker."),
    field("password", r#""secret""#, "none", "Its password."),
    field("password_file", r#""/etc/grovemq/secret""#, "none", "A file with the password in its first line, instead."),
    field("client_id", r#""desk-{hostname}""#, r#""thing-{hostname}-{interface}", with an `address` "thing-{hostname}-{ip}""#, "Has to differ from everybody else's."),
    field("bind_address", "\"192.0.2.7\"", "what the system takes", "The address of this machine to come from."),
    field("keep_alive_s", "60", "60", "Longest silence, 5 to 65535 s."),
    field("protocol", r#""auto", "5", "3.1.1""#, r#""auto""#, "auto begins with 5 and falls back."),
    field("websocket", r#""/mqtt""#, "none", "Speak MQTT inside of WebSocket, at this path."),
];
#[rustfmt::skip]
const TLS: &[Field] = &[
    field("ca_file", r#""ca.pem""#, "what the system trusts", "Whom to trust."),
    field("certificate", r#""thing.pem""#, "none", "The thing's own certificate."),
    field("key", r#""thing.key""#, "none", "Its key."),
    field("server_name", r#""broker.example""#, "the host", "The name in the broker's certificate."),
    field("any_name", "true", "false", "Take any name in it."),
];
#[rustfmt::skip]
const THING: &[Field] = &[
    field("interface", r#""eth0""#, "eth0, or the first that leads out", "Whose address is `{ip}`."),
    field("address", r#""127.0.0.2""#, "that of the interface", "What `{ip}` is instead."),
    field("board", r#""auto", "simulated", "/dev/i2c-1", "unix:/run/board.sock""#, r#""auto""#, "auto is /dev/i2c-1 if it is there, else simulated; unix: is a board of `grovemq board`."),
    field("coap", r#""0.0.0.0:5683""#, "none", "Serve sensors, actuators and clocks over CoAP at this address, too: whoever reaches it may read and set them."),
    field("availability", r#""{ip}/availability""#, r#""{ip}/availability""#, "Where online, degraded or offline stands, retained."),
];
#[rustfmt::skip]
const HOME_ASSISTANT: &[Field] = &[
    field("discovery", "true", "true", "Introduce all resources to Home Assistant."),
    field("prefix", r#""homeassistant""#, r#""homeassistant""#, "The first level of its discovery topics."),
];
#[rustfmt::skip]
const PIN: Field = field("pin", r#""D3""#, "", "The port of the board: D2 to D8, A0 to A2.");
#[rustfmt::skip]
const INVERT: &[Field] = &[field("invert", "true", "false", "True for False and the other way round.")];
#[rustfmt::skip]
const TUNING: &[Field] = &[
    field("median", "5", "none", "Publish the middle one of the last 2 to 99 readings."),
    field("average", "8", "none", "Publish the mean of the last 2 to 99 readings."),
    field("scale", "0.1", "1", "Multiply by this …"),
    field("offset", "-4.5", "0", "… and then add this."),
    field("decimals", "1", "by kind 0, 1 or 3; at least 2 with a scale", "Digits after the point, 0 to 9; zeros at the end are left out."),
    field("dead_band", "2", "of a converter 2, scaled; of an angle 1; else 0", "A change by no more than this is no change, save at the two ends of a converter."),
    field("unit", r#""°C""#, "by kind", "Told in JSON and to Home Assistant."),
];
#[rustfmt::skip]
const PROGRAM: &[Field] = &[
    field("command", r#"["vcgencmd", "measure_temp"]"#, "", "The program and its arguments; no shell."),
    field("timeout_ms", "5000", "5000", "It is ended after this time, 10 to 600000."),
];
#[rustfmt::skip]
const GPIO: &[Field] = &[
    field("chip", r#""/dev/gpiochip0""#, r#""/dev/gpiochip0""#, "The GPIO chip."),
    field("bias", r#""as_is", "off", "pull_up", "pull_down""#, r#""as_is""#, "The resistor inside of it."),
    field("line", "17", "", "The number of the line."),
];

const fn on_pin(name: &'static str, about: &'static str, groups: &'static [&'static [Field]]) -> Kind {
    Kind { name, about, fields: &[PIN], groups }
}

const fn number(name: &'static str, about: &'static str, fields: &'static [Field]) -> Kind {
    Kind { name, about, fields, groups: &[TUNING] }
}

#[rustfmt::skip]
const MEASURE: Field = field("measure", r#""temperature", "humidity""#, r#""temperature""#, "Which of the two; both may be on one pin.");

#[rustfmt::skip]
pub(super) const SENSORS: Kinds = Kinds {
    common: &[
        field("kind", r#""button""#, "", "What it is."),
        field("name", r#""button0""#, "", "Letters, digits, `_`, `-` and `.`."),
        field("topic", r#""{ip}/sensors/{name}""#, r#""{ip}/sensors/{name}", of a clock "{ip}/stuff/{name}""#, "Where it publishes."),
        field("interval_ms", "150", "by kind", "How often it looks, 10 to 86400000."),
        field("on_change", "true", "true", "Publish when the value has changed."),
        field("every_s", "60", "none", "Publish at least this often, changed or not; with `on_change = false` just then."),
        field("payload", r#""text", "json""#, r#""text""#, "The value alone, or an object with `value`, `unit` and `time`."),
        field("qos", "0, 1, 2", "0", "Quality of service."),
        field("retain", "true", "false", "The broker keeps the newest message."),
    ],
    kinds: &[
        on_pin("button", "True while pressed; every 150 ms", &[INVERT]),
        on_pin("potentiometer", "0 to 1023, the rotary angle sensor as the converter says; every 400 ms", &[TUNING]),
        Kind { name: "clock", about: "Local time, at every interval, 2000 ms", fields: &[], groups: &[] },
        on_pin("touch", "True while touched; every 150 ms", &[INVERT]),
        on_pin("motion", "True while the PIR sensor sees something move; every 150 ms", &[INVERT]),
        on_pin("digital", "True while high; every 150 ms", &[INVERT]),
        on_pin("angle", "The rotary angle sensor, 0 to 300 °; every 400 ms", &[TUNING]),
        on_pin("light", "0 to 1023; every second", &[TUNING]),
        on_pin("sound", "0 to 1023; every second", &[TUNING]),
        on_pin("moisture", "0 to 1023; every second", &[TUNING]),
        on_pin("analog", "0 to 1023; every second", &[TUNING]),
        number("temperature", "°C, the analog sensor; every 5 s", &[
            field("model", r#""1.0", "1.1", "1.2""#, r#""1.2""#, "The version printed on it."), PIN]),
        number("dht11", "The blue DHT11; every 5 s, each look takes 0.3 s", &[MEASURE, PIN]),
        number("dht22", "The white DHT22; every 5 s, each look takes 0.3 s", &[MEASURE, PIN]),
        on_pin("distance", "cm by the ultrasonic ranger, None if nothing is in reach; every 500 ms", &[TUNING]),
        number("cpu_temperature", "°C; every 5 s", &[]),
        number("cpu_load", "% of all processors; every 5 s", &[]),
        number("memory", "% in use; every 5 s", &[]),
        number("uptime", "s since the machine was started; every minute", &[]),
        number("disk", "% in use; every minute", &[
            field("path", r#""/home""#, r#""/""#, "Anything on the file system.")]),
        Kind { name: "command", about: "What a program prints, a number or a text; every 10 s", fields: PROGRAM, groups: &[TUNING] },
        Kind { name: "gpio", about: "A line of a GPIO chip; every 50 ms", fields: GPIO, groups: &[INVERT] },
    ],
};

#[rustfmt::skip]
const THRESHOLD: &[Field] = &[
    field("above", "30", "none", "A number above this is True, all others False."),
    field("below", "5", "none", "A number below this is True, all others False."),
    field("hysteresis", "0.5", "0", "How far a number has to come back to be False again."),
];
#[rustfmt::skip]
const MAP: &[Field] = &[
    field("from", "[0, 40]", "what it takes", "A number from here …"),
    field("to", "[255, 0]", "all it can", "… is moved to there: 0 to 255 of an LED, 0 to 10 of a bar, −999 to 9999 of a display."),
];
#[rustfmt::skip]
const FORMAT: &[Field] = &[
    field("format", r#""{1} °C\n{2} %""#, r#""{1}", the newest message"#, "{1} is the newest message of the first topic below `subscribe`, and so on."),
];

#[rustfmt::skip]
pub(super) const ACTUATORS: Kinds = Kinds {
    common: &[
        field("kind", r#""led""#, "", "What it is."),
        field("name", r#""led0""#, "", "Letters, digits, `_`, `-` and `.`."),
        field("subscribe", r#"["+/sensors/button0"]"#, "by kind", "The topics it follows, 1 to 32, with or without wildcards."),
        field("qos", "0, 1, 2", "0", "Quality of service of the subscription."),
        field("payload", r#""text", "json""#, r#""text""#, "The value alone, or an object with `value`."),
        field("combine", r#""latest", "any", "all", "minimum", "maximum", "average""#, r#""latest""#, "What counts of several topics: the newest message; True on any or on all; of numbers."),
        field("safe_when_offline", "true", "false", "Go to the safe state while there is no broker."),
        field("timeout_s", "10", "none", "Go to the safe state when nothing was heard for so long."),
        field("safe", r#""False""#, "off, dark, empty", "The message that is obeyed at the start and at the end."),
    ],
    kinds: &[
        on_pin("led", "True or False", &[THRESHOLD, INVERT]),
        on_pin("dimmed_led", "0 to 1023, on D3, D5 or D6", &[MAP]),
        on_pin("relay", "True or False", &[THRESHOLD, INVERT]),
        on_pin("buzzer", "True or False", &[THRESHOLD, INVERT]),
        Kind { name: "led_bar", about: "0 to 10; it takes the next port, too", groups: &[MAP], fields: &[
            field("orientation", r#""red_to_green", "green_to_red""#, r#""red_to_green""#, "Which end is the first."), PIN] },
        Kind { name: "four_digit", about: "An integer from −999 to 9999 or a time such as 23:59; it takes the next port, too", groups: &[MAP], fields: &[
            field("brightness", "7", "7", "0 to 7."), PIN] },
        Kind { name: "rgb_led", about: "Colours such as #ff8000, one for all or one for each; it takes the next port, too", groups: &[], fields: &[
            field("leds", "3", "1", "How many are chained, 1 to 10."), PIN] },
        Kind { name: "lcd", about: "A text of two lines of 16", fields: &[], groups: &[FORMAT] },
        Kind { name: "lcd_light", about: "The colour behind the LCD, such as #ff8000", fields: &[], groups: &[] },
        Kind { name: "command", about: "A program, run with each message in place of `{value}`", fields: PROGRAM, groups: &[FORMAT] },
        Kind { name: "gpio", about: "True or False", fields: GPIO, groups: &[THRESHOLD, INVERT] },
    ],
};

impl Kind {
    /// Its own fields and those of its groups.
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().chain(self.groups.iter().copied().flatten())
    }
}

impl Kinds {
    /// The kind's name as it stands here.
    pub(super) fn find(&self, name: &str) -> Result<&'static str, String> {
        let kind = self.kinds.iter().find(|kind| kind.name == name);
        kind.map(|kind| kind.name).ok_or_else(|| {
            let known: Vec<_> = self.kinds.iter().map(|kind| format!("`{}`", kind.name)).collect();
            format!("unknown variant `{name}`, expected one of {}", known.join(", "))
        })
    }

    /// The fields of all kinds.
    pub(super) fn all_fields(&self) -> Vec<&'static str> {
        self.kinds.iter().flat_map(Kind::fields).map(|field| field.name).collect()
    }
}

/// The reference of `thing.toml`, in Markdown.
pub fn schema() -> String {
    let mut text = String::from(
        "# thing.toml\n\n\
         What `grovemq thing -c FILE` takes. `grovemq thing check FILE` names everything that is wrong with a file; \
         `grovemq thing schema` prints this page.\n\n\
         A file without any `[[sensor]]` and `[[actuator]]` is the thing of the lab. Topics and the client id may have \
         placeholders in them: `{ip}`, `{ip:eth0}`, `{mac}`, `{mac:eth0}`, `{hostname}`, `{interface}` and `{name}`.\n",
    );
    for (heading, fields) in [
        ("[broker]", BROKER),
        ("[broker.tls]", TLS),
        ("[thing]", THING),
        ("[home_assistant]", HOME_ASSISTANT),
    ] {
        let _infallible = write!(text, "\n## `{heading}`\n\n");
        table(&mut text, fields.iter());
    }
    for (heading, kinds) in [("[[sensor]]", &SENSORS), ("[[actuator]]", &ACTUATORS)] {
        let _infallible = write!(text, "\n## `{heading}`\n\n");
        table(&mut text, kinds.common.iter());
        text.push_str("\n| kind | is | has besides |\n|---|---|---|\n");
        for kind in kinds.kinds {
            let fields: Vec<_> = kind.fields().map(|field| format!("`{}`", field.name)).collect();
            let _infallible = writeln!(text, "| `{}` | {} | {} |", kind.name, kind.about, fields.join(" "));
        }
        let mut shown: Vec<&str> = Vec::new();
        let fields = kinds.kinds.iter().flat_map(Kind::fields).filter(|field| {
            let first = !shown.contains(&field.name);
            shown.push(field.name);
            first
        });
        text.push('\n');
        table(&mut text, fields);
    }
    text
}

fn table(text: &mut String, fields: impl Iterator<Item = &'static Field>) {
    text.push_str("| field | takes | if not given | |\n|---|---|---|---|\n");
    for Field { name, takes, default, about } in fields {
        let default = if default.is_empty() { "has to be" } else { default };
        let _infallible = writeln!(text, "| `{name}` | `{takes}` | {default} | {about} |");
    }
}
