//! Password files: no panic, every fault at a line that is there, hashes that are written as they were read, and the editor
//! touches nobody but whom it is told to.
#![no_main]

use grovemq_auth::password::{Document, Hash, PasswordFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.split('\n').count();
    let file = PasswordFile::parse(text, "passwords");
    match &file {
        Ok(file) => {
            for (name, hash) in file.entries() {
                assert!(file.contains(name) && file.hash(name) == Some(hash));
                assert_eq!(hash.to_string().parse::<Hash>().as_ref(), Ok(hash));
                assert_eq!(file.scram(name).is_some(), file.offers_scram());
            }
            assert_eq!(file.scram("\n").is_some_and(|entry| entry.exists), false);
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| (1..=lines).contains(&error.line)));
        }
    }

    let Ok(mut document) = Document::parse(text) else { return };
    assert_eq!(
        Document::parse(&document.to_string()).as_ref().map(ToString::to_string),
        Ok(document.to_string())
    );
    let Ok(file) = file else { return };
    let Some((name, hash)) = file.entries().next() else { return };
    document.set(name, hash);
    let same = PasswordFile::parse(&document.to_string(), "passwords").expect("nothing has changed");
    assert!(same.entries().eq(file.entries()));
    assert!(document.remove(name));
    let rest = PasswordFile::parse(&document.to_string(), "passwords").expect("a line less");
    assert!(rest.entries().eq(file.entries().skip(1)));
});
