//! The disk is full: what would be written is refused, what is there is read, and room is all that it takes to heal.

use std::{fs, path::PathBuf, process::Command};

use qv_tests::{
    client::draft,
    node_process::NodeProcess,
    operation,
    patience::until,
    servers::{Backing, open_folder},
    world::World,
};
use serde_json::{Value, json};

use super::Pair;

#[tokio::test]
async fn the_disk_of_an_embedded_node_may_be_full() {
    let world = World::new().await;
    if world.is_clustered() {
        return;
    }
    let node = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&node, &node).await;
    // No file may grow past its first page, which is to SQLite what a full disk is.
    limit_files(node.id(), "4096:");
    for _ in 0..3 {
        pair.is_told_to_wait().await;
    }
    reads_go_on(&pair).await;
    limit_files(node.id(), "unlimited:");
    pair.heals().await;
}

#[tokio::test]
async fn the_disk_of_postgres_may_be_full() {
    let world = World::new().await;
    // Making a small disk takes the rights of root.
    let Some(disk) = (if world.is_clustered() { SmallDisk::mount() } else { None }) else { return };
    let place = open_folder();
    let postgres = Backing::postgres_in(disk.0.join("data"), place).await;
    let node = NodeProcess::start(&world, "one", &[("DATABASE__URL", &postgres.url(postgres.address))]).await;
    let mut pair = Pair::at(&node, &node).await;
    let filling = disk.0.join("filling");
    // As much as there is room for.
    assert!(fs::write(&filling, vec![0; SmallDisk::BYTES]).is_err());
    // What PostgreSQL has reserved runs out before long.
    let (alice, bob) = (pair.alice.clone(), pair.bob.clone());
    let (large, mut number) = ("x".repeat(60_000), 0);
    let mut taken = Vec::new();
    until("a message that finds no room", async || {
        number += 1;
        let id = format!("large-{number}");
        let answer = alice.run(operation!("send_message"), draft(&bob, &format!("{id} {large}"), &id)).await;
        if answer.is_away() {
            return true;
        }
        taken.push(answer.data()["sendMessage"]["message"]["id"].clone());
        false
    })
    .await;
    fs::remove_file(filling).expect("there is room again");
    pair.heals().await;
    let (events, _) = pair.bob.feed(None).await.backlog().await;
    for id in taken {
        assert_eq!(events.iter().filter(|event| event["messageId"] == id).count(), 1);
    }
}

async fn reads_go_on(pair: &Pair) {
    pair.alice.run(operation!("viewer"), Value::Null).await.data();
    pair.alice.run(operation!("conversation"), json!({ "with": pair.bob.id, "first": 1 })).await.data();
    pair.lost_nothing().await;
}

/// How large a process may make a file.
fn limit_files(pid: u32, bytes: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}")]).status();
    assert!(status.expect("prlimit runs").success());
}

/// A file system in memory, gone with this.
struct SmallDisk(
    PathBuf,
    #[expect(dead_code, reason = "the folder is removed when the disk is gone")] tempfile::TempDir,
);

impl SmallDisk {
    const BYTES: usize = 128 << 20;

    fn mount() -> Option<Self> {
        let folder = open_folder();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={}", Self::BYTES), "tmpfs"]).arg(folder.path());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(folder.path().to_owned(), folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: PostgreSQL may need a moment to let go of it.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
