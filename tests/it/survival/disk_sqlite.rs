//! The disk of an embedded node fails: whatever was acknowledged is there after a restart, once.

use std::process::Command;

use qv_tests::{client::draft, node_process::NodeProcess, operation, world::World};

use super::Pair;

/// Sends at once, so that several connections of the pool meet the full disk.
const CROWD: usize = 8;
const AFTERWARDS: usize = 20;

#[tokio::test]
async fn what_is_acknowledged_after_a_full_disk_is_there_after_a_restart() {
    let world = World::new().await;
    if world.is_clustered() {
        return;
    }
    let mut node = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&node, &node).await;
    limit_files(node.id(), "4096:");
    for _ in 0..3 {
        pair.is_told_to_wait().await;
    }
    refused_crowd(&pair).await;
    limit_files(node.id(), "unlimited:");
    send_and_repeat(&mut pair).await;

    node.kill();
    node.restart().await;

    pair.lost_nothing().await;
}

/// Sends that all fail. Statements that wait share a transaction, so these are written by more than one.
async fn refused_crowd(pair: &Pair) {
    let crowd = (0..CROWD).map(|n| {
        let variables = draft(&pair.bob, "of a crowd", &format!("crowd-{n}"));
        async move { pair.alice.run(operation!("send_message"), variables).await }
    });
    for answer in futures_util::future::join_all(crowd).await {
        assert!(answer.is_away(), "{answer:?}");
    }
}

/// Sends messages, each of them twice: the second time ends in a roll-back.
async fn send_and_repeat(pair: &mut Pair) {
    for _ in 0..AFTERWARDS {
        pair.try_send().await.data();
        let id = pair.attempts.to_string();
        let content = format!("message {id}");
        pair.alice.send(&pair.bob, &content, &id).await.data();
    }
}

/// How large a process may make a file.
fn limit_files(pid: u32, bytes: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--fsize={bytes}")]).status();
    assert!(status.expect("prlimit runs").success());
}
