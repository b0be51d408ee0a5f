//! Requests on `$CONTROL/broker/v1`, sent and heard by Debian's tools.

use grovemq_tests::{Broker, Kind, SOON};

use crate::{listen, publish};

const TOPIC: &str = "$CONTROL/broker/v1";

#[test]
fn listeners_and_plugins_are_listed() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nenable_control_api true\n");
    let listening = listen(&broker, "admin", &["-t", "$CONTROL/#", "-v", "-C", "2"]);
    let request =
        r#"{"commands":[{"command":"listListeners","correlationData":"c"},{"command":"listPlugins"}]}"#;
    publish(&broker, &["-q", "2", "-t", TOPIC, "-m", request]).success();
    publish(&broker, &["-q", "1", "-r", "-t", TOPIC, "-m", "no json"]).success();
    let port = broker.port();
    let expected = format!(
        concat!(
            r#"$CONTROL/broker/v1/response {{"responses":[{{"command":"listListeners","data":{{"listeners":["#,
            r#"{{"port":{},"protocol":"mqtt","bind-address":"127.0.0.1","tls":false}}]}},"correlationData":"c"}},"#,
            r#"{{"command":"listPlugins","data":{{"plugins":[]}}}}]}}"#,
            "\n",
            r#"$CONTROL/broker/v1/response {{"responses":[{{"command":"Unknown command","error":"Payload not valid JSON"}}]}}"#,
            "\n"
        ),
        port
    );
    assert_eq!(listening.finish(SOON).success().text(), expected);
    broker.wait_for_log("| listListeners");
}

#[test]
fn only_those_with_the_right_are_answered() {
    let acl = "topic read #\nuser admin\ntopic write $CONTROL/#\ntopic read $CONTROL/#\n";
    let configuration = "allow_anonymous true\nenable_control_api true\nacl_file {dir}/acl\n";
    let broker = Broker::start_with_files(Kind::Ours, configuration, &[("acl", acl)]);
    let request = r#"{"commands":[{"command":"listPlugins"}]}"#;
    let listening = listen(&broker, "admin", &["-u", "admin", "-t", "$CONTROL/#", "-C", "1", "-F", "%p"]);
    let refused = publish(&broker, &["-V", "5", "-q", "1", "-t", TOPIC, "-m", request]);
    assert!(refused.stderr.contains("Not authorized"), "{refused:?}");
    broker.wait_for_log("denied: no rule allows it");
    publish(&broker, &["-u", "admin", "-q", "1", "-t", TOPIC, "-m", "{}"]).success();
    let answer = listening.finish(SOON).success().text();
    assert_eq!(
        answer,
        "{\"responses\":[{\"command\":\"Unknown command\",\"error\":\"Invalid/missing commands\"}]}\n"
    );
}

#[test]
fn without_the_directive_nobody_is() {
    let broker = Broker::ours();
    let refused = publish(&broker, &["-V", "5", "-q", "1", "-t", TOPIC, "-m", "{}"]);
    assert!(refused.stderr.contains("Not authorized"), "{refused:?}");
    broker.wait_for_log("reserved for the broker");
}
