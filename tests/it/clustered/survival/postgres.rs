//! Outages of PostgreSQL: requests fail in time, sockets stay open, and service resumes afterwards.

use std::sync::Arc;

use qv_tests::{node_process::NodeProcess, operation, patience::until, servers::Backing, world::World};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use serde_json::json;

use super::{Dependency, Outage};
use crate::faults::survival::Pair;

/// Node over a PostgreSQL of its own.
struct Trial {
    postgres: Dependency,
    node: NodeProcess,
    pair: Pair,
    _world: Arc<World>,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::clustered().await;
        let postgres = Dependency::new(Backing::postgres().await).await;
        let node = NodeProcess::start(&world, "one", &[("DATABASE__URL", &postgres.url())]).await;
        let mut pair = Pair::at(&node, &node).await;
        pair.crowds().await;
        Self { postgres, node, pair, _world: world }
    }

    async fn survives(&mut self, outage: Outage) {
        self.postgres.fail(outage).await;
        self.is_away().await;
        self.postgres.come_back(outage).await;
        self.heals().await;
    }

    /// Asserts that reads and writes fail, and that the node reports this.
    async fn is_away(&mut self) {
        self.pair.is_told_to_wait().await;
        self.pair.crowd_is_told_to_wait().await;
        until("a node that says so", async || !self.node.is_ready().await).await;
    }

    async fn heals(&mut self) {
        self.pair.heals().await;
        self.pair.crowds().await;
        until("a node that is ready", async || self.node.is_ready().await).await;
    }

    /// Opens a connection that bypasses the proxy.
    async fn connect(&self) -> DatabaseConnection {
        let server = &self.postgres.server;
        Database::connect(server.url(server.address)).await.expect("the database answers")
    }
}

#[tokio::test]
async fn postgres_may_be_restarted_or_killed() {
    let mut trial = Trial::begin().await;
    for how in ["INT", "QUIT", "KILL"] {
        trial.survives(Outage::Ended(how)).await;
    }
}

#[tokio::test]
async fn postgres_may_stand_still() {
    Trial::begin().await.survives(Outage::Paused).await;
}

#[tokio::test]
async fn the_path_to_postgres_may_go_silent() {
    Trial::begin().await.survives(Outage::Silent).await;
}

#[tokio::test]
async fn connections_may_go_silent_while_new_ones_work() {
    let mut trial = Trial::begin().await;
    trial.postgres.path.silence_old();
    trial.heals().await;
}

#[tokio::test]
async fn postgres_may_take_no_writes() {
    let mut trial = Trial::begin().await;
    let db = trial.connect().await;
    db.execute_unprepared("ALTER SYSTEM SET default_transaction_read_only = on").await.expect("it is set");
    db.execute_unprepared("SELECT pg_reload_conf()").await.expect("it is read");
    // Pooled connections apply the setting when they are next idle.
    while !trial.pair.try_send().await.is_away() {}
    trial.pair.is_told_to_wait().await;
    let page = json!({ "with": trial.pair.bob.id, "first": 1 });
    trial.pair.alice.run(operation!("conversation"), page).await.data();
    db.execute_unprepared("ALTER SYSTEM RESET default_transaction_read_only").await.expect("it is set");
    db.execute_unprepared("SELECT pg_reload_conf()").await.expect("it is read");
    trial.heals().await;
}

#[tokio::test]
async fn all_backends_may_be_ended_at_once() {
    let mut trial = Trial::begin().await;
    let db = trial.connect().await;
    let mut ended = 0;
    for _ in 0..20 {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let ending = Statement::from_string(DbBackend::Postgres, sql);
        ended += db.query_all_raw(ending).await.expect("they are ended").len();
        trial.pair.try_send().await;
    }
    assert!(ended >= 20, "{ended}");
    trial.heals().await;
}

#[tokio::test]
async fn a_table_may_be_locked() {
    let mut trial = Trial::begin().await;
    let lock = trial.connect().await.begin().await.expect("a transaction");
    lock.execute_unprepared("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    trial.pair.is_told_to_wait().await;
    trial.pair.crowd_is_told_to_wait().await;
    lock.rollback().await.expect("unlocked");
    trial.heals().await;
}
