//! `grovemq thing` as a process, against our broker.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use grovemq_tests::{Broker, Kind, Program, SOON, free_port, peers, scratch};

use crate::bench::{Ear, eventually};

const ADDRESS: &str = "127.0.0.2";

fn command(port: u16, options: &[&str]) -> Command {
    let mut command = peers::ours("thing");
    command.args(["-p", &port.to_string(), "--board", "simulated", "-v"]).args(options);
    command
}

fn publish(port: u16, topic: &str, payload: &str) {
    let mut publish = peers::ours("mosquitto_pub");
    publish.args(["-p", &port.to_string(), "-t", topic, "-m", payload]);
    Program::run(&mut publish, b"", SOON).success();
}

/// A thing of this file's text, which is run without further options.
#[track_caller]
fn of_file(text: &str) -> (Program, tempfile::TempDir) {
    let dir = scratch();
    let file = dir.path().join("thing.toml");
    std::fs::write(&file, text).unwrap();
    (Program::start(peers::ours("thing").arg("-c").arg(&file)), dir)
}

#[track_caller]
fn count(program: &Program, part: &str) -> usize {
    program.stderr_lines().iter().filter(|line| line.contains(part)).count()
}

#[test]
fn without_a_file_it_is_the_thing_of_the_lab() {
    let broker = Broker::ours();
    let port = broker.port();
    let thing = Program::start(&mut command(port, &[]));
    let topic = |name: &str, word: &str| {
        let line = thing.wait_for_stderr(&format!("{name} {word} "), SOON);
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (button, knob) = (topic("button0", "publishes to"), topic("potentiometer0", "publishes to"));
    assert!(button.ends_with("/sensors/button0") && knob.ends_with("/sensors/potentiometer0"));
    assert!(topic("clock0", "publishes to").ends_with("/stuff/clock0"));
    assert_eq!((topic("led0", "follows"), topic("led1", "follows")), (button.clone(), knob.clone()));
    broker.wait_for_log("as thing-");
    thing.wait_for_stderr("led1: 0 of 255", SOON);
    publish(port, &button, "True");
    thing.wait_for_stderr("led0: on", SOON);
    publish(port, &knob, "1023");
    thing.wait_for_stderr("led1: 255 of 255", SOON);
    publish(port, &button, "Hello, World!");
    let ignored = thing.wait_for_stderr("ignores", SOON);
    assert!(ignored.starts_with("led0: ignores \"Hello, World!\""), "{ignored}");
    assert!(ignored.ends_with("not `True` or `False`"), "{ignored}");

    thing.interrupt();
    let end = thing.finish(SOON).success();
    assert!(end.stderr.ends_with("ending: actuators off\ndisconnected\n"), "{}", end.stderr);
    assert_eq!(end.stdout, b"");
    broker.wait_for_log("Received DISCONNECT from thing-");
    let log = broker.program().stderr_lines();
    let at = |text: &str| log.iter().position(|line| line.contains(text));
    assert!(at("Received UNSUBSCRIBE from thing-").unwrap() < at("Received DISCONNECT from thing-").unwrap());
    let availability =
        Ear::of(peers::ours("mosquitto_sub"), port, &["-t", "+/availability", "-F", "%p %r", "-C", "1"]);
    assert_eq!(availability.finish().success().text(), "offline 1\n");
}

#[test]
fn the_file_says_what_it_is() {
    let broker = Broker::ours();
    let port = broker.port();
    let ear = Ear::of(peers::ours("mosquitto_sub"), port, &["-t", "lab/#", "-F", "%t %p %q", "-q", "1"]);
    let (thing, _dir) = of_file(&format!(
        "[broker]\nport = {port}\nclient_id = 'desk-7'\nkeep_alive_s = 7\nprotocol = '3.1.1'\n\
         [thing]\naddress = '{ADDRESS}'\nboard = 'simulated'\navailability = 'lab/{{ip}}'\n\
         [[sensor]]\nkind = 'button'\nname = 'bell'\npin = 'D7'\ntopic = 'lab/{{name}}'\nqos = 1\n\
         [[actuator]]\nkind = 'led'\nname = 'light'\npin = 'D2'\nsubscribe = ['lab/+/on', 'lab/all']\n"
    ));
    ear.hears("lab/bell False 1");
    ear.hears(&format!("lab/{ADDRESS} online 0"));
    let client = broker.wait_for_log("as desk-7");
    assert!(client.contains("(p4, c1, k7)"), "{client}");
    publish(port, "lab/kitchen/on", "whatever");
    thing.wait_for_stderr("light: ignores \"whatever\" from \"lab/kitchen/on\"", SOON);
    thing.kill();
    // the will
    ear.hears(&format!("lab/{ADDRESS} offline 0"));
}

#[test]
fn mistakes_end_it_at_once_and_name_the_place() {
    let sensor = "[[sensor]]\nkind = 'button'\nname = 'b'\npin = 'D9'\n";
    let meaning = "[[sensor]]\nkind = 'clock'\nname = 'c'\ninterval_ms = 1\n\n\
                   [[actuator]]\nkind = 'dimmed_led'\nname = 'l'\npin = 'D4'\n";
    for (text, places) in [
        ("[thing]\nbord = 'auto'\n", &["2:1: unknown field `bord`"][..]),
        (sensor, &["4:7: "]),
        (meaning, &["4:15: ", "9:7: "]),
    ] {
        let (thing, dir) = of_file(text);
        let end = thing.finish(SOON);
        let file = dir.path().join("thing.toml");
        assert_eq!(end.code, 1);
        for place in places {
            assert!(end.stderr.contains(&format!("{}:{place}", file.display())), "{place} in {}", end.stderr);
        }
    }
    for (arguments, message) in [
        (&["-c", "/nonexistent.toml"][..], "Error: /nonexistent.toml: No such file or directory"),
        (&["/nonexistent.toml"], "Error: Unknown argument '/nonexistent.toml'. A file goes behind -c."),
        (&["--board", "/dev/nonexistent-i2c"], "Error: /dev/nonexistent-i2c cannot be opened: "),
        (&["-p", "0"], "Error: Invalid port given: 0"),
    ] {
        let end = Program::run(peers::ours("thing").args(arguments), b"", SOON);
        assert_eq!(end.code, 1, "{arguments:?}");
        assert!(end.stderr.contains(message), "{arguments:?}: {}", end.stderr);
    }
}

#[test]
fn without_a_board_it_takes_a_simulated_one_and_says_so() {
    let (thing, _dir) = of_file(&format!("[broker]\nport = {}\n", free_port()));
    let line = thing.wait_for_stderr("using ", SOON);
    if std::path::Path::new("/dev/i2c-1").exists() {
        assert_eq!(line, "using the GrovePi board on /dev/i2c-1");
    } else {
        assert_eq!(line, "no /dev/i2c-1: using a simulated GrovePi board");
    }
}

#[test]
fn a_broker_that_comes_later_is_found() {
    let port = free_port();
    let thing = Program::start(&mut command(port, &[]));
    thing.wait_for_stderr("trying again", SOON);
    // time for a second and a third attempt
    eventually(|| count(&thing, "next attempt") >= 3, || thing.transcript());
    assert_eq!(count(&thing, "trying again"), 1, "{}", thing.transcript());
    let line = format!("127.0.0.1:{port}: no connection: Connection refused");
    assert!(count(&thing, &line) == 1, "{}", thing.transcript());
    let broker = Program::start(peers::ours("broker").args(["-p", &port.to_string()]));
    thing.wait_for_stderr("connected to", SOON);
    thing.wait_for_stderr("led0: off", SOON);
    thing.interrupt();
    thing.finish(SOON).success();
    drop(broker);
}

#[test]
fn a_broker_that_goes_and_comes_is_told_the_present_state() {
    let broker = Broker::ours();
    let thing = Program::start(&mut command(broker.port(), &[]));
    broker.wait_for_log("/sensors/button0', ... (5 bytes))");
    let broker = broker.restart(Kind::Ours);
    for message in ["/sensors/button0', ... (5 bytes))", "/sensors/potentiometer0', ... (1 bytes))"] {
        broker.wait_for_log(message);
    }
    let online = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "+/availability", "-F", "%p"]);
    online.hears("online");
    eventually(|| count(&thing, "subscribed to") >= 2, || thing.transcript());
    let mut troubles: Vec<String> =
        thing.stderr_lines().into_iter().filter(|line| line.contains("trying again")).collect();
    assert!(!troubles.is_empty(), "{}", thing.transcript());
    troubles.sort();
    assert!(troubles.windows(2).all(|two| two[0] != two[1]), "told twice: {troubles:?}");
    thing.interrupt();
    thing.finish(SOON).success();
}

