//! Rate limits: rejected requests, effects on other parts, and the time after which a client may retry.

use quantumvault::config::{Config, Rate};
use qv_tests::client::{Client, PASSWORD, draft, registration};
use qv_tests::operation;
use qv_tests::raw::{self, Raw};
use qv_tests::world::{Node, World};
use serde_json::{Value, json};

const WRONG: &str = "not the password";
const HOUR_MS: u64 = 3_600_000;
/// Hour in seconds.
const HOUR: u64 = 3_600;

#[tokio::test]
async fn registrations_are_counted_by_address() {
    let node = limited(|config| config.rate_limits.register_by_address = rate(2, HOUR_MS)).await;
    let register = async |address, name| {
        run(&node.client(), address, operation!("register"), json!({ "input": registration(name) })).await
    };
    assert!(register("203.0.113.1", "alice").await.json().get("errors").is_none());
    // A failed registration counts as well.
    assert_eq!(register("203.0.113.1", "alice").await.code(), "CONFLICT");
    assert!(!passed(&register("203.0.113.1", "bob").await, HOUR));
    assert!(register("203.0.113.2", "bob").await.json().get("errors").is_none());
}

#[tokio::test]
async fn sign_ins_are_counted_by_address() {
    let node = limited(|config| config.rate_limits.login_by_address = rate(2, HOUR_MS)).await;
    assert_eq!(log_in(&node.client(), "203.0.113.1", "alice", WRONG).await.code(), "INVALID_CREDENTIALS");
    assert_eq!(log_in(&node.client(), "203.0.113.1", "bob", WRONG).await.code(), "INVALID_CREDENTIALS");
    assert!(!passed(&log_in(&node.client(), "203.0.113.1", "carol", WRONG).await, HOUR));
    assert_eq!(log_in(&node.client(), "203.0.113.2", "carol", WRONG).await.code(), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn by_default_guessing_is_held_back_wherever_it_comes_from_and_spraying_where_it_does() {
    let node = limited(|_| {}).await;
    let alice = node.client().register("alice").await;
    let mut answered = 0;
    for address in 0..30 {
        let answer = log_in(&node.client(), &format!("203.0.113.{address}"), "alice", WRONG).await;
        let is_answered = answer.code() == "INVALID_CREDENTIALS";
        assert_eq!(passed(&answer, HOUR), is_answered, "{answer:?}");
        answered += u32::from(is_answered);
    }
    assert_eq!(answered, 10, "of guesses at one account");
    assert_eq!(alice.refusal().await, None, "its owner goes on");

    // One password for many accounts, from two addresses of one network.
    let mut answered = 0;
    for account in 0..30 {
        let address = format!("2001:db8:1:2::{}", account % 2);
        let answer = log_in(&node.client(), &address, &format!("user{account}"), WRONG).await;
        let is_answered = answer.code() == "INVALID_CREDENTIALS";
        assert_eq!(passed(&answer, HOUR), is_answered, "{answer:?}");
        answered += u32::from(is_answered);
    }
    assert_eq!(answered, 5, "of accounts that one network tries");
}

#[tokio::test]
async fn cost_is_counted_by_caller() {
    let node = limited(|config| config.rate_limits.cost_by_caller = rate(200, HOUR_MS)).await;
    let alice = node.client().register("alice").await;
    let ask = async |client: &Client, address| run(client, address, "{ __typename }", Value::Null).await;
    let nobody = node.client();
    let mut answer = ask(&nobody, "203.0.113.1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for _ in 0..200 {
        answer = ask(&nobody, "203.0.113.1").await;
    }
    assert_eq!(answer.status, 429);
    assert!(!passed(&answer, HOUR));
    assert_eq!(ask(&nobody, "203.0.113.2").await.status, 200);
    assert_eq!(ask(&alice, "203.0.113.1").await.status, 200);
}

#[tokio::test]
async fn one_operation_signs_in_once() {
    let node = limited(|_| {}).await;
    let query = "mutation Two($input: LoginInput!) { \
        a: login(input: $input) { accessToken } b: login(input: $input) { accessToken } }";
    let input = json!({ "login": "alice", "password": PASSWORD });
    let answer = run(&node.client(), "203.0.113.1", query, json!({ "input": input })).await;
    assert!(answer.json().get("data").is_none(), "{answer:?}");
    assert_eq!(answer.code(), "TOO_COMPLEX", "{answer:?}");
}

#[tokio::test]
async fn a_busy_node_refuses_at_once() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(|config| config.http.max_concurrent_requests = 1).await;

    let lock = world.database.lock_messages().await;

    // One of the two takes the only slot and waits for the lock, so that the other must fail.
    let send = async |id: &str| run(&alice, "203.0.113.1", operation!("send_message"), draft(&bob, "hello", id)).await;
    let (one, two) = (send("1"), send("2"));
    tokio::pin!(one, two);
    let (refused, waiting) = tokio::select! {
        answer = &mut one => (answer, two),
        answer = &mut two => (answer, one),
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "UNAVAILABLE"), "{refused:?}");
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(refused.json()["errors"][0]["extensions"]["retryAfterSeconds"], 1);

    lock.rollback().await.expect("unlocked");
    let accepted = waiting.await;
    assert_eq!((accepted.status, accepted.json().get("errors")), (200, None));
}

