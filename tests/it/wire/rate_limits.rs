//! What is refused because it is too much, and how a client learns when to come back.

use quantumvault::config::Config;
use qv_tests::{
    client::{Client, PASSWORD, draft, registration},
    operation,
    raw::{self, Raw},
    world::{Node, World},
};
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

async fn limited(change: impl FnOnce(&mut Config)) -> Node {
    let world = World::new().await;
    let mut config = world.config("one");
    config.rate_limits.enabled = true;
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    change(&mut config);
    world.try_node(config).await.expect("a node starts")
}

async fn from(client: &Client, address: &str, query: &str, variables: Value) -> Raw {
    let authorization = client.token.as_ref().map(|token| format!("Bearer {token}"));
    let mut headers = vec![("x-forwarded-for", address)];
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    raw::post(client.address, &headers, &json!({ "query": query, "variables": variables })).await
}

async fn log_in(node: &Node, address: &str, login: &str) -> Raw {
    let input = json!({ "login": login, "password": format!("not {PASSWORD}") });
    from(&node.client(), address, operation!("login"), json!({ "input": input })).await
}

fn assert_limited(answer: &Raw) {
    assert_eq!(answer.code(), "RATE_LIMITED", "{answer:?}");
    let seconds = answer.json()["errors"][0]["extensions"]["retryAfterSeconds"].as_u64().expect("seconds");
    assert!(seconds > 0, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some(seconds.to_string()));
}

#[tokio::test]
async fn registrations_are_counted_by_address() {
    let node = limited(|config| {
        config.rate_limits.register_by_address.burst = 2;
        config.rate_limits.register_by_address.interval_ms = HOUR_MS;
    })
    .await;
    let register = async |address, name| {
        from(&node.client(), address, operation!("register"), json!({ "input": registration(name) })).await
    };
    assert!(register("203.0.113.1", "alice").await.json().get("errors").is_none());
    // One that fails counts as well.
    assert_eq!(register("203.0.113.1", "alice").await.code(), "CONFLICT");
    assert_limited(&register("203.0.113.1", "bob").await);
    assert!(register("203.0.113.2", "bob").await.json().get("errors").is_none());
}

#[tokio::test]
async fn sign_ins_are_counted_by_address() {
    let node = limited(|config| {
        config.rate_limits.login_by_address.burst = 2;
        config.rate_limits.login_by_address.interval_ms = HOUR_MS;
    })
    .await;
    assert_eq!(log_in(&node, "203.0.113.1", "alice").await.code(), "INVALID_CREDENTIALS");
    assert_eq!(log_in(&node, "203.0.113.1", "bob").await.code(), "INVALID_CREDENTIALS");
    assert_limited(&log_in(&node, "203.0.113.1", "carol").await);
    assert_eq!(log_in(&node, "203.0.113.2", "carol").await.code(), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn by_default_guessing_is_held_back_wherever_it_comes_from_and_spraying_where_it_does() {
    let node = limited(|_| {}).await;
    let alice = node.client().register("alice").await;
    let mut answered = 0;
    for address in 0..30 {
        let answer = log_in(&node, &format!("203.0.113.{address}"), "alice").await;
        if answer.code() == "INVALID_CREDENTIALS" {
            answered += 1;
        } else {
            assert_limited(&answer);
        }
    }
    assert_eq!(answered, 10, "of guesses at one account");
    assert_eq!(alice.refusal().await, None, "its owner goes on");

    // One password for many accounts, from two addresses of one network.
    let mut answered = 0;
    for account in 0..30 {
        let address = format!("2001:db8:1:2::{}", account % 2);
        let answer = log_in(&node, &address, &format!("user{account}")).await;
        if answer.code() == "INVALID_CREDENTIALS" {
            answered += 1;
        } else {
            assert_limited(&answer);
        }
    }
    assert_eq!(answered, 5, "of accounts that one network tries");
}

#[tokio::test]
async fn cost_is_counted_by_caller() {
    let node = limited(|config| {
        config.rate_limits.cost_by_caller.burst = 200;
        config.rate_limits.cost_by_caller.interval_ms = HOUR_MS;
    })
    .await;
    let alice = node.client().register("alice").await;
    let ask = async |client: &Client, address| from(client, address, "{ __typename }", Value::Null).await;
    let nobody = node.client();
    let mut answer = ask(&nobody, "203.0.113.1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for _ in 0..200 {
        answer = ask(&nobody, "203.0.113.1").await;
    }
    assert_eq!(answer.status, 429);
    assert_limited(&answer);
    assert_eq!(ask(&nobody, "203.0.113.2").await.status, 200);
    assert_eq!(ask(&alice, "203.0.113.1").await.status, 200);
}

#[tokio::test]
async fn one_operation_signs_in_once() {
    let node = limited(|_| {}).await;
    let query = "mutation Two($input: LoginInput!) { \
        a: login(input: $input) { accessToken } b: login(input: $input) { accessToken } }";
    let input = json!({ "login": "alice", "password": PASSWORD });
    let answer = from(&node.client(), "203.0.113.1", query, json!({ "input": input })).await;
    assert!(answer.json().get("data").is_none(), "{answer:?}");
    assert_eq!(answer.code(), "TOO_COMPLEX", "{answer:?}");
}

#[tokio::test]
async fn a_busy_node_refuses_at_once() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(|config| config.http.max_concurrent_requests = 1).await;

    let lock = world.database.lock_messages().await;

    // One of the two has the only place and waits for the lock, so that the other cannot but be refused.
    let send = async |id: &str| from(&alice, "203.0.113.1", operation!("send_message"), draft(&bob, "hello", id)).await;
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
