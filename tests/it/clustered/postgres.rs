//! Behaviour of PostgreSQL alone: row locks, locks between nodes, its own time-outs, and backups with its own tools.

use std::time::Duration;

use futures_util::future::{Either, FutureExt, join_all, select};
use quantumvault::{service::ops::retention, store::Store};
use qv_tests::command_line::{run, said};
use qv_tests::world::{World, private_folder};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// More sends than a node has connections.
const SENDS: usize = 24;

/// Runs on PostgreSQL only, because SQLite has one writer at a time.
#[tokio::test]
async fn a_mailbox_that_somebody_holds_holds_up_nobody_elses_sends() {
    let world = World::clustered().await;
    let node = world.node().await;
    let people = node.client().register_all(["alice", "bob", "carol", "dave"]).await;
    let tx = world.database.begin().await;
    let hold = "SELECT 1 FROM mailboxes WHERE user_id = (SELECT id FROM users WHERE username = 'bob') FOR UPDATE";
    tx.execute_unprepared(hold).await.expect("it is held");
    let sends = |from: usize, to: usize, round: usize| {
        let (from, to) = (people[from].clone(), people[to].clone());
        join_all((0..SENDS).map(move |n| {
            let (from, to) = (from.clone(), to.clone());
            async move { from.send(&to, "hello", &format!("{round}-{n}")).await }.boxed()
        }))
    };
    // The first sends wait for a group commit together. The second ones run while blocked sends are retried alone.
    let mut waiting = sends(0, 1, 0);
    for round in 0..2 {
        let Either::Left((free, still)) = select(sends(2, 3, round), waiting).await else {
            panic!("bob's mailbox is held")
        };
        for answer in &free {
            answer.data();
        }
        waiting = still;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tx.commit().await.expect("it ends");
    for answer in &waiting.await {
        answer.data();
    }
    for (who, rounds) in people.iter().zip([1, 1, 2, 2]) {
        assert_eq!(who.feed(None).await.backlog().await.0.len(), rounds * SENDS);
    }
}

#[tokio::test]
async fn a_transaction_whose_node_has_vanished_keeps_its_locks_for_seconds() {
    let world = World::clustered().await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let sql = "SELECT current_setting('idle_in_transaction_session_timeout') AS kept";
    let row = store.db().query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("an answer");
    let kept: String = row.expect("a row").try_get("", "kept").expect("a text");
    assert_eq!(kept, "10s");
}

#[tokio::test]
async fn one_node_purges_at_a_time() {
    let world = World::clustered().await;
    let node = world.node().await;
    let other = world.database.begin().await;
    let lock = "SELECT pg_advisory_xact_lock(hashtext('quantumvault.purge'))";
    other.execute_unprepared(lock).await.expect("the lock");
    assert!(retention::run(&node.server.backend).await.expect("a purge").is_none());
    assert_eq!(said(&world, &["purge"]), "another node is purging now\n");
    other.rollback().await.expect("unlocked");
    assert!(retention::run(&node.server.backend).await.expect("a purge").is_some());
}

#[tokio::test]
async fn a_backup_is_left_to_pg_dump() {
    let world = World::clustered().await;
    drop(world.node().await);
    let parent = private_folder();
    let folder = parent.path().join("backup");
    let output = run(&world.environment("one"), &["backup", folder.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("pg_dump") && !folder.exists(), "{said}");
}
