//! The consistency checker: people send messages while components fail. No message may be lost, duplicated or out of
//! order.
//!
//! `QV_CONSISTENCY_SEED` repeats a run as far as the machine's scheduling allows. `QV_CONSISTENCY_SECONDS` makes it
//! longer.

mod devices;
mod faults;
mod history;
mod senders;

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use qv_tests::client::Client;
use qv_tests::dice::Dice;
use qv_tests::patience::{PATIENCE, until_in};
use qv_tests::world::World;
use tokio::{sync::watch, time::Instant};

use self::devices::{Device, Log};
use self::faults::Stage;
use self::history::{Delivery, History, Sent};
use self::senders::Sender;

/// People, and the number of devices on which they follow their feeds.
const PEOPLE: [(&str, usize); 4] = [("ann", 3), ("ben", 3), ("cem", 2), ("dot", 1)];
/// Messages that each person has in flight at a time.
const HANDS: usize = 2;
const SECONDS: u64 = 10;

/// Person with the logs of their devices.
struct Person {
    client: Client,
    logs: Vec<Log>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_out_of_order_whatever_breaks() {
    let seed = number("QV_CONSISTENCY_SEED")
        .unwrap_or_else(|| u64::from_le_bytes(quantumvault::domain::Random::System.bytes()));
    let seconds = number("QV_CONSISTENCY_SECONDS").unwrap_or(SECONDS);
    println!("QV_CONSISTENCY_SEED={seed} QV_CONSISTENCY_SECONDS={seconds}");
    let mut dice = Dice::new(seed);
    let world = World::new().await;
    let mut stage = Stage::set(&world).await;
    let addresses = stage.addresses();
    let people = gather(&addresses, &mut dice).await;

    let stop = watch::Sender::new(false);
    let writing: Vec<_> = (0..people.len() * HANDS)
        .map(|hand| {
            let clients = people.iter().map(|person| person.client.clone()).collect();
            let sender = Sender::new(hand / HANDS, hand, clients, addresses.clone(), dice.fork());
            tokio::spawn(sender.run(stop.subscribe()))
        })
        .collect();
    let faults = stage.suffer(&mut dice, Instant::now() + Duration::from_secs(seconds)).await;
    stop.send_replace(true);
    let sent = join_all(writing).await.into_iter().flat_map(|hand| hand.expect("a sender comes to its end")).collect();

    let mut history = History { sent, feeds: Vec::new(), devices: Vec::new() };
    let mut violations = Vec::new();
    let is_consistent = until_in(PATIENCE, async || {
        history.devices = people.iter().map(|person| person.logs.iter().map(Log::read).collect()).collect();
        violations = if history.may_be_complete() {
            history.feeds = join_all(people.iter().map(|person| whole_feed(&person.client, addresses[0]))).await;
            history.violations()
        } else {
            vec!["a device is behind".to_owned()]
        };
        violations.is_empty()
    })
    .await;
    println!("{}; {faults:?}", history.summary());
    assert!(
        is_consistent,
        "seed {seed}: {:#?}",
        if history.feeds.is_empty() { violations } else { history.violations() }
    );
    assert!(!faults.is_empty() && !history.sent.is_empty(), "nothing was tried");
    stage.end().await;
}

/// Registers everybody and starts the devices that follow their feeds.
async fn gather(addresses: &[SocketAddr], dice: &mut Dice) -> Vec<Person> {
    let mut people = Vec::new();
    for (name, devices) in PEOPLE {
        let client = Client::new(addresses[0]).register(name).await;
        let logs = (0..devices)
            .map(|_| {
                let log = Log::default();
                tokio::spawn(Device::new(client.clone(), addresses.to_vec(), dice.fork(), log.clone()).run());
                log
            })
            .collect();
        people.push(Person { client, logs });
    }
    people
}

/// Returns the feed of a person as a new device receives it.
async fn whole_feed(client: &Client, address: SocketAddr) -> Vec<Delivery> {
    let (events, _) = client.at(address).feed(None).await.backlog().await;
    events.iter().map(Delivery::of).collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
