//! Access control lists: no panic, every place in the file, decisions that are explained as they are made, and rules without
//! effect that have none. The words of the file are also the names and topics that are asked about.
#![no_main]

use grovemq_auth::acl::{Access, Acl, Reason, Who};
use libfuzzer_sys::fuzz_target;

const QUESTIONS_MAX: usize = 6;

fuzz_target!(|text: &str| {
    let last = text.split('\n').count();
    let is_there = |line: usize| (1..=last).contains(&line);
    let acl = match Acl::parse(text, "acl") {
        Ok((acl, warnings)) => {
            assert!(warnings.iter().all(|warning| is_there(warning.line)));
            acl
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| is_there(error.line)));
            return;
        }
    };
    assert!(acl.rules().all(|rule| is_there(rule.line())));
    let dead: Vec<usize> = acl.dead_rules().iter().map(|dead| dead.rule.line()).collect();
    let living: Vec<&str> = text
        .split('\n')
        .zip(1..)
        .filter(|(_, line)| !dead.contains(line))
        .map(|(content, _)| content)
        .collect();
    let (living, _) = Acl::parse(&living.join("\n"), "acl").expect("lines that were good before");

    let words: Vec<&str> = text.split([' ', '\n', '\t']).filter(|word| !word.is_empty()).collect();
    let users = acl.users().take(QUESTIONS_MAX).map(Some).chain([None, Some("nobody")]);
    let topics: Vec<String> = words
        .iter()
        .rev()
        .take(QUESTIONS_MAX)
        .map(|word| {
            word.replace("%u", "nobody").replace("%c", "client").replace('+', "x").replace('#', "a/b")
        })
        .collect();
    for username in users {
        for topic in &topics {
            for access in [Access::Read, Access::Write] {
                let who = Who { client_id: "client", username };
                let decision = acl.check(&who, access, topic);
                assert_eq!(decision, acl.explain(who, access, topic).decision());
                assert_eq!(decision.allowed, living.check(&who, access, topic).allowed, "{who:?} {topic}");
                assert_eq!(decision.rule.is_some(), decision.reason == Reason::Rule);
                assert!(!decision.allowed || decision.rule.is_some());
            }
        }
    }
});
