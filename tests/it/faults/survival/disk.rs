//! A full disk of an embedded node: writes fail, reads go on, and free space is enough to recover.

use qv_tests::{node_process::NodeProcess, operation, world::World};
use serde_json::{Value, json};

use super::{Pair, limit_files};

#[tokio::test]
async fn the_disk_of_an_embedded_node_may_be_full() {
    let world = World::embedded();
    let node = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&node, &node).await;
    // No file may grow past its first page, which SQLite sees as a full disk.
    limit_files(node.id(), "4096:");
    for _ in 0..3 {
        pair.is_told_to_wait().await;
    }
    reads_go_on(&pair).await;
    limit_files(node.id(), "unlimited:");
    pair.heals().await;
}

async fn reads_go_on(pair: &Pair) {
    pair.alice.run(operation!("viewer"), Value::Null).await.data();
    pair.alice.run(operation!("conversation"), json!({ "with": pair.bob.id, "first": 1 })).await.data();
    pair.lost_nothing().await;
}
