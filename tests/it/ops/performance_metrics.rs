//! Performance metrics: valid input, and the views of operators.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use qv_entity::performance_metrics;
use qv_tests::client::{Answer, Client};
use qv_tests::operation;
use qv_tests::world::{World, manual_clock};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

/// Records metrics, each a JSON object of the input.
pub async fn record(client: &Client, metrics: impl Into<Value>) -> Answer {
    client.run(operation!("record_metrics"), json!({ "input": { "metrics": metrics.into() } })).await
}

/// Returns a metric with this name.
pub fn metric(name: &str, value: impl Into<Value>) -> Value {
    json!({ "name": name, "value": value.into(), "unit": "ms" })
}

async fn page(operator: &Client, variables: Value) -> Value {
    let answer = operator.run(operation!("admin_metrics"), variables).await;
    answer.data()["admin"]["metrics"].clone()
}

fn values(page: &Value) -> Vec<f64> {
    page["nodes"].as_array().expect("nodes").iter().map(|node| node["value"].as_f64().expect("a number")).collect()
}

#[tokio::test]
async fn whoever_is_signed_in_records_metrics_and_operators_see_them() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    let alice = node.client().register("alice").await;
    alice.run(operation!("viewer"), Value::Null).await.data();
    let at = "2026-11-01T00:00:00.123456Z".parse::<DateTime<Utc>>().expect("a time").max(earlier(&world));
    let metrics = json!([
        { "name": "client.render", "value": 12.5, "unit": "ms", "metadata": { "page": "inbox" }, "recordedAt": at },
        { "name": "client.boot", "value": -3, "unit": "°C" },
    ]);
    let (answer, statements) = node.statements(record(&alice, metrics)).await;
    assert_eq!(answer.data()["recordMetrics"]["recordedCount"], 2);
    // The session, the sequence numbers and the rows, however many.
    assert_eq!(statements, 3);

    operator.run(operation!("viewer"), Value::Null).await.data();
    let (page, statements) = node.statements(page(&operator, json!({}))).await;
    let (boot, render) = (&page["nodes"][0], &page["nodes"][1]);
    let expected = json!([
        {
            "id": boot["id"],
            "name": "client.boot",
            "value": -3.0,
            "unit": "°C",
            "metadata": null,
            "createdAt": boot["createdAt"],
        },
        {
            "id": render["id"],
            "name": "client.render",
            "value": 12.5,
            "unit": "ms",
            "metadata": { "page": "inbox" },
            "createdAt": render["createdAt"],
        },
    ]);
    assert_eq!((&page["nodes"], statements), (&expected, 1));
    assert_eq!(render["createdAt"].as_str().and_then(|text| text.parse().ok()), Some(at));

    let node_of = async |who: &Client| who.run(operation!("node"), json!({ "id": boot["id"] })).await;
    assert_eq!(node_of(&operator).await.data()["node"]["id"], boot["id"]);
    assert_eq!(node_of(&alice).await.data()["node"], Value::Null, "to anyone else there is no such thing");
    let rows = performance_metrics::Entity::find().all(&world.database.connect().await).await.expect("readable");
    assert!(rows.iter().all(|row| row.user_id.is_some()), "who recorded it is known");
}