#[tokio::test]
async fn an_account_is_one_by_whatever_name_and_from_wherever_it_is_tried() {
    let node = limited(|config| config.rate_limits.login_by_account = rate(3, 60_000)).await;
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    for account in [["alice", "ALICE", "alice@example.org", "alice"], ["nobody", "NOBODY", "Nobody", "nobody"]] {
        for (index, login) in account.into_iter().enumerate() {
            let told = log_in(&node.client(), &format!("203.0.113.{index}"), login, WRONG).await;
            assert_eq!(passed(&told, 60), index < 3, "{login}: {}", told.json());
        }
    }
    let right = log_in(&node.client(), "203.0.113.9", "alice", PASSWORD).await;
    assert!(!passed(&right, 60), "whoever guesses right too late learns nothing");
    assert!(log_in(&bob, "203.0.113.1", "bob", PASSWORD).await.json().get("errors").is_none());
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

    let told = run(&alice, "203.0.113.1", &query, Value::Object(inputs.collect())).await;

    assert_eq!(told.status, 200);
    let data = &told.json()["data"];
    let sent: Vec<_> = (0..5).map(|index| data[format!("m{index}")].is_object()).collect();
    assert_eq!(sent, [true, true, true, false, false]);
    let json = told.json();
    let errors = json["errors"].as_array().expect("errors");
    assert_eq!(errors.iter().map(|error| &error["path"][0]).collect::<Vec<_>>(), ["m3", "m4"]);
    assert!(!passed(&told, 60));
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
        assert!(passed(&log_in(&node.client(), "203.0.113.1", "nobody", WRONG).await, 60));
    }
    for node in [&one, &two] {
        assert!(!passed(&log_in(&node.client(), "203.0.113.1", "nobody", WRONG).await, 60));
    }
}

#[tokio::test]
async fn what_operations_cost_is_counted_by_caller_on_every_transport() {
    let node = limited(|config| config.rate_limits.cost_by_caller = rate(40, 60_000)).await;
    let users = "{ users(first: 10) { nodes { id } } }";
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    let mut told = run(&alice, "203.0.113.1", users, Value::Null).await;
    assert!(passed(&told, HOUR), "{}", told.json());
    for _ in 0..40 {
        told = run(&alice, "203.0.113.1", users, Value::Null).await;
    }
    assert!(!passed(&told, HOUR));
    assert_eq!((told.status, told.json().get("data")), (429, None));

    // The caller's budget also applies to a socket, which stays open.
    let mut socket = alice.socket().await;
    socket.subscribe("spent", users, Value::Null).await;
    let refused = socket.receive().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("spent")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    assert!(refused["payload"][0]["extensions"]["retryAfterSeconds"].is_u64());
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await["type"], "pong");

    assert!(passed(&run(&bob, "203.0.113.1", users, Value::Null).await, HOUR), "another user has a budget of its own");
}

/// Whether a request was accepted. If not, body and header name one wait of at most `longest` seconds.
fn passed(answer: &Raw, longest: u64) -> bool {
    let json = answer.json();
    let extensions = &json["errors"][0]["extensions"];
    if json.get("errors").is_none() || extensions["code"] == "INVALID_CREDENTIALS" {
        assert_eq!(answer.header("retry-after"), None, "{json}");
        return true;
    }
    assert_eq!(extensions["code"], "RATE_LIMITED", "{json}");
    let seconds = extensions["retryAfterSeconds"].as_u64().expect("a wait");
    assert!((1..=longest).contains(&seconds), "{json}");
    assert_eq!(answer.header("retry-after"), Some(seconds.to_string()));
    false
}

/// Starts a node with the test's limits, which trusts the test as a proxy.
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

async fn log_in(client: &Client, from: &str, login: &str, password: &str) -> Raw {
    let input = json!({ "login": login, "password": password });
    run(client, from, operation!("login"), json!({ "input": input })).await
}

/// Runs an operation as if it came through a proxy from this address.
async fn run(client: &Client, from: &str, query: &str, variables: Value) -> Raw {
    let authorization = client.token.as_ref().map(|token| format!("Bearer {token}"));
    let mut headers = vec![("x-forwarded-for", from)];
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    raw::post(client.address, &headers, &json!({ "query": query, "variables": variables })).await
}
