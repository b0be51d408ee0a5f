//! Users and their passwords: `mosquitto_passwd` asks in a terminal, the broker reads the file.

use grovemq_tests::{SOON, Terminal, free_port, wait_until_listening};

use crate::bench::{Bench, Whose, eventually};

/// Answers both questions; the exit code and what stood on the screen.
fn ask(bench: &Bench, line: &str, first: &str, second: &str) -> (i32, String) {
    let mut terminal = Terminal::start(&bench.shell(&format!("exec {line}")));
    for (prompt, answer) in [("Password: ", first), ("Reenter password: ", second)] {
        terminal.shows(prompt);
        // nobody types as soon as the prompt is there
        eventually(|| terminal.hides_keys(), || "the password would be shown".to_owned());
        terminal.type_keys(&format!("{answer}\n"));
    }
    terminal.finish()
}

/// The users of the exercise, in `passwords`.
pub(crate) fn make_users(bench: &Bench) {
    for line in ["-c passwords user1", "passwords user2", "passwords user3"] {
        let (code, shown) = ask(bench, &format!("mosquitto_passwd {line}"), "iotlab", "iotlab");
        assert_eq!(code, 0, "{shown}");
        assert!(!shown.contains("iotlab"), "the password is shown: {shown}");
    }
}

#[test]
fn each_user_is_asked_for_a_password_twice_and_unseen() {
    let bench = Bench::new(Whose::Ours);
    make_users(&bench);
    let file = bench.read("passwords");
    let users: Vec<&str> = file.lines().map(|line| line.split_once(':').unwrap().0).collect();
    assert_eq!(users, ["user1", "user2", "user3"]);
    let (code, shown) = ask(&bench, "mosquitto_passwd passwords user4", "iotlab", "itolab");
    assert_eq!(
        (code, shown.as_str()),
        (2, "Password: \nReenter password: \nError: Passwords do not match.\n")
    );
    assert_eq!(bench.read("passwords"), file);
}

#[test]
fn debian_passwd_has_the_same_dialogue() {
    let dialogue = |whose| {
        let bench = Bench::new(whose);
        [
            ("mosquitto_passwd -c passwords user1", "iotlab", "iotlab"),
            ("mosquitto_passwd passwords user2", "iotlab", "itolab"),
            ("mosquitto_passwd passwords user1", "changed", "changed"),
        ]
        .map(|(line, first, second)| {
            let (code, shown) = ask(&bench, line, first, second);
            // later versions add what they have done
            let lasting = |line: &&str| !line.starts_with("Adding") && !line.starts_with("Updating");
            (code, shown.lines().filter(lasting).map(str::to_owned).collect::<Vec<_>>())
        })
    };
    assert_eq!(dialogue(Whose::Ours), dialogue(Whose::Debian));
}

/// What the tools say to each way of logging in at a broker that wants it.
fn logins(whose: Whose) -> Vec<(&'static str, i32, String)> {
    let bench = Bench::new(whose);
    let port = free_port();
    make_users(&bench);
    let conf =
        std::fs::read_to_string(grovemq_tests::peers::repository().join("examples/lab/mosquitto.conf"));
    let conf = conf.unwrap().replace("listener 1883", &format!("listener {port} 127.0.0.1"));
    // the exercise on passwords comes before the one on access
    bench.write("mosquitto.conf", &conf.replace("acl_file", "# acl_file"));
    let broker = bench.start("mosquitto -v -c mosquitto.conf");
    wait_until_listening(port, SOON);
    let console = bench.listen(port, "-t '#' -v -u user1 -P iotlab");
    let mut said = Vec::new();
    for arguments in ["-u user2 -P iotlab", "-u user2 -P wrong", "-u user117 -P iotlab", "-u user2", ""] {
        for tool in ["mosquitto_pub -m '85 degrees Celsius'", "mosquitto_sub -W 1"] {
            let topic = "/machines/127.0.0.1/sensors/temperature/cpus/cpu0";
            let end = bench.run(&format!("{tool} -h 127.0.0.1 -p {port} -t {topic} {arguments}"));
            said.push((arguments, end.code, end.stderr));
        }
    }
    console.hears("/machines/127.0.0.1/sensors/temperature/cpus/cpu0 85 degrees Celsius");
    assert_eq!(console.lines().len(), 1);
    broker.terminate();
    broker.finish(SOON).success();
    said
}

#[test]
fn only_users_with_their_password_get_in() {
    let codes: Vec<(&str, i32)> =
        logins(Whose::Ours).into_iter().map(|(args, code, _)| (args, code)).collect();
    assert_eq!(
        codes,
        [
            ("-u user2 -P iotlab", 0),
            ("-u user2 -P iotlab", 27),
            ("-u user2 -P wrong", 5),
            ("-u user2 -P wrong", 5),
            ("-u user117 -P iotlab", 5),
            ("-u user117 -P iotlab", 5),
            ("-u user2", 5),
            ("-u user2", 5),
            ("", 5),
            ("", 5),
        ]
    );
}

#[test]
fn debian_tools_and_broker_say_the_same() {
    assert_eq!(logins(Whose::Ours), logins(Whose::Debian));
}
