//! A full disk of PostgreSQL: writes without room fail, and free space is enough to recover.

use std::fs;

use qv_tests::client::draft;
use qv_tests::node_process::NodeProcess;
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::servers::{Backing, open_folder};
use qv_tests::small_disk::SmallDisk;
use qv_tests::world::World;

use crate::faults::survival::Pair;

#[tokio::test]
async fn the_disk_of_postgres_may_be_full() {
    let world = World::clustered().await;
    let disk = SmallDisk::new();
    let postgres = Backing::postgres_in(disk.path().join("data"), open_folder()).await;
    let node = NodeProcess::start(&world, "one", &[("DATABASE__URL", &postgres.url(postgres.address))]).await;
    let mut pair = Pair::at(&node, &node).await;
    let filling = disk.path().join("filling");
    // Writes until the disk is full.
    let full = fs::write(&filling, vec![0; SmallDisk::BYTES]).expect_err("the disk is small");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    // The space that PostgreSQL has reserved runs out soon.
    let (alice, bob) = (pair.alice.clone(), pair.bob.clone());
    let (large, mut number) = ("x".repeat(60_000), 0);
    let mut taken = Vec::new();
    until("a message that finds no room", async || {
        number += 1;
        let id = format!("large-{number}");
        let answer = alice.run(operation!("send_message"), draft(&bob, &format!("{id} {large}"), &id)).await;
        let is_refused = answer.is_away();
        if !is_refused {
            taken.push(answer.data()["sendMessage"]["message"]["id"].clone());
        }
        is_refused
    })
    .await;
    fs::remove_file(filling).expect("there is room again");
    pair.heals().await;
    let (events, _) = pair.bob.feed(None).await.backlog().await;
    for id in taken {
        assert_eq!(events.iter().filter(|event| event["messageId"] == id).count(), 1);
    }
}