#[tokio::test]
async fn only_operators_see_metrics_and_only_the_signed_in_record_them() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let series = json!({ "name": "a", "since": world.source.now(), "bucketSeconds": 1 });
    for (query, variables) in [(operation!("admin_metrics"), json!({})), (operation!("admin_metric_series"), series)] {
        assert_eq!(alice.run(query, variables.clone()).await.error().0, "FORBIDDEN");
        assert_eq!(node.client().run(query, variables).await.error().1["reason"], "MISSING");
    }
    assert_eq!(record(&node.client(), json!([metric("a", 1)])).await.error().1["reason"], "MISSING");
    for (who, code) in [(&alice, "FORBIDDEN"), (&node.client(), "UNAUTHENTICATED")] {
        let mut socket = who.socket().await;
        socket.subscribe("metrics", operation!("metric_recorded"), json!({})).await;
        let message = socket.receive().await;
        assert!(message.to_string().contains(&format!(r#""code":"{code}""#)), "{message}");
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_with_its_path_and_nothing_is() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let now = world.source.now();
    let with = |field: &str, value: Value| {
        let mut metric = metric("client.render", 1);
        metric[field] = value;
        metric
    };
    let deep = json!({ "a": [{ "b\0": 1 }] });
    for (field, wrong) in [
        ("name", json!("")),
        ("name", json!("a..b")),
        ("name", json!("no spaces")),
        ("name", json!("a\0")),
        ("name", json!("a".repeat(129))),
        ("name", json!("server.requests")),
        ("value", json!(1.1e100)),
        ("value", json!(-1e300)),
        ("unit", json!("")),
        ("unit", json!("m s")),
        ("unit", json!("a".repeat(33))),
        ("metadata", json!("text")),
        ("metadata", json!([1])),
        ("metadata", json!({ "a": "x".repeat(2048) })),
        ("metadata", json!({ "a": "\0" })),
        ("metadata", deep),
        ("recordedAt", json!(now + TimeDelta::seconds(61))),
        ("recordedAt", json!(now - TimeDelta::days(30) - TimeDelta::microseconds(1))),
        ("recordedAt", json!("-100000-01-01T00:00:00Z")),
    ] {
        let wrong = with(field, wrong);
        let answer = record(&alice, json!([metric("a", 1), wrong])).await;
        let (code, extensions) = answer.error();
        let path = format!("input.metrics[1].{field}");
        assert_eq!((code, extensions["field"].as_str()), ("BAD_USER_INPUT", Some(&*path)), "{wrong}: {answer:?}");
    }
    for count in [0, 101] {
        let answer = record(&alice, vec![metric("a", 1); count]).await;
        assert_eq!(answer.error().1["field"], "input.metrics");
        let message = answer.0["errors"][0]["message"].as_str().expect("a message");
        assert!(message.contains("100") && message.contains(&count.to_string()), "{message}");
    }
    let infinite =
        r#"mutation { recordMetrics(input: { metrics: [{ name: "a", value: 1e999, unit: "x" }] }) { recordedCount } }"#;
    assert!(alice.run(infinite, Value::Null).await.0["errors"].is_array());
    let db = world.database.connect().await;
    assert_eq!(performance_metrics::Entity::find().count(&db).await.expect("readable"), 0);

    let edges = [
        with("name", json!("a".repeat(128))),
        with("value", json!(-1e100)),
        with("unit", json!("µ".repeat(32))),
        with("metadata", json!({ "a": "x".repeat(2040) })),
        with("metadata", json!({})),
        with("recordedAt", json!(now + TimeDelta::seconds(60))),
        with("recordedAt", json!(now - TimeDelta::days(30))),
    ];
    assert_eq!(record(&alice, edges.to_vec()).await.data()["recordMetrics"]["recordedCount"], 7);
    assert_eq!(record(&alice, vec![metric("a", 1); 100]).await.data()["recordMetrics"]["recordedCount"], 100);
}

#[tokio::test]
async fn recording_is_limited_by_user() {
    let (_node, alice, bob) = World::new()
        .await
        .pair_with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.metrics_by_user.burst = 2;
            config.rate_limits.metrics_by_user.interval_ms = 3_600_000;
        })
        .await;
    for _ in 0..2 {
        record(&alice, json!([metric("a", 1)])).await.data();
    }
    let answer = record(&alice, json!([metric("a", 1)])).await;
    assert_eq!(answer.error().0, "RATE_LIMITED");
    assert!(answer.error().1["retryAfterSeconds"].as_i64() > Some(3000));
    record(&bob, json!([metric("a", 1)])).await.data();
}

#[tokio::test]
async fn recording_is_limited_by_bytes_of_names_units_and_metadata() {
    let (_node, alice, bob) = World::new()
        .await
        .pair_with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.metrics_by_user.burst = 1_000;
            config.rate_limits.metric_bytes_by_user.burst = 4;
            // One byte an hour.
            config.rate_limits.metric_bytes_by_user.interval_ms = 1024 * 3_600_000;
        })
        .await;
    // All but one of 4096 bytes: each has a name of one byte, a unit of two, and nine beside the text.
    let with =
        |bytes: usize| json!([{ "name": "a", "value": 1, "unit": "ms", "metadata": { "of": "x".repeat(bytes) } }]);
    for bytes in [2035, 2036] {
        record(&alice, with(bytes)).await.data();
    }
    let answer = record(&alice, json!([{ "name": "a", "value": 1, "unit": "b" }])).await;
    assert_eq!(answer.error().0, "RATE_LIMITED");
    assert!((3000..=3600).contains(&answer.error().1["retryAfterSeconds"].as_i64().expect("a number")));
    record(&bob, with(2000)).await.data();
    // A batch that is larger than what is left uses up nothing.
    assert_eq!(record(&bob, Value::Array(vec![with(2000)[0].clone(); 2])).await.error().0, "RATE_LIMITED");
    record(&bob, with(2000)).await.data();
}

