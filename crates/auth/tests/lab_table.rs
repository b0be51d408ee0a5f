//! The lab's table of expectations against the two ACL files of `examples/lab`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use grovemq_auth::acl::{Access, Acl, Who};
use grovemq_auth::password::PasswordFile;

/// Topic, user, access and whether it should pass.
const TABLE: [(&str, &str, Access, bool); 15] = [
    ("/sensor/temperature/data", "user1", Access::Read, true),
    ("/sensor/temperature/data", "user1", Access::Write, false),
    ("/sensor/temperature/data", "user2", Access::Read, true),
    ("/sensor/temperature/data", "user3", Access::Read, true),
    ("/sensor/temperature/data", "user117", Access::Read, false),
    ("/sensor/fanspeed/data", "user1", Access::Write, true),
    ("/sensor/fanspeed/data", "user1", Access::Read, true),
    ("/sensor/fanspeed/data", "user2", Access::Write, false),
    ("/sensor/fanspeed/data", "user2", Access::Read, true),
    ("/sensor/fanspeed/data", "user3", Access::Write, false),
    ("/sensor/fanspeed/data", "user3", Access::Read, true),
    ("/sensor/temperature/data", "user2", Access::Write, true),
    ("/sensor/user1/temperature/data", "user1", Access::Write, true),
    ("/sensor/user2/temperature/data", "user2", Access::Write, true),
    ("/sensor/user3/temperature/data", "user3", Access::Write, true),
];

/// The row in which the exercise's rules and its table disagree, counted from 1.
const CONTRADICTION: usize = 2;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/lab").join(name)
}

/// Whether user and access pass, and the place of the rule or the reason.
fn outcome(users: &PasswordFile, acl: &Acl, user: &str, access: Access, topic: &str) -> (bool, String) {
    // Who is unknown does not get past CONNECT, whatever the patterns allow to everybody.
    if !users.verify(user, b"iotlab") {
        return (false, "refused at CONNECT".to_owned());
    }
    let decision = acl.check(&Who { client_id: "lab", username: Some(user) }, access, topic);
    let why = decision.rule.map_or("no rule".to_owned(), |rule| format!("line {}", rule.line()));
    (decision.allowed, why)
}

#[test]
fn the_lab_table() {
    let users = PasswordFile::load(&example("passwords")).unwrap();
    let (rules, _) = Acl::load(&example("rules.acl")).unwrap();
    let (table, _) = Acl::load(&example("table.acl")).unwrap();
    let mut shown = String::new();
    let mut deviations = Vec::new();
    let word = |pass| if pass { "pass" } else { "fail" };
    for (row, (topic, user, access, expected)) in (1..).zip(TABLE) {
        let by_rules = outcome(&users, &rules, user, access, topic);
        let by_table = outcome(&users, &table, user, access, topic);
        let doing = if access == Access::Read { "subscribe" } else { "publish" };
        let note = if row == CONTRADICTION { "  <- the rules say otherwise" } else { "" };
        writeln!(
            shown,
            "{row:2}  {topic:31} {user:8} {doing:10} {:9} {} ({}){:pad$} {} ({}){note}",
            word(expected),
            word(by_rules.0),
            by_rules.1,
            "",
            word(by_table.0),
            by_table.1,
            pad = 20usize.saturating_sub(by_rules.1.len()),
        )
        .unwrap();
        assert_eq!(by_table.0, expected, "row {row} by table.acl:\n{shown}");
        if by_rules.0 != expected {
            deviations.push(row);
        }
    }
    println!(
        "row topic                           user     access     expected  by rules.acl              by table.acl\n{shown}"
    );
    assert_eq!(deviations, [CONTRADICTION], "rows that differ by rules.acl");
}

#[test]
fn anonymous_clients_receive_the_scheme_and_publish_nothing() {
    for file in ["rules.acl", "table.acl"] {
        let (acl, warnings) = Acl::load(&example(file)).unwrap();
        let who = Who { client_id: "lab", username: None };
        for (topic, _, _, _) in TABLE {
            let scheme = topic.split('/').count() == 4;
            assert_eq!(acl.check(&who, Access::Read, topic).allowed, scheme, "{file} {topic}");
            assert!(!acl.check(&who, Access::Write, topic).allowed, "{file} {topic}");
        }
        assert_eq!(warnings.len(), 1, "the pattern for everybody has no %u, and is meant so");
    }
}
