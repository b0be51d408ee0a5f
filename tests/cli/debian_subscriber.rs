//! `mosquitto_sub`, ours beside Debian's.

use crate::case::{Case, subscribe};
use crate::runner::compare;

/// Which messages are shown, and when it ends.
const SELECTION: &[Case] = &[
    subscribe("-i x -t a -C 1").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 2 -v").then(&["-t a -m one", "-t b -m no", "-t a -m two"]),
    subscribe("-i x -t a -C 1 -q 1").then(&["-t a -m hello -q 1"]),
    subscribe("-i x -t a -C 1 -q 2").then(&["-t a -m hello -q 2"]),
    subscribe("-i x -t a -C 2 -q 2").then(&["-t a -m hello -q 0", "-t a -m hello -q 1"]),
    subscribe("-i x -t # -v -C 3").then(&["-t a -m 1", "-t /b/c -m 2", "-t a/b -m 3"]),
    subscribe("-i x -t /machines/+/sensors/# -v -C 2").then(&[
        "-t /machines/1.2.3.4/actuators/led0 -m no",
        "-t /machines/1.2.3.4/sensors/temperature/hdds/sdf -m 31",
        "-t /machines/5.6.7.8/sensors -m 32",
    ]),
    subscribe("-i x -t a -t b -v -C 2").then(&["-t a -m 1", "-t b -m 2"]),
    subscribe("-i x -t a -t b -q 1 -v -C 2").then(&["-t a -m 1 -q 1", "-t b -m 2"]),
    subscribe("-i x -t # -T b/# -v -C 2").then(&["-t a -m 1", "-t b/c -m 2", "-t c -m 3"]),
    subscribe("-i x -t # --filter-out a -v -C 1").then(&["-t a -m 1", "-t b/c -m 2"]),
    subscribe("-i x -t a -v -C 2").before(&["-t a -r -m kept"]).then(&["-t a -m live"]),
    subscribe("-i x -t a -v -C 1 -R").before(&["-t a -r -m kept"]).then(&["-t a -m live"]),
    subscribe("-i x -t a -t b -v --retained-only")
        .before(&["-t a -r -m 1", "-t b -r -m 2"])
        .then(&["-t a -m live"]),
    subscribe("-i x -t # -v -W 1 --remove-retained").before(&["-t a -r -m 1", "-t b/c -r -m 2"]),
    subscribe("-i x -t # -v -C 1 -W 5 -F '%t %r'").before(&["-t a -r -m 1"]),
    subscribe("-i x -t a -W 1"),
    subscribe("-i x -t a -W 1 -v").then(&["-t a -m before-the-end"]),
    subscribe("-i x -t a -U a -W 1 -v").then(&["-t a -m unheard"]),
    subscribe("-i x -t a -t b -U b -C 1 -v").then(&["-t a -m heard"]),
    subscribe("-i x -t $SYS/broker/version -C 1"),
    subscribe("-i x -t a -C 1 -v").then(&["-t a -n"]),
    subscribe("-i x -t a -C 2").then(&["-t a -n", "-t a -m x"]),
    subscribe("-i x -t a -C 1 -N").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 2 -N -v").then(&["-t a -m 1", "-t a -m 2"]),
    subscribe("-i x -t a -C 1 -v").then(&["-t a -m 'two\nlines'"]),
    subscribe("-i x -t grün/+ -C 1 -v").then(&["-t grün/ü -m 'ä €'"]),
    subscribe("--topic a --id x --qos 1 --verbose -C 1").then(&["-t a -m hello -q 1"]),
];

