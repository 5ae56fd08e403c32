//! A node that stops during a purge ends soon, not after the last row.

use quantumvault::store::Store;
use qv_entity::performance_metrics;
use qv_tests::{node_process::NodeProcess, patience::until, world::World};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait};

/// Rows for sixty rounds of a purge.
const ROWS: u64 = 60_000;

#[tokio::test]
async fn a_node_that_purges_stops_between_two_rounds() {
    let world = World::new().await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    store.close().await.expect("it closes");
    let db = world.database.connect().await;
    let (id, numbers) = if world.is_clustered() {
        ("gen_random_uuid()", format!("generate_series(1, {ROWS}) AS numbers (n)"))
    } else {
        let numbers =
            format!("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})");
        ("randomblob(16)", format!("({numbers} SELECT n FROM numbers)"))
    };
    let old = "INSERT INTO performance_metrics (id, metric_name, metric_value, metric_unit, created_at, sequence)";
    let old = format!("{old} SELECT {id}, 'old', 1, 'ms', '2020-01-01T00:00:00+00:00', n FROM {numbers}");
    db.execute_unprepared(&old).await.expect("rows");

    let mut node = NodeProcess::start(&world, "one", &[("UPKEEP__INTERVAL_SECONDS", "1")]).await;
    until("a purge", async || left(&db).await < ROWS).await;
    node.signal("TERM");

    assert_eq!(node.ended().await.code(), Some(0));
    let left = left(&db).await;
    assert!(left > 0, "it ended after the last row");
}

async fn left(db: &DatabaseConnection) -> u64 {
    performance_metrics::Entity::find().count(db).await.expect("readable")
}
