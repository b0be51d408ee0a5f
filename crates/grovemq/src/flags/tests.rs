//! The table against itself and against the original's options, and what command lines come to.

use super::high::{Publishing, Session, Subscribing};
use super::*;
use grovemq_client::{Qos, RetainHandling, Version};
use std::collections::BTreeSet;

/// All options of Mosquitto 2.1's `mosquitto_pub`, `mosquitto_sub` and `mosquitto_rr`.
const ORIGINAL_ALL: &str = "-A -c --disable-clean-session -d --debug -D --property --help -h --host -i --id -I \
    --id-prefix -k --keepalive -L --url -o -p --port -P --pw --quiet -S -u --username --unix -V \
    --protocol-version -x -M --nodelay --proxy --will-topic --will-payload --will-qos --will-retain --ws \
    --version --cafile --capath --cert --key --keyform --ciphers --insecure --no-tls --tls-alpn --tls-engine \
    --tls-engine-kpass-sha1 --tls-keylog --tls-use-os-certs --tls-version --psk --psk-identity -t --topic -q --qos";
const ORIGINAL_PUB: &str = "-f --file -l --stdin-line -m --message -n --null-message -s --stdin-file -r --retain \
    --repeat --repeat-delay";
const ORIGINAL_SUB: &str = "-C -E --message-rate -N -F --pretty -R --random-filter --remove-retained \
    --retained-only --retain-as-published --retain-handling -T --filter-out -U --unsubscribe -v --verbose -w \
    --watch -W";
const ORIGINAL_RR: &str = "-e -f --file -m --message -n --null-message -s --stdin-file -F -N --pretty -R -v --verbose -W \
    --latency --retain-as-published --retain-handling";

/// Every name by which the tool knows an option.
fn names(tool: Tool) -> Vec<String> {
    flags(tool)
        .flat_map(|flag| {
            let short = flag.short.map(|short| format!("-{short}"));
            short.into_iter().chain(flag.long.map(|long| format!("--{long}")))
        })
        .collect()
}

