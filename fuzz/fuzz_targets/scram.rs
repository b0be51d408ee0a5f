//! SCRAM messages: no panic on either side, no proof that was not made with the password, and what one side makes the other
//! understands.
#![no_main]

use grovemq_auth::scram::{Client, Entry, Error, challenge, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let entry = |_: &str| Entry { exists: true, ..Entry::nobody() };
    // three messages, cut at line ends, which are in none
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let [first, second, third] = [(); 3].map(|()| parts.next().unwrap_or_default());
    if let Ok(server_first) = challenge(first, "nonce", entry) {
        let judged = verify(first, server_first.as_bytes(), second, entry);
        assert!(judged.is_err(), "the stored key is the hash of nothing anybody knows");
        assert!(server_first.starts_with("r=") && server_first.ends_with(",s=AA==,i=4096"));
    }
    assert!(verify(first, second, third, entry).is_err());
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or("name");
    if let Ok(client) = Client::new(text(first), text(second), "abc") {
        let server_first = challenge(client.first().as_bytes(), "xyz", |user| {
            assert!(!user.is_empty());
            Entry::nobody()
        });
        // the name may be too long with its escapes
        assert!(server_first.is_ok() || client.first().len() > 1024);
        // more iterations make it slow, and nothing else
        if third.ends_with(b",i=4096") || !third.windows(3).any(|w| w == b",i=") {
            assert!(!matches!(client.answer(third), Err(Error::Wrong)));
        }
    }
});
