//! Clients and broker in one thread, with a clock and links that a seed moves and breaks, and in most worlds with a store
//! on which the broker starts again after a kill at any moment: what must hold whatever happens.
//!
//! `GROVEMQ_SEEDS=n` runs n seeds instead of the usual few hundred, beginning at a random one; `GROVEMQ_SEED=s` runs
//! that one alone.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test")]

mod client;
mod disk;
mod link;
mod world;

use client::{Arrival, Client, Publication};
use grovemq_codec::topic;
use std::collections::{BTreeMap, BTreeSet};
use world::World;

const SEEDS: u64 = 200;
const STEPS: usize = 150;

#[test]
fn nothing_is_lost_doubled_or_out_of_order() {
    let number = |name| std::env::var(name).ok().map(|v| v.parse::<u64>().unwrap());
    let (first, count) = match (number("GROVEMQ_SEED"), number("GROVEMQ_SEEDS")) {
        (Some(seed), _) => (seed, 1),
        (None, Some(count)) => (std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() << 24, count),
        (None, None) => (0, SEEDS),
    };
    let mut total = [0, 0, 0];
    for seed in first..first + count {
        let guard = Told(seed);
        let world = run(seed);
        total[0] += world.clients.iter().map(|c| c.published.len()).sum::<usize>();
        total[1] += world.clients.iter().map(|c| c.arrivals.len()).sum::<usize>();
        total[2] += world.kills as usize;
        std::mem::forget(guard);
    }
    let [published, arrived, kills] = total;
    println!("{count} seeds from {first}: {published} messages published, {arrived} arrived, {kills} kills");
}

/// Says how to see the failure again.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("replay: GROVEMQ_SEED={} cargo test -p grovemq-tests --test simulation", self.0);
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    world.begin();
    for _ in 0..3 {
        world.rage(STEPS / 3);
        world.settle();
    }
    check(&world);
    nothing_left_on_disk(&mut world);
    world
}

fn check(world: &World) {
    let known: BTreeSet<&Publication> = world.clients.iter().flat_map(|c| &c.published).collect();
    for (id, client) in world.clients.iter().enumerate() {
        let mut arrived: BTreeMap<&Publication, Vec<&Arrival>> = BTreeMap::new();
        for arrival in &client.arrivals {
            assert!(known.contains(&arrival.publication), "client {id} got what nobody sent: {arrival:?}");
            arrived.entry(&arrival.publication).or_default().push(arrival);
        }
        if client.durable {
            nothing_lost(id, world, &arrived);
            nothing_doubled(id, world, &arrived);
            in_order(id, world);
        }
    }
    one_member_each(world);
    last_retained(world);
    nobody_left_over(world);
}

/// What durable clients published since this one's subscriptions stood.
fn published_for(world: &World, client: usize) -> impl Iterator<Item = &Publication> {
    let since = &world.clients[client].since;
    let authors = world.clients.iter().zip(since).filter(|(c, _)| c.durable);
    authors.flat_map(|(author, since)| &author.published[*since..])
}

/// The QoS of the subscriptions the client always had.
fn granted(client: &Client, name: &str) -> Option<u8> {
    client.filters.iter().filter(|(filter, _)| topic::matches(filter, name)).map(|(_, qos)| *qos).max()
}

fn nothing_lost(id: usize, world: &World, arrived: &BTreeMap<&Publication, Vec<&Arrival>>) {
    for publication in published_for(world, id) {
        if publication.qos > 0 && granted(&world.clients[id], &publication.topic) > Some(0) {
            assert!(arrived.contains_key(publication), "client {id} lost {publication:?}");
        }
    }
}

/// What came with QoS 2 came once. What its author sent once and came with QoS 1 came again only over another connection,
/// and only as such, unless a kill lay between.
fn nothing_doubled(id: usize, world: &World, arrived: &BTreeMap<&Publication, Vec<&Arrival>>) {
    for (publication, arrivals) in arrived {
        if publication.qos == 2 && world.clients[publication.publisher].durable {
            let twos = arrivals.iter().filter(|a| a.qos == 2).count();
            assert!(twos <= 1, "client {id} got {publication:?} {twos} times");
            let links: BTreeSet<_> = arrivals.iter().map(|a| a.link).collect();
            let once_each = links.len() == arrivals.len() || arrivals.iter().any(|a| a.qos == 0);
            assert!(once_each, "client {id} got {publication:?} again over one connection");
            let fresh = arrivals.iter().filter(|a| !a.dup).count();
            assert!(
                fresh <= 1 || world.kills > 0,
                "client {id} got {publication:?} {fresh} times without DUP"
            );
        }
    }
}

/// First deliveries of one publisher, topic and QoS come in the order they were sent.
fn in_order(id: usize, world: &World) {
    let client = &world.clients[id];
    // what may be lost, as before a subscription stood, may also be seen late, when its author sends it again
    let certain: BTreeSet<&Publication> =
        published_for(world, id).filter(|p| p.qos == 0 || granted(client, &p.topic) > Some(0)).collect();
    let mut latest: BTreeMap<(usize, &str, u8), &Publication> = BTreeMap::new();
    let mut seen: BTreeSet<&Publication> = BTreeSet::new();
    for Arrival { publication: p, .. } in client.arrivals.iter().filter(|a| !a.retained) {
        if certain.contains(p) && seen.insert(p) {
            let key = (p.publisher, p.topic.as_str(), p.qos);
            if let Some(before) = latest.insert(key, p) {
                assert!(before.number < p.number, "client {id} got {p:?} after {before:?}");
            }
        }
    }
}

/// A shared group gets each message once, whoever of it.
fn one_member_each(world: &World) {
    let mut got: BTreeMap<&Publication, usize> = BTreeMap::new();
    for member in world.clients.iter().filter(|c| c.filters.iter().any(|(f, _)| f.starts_with("$share"))) {
        for arrival in member.arrivals.iter().filter(|a| a.publication.topic.starts_with("t/")) {
            *got.entry(&arrival.publication).or_default() += 1;
        }
    }
    // the first client is one of them
    for publication in published_for(world, 0).filter(|p| p.topic.starts_with("t/")) {
        let n = got.get(publication).copied().unwrap_or(0);
        match publication.qos {
            0 => {}
            1 => assert!(n >= 1, "the group lost {publication:?}"),
            _ => assert_eq!(n, 1, "the group got {publication:?}"),
        }
    }
}

fn last_retained(world: &World) {
    for (id, client) in world.clients.iter().enumerate() {
        let name = format!("r/{id}");
        let last = client.published.iter().filter(|p| p.topic == name).map(|p| p.number).max();
        let kept =
            world.router.retained().get(&name).map(|m| String::from_utf8_lossy(m.payload()).into_owned());
        let number = kept.map(|text| text.split(' ').nth(2).unwrap().parse().unwrap());
        assert_eq!(number, last, "retained on {name}");
    }
}

/// When all is delivered and acknowledged, so it is in the store.
fn nothing_left_on_disk(world: &mut World) {
    let durable = world.clients.iter().filter(|c| c.durable).count();
    let Some(disk) = &mut world.disk else { return };
    let sessions = disk.sessions();
    assert_eq!(sessions.len(), durable, "{sessions:?}");
    assert!(sessions.iter().all(|(_, queued, received)| queued + received == 0), "{sessions:?}");
}

fn nobody_left_over(world: &World) {
    let all = world.shards.iter().map(grovemq_core::Shard::len).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(all, (world.clients.len(), world.clients.len()), "sessions and connections");
}