fn set(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

fn refused(tool: Tool) -> BTreeSet<String> {
    let refused = defs::REFUSED.iter().filter(|refused| refused.tools.contains(&tool));
    refused.flat_map(|refused| refused.names.iter().map(|name| (*name).to_owned())).collect()
}

fn parse_line(tool: Tool, line: &str) -> Result<Parsed, Complaint> {
    parse(tool, &line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect::<Vec<_>>())
}

fn low(tool: Tool, line: &str) -> Low {
    match parse_line(tool, line) {
        Ok(Parsed::Run(low)) => *low,
        other => panic!("{line}: {other:?}"),
    }
}

fn complaint(tool: Tool, line: &str) -> String {
    let high = match parse_line(tool, line) {
        Ok(Parsed::Run(low)) if tool == Tool::Pub => Publishing::new(*low).map(drop),
        Ok(Parsed::Run(low)) if tool == Tool::Sub => Subscribing::new(*low).map(drop),
        Ok(Parsed::Run(low)) if tool == Tool::Ctrl => Session::new(&low, tool).map(drop),
        Ok(Parsed::Run(low)) => Subscribing::responding(*low).map(drop),
        Ok(other) => panic!("{line}: {other:?}"),
        Err(complaint) => Err(complaint),
    };
    high.expect_err(line).0
}

#[test]
fn no_name_stands_for_two_options() {
    for &tool in ALL {
        let names = names(tool);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}

#[test]
fn each_option_is_in_the_help() {
    for &tool in ALL {
        let help = help(tool, "x");
        for name in names(tool) {
            let is_there = |word: &str| word.trim_end_matches(',') == name;
            assert!(help.split_whitespace().any(is_there), "{name} is missing in\n{help}");
        }
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(HELP_WIDTH), "{widest:?}\n{help}");
    }
}

#[test]
fn the_originals_options_are_there_or_refused_with_a_reason() {
    for (tool, own) in [(Tool::Pub, ORIGINAL_PUB), (Tool::Sub, ORIGINAL_SUB), (Tool::Rr, ORIGINAL_RR)] {
        let original = &set(ORIGINAL_ALL) | &set(own);
        let ours: BTreeSet<String> = names(tool).into_iter().collect();
        assert_eq!(
            &original - &ours,
            refused(tool),
            "{tool:?}: what is not there is listed as such, and only that"
        );
        // A long name for `-x`, which has none in the original, and what the original cannot do.
        let beyond = match tool {
            Tool::Pub => "--retry-connect",
            Tool::Sub => "--json --color --count-by",
            _ => "--json --color",
        };
        let expected = set(&format!("--session-expiry-interval --scram {beyond}"));
        assert_eq!(&ours - &original, expected, "{tool:?}");
    }
}

#[test]
fn the_words_of_ctrl_end_its_options() {
    let given = low(Tool::Ctrl, "-q 2 -L mqtt://a@h:1 dynsec createClient -p -o");
    assert_eq!(given.operands, ["dynsec", "createClient", "-p", "-o"]);
    assert_eq!((given.qos, given.host.as_deref(), given.port), (Qos::ExactlyOnce, Some("h"), Some(1)));
    assert_eq!(low(Tool::Ctrl, "dynsec").qos, Qos::AtLeastOnce);
    let original = set(
        "-A --cafile --capath --cert --ciphers -d --debug --help -h --host --insecure -i --id --key --keyform -L \
         --url -o -p --port -P --pw --proxy --psk --psk-identity -q --qos --quiet --tls-alpn --tls-engine \
         --tls-engine-kpass-sha1 --tls-version -u --username --unix -V --protocol-version -v --verbose --version -f",
    );
    let ours: BTreeSet<String> = names(Tool::Ctrl).into_iter().collect();
    assert_eq!(&original - &ours, refused(Tool::Ctrl));
}

#[test]
fn unknown_options_get_a_hint() {
    for (tool, line, text) in [
        (Tool::Pub, "-C 1", "Error: Unknown option '-C'."),
        (Tool::Pub, "stray", "Error: Unknown option 'stray'."),
        (Tool::Sub, "--topik a", "Error: Unknown option '--topik'.\nDid you mean '--topic'?"),
        (
            Tool::Sub,
            "--psk x",
            "Error: Unknown option '--psk'.\nTLS has no pre-shared keys here: use certificates.",
        ),
        (Tool::Sub, "--", "Error: Unknown option '--'."),
        (Tool::Sub, "-", "Error: Unknown option '-'."),
        (Tool::Sub, "-th", "Error: Unknown option '-th'."),
    ] {
        assert_eq!(complaint(tool, line), text);
    }
}

/// The words are those of Debian's tools.
#[test]
fn wrong_command_lines() {
    let both = [
        ("-h", "Error: -h argument given but no host specified."),
        ("-p 70000", "Error: Invalid port given: 70000"),
        ("-q 3", "Error: Invalid QoS given: 3"),
        ("-k 4", "Error: Invalid keepalive given, it must be between 5 and 65535 inclusive."),
        ("-V", "Error: --protocol-version argument given but no version specified."),
        ("-V 4", "Error: Invalid protocol version argument given."),
        ("-x 12x", "Error: session-expiry-interval not a number."),
        ("-x -5", "Error: session-expiry-interval out of range."),
        ("-i a -I b", "Error: -i and -I argument cannot be used together."),
        ("-t a -c", "Error: You must provide a client id if you are using the -c option."),
        (
            "-t a -V 5 -x -1",
            "Error: You must provide a client id if you are using an infinite session expiry interval.",
        ),
        ("-t a -P x", "Error: Problem setting username and/or password."),
        ("--will-topic a/+", "Error: Invalid will topic 'a/+', does it contain '+' or '#'?"),
        ("--will-qos 3", "Error: Invalid will QoS 3."),
        ("-t a --will-payload x", "Error: Will payload given, but no will topic given."),
        ("-t a --will-retain", "Error: Will retain given, but no will topic given."),
        ("-D x", "Error: --property argument given but not enough arguments specified."),
        ("-t a -D connect user-property a b -V 311", "Unable to connect (This feature is not supported.)."),
    ];
    for (line, text) in both {
        assert_eq!(complaint(Tool::Pub, line), text, "pub {line}");
        assert_eq!(complaint(Tool::Sub, line), text, "sub {line}");
    }
    for (tool, line, text) in [
        (Tool::Sub, "--random-filter 0", "Error: --random-filter chance must be between 0.1 and 100.0"),
        (Tool::Pub, "-t a/#", "Error: Invalid publish topic 'a/#', does it contain '+' or '#'?"),
        (Tool::Pub, "-m a -n", "Error: Only one type of message can be sent at once."),
        (Tool::Pub, "--repeat 0", "Error: --repeat argument must be >0."),
        (Tool::Pub, "--repeat-delay -1", "Error: --repeat-delay argument must be >=0.0."),
        (Tool::Sub, "", "Error: You must specify a topic to subscribe to."),
        (
            Tool::Sub,
            "-t a#",
            "Error: Invalid subscription topic 'a#', are all '+' and '#' wildcards correct?",
        ),
        (Tool::Sub, "-T a#", "Error: Invalid filter topic 'a#', are all '+' and '#' wildcards correct?"),
        (Tool::Sub, "-U a#", "Error: Invalid unsubscribe topic 'a#', are all '+' and '#' wildcards correct?"),
        (Tool::Sub, "-C x", "Error: Invalid message count \"0\"."),
        (Tool::Sub, "-W -1", "Error: Invalid timeout \"-1\"."),
        (Tool::Sub, "-F %z", "Error: Invalid format specifier 'z'."),
        (Tool::Rr, "-t a -m x", "Error: All of topic, message, and response topic must be supplied."),
        (Tool::Rr, "-t a -n -e a/#", "Error: Invalid response topic 'a/#', does it contain '+' or '#'?"),
        (
            Tool::Rr,
            "-t a -n -e b -D publish response-topic c",
            "Error in PUBLISH properties: Duplicate response topic.",
        ),
        (Tool::Sub, "-t a -R --retained-only", "Error: Combining '-R' and '--retained-only' makes no sense."),
    ] {
        assert_eq!(complaint(tool, line), text, "{tool:?} {line}");
    }
}

#[test]
fn wrong_ways_to_the_server() {
    for (line, text) in [
        ("-L", "Error: -L argument given but no URL specified."),
        ("-L h", "Error: unsupported URL scheme."),
        ("-L http://h/t", "Error: unsupported URL scheme."),
        ("-L mqtt://h", "Error: Invalid URL for -L argument specified - topic missing."),
        ("-L mqtt://h:0/t", "Error: Invalid port given: 0"),
        ("-o", "Error: -o argument given but no options file specified."),
        ("--proxy h", "Error: Unsupported proxy protocol: h"),
        ("--proxy socks5h://", "Error: Invalid proxy."),
        ("--proxy socks5h://h:0", "Error: Invalid proxy port 0"),
        ("--tls-version tlsv1", "Error: Problem setting TLS options, check the options are valid."),
        ("-t a --cert x", "Error: Both certfile and keyfile must be provided if one of them is set."),
        ("-t a --keyform pem", "Error: If keyform is set, keyfile must be also specified."),
        (
            "-t a --key x --cert x --keyform x",
            "Error: Problem setting key form, it must be one of 'pem' or 'engine'.",
        ),
        ("-t a --cafile no/such", "Error: Problem setting TLS options: File not found.\nno/such"),
        ("-t a -A no-such-host.invalid", "Unable to connect (Lookup error.)."),
    ] {
        assert_eq!(complaint(Tool::Pub, line), text, "pub {line}");
        assert_eq!(complaint(Tool::Sub, line), text, "sub {line}");
    }
}

#[test]
fn wrong_properties() {
    for (line, text) in [
        ("foo user-property a b", "Error: Invalid command given in --property argument."),
        ("connect foo a", "Error: Invalid property name given in --property argument."),
        (
            "connect topic-alias 3",
            "Error: topic-alias property not allowed for connect in --property argument.",
        ),
        (
            "connect server-keep-alive 3",
            "Error: server-keep-alive property not allowed for connect in --property argument.",
        ),
        (
            "puback user-property a b",
            "Error: user-property property not supported for puback in --property argument.",
        ),
        (
            "publish subscription-identifier 5",
            "Error: subscription-identifier property not supported for publish in --property argument.",
        ),
        ("publish topic-alias 70000", "Error: Property value (70000) out of range for property topic-alias."),
        (
            "publish topic-alias 0",
            "Error in PUBLISH properties: A network protocol error occurred when communicating with the broker.",
        ),
        (
            "publish content-type a -D publish content-type b",
            "Error in PUBLISH properties: Duplicate property in property list",
        ),
        (
            "connect session-expiry-interval 5 -x 6 -t a -n",
            "Error in CONNECT properties: Duplicate property in property list",
        ),
        ("publish response-topic a/#", "Error: Invalid response topic 'a/#', does it contain '+' or '#'?"),
    ] {
        assert_eq!(complaint(Tool::Pub, &format!("-D {line}")), text);
    }
}

#[test]
fn a_property_implies_mqtt_5_until_told_otherwise() {
    assert_eq!(low(Tool::Pub, "-V 311 -D publish content-type x").version, Some(Version::V5));
    assert_eq!(low(Tool::Pub, "-D publish content-type x -V 311").version, Some(Version::V311));
    assert_eq!(low(Tool::Pub, "-x 5").version, None);
}

#[test]
fn properties_arrive_where_they_belong() {
    let line = "-t a -n -D PUBLISH content-type text -D publish user-property k v -D publish user-property k w \
                -D publish correlation-data c -D publish payload-format-indicator 1 \
                -D publish message-expiry-interval 10 -D publish topic-alias 2 -D publish response-topic r \
                -D disconnect reason-string bye -D disconnect session-expiry-interval 3";
    let plan = Publishing::new(low(Tool::Pub, line)).unwrap().unwrap();
    let properties = &plan.message.properties;
    assert_eq!(properties.content_type.as_deref(), Some("text"));
    assert_eq!(properties.user, [("k".to_owned(), "v".to_owned()), ("k".to_owned(), "w".to_owned())]);
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"c"[..]));
    assert_eq!(properties.payload_format, Some(true));
    assert_eq!(properties.message_expiry, Some(10));
    assert_eq!(properties.topic_alias, Some(2));
    assert_eq!(properties.response_topic.as_deref(), Some("r"));
    assert_eq!(plan.session.disconnect.reason_string.as_deref(), Some("bye"));
    assert_eq!(plan.session.disconnect.session_expiry, Some(3));

    let line = "-t a -t b -q 1 -U c -D subscribe subscription-identifier 9 -D subscribe user-property k v \
                -D unsubscribe user-property l w";
    let plan = Subscribing::new(low(Tool::Sub, line)).unwrap();
    assert_eq!(plan.subscribe.id, Some(9));
    assert_eq!(plan.subscribe.user, [("k".to_owned(), "v".to_owned())]);
    let filters: Vec<&str> = plan.subscribe.subscriptions.iter().map(|s| s.filter.as_str()).collect();
    assert_eq!(filters, ["a", "b"]);
    assert!(plan.subscribe.subscriptions.iter().all(|s| s.options.qos == Qos::AtLeastOnce));
    let unsubscribe = plan.unsubscribe.unwrap();
    assert_eq!(
        (unsubscribe.filters, unsubscribe.user),
        (vec!["c".to_owned()], vec![("l".to_owned(), "w".to_owned())])
    );
}

