//! Events of recorded metrics on every node, and the metrics that the server records itself.

use std::time::Duration;

use futures_util::future::{join_all, select};
use quantumvault::domain::{MetricId, PerformanceMetric};
use quantumvault::service::metrics::write_own;
use quantumvault::store::Store;
use quantumvault::store::performance_metrics::insert_many;
use qv_entity::{performance_metrics, users};
use qv_tests::{client::Client, command_line::said, operation, socket::Socket, world::World};
use sea_orm::prelude::{Expr, Uuid};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

use crate::ops::performance_metrics::{metric, record};

/// Follows metrics under an id of the socket, and records until an event arrives. `names` must be null or contain
/// `begin`.
async fn follow(socket: &mut Socket, id: &str, names: impl Into<Value>, recorder: &Client) {
    socket.subscribe(id, operation!("metric_recorded"), json!({ "names": names.into() })).await;
    for n in 0.. {
        record(recorder, json!([metric("begin", n)])).await.data();
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(300), socket.receive()).await {
            if message["id"] == id && recorded(&message)["value"].as_f64() == Some(f64::from(n)) {
                return;
            }
        }
    }
}

fn recorded(message: &Value) -> &Value {
    assert!(message["payload"].get("errors").is_none(), "{message}");
    &message["payload"]["data"]["metricRecorded"]
}

async fn next(socket: &mut Socket) -> Value {
    recorded(&socket.receive().await).clone()
}

/// Returns the metrics that the server has recorded itself, in the order of recording.
async fn own(world: &World) -> Vec<performance_metrics::Model> {
    let own =
        performance_metrics::Entity::find().filter(performance_metrics::Column::MetricName.starts_with("server."));
    let own = own.order_by_asc(performance_metrics::Column::Sequence);
    own.all(&world.database.connect().await).await.expect("readable")
}

