//! Nodes that are killed, stopped or cut off from their clients during requests.

use std::time::Duration;

use futures_util::future::join_all;
use qv_tests::client::{base64, draft};
use qv_tests::dice::Dice;
use qv_tests::node_process::NodeProcess;
use qv_tests::operation;
use qv_tests::patience::{PATIENCE, until};
use qv_tests::world::World;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::{sleep, timeout};

use super::Pair;

#[tokio::test]
async fn a_node_may_be_killed_under_load() {
    let world = World::new().await;
    let mut one = NodeProcess::start(&world, "one", &[]).await;
    let two = if world.is_clustered() { Some(NodeProcess::start(&world, "two", &[]).await) } else { None };
    let mut pair = Pair::at(&one, &one).await;
    let load = load(&pair);
    for _ in 0..10 {
        pair.passes().await;
    }
    one.kill();
    let acknowledged = load.await.expect("the load ends with its node");
    match &two {
        // Clients move to the other node and continue.
        Some(two) => (pair.alice, pair.bob) = (pair.alice.at(two.address), pair.bob.at(two.address)),
        None => one.restart().await,
    }
    goes_on(&mut pair, &acknowledged).await;
    is_at_rest(&world).await;
}

#[tokio::test]
async fn a_node_may_be_told_to_stop_under_load() {
    let world = World::new().await;
    let mut one = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&one, &one).await;
    let load = load(&pair);
    for _ in 0..10 {
        pair.passes().await;
    }
    one.signal("TERM");
    let closing = pair.feed.closing().await;
    assert!([1001, 1012].contains(&closing.code), "{closing:?}");
    let ended = timeout(Duration::from_secs(15), one.ended()).await.expect("it ends in time");
    assert_eq!(ended.code(), Some(0));
    let acknowledged = load.await.expect("the load ends with its node");
    one.restart().await;
    goes_on(&mut pair, &acknowledged).await;
}

/// Asserts that the database is intact and that no transaction is open.
async fn is_at_rest(world: &World) {
    let db = world.database.connect().await;
    let (sql, rest) = if db.get_database_backend() == DbBackend::Postgres {
        let busy = "SELECT count(*)::text FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
        (busy, "0")
    } else {
        // Waits for the write lock, which an open transaction would keep.
        db.execute_unprepared("BEGIN IMMEDIATE; ROLLBACK").await.expect("the write lock is free");
        ("PRAGMA integrity_check", "ok")
    };
    until("a database at rest", async || {
        let said = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await;
        let said = said.expect("it is read").expect("a row");
        said.try_get_by_index::<String>(0).expect("text") == rest
    })
    .await;
}

/// Asserts that a new device receives each acknowledged message once, and that messages pass again.
async fn goes_on(pair: &mut Pair, acknowledged: &[String]) {
    pair.feed = pair.bob.feed(None).await;
    let (events, _) = pair.feed.backlog().await;
    for content in acknowledged {
        let count = events.iter().filter(|event| event["message"]["encryptedContent"] == **content).count();
        assert_eq!(count, 1, "{content}");
    }
    pair.passes().await;
    pair.lost_nothing().await;
}

#[tokio::test]
async fn requests_may_be_given_up_at_any_moment() {
    let world = World::new().await;
    let node = NodeProcess::start(&world, "one", &[]).await;
    let mut pair = Pair::at(&node, &node).await;
    let (mut dice, mut given_up) = (Dice::new(16), 0);
    for round in 0..10 {
        let storm = (0..20).map(|n| {
            let variables = draft(&pair.bob, "given up", &format!("{round}-{n}"));
            let wait = Duration::from_micros(dice.below(30_000) as u64);
            let client = pair.alice.clone();
            async move { timeout(wait, client.try_run(operation!("send_message"), variables)).await.is_ok() }
        });
        given_up += join_all(storm).await.into_iter().filter(|is_answered| !is_answered).count();
    }
    assert!(given_up > 0, "every request was answered in time");
    is_at_rest(&world).await;
    for _ in 0..30 {
        pair.passes().await;
    }
    pair.lost_nothing().await;
}

#[tokio::test]
async fn a_start_may_be_killed_in_the_middle_of_a_migration() {
    let world = World::new().await;
    for wait in (0..12).map(|n| Duration::from_millis(n * 15)) {
        let mut start = NodeProcess::begin(&world, "one", &[]);
        // Lets the start proceed for this time.
        sleep(wait).await;
        start.kill();
    }
    let node = NodeProcess::start(&world, "one", &[]).await;
    Pair::at(&node, &node).await.passes().await;
}

/// Sends messages next to the pair's until the node is gone; returns the acknowledged ones.
fn load(pair: &Pair) -> tokio::task::JoinHandle<Vec<String>> {
    let (alice, bob) = (pair.alice.clone(), pair.bob.clone());
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        let sending = async {
            for n in 0.. {
                let content = format!("load {n}");
                let variables = draft(&bob, &content, &format!("load-{n}"));
                match alice.try_run(operation!("send_message"), variables).await {
                    Ok(answer) if answer.is_away() => {}
                    Ok(_) => acknowledged.push(base64(content)),
                    Err(_) => return,
                }
            }
        };
        timeout(PATIENCE, sending).await.expect("the node ends");
        acknowledged
    })
}
