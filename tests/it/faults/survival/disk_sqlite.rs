//! A failing disk of an embedded node: each acknowledged message is there after a restart, once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use qv_tests::client::{Client, base64, draft};
use qv_tests::failing_disk::{FailingDisk, Leftover};
use qv_tests::node_process::NodeProcess;
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::small_disk::SmallDisk;
use qv_tests::world::World;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use super::{Pair, limit_files};

/// Concurrent sends, so that several pooled connections meet the full disk.
const CROWD: usize = 8;
const AFTERWARDS: usize = 20;
const SENDERS: usize = 4;
const POWER_CUTS: usize = 5;
/// Acknowledged messages between two cuts. All of them together cause several checkpoints.
const BETWEEN_CUTS: usize = 50;

#[tokio::test]
async fn what_is_acknowledged_after_a_full_disk_is_there_after_a_restart() {
    let world = World::embedded();
    let mut node = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&node, &node).await;
    limit_files(node.id(), "4096:");
    for _ in 0..3 {
        pair.is_told_to_wait().await;
    }
    refused_crowd(&pair).await;
    limit_files(node.id(), "unlimited:");
    heals_and_keeps_all(&mut node, &mut pair).await;
}

#[tokio::test]
async fn a_full_disk_takes_no_reads_from_a_node_with_one_connection() {
    let world = World::embedded();
    let node = NodeProcess::start(&world, "one", &[]).await;
    // Sequential requests, so that the pool needs no second connection.
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    alice.send(&bob, "before", "before").await.data();
    limit_files(node.id(), "4096:");
    // Each failed send closes the only connection of the pool, and the file is opened again.
    for n in 0..10 {
        assert!(alice.send(&bob, "refused", &format!("refused-{n}")).await.is_away());
        let messages = alice.messages(&bob).await;
        assert_eq!(messages["conversation"]["messages"]["nodes"].as_array().map(Vec::len), Some(1));
    }
    limit_files(node.id(), "unlimited:");
    alice.send(&bob, "after", "after").await.data();
}

#[tokio::test]
async fn what_is_acknowledged_after_a_small_disk_was_full_is_there_after_a_restart() {
    let (world, disk) = (World::embedded(), SmallDisk::new());
    let url = format!("sqlite://{}?mode=rwc", disk.path().join("test.db").display());
    let mut node = NodeProcess::start(&world, "one", &[("DATABASE__URL", &url)]).await;
    let mut pair = Pair::at(&node, &node).await;
    let filling = disk.path().join("filling");
    // Writes until the disk is full.
    assert!(fs::write(&filling, vec![0; SmallDisk::BYTES]).is_err());
    for n in 0.. {
        let variables = draft(&pair.bob, &"x".repeat(60_000), &format!("large-{n}"));
        if pair.alice.run(operation!("send_message"), variables).await.is_away() {
            break;
        }
    }
    refused_crowd(&pair).await;
    pair.lost_nothing().await;
    fs::remove_file(filling).expect("there is room again");
    heals_and_keeps_all(&mut node, &mut pair).await;
}

#[tokio::test]
async fn a_node_whose_disk_keeps_nothing_ends_and_has_lost_nothing() {
    let world = World::embedded();
    let disk = FailingDisk::under(&file(&world));
    let mut node = NodeProcess::start_under(&world, "one", &disk.environment()).await;
    let mut pair = Pair::at(&node, &node).await;
    assert_eq!(send_and_repeat(&mut pair).await, 0);
    disk.fail("");
    // The send may fail, or find that the node has ended.
    let refused = pair.alice.try_run(operation!("send_message"), draft(&pair.bob, "refused", "refused")).await;
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.is_away()));

    assert_eq!(node.ended().await.code(), Some(3));

    disk.heal();
    node.restart().await;
    pair.lost_nothing().await;
    // The log may contain pages that the system wrongly believes to be on the disk. So the start has written them
    // again.
    node.freeze().await;
    let image = disk.after_power_cut(Leftover::NoLog);
    node.signal("CONT");
    assert!(restart_on(&world, image.path()).await.len() >= pair.acknowledged.len());
    pair.feed = pair.bob.feed(None).await;
    pair.passes().await;
}

#[tokio::test]
async fn a_node_ends_when_the_disk_keeps_the_log_and_not_the_database() {
    let world = World::embedded();
    let disk = FailingDisk::under(&file(&world));
    let mut node = NodeProcess::start_under(&world, "one", &disk.environment()).await;
    let mut pair = Pair::at(&node, &node).await;
    disk.fail(".db");
    // The log alone makes this send durable. SQLite does not report that the checkpoint failed.
    pair.try_send().await.data();

    assert_eq!(node.ended().await.code(), Some(3));

    disk.heal();
    node.restart().await;
    pair.lost_nothing().await;
}