#[tokio::test]
async fn what_is_recorded_on_any_node_arrives_on_each_once_and_in_one_order() {
    let world = World::new().await;
    let (one, operator) = world.operated().await;
    let two = if world.is_clustered() {
        world.try_node(world.config("two")).await.expect("a second node starts")
    } else {
        one.clone()
    };
    let mut sockets = [operator.socket().await, operator.at(two.server.address).socket().await];
    let mut recorders = Vec::new();
    for (name, node) in [("ann", &one), ("ben", &two), ("cem", &one), ("dot", &two)] {
        recorders.push(node.client().register(name).await);
    }
    for socket in &mut sockets {
        follow(socket, "metrics", Value::Null, &operator).await;
    }
    let records = recorders.iter().enumerate().flat_map(|(who, recorder)| {
        (0..10).map(move |batch| {
            let metrics = (0..3).map(|n| metric("client.render", who * 100 + batch * 10 + n));
            record(recorder, metrics.collect::<Vec<_>>())
        })
    });
    for answer in join_all(records.collect::<Vec<_>>()).await {
        answer.data();
    }
    let mut orders = Vec::new();
    for socket in &mut sockets {
        let mut order = Vec::new();
        while order.len() < 120 {
            let metric = next(socket).await;
            if metric["name"] == "client.render" {
                order.push((metric["id"].to_string(), metric["value"].to_string()));
            }
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    let mut distinct = orders[0].clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 120);
}

#[tokio::test]
async fn a_metric_that_becomes_visible_late_is_not_missed() {
    let world = World::new().await;
    let (_node, operator) = world.operated().await;
    let mut socket = operator.socket().await;
    follow(&mut socket, "metrics", Value::Null, &operator).await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let late = PerformanceMetric {
        // The id and the time are lower than those of all metrics before.
        id: MetricId(Uuid::from_u128(1)),
        name: "late".to_owned(),
        value: 1.0,
        unit: "n".to_owned(),
        metadata: None,
        created_at: world.source.now() - chrono::TimeDelta::days(1),
    };
    let tx = store.begin().await.expect("a transaction");
    insert_many(&tx, None, vec![late]).await.expect("written");
    // A metric that is recorded meanwhile waits for the first, and follows it.
    let meanwhile = record(&operator, json!([metric("meanwhile", 2)]));
    let commit = async {
        tokio::task::yield_now().await;
        tx.commit().await.expect("it commits");
    };
    tokio::join!(meanwhile, commit).0.data();
    assert_eq!(
        (next(&mut socket).await["name"].as_str(), next(&mut socket).await["name"].as_str()),
        (Some("late"), Some("meanwhile"))
    );
}

#[tokio::test]
async fn who_waits_too_long_for_a_turn_to_record_is_told_to_come_back() {
    let world = World::new().await;
    let node = world.node_with(|config| config.database.acquire_timeout_seconds = 1).await;
    let alice = node.client().register("alice").await;
    let config = world.config("one");
    let store = Store::open(&config.database_url(), &config.database).await.expect("the database opens");
    let tx = store.begin().await.expect("a transaction");
    let first = PerformanceMetric {
        id: MetricId(Uuid::from_u128(1)),
        name: "first".to_owned(),
        value: 1.0,
        unit: "n".to_owned(),
        metadata: None,
        created_at: world.source.now(),
    };
    insert_many(&tx, None, vec![first]).await.expect("written");
    // One request has the turn and waits for the row above. The other waits for the turn.
    let (one, other) = (record(&alice, json!([metric("one", 1)])), record(&alice, json!([metric("other", 1)])));
    let (refused, patient) = select(Box::pin(one), Box::pin(other)).await.factor_first();
    assert_eq!(refused.error().0, "UNAVAILABLE");
    tx.commit().await.expect("it commits");
    patient.await.data();
}

#[tokio::test]
async fn a_follower_hears_of_its_names_from_now_on() {
    let world = World::new().await;
    let (_node, operator) = world.operated().await;
    record(&operator, json!([metric("wanted", 0)])).await.data();
    let mut socket = operator.socket().await;
    follow(&mut socket, "metrics", json!(["wanted", "begin", "\0"]), &operator).await;
    // More metrics than a single read returns.
    record(&operator, vec![metric("other", 1); 100]).await.data();
    record(&operator, vec![metric("other", 1); 100]).await.data();
    record(&operator, json!([metric("other", 2), metric("wanted", 3)])).await.data();
    assert_eq!(next(&mut socket).await["value"], 3.0);

    socket.subscribe("many", operation!("metric_recorded"), json!({ "names": vec!["a"; 101] })).await;
    let message = socket.receive().await;
    assert!(message.to_string().contains(r#""field":"names""#), "{message}");
}

#[tokio::test]
async fn slow_followers_keep_nothing_from_anyone_and_miss_nothing() {
    let world = World::new().await;
    let (_node, operator) = world.operated_with(|config| config.database.pool_size = 2).await;
    // More streams than the pool has connections, on a socket that is not read for a while.
    let mut socket = operator.socket().await;
    for id in ["1", "2", "3"] {
        follow(&mut socket, id, Value::Null, &operator).await;
    }
    let metadata = json!({ "padding": "x".repeat(1500) });
    for batch in 0..20 {
        let metrics =
            (0..100).map(|n| json!({ "name": "a", "value": batch * 100 + n, "unit": "n", "metadata": metadata }));
        record(&operator, metrics.collect::<Vec<_>>()).await.data();
    }
    let mut heard = [0; 3];
    while heard != [2000; 3] {
        let message = socket.receive().await;
        let metric = recorded(&message);
        if metric["name"] == "a" {
            let id: usize = message["id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
            assert_eq!(metric["value"].as_f64(), Some(f64::from(heard[id - 1])));
            heard[id - 1] += 1;
        }
    }
}

#[tokio::test]
async fn a_follower_that_loses_the_role_loses_its_socket_and_cannot_renew_it() {
    let world = World::new().await;
    let node = world.node_with(|config| config.cache.session_ttl_seconds = 0).await;
    let alice = node.client().register("alice").await;
    said(&world, &["user", "promote", "alice"]);
    let mut socket = alice.socket().await;
    follow(&mut socket, "metrics", Value::Null, &alice).await;
    let mut idle = alice.socket().await;
    let demote = users::Entity::update_many().col_expr(users::Column::Role, Expr::value("USER"));
    demote.exec(&world.database.connect().await).await.expect("written");
    idle.renew(alice.token.as_deref().expect("a token")).await;
    assert_eq!(idle.closed().await, 4403);

    // A node relies on a checked role for a second at most.
    let mut closed = Box::pin(socket.closed());
    let code = loop {
        tokio::select! {
            code = &mut closed => break code,
            answer = record(&alice, json!([metric("a", 1)])) => drop(answer.data()),
        }
    };
    assert_eq!(code, 4403);
}

#[tokio::test]
async fn a_node_records_what_it_has_answered_and_nothing_when_it_has_not() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    let backend = &node.server.backend;
    // Keeps the requests before out of the counts below.
    write_own(backend).await.expect("written");
    let before = own(&world).await.len();
    write_own(backend).await.expect("nothing to write");
    assert_eq!((before, own(&world).await.len()), (6, 6));
    for _ in 0..9 {
        operator.run(operation!("viewer"), Value::Null).await.data();
    }
    operator.run(operation!("node"), json!({ "id": "nothing" })).await;
    let ((), statements) = node.statements(async { write_own(backend).await.expect("written") }).await;
    assert_eq!(statements, 2);

    let own = own(&world).await.split_off(before);
    let found: Vec<_> = own.iter().map(|row| (&*row.metric_name, row.metric_value, &*row.metric_unit)).collect();
    assert_eq!(found[..2], [("server.requests", 10.0, "requests"), ("server.errors", 1.0, "requests")]);
    let names: Vec<_> =
        found[2..].iter().map(|(name, _, unit)| (name.trim_start_matches("server.request_duration."), *unit)).collect();
    assert_eq!(names, ["p50", "p95", "p99", "max"].map(|name| (name, "ms")));
    let durations: Vec<_> = found[2..].iter().map(|(_, value, _)| *value).collect();
    assert!(durations.is_sorted() && durations[0] > 0.0, "{durations:?}");
    let metadata = own[0].metadata.as_ref().expect("metadata");
    assert!(metadata["node"].as_str().expect("a name").ends_with(&format!(":{}", node.server.address.port())));
    assert!(metadata["seconds"].as_f64().expect("a number") > 0.0);
    assert!(own.iter().all(|row| row.user_id.is_none() && row.metadata.as_ref() == Some(metadata)));
}

#[tokio::test]
async fn what_a_node_could_not_record_is_dropped_and_counted() {
    let world = World::new().await;
    let node = world.node().await;
    let (backend, db) = (&node.server.backend, world.database.connect().await);
    let ask = async || drop(node.client().run(operation!("service_config"), Value::Null).await);
    db.execute_unprepared("ALTER TABLE metric_sequence RENAME TO away").await.expect("renamed");
    for _ in 0..2 {
        ask().await;
        write_own(backend).await.expect_err("nowhere to write to");
    }
    db.execute_unprepared("ALTER TABLE away RENAME TO metric_sequence").await.expect("renamed");
    for dropped in [2, 0] {
        ask().await;
        write_own(backend).await.expect("written");
        let own = own(&world).await;
        let requests = &own[own.len() - 6];
        assert_eq!(json!(requests.metric_value), 1.0);
        assert_eq!(requests.metadata.as_ref().expect("metadata")["dropped"], dropped);
    }
}

#[tokio::test]
async fn a_node_records_by_itself_and_once_more_when_it_stops() {
    let world = World::new().await;
    let (node, operator) = world.operated_with(|config| config.metrics.sample_seconds = 1).await;
    let mut socket = operator.socket().await;
    follow(&mut socket, "metrics", json!(["begin", "server.requests"]), &operator).await;
    assert_eq!(next(&mut socket).await["name"], "server.requests");
    drop(socket);
    node.stop().await;

    for (sample_seconds, recorded) in [(3600, 6), (0, 0)] {
        let before = own(&world).await.len();
        let node = world.node_with(|config| config.metrics.sample_seconds = sample_seconds).await;
        node.client().run(operation!("service_config"), Value::Null).await.data();
        node.stop().await;
        assert_eq!(own(&world).await.len() - before, recorded);
    }
}
