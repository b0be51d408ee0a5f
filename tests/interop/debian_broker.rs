//! Our `mosquitto_pub` and `mosquitto_sub` against Debian's broker.

use grovemq_tests::{Broker, peers};

use crate::listening::{Listening, run};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

#[test]
fn our_tools_speak_every_version_and_quality_with_it() {
    let broker = Broker::debian();
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let args = ["-V", version, "-i", "to", "-t", "a/#", "-q", qos, "-C", "2", "-F", "%t %q %r %p"];
            let listening = Listening::start(peers::ours("mosquitto_sub"), broker.port(), &args);
            let message =
                ["-V", version, "-i", "from", "-t", "a/b", "-q", qos, "-m", "hello", "--repeat", "2"];
            run(peers::ours("mosquitto_pub"), broker.port(), &message).success();
            assert_eq!(listening.text(), format!("a/b {qos} 0 hello\n").repeat(2), "{version} {qos}");
        }
    }
}

#[test]
fn our_subscriber_comes_back_when_the_broker_does() {
    let broker = Broker::debian();
    let port = broker.port().to_string();
    let mut tool = peers::ours("mosquitto_sub");
    let subscriber =
        grovemq_tests::Program::start(tool.args(["-p", &port, "-i", "back", "-t", "a", "-C", "1"]));
    broker.wait_for_log("Sending SUBACK to back");
    let broker = broker.restart(grovemq_tests::Kind::Debian);
    broker.wait_for_log("Sending SUBACK to back");
    run(peers::debian("mosquitto_pub"), broker.port(), &["-t", "a", "-m", "again"]).success();
    assert_eq!(subscriber.finish(grovemq_tests::SOON).success().text(), "again\n");
}