#[tokio::test]
async fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let world = World::embedded();
    let disk = FailingDisk::under(&file(&world));
    let mut node = NodeProcess::start_under(&world, "one", &disk.environment()).await;
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    let acknowledged = Arc::<Mutex<Vec<String>>>::default();
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| tokio::spawn(send_without_end(alice.clone(), bob.clone(), n, Arc::clone(&acknowledged))))
        .collect();
    let mut images = Vec::new();
    for cut in 1..=POWER_CUTS {
        let count = || acknowledged.lock().expect("a list").len();
        until("enough that is acknowledged", async || count() >= cut * BETWEEN_CUTS).await;
        node.freeze().await;
        let owed = acknowledged.lock().expect("a list").clone();
        for leftover in [Leftover::Nothing, Leftover::Garbage, Leftover::Checkpoint] {
            images.push((disk.after_power_cut(leftover), leftover, owed.clone()));
        }
        node.signal("CONT");
    }
    for sender in senders {
        sender.abort();
    }
    node.kill();
    assert!(disk.synced_bytes() > 4 << 20, "the log was never moved into the database");

    for (image, leftover, owed) in images {
        let found = restart_on(&world, image.path()).await;
        for id in &owed {
            assert_eq!(found.get(id), Some(&2), "{id} of {} after a cut that left {leftover:?}", owed.len());
        }
    }
}

/// Returns the database file of an embedded world.
fn file(world: &World) -> PathBuf {
    let url = &world.database.url;
    let path = url.strip_prefix("sqlite://").and_then(|path| path.split('?').next());
    path.expect("the address of a file").into()
}

async fn send_without_end(from: Client, to: Client, sender: usize, acknowledged: Arc<Mutex<Vec<String>>>) {
    let large = "x".repeat(30_000);
    for n in 0.. {
        let id = format!("{sender}-{n}");
        from.send(&to, &large, &id).await.data();
        acknowledged.lock().expect("a list").push(id);
    }
}

/// Starts a node on a database; returns the number of mailboxes that contain each message.
async fn restart_on(world: &World, folder: &Path) -> BTreeMap<String, i64> {
    let url = format!("sqlite://{}?mode=rwc", folder.join("test.db").display());
    NodeProcess::start(world, "image", &[("DATABASE__URL", &url)]).await.kill();
    let db = Database::connect(&url).await.expect("the database opens");
    let rows = async |sql: &str| {
        db.query_all_raw(Statement::from_string(DbBackend::Sqlite, sql)).await.expect("the database answers")
    };
    let checked: String = rows("PRAGMA integrity_check").await[0].try_get_by_index(0).expect("a text");
    assert_eq!(checked, "ok");
    let found = rows(
        "SELECT client_message_id AS id, count(*) AS copies FROM messages \
         JOIN mailbox_events ON message_id = messages.id GROUP BY messages.id",
    );
    let found = found.await.into_iter();
    found.map(|row| (row.try_get("", "id").expect("a text"), row.try_get("", "copies").expect("a number"))).collect()
}

/// Asserts that concurrent sends all fail. More than one transaction writes them, although waiting statements share
/// one.
async fn refused_crowd(pair: &Pair) {
    let crowd = (0..CROWD).map(|n| {
        let variables = draft(&pair.bob, "of a crowd", &format!("crowd-{n}"));
        async move { pair.alice.run(operation!("send_message"), variables).await }
    });
    for answer in futures_util::future::join_all(crowd).await {
        assert!(answer.is_away(), "{answer:?}");
    }
}

/// Asserts that all messages are accepted again, and that none is lost when the node is killed.
async fn heals_and_keeps_all(node: &mut NodeProcess, pair: &mut Pair) {
    let refused = send_and_repeat(pair).await;
    node.kill();
    node.restart().await;
    pair.lost_nothing().await;
    assert_eq!(refused, 0, "room is all that it takes to heal");
}

/// Sends each message twice, where the second send ends in a roll-back; returns the number of failures.
async fn send_and_repeat(pair: &mut Pair) -> usize {
    let mut refused = 0;
    for _ in 0..AFTERWARDS {
        pair.attempts += 1;
        let id = pair.attempts.to_string();
        let content = format!("message {id}");
        for _ in 0..2 {
            let answer = pair.alice.send(&pair.bob, &content, &id).await;
            let content = base64(content.clone());
            if answer.0.get("errors").is_some() {
                refused += 1;
            } else if pair.acknowledged.last() != Some(&content) {
                pair.acknowledged.push(content);
            }
        }
    }
    refused
}
