//! Attacks by one client on a node with 1 GiB of memory and default limits. Another user is served all the same.

use std::net::SocketAddr;

use qv_tests::attacks::{self, pages, status};
use qv_tests::client::{Client, base64};
use qv_tests::node_process::NodeProcess;
use qv_tests::patience::until;
use qv_tests::raw;
use qv_tests::socket::Socket;
use qv_tests::world::World;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Memory of the node: `RLIMIT_DATA`, beyond which an allocation aborts it.
const MEMORY_KIB: u64 = 1 << 20;
/// Memory that an attack may leave in use, in bytes. Budgets and the process itself take about half.
const RESIDENT_MAX_BYTES: u64 = 600 << 20;
/// Address of another client on this machine.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// Node with little memory, an attacker, and a user at another address.
struct Siege {
    node: NodeProcess,
    mallory: Client,
    bob: Client,
}

impl Siege {
    async fn begin(world: &World) -> Self {
        let node = NodeProcess::start_limited(world, "one", MEMORY_KIB).await;
        let mallory = node.client().register("mallory").await;
        let bob = node.client().from_address(ELSEWHERE.into()).register("bob").await;
        Self { node, mallory, bob }
    }

    /// Checks that the node lives, holds little, and serves the other user.
    async fn check(&self) {
        let answer = self.bob.run("{ viewer { user { username } } serviceConfig { maxPageSize } }", Value::Null).await;
        assert_eq!(answer.data()["viewer"]["user"]["username"], "bob");
        self.bob.send(&self.bob, "a note", "1").await.data();
        let resident = resident_bytes(self.node.id());
        assert!(resident < RESIDENT_MAX_BYTES, "{} MiB are in use", resident >> 20);
    }

    fn address(&self) -> SocketAddr {
        self.node.address
    }
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}

#[tokio::test]
async fn answers_are_limited_by_bytes() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    attacks::fill(&siege.mallory).await;
    let page = siege.mallory.run(
        "query($with: ID!) { viewer { conversation(with: $with) { messages(first: 100) {
           nodes { encryptedContent } pageInfo { hasNextPage endCursor } } } } }",
        json!({ "with": siege.mallory.id }),
    );
    let page = page.await.data()["viewer"]["conversation"]["messages"].clone();
    assert_eq!(page["nodes"].as_array().expect("a page").len(), 16, "a page ends at 1 MiB of ciphertext");
    assert_eq!(page["pageInfo"]["hasNextPage"], true);

    for query in [pages(&siege.mallory, 8, 22, 100), pages(&siege.mallory, 8, 1, 16)] {
        let answer = siege.mallory.run(&query, Value::Null).await;
        assert_eq!(answer.error().0, "TOO_COMPLEX", "{}", answer.0["errors"]);
        assert!(answer.0.get("data").is_none());
    }
    assert!(siege.mallory.run(&pages(&siege.mallory, 4, 1, 16), Value::Null).await.data().is_object());
    siege.check().await;
}

#[tokio::test]
async fn a_mutation_with_a_large_answer_does_not_run() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let query = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { conversation {
        messages(first: 100) { nodes { encryptedContent } } } } }";
    let input = json!({
        "recipientId": siege.mallory.id, "encryptedContent": base64("x"), "iv": base64("twelve bytes"),
        "clientMessageId": "1",
    });
    let answer = siege.mallory.run(query, json!({ "input": input })).await;
    assert_eq!(answer.error().0, "TOO_COMPLEX");
    let inbox = siege.mallory.run("{ viewer { conversations { nodes { id } } } }", Value::Null).await;
    assert_eq!(inbox.data()["viewer"]["conversations"]["nodes"], json!([]), "nothing was sent");
}

#[tokio::test]
async fn a_socket_without_a_session_holds_little() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let (statuses, open) = attacks::unfinished_messages(siege.address(), 300).await;
    let count = |wanted| statuses.iter().filter(|status| **status == Some(wanted)).count();
    assert_eq!((count(101), count(429)), (100, 200), "an address has 100 sockets without a session");
    siege.check().await;
    drop(open);
    let mut socket = Socket::open(siege.address(), None).await;
    socket.fragments(&[&"x".repeat(3_000), &"x".repeat(3_000)]).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn bodies_that_never_end_are_reserved_before_they_come() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let mut open = attacks::endless_bodies(siege.address(), 400).await;
    siege.check().await;
    let mut refused = 0;
    for stream in &mut open {
        refused += usize::from(status(stream).await == Some(429));
    }
    assert!(refused > 200, "only {refused} of 400 were refused");
    until("memory that is free again", async || {
        siege.mallory.run("{ __typename }", Value::Null).await.0.get("data").is_some()
    })
    .await;
    siege.check().await;
}

