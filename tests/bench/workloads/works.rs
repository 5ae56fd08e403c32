//! The works: their requests to the server and to the floor, and the users who send them.

use std::sync::Arc;

use qv_tests::client::Client;
use serde_json::{Value, json};

use super::load::{NUMBER, Request};
use super::seed::{Pair, conversation_id, global_id, user_id, username};
use super::world::World;

const OWN_RECORD: &str = "{ viewer { email user { id username createdAt } } }";
const CONVERSATION: &str = "query C($with: ID!) { viewer { conversation(with: $with) { messages(first: 50) {
    nodes { id encryptedContent iv createdAt
      sender { id username publicKeys { ecc } } recipient { id username publicKeys { ecc } } }
    pageInfo { hasNextPage } } } } }";
const INBOX: &str = "{ viewer { conversations(first: 20) {
    nodes { id unreadCount peer { id username } lastMessage { id encryptedContent iv createdAt } }
    pageInfo { hasNextPage } } } }";
const SEND: &str = "mutation S($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id createdAt sender { username } } } }";
const NEWEST_OF_EACH: &str = "{ viewer { conversations(first: 50) {
    nodes { peer { id username } messages(first: 3) { nodes { id encryptedContent createdAt } } } } } }";

/// Part of the response for a page that has a next page.
const HAS_MORE: &str = "\"hasNextPage\":true";
/// Users of the works that repeat each user's request.
const WARM: usize = 500;
/// Conversations whose pages are read and in which messages are sent.
const PAIRS: usize = 256;

/// Order and number of the requests of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All requests in turn, for some time.
    Loop,
    /// Each request once, to a server that has just started.
    Once,
}

/// Requests to the server, and equivalent requests to the floor.
pub struct Work {
    pub title: &'static str,
    pub mode: Mode,
    pub ours: Arc<Vec<Request>>,
    pub floor: Arc<Vec<Request>>,
}

/// Names of the works, in the order of the table.
pub const NAMES: [&str; 7] = ["W1c", "W1t", "W1", "W2", "W3", "W4", "W6c"];

impl Work {
    /// Creates the requests of a work and signs in the users who send them.
    pub async fn new(world: &mut World, name: &str) -> Self {
        let seed = Arc::clone(&world.seed);
        let everybody = || 1..=seed.size.users;
        let pairs: Vec<_> = seed.pairs.iter().take(PAIRS).copied().collect();
        match name {
            "W1c" => own_record(world, "W1c the first request of each of all users", Mode::Once, everybody()).await,
            "W1t" => own_record(world, "W1 one's own record, all users in turn", Mode::Loop, everybody()).await,
            "W1" => own_record(world, "W1 one's own record", Mode::Loop, everybody().take(WARM)).await,
            "W2" => conversation(world, &pairs).await,
            "W3" => {
                let users: Vec<_> = seed.users_with(21).into_iter().take(WARM).collect();
                let title = "W3 the inbox";
                listing(world, title, INBOX, "w3", HAS_MORE, &users).await
            }
            "W4" => send(world, &pairs).await,
            "W6c" => {
                let users: Vec<_> = seed.users_with(50).into_iter().take(WARM).collect();
                let title = "W6c 50 conversations, 3 messages each";
                listing(world, title, NEWEST_OF_EACH, "w6", "user0", &users).await
            }
            _ => panic!("{name} is none of {NAMES:?}"),
        }
    }

    /// Keeps the first `count` requests to the server.
    pub fn truncate(&mut self, count: usize) {
        Arc::get_mut(&mut self.ours).expect("no request runs yet").truncate(count);
    }
}

async fn own_record(world: &mut World, title: &'static str, mode: Mode, users: impl Iterator<Item = u32>) -> Work {
    let users: Vec<_> = users.collect();
    let clients = world.sign_in(users.iter().copied()).await;
    let ours = clients.iter().map(|client| query(client, OWN_RECORD, &Value::Null, &client.username));
    let floor = users.iter().map(|&n| floor(&format!("/w1/{}", user_id(n)), "", &username(n)));
    Work { title, mode, ours: Arc::new(ours.collect()), floor: Arc::new(floor.collect()) }
}

async fn conversation(world: &mut World, pairs: &[Pair]) -> Work {
    let clients = world.sign_in(pairs.iter().map(|pair| pair.one)).await;
    let ours = clients
        .iter()
        .zip(pairs)
        .map(|(client, pair)| query(client, CONVERSATION, &json!({ "with": global_id(pair.other) }), HAS_MORE));
    let floor = pairs.iter().map(|pair| {
        let (one, other) = (user_id(pair.one), user_id(pair.other));
        floor(&format!("/w2/{}/{one}/{other}", conversation_id(pair.conversation)), "", HAS_MORE)
    });
    let (ours, floor) = (Arc::new(ours.collect()), Arc::new(floor.collect()));
    Work { title: "W2 50 messages of a conversation", mode: Mode::Loop, ours, floor }
}

async fn listing(
    world: &mut World,
    title: &'static str,
    text: &str,
    path: &str,
    expected: &str,
    users: &[u32],
) -> Work {
    assert!(!users.is_empty(), "nobody has a page of conversations");
    let clients = world.sign_in(users.iter().copied()).await;
    let ours = clients.iter().map(|client| query(client, text, &Value::Null, expected));
    let floor = users.iter().map(|&n| floor(&format!("/{path}/{}", user_id(n)), "", expected));
    Work { title, mode: Mode::Loop, ours: Arc::new(ours.collect()), floor: Arc::new(floor.collect()) }
}

async fn send(world: &mut World, pairs: &[Pair]) -> Work {
    let clients = world.sign_in(pairs.iter().map(|pair| pair.one)).await;
    let ours = clients.iter().zip(pairs).map(|(client, pair)| message(client, &global_id(pair.other)));
    let floor = pairs.iter().map(|pair| {
        let (one, other, conversation) = (user_id(pair.one), user_id(pair.other), conversation_id(pair.conversation));
        floor(&format!("/w4/{one}/{other}/{conversation}"), &format!("{NUMBER}{}", "A".repeat(300)), "createdAt")
    });
    let (ours, floor) = (Arc::new(ours.collect()), Arc::new(floor.collect()));
    Work { title: "W4 a durable send", mode: Mode::Loop, ours, floor }
}

/// Creates a request that sends a message with a unique client message id.
pub fn message(from: &Client, recipient_id: &str) -> Request {
    let input = json!({ "recipientId": recipient_id, "encryptedContent": "A".repeat(400), "iv": "AAAAAAAAAAAAAAAA",
        "clientMessageId": NUMBER });
    query(from, SEND, &json!({ "input": input }), "createdAt")
}

/// Creates a request that runs an operation as a user.
pub fn query(user: &Client, text: &str, variables: &Value, expected: &str) -> Request {
    let body = json!({ "query": text, "variables": variables }).to_string();
    Request::post("/graphql", user.token.as_deref(), &body, expected)
}

fn floor(path: &str, body: &str, expected: &str) -> Request {
    Request::post(path, None, body, expected)
}
