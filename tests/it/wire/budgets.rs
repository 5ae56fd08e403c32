//! Limits where they meet other parts: accounts, sessions, aliases, nodes and sockets.

use quantumvault::config::{Config, Rate};
use qv_tests::{
    client::{Answer, Client, PASSWORD, draft},
    operation,
    world::{Node, World},
};
use serde_json::{Value, json};

/// An answer, its status and its Retry-After.
struct Told {
    answer: Answer,
    status: u16,
    retry_after: Option<u64>,
}

impl Told {
    /// Whether it was let through; if it was not, body and header say the same wait of at most `longest` seconds.
    fn passed(&self, longest: u64) -> bool {
        let Some(errors) = self.answer.0.get("errors") else {
            assert_eq!(self.retry_after, None, "{}", self.answer.0);
            return true;
        };
        let extensions = &errors[0]["extensions"];
        if extensions["code"] == "INVALID_CREDENTIALS" {
            return true;
        }
        assert_eq!(extensions["code"], "RATE_LIMITED", "{}", self.answer.0);
        let seconds = extensions["retryAfterSeconds"].as_u64().expect("a wait");
        assert!((1..=longest).contains(&seconds), "{}", self.answer.0);
        assert_eq!(self.retry_after, Some(seconds));
        false
    }
}

#[tokio::test]
async fn an_account_is_one_by_whatever_name_and_from_wherever_it_is_tried() {
    let node = limited(|config| config.rate_limits.login_by_account = rate(3, 60_000)).await;
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    for account in [["alice", "ALICE", "alice@example.org", "alice"], ["nobody", "NOBODY", "Nobody", "nobody"]] {
        for (index, login) in account.into_iter().enumerate() {
            let told = log_in(&node.client(), Some(&format!("203.0.113.{index}")), login, "wrong").await;
            assert_eq!(told.passed(60), index < 3, "{login}: {}", told.answer.0);
        }
    }
    let right = log_in(&node.client(), Some("203.0.113.9"), "alice", PASSWORD).await;
    assert!(!right.passed(60), "whoever guesses right too late learns nothing");
    assert!(log_in(&bob, None, "bob", PASSWORD).await.answer.0.get("errors").is_none());
    assert_eq!(alice.refusal().await, None, "an open session goes on");
}

#[tokio::test]
async fn each_alias_of_a_message_counts_and_those_within_the_limit_are_sent() {
    let node = limited(|config| config.rate_limits.send_by_user = rate(3, 60_000)).await;
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    let fields = (0..5).map(|index| format!("m{index}: sendMessage(input: $m{index}) {{ message {{ id }} }}\n"));
    let names = (0..5).map(|index| format!("$m{index}: SendMessageInput! "));
    let query = format!("mutation({}) {{ {} }}", names.collect::<String>(), fields.collect::<String>());
    let inputs = (0..5).map(|index| (format!("m{index}"), draft(&bob, "x", &index.to_string())["input"].clone()));

    let told = run(&alice, None, &query, Value::Object(inputs.collect())).await;

    assert_eq!(told.status, 200);
    let data = &told.answer.0["data"];
    let sent: Vec<_> = (0..5).map(|index| data[format!("m{index}")].is_object()).collect();
    assert_eq!(sent, [true, true, true, false, false]);
    let errors = told.answer.0["errors"].as_array().expect("errors");
    assert_eq!(errors.iter().map(|error| &error["path"][0]).collect::<Vec<_>>(), ["m3", "m4"]);
    assert!(!told.passed(60));
    let (events, _) = bob.feed(None).await.backlog().await;
    assert_eq!(events.len(), 3);
    bob.send(&alice, "x", "1").await.data();
}

#[tokio::test]
async fn who_waits_may_go_on() {
    let node = limited(|config| config.rate_limits.send_by_user = rate(1, 1_000)).await;
    let alice = node.client().register("alice").await;
    alice.send(&alice, "first", "1").await.data();
    let mut refusals = 0;
    loop {
        let answer = alice.send(&alice, "second", "2").await;
        if answer.0.get("errors").is_none() {
            break;
        }
        assert_eq!(answer.error().0, "RATE_LIMITED");
        refusals += 1;
        assert!(refusals < 10_000, "the wait has no end");
    }
    assert!(refusals > 0, "nobody had to wait");
}

#[tokio::test]
async fn refreshes_are_counted_by_session() {
    let node = limited(|config| config.rate_limits.refresh_by_session = rate(2, 60_000)).await;
    let alice = node.client().register("alice").await;
    let other = node.client().login("alice").await;
    let last = alice.refreshed().await.refreshed().await;
    assert_eq!(last.refresh().await.error().0, "RATE_LIMITED");
    assert_eq!(last.refusal().await, None);
    other.refreshed().await;
}

#[tokio::test]
async fn the_nodes_of_a_cluster_count_together() {
    let world = World::new().await;
    let change = |config: &mut Config| config.rate_limits.login_by_address = rate(2, 60_000);
    let (one, two) = world.two_nodes_with(|config| limit(config, change)).await;
    for node in [&one, &two] {
        assert!(log_in(&node.client(), None, "nobody", "wrong").await.passed(60));
    }
    for node in [&one, &two] {
        assert!(!log_in(&node.client(), None, "nobody", "wrong").await.passed(60));
    }
}

#[tokio::test]
async fn what_operations_cost_is_counted_by_caller_on_every_transport() {
    let node = limited(|config| config.rate_limits.cost_by_caller = rate(40, 60_000)).await;
    let users = "{ users(first: 10) { nodes { id } } }";
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    let mut told = run(&alice, None, users, Value::Null).await;
    assert!(told.passed(3600), "{}", told.answer.0);
    for _ in 0..40 {
        told = run(&alice, None, users, Value::Null).await;
    }
    assert!(!told.passed(3600));
    assert_eq!((told.status, told.answer.0.get("data")), (429, None));

    // The same caller has the same budget on a socket, which stays open.
    let mut socket = alice.socket().await;
    socket.subscribe("spent", users, Value::Null).await;
    let refused = socket.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("spent")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert!(refused["payload"][0]["extensions"]["retryAfterSeconds"].is_u64());
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");

    assert!(run(&bob, None, users, Value::Null).await.passed(3600), "another user has a budget of its own");
}

/// A node that limits nothing but what the test says, and believes the proxy that the test plays.
async fn limited(change: impl FnOnce(&mut Config)) -> Node {
    World::new().await.node_with(|config| limit(config, change)).await
}

fn limit(config: &mut Config, change: impl FnOnce(&mut Config)) {
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    config.rate_limits.enabled = true;
    change(config);
}

fn rate(burst: u32, interval_ms: u64) -> Rate {
    Rate { burst, interval_ms }
}

async fn log_in(client: &Client, from: Option<&str>, login: &str, password: &str) -> Told {
    let input = json!({ "login": login, "password": password });
    run(client, from, operation!("login"), json!({ "input": input })).await
}

/// Runs an operation as if it came through a proxy from this address.
async fn run(client: &Client, from: Option<&str>, query: &str, variables: Value) -> Told {
    let body = json!({ "query": query, "variables": variables });
    let mut request = reqwest::Client::new().post(client.url("/graphql")).json(&body);
    if let Some(token) = &client.token {
        request = request.bearer_auth(token);
    }
    if let Some(from) = from {
        request = request.header("x-forwarded-for", from);
    }
    let response = request.send().await.expect("the node answers");
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().expect("text"));
    let retry_after = retry_after.map(|seconds| seconds.parse().expect("seconds"));
    let status = response.status().as_u16();
    Told { answer: Answer(response.json().await.expect("JSON")), status, retry_after }
}
