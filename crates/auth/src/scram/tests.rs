//! The example of RFC 7677, exchanges with any names, and what is refused.

use super::*;
use proptest::prelude::*;

/// RFC 7677, section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const ANSWER: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn entry(password: &str, salt: &[u8]) -> Entry {
    let (stored_key, server_key) = stored_keys(password, salt, ITERATIONS_MIN).unwrap();
    Entry { salt: salt.to_vec(), iterations: ITERATIONS_MIN, stored_key, server_key, exists: true }
}

fn example() -> Entry {
    entry("pencil", &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap())
}

fn judge(first: &str, challenge: &str, last: &str, entry: &Entry) -> Result<Proven, Error> {
    verify(first.as_bytes(), challenge.as_bytes(), last.as_bytes(), |_| entry.clone())
}

#[test]
fn the_example_of_the_rfc_both_ways() {
    let client = Client::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(client.first(), FIRST);
    let answer = client.answer(CHALLENGE.as_bytes()).unwrap();
    assert_eq!((&*answer.message, &*answer.expected), (ANSWER, SIGNATURE));

    let entry = example();
    let find = |user: &str| {
        assert_eq!(user, "user");
        entry.clone()
    };
    assert_eq!(challenge(FIRST.as_bytes(), "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", find).unwrap(), CHALLENGE);
    let proven = judge(FIRST, CHALLENGE, ANSWER, &entry).unwrap();
    assert_eq!((&*proven.user, &*proven.message), ("user", SIGNATURE));
    assert!(!format!("{client:?} {entry:?}").contains("pencil"));
}

#[test]
fn d13_a_wrong_proof_and_an_unknown_user_are_refused_alike() {
    let entry = example();
    let wrong = Client::new("user", "Pencil", "rOprNGfwEbeRWgbNEkqO").unwrap();
    let answer = wrong.answer(CHALLENGE.as_bytes()).unwrap();
    assert_eq!(judge(FIRST, CHALLENGE, &answer.message, &entry), Err(Error::Wrong));
    let nobody = Entry { exists: false, ..entry.clone() };
    assert_eq!(judge(FIRST, CHALLENGE, ANSWER, &nobody), Err(Error::Wrong));
    assert_ne!(
        answer.expected, SIGNATURE,
        "who knows no password does not take the server for the right one"
    );
}

#[test]
fn first_messages_that_are_refused() {
    let long = format!("n,,n={},r=abc", "x".repeat(NAME_BYTES_MAX + 1));
    let longer = format!("n,,n=user,r=abc,x={}", "x".repeat(MESSAGE_BYTES_MAX));
    let nonce = format!("n,,n=user,r={}", "x".repeat(NONCE_BYTES_MAX));
    let table = [
        ("", Error::Malformed("no header")),
        ("n", Error::Malformed("no header")),
        ("n,", Error::Malformed("no header")),
        ("n,,", Error::Malformed("n=")),
        ("x,,n=user,r=abc", Error::Malformed("neither n nor y nor p=")),
        ("p=tls-exporter,,n=user,r=abc", Error::Unsupported("channel binding")),
        ("n,a=root,n=user,r=abc", Error::Unsupported("to act as somebody else")),
        ("n,,m=x,n=user,r=abc", Error::Unsupported("a mandatory extension")),
        ("n,,n=user", Error::Malformed("r=")),
        ("n,,r=abc,n=user", Error::Malformed("n=")),
        ("n,,n=user,r=", Error::Malformed("the nonce")),
        ("n,,n=user,r=a b", Error::Malformed("the nonce")),
        ("n,,n=user,r=é", Error::Malformed("the nonce")),
        ("n,,n=,r=abc", Error::Forbidden("empty")),
        ("n,,n==2c,r=abc", Error::Malformed("n=")),
        ("n,,n=a=,r=abc", Error::Malformed("n=")),
        ("n,,n=a=3,r=abc", Error::Malformed("n=")),
        ("n,,n=a\u{7},r=abc", Error::Forbidden("a character that SASLprep forbids")),
        ("n,,n=a\0,r=abc", Error::Malformed("a null character")),
        (&long, Error::Forbidden("more than 1024 bytes")),
        (&longer, Error::Malformed("too long")),
        (&nonce, Error::Malformed("the nonce")),
    ];
    for (message, error) in table {
        assert_eq!(challenge(message.as_bytes(), "xyz", |_| example()), Err(error), "{message}");
    }
    assert_eq!(challenge(b"n,,n=\xff,r=abc", "xyz", |_| example()), Err(Error::Malformed("not UTF-8")));
    for fine in ["y,,n=user,r=abc", "n,,n=user,r=abc,x=1", "n,,n=us=3Der=2C,r=a=b"] {
        challenge(fine.as_bytes(), "xyz", |_| example()).unwrap_or_else(|e| panic!("{fine}: {e}"));
    }
}