#[tokio::test]
async fn pages_of_metrics_go_by_time_from_either_end() {
    let world = World::with_clock(manual_clock()).await;
    let (_, operator) = world.operated().await;
    let now = world.source.now();
    // Recorded out of order, and three of them with equal times.
    let ages = [5, 0, 3, 3, 3, 1, 4];
    let metrics = ages.iter().enumerate().map(|(value, age)| {
        let name = if value % 2 == 0 { "even" } else { "odd" };
        json!({ "name": name, "value": value, "unit": "n", "recordedAt": now - TimeDelta::seconds(*age) })
    });
    record(&operator, metrics.collect::<Vec<_>>()).await.data();
    let all = values(&page(&operator, json!({})).await);
    assert_eq!(all, [1.0, 5.0, 4.0, 3.0, 2.0, 6.0, 0.0]);

    for (count, cursor, info) in [("first", "after", "endCursor"), ("last", "before", "startCursor")] {
        let (mut found, mut variables) = (Vec::new(), json!({ count: 2 }));
        loop {
            let page = page(&operator, variables).await;
            let (next, previous) = (&page["pageInfo"]["hasNextPage"], &page["pageInfo"]["hasPreviousPage"]);
            let (more, behind) = if count == "first" { (next, previous) } else { (previous, next) };
            assert_eq!(*behind, json!(!found.is_empty()));
            let values = values(&page);
            if count == "first" {
                found.extend(values);
            } else {
                found.splice(..0, values).for_each(drop);
            }
            if *more == json!(false) {
                break;
            }
            variables = json!({ count: 2, cursor: page["pageInfo"][info] });
        }
        assert_eq!(found, all, "{count}");
    }

    let at = |age| json!(now - TimeDelta::seconds(age));
    for (filter, expected) in [
        (json!({ "names": ["odd"] }), &[1.0, 5.0, 3.0][..]),
        (json!({ "names": ["odd", "even", "none", "\0"] }), &all),
        (json!({ "names": ["\0"] }), &[]),
        (json!({ "names": [] }), &[]),
        (json!({ "since": at(3) }), &[1.0, 5.0, 4.0, 3.0, 2.0]),
        (json!({ "since": at(4), "until": at(3) }), &[6.0]),
        (json!({ "until": at(3), "names": ["even"] }), &[6.0, 0.0]),
        (json!({ "since": "-100000-01-01T00:00:00Z", "until": "+100000-01-01T00:00:00Z" }), &all),
    ] {
        let variables = json!({ "filter": filter });
        assert_eq!(values(&page(&operator, variables).await), expected, "{filter}");
    }
    let many = json!({ "filter": { "names": vec!["a"; 101] } });
    assert_eq!(operator.run(operation!("admin_metrics"), many).await.error().1["field"], "filter.names");
    for (variables, field) in [(json!({ "first": 101 }), "first"), (json!({ "after": "garbage" }), "after")] {
        assert_eq!(operator.run(operation!("admin_metrics"), variables).await.error().1["field"], field);
    }
}

