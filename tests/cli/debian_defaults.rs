//! Files of options: `~/.config/mosquitto_pub` and the like, ours beside Debian's.

use grovemq_tests::{Broker, Finished, Program, SOON, peers, scratch};

use crate::case::words;
use crate::runner::first_line;

/// `xdg`: by that variable, not by the home directory.
fn run(tool: &mut std::process::Command, name: &str, options: &str, args: &str, xdg: bool) -> Finished {
    let home = scratch();
    let dir = if xdg { home.path().join("xdg") } else { home.path().join(".config") };
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join(name), options).unwrap();
    tool.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").current_dir(home.path());
    if xdg {
        tool.env("XDG_CONFIG_HOME", dir);
    }
    Program::run(tool.args(words(args)), b"", SOON)
}

#[test]
fn files_of_options() {
    let broker = Broker::debian();
    let port = broker.port();
    let rows: &[(&str, String, &str)] = &[
        ("mosquitto_pub", format!("-t fromfile\n# a comment\n\n-m  two  words\n-p {port}\n"), "-d -i x"),
        ("mosquitto_pub", format!("-t fromfile\n-p {port}\n"), "-d -i x -t fromline -m hello"),
        ("mosquitto_pub", format!("-p 1\n-p {port}\r\n--quiet"), "-d -i x -t a -n"),
        ("mosquitto_pub", "-p 1\n".to_owned(), "-t a -m x -h 127.0.0.1"),
        ("mosquitto_pub", format!("-m x\n-p {port}\n"), "-t a -m y"),
        ("mosquitto_pub", "--foo\n".to_owned(), "-t a -m y"),
        ("mosquitto_pub", "-h\n".to_owned(), "-t a -m y"),
        ("mosquitto_pub", "-t\tx\n".to_owned(), "-m y"),
        ("mosquitto_sub", format!("-t a\n-t b\n-E\n-p {port}"), "-d -i x"),
        ("mosquitto_rr", format!("-t a\n-e a\n-p {port}\n-F %t %p\n"), "-m hello"),
        ("mosquitto_sub", "-p 1\n".to_owned(), ""),
    ];
    for (name, options, args) in rows {
        for xdg in [false, true] {
            let theirs = run(&mut peers::debian(name), name, options, args, xdg);
            let ours = run(&mut peers::ours(name), name, options, args, xdg);
            let shown = |end: &Finished| (end.code, end.text(), first_line(&end.stderr));
            assert_eq!(shown(&ours), shown(&theirs), "{name} {args}\n{options}");
        }
    }
}

#[test]
fn a_file_named_on_the_command_line_replaces_the_usual_one() {
    let broker = Broker::debian();
    let dir = scratch();
    std::fs::write(dir.path().join("wrong"), "-n\n-o again\n").unwrap();
    let file = dir.path().join("options");
    std::fs::write(&file, format!("-p {}\n-D publish user-property k v\n", broker.port())).unwrap();
    let run_with = |args: &str| run(&mut peers::ours("mosquitto_rr"), "mosquitto_rr", "-p 1\n", args, false);
    let args = format!("-F %p:%P -o {} -t a -e a -m x", file.display());
    assert_eq!(run_with(&args).success().text(), "x:k:v\n");
    let end = run_with("-o none -t a -e a -m x");
    assert_eq!(
        (end.code, &*first_line(&end.stderr)),
        (1, "Error: Unable to read options from \"none\": No such file or directory (os error 2).")
    );
    let wrong = dir.path().join("wrong");
    let end = run_with(&format!("-o {} -t a", wrong.display()));
    let line = format!("Error: {}:2: -o cannot be used in a file of options.", wrong.display());
    assert_eq!((end.code, first_line(&end.stderr)), (1, line));
}
