//! The log of the real binary: one machine-readable line for each request, and never a secret.

use qv_tests::client::{PASSWORD, base64};
use qv_tests::operation;
use qv_tests::process::{Process, TRACE};
use qv_tests::raw::{get, post};
use qv_tests::world::World;
use serde_json::{Value, json};

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test]
async fn every_request_has_one_line_of_json() {
    let world = World::new().await;
    let served = Process::start(&world, &[("LOG__FORMAT", "json")]).await;
    let alice = served.client().register("alice").await;
    let authorization = format!("Bearer {}", alice.token.as_deref().expect("a token"));
    let headers = [("x-request-id", "mine-1"), ("authorization", &*authorization)];
    post(served.address, &headers, &json!({ "query": "{ viewer { user { id } } }" })).await;
    post(served.address, &[("x-request-id", "mine-2")], &json!({ "query": "{ users(first: 1) { nodes { id } } }" }))
        .await;
    post(served.address, &[("x-request-id", "mine-3")], &json!({ "query": "{" })).await;
    get(served.address, "/secret-path?token=abc", &[("x-request-id", "mine-4")]).await;
    get(served.address, "/health/ready", &[("x-request-id", "mine-5")]).await;
    let mut feed = alice.feed(None).await;
    feed.receive().await;
    drop(feed);

    let (_, log) = served.stop().await;
    let lines = lines(&log);
    let one = |id: &str| {
        let found: Vec<_> = lines.iter().filter(|line| line["request.id"] == id).collect();
        assert_eq!(found.len(), 1, "{id}: {found:?}");
        found[0].clone()
    };
    let line = one("mine-1");
    let expected = json!({
        "timestamp": line["timestamp"],
        "level": "INFO",
        "target": "requests",
        "message": "request",
        "request.id": "mine-1",
        "http.method": "POST",
        "http.route": "/graphql",
        "http.status": 200,
        "operation.kind": "query",
        "user.id": alice.id,
        "client.address": "127.0.0.1",
        "elapsed_ms": line["elapsed_ms"],
        "bytes": line["bytes"],
    });
    assert_eq!(line, expected);
    assert!(line["elapsed_ms"].as_f64().expect("a number") > 0.0);
    assert!(line["bytes"].as_u64().expect("a number") > 20);
    let refused = one("mine-2");
    assert_eq!((&refused["error.codes"], refused.get("user.id")), (&json!("UNAUTHENTICATED"), None));
    assert_eq!(one("mine-3")["error.codes"], "GRAPHQL_PARSE_FAILED");
    let lost = one("mine-4");
    assert_eq!((&lost["http.route"], &lost["http.status"]), (&json!("other"), &json!(404)));
    assert!(!log.contains("secret-path"), "a path may hold anything");
    let probe: Vec<_> =
        lines.iter().filter(|line| line["request.id"] == "mine-5").map(|line| &line["message"]).collect();
    assert_eq!(probe, ["every component is healthy"], "the probe itself is for the level debug, what it found is not");
    let ended = lines.iter().find(|line| line["message"] == "subscription ended").expect("a line");
    assert_eq!((&ended["operation.field"], &ended["operation.kind"]), (&json!("messageFeed"), &json!("subscription")));
}

#[tokio::test]
async fn lines_for_people_can_be_had_and_requests_left_out() {
    let world = World::new().await;
    let settings = [("LOG__FILTER", "info,requests=warn"), ("DATABASE__SLOW_STATEMENT_MS", "600000")];
    let served = Process::start(&world, &settings).await;
    served.client().register("alice").await;
    let (_, log) = served.stop().await;
    assert!(!log.contains("http.route") && log.contains("stopping"), "{log}");
    assert!(!log.contains("slow"), "no statement took ten minutes: {log}");
}

#[tokio::test]
async fn a_slow_statement_is_logged_with_its_time_and_without_its_values() {
    let world = World::new().await;
    let served = Process::start(&world, &[("LOG__FORMAT", "json"), ("DATABASE__SLOW_STATEMENT_MS", "0")]).await;
    served.client().register_all(["alice", "bob", "carol", "dave"]).await;
    let (_, log) = served.stop().await;
    let slow = lines(&log).into_iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains("slow")));
    let slow = slow.expect("every statement takes longer than nothing");
    assert!(slow.to_string().contains("elapsed"), "{slow}");
    assert!(!log.contains("carol"), "{log}");
}

#[tokio::test]
async fn no_secret_is_logged_however_much_is() {
    let world = World::new().await;
    let served = Process::start(&world, &[TRACE, ("LOG__FORMAT", "json")]).await;
    let anyone = served.client();
    let [alice, bob] = anyone.register_all(["alice", "bob"]).await;
    let wrong = "canary-wrong-password";
    let refused = anyone.run(operation!("login"), json!({ "input": { "login": "alice", "password": wrong } })).await;
    assert_eq!(refused.error().0, "INVALID_CREDENTIALS");
    anyone
        .run(
            &format!("mutation {{ login(input: {{ login: \"alice\", password: \"{wrong}\" }}) {{ accessToken }} }}"),
            json!({}),
        )
        .await;
    alice.send(&bob, "canary-ciphertext", "first").await.data();
    let next = alice.refreshed().await;
    next.run(operation!("request_password_reset"), json!({ "input": { "email": "alice@example.org" } })).await;
    let mut feed = bob.feed(None).await;
    feed.receive().await;
    get(served.address, "/graphql", &[("authorization", "Bearer canary-bearer"), ("cookie", "canary-cookie")]).await;
    drop(feed);

    let (_, log) = served.stop().await;
    assert!(log.lines().count() > 50, "at this level there is much to say");
    let mut secrets = vec![PASSWORD.to_owned(), wrong.to_owned(), base64("canary-ciphertext")];
    secrets.extend(["canary-ciphertext", "canary-bearer", "canary-cookie"].map(str::to_owned));
    for client in [&alice, &bob, &next] {
        secrets.extend([client.token.clone().expect("a token"), client.refresh_token.clone()]);
    }
    let data_dir =
        world.environment("one").into_iter().find(|(name, _)| name.ends_with("DATA_DIR")).expect("a folder").1;
    let mails: Vec<_> = std::fs::read_dir(format!("{data_dir}/mails")).expect("mails").collect();
    assert_eq!(mails.len(), 3, "two confirmations and a reset");
    for mail in mails {
        let text = std::fs::read_to_string(mail.expect("a mail").path()).expect("text");
        let token = text.split("token=3D").nth(1).or_else(|| text.split("token=").nth(1)).expect("a link");
        secrets.push(token.chars().take(16).collect());
    }
    for secret in secrets {
        assert!(
            !log.contains(&secret),
            "{secret} is in the log: {:?}",
            log.lines().find(|line| line.contains(&secret))
        );
    }
}
