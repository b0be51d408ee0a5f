//! `mosquitto_pub`, ours beside Debian's.

use crate::case::{Case, publish};
use crate::runner::compare;

/// What a message is made of.
const MESSAGES: &[Case] = &[
    publish("-i x -t a -m hello"),
    publish("-i x -t a/b/c -m 'hello, world'"),
    publish("-i x -t a -m ''"),
    publish("-i x -t a -n"),
    publish("-i x -t a -n -r"),
    publish("-i x -t a -m hello -r"),
    publish("-i x -t a -m hello -q 0"),
    publish("-i x -t a -m hello -q 1"),
    publish("-i x -t a -m hello -q 2"),
    publish("-i x -t a -m hello -q 2 -r"),
    publish("-i x -t /leading/slash -m hello"),
    publish("-i x -t 'with space' -m hello"),
    publish("-i x -t grün/ü -m 'ä €'"),
    publish("-i x -t a -s").stdin("one\ntwo\n"),
    publish("-i x -t a -s -q 1").stdin("no newline"),
    publish("-i x -t a -s -q 1").stdin(""),
    publish("-i x -t a -l").stdin("one\ntwo\nthree\n"),
    publish("-i x -t a -l -q 1").stdin("one\ntwo\nno newline"),
    publish("-i x -t a -l -q 2").stdin("one\n\nthree\n"),
    publish("-i x -t a -l").stdin(""),
    publish("-i x -t a -l -r").stdin("kept\n"),
    publish("-i x -t a -f mosquitto.conf -q 1").digits_differ(),
    publish("-i x -t a -m again --repeat 3"),
    publish("-i x -t a -m again --repeat 3 -q 1"),
    publish("-i x -t a -m again --repeat 2 --repeat-delay 0.2 -q 2"),
    publish("-i x -t a -s --repeat 2 -q 1").stdin("again\n"),
    publish("-i x -t a -n --repeat 2"),
];

/// How it connects.
const CONNECTION: &[Case] = &[
    publish("-t a -m hello -i x -p {port}"),
    publish("-t a -m hello -i x --port {port} --host 127.0.0.1"),
    publish("--topic a --message hello --id x --qos 1 --retain"),
    publish("-h localhost -i x -t a -m hello"),
    publish("-t a -m anonymous"),
    publish("-I pre- -t a -m hello").digits_differ(),
    publish("-i x -t a -m hello -k 30"),
    publish("-i x -t a -m hello --keepalive 5"),
    publish("-i x -t a -m hello -u user1 -P iotlab"),
    publish("-i x -t a -m hello -u user1"),
    publish("-i x -t a -m hello -u user1 -P ''"),
    publish("-i x -t a -m hello -c"),
    publish("-i x -t a -m hello --disable-clean-session"),
    publish("-i x -t a -m hello -V mqttv31").one_version(),
    publish("-i x -t a -m hello -V mqttv311").one_version(),
    publish("-i x -t a -m hello -V 31").one_version(),
    publish("-i x -t a -m hello -V 311").one_version(),
    publish("-i x -t a -m hello -V 5").one_version(),
    publish("-t a -m hello -V mqttv31 -i x -q 2").one_version(),
    publish("-i x -t a -m hello --will-topic w"),
    publish("-i x -t a -m hello --will-topic w --will-payload gone --will-qos 1 --will-retain"),
    publish("-i x -t a -m hello --will-topic w --will-payload gone --will-qos 2"),
    publish("-i x -t a -m hello --quiet"),
    publish("-i x -t a -m hello --nodelay"),
    publish("-i x -t a -m hello -d"),
    publish("-i x -t a -m hello -d -q 1"),
    publish("-i x -t a -m hello -d -q 2"),
    publish("-i x -t a -l -d -q 1").stdin("one\n"),
];