#[test]
fn pub_takes_the_last_topic_and_needs_a_payload() {
    let plan = Publishing::new(low(Tool::Pub, "-t a -t b -m x -q 2 -r --repeat 3")).unwrap().unwrap();
    assert_eq!(plan.message.topic, "b");
    assert_eq!((plan.message.qos, plan.message.retain, plan.repeat), (Qos::ExactlyOnce, true, 3));
    assert_eq!(plan.source, Source::Message(b"x".to_vec()));
    assert!(Publishing::new(low(Tool::Pub, "-t a")).unwrap().is_none());
    assert!(Publishing::new(low(Tool::Pub, "-m a")).unwrap().is_none());
}

#[test]
fn who_wants_no_retained_messages_asks_for_none() {
    for (line, handling) in [
        ("-t a", RetainHandling::Always),
        ("-t a -R", RetainHandling::Never),
        ("-t a -R --retain-handling new", RetainHandling::IfNew),
    ] {
        let plan = Subscribing::new(low(Tool::Sub, line)).unwrap();
        assert_eq!(plan.subscribe.subscriptions[0].options.retain_handling, handling, "{line}");
    }
}

#[test]
fn help_and_version_go_before_later_mistakes() {
    assert!(matches!(parse_line(Tool::Sub, "-t a --help --foo"), Ok(Parsed::Help)));
    assert!(matches!(parse_line(Tool::Sub, "--version --foo"), Ok(Parsed::Version)));
    assert!(parse_line(Tool::Sub, "--foo --help").is_err());
}

