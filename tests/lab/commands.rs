//! The sheet's command lines under the original names, in shells.

use grovemq_tests::{Program, SOON, free_port, wait_until_listening};

use crate::bench::{Bench, Whose, eventually};

const HDDS: [(&str, &str); 5] = [
    ("/machines/192.0.2.1/sensors/temperature/hdds/sdf", "75 degrees Celsius"),
    ("/machines/192.0.2.1/sensors/temperature/hdds/sdj", "75 degrees Celsius"),
    ("/machines/192.0.2.2/sensors/temperature/hdds/sdb", "75 degrees Celsius"),
    ("/machines/192.0.2.1/sensors/fanspeed/socket0", "200 RPM"),
    ("/machines/192.0.2.2/sensors/temperature/cpus/cpu0", "85 degrees Celsius"),
];

/// Which of the topics above each filter finds, by their places.
const FILTERS: [(&str, &[usize]); 12] = [
    ("/machines/+/sensors/temperature/hdds/+", &[0, 1, 2]),
    ("/machines/+/sensors/#", &[0, 1, 2, 3, 4]),
    ("/machines/192.0.2.1/sensors/#", &[0, 1, 3]),
    ("/machines/+/sensors/temperature/#", &[0, 1, 2, 4]),
    ("/machines/+/sensors/+/+", &[3]),
    ("/machines/192.0.2.1/sensors/temperature/hdds/sdj", &[1]),
    ("/#", &[0, 1, 2, 3, 4]),
    ("#", &[0, 1, 2, 3, 4]),
    ("+/machines/#", &[0, 1, 2, 3, 4]),
    // the first level is the empty one before the leading slash
    ("machines/+/sensors/#", &[]),
    ("/machines/+", &[]),
    ("$SYS/machines/#", &[]),
];

/// A broker without any configuration, as `mosquitto` alone starts it, on a port of its own.
#[track_caller]
fn broker(bench: &Bench, port: u16) -> Program {
    let broker = bench.start(&format!("mosquitto -v -p {port}"));
    wait_until_listening(port, SOON);
    broker
}

/// What a console shows of these messages, published one after the other; every `mosquitto_pub` must succeed in silence.
fn shown(bench: &Bench, port: u16, messages: &[(&str, &str)]) -> Vec<String> {
    let console = bench.listen(port, "-t \"#\" -v");
    for (topic, message) in messages {
        let line = format!("mosquitto_pub -h 127.0.0.1 -p {port} -t \"{topic}\" -m \"{message}\"");
        let end = bench.run(&line);
        assert_eq!((end.code, end.stderr.as_str(), end.text().as_str()), (0, "", ""), "{line}");
    }
    eventually(|| console.lines().len() == messages.len(), || format!("{:?}", console.lines()));
    console.lines()
}

const FIRST: [(&str, &str); 4] = [
    ("192.0.2.7/sensors/button0", "Hello, World!"),
    ("chat", "caf\u{e9} \u{1f408}"),
    ("/", "-"),
    ("a b", "  "),
];

#[test]
fn the_broker_says_its_version_its_sockets_and_who_comes() {
    let bench = Bench::new(Whose::Ours);
    let port = free_port();
    let broker = broker(&bench, port);
    let shown = shown(&bench, port, &FIRST);
    assert_eq!(shown, ["192.0.2.7/sensors/button0 Hello, World!", "chat caf\u{e9} \u{1f408}", "/ -", "a b"]);
    let client = broker.wait_for_stderr("New client connected from 127.0.0.1:", SOON);
    assert!(client.contains(" as auto-") && client.ends_with("c1, k60)."), "{client}");
    let lines = broker.stderr_lines();
    let at = |part: &str| {
        lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{lines:#?}"))
    };
    let order = [
        at("mosquitto version "),
        at("Starting in local only mode."),
        at(&format!("Opening ipv4 listen socket on port {port}.")),
        at(&format!("Opening ipv6 listen socket on port {port}.")),
        at(&format!("mosquitto version {} running", env!("CARGO_PKG_VERSION"))),
        at("New client connected"),
    ];
    assert!(order.is_sorted(), "{lines:#?}");
    let second = bench.run(&format!("mosquitto -p {port}"));
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("Error: Address already in use"), "{}", second.stderr);
    broker.interrupt();
    broker.finish(SOON).success();
}

#[test]
fn debian_console_shows_the_same() {
    let with = |whose| {
        let bench = Bench::new(whose);
        let port = free_port();
        let _broker = broker(&bench, port);
        shown(&bench, port, &FIRST)
    };
    assert_eq!(with(Whose::Ours), with(Whose::Debian));
}