#[test]
fn it_ends_while_the_broker_is_away() {
    let thing = Program::start(&mut command(free_port(), &[]));
    thing.wait_for_stderr("trying again", SOON);
    thing.interrupt();
    let end = thing.finish(Duration::from_secs(5)).success();
    assert!(end.stderr.ends_with("ending: actuators off\n"), "{}", end.stderr);
}

#[test]
fn a_refusal_says_what_to_do() {
    let passwords = std::fs::read_to_string(peers::repository().join("examples/lab/passwords")).unwrap();
    let broker = Broker::start_with_files(
        Kind::Ours,
        "allow_anonymous false\npassword_file {dir}/passwords\n",
        &[("passwords", &passwords)],
    );
    let port = broker.port();
    for (credentials, reason) in [
        ("", "Not authorized, without username and password"),
        ("username = 'user1'\npassword = 'wrong'", "Not authorized, for username \"user1\" and its password"),
        (
            "username = 'user117'\npassword = 'iotlab'",
            "Not authorized, for username \"user117\" and its password",
        ),
    ] {
        let (thing, _dir) = of_file(&format!("[broker]\nport = {port}\n{credentials}\n"));
        let line = thing.wait_for_stderr("trying again", SOON);
        let expected = format!(
            "127.0.0.1:{port}: the server refused Connect: {reason}; \
             they stand below [broker] in the thing's file; trying again"
        );
        assert_eq!(line, expected);
        assert!(!thing.transcript().contains("iotlab") && !thing.transcript().contains("wrong"));
    }
    let (thing, _dir) =
        of_file(&format!("[broker]\nport = {port}\nusername = 'user1'\npassword = 'iotlab'\n"));
    thing.wait_for_stderr("connected to", SOON);
}

