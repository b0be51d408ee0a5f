//! Reading from disk: `include_dir`, and what can go wrong with files.
#![expect(clippy::unwrap_used, reason = "a test may panic; the helpers are tests, too")]

use std::fs;
use std::path::{Path, PathBuf};

use grovemq_config::limits::TEXT_BYTES_MAX;
use grovemq_config::{Config, Severity};
use tempfile::TempDir;

/// A main file that includes `d`, and the files in `d`.
fn setup(main: &str, included: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path().join("d");
    fs::create_dir(&d).unwrap();
    for (name, text) in included {
        fs::write(d.join(name), text).unwrap();
    }
    let path = dir.path().join("m.conf");
    fs::write(&path, main.replace("include", &format!("include_dir {}", d.display()))).unwrap();
    (dir, path)
}

/// All errors, with the directory cut out.
fn errors(dir: &TempDir, path: &Path) -> Vec<String> {
    let errors = Config::load(path).unwrap_err();
    let prefix = format!("{}/", dir.path().display());
    errors.iter().map(|error| error.to_string().replace(&prefix, "")).collect()
}

#[test]
fn files_are_read_in_the_order_of_their_bytes() {
    let files = [
        ("b.conf", "sys_interval 3"),
        ("B.conf", "sys_interval 1"),
        ("a.conf", "sys_interval 2"),
        ("x.conf.bak", "nonsense"),
        (".conf", "nonsense"),
        ("conf", "nonsense"),
    ];
    let (_dir, path) = setup("include", &files);
    let (config, notes) = Config::load(&path).unwrap();
    assert_eq!(config.sys_interval.map(|interval| interval.as_secs()), Some(3));
    let names: Vec<&str> = notes.iter().map(|note| note.message.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["B.conf'", "a.conf'", "b.conf'"]);
    assert!(notes.iter().all(|note| note.severity == Severity::Information));
}

#[test]
fn the_main_files_lines_after_the_include_win() {
    let (_dir, path) =
        setup("sys_interval 1\ninclude\nmax_keepalive 9", &[("a.conf", "sys_interval 2\nmax_keepalive 8")]);
    let (config, _) = Config::load(&path).unwrap();
    assert_eq!(config.sys_interval.map(|interval| interval.as_secs()), Some(2));
    assert_eq!(config.limits.max_keepalive, Some(9));
}

#[test]
fn an_included_file_begins_without_a_listener_and_leaves_the_main_files_alone() {
    let (_dir, path) = setup(
        "listener 1\ninclude\nmax_qos 1",
        &[("a.conf", "max_qos 0\nlistener 3"), ("b.conf", "max_connections 9")],
    );
    let (config, _) = Config::load(&path).unwrap();
    let seen: Vec<_> = config.listeners.iter().map(|l| (l.port, l.max_qos, l.max_connections)).collect();
    assert_eq!(seen, [(1, 1, None), (1883, 0, Some(9)), (3, 2, None)]);
}

#[test]
fn errors_in_included_files_name_both_places() {
    let (dir, path) = setup(
        "\ninclude",
        &[("a.conf", "\n\nnonsense"), ("b.conf", "include_dir /tmp\nlistener_allow_anonymous true")],
    );
    assert_eq!(
        errors(&dir, &path),
        [
            "Error: Unknown configuration variable 'nonsense'.\nError found at 'd/a.conf:3'.\nError found at m.conf:2.",
            "Error: The include_dir option is only valid in the main configuration file.\nError found at 'd/b.conf:1'.\nError found at m.conf:2.",
            "Error: The 'listener_allow_anonymous' option requires a listener to be defined first.\nError found at 'd/b.conf:2'.\nError found at m.conf:2.",
        ]
    );
}

#[test]
fn a_bridge_ends_with_its_file() {
    let (dir, path) =
        setup("include\ntry_private true", &[("a.conf", "connection b"), ("b.conf", "try_private true")]);
    let errors = errors(&dir, &path);
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains("'try_private' option requires a bridge") && errors[0].contains("b.conf:1"));
    assert!(errors[1].contains("'try_private' option requires a bridge") && errors[1].contains("m.conf:2"));
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.conf");
    assert_eq!(
        errors(&dir, &missing),
        ["Error: Unable to open config file 'missing.conf'.\nNo such file or directory (os error 2)"]
    );
    let directory = format!("Error: Config file '{}' is a directory.", dir.path().display());
    assert_eq!(Config::load(dir.path()).unwrap_err()[0].to_string(), directory);

    let (dir, path) = setup("include_dir /nonexistent\ninclude", &[]);
    fs::write(&path, "include_dir /nonexistent").unwrap();
    assert_eq!(
        errors(&dir, &path),
        [
            "Error: Unable to open include_dir '/nonexistent'.\nError found at m.conf:1.\nNo such file or directory (os error 2)"
        ]
    );

    let (dir, path) = setup("include", &[]);
    fs::create_dir(dir.path().join("d/x.conf")).unwrap();
    assert_eq!(
        errors(&dir, &path),
        ["Error: Config file 'd/x.conf' is a directory.\nError found at m.conf:1."]
    );
}

#[test]
fn the_sum_of_all_files_is_bounded() {
    let half = "#".repeat(TEXT_BYTES_MAX / 2);
    let (dir, path) = setup("include", &[("a.conf", &half), ("b.conf", &half)]);
    assert_eq!(
        errors(&dir, &path),
        ["Error: Config file 'd/b.conf' exceeds the 16 MiB of a configuration.\nError found at m.conf:1."]
    );
    let endless = Config::load(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(endless[0].message, "Config file '/dev/zero' exceeds the 16 MiB of a configuration.");
}
