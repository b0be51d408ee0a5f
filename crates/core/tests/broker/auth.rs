//! Enhanced authentication: who may say what when, what it leads to, and its bounds. The driver's part is played.

use crate::bench::*;
use grovemq_codec::{
    Auth, AuthProperties, Connect, ConnectProperties, Disconnect, DisconnectProperties, Packet, ReasonCode,
};
use grovemq_core::access::{Access, Who};
use grovemq_core::observe::Cause;
use grovemq_core::{Limits, ListenerSettings, Settings, Verdict};
use std::time::Duration;

const M: &str = "method";

fn checked() -> Settings {
    let listener = ListenerSettings { authenticate: true, ..ListenerSettings::default() };
    Settings { listeners: vec![listener], ..settings() }
}

fn with_method<'a>(connect: Connect<'a>, data: &'a str) -> Connect<'a> {
    let properties = ConnectProperties {
        authentication_method: Some(M),
        authentication_data: Some(data.as_bytes()),
        ..connect.properties
    };
    Connect { properties, ..connect }
}

fn auth<'a>(reason: ReasonCode, method: &'a str, data: &'a str) -> Packet<'a> {
    let properties = AuthProperties {
        authentication_method: Some(method),
        authentication_data: Some(data.as_bytes()),
        ..AuthProperties::default()
    };
    Packet::Auth(Auth { reason, properties })
}

fn answer(data: &str) -> Packet<'_> {
    auth(ReasonCode::ContinueAuthentication, M, data)
}

fn again(data: &str) -> Packet<'_> {
    auth(ReasonCode::ReAuthenticate, M, data)
}

fn challenge(data: &str) -> Verdict {
    Verdict::Challenge(data.into())
}

fn proven(username: &str, data: &str) -> Verdict {
    Verdict::Proven { username: username.into(), data: data.into() }
}

fn said(bench: &Bench, name: &str) -> Vec<String> {
    let words = bench.login(name).unwrap().words.clone().unwrap();
    assert_eq!(&*words.method, M);
    words.said.into_iter().map(|data| String::from_utf8(data).unwrap()).collect()
}

/// A client that is asked for its first answer.
fn asked(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    assert!(bench.connect("a", with_method(v5("a"), "one")).is_empty());
    assert_eq!(bench.verdict("a", challenge("two")), ["AUTH ContinueAuthentication method:two"]);
    bench
}

/// A client that got in as `u`.
fn agreed(settings: Settings) -> Bench {
    let mut bench = asked(settings);
    assert!(bench.feed("a", &answer("three")).is_empty());
    assert_eq!(bench.verdict("a", proven("u", "four")), ["CONNACK Success method:four"]);
    bench
}

#[test]
fn an_exchange_from_connect_to_connack() {
    let mut bench = Bench::new(checked());
    assert!(bench.connect("a", with_method(v5("a"), "one")).is_empty());
    assert_eq!(said(&bench, "a"), ["one"]);
    assert_eq!(bench.login("a").unwrap().username, None);
    // A29: nothing is looked at while the driver thinks
    assert!(bench.feed("a", &answer("three")).is_empty());
    assert_eq!(bench.verdict("a", challenge("two")), ["AUTH ContinueAuthentication method:two"]);
    assert_eq!(said(&bench, "a"), ["one", "two", "three"]);
    assert_eq!(bench.verdict("a", challenge("four")), ["AUTH ContinueAuthentication method:four"]);
    bench.feed("a", &answer("five"));
    assert_eq!(said(&bench, "a"), ["one", "two", "three", "four", "five"]);
    assert_eq!(bench.verdict("a", proven("u", "")), ["CONNACK Success method:nothing"]);
    assert_eq!(bench.feed("a", &Packet::PingReq), ["PINGRESP"]);
}

