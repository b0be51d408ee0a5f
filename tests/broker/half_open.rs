//! A client whose network is gone, in network namespaces of their own: no end of the stream ever arrives.

use std::process::Command;

use grovemq_tests::{Program, SOON, peers, scratch};

/// Two namespaces joined by a cable; gone with the value.
struct Cable {
    here: String,
    there: String,
}

const HERE: &str = "198.18.77.1";

impl Cable {
    /// `None` where a test may not make namespaces.
    fn new() -> Option<Self> {
        let name = |side| format!("grovemq-{}-{side}", std::process::id());
        let cable = Self { here: name("a"), there: name("b") };
        let (here, there) = (cable.here.as_str(), cable.there.as_str());
        let steps: [&[&str]; 8] = [
            &["netns", "add", here],
            &["netns", "add", there],
            &[
                "-n", here, "link", "add", "name", "near", "type", "veth", "peer", "name", "far", "netns",
                there,
            ],
            &["-n", here, "addr", "add", "198.18.77.1/30", "dev", "near"],
            &["-n", there, "addr", "add", "198.18.77.2/30", "dev", "far"],
            &["-n", here, "link", "set", "lo", "up"],
            &["-n", here, "link", "set", "near", "up"],
            &["-n", there, "link", "set", "far", "up"],
        ];
        steps.iter().all(|step| ip(step)).then_some(cable)
    }

    /// From now on nothing passes, and nobody is told.
    fn pull_out(&self) {
        assert!(ip(&["-n", &self.there, "link", "set", "far", "down"]));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.there]);
        ip(&["netns", "del", &self.here]);
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

/// That program in a namespace.
fn inside(namespace: &str, program: &Command) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program.get_program()).args(program.get_args());
    command
}

/// C08: the broker notices by the keep-alive, though what it has sent will never be taken, and the will goes out.
#[test]
fn c08_a_client_whose_cable_is_pulled_out() {
    let Some(cable) = Cable::new() else {
        eprintln!("left out: network namespaces cannot be made here, which needs root");
        return;
    };
    let dir = scratch();
    let file = dir.path().join("mosquitto.conf");
    std::fs::write(&file, format!("listener 2883 {HERE}\nallow_anonymous true\nuser root\n")).unwrap();
    let mut broker = peers::ours("broker");
    broker.arg("-v").arg("-c").arg(&file);
    let broker = Program::start(&mut inside(&cable.here, &broker));
    broker.wait_for_stderr("Opening ipv4 listen socket on port 2883.", SOON);
    let tool = |namespace: &str, name: &str, args: &[&str]| {
        let mut tool = peers::ours(name);
        tool.args(["-h", HERE, "-p", "2883"]).args(args);
        Program::start(&mut inside(namespace, &tool))
    };
    let watch = tool(&cable.here, "sub", &["-t", "gone"]);
    broker.wait_for_stderr("Sending SUBACK", SOON);
    let will = ["--will-topic", "gone", "--will-payload", "without a word"];
    let args = [&["-i", "half", "-k", "5", "-t", "t"][..], &will].concat();
    let half = tool(&cable.there, "sub", &args);
    broker.wait_for_stderr("Sending SUBACK to half", SOON);
    cable.pull_out();
    let publish = tool(&cable.here, "pub", &["-t", "t", "-m", "for nobody"]);
    broker.wait_for_stderr("Sending PUBLISH to half", SOON);
    watch.wait_for_stdout("without a word", SOON);
    broker.wait_for_stderr("Client half [198.18.77.2:", SOON);
    drop((publish, half, watch, broker));
}