/// What each filter finds. A message of its own tells each subscriber that the others have passed.
fn found(whose: Whose) -> Vec<(&'static str, Vec<String>)> {
    let bench = Bench::new(whose);
    let port = free_port();
    let _broker = broker(&bench, port);
    let ears =
        FILTERS.map(|(filter, _)| (filter, bench.listen(port, &format!("-v -t '{filter}' -t all/passed"))));
    for (topic, message) in HDDS {
        bench.run(&format!("mosquitto_pub -h 127.0.0.1 -p {port} -m \"{message}\" -t {topic}")).success();
    }
    bench.run(&format!("mosquitto_pub -p {port} -t all/passed -m .")).success();
    let heard = ears.map(|(filter, ear)| {
        ear.hears("all/passed .");
        (filter, ear.lines().into_iter().filter(|line| line != "all/passed .").collect())
    });
    heard.into()
}

#[test]
fn wildcards_find_the_disks_of_all_machines_and_nothing_else() {
    let expected: Vec<(&str, Vec<String>)> = FILTERS
        .iter()
        .map(|(filter, places)| {
            (*filter, places.iter().map(|&i| format!("{} {}", HDDS[i].0, HDDS[i].1)).collect())
        })
        .collect();
    assert_eq!(found(Whose::Ours), expected);
}

#[test]
fn debian_wildcards_find_the_same() {
    assert_eq!(found(Whose::Ours), found(Whose::Debian));
}

#[test]
fn a_bad_filter_or_topic_is_refused_with_words() {
    let say = |whose, line: &str| {
        let end = Bench::new(whose).run(line);
        (end.code, end.stderr.lines().next().unwrap_or_default().to_owned())
    };
    for line in
        ["mosquitto_sub -t '/machines/#/hdds'", "mosquitto_sub -t 'a+/b'", "mosquitto_pub -t 'a/+' -m x"]
    {
        let (code, said) = say(Whose::Ours, line);
        assert!(code == 1 && said.starts_with("Error: "), "{line}: {code} {said}");
    }
}

#[test]
fn debian_refuses_bad_filters_and_hosts_in_the_same_words() {
    let port = free_port();
    for line in [
        "mosquitto_sub -t '/machines/#/hdds'".to_owned(),
        "mosquitto_sub -t 'a+/b'".to_owned(),
        "mosquitto_pub -t 'a/+' -m x".to_owned(),
        "mosquitto_pub -t a".to_owned(),
        "mosquitto_sub".to_owned(),
        format!("mosquitto_pub -h 127.0.0.1 -p {port} -t a -m x"),
        format!("mosquitto_sub -h 127.0.0.1 -p {port} -t a"),
    ] {
        let [ours, theirs] = [Whose::Ours, Whose::Debian].map(|whose| {
            let end = Bench::new(whose).run(&line);
            (end.code, end.stderr.lines().next().unwrap_or_default().to_owned())
        });
        assert_eq!(ours, theirs, "{line}");
    }
}

#[test]
fn loops_of_publishers_lose_nothing() {
    const EACH: usize = 40;
    let bench = Bench::new(Whose::Ours);
    let port = free_port();
    let _broker = broker(&bench, port);
    let ear = bench.listen(port, "-t load/#");
    let publishers = ["a", "b", "c"].map(|name| {
        let publish = format!("mosquitto_pub -h 127.0.0.1 -p {port} -t load/{name} -m {name}$i");
        bench
            .start(&format!("sh -c 'i=0; while [ $i -lt {EACH} ]; do {publish} || exit 1; i=$((i+1)); done'"))
    });
    for publisher in publishers {
        publisher.finish(SOON * 2).success();
    }
    eventually(|| ear.lines().len() == 3 * EACH, || format!("{} arrive", ear.lines().len()));
    // each publisher's in its order
    for name in ["a", "b", "c"] {
        let heard: Vec<String> = ear.lines().into_iter().filter(|line| line.starts_with(name)).collect();
        let sent: Vec<String> = (0..EACH).map(|i| format!("{name}{i}")).collect();
        assert_eq!(heard, sent);
    }
}

#[test]
fn neighbours_chat_over_both_families() {
    let bench = Bench::new(Whose::Ours);
    let port = free_port();
    bench.write("open.conf", &format!("listener {port}\nallow_anonymous true\n"));
    let broker = bench.start("mosquitto -c open.conf");
    wait_until_listening(port, SOON);
    let ear = bench.listen(port, "-t chat/+ -v");
    for (host, name) in [("127.0.0.1", "ann"), ("::1", "bob"), ("127.0.0.2", "cem"), ("localhost", "dora")] {
        bench
            .run(&format!("mosquitto_pub -h {host} -p {port} -t chat/{name} -m 'hello from {host}'"))
            .success();
        ear.hears(&format!("chat/{name} hello from {host}"));
    }
    broker.terminate();
    broker.finish(SOON).success();
}