#[tokio::test]
async fn long_heads_are_reserved() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let mut open = attacks::endless_heads(siege.address(), 600).await;
    siege.check().await;
    let mut refused = 0;
    for stream in &mut open {
        refused += usize::from(matches!(status(stream).await, Some(429)));
    }
    assert!(refused > 100, "only {refused} of 600 were refused");
}

#[tokio::test]
async fn connections_are_limited_by_address_and_health_is_always_answered() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let open = attacks::silent_connections(siege.address(), 1_100).await;
    let headers = [("content-type", "application/json"), ("connection", "close")];
    let ask = async || raw::request(siege.address(), "POST /graphql", &headers, r#"{"query":"{ __typename }"}"#).await;
    // The kernel may hold some of them back for a moment.
    until("an address with too many connections", async || ask().await.status == 429).await;
    let answer = raw::request(siege.address(), "GET /health/live", &[], "").await;
    assert_eq!(answer.status, 200);
    let answer = ask().await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "RATE_LIMITED"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    siege.check().await;
    drop(open);
    until("connections that are free again", async || ask().await.status == 200).await;
}

#[tokio::test]
async fn answers_that_are_never_read_count_for_their_user() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    attacks::fill(&siege.mallory).await;
    let query = pages(&siege.mallory, 5, 1, 16);
    let open = attacks::unread_answers(&siege.mallory, &query, 90).await;
    until("a user who holds too much", async || {
        let answer = siege.mallory.run(&query, Value::Null).await;
        answer.0.get("data").is_none() && answer.error().0 == "RATE_LIMITED"
    })
    .await;
    assert!(siege.mallory.run("{ __typename }", Value::Null).await.data().is_object(), "small answers are free");
    siege.check().await;
    drop(open);
    until("a user who holds nothing", async || siege.mallory.run(&query, Value::Null).await.0.get("data").is_some())
        .await;
}

#[tokio::test]
async fn feeds_that_are_never_read_wait() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    attacks::fill(&siege.mallory).await;
    let sockets = attacks::unread_feeds(&siege.mallory, 10, 40).await;
    siege.check().await;
    // Another device of the same user reads the whole feed once the others are gone.
    drop(sockets);
    let mut feed = siege.mallory.socket().await;
    feed.subscribe("1", "subscription { messageFeed { kind } }", Value::Null).await;
    while feed.event().await["kind"] != "CAUGHT_UP" {}
    siege.check().await;
}

#[tokio::test]
async fn requests_whose_answers_are_never_read_stop() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let request = attacks::post(&siege.mallory, "{ __typename }");
    let mut stream = TcpStream::connect(siege.address()).await.expect("the node accepts");
    // Requests until the node takes no more: it stops to read when its answers wait.
    let requests = request.repeat(100);
    let mut sent = 0;
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_secs(2), stream.write(requests.as_bytes())).await
    {
        sent += written.expect("the connection is open");
        assert!(sent < 512 << 20, "the node reads on without end");
    }
    siege.check().await;
}

#[tokio::test]
async fn introspection_costs_what_it_returns() {
    let world = World::new().await;
    let siege = Siege::begin(&world).await;
    let nested = "types { fields { type { fields { type { name } } } } }";
    let attack: Vec<_> = (0..29).map(|n| format!("a{n}: __schema {{ {nested} }}")).collect();
    let attack = attack.join(" ");
    let answer = siege.mallory.run(&format!("{{ {attack} }}"), Value::Null).await;
    assert_eq!(answer.error().0, "TOO_COMPLEX");

    let standard = "query IntrospectionQuery { __schema { description queryType { name } types {
        kind name description fields(includeDeprecated: true) { name args { name type { ...T } } type { ...T } }
        inputFields { name type { ...T } } interfaces { ...T } enumValues { name } possibleTypes { ...T } }
        directives { name args { name type { ...T } } } } }
        fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";
    let first = siege.mallory.run(standard, Value::Null).await;
    let again = siege.mallory.run(standard, Value::Null).await;
    assert!(first.data()["__schema"]["types"].as_array().expect("types").len() > 50);
    assert_eq!(first.0, again.0, "the second answer comes from memory");
    siege.check().await;
}