#[test]
fn last_messages_that_are_refused() {
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let table = [
        (String::new(), Error::Malformed("no proof")),
        (format!("c=biws,r={nonce}"), Error::Malformed("no proof")),
        (format!("c=biws,r={nonce},p="), Error::Malformed("the proof is not Base64 of 32 bytes")),
        (format!("c=biws,r={nonce},p=AAAA"), Error::Malformed("the proof is not Base64 of 32 bytes")),
        (format!("c=biws,r={nonce},p={}", "A".repeat(68)), Error::Malformed("too long a proof")),
        (format!("c=eSws,r={nonce},p={proof}"), Error::Malformed("another header than before")),
        (format!("c=biws,r={nonce}x,p={proof}"), Error::Malformed("another nonce than before")),
        (format!("r={nonce},c=biws,p={proof}"), Error::Malformed("c=")),
        (format!("c=biws,r={nonce},x=1,p={proof}"), Error::Wrong),
    ];
    for (message, error) in table {
        assert_eq!(judge(FIRST, CHALLENGE, &message, &example()), Err(error), "{message}");
    }
}

#[test]
fn challenges_that_a_client_does_not_take() {
    let client = Client::new("user", "pencil", "abc").unwrap();
    let long = format!("r=abcd,s={},i=4096", STANDARD.encode([0; SALT_BYTES_MAX + 1]));
    let table = [
        ("", Error::Malformed("r=")),
        ("e=other-error", Error::Malformed("r=")),
        ("m=x,r=abcd,s=AAAA,i=4096", Error::Unsupported("a mandatory extension")),
        ("r=abc,s=AAAA,i=4096", Error::Malformed("the nonce is not ours with more behind it")),
        ("r=abd,s=AAAA,i=4096", Error::Malformed("the nonce is not ours with more behind it")),
        ("r=abcd,i=4096", Error::Malformed("s=")),
        ("r=abcd,s=,i=4096", Error::Malformed("the length of the salt")),
        ("r=abcd,s=!,i=4096", Error::Malformed("the salt is not Base64")),
        ("r=abcd,s=AAAA", Error::Malformed("i=")),
        ("r=abcd,s=AAAA,i=+4096", Error::Malformed("the number of iterations")),
        ("r=abcd,s=AAAA,i=04096", Error::Malformed("the number of iterations")),
        ("r=abcd,s=AAAA,i=4294967296", Error::Malformed("the number of iterations")),
        ("r=abcd,s=AAAA,i=4095", Error::Unsupported("so few or so many iterations")),
        ("r=abcd,s=AAAA,i=1000001", Error::Unsupported("so few or so many iterations")),
        (&long, Error::Malformed("the length of the salt")),
    ];
    for (message, error) in table {
        assert_eq!(client.answer(message.as_bytes()), Err(error), "{message}");
    }
}

#[test]
fn names_and_passwords_are_prepared() {
    let client = |user: &str, password: &str| Client::new(user, password, "abc").map(|client| client.first());
    assert_eq!(client("a=b,c", "x").unwrap(), "n,,n=a=3Db=2Cc,r=abc");
    assert_eq!(client("I\u{ad}X", "x").unwrap(), "n,,n=IX,r=abc");
    assert_eq!(client("\u{2168}", "x").unwrap(), "n,,n=IX,r=abc");
    assert_eq!(client("", "x"), Err(Error::Forbidden("empty")));
    assert_eq!(client("u", "\u{7}"), Err(Error::Forbidden("a character that SASLprep forbids")));
    assert_eq!(client("u", "\u{627}1"), Err(Error::Forbidden("a character that SASLprep forbids")));
    assert!(Client::new("u", "p", "a,b").is_err());
}

#[test]
fn nonces_differ_and_fit() {
    let (a, b) = (new_nonce().unwrap(), new_nonce().unwrap());
    assert_ne!(a, b);
    assert!(Client::new("u", "p", &a).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn who_knows_the_password_is_let_in_and_nobody_else(
        user in "[a-z=,ä]{1,12}", password in "[ -~äß]{1,12}", other in "[ -~äß]{1,12}",
        ours in "[!-+.-~]{1,20}", theirs in "[!-+.-~]{1,20}", salt in prop::collection::vec(0u8.., 1..64),
    ) {
        let entry = entry(&password, &salt);
        let find = |_: &str| entry.clone();
        for attempt in [&password, &other] {
            let client = Client::new(&user, attempt, &ours).unwrap();
            let first = client.first();
            let challenge = challenge(first.as_bytes(), &theirs, find).unwrap();
            let answer = client.answer(challenge.as_bytes()).unwrap();
            let judged = judge(&first, &challenge, &answer.message, &entry);
            if *attempt == password {
                prop_assert_eq!(judged, Ok(Proven { user: user.clone(), message: answer.expected }));
            } else {
                prop_assert_eq!(judged, Err(Error::Wrong));
            }
        }
    }
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(bytes in "(n,,|c=biws,|r=abc)?[a-z=,\u{0}é+/0-9]{0,80}") {
        let bytes = bytes.as_bytes();
        drop(challenge(bytes, "xyz", |_| Entry::nobody()));
        drop(verify(FIRST.as_bytes(), CHALLENGE.as_bytes(), bytes, |_| Entry::nobody()));
        drop(verify(bytes, bytes, bytes, |_| Entry::nobody()));
        drop(message::ServerFirst::parse(bytes));
    }
}
