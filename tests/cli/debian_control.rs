//! `mosquitto_ctrl`, ours and Debian's, on brokers with Debian's plugin for dynamic security.

use grovemq_tests::{Broker, Finished, Kind, Program, Relay, SOON, Terminal, peers, scratch};
use std::process::Command;

use crate::case::words;
use crate::runner::{as_theirs, first_line, show};

const PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";
/// What our warning, and theirs, begins with; the words are our own.
const WARNING: &[&str] = &["Warning: ", "This means "];

/// A broker of Debian's with the plugin, and this file for it.
fn broker_with(file: &str) -> Broker {
    let plugin = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("mosquitto_dynamic_security.so"))
        .find(|path| path.exists());
    let plugin = plugin.unwrap_or_else(|| PLUGIN.into());
    let configuration = format!(
        "user root\nallow_anonymous true\nplugin {}\nplugin_opt_config_file {{dir}}/dynsec.json\n",
        plugin.display()
    );
    Broker::start_with_files(Kind::Debian, &configuration, &[("dynsec.json", file)])
}

/// The file that a tool's `init` makes for `admin` with `secret`.
fn made_by(tool: Command) -> String {
    let dir = scratch();
    let path = dir.path().join("dynsec.json");
    let mut tool = tool;
    tool.args(["dynsec", "init"]).arg(&path).args(["admin", "secret"]);
    Program::run(&mut tool, b"", SOON).success();
    std::fs::read_to_string(path).unwrap()
}

fn debian() -> Command {
    peers::debian("mosquitto_ctrl")
}

fn ours() -> Command {
    peers::ours("mosquitto_ctrl")
}

/// Runs a tool with these words behind the port.
fn run(mut tool: Command, port: u16, line: &str, stdin: &str) -> Finished {
    tool.args(["-p", &port.to_string()])
        .args(words(line))
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", "/nonexistent");
    Program::run(&mut tool, stdin.as_bytes(), SOON)
}

/// Standard error but for the warning: its first line.
fn complaint(end: &Finished) -> String {
    let told = |line: &&str| !WARNING.iter().any(|warning| line.starts_with(warning));
    first_line(&end.stderr.lines().filter(told).collect::<Vec<_>>().join("\n"))
}

/// One command with either tool, each on its own broker.
fn difference(theirs: &Broker, ours_on: &Broker, line: &str, stdin: &str) -> Option<String> {
    let [(their_end, their_packets), (our_end, our_packets)] =
        [(debian(), theirs), (ours(), ours_on)].map(|(tool, broker)| {
            let relay = Relay::to(broker.port());
            let end = run(tool, relay.port(), line, stdin);
            relay.settle(SOON);
            let mut packets: Vec<String> = relay.from_client().iter().map(|packet| show(packet)).collect();
            // the original often goes without a word, and does not wait for its own PUBACK
            packets.retain(|packet| !packet.starts_with("\\xe0") && !packet.starts_with('@'));
            packets.sort();
            (end, packets)
        });
    let all = |end: &Finished| {
        format!("exit {} stdout {:?} stderr {:?}", end.code, end.text().trim_end(), complaint(end))
    };
    let theirs = format!("{} {their_packets:?}", all(&their_end));
    let ours = format!("{} {:?}", all(&our_end), as_theirs(&their_packets, our_packets));
    (theirs != ours).then(|| format!("{line}\n    theirs {theirs}\n    ours   {ours}"))
}