/// What only MQTT 5 has.
const PROPERTIES: &[Case] = &[
    publish("-i x -t a -m hello -x 60").one_version(),
    publish("-i x -t a -m hello -x -1 -c").one_version(),
    publish("-i x -t a -m hello -c -V 5 -x 5").one_version(),
    publish("-i x -t a -m hello -D publish content-type text/plain").one_version(),
    publish("-i x -t a -m hello -D publish message-expiry-interval 10 -q 1").one_version(),
    publish("-i x -t a -m hello -D publish payload-format-indicator 1").one_version(),
    publish("-i x -t a -m hello -D publish response-topic r -D publish correlation-data c").one_version(),
    publish("-i x -t a -m hello -D publish user-property name value -D publish user-property name again")
        .one_version(),
    publish("-i x -t a -m hello -D publish topic-alias 1").one_version(),
    publish("-i x -t a -m hello -D publish topic-alias 1 --repeat 2").one_version(),
    publish("-i x -t a -m hello -D connect user-property name value").one_version(),
    publish("-i x -t a -m hello -D connect receive-maximum 7").one_version(),
    publish("-i x -t a -m hello -D connect maximum-packet-size 1000").one_version(),
    publish("-i x -t a -m hello -D connect session-expiry-interval 9").one_version(),
    publish("-i x -t a -m hello -D connect request-problem-information 0").one_version(),
    publish("-i x -t a -m hello -D connect topic-alias-maximum 3").one_version(),
    publish("-i x -t a -m hello -D disconnect user-property name value").one_version(),
    publish("-i x -t a -m hello --property publish content-type text/plain").one_version(),
    publish("-i x -t a -m hello --will-topic w -D will will-delay-interval 3 -D will content-type t")
        .one_version(),
    publish("-i x -t a -m hello -D foo content-type b").one_version(),
    publish("-i x -t a -m hello -D publish foo b").one_version(),
    publish("-i x -t a -m hello -D publish receive-maximum 5").one_version(),
    publish("-i x -t a -m hello -D publish content-type").one_version(),
    publish("-i x -t a -m hello -D publish user-property name").one_version(),
    publish("-i x -t a -m hello -D will content-type x").one_version(),
    publish("-i x -t a -m hello -D publish topic-alias 0 -d").one_version(),
    publish("-i x -t a -m hello -D publish message-expiry-interval x").one_version(),
    publish("-i x -t a -m hello -V 311 -D publish content-type x").one_version(),
];

/// What is refused before anything is sent.
const MISTAKES: &[Case] = &[
    publish("").own_usage().one_version(),
    publish("-t a").own_usage().one_version(),
    publish("-m x").own_usage().one_version(),
    publish("-t").one_version(),
    publish("-t a -m").one_version(),
    publish("-t a -m x -h").one_version(),
    publish("-t a -m x -p").one_version(),
    publish("-t a -m x -q").one_version(),
    publish("-t a -m x -i").one_version(),
    publish("-t a -m x -I").one_version(),
    publish("-t a -m x -k").one_version(),
    publish("-t a -m x -u").one_version(),
    publish("-t a -m x -u u -P").one_version(),
    publish("-t a -m x -V").one_version(),
    publish("-t a -m x -x").one_version(),
    publish("-t a -f").one_version(),
    publish("-t a -m x --repeat").one_version(),
    publish("-t a -m x --repeat-delay").one_version(),
    publish("-t a -m x --will-topic").one_version(),
    publish("-t a -m x --will-payload").one_version(),
    publish("-t a -m x --will-topic w --will-qos").one_version(),
    publish("-t a -m x -q 3").one_version(),
    publish("-t a -m x -q -1").one_version(),
    publish("-t a -m x -k 2").one_version(),
    publish("-t a -m x -k 65536").one_version(),
    publish("-t a -m x -V foo").one_version(),
    publish("-t a -m x -V 4").one_version(),
    publish("-t a -m x --repeat 0").one_version(),
    publish("-t a -m x --repeat-delay -1").one_version(),
    publish("-t a -m x --will-payload p").one_version(),
    publish("-t a -m x --will-topic w --will-qos 3").one_version(),
    publish("-t a -m x --will-topic w/#").one_version(),
    publish("-t a -m x --will-retain").one_version(),
    publish("-t a/# -m x").one_version(),
    publish("-t a/+/b -m x").one_version(),
    publish("-t a -m x -m y").one_version(),
    publish("-t a -m x -n").one_version(),
    publish("-t a -m x -l").one_version(),
    publish("-t a -s -l").one_version(),
    publish("-t a -f x -m y").one_version(),
    publish("-t a -f absent").one_version(),
    publish("-t a -m x -i a -I b").one_version(),
    publish("-t a -m x -c").one_version(),
    publish("-t a -m x -P secret").one_version(),
    publish("--foo").one_version(),
    publish("-t a -m x -C 1").one_version(),
    publish("-t a -m x stray").one_version(),
    publish("-t a -m x -p 0 {port}").own_words("the original names no cause").one_version(),
    publish("-t a -m x -p 65536 {port}").own_words("the original names no cause").one_version(),
    publish("--help").own_words("the text is ours").one_version(),
];

/// A broker that is not there, or does not want it. Port 1 has no listener.
const REFUSALS: &[Case] = &[
    publish("-t a -m x -h 127.0.0.1 -p 1"),
    publish("-t a -m x -h 127.0.0.1 -p 1 --quiet"),
    publish("-t a -m x -h 127.0.0.1 -p 1 -d -i x"),
    publish("-t a -l -h 127.0.0.1 -p 1").stdin("x\n"),
    publish("-t a -m x -h no-such-host.invalid").one_version(),
    publish("-i x -t '' -m hello"),
    publish("-i x -t '$SYS/forbidden' -m hello -q 1"),
];

#[test]
fn messages() {
    compare(MESSAGES);
}

#[test]
fn connection() {
    compare(CONNECTION);
}

#[test]
fn properties() {
    compare(PROPERTIES);
}

#[test]
fn mistakes() {
    compare(MISTAKES);
}

#[test]
fn refusals() {
    compare(REFUSALS);
}
