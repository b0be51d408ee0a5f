//! All [dialogues](grovemq_tests::dialogue), held with our broker.
//!
//! With `GROVEMQ_DIALOGUE_TARGET=host:port` they are held with the broker there instead of with ours; what another broker
//! does differently then fails by its row.

use std::net::ToSocketAddrs;

use grovemq_tests::Broker;
use grovemq_tests::dialogue::{files, hold_all, read, rows};

use crate::peer::local;

/// Holds all rows of a file with one broker.
fn hold(file: &str) {
    let mut rows = read(file);
    if let Ok(target) = std::env::var("GROVEMQ_DIALOGUE_TARGET") {
        // that broker's configuration is not ours to set
        rows.retain(|row| !row.has_configuration());
        hold_all(file, &rows, target.to_socket_addrs().unwrap().next().unwrap());
    } else {
        let broker = Broker::ours();
        hold_all(file, &rows, local(broker.port()));
    }
}

macro_rules! dialogues {
    ($($name:ident),*) => {
        $(#[test] fn $name() { hold(concat!(stringify!($name), ".txt")); })*

        #[test]
        fn every_file_is_held() {
            let held = [$(concat!(stringify!($name), ".txt")),*];
            for file in files() {
                assert!(held.contains(&file.as_str()), "nobody holds {file}");
            }
        }
    };
}

dialogues!(
    framing,
    connect,
    publish,
    acknowledge,
    subscribe,
    sessions,
    delivery,
    properties,
    configured,
    fields,
    transfer,
    size
);

/// With another broker, too, a row that asks for the wrong thing must fail.
#[test]
fn a_wrong_expectation_fails_with_its_line() {
    let broker = Broker::ours();
    let text = "# example\n== X1 one\na v3\na > PINGREQ{}\na < PINGRESP{00}\n";
    let failure = rows(text)[0].hold(local(broker.port())).unwrap_err();
    assert!(failure.starts_with("5: X1: a < PINGRESP{00}\n    awaited PINGRESP{00}"), "{failure}");
}