#[test]
fn another_client_of_the_same_name_is_told_from_a_broken_connection() {
    let broker = Broker::ours();
    let text = format!("[broker]\nport = {}\nclient_id = 'twin'\n", broker.port());
    let (first, _dir) = of_file(&text);
    first.wait_for_stderr("connected to", SOON);
    let (_second, _other_dir) = of_file(&text);
    let line = first.wait_for_stderr("taken over", SOON);
    assert_eq!(
        line,
        "another client has connected as twin and taken over; \
         every thing needs its own client_id, below [broker] in its file"
    );
}

#[test]
fn a_file_is_checked_without_running_it() {
    let dir = scratch();
    let good = peers::repository().join("examples/lab/scenario-2/thing-1.toml");
    let bad = dir.path().join("bad.toml");
    std::fs::write(
        &bad,
        "[broker]\nport = 0\n[[sensor]]\nkind = 'light'\nname = 'l'\npin = 'D2'\ninvert = true\n",
    )
    .unwrap();
    let checked = Program::run(peers::ours("thing").arg("check").arg(&good), b"", SOON).success();
    assert_eq!(checked.text(), format!("{}: in order, sensors: 2, actuators: 2\n", good.display()));
    let end = Program::run(peers::ours("thing").arg("check").args([&good, &bad]), b"", SOON);
    assert_eq!(end.code, 1);
    let bad = bad.display();
    let expected = format!(
        "{bad}:2:8: port must be 1 to 65535\n{bad}:6:7: D2 has no analog input; A0, A1 and A2 have\n"
    );
    assert!(end.stderr.starts_with(&expected), "{}", end.stderr);
    let schema = Program::run(peers::ours("thing").arg("schema"), b"", SOON).success();
    let page = std::fs::read_to_string(peers::repository().join("docs/thing.toml.md")).unwrap();
    assert_eq!(schema.text(), page);
}