/// How a message is shown.
const FORMATS: &[Case] = &[
    subscribe("-i x -t a -C 1 -F %p").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -F '%t|%q|%r|%l|%m|%%'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -q 2 -F '%t|%q|%r|%l|%m|%%'").then(&["-t a -m hello -q 2"]),
    subscribe("-i x -t a -C 1 -F '%x|%X'").then(&["-t a -m 'Az €'"]),
    subscribe("-i x -t a -C 1 -F '[%20t][%-20t][%020t][%.1t]'").then(&["-t a -m hello"]),
    subscribe("-i x -t topic -C 1 -F '[%20.3t][%.3t][%-8.3t]'").then(&["-t topic -m hello"]),
    subscribe("-i x -t a -C 1 -F '[%6l][%06l][%-6l][%4q][%04r]'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -F '[%20p][%-20p][%.2p]'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -F '%8x|%.2x'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -F 'a\\tb\\nc\\\\d\\a\\e\\v\\r'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -F 'a\\0b'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -N -F '%p;'").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 2 -F '%p;'").then(&["-t a -n", "-t a -m ''"]),
    subscribe("-i x -t a -C 1 -F '%I %U %p'").then(&["-t a -m hello"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F '@Y-@m-@dT@H:@M:@S @N @@ %p'").then(&["-t a -m hello"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %j").then(&["-t a -m 'he \"said\"'"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %j -q 1").then(&["-t a -m hello -q 1"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %J").then(&["-t a -m '{\"v\": [true, null, 1.5]}'"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %J").then(&["-t a -m 'not json'"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %j --pretty").then(&["-t a -m hello"]).digits_differ(),
    subscribe("-i x -t a -C 1 -F %J --pretty")
        .then(&["-t a -m '{\"v\": 1, \"w\": {\"x\": []}}'"])
        .digits_differ(),
    subscribe("-i x -t a -C 1 -F %j").then(&["-t a -m 'tab\there, ü, \\ and \u{7f}'"]).digits_differ(),
    subscribe("-i x -t a -C 1 -V 5 -F '%A|%C|%D|%E|%F|%R|%S|%P'")
        .then(&["-V 5 -t a -m hello -D publish content-type text/plain -D publish correlation-data c \
             -D publish response-topic r -D publish payload-format-indicator 1 -D publish user-property n v"])
        .one_version(),
    subscribe("-i x -t a -C 1 -V 5 -F '%A|%C|%D|%E|%F|%R|%S|%P'").then(&["-t a -m bare"]).one_version(),
    subscribe("-i x -t a -C 1 -V 5 -F %j")
        .then(&["-V 5 -t a -m hello -D publish content-type text/plain -D publish user-property n v"])
        .digits_differ()
        .one_version(),
    subscribe("-i x -t a -C 1 -V 5 -F %S -D subscribe subscription-identifier 7")
        .then(&["-t a -m hello"])
        .one_version(),
];

/// How it connects.
const CONNECTION: &[Case] = &[
    subscribe("-t a -C 1 -i x -p {port}").then(&["-t a -m hello"]),
    subscribe("-h localhost -t a -C 1 -i x").then(&["-t a -m hello"]),
    subscribe("-t a -W 1"),
    subscribe("-I pre- -t a -W 1").digits_differ(),
    subscribe("-i x -t a -W 1 -k 30 -u user1 -P iotlab"),
    subscribe("-i x -t a -W 1 -c -q 1"),
    subscribe("-i x -t a -W 1 -V mqttv31").one_version(),
    subscribe("-i x -t a -W 1 -V 311").one_version(),
    subscribe("-i x -t a -W 1 -V 5 -c -x 60").one_version(),
    subscribe("-i x -t a -W 1 -x 60").one_version(),
    subscribe("-i x -t a -W 1 --will-topic w --will-payload gone --will-qos 1 --will-retain"),
    subscribe("-i x -t a -W 1 -d"),
    subscribe("-i x -t a -C 1 -d -v").then(&["-t a -m hello"]),
    subscribe("-i x -t a -C 1 -d -v -q 1").then(&["-t a -m hello -q 1"]),
    subscribe("-i x -t a -C 1 -d -v -q 2").then(&["-t a -m hello -q 2"]),
    subscribe("-i x -t a -t b -U c -W 1 -d"),
    subscribe("-i x -t a -W 1 -V 5 -D connect user-property n v -D subscribe user-property n v")
        .one_version(),
    subscribe("-i x -t a -U b -W 1 -V 5 -D unsubscribe user-property n v -D disconnect user-property n v")
        .one_version(),
];

/// What is refused before anything is sent.
const MISTAKES: &[Case] = &[
    subscribe("").one_version(),
    subscribe("-t").one_version(),
    subscribe("-t a#").one_version(),
    subscribe("-t a/#/b").one_version(),
    subscribe("-t a+").one_version(),
    subscribe("-t a -q 3").one_version(),
    subscribe("-t a -q").one_version(),
    subscribe("-t a -C 0").one_version(),
    subscribe("-t a -C x").one_version(),
    subscribe("-t a -C").one_version(),
    subscribe("-t a -W 0").one_version(),
    subscribe("-t a -W x").one_version(),
    subscribe("-t a -W").one_version(),
    subscribe("-t a -F").one_version(),
    subscribe("-t a -F %Z").one_version(),
    subscribe("-t a -F %").one_version(),
    subscribe("-t a -F '\\q'").one_version(),
    subscribe("-t a -F '\\'").one_version(),
    subscribe("-t a -F %0").one_version(),
    subscribe("-t a -F @").one_version(),
    subscribe("-t a -T a##").one_version(),
    subscribe("-t a -T").one_version(),
    subscribe("-t a -U a##").one_version(),
    subscribe("-t a -U").one_version(),
    subscribe("-U a").one_version(),
    subscribe("-t a -R --retained-only").one_version(),
    subscribe("-t a -m x").one_version(),
    subscribe("-t a -k 4").one_version(),
    subscribe("-t a -c").one_version(),
    subscribe("-t a -i a -I b").one_version(),
    subscribe("-t a -P secret").one_version(),
    subscribe("-t a -V foo").one_version(),
    subscribe("-t a -x").one_version(),
    subscribe("-t a -x foo").one_version(),
    subscribe("-t a -D subscribe content-type x").one_version(),
    subscribe("-t a --will-payload p").one_version(),
    subscribe("-t a stray").one_version(),
    subscribe("--nonsense").one_version(),
    subscribe("-t a -p 0 {port}").own_words("the original names no cause").one_version(),
    subscribe("--help").own_words("the text is ours").one_version(),
];

/// A broker that is not there. Port 1 has no listener.
const REFUSALS: &[Case] = &[
    subscribe("-t a -h 127.0.0.1 -p 1"),
    subscribe("-t a -h 127.0.0.1 -p 1 --quiet"),
    subscribe("-t a -h 127.0.0.1 -p 1 -d -i x"),
    subscribe("-t a -h no-such-host.invalid").one_version(),
];

#[test]
fn selection() {
    compare(SELECTION);
}

#[test]
fn formats() {
    compare(FORMATS);
}

#[test]
fn connection() {
    compare(CONNECTION);
}

#[test]
fn mistakes() {
    compare(MISTAKES);
}

#[test]
fn refusals() {
    compare(REFUSALS);
}
