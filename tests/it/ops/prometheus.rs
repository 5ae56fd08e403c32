//! `/metrics`: its contents, its format, and the clients that may read it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use qv_tests::operation;
use qv_tests::raw::{get, post, request};
use qv_tests::world::World;
use serde_json::{Value, json};

/// Returns the figures by name and labels. Fails on text that Prometheus would not read.
async fn figures(address: SocketAddr) -> BTreeMap<String, f64> {
    let answer = get(address, "/metrics", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type").expect("a type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(answer.body).expect("text");
    let (mut figures, mut families) = (BTreeMap::new(), BTreeSet::new());
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split(' ').next().expect("a name").clone_into(&mut family);
            assert!(families.insert(family.clone()), "{family} comes twice");
            assert!(family.starts_with("quantumvault_") || family.starts_with("process_"), "{family}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!((name, name.ends_with("_total")), (&*family, kind == "counter"), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a figure");
        assert!(name.starts_with(&family), "{name} in {family}");
        let is_new = figures.insert(name.to_owned(), value.parse().expect("a number")).is_none();
        assert!(is_new, "{name} comes twice");
    }
    figures
}

#[tokio::test]
async fn requests_operations_and_errors_are_counted() {
    let world = World::new().await;
    let node = world.node().await;
    let address = node.server.address;
    let before = figures(address).await;
    let alice = node.client().register("alice").await;
    alice.run(operation!("viewer"), Value::Null).await.data();
    assert_eq!(node.client().run(operation!("users"), json!({})).await.error().0, "UNAUTHENTICATED");
    assert_eq!(node.client().run("{ nonsense", Value::Null).await.error().0, "GRAPHQL_PARSE_FAILED");
    get(address, "/nowhere", &[]).await;
    let after = figures(address).await;
    let grew = |name: &str| after[name] - before[name];
    for (name, by) in [
        (r#"quantumvault_http_requests_total{route="/graphql",status="2xx"}"#, 4.0),
        (r#"quantumvault_http_requests_total{route="other",status="4xx"}"#, 1.0),
        (r#"quantumvault_http_requests_total{route="/metrics",status="2xx"}"#, 1.0),
        (r#"quantumvault_http_request_duration_seconds_count{route="/graphql"}"#, 4.0),
        (r#"quantumvault_http_request_duration_seconds_bucket{route="/graphql",le="+Inf"}"#, 4.0),
        (r#"quantumvault_graphql_operations_total{kind="mutation"}"#, 1.0),
        (r#"quantumvault_graphql_operations_total{kind="query"}"#, 2.0),
        (r#"quantumvault_graphql_errors_total{code="UNAUTHENTICATED"}"#, 1.0),
        (r#"quantumvault_graphql_errors_total{code="GRAPHQL_PARSE_FAILED"}"#, 1.0),
        ("quantumvault_password_wait_seconds_count", 1.0),
        ("quantumvault_panics_total", 0.0),
    ] {
        assert!((grew(name) - by).abs() < f64::EPSILON, "{name}: {}", grew(name));
    }
    assert!(grew("quantumvault_database_statement_duration_seconds_count") >= 3.0);
    assert!(grew("quantumvault_database_begin_duration_seconds_count") >= 1.0);
    let lookups = |result| grew(&format!(r#"quantumvault_cache_lookups_total{{cache="session",result="{result}"}}"#));
    assert!(lookups("hit") + lookups("miss") >= 1.0);
    let connections = |state| after[&format!("quantumvault_database_connections{{state=\"{state}\"}}")];
    assert!(connections("used") + connections("idle") >= 1.0);
    for name in [
        "quantumvault_database_connections_max",
        "quantumvault_password_hashes_max",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(after[name] > 0.0, "{name}");
    }
}

#[tokio::test]
async fn sockets_subscriptions_and_the_feeds_lag_are_counted() {
    let (node, alice, bob) = World::new().await.pair().await;
    let address = node.server.address;
    // The alias must not become a label.
    let mut socket = bob.socket().await;
    let feed = "subscription Named { hidden: messageFeed { kind } }";
    socket.subscribe("one", feed, json!({})).await;
    socket.receive().await;
    alice.send(&bob, "ciphertext", "first").await.data();
    socket.receive().await;
    let open = figures(address).await;
    assert_eq!(open[r#"quantumvault_streams_open{transport="websocket"}"#].to_string(), "1");
    assert_eq!(open[r#"quantumvault_subscriptions_open{field="messageFeed"}"#].to_string(), "1");
    assert_eq!(open["quantumvault_feed_lag_seconds_count"].to_string(), "1");
    assert!(!open.keys().any(|name| name.contains("hidden") || name.contains("Named")), "{open:?}");
    drop(socket);
    while figures(address).await[r#"quantumvault_streams_open{transport="websocket"}"#] > 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(figures(address).await[r#"quantumvault_subscriptions_open{field="messageFeed"}"#].to_string(), "0");
}

#[tokio::test]
async fn what_rate_limits_refuse_is_counted_by_the_action() {
    let world = World::new().await;
    let node = world
        .node_with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.login_by_address.burst = 1;
        })
        .await;
    for code in ["INVALID_CREDENTIALS", "RATE_LIMITED"] {
        let input = json!({ "input": { "login": "nobody", "password": "x" } });
        assert_eq!(node.client().run(operation!("login"), input).await.error().0, code);
    }
    assert_eq!(
        figures(node.server.address).await[r#"quantumvault_rate_limit_refusals_total{action="login"}"#].to_string(),
        "1"
    );
}

#[tokio::test]
async fn nothing_that_clients_write_becomes_a_label() {
    let node = World::new().await.node().await;
    let address = node.server.address;
    let canary = "canaryLabel";
    let body = json!({ "query": format!("query {canary} {{ {canary}: __typename }}") });
    let answer = post(address, &[("user-agent", canary)], &body).await;
    assert_eq!(answer.json(), json!({ "data": { canary: "Query" } }));
    let line = format!("{canary} /{canary}?{canary}={canary}");
    assert_eq!(request(address, &line, &[("x-request-id", canary)], "").await.status, 404);
    let figures = figures(address).await;
    for (name, least) in [
        (r#"quantumvault_http_requests_total{route="/graphql",status="2xx"}"#, 1.0),
        (r#"quantumvault_http_requests_total{route="other",status="4xx"}"#, 1.0),
    ] {
        assert!(figures[name] >= least, "{name}");
    }
    assert!(!figures.keys().any(|name| name.contains(canary)));
}

#[tokio::test]
async fn only_whoever_is_on_the_machine_sees_the_figures() {
    let node = World::new().await.node().await;
    for name in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
        assert_eq!(get(node.server.address, "/metrics", &[(name, "203.0.113.9")]).await.status, 403, "{name}");
    }
}

#[tokio::test]
async fn with_a_token_only_whoever_brings_it_sees_the_figures() {
    let node = World::new().await.node_with(|config| config.operations.metrics_token = "scrape-me".into()).await;
    for (credentials, status) in
        [("Bearer scrape-me", 200), ("bearer scrape-me", 200), ("Bearer scrape", 401), ("Basic scrape-me", 401)]
    {
        let answer = get(node.server.address, "/metrics", &[("authorization", credentials)]).await;
        assert_eq!(answer.status, status, "{credentials}");
    }
    assert_eq!(get(node.server.address, "/metrics", &[]).await.status, 401);
}

#[tokio::test]
async fn operators_can_have_an_address_of_their_own() {
    let world = World::new().await;
    let listen = "127.0.0.1:0".parse().expect("an address");
    let node = world.node_with(|config| config.operations.listen = Some(listen)).await;
    let (public, operators) = (node.server.address, node.server.operations.expect("an address"));
    assert_ne!(public, operators);
    figures(operators).await;
    for (address, path, status) in [
        (public, "/metrics", 404),
        (public, "/health/live", 200),
        (operators, "/health/live", 200),
        (operators, "/health/ready", 200),
        (operators, "/graphql", 404),
        (operators, "/", 404),
    ] {
        assert_eq!(get(address, path, &[]).await.status, status, "{address} {path}");
    }
}