#[tokio::test]
async fn a_series_is_what_the_values_give() {
    let world = World::with_clock(manual_clock()).await;
    let (node, operator) = world.operated().await;
    let now = world.source.now();
    let mut buckets = BTreeMap::<i64, Vec<f64>>::new();
    for _ in 0..8 {
        let metrics = (0..100).map(|n| {
            let [odd, coarse, fine, moment @ ..] = world.source.random.bytes::<7>();
            // Some have few distinct values, so that there are ties. Every tenth is at the edge of a bucket.
            let value = f64::from(i16::from_be_bytes([coarse, if n % 3 == 0 { 0 } else { fine }])) / 8.0;
            let micros = i64::from(u32::from_be_bytes(moment)) % 3_000_000_000;
            let at = (now - TimeDelta::hours(1)).timestamp_micros() + micros;
            let at = if n % 10 == 0 { at - at.rem_euclid(60_000_000) - i64::from(odd % 2) } else { at };
            buckets.entry(at.div_euclid(60_000_000) * 60).or_default().push(value);
            let at = DateTime::from_timestamp_micros(at).expect("a time");
            json!({ "name": "client.render", "value": value, "unit": "ms", "recordedAt": at })
        });
        record(&operator, metrics.collect::<Vec<_>>()).await.data();
    }
    record(&operator, json!([metric("client.other", 1e99)])).await.data();
    operator.run(operation!("viewer"), Value::Null).await.data();

    let variables = json!({ "name": "client.render", "since": now - TimeDelta::hours(2), "bucketSeconds": 60 });
    let (answer, statements) = node.statements(operator.run(operation!("admin_metric_series"), variables)).await;
    assert_eq!(statements, 1);
    let found = answer.data()["admin"]["metricSeries"].as_array().expect("buckets");
    assert_eq!(found.len(), buckets.len(), "those without any are left out");
    for (bucket, (start, mut values)) in found.iter().zip(buckets) {
        values.sort_by(f64::total_cmp);
        let rank = |share: usize| json!(values[(values.len() * share).div_ceil(100) - 1]);
        let start = DateTime::from_timestamp(start, 0);
        assert_eq!(bucket["start"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok()), start);
        assert_eq!((&bucket["count"], &bucket["min"]), (&json!(values.len()), &json!(values[0])), "{start:?}");
        for (field, expected) in [("p50", rank(50)), ("p95", rank(95)), ("p99", rank(99)), ("max", rank(100))] {
            assert_eq!(bucket[field], expected, "{field} of {values:?}");
        }
        let count = u32::try_from(values.len()).expect("few");
        let mean = values.iter().sum::<f64>() / f64::from(count);
        assert!((bucket["mean"].as_f64().expect("a number") - mean).abs() < 1e-9, "{mean}");
    }
}

#[tokio::test]
async fn a_series_has_its_range_and_a_bounded_number_of_buckets() {
    let world = World::with_clock(manual_clock()).await;
    let (_, operator) = world.operated().await;
    let now = world.source.now();
    let hour = DateTime::from_timestamp(now.timestamp() / 3600 * 3600 - 3600, 0).expect("a time");
    let metrics = [(0, 1), (999, 2), (1000, 3)].map(|(second, value)| {
        let at = hour + TimeDelta::seconds(second);
        json!({ "name": "a", "value": value, "unit": "n", "recordedAt": at })
    });
    record(&operator, metrics.to_vec()).await.data();
    let series = async |name: &str, seconds: i64, length: i32| {
        let until = hour + TimeDelta::seconds(seconds);
        let variables = json!({ "name": name, "since": hour, "until": until, "bucketSeconds": length });
        operator.run(operation!("admin_metric_series"), variables).await
    };
    let counts = |answer: &Answer| {
        let buckets = answer.data()["admin"]["metricSeries"].as_array().expect("buckets").clone();
        buckets.iter().map(|bucket| bucket["count"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(counts(&series("a", 1000, 1).await), [1, 1], "the end is not part of it");
    assert_eq!(counts(&series("a", 1001, 3600).await), [3]);
    assert_eq!(counts(&series("a", 1001, i32::MAX).await), [3]);
    assert_eq!(counts(&series("no such name", 1000, 1).await), [0; 0]);
    let over = series("a", 1001, 1).await;
    assert_eq!(over.error().1["field"], "bucketSeconds");
    let message = over.0["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("1000") && message.contains("1001"), "both numbers are named: {message}");
    assert_eq!(series("a", 1, 0).await.error().1["field"], "bucketSeconds");
    assert_eq!(series("a", 1, -1).await.error().1["field"], "bucketSeconds");
    assert_eq!(series("a", 0, 1).await.error().1["field"], "until");
}

/// Returns a time at which metrics may still be recorded, in whole microseconds but not in whole milliseconds.
fn earlier(world: &World) -> DateTime<Utc> {
    let day = world.source.now().timestamp() - 86_400;
    DateTime::from_timestamp(day, 123_456_000).expect("a time")
}
