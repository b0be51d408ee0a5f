//! The store on a disk beside the plain picture: whatever is committed, cut off, damaged or refused.

use crate::log::Shape;
use crate::{Disk, Error, Mode, Options, Picture, Recovery, Store, removes};
use grovemq_codec::{Qos, RetainHandling, SubscribeOptions};
use grovemq_core::journal::{QueuedImage, Record, Saved, SessionImage, SubscriptionImage, WillImage};
use grovemq_core::{Message, MessageRef, Time};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;

/// So small that a few groups fill a segment and the log is cleaned all the time.
const SMALL: Shape = Shape { segment_min: 4096, segment_max: 16_384, slack: 8192, clean_step: 256 };

fn options(mode: Mode) -> Options {
    Options { mode, size_max: u64::MAX, epoch: UNIX_EPOCH + Duration::from_secs(1_700_000_000) }
}

fn open(dir: &Path, mode: Mode) -> Disk {
    Disk::open_shaped(dir, &options(mode), SMALL).unwrap()
}

fn read(store: &mut dyn Store) -> (Picture, Recovery) {
    let mut picture = Picture::default();
    let found = store.recover(&mut |saved| picture.insert(saved)).unwrap();
    (picture, found)
}

/// What the model looks like after a restart.
fn restarted(model: &Picture) -> Picture {
    let mut picture = Picture::default();
    model.visit(&mut |saved| picture.insert(saved));
    picture
}

/// A directory for a store, in one for what may be put beside it.
struct Place(TempDir);

impl Place {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }
}

fn place() -> Place {
    // nobody pulls the plug here, so memory will do
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let place = Place(place.unwrap());
    std::fs::create_dir(place.path()).unwrap();
    place
}

