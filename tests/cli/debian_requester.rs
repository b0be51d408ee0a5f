//! `mosquitto_rr`, ours beside Debian's.

use grovemq_tests::{Broker, Program, SOON, peers};

use crate::case::{Case, request};
use crate::runner::{compare, debian_publishes};

/// A response that comes, once the request is there.
const RESPONSES: &[Case] = &[
    request("-i x -t a -e b -m question").then(&["-t b -m answer"]).one_version(),
    request("-i x -t a -e b -m question -V 311").then(&["-t b -m answer"]).one_version(),
    request("-i x -t a -e b -m question -V mqttv31").then(&["-t b -m answer"]).one_version(),
    request("-i x -t a -e b -m question -q 1").then(&["-t b -m answer -q 1"]).one_version(),
    request("-i x -t a -e b -m question -q 2").then(&["-t b -m answer -q 2"]).one_version(),
    request("-i x -t a -e b -m question").then(&["-t b -m first", "-t b -m second"]).one_version(),
    request("-i x -t a -t c -e d -e b -m question").then(&["-t b -m answer"]).one_version(),
    request("-i x -t a -e b -n").then(&["-t b -m answer"]).one_version(),
    request("-i x -t a -e b -s")
        .stdin("a\nquestion\n")
        .then(&["-t b -m answer"])
        .own_words("the original sends an empty request")
        .one_version(),
    request("-i x -t a -e b -m question").then(&["-t b -n", "-t b -m later"]).one_version(),
    request("-i x -t a -e a -m echo").one_version(),
    request("-i x -t a -e a -m echo -V 311").one_version(),
    request("-i x -t a -e a -m echo -v").one_version(),
    request("-i x -t a -e a -m echo -N").one_version(),
    request("-i x -t a -e a -m echo -v -N").one_version(),
    request("-i x -t a -e a -m echo -F %t:%p:%q").one_version(),
    request("-i x -t a -e a -m '{}' -F %J --pretty").digits_differ().one_version(),
    request("-i x -t a -e a -m echo -F %R:%D:%C -D publish correlation-data c -D publish content-type t")
        .one_version(),
    request("-i x -t a -e a -m echo -D connect user-property n v -D subscribe user-property n v")
        .one_version(),
    request("-i x -t a -e a -m echo --retain-as-published")
        .own_words("the original forgets it")
        .one_version(),
    request("-i x -t a -e a -m echo -c").one_version(),
    request("-i x -t a -e a -m echo -x 30").one_version(),
    request("-i x -t a -e a -m echo --will-topic w --will-payload gone").one_version(),
    request("-i x -t a -e b -m question").before(&["-t b -m stale -r"]).one_version(),
    request("-i x -t a -e b -m question -R")
        .before(&["-t b -m stale -r"])
        .then(&["-t b -m answer"])
        .own_words("the original forgets it")
        .one_version(),
];

/// No response, or no server.
const WAITING: &[Case] = &[
    request("-i x -t a -e b -m question -W 1").one_version(),
    request("-i x -t a -e b -m question -W 1 -V 311").one_version(),
    request("-i x -t a -e b -m question -W 1 -d").one_version(),
    request("-i x -t a -e b -m question -W 1 -d -q 1").one_version(),
    request("-i x -t a -e b -m question -W 1 -d -q 2 -V 311").one_version(),
    request("-t a -e b -m question -h 127.0.0.1 -p 1").one_version(),
    request("-t a -e b -m question -h 127.0.0.1 -p 1 --quiet").one_version(),
    request("-t a -e b -m question -h no-such-host.invalid").one_version(),
];

const MISTAKES: &[Case] = &[
    request(""),
    request("-t a").one_version(),
    request("-t a -e b").one_version(),
    request("-t a -m x").one_version(),
    request("-e b -m x").one_version(),
    request("-t a -m x -e").one_version(),
    request("-t a/# -m x -e b").one_version(),
    request("-t a -m x -e b/#").one_version(),
    request("-t a -m x -m y -e b").one_version(),
    request("-t a -m x -e b -l").one_version(),
    request("-t a -m x -e b -r").one_version(),
    request("-t a -m x -e b -C 1").one_version(),
    request("-t a -m x -e b -E").one_version(),
    request("-t a -m x -e b -T c").one_version(),
    request("-t a -m x -e b -W 0").one_version(),
    request("-t a -m x -e b -W").one_version(),
    request("-t a -m x -e b -F").one_version(),
    request("-t a -m x -e b -F %z").one_version(),
    request("-t a -m x -e b -c").one_version(),
    request("-t a -m x -e b -D publish response-topic c").one_version(),
    request("-t a -m x -e b --repeat 2").one_version(),
    request("--help").own_words("the text is ours").one_version(),
];

#[test]
fn stale_messages_are_no_response() {
    let broker = Broker::debian();
    debian_publishes(broker.port(), "-t b -m stale -r");
    let port = broker.port().to_string();
    let run = |more: &[&str]| {
        let mut tool = peers::ours("mosquitto_rr");
        let args = ["-p", &port, "-t", "a", "-e", "b", "-m", "x", "-W", "1", "--latency"];
        Program::run(tool.args(args).args(more).env("HOME", broker.dir()), b"", SOON)
    };
    let end = run(&[]);
    assert_eq!((end.code, &*end.text()), (0, "stale\n"));
    assert!(end.stderr.starts_with("Latency: ") && end.stderr.ends_with(" ms\n"), "{}", end.stderr);
    assert_eq!((run(&["-R"]).code, run(&["--retain-handling", "never"]).code), (27, 27));
}

#[test]
fn responses() {
    compare(RESPONSES);
}

#[test]
fn waiting() {
    compare(WAITING);
}

#[test]
fn mistakes() {
    compare(MISTAKES);
}