#[test]
fn a_url_says_where_who_and_what() {
    let plan = low(Tool::Sub, "-t b -L wss://me:pass:word@[::1]:9001/a/+/b");
    assert_eq!((plan.host.as_deref(), plan.port), (Some("::1"), Some(9001)));
    assert_eq!((plan.username.as_deref(), plan.password.as_deref()), (Some("me"), Some(&b"pass:word"[..])));
    assert!(plan.transport.secure_url && plan.transport.websocket);
    assert_eq!(plan.topics, ["b", "a/+/b"]);

    // the later of two wins, whichever kind it is
    let plan = low(Tool::Pub, "-p 1 -L mqtt://h/a -p 2");
    assert_eq!((plan.host.as_deref(), plan.port, plan.transport.secure_url), (Some("h"), Some(2), false));
}

#[test]
fn the_way_to_the_server() {
    let rows = [
        ("", "Tcp { host: \"localhost\", port: 1883, proxy: None }", false, false),
        ("-p 8883 --no-tls", "port: 8883", false, false),
        ("-L mqtt://h:8883/a", "port: 8883", false, false),
        ("--ws", "port: 80,", false, true),
        ("-L ws://h/a", "port: 80,", false, true),
        ("--unix /run/x -p 8883", "Unix(\"/run/x\")", false, false),
        (
            "--proxy socks5h://u%40:p@h",
            "Socks5 { host: \"h\", port: 1080, user: Some(\"u@\") }",
            false,
            false,
        ),
    ];
    for (line, link, tls, websocket) in rows {
        let low = low(Tool::Pub, &format!("-t a -n {line}"));
        let shown = format!("{:?}", transport::transport(&low).unwrap());
        assert!(shown.contains(link), "{line}: {shown}");
        assert_eq!(shown.contains("tls: Some("), tls, "{line}: {shown}");
        assert_eq!(shown.contains("websocket: Some("), websocket, "{line}: {shown}");
    }
    let warning = |line| low(Tool::Pub, line).transport.warning(None);
    assert!(warning("--insecure --cafile x").is_none());
    assert!(warning("--insecure").is_some_and(|line| line.contains("not encrypted")));
}