#[test]
fn a_changed_file_is_read_again_unless_it_is_wrong() {
    let broker = Broker::ours();
    let port = broker.port();
    let text = |sensor: &str| {
        format!(
            "[broker]\nport = {port}\n[thing]\naddress = '{ADDRESS}'\nboard = 'simulated'\n\
             [[sensor]]\nkind = '{sensor}'\nname = 'x'\npin = 'D3'\nretain = true\n"
        )
    };
    let (thing, dir) = of_file(&text("button"));
    let file = dir.path().join("thing.toml");
    thing.wait_for_stderr("connected to", SOON);
    std::fs::write(&file, text("buton")).unwrap();
    thing.hang_up();
    thing.wait_for_stderr("not reloaded: going on as before", SOON);
    assert_eq!(count(&thing, "thing.toml:7:8: unknown variant `buton`"), 1, "{}", thing.transcript());
    std::fs::write(&file, text("touch") + "topic = 'lab/new'\n").unwrap();
    thing.hang_up();
    thing.wait_for_stderr("x publishes to lab/new", SOON);
    let ear = Ear::of(peers::ours("mosquitto_sub"), port, &["-t", "lab/new", "-C", "1"]);
    assert_eq!(ear.finish().success().text(), "False\n");
    thing.interrupt();
    thing.finish(SOON).success();
}

#[test]
fn the_way_to_the_broker_may_be_encrypted() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let broker = Broker::start_with_files(
        Kind::Ours,
        "certfile {dir}/cert.pem\nkeyfile {dir}/key.pem\nallow_anonymous true\n",
        &[("cert.pem", &key.cert.pem()), ("key.pem", &key.signing_key.serialize_pem())],
    );
    let port = broker.port();
    let ca = broker.dir().join("cert.pem");
    let text = |tls: &str| format!("[broker]\nhost = 'localhost'\nport = {port}\n[broker.tls]\n{tls}\n");
    let (thing, _dir) = of_file(&text(&format!("ca_file = '{}'", ca.display())));
    thing.wait_for_stderr("connected to", SOON);
    let (stranger, _other_dir) = of_file(&text(""));
    stranger.wait_for_stderr("trying again", SOON);
    let (lost, _third_dir) = of_file(&text("ca_file = '/nonexistent.pem'"));
    let end = lost.finish(SOON);
    assert!(end.code == 1 && end.stderr.contains("/nonexistent.pem"), "{}", end.stderr);
}

/// A board by itself, which can be played on from elsewhere.
struct Bench {
    dir: tempfile::TempDir,
    board: Program,
}

impl Bench {
    fn start(options: &[&str]) -> Self {
        let dir = scratch();
        let mut command = peers::ours("board");
        command.current_dir(dir.path()).args(["--socket", "board.sock", "--control", "control.sock"]);
        let board = Program::start(command.args(options));
        board.wait_for_stdout("a simulated GrovePi board", SOON);
        Self { dir, board }
    }

    fn say(&self, words: &str) -> String {
        let mut stream = UnixStream::connect(self.dir.path().join("control.sock")).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }

