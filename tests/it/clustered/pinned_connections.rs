//! Pinned connections, which run single statements on PostgreSQL. They are bounded, replaced when broken, and never
//! reused after an unfinished statement.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use quantumvault::store::{Error, Store, installation};
use qv_tests::{patience::until, world::World};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, FromQueryResult, Statement};
use tokio::time::timeout;

/// Query with more rows than arrive at once.
const MANY: &str = "SELECT n FROM generate_series(1::bigint, 20000) AS n";

/// Store with six connections, of which four can be pinned, and a separate connection.
struct Trial {
    store: Store,
    beside: DatabaseConnection,
    world: Arc<World>,
}

#[derive(FromQueryResult)]
struct Number {
    n: i64,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::clustered().await;
        let mut config = world.config("one");
        config.database.pool_size = 6;
        let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
        Self { store, beside: world.database.connect().await, world }
    }

    async fn read(&self, sql: &str) -> Result<Vec<i64>, DbErr> {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        let rows = Number::find_by_statement(statement).all(self.store.db()).await?;
        Ok(rows.into_iter().map(|row| row.n).collect())
    }

    async fn write(&self, id: &str) -> Result<(), Error> {
        installation::publish_signing_key(self.store.db(), id, &[7; 32], self.world.source.now()).await
    }

    /// Returns the process id of the server behind the pinned connection that was used last.
    async fn backend(&self) -> i64 {
        self.read("SELECT pg_backend_pid()::bigint AS n").await.expect("an answer")[0]
    }

    /// Opens as many pinned connections as possible and leaves all of them idle.
    async fn opens_all(&self) {
        for answer in join_all((0..4).map(|_| self.read("SELECT 1::bigint AS n FROM pg_sleep(0.1)"))).await {
            assert_eq!(answer.expect("an answer"), [1]);
        }
        assert_eq!(self.store.pool().idle, self.store.pool().size);
    }

    async fn kill_all(&self) {
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'quantumvault'";
        self.beside.execute_unprepared(sql).await.expect("they are ended");
    }

    /// Returns the number of the store's connections, as the database counts them.
    async fn connections(&self) -> i64 {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'quantumvault'";
        self.count(sql).await
    }

    /// Returns a count that the separate connection reads.
    async fn count(&self, sql: &str) -> i64 {
        let statement = Statement::from_string(DbBackend::Postgres, sql);
        Number::find_by_statement(statement).one(&self.beside).await.expect("an answer").expect("a row").n
    }
}

#[tokio::test]
async fn idle_pinned_connections_make_room_for_transactions() {
    let trial = Trial::begin().await;
    trial.opens_all().await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(trial.store.begin().await.expect("there is a connection left"));
    }
}

#[tokio::test]
async fn a_statement_that_is_dropped_at_any_moment_harms_nobody_after_it() {
    let trial = Trial::begin().await;
    for polls in 0..60 {
        let mut reading = Box::pin(trial.read(MANY));
        for _ in 0..polls {
            if futures_util::poll!(reading.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(reading);
        let own = i64::from(polls);
        let sql = format!("SELECT {own}::bigint AS n");
        assert_eq!(trial.read(&sql).await.expect("an answer"), [own]);
        trial.write(&format!("key-{polls}")).await.expect("it writes");
    }
    assert_eq!(trial.read(MANY).await.expect("an answer").len(), 20_000);
    assert_eq!(trial.count("SELECT count(*) AS n FROM signing_keys").await, 60, "an acknowledged write was lost");
}

#[tokio::test]
async fn no_more_connections_are_opened_than_the_pool_may_have() {
    let trial = Trial::begin().await;
    let reading = join_all((0..24).map(|_| trial.read("SELECT 1::bigint AS n FROM pg_sleep(0.1)")));
    let beginning = join_all((0..6).map(|_| async { trial.store.begin().await?.commit().await }));
    let watching = async {
        let mut most = 0;
        for _ in 0..40 {
            most = most.max(trial.connections().await);
        }
        most
    };
    let (read, begun, most) = tokio::join!(reading, beginning, watching);
    assert!(read.iter().all(Result::is_ok) && begun.iter().all(Result::is_ok));
    assert!((4..=6).contains(&most), "{most}");
    assert_eq!(trial.store.pool().max, 6);
}

#[tokio::test]
async fn whoever_asks_and_leaves_makes_the_database_busy_within_bounds() {
    let trial = Trial::begin().await;
    for _ in 0..12 {
        let asking = trial.read("SELECT 1::bigint AS n FROM pg_sleep(0.5)");
        timeout(Duration::from_millis(20), asking).await.expect_err("it takes longer");
        assert!(trial.connections().await <= 6);
    }
    assert_eq!(trial.read("SELECT 1::bigint AS n").await.expect("an answer"), [1]);
}

#[tokio::test]
async fn a_refused_statement_costs_no_connection() {
    let trial = Trial::begin().await;
    let before = trial.backend().await;
    for _ in 0..3 {
        trial.read("SELECT 1 / 0::bigint AS n").await.expect_err("a refusal");
    }
    assert_eq!(trial.backend().await, before);
}

#[tokio::test]
async fn reads_notice_nothing_of_connections_that_were_ended_while_idle() {
    let trial = Trial::begin().await;
    trial.opens_all().await;
    trial.kill_all().await;
    for answer in join_all((0..8).map(|_| trial.read("SELECT 1::bigint AS n"))).await {
        assert_eq!(answer.expect("an answer"), [1]);
    }
}

#[tokio::test]
async fn of_writes_the_first_alone_notices_and_none_after_a_second() {
    let trial = Trial::begin().await;
    trial.opens_all().await;
    trial.kill_all().await;
    let mut failed = 0;
    for n in 0..8 {
        failed += u32::from(trial.write(&format!("key-{n}")).await.is_err());
    }
    assert!(failed <= 1, "{failed}");
    trial.opens_all().await;
    trial.kill_all().await;
    trial.beside.execute_unprepared("SELECT pg_sleep(1.1)").await.expect("a second passes");
    trial.write("key-8").await.expect("it writes");
}

#[tokio::test]
async fn a_connection_that_was_left_inside_a_transaction_serves_no_statement() {
    let trial = Trial::begin().await;
    trial.store.db().execute_unprepared("BEGIN").await.expect("it begins");
    trial.store.db().execute_raw(Statement::from_string(DbBackend::Postgres, "BEGIN")).await.expect("it begins");
    trial.write("key").await.expect("it writes");
    assert_eq!(trial.count("SELECT count(*) AS n FROM signing_keys").await, 1);
}

#[tokio::test]
async fn what_is_closed_answers_no_more() {
    let trial = Trial::begin().await;
    trial.opens_all().await;
    trial.store.close().await.expect("it closes");
    trial.read("SELECT 1::bigint AS n").await.expect_err("a closed store");
    // The database notices the end of a connection a moment later.
    until("no connection", async || trial.connections().await == 0).await;
}