/// As a killed process leaves it.
fn copy(dir: &Path) -> Place {
    let copy = place();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn message(topic: &str, payload: &[u8], expires: Option<u64>) -> Arc<Message> {
    let (properties, qos) = (&[1, 1][..], Qos::AtLeastOnce);
    let expires = expires.map(Time);
    MessageRef { topic, properties, payload, qos, retain: false, expires }.to_shared()
}

fn session(id: u64, name: &str) -> Record {
    Record::Session(Box::new(SessionImage {
        id,
        client_id: name.into(),
        username: None,
        mount: None,
        expiry: u32::MAX,
        expires: None,
        will: None,
    }))
}

fn queued(session: u64, seq: u64, message: &Arc<Message>) -> Record {
    let image =
        QueuedImage { seq, message: message.clone(), qos: Qos::AtLeastOnce, retain: false, ids: None };
    Record::Queued(session, image)
}

fn finished(session: u64, seq: u64) -> Record {
    Record::Finished { session, seq }
}

/// Few sessions, topics and numbers, so that records meet; a pool of messages, so that they are shared.
fn record(pool: Vec<Arc<Message>>) -> impl Strategy<Value = Record> {
    let pool = prop::sample::select(pool);
    let (id, seq, packet_id) = (1u64..4, 1u64..12, 1u16..4);
    let will = pool.clone().prop_map(|message| WillImage { message, due: 99, expiry: Some(7) });
    let described = (id.clone(), "[a-c]{0,2}", prop::option::of("[u-w]"), prop::option::of(will)).prop_map(
        |(id, name, username, will)| {
            Record::Session(Box::new(SessionImage {
                id,
                client_id: name.into(),
                username: username.map(Into::into),
                mount: None,
                expiry: 60,
                expires: Some(id * 1000),
                will,
            }))
        },
    );
    let group = || prop::option::of("[gh]").prop_map(|group| group.map(Box::from));
    let subscribed =
        (id.clone(), "[a-c]/#", group(), any::<bool>()).prop_map(|(id, filter, group, no_local)| {
            let options =
                SubscribeOptions { no_local, retain_handling: RetainHandling::IfNew, ..Default::default() };
            Record::Subscribed(
                id,
                Box::new(SubscriptionImage { filter: filter.into(), group, options, id: 5 }),
            )
        });
    let unsubscribed = (id.clone(), "[a-c]/#", group())
        .prop_map(|(id, filter, group)| Record::Unsubscribed(id, filter.into(), group));
    let queued =
        (id.clone(), seq.clone(), pool.clone(), any::<bool>()).prop_map(|(id, seq, message, retain)| {
            let ids = retain.then(|| Box::from([1, 2]));
            let image = QueuedImage { seq, message, qos: Qos::ExactlyOnce, retain, ids };
            Record::Queued(id, image)
        });
    let on_message = (id.clone(), seq).prop_flat_map(|(session, seq)| {
        prop_oneof![
            Just(Record::Owned { session, seq }),
            Just(Record::Finished { session, seq }),
            Just(Record::Finished { session, seq }),
        ]
    });
    let on_packet = (id.clone(), packet_id, any::<bool>()).prop_map(|(session, packet_id, open)| {
        if open { Record::Received { session, packet_id } } else { Record::Completed { session, packet_id } }
    });
    let cleared = "r/[a-d]".prop_map(|topic| Record::Retained(message(&topic, b"", None)));
    prop_oneof![
        3 => described,
        1 => id.prop_map(Record::Ended),
        2 => subscribed,
        1 => unsubscribed,
        8 => queued,
        8 => on_message,
        2 => on_packet,
        3 => pool.prop_map(Record::Retained),
        1 => cleared,
    ]
}

fn pool() -> Vec<Arc<Message>> {
    let payload = |n: usize| vec![b'x'; 1 + n * 37];
    (0..8)
        .map(|n| message(&format!("r/{}", ["a", "b", "c", "d"][n % 4]), &payload(n), Some(n as u64)))
        .collect()
}

fn groups() -> impl Strategy<Value = Vec<Vec<Record>>> {
    prop::collection::vec(prop::collection::vec(record(pool()), 0..12), 1..40)
}

/// Forgets under which names another store knew the messages.
fn unnamed(groups: &[Vec<Record>]) {
    for record in groups.iter().flatten() {
        match record {
            Record::Queued(_, image) => image.message.set_stored(0),
            Record::Retained(message) => message.set_stored(0),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_is_committed_is_there_after_a_kill(groups in groups(), kill_every in 1usize..8, written in any::<bool>()) {
        unnamed(&groups);
        let mode = if written { Mode::Written } else { Mode::Durable };
        let mut dir = place();
        let mut store = open(&dir.path(), mode);
        let mut model = Picture::default();
        for (n, group) in groups.iter().enumerate() {
            store.commit(group).unwrap();
            for record in group {
                model.apply(record);
            }
            if n % kill_every == 0 {
                dir = copy(&dir.path());
                store = open(&dir.path(), mode);
                let (picture, found) = read(&mut store);
                prop_assert!(picture == restarted(&model), "after group {n}");
                prop_assert_eq!(found.lost, vec![]);
                prop_assert!(!found.cut);
            }
        }
    }
}

/// Sessions with a long tail of traffic: the log turns over many times, and only what is alive stays.
/// Returns what it added up to after each group, if they are few.
fn traffic(store: &mut Disk, model: &mut Picture, rounds: u64) -> Vec<Picture> {
    let mut pictures = Vec::new();
    let mut commit = |store: &mut Disk, group: Vec<Record>| {
        store.commit(&group).unwrap();
        for record in &group {
            model.apply(record);
        }
        if rounds <= 300 {
            pictures.push(restarted(model));
        }
    };
    let retained = |n: u64| Record::Retained(message(&format!("state/{}", n % 10), &n.to_le_bytes(), None));
    commit(store, vec![session(1, "slow"), session(2, "fast"), queued(1, 1, &message("old", b"old", None))]);
    for n in 0..rounds {
        let new = message("news", &[7; 120], None);
        let mut group = vec![queued(2, n + 10, &new), retained(n)];
        if n % 16 == 0 {
            group.push(queued(1, n + 10, &new));
        }
        if n > 5 {
            group.push(finished(2, n + 5));
        }
        if n > 500 && n % 16 == 0 {
            group.push(finished(1, n + 10 - 496));
        }
        commit(store, group);
    }
    pictures
}

#[test]
fn the_log_is_cleaned_as_it_grows() {
    let dir = place();
    let (mut store, mut model) = (open(&dir.path(), Mode::Written), Picture::default());
    traffic(&mut store, &mut model, 5000);
    let stats = store.stats();
    assert!(stats.bytes < 120_000, "{stats:?}");
    let known = model.visit(&mut |_| {});
    assert_eq!((stats.sessions, stats.retained, stats.queued), (2, 10, known.queued));
    assert!(stats.messages <= known.queued + known.retained, "{stats:?}");
    drop(store);
    let mut store = open(&dir.path(), Mode::Written);
    let (picture, found) = read(&mut store);
    assert!(picture == restarted(&model), "{found:?}");
    assert_eq!((found.lost, found.cut, found.highest_session), (vec![], false, 2));
    assert_eq!(store.stats().messages, stats.messages);
    // and goes on from there
    traffic(&mut store, &mut model, 1000);
    drop(store);
    assert!(read(&mut open(&dir.path(), Mode::Durable)).0 == restarted(&model));
}

#[test]
fn a_message_for_many_is_written_once_and_one_undone_in_its_group_never() {
    let dir = place();
    let mut store = open(&dir.path(), Mode::Written);
    let sessions: Vec<Record> = (1..=50).map(|id| session(id, "s")).collect();
    store.commit(&sessions).unwrap();
    let before = store.log_end();
    let large = message("large", &[b'l'; 2000], None);
    let group: Vec<Record> = (1..=50).map(|id| queued(id, 1, &large)).collect();
    store.commit(&group).unwrap();
    assert_eq!(store.stats().messages, 1);
    assert!(store.log_end() - before < 4000, "{}", store.log_end() - before);

    let before = store.log_end();
    let undone = message("undone", b"x", None);
    let owned = Record::Owned { session: 1, seq: 2 };
    let (received, completed) =
        (Record::Received { session: 1, packet_id: 1 }, Record::Completed { session: 1, packet_id: 1 });
    store.commit(&[queued(1, 2, &undone), owned, received, finished(1, 2), completed]).unwrap();
    store.commit(&[session(51, "brief"), queued(51, 1, &undone), Record::Ended(51)]).unwrap();
    assert_eq!(store.log_end(), before);
}

#[test]
fn a_group_that_was_not_settled_is_known_to_the_next() {
    let dir = place();
    let mut store = open(&dir.path(), Mode::Durable);
    let shared = message("t", b"x", None);
    store.write(&[session(1, "s"), queued(1, 1, &shared)]).unwrap();
    store.write(&[finished(1, 1), queued(1, 2, &shared)]).unwrap();
    // as safe as any
    let (_, found) = read(&mut open(&copy(&dir.path()).path(), Mode::Durable));
    assert_eq!((found.sessions, found.queued, found.lost), (1, 1, vec![]));
    store.settle();
    let stats = store.stats();
    assert_eq!((stats.messages, stats.queued), (1, 1));
    store.settle();
    assert_eq!(store.stats(), stats);
}

#[test]
fn the_next_file_is_made_before_it_is_wanted() {
    let dir = place();
    let mut store = open(&dir.path(), Mode::Written);
    store.commit(&[session(1, "s")]).unwrap();
    let (few, bytes) = (files(&dir.path()).len(), store.stats().bytes);
    let large = message("t", &[b'x'; 2500], None);
    store.write(&[queued(1, 1, &large)]).unwrap();
    assert_eq!(store.stats().bytes, bytes);
    store.settle();
    // it counts from the beginning, and there is one at a time
    assert_eq!(store.stats().bytes, bytes + SMALL.segment_min);
    store.settle();
    drop(store);
    assert_eq!(files(&dir.path()).len(), few + 1);
    let whole = |path: &std::path::PathBuf| path.metadata().unwrap().len() == SMALL.segment_min;
    assert!(files(&dir.path()).iter().all(whole));
}

#[test]
fn a_message_expires_at_the_same_hour_after_a_restart() {
    let dir = place();
    let mut store = open(&dir.path(), Mode::Durable);
    store.commit(&[Record::Retained(message("a", b"1", Some(60_000)))]).unwrap();
    drop(store);
    for (later, expires) in [(50, 10_000), (70, 0)] {
        let mut options = options(Mode::Durable);
        options.epoch += Duration::from_secs(later);
        let mut all = Vec::new();
        Disk::open_shaped(&dir.path(), &options, SMALL)
            .unwrap()
            .recover(&mut |saved| all.push(saved))
            .unwrap();
        let [Saved::Retained(message)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(message.expires(), Some(Time(expires)));
    }
}

/// A store of some groups and, after each of them, what it adds up to.
fn history() -> (Place, Vec<Picture>) {
    let dir = place();
    let mut store = open(&dir.path(), Mode::Durable);
    let (mut model, mut pictures) = (Picture::default(), vec![Picture::default()]);
    let shared = message("shared", b"for both", None);
    let groups = [
        vec![session(1, "a"), session(2, "b"), Record::Retained(message("r", b"1", None))],
        vec![queued(1, 1, &shared), queued(2, 1, &shared)],
        vec![queued(1, 2, &message("t", b"2", None))],
        vec![Record::Retained(message("r", b"2", None)), finished(2, 1)],
        vec![Record::Owned { session: 1, seq: 1 }, Record::Received { session: 2, packet_id: 3 }],
    ];
    for group in groups {
        store.commit(&group).unwrap();
        for record in &group {
            model.apply(record);
        }
        pictures.push(restarted(&model));
    }
    (dir, pictures)
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect()
}

/// The one file that has groups, and how long they are.
fn log_of(dir: &Path) -> (std::path::PathBuf, usize) {
    let used = |path: &std::path::PathBuf| {
        std::fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
    };
    files(dir).into_iter().map(|path| (path.clone(), used(&path))).max_by_key(|(_, len)| *len).unwrap()
}

#[test]
fn e02_a_log_cut_at_any_byte_gives_the_groups_before() {
    let (dir, pictures) = history();
    let (path, len) = log_of(&dir.path());
    let whole = std::fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    // the padding of the last group belongs to it
    for cut in 0..=len.next_multiple_of(8) {
        let copy = copy(&dir.path());
        std::fs::write(copy.path().join(path.file_name().unwrap()), &whole[..cut]).unwrap();
        let mut store = open(&copy.path(), Mode::Durable);
        let (picture, found) = read(&mut store);
        let prefix = pictures.iter().position(|known| *known == picture);
        seen.insert(prefix.unwrap_or_else(|| panic!("cut at {cut}: {picture:?}")));
        // no crash leaves a part of a header: that nothing is left of the file is told
        assert_eq!(found.lost.len(), usize::from((1..28).contains(&cut)), "cut at {cut}");
        // and takes new ones
        store.commit(&[session(9, "after")]).unwrap();
        drop(store);
        assert_eq!(
            read(&mut open(&copy.path(), Mode::Durable)).1.sessions,
            found.sessions + 1,
            "cut at {cut}"
        );
    }
    assert_eq!(seen.len(), pictures.len());
}

#[test]
fn a_flipped_bit_is_survived_and_what_it_cost_is_named() {
    let (dir, pictures) = history();
    let (path, len) = log_of(&dir.path());
    let whole = std::fs::read(&path).unwrap();
    let last = pictures.last().unwrap();
    for at in 0..len {
        let copy = copy(&dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
        let mut store = match Disk::open_shaped(&copy.path(), &options(Mode::Durable), SMALL) {
            // a flipped format number cannot pass for one: it has a check
            Err(e) => panic!("byte {at}: {e}"),
            Ok(store) => store,
        };
        let (picture, found) = read(&mut store);
        let told = !found.lost.is_empty();
        let harmless = picture == *last;
        let prefix = pictures.contains(&picture) && at > 64;
        assert!(told || harmless || prefix, "byte {at}: {picture:?}");
        store.commit(&[session(9, "after")]).unwrap();
        drop(store);
        let (_, again) = read(&mut open(&copy.path(), Mode::Durable));
        assert_eq!(again.sessions, found.sessions + 1, "byte {at}: {found:?} {again:?}");
    }
}

#[test]
fn e03_without_any_header_the_loss_is_told_and_the_files_are_kept() {
    let (dir, _) = history();
    let (path, _) = log_of(&dir.path());
    for file in files(&dir.path()) {
        let mut bytes = std::fs::read(&file).unwrap();
        if bytes[..8] != [0; 8] {
            bytes[..64].fill(0xa5);
            std::fs::write(&file, bytes).unwrap();
        }
    }
    let looked_at = Disk::open_to_read(&dir.path(), std::time::SystemTime::now()).unwrap();
    assert!(path.exists(), "looking changes nothing");
    drop(looked_at);
    let mut store = open(&dir.path(), Mode::Durable);
    let (picture, found) = read(&mut store);
    assert_eq!((picture, found.lost_count), (Picture::default(), 1), "{found:?}");
    assert!(found.lost[0].to_string().contains("whose header cannot be read"), "{}", found.lost[0]);
    let kept = std::fs::read(path.with_extension("log.damaged")).unwrap();
    assert!(kept.windows(8).any(|part| part == b"for both"));
    store.commit(&[session(9, "after")]).unwrap();
    drop(store);
    let (_, again) = read(&mut open(&dir.path(), Mode::Durable));
    assert_eq!((again.sessions, again.lost_count), (1, 0), "{again:?}");
}

#[test]
fn a_flipped_bit_in_the_middle_takes_one_change_and_is_kept_for_inspection() {
    let (dir, _) = history();
    let (path, _) = log_of(&dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|part| part == b"for both").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (picture, found) = read(&mut open(&dir.path(), Mode::Durable));
    // of the message that two were to have, one had it already and the other owns it
    assert_eq!((found.lost_count, found.sessions, found.queued), (1, 2, 2), "{found:?}\n{picture:?}");
    assert!(found.lost[0].to_string().contains("1 of the 3 changes of group 2"), "{}", found.lost[0]);
    let beside = std::fs::read_dir(dir.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: Vec<_> = beside.filter(|name| name.to_str().unwrap().starts_with("store.damaged-")).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn a_missing_file_is_named() {
    let dir = place();
    let (mut store, mut model) = (open(&dir.path(), Mode::Written), Picture::default());
    let pictures = traffic(&mut store, &mut model, 300);
    drop(store);
    let all = files(&dir.path());
    for path in &all {
        let copy = copy(&dir.path());
        std::fs::remove_file(copy.path().join(path.file_name().unwrap())).unwrap();
        let (picture, found) = read(&mut open(&copy.path(), Mode::Written));
        // the loss of a spare is none, and that of the last file is an earlier end
        let known = pictures.contains(&picture);
        assert!(known || found.lost_count > 0, "{}: {found:?}", path.display());
    }
}

#[test]
fn one_store_one_process() {
    let dir = place();
    let store = open(&dir.path(), Mode::Durable);
    let second = Disk::open(&dir.path(), &Options::default());
    assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
    drop(store);
    Disk::open(&dir.path(), &Options::default()).unwrap();
}

#[test]
fn e20_a_newer_format_and_another_file_are_refused() {
    let (dir, _) = history();
    let (path, _) = log_of(&dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    let check = crate::frame::checksum(&[&bytes[..24]]);
    bytes[24..28].copy_from_slice(&check);
    std::fs::write(&path, bytes).unwrap();
    let refused = Disk::open(&dir.path(), &Options::default()).unwrap_err();
    assert!(refused.to_string().ends_with("written by a newer GroveMQ (store format 2)"), "{refused}");
    assert!(matches!(Disk::open(&path, &Options::default()), Err(Error::Foreign { .. })));
}

#[test]
fn a_full_store_refuses_and_can_be_emptied() {
    let dir = place();
    let options = Options { size_max: 64 << 10, ..options(Mode::Written) };
    let mut store = Disk::open_shaped(&dir.path(), &options, SMALL).unwrap();
    store.commit(&[session(1, "s")]).unwrap();
    let mut accepted = Vec::new();
    let refusal = loop {
        let seq = accepted.len() as u64 + 1;
        match store.commit(&[queued(1, seq, &message("t", &[b'x'; 500], None))]) {
            Ok(()) => accepted.push(seq),
            Err(e) => break e,
        }
        assert!(accepted.len() < 1000);
    };
    assert!(refusal.is_full(), "{refusal}");
    assert!(accepted.len() > 30, "{}", accepted.len());
    assert!(store.stats().bytes <= 64 << 10);
    assert_eq!(store.stats().queued, accepted.len() as u64);
    let most = accepted.len() as u64 * 3 / 4;
    for round in 0..20 {
        // removals go on, all of them
        for seq in &accepted {
            let group = [finished(1, *seq)];
            assert!(group.iter().all(removes));
            store.commit(&group).unwrap_or_else(|e| panic!("round {round}, {seq}: {e}"));
        }
        assert_eq!(store.stats().queued, 0);
        // nearly as much fits again, and then it is full again
        let mut refused = 0;
        for seq in &accepted {
            let committed = store.commit(&[queued(1, *seq, &message("t", &[b'x'; 500], None))]);
            assert!(
                *seq <= most || committed.as_ref().map_or_else(Error::is_full, |()| true),
                "round {round}"
            );
            assert!(*seq > most || committed.is_ok(), "round {round}, {seq}: {committed:?}");
            refused += u64::from(committed.is_err());
        }
        assert_eq!(store.stats().queued, accepted.len() as u64 - refused);
    }
    assert!(store.stats().bytes <= 64 << 10);
    drop(store);
    let (_, found) = read(&mut Disk::open_shaped(&dir.path(), &options, SMALL).unwrap());
    assert!(found.queued > most && found.lost.is_empty(), "{found:?}");
}

#[test]
fn after_a_failed_sync_the_group_can_be_tried_again_elsewhere() {
    let dir = place();
    let (mut store, mut model) = (open(&dir.path(), Mode::Durable), Picture::default());
    let shared = message("t", b"1", None);
    let groups = [
        vec![session(1, "s")],
        vec![queued(1, 1, &shared)],
        vec![Record::Retained(shared.clone())],
        vec![queued(1, 2, &shared), finished(1, 1)],
    ];
    for group in groups {
        for _ in 0..3 {
            let failed = Error::io(Path::new("disk"), "sync", std::io::ErrorKind::Other.into());
            store.fail_next(failed);
            store.commit(&group).unwrap_err();
        }
        // the same group, or none of it at all, and nothing twice
        let (before, _) = read(&mut open(&copy(&dir.path()).path(), Mode::Durable));
        let without = restarted(&model);
        for record in &group {
            model.apply(record);
        }
        assert!(before == without || before == restarted(&model));
        store.commit(&group).unwrap();
        let (picture, found) = read(&mut open(&copy(&dir.path()).path(), Mode::Durable));
        assert!(picture == restarted(&model) && found.lost.is_empty(), "{found:?}");
    }
}

/// A log of several files, in the middle of being turned over.
#[test]
fn damage_anywhere_in_a_long_log_is_survived_and_named() {
    let dir = place();
    let (mut store, mut model) = (open(&dir.path(), Mode::Written), Picture::default());
    let pictures = traffic(&mut store, &mut model, 250);
    drop(store);
    let mut named = 0;
    for path in files(&dir.path()) {
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(1500) {
            let copy = copy(&dir.path());
            let mut bytes = whole.clone();
            // half a sector
            let end = (at + 256).min(bytes.len());
            bytes[at..end].fill(0xa5);
            std::fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            let (picture, found) = read(&mut open(&copy.path(), Mode::Written));
            named += found.lost_count.min(1);
            assert!(found.lost_count > 0 || pictures.contains(&picture), "{} at {at}", path.display());
        }
    }
    assert!(named > 5, "{named}");
}

#[test]
fn a_full_disk_stops_nothing_but_additions() {
    let dir = place();
    let mounted = |on: bool| {
        let mut command = std::process::Command::new(if on { "mount" } else { "umount" });
        if on {
            command.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]);
        }
        command.arg(dir.path()).stderr(std::process::Stdio::null()).status().is_ok_and(|done| done.success())
    };
    if !mounted(true) {
        eprintln!("left out: only root can make a small disk");
        return;
    }
    let tried = std::panic::catch_unwind(|| fill_a_disk(&dir.path()));
    assert!(mounted(false));
    tried.unwrap();
}

fn fill_a_disk(dir: &Path) {
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut store = Disk::open(dir, &options(Mode::Durable)).unwrap();
    store.commit(&[session(1, "s")]).unwrap();
    let large = || message("t", &[b'x'; 10_000], None);
    let (mut seq, mut refusal) = (0, None);
    while refusal.is_none() {
        seq += 1;
        refusal = store.commit(&[queued(1, seq, &large())]).err();
    }
    let refusal = refusal.unwrap();
    assert!(refusal.to_string().ends_with("no space left on the disk"), "{refusal}");
    assert!(seq > 50, "{seq}");
    // what removes goes on
    for seq in 1..20 {
        store.commit(&[finished(1, seq)]).unwrap();
    }
    // and when there is room again, so does the rest
    std::fs::remove_file(ballast).unwrap();
    for more in 0..30 {
        store.commit(&[queued(1, seq + more, &large())]).unwrap();
    }
    drop(store);
    let (_, found) = read(&mut Disk::open(dir, &options(Mode::Durable)).unwrap());
    assert_eq!((found.queued, found.lost), (seq - 1 - 19 + 30, vec![]));
}

#[test]
fn to_look_at_a_store_changes_nothing() {
    let dir = place();
    let mut store = Disk::open(&dir.path(), &options(Mode::Durable)).unwrap();
    store.commit(&[session(1, "s")]).unwrap();
    store.commit(&[queued(1, 1, &message("t", b"lost", None))]).unwrap();
    store.commit(&[queued(1, 2, &message("t", b"kept", None))]).unwrap();
    let locked = Disk::open_to_read(&dir.path(), UNIX_EPOCH).unwrap_err();
    assert!(matches!(locked, Error::Locked { .. }), "{locked}");
    drop(store);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(4).position(|four| four == b"lost") {
            bytes[at] = b'x';
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let files = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.map(|path| (std::fs::read(&path).ok(), path)).collect();
        files.sort();
        files
    };
    let before = (files(dir.0.path()), files(&dir.path()));
    let mut store = Disk::open_to_read(&dir.path(), UNIX_EPOCH).unwrap();
    let (_, found) = read(&mut store);
    assert_eq!((found.sessions, found.queued), (1, 1));
    assert!(found.lost_count > 0);
    let refusal = store.commit(&[finished(1, 2)]).unwrap_err();
    assert!(matches!(refusal, Error::Io { .. }), "{refusal}");
    drop(store);
    assert_eq!((files(dir.0.path()), files(&dir.path())), before);
    let none = Disk::open_to_read(dir.0.path(), UNIX_EPOCH).unwrap_err();
    assert!(matches!(none, Error::Foreign { .. }), "{none}");
}
