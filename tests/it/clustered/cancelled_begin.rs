//! A `BEGIN` that PostgreSQL executed but acknowledged too late: its connection must never be reused.

use std::time::Duration;

use quantumvault::store::Store;
use qv_tests::{patience::until_in, proxy::Proxy, world::World};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use secrecy::ExposeSecret;

/// Delay in one direction. Connecting takes four of them, and a `BEGIN` two. The statement must arrive before 2.5
/// seconds, and its acknowledgement after.
const ONE_WAY: Duration = Duration::from_millis(450);
const ATTEMPTS: usize = 10;
/// Time before the ten seconds after which PostgreSQL ends an idle transaction.
const SOON: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_connection_inside_a_begin_that_was_given_up_is_closed() {
    let world = World::clustered().await;
    let beside = world.database.connect().await;
    let mut was_inside = false;
    for _ in 0..ATTEMPTS {
        let mut config = world.config("one");
        let (proxy, url) = Proxy::to_url(config.database_url().expose_secret()).await;
        config.database.statement_timeout_seconds = 2;
        config.database.acquire_timeout_seconds = 5;
        let store = Store::open(&url.into(), &config.database).await.expect("the database opens");
        // The only connection is in use, so the next `begin` opens another.
        let tx = store.begin().await.expect("it begins");
        let before = inside(&beside).await;
        proxy.delay(ONE_WAY);
        let given_up = store.begin().await.is_err();
        let is_inside = inside(&beside).await > before;
        proxy.heal();
        if given_up && is_inside {
            was_inside = true;
            assert!(until_in(SOON, async || inside(&beside).await <= before).await, "it was kept");
            break;
        }
        tx.rollback().await.expect("it ends");
        store.close().await.expect("it closes");
    }
    assert!(was_inside, "the answer never came at the right moment");
}

/// Counts connections to this database that are idle in a transaction.
async fn inside(beside: &DatabaseConnection) -> i64 {
    let sql = "SELECT count(*) AS n FROM pg_stat_activity \
        WHERE datname = current_database() AND state = 'idle in transaction'";
    let row = beside.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("an answer");
    row.expect("a row").try_get("", "n").expect("a number")
}