#[test]
fn the_user_that_was_proven_is_the_one_the_rules_see() {
    let mut settings = with_access(|who: Who<'_>, _: Access, _: &str| who.username == Some("u"));
    settings.listeners[0].authenticate = true;
    let mut bench = agreed(settings);
    assert_eq!(bench.feed("a", &publish(1, 1, "t", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
}

#[test]
fn what_the_driver_says_of_the_first_words() {
    let table = [
        (Verdict::Deny, "CONNACK NotAuthorized"),
        (Verdict::Allow, "CONNACK NotAuthorized"),
        (Verdict::Unavailable, "CONNACK ServerUnavailable"),
        (Verdict::UnknownMethod, "CONNACK BadAuthenticationMethod"),
    ];
    for (verdict, expected) in table {
        let mut bench = Bench::new(checked());
        bench.connect("a", with_method(v5("a"), "one"));
        assert_eq!(bench.verdict("a", verdict.clone()), [expected, "closed"], "{verdict:?}");
        let mut bench = asked(checked());
        bench.feed("a", &answer("three"));
        assert_eq!(bench.verdict("a", verdict.clone()), [expected, "closed"], "{verdict:?}");
    }
}

#[test]
fn before_connack_only_auth_and_disconnect_may_come() {
    let publish = publish(0, 0, "t", "x");
    let packets = [
        Packet::PingReq,
        Packet::Connect(v5("a")),
        publish,
        again("three"),
        auth(ReasonCode::Success, M, ""),
        auth(ReasonCode::ContinueAuthentication, "other", "three"),
    ];
    for packet in &packets {
        let mut bench = asked(checked());
        assert_eq!(bench.feed("a", packet), ["CONNACK ProtocolError", "closed"], "{packet:?}");
    }
    let mut bench = asked(checked());
    let farewell =
        Disconnect { reason: ReasonCode::NormalDisconnection, properties: DisconnectProperties::default() };
    assert_eq!(bench.feed("a", &Packet::Disconnect(farewell)), ["closed"]);
    assert_eq!(bench.len(), (0, 0));
}

#[test]
fn a_name_in_connect_must_be_the_one_that_is_proven() {
    for (name, expected) in [("u", "CONNACK Success method:four"), ("v", "CONNACK NotAuthorized; closed")] {
        let mut bench = Bench::new(checked());
        bench.connect("a", with_method(Connect { username: Some(name), ..v5("a") }, "one"));
        assert_eq!(bench.verdict("a", proven("u", "four")).join("; "), expected, "{name}");
    }
}

#[test]
fn where_nobody_checks_there_is_no_method() {
    let mut bench = Bench::new(settings());
    assert_eq!(
        bench.connect("a", with_method(v5("a"), "one")),
        ["CONNACK BadAuthenticationMethod", "closed"]
    );
}

#[test]
fn a_client_authenticates_anew_while_messages_flow() {
    let mut bench = agreed(checked());
    for _ in 0..3 {
        assert!(bench.feed("a", &again("1")).is_empty());
        assert_eq!(said(&bench, "a"), ["1"]);
        assert_eq!(bench.feed("a", &publish(1, 1, "t", "x")), ["PUBACK #1 NoMatchingSubscribers"]);
        assert_eq!(bench.verdict("a", challenge("2")), ["AUTH ContinueAuthentication method:2"]);
        assert_eq!(bench.feed("a", &Packet::PingReq), ["PINGRESP"]);
        bench.feed("a", &answer("3"));
        assert_eq!(said(&bench, "a"), ["1", "2", "3"]);
        assert_eq!(bench.verdict("a", proven("u", "4")), ["AUTH Success method:4"]);
    }
    bench.wait(1_000_000);
    assert_eq!(bench.feed("a", &Packet::PingReq), ["PINGRESP"], "no deadline is left behind");
}

#[test]
fn who_fails_to_authenticate_anew_is_cut_off() {
    let table = [
        (Verdict::Deny, "DISCONNECT NotAuthorized"),
        (proven("v", ""), "DISCONNECT NotAuthorized"),
        (Verdict::Unavailable, "DISCONNECT QuotaExceeded"),
        (Verdict::UnknownMethod, "DISCONNECT BadAuthenticationMethod"),
    ];
    for (verdict, expected) in table {
        let mut bench = agreed(checked());
        bench.feed("a", &again("1"));
        assert_eq!(bench.verdict("a", verdict.clone()), [expected, "closed"], "{verdict:?}");
    }
}

#[test]
fn auth_out_of_place_while_connected() {
    for packet in
        [answer("1"), auth(ReasonCode::Success, M, ""), auth(ReasonCode::ReAuthenticate, "other", "1")]
    {
        let mut bench = agreed(checked());
        assert_eq!(bench.feed("a", &packet), ["DISCONNECT ProtocolError", "closed"], "{packet:?}");
    }
    for packet in [again("1"), answer("1")] {
        let mut bench = agreed(checked());
        bench.feed("a", &again("1"));
        let lines = bench.feed("a", &packet);
        assert_eq!(lines, ["DISCONNECT ProtocolError", "closed"], "while the driver thinks: {packet:?}");
        assert!(bench.verdict("a", challenge("2")).is_empty(), "the verdict comes too late");
    }
}

#[test]
fn an_exchange_is_bounded_in_time_rounds_and_bytes() {
    let limits = Limits {
        connect_time_max: Duration::from_secs(5),
        auth_time_max: Duration::from_secs(5),
        auth_rounds_max: 2,
        auth_bytes_max: 16,
        ..Limits::default()
    };
    let bounded = || Settings { limits: limits.clone(), ..checked() };

    let mut bench = asked(bounded());
    bench.wait(5000);
    assert_eq!(bench.take("a"), ["closed"]);
    assert_eq!(bench.take_causes(), [Cause::ConnectTimeout]);

    for judging in [true, false] {
        let mut bench = agreed(bounded());
        bench.feed("a", &again("1"));
        if !judging {
            bench.verdict("a", challenge("2"));
        }
        bench.wait(4999);
        assert!(bench.take("a").is_empty());
        bench.wait(1);
        assert_eq!(bench.take("a"), ["DISCONNECT NotAuthorized", "closed"]);
    }

    let mut bench = asked(bounded());
    for _ in 0..2 {
        assert!(bench.feed("a", &answer("")).is_empty());
        bench.verdict("a", challenge(""));
    }
    assert_eq!(bench.feed("a", &answer("")), ["CONNACK QuotaExceeded", "closed"]);

    let mut bench = asked(bounded());
    assert_eq!(bench.feed("a", &answer("0123456789a")), ["CONNACK QuotaExceeded", "closed"]);
    let mut bench = Bench::new(bounded());
    let lines = bench.connect("a", with_method(v5("a"), "0123456789abcdefg"));
    assert_eq!(lines, ["CONNACK QuotaExceeded", "closed"]);
}

#[test]
fn a_challenge_too_large_for_the_client_ends_it() {
    let connect = with_method(v5("a"), "one");
    let properties = ConnectProperties { maximum_packet_size: Some(20), ..connect.properties };
    let mut bench = Bench::new(checked());
    bench.connect("a", Connect { properties, ..connect });
    let long = "x".repeat(20);
    assert_eq!(bench.verdict("a", challenge(&long)), ["CONNACK PacketTooLarge", "closed"]);
}

#[test]
fn a_will_goes_out_when_its_client_is_cut_off() {
    let mut bench = Bench::new(checked());
    let connect = Connect { will: Some(will("w", 0)), ..with_method(v5("a"), "one") };
    bench.connect("a", connect);
    bench.verdict("a", proven("u", ""));
    bench.connect("b", with_method(v5("b"), "one"));
    bench.verdict("b", proven("u", ""));
    bench.feed("b", &subscribe(&[("w", options(0))]));
    bench.feed("a", &again("1"));
    bench.verdict("a", Verdict::Deny);
    assert_eq!(bench.take("b"), ["PUBLISH w q0 gone"]);
}

#[test]
fn what_was_judged_before_a_change_of_rights_is_judged_again() {
    let mut bench = asked(checked());
    bench.feed("a", &answer("three"));
    bench.change(&checked());
    assert!(bench.verdict("a", proven("u", "four")).is_empty(), "it may not be true any more");
    assert_eq!(said(&bench, "a"), ["one", "two", "three"]);
    assert_eq!(bench.verdict("a", proven("u", "four")), ["CONNACK Success method:four"]);

    let mut bench = asked(checked());
    bench.feed("a", &answer("three"));
    bench.change(&settings());
    assert_eq!(bench.verdict("a", proven("u", "four")), ["CONNACK ServerUnavailable", "closed"]);
}