    fn thing(&self, port: u16, resources: &str) -> (Program, tempfile::TempDir) {
        of_file(&format!(
            "[broker]\nport = {port}\n[thing]\naddress = '{ADDRESS}'\nboard = 'unix:{}'\n{resources}",
            self.dir.path().join("board.sock").display()
        ))
    }
}

#[test]
fn a_board_by_itself_is_played_on_goes_and_comes() {
    let broker = Broker::ours();
    let bench = Bench::start(&["--firmware", "1.2.7"]);
    let ear = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "#", "-v"]);
    let (thing, _dir) = bench.thing(
        broker.port(),
        "[[sensor]]\nkind = 'button'\nname = 'b'\npin = 'D3'\n\
         [[sensor]]\nkind = 'dht22'\nname = 't'\npin = 'D7'\ninterval_ms = 100\n\
         [[actuator]]\nkind = 'led'\nname = 'l'\npin = 'D8'\nsubscribe = ['{ip}/sensors/b']\n\
         [[actuator]]\nkind = 'lcd'\nname = 'show'\nsubscribe = ['{ip}/sensors/t']\nformat = '{1} °C'\n",
    );
    thing.wait_for_stderr("using the simulated board behind ", SOON);
    ear.hears(&format!("{ADDRESS}/availability degraded: t"));
    assert_eq!(
        bench.say("press D3\nclimate D7 21.46 40\njump\n"),
        "done\ndone\nerror: unknown words `jump`\n"
    );
    ear.hears(&format!("{ADDRESS}/sensors/b True"));
    ear.hears(&format!("{ADDRESS}/sensors/t 21.5"));
    bench.board.wait_for_stdout("D8  on", SOON);
    bench.board.wait_for_stdout("LCD |21.5 °C         |", SOON);
    assert!(
        bench.say("show\n").contains("\"four_digit\"") || bench.say("show\n").contains("\"present\":true")
    );

    bench.say("unplug\n");
    ear.hears(&format!("{ADDRESS}/availability degraded: b"));
    bench.say("plug\n");
    // all that it has forgotten is brought back
    eventually(
        || bench.board.stdout_lines().iter().filter(|line| *line == "D8  on").count() >= 2,
        || bench.board.transcript(),
    );
    bench.board.terminate();
    bench.board.finish(SOON).success();
    ear.hears(&format!("{ADDRESS}/availability degraded: b"));
    let again =
        Program::start(peers::ours("board").current_dir(bench.dir.path()).args(["--socket", "board.sock"]));
    again.wait_for_stdout("D8  off", SOON);
    thing.wait_for_stderr("b: works again", SOON);
    thing.interrupt();
    thing.finish(SOON).success();
}

#[test]
fn a_script_plays_the_board() {
    let broker = Broker::ours();
    let dir = scratch();
    let script = dir.path().join("day.toml");
    std::fs::write(
        &script,
        "[[stimulus]]\ninput = 'analog'\npin = 'A1'\nshape = 'line'\npoints = [[0, 321]]\n",
    )
    .unwrap();
    let bench = Bench::start(&["--script", script.to_str().unwrap()]);
    let ear = Ear::of(peers::ours("mosquitto_sub"), broker.port(), &["-t", "+/sensors/#", "-v"]);
    let (_thing, _dir) =
        bench.thing(broker.port(), "[[sensor]]\nkind = 'light'\nname = 'x'\npin = 'A1'\nscale = 0.1\n");
    ear.hears(&format!("{ADDRESS}/sensors/x 32.1"));
    std::fs::write(&script, "[[stimulus]]\ninput = 'wind'\n").unwrap();
    let end = Program::run(
        peers::ours("board").arg("--socket").arg(dir.path().join("s")).arg("--script").arg(&script),
        b"",
        SOON,
    );
    assert!(end.code == 1 && end.stderr.contains("day.toml:2:9: unknown variant `wind`"), "{}", end.stderr);
}