#[track_caller]
fn compare(lines: &[(&str, &str)]) {
    let file = made_by(debian());
    let (theirs, ours) = (broker_with(&file), broker_with(&file));
    let differences: Vec<String> = lines
        .iter()
        .filter_map(|(line, stdin)| {
            let line =
                if line.starts_with('-') { (*line).to_owned() } else { format!("-u admin -P secret {line}") };
            difference(&theirs, &ours, &line, stdin)
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ\n{}",
        differences.len(),
        lines.len(),
        differences.join("\n")
    );
}

#[test]
fn clients_and_roles() {
    compare(&[
        ("dynsec getAnonymousGroup", ""),
        ("dynsec setAnonymousGroup nope", ""),
        ("dynsec setAnonymousGroup", ""),
        ("dynsec createClient ann -p pw", ""),
        ("dynsec createClient ann -p pw", ""),
        ("dynsec createClient joe -c id -p '\"\\ü/'", ""),
        ("dynsec createClient", ""),
        ("dynsec createClient bob -c", ""),
        ("dynsec createClient bob -p", ""),
        ("dynsec deleteClient", ""),
        ("dynsec deleteClient nope", ""),
        ("dynsec setClientPassword ann newpw", ""),
        ("dynsec setClientPassword ann", "typed\ntyped\n"),
        ("dynsec setClientPassword ann", "typed\nother\n"),
        ("dynsec setClientPassword ann", ""),
        ("dynsec setClientPassword", ""),
        ("dynsec setClientPassword ann a b", ""),
        ("dynsec setClientId ann id1", ""),
        ("dynsec getClient ann", ""),
        ("dynsec setClientId ann", ""),
        ("dynsec createRole r1", ""),
        ("dynsec createRole r1", ""),
        ("dynsec createRole", ""),
        ("dynsec getRole r1", ""),
        ("dynsec addRoleACL r1 publishClientSend a/b allow 5", ""),
        ("dynsec addRoleACL r1 publishClientReceive a/b deny", ""),
        ("dynsec addRoleACL r1 subscribePattern a/# ALLOW -3", ""),
        ("dynsec addRoleACL r1 bogus a/# allow", ""),
        ("dynsec addRoleACL r1 subscribeLiteral a/#", ""),
        ("dynsec addRoleACL r1 subscribeLiteral a/# allow 5 6", ""),
        ("dynsec getRole r1", ""),
        ("dynsec removeRoleACL r1 subscribePattern a/#", ""),
        ("dynsec removeRoleACL r1 publishClientReceive", ""),
        ("dynsec getRole admin", ""),
        ("dynsec getRole", ""),
        ("dynsec addClientRole ann r1 7", ""),
        ("dynsec addClientRole ann r2", ""),
        ("dynsec addClientRole ann", ""),
        ("dynsec getClient ann", ""),
        ("dynsec getClient nope", ""),
        ("dynsec getClient a b", ""),
        ("dynsec disableClient ann", ""),
        ("dynsec getClient ann", ""),
        ("dynsec enableClient ann", ""),
        ("dynsec enableClient", ""),
        ("dynsec removeClientRole ann r1", ""),
        ("dynsec getClient ann", ""),
        ("dynsec listClients", ""),
        ("dynsec listClients 1", ""),
        ("dynsec listClients 1 1", ""),
        ("dynsec listClients x y", ""),
        ("dynsec listClients 1 1 1", ""),
        ("dynsec listRoles", ""),
        ("dynsec listRoles 1 1", ""),
        ("dynsec deleteRole r1", ""),
        ("dynsec DELETEclient ann", ""),
        ("dynsec nonsense a b", ""),
        ("other x y", ""),
    ]);
}

#[test]
fn groups_and_defaults() {
    compare(&[
        ("dynsec getDefaultACLAccess", ""),
        ("dynsec setDefaultACLAccess publishClientSend allow", ""),
        ("dynsec setDefaultACLAccess subscribe bar", ""),
        ("dynsec setDefaultACLAccess subscribe", ""),
        ("dynsec getDefaultACLAccess", ""),
        ("dynsec createClient ann -p pw", ""),
        ("dynsec createRole r1", ""),
        ("dynsec createGroup g1", ""),
        ("dynsec createGroup g1", ""),
        ("dynsec createGroup g2", ""),
        ("dynsec createGroup", ""),
        ("dynsec addGroupRole g1 r1 3", ""),
        ("dynsec addGroupRole g2 r1", ""),
        ("dynsec addGroupRole g1", ""),
        ("dynsec addGroupClient g1 ann 9", ""),
        ("dynsec addGroupClient g2 ann", ""),
        ("dynsec addGroupClient g2", ""),
        ("dynsec setAnonymousGroup g1", ""),
        ("dynsec getAnonymousGroup", ""),
        ("dynsec getClient ann", ""),
        ("dynsec getGroup g1", ""),
        ("dynsec getGroup g2", ""),
        ("dynsec getGroup nope", ""),
        ("dynsec getGroup", ""),
        ("dynsec listGroups", ""),
        ("dynsec listGroups 1 1", ""),
        ("dynsec removeGroupRole g1 r1", ""),
        ("dynsec removeGroupClient g1 ann", ""),
        ("dynsec getGroup g1", ""),
        ("dynsec createGroup g3", ""),
        ("dynsec deleteGroup g3", ""),
        ("dynsec listGroups", ""),
    ]);
}

#[test]
fn connections() {
    compare(&[
        ("-u admin -P wrong dynsec listRoles", ""),
        ("-u admin -P wrong -V 311 dynsec listRoles", ""),
        ("-V 5 dynsec listRoles", ""),
        ("-V mqttv311 dynsec listRoles", ""),
        ("-u admin -P secret -i me -q 2 -V mqttv311 dynsec listRoles", ""),
        ("-u admin -P secret -i me -q 0 --quiet dynsec listRoles", ""),
        ("-u admin -P secret -i me -V 31 dynsec listRoles", ""),
        ("-u admin -P secret -A 127.0.0.1 dynsec listRoles", ""),
        ("-u admin dynsec listRoles", "secret\n"),
        ("-u admin dynsec listRoles", ""),
        ("-p 1 dynsec listRoles", ""),
        ("--unix /nonexistent dynsec listRoles", ""),
        ("--cafile /nonexistent dynsec listRoles", ""),
    ]);
}

#[test]
fn a_url_says_where_and_who() {
    let broker = broker_with(&made_by(debian()));
    for (tool, topic) in [(debian(), "/x"), (ours(), "/x"), (ours(), "")] {
        let url = format!("-L mqtt://admin:secret@localhost:{}{topic} dynsec listRoles", broker.port());
        assert_eq!(run(tool, 1, &url, "").success().text(), "admin\n");
    }
}

#[test]
fn a_new_file_is_one_for_debians_broker() {
    let broker = broker_with(&made_by(ours()));
    let line = "-u admin -P secret dynsec createClient ann -p pw";
    assert!(!run(debian(), broker.port(), line, "").success().stderr.contains("Error"));
    assert_eq!(
        run(ours(), broker.port(), "-u admin -P secret dynsec listClients", "").success().text(),
        "admin\nann\n"
    );

    let dir = scratch();
    let path = dir.path().join("dynsec.json");
    std::fs::write(&path, made_by(debian())).unwrap();
    let file = path.to_str().unwrap();
    let set = format!("-f {file} dynsec setClientPassword admin other");
    run(ours(), 1, &set, "").success();
    let broker = broker_with(&std::fs::read_to_string(&path).unwrap());
    let end = run(debian(), broker.port(), "-u admin -P other dynsec listClients", "");
    assert_eq!(end.success().text(), "admin\n");
    // what is there stays there, for either
    for tool in [debian(), ours()] {
        let end = run(tool, 1, &format!("dynsec init {file} admin x"), "");
        assert_eq!((end.code, end.stderr.contains("already exists")), (0, true), "{end:?}");
    }
}

/// Called by our own name, a failure is one.
#[test]
fn our_own_exit_codes() {
    let broker = broker_with(&made_by(debian()));
    for (line, code, complaint) in [
        ("-u admin -P secret dynsec getRole nope", 1, "getRole: Error: Role not found"),
        ("-u admin -P wrong dynsec getRole nope", 135, "Connection error: Not authorized"),
        ("-u admin -P secret dynsec getRole", 2, "Usage: getRole <rolename>"),
        ("-u admin -P secret dynsec getRoles x", 2, "Did you mean 'getRole'?"),
        ("-u admin -P secret dynsec addClientRole a b x", 2, "The priority must be a whole number."),
        // the broker drops the clients of a group that changes
        ("-u admin -P secret dynsec createGroup g", 0, ""),
        ("-u admin -P secret dynsec addGroupClient g admin", 1, "It may have been done"),
        ("dynsec listRoles", 1, "Subscribe error: Not authorized"),
        ("dinsec listRoles", 2, "Did you mean 'dynsec'?"),
        ("--psk x dynsec listRoles", 1, "use certificates"),
    ] {
        let end = run(peers::ours("ctrl"), broker.port(), line, "");
        assert_eq!(end.code, code, "{line}: {end:?}");
        assert!(end.stderr.contains(complaint), "{line}: {end:?}");
    }
}

#[test]
fn the_broker_itself() {
    let broker = Broker::start(Kind::Ours, "allow_anonymous true\nenable_control_api true\n");
    let end = run(ours(), broker.port(), "broker listListeners", "").success();
    let expected = format!(
        "Listener 1:\n  Port:              {}\n  Protocol:          mqtt\n  Bind address:      127.0.0.1\n  TLS:               false\n",
        broker.port()
    );
    assert_eq!(end.text(), expected);
    assert_eq!(run(peers::ours("ctrl"), broker.port(), "broker listPlugins", "").success().text(), "");

    let closed = Broker::ours();
    let end = run(peers::ours("ctrl"), closed.port(), "broker listPlugins", "");
    assert_eq!((end.code, end.stderr.contains("Publish error: Not authorized")), (1, true), "{end:?}");
}

#[test]
fn a_conversation() {
    let broker = broker_with(&made_by(debian()));
    let typed = format!(
        "listRoles\nconnect mqtt://admin:secret@localhost:{}\ndynsec createRole 'two words'\ndynsec\nlistRoles\n\
         getRole nope\nreturn\nlistRoles\ndisconnect\nauth\nadmin\nsecret\ndynsec listClients\nexit\nlistRoles\n",
        broker.port()
    );
    let end = run(peers::ours("ctrl"), 1, "shell", &typed);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(end.text().contains("admin\ntwo words\n"), "{end:?}");
    assert!(end.text().ends_with("Password for admin: \nadmin\n"), "{end:?}");
    let complaints: Vec<&str> = end.stderr.lines().filter(|line| !line.is_empty()).collect();
    let expected =
        ["Error: Module 'listRoles' not supported.", "Warning: ", "getRole: Error: Role not found"];
    for (line, expected) in complaints.iter().zip(expected) {
        assert!(line.starts_with(expected), "{end:?}");
    }
    // a script ends as its last command did
    let end = run(peers::ours("ctrl"), 1, "shell", "nonsense\n");
    assert_eq!(end.code, 2, "{end:?}");
}

#[test]
fn keys_complete_commands_and_names() {
    let broker = broker_with(&made_by(debian()));
    let home = scratch();
    let mut command = peers::ours("ctrl");
    command.env("TERM", "xterm").env("XDG_STATE_HOME", home.path()).env("HOME", home.path());
    command.env_remove("XDG_CONFIG_HOME");
    let mut terminal = Terminal::start(&command);
    terminal.shows("> ");
    terminal.type_keys(&format!("connect mqtt://admin:secret@localhost:{}\r", broker.port()));
    terminal.shows("localhost> ");
    terminal.type_keys("dyn\t\r");
    terminal.shows("localhost|dynsec> ");
    terminal.type_keys("getCl\t adm\t\r");
    terminal.shows("Username: admin");
    terminal.shows("(priority: -1)\n\x1b[?2004h");
    terminal.type_keys("setClientPassword admin x\r");
    // the broker drops who has a new password
    terminal.shows("\x1b[Kdynsec> ");
    terminal.type_keys("exit\r");
    assert_eq!(terminal.finish().0, 0);
    // what has a password in it is not kept
    let history = std::fs::read_to_string(home.path().join("grovemq/ctrl_history")).unwrap();
    let lines: Vec<&str> = history.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(lines, ["dynsec", "getClient admin", "exit"]);
}
