//! The health of a node's parts, as load balancers and operators see it.

use std::time::Duration;

use futures_util::future::join_all;
use qv_tests::operation;
use qv_tests::raw::{Raw, get};
use qv_tests::world::{Node, World};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::time::Instant;

const PARTS: [&str; 5] = ["database", "migrations", "cache", "bus", "mail"];

/// Requests the readiness of a node.
pub async fn ready(node: &Node) -> Raw {
    get(node.server.address, "/health/ready", &[]).await
}

/// Polls until the node has this status. A result may be a second old, and the bus needs a moment after the start.
pub async fn ready_at_last(node: &Node, status: &str) -> Raw {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = ready(node).await;
        if answer.json()["status"] == status {
            return answer;
        }
        assert!(Instant::now() < deadline, "not {status}: {answer:?}");
    }
}

/// Returns the status of a part in a response.
pub fn of(answer: &Raw, part: &str) -> Value {
    let parts = answer.json()["components"].as_array().expect("parts").clone();
    parts.into_iter().find(|found| found["name"] == part).expect("the part")["status"].clone()
}

#[tokio::test]
async fn a_node_that_is_well_says_so_of_every_part() {
    let world = World::new().await;
    let node = world.node().await;
    let live = get(node.server.address, "/health/live", &[]).await;
    assert_eq!((live.status, live.json()), (200, json!({ "status": "OK" })));

    let answer = ready_at_last(&node, "OK").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").expect("a type").starts_with("application/json"));
    let parts = answer.json()["components"].as_array().expect("parts").clone();
    let names: Vec<_> = parts.iter().map(|part| part["name"].as_str().expect("a name")).collect();
    assert_eq!(names, PARTS);
    assert!(parts[0]["latencyMs"].is_f64() && parts.iter().all(|part| part["status"] == "OK"), "{parts:?}");
    assert!(parts.iter().all(|part| part.get("message").is_none()), "anybody can ask: {parts:?}");
}

#[tokio::test]
async fn many_probes_ask_the_parts_once_a_second() {
    let node = World::new().await.node().await;
    ready(&node).await;
    let started = Instant::now();
    let (answers, statements) = node.statements(join_all((0..100).map(|_| ready(&node)))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert!(statements <= 4 * (1 + started.elapsed().as_secs()), "{statements}");
}

#[tokio::test]
async fn without_a_migration_a_node_gets_no_requests() {
    let world = World::new().await;
    let node = world.node().await;
    ready_at_last(&node, "OK").await;
    let db = world.database.connect().await;
    db.execute_unprepared("DELETE FROM migrations WHERE version LIKE '%_users'").await.expect("deleted");
    let answer = ready_at_last(&node, "DOWN").await;
    assert_eq!((answer.status, of(&answer, "database"), of(&answer, "migrations")), (503, json!("OK"), json!("DOWN")));
    assert_eq!(get(node.server.address, "/health/live", &[]).await.status, 200);
}

#[tokio::test]
async fn operators_see_what_is_wrong_and_for_how_long_a_node_serves() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    ready_at_last(&node, "OK").await;
    let answer = operator.run(operation!("admin_health"), Value::Null).await;
    let health = &answer.data()["admin"]["health"];
    assert!(health["uptimeSeconds"].is_u64(), "{health}");
    let parts = PARTS.iter().zip(health["components"].as_array().expect("parts"));
    let parts = parts
        .map(|(name, part)| json!({ "name": name, "status": "OK", "latencyMs": part["latencyMs"], "message": null }));
    let expected = json!({
        "status": "OK",
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeSeconds": health["uptimeSeconds"],
        "components": parts.collect::<Vec<_>>(),
    });
    assert_eq!(health, &expected);

    let db = world.database.connect().await;
    db.execute_unprepared("DELETE FROM migrations WHERE version LIKE '%_users'").await.expect("deleted");
    ready_at_last(&node, "DOWN").await;
    let answer = operator.run(operation!("admin_health"), Value::Null).await;
    let migrations = &answer.data()["admin"]["health"]["components"][1];
    assert!(migrations["message"].as_str().expect("a message").starts_with("pending: m"), "{migrations}");

    let alice = node.client().register("alice").await;
    assert_eq!(alice.run(operation!("admin_health"), Value::Null).await.error().0, "FORBIDDEN");
}
