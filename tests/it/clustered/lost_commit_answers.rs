//! The effects of a commit happen although its acknowledgement is lost, and again when a client retries.

use std::{sync::Arc, time::Duration};

use qv_tests::client::{Client, registration};
use qv_tests::mail::MailServer;
use qv_tests::operation;
use qv_tests::patience::{until, until_in};
use qv_tests::proxy::Proxy;
use qv_tests::socket::Socket;
use qv_tests::world::{Node, World};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::auth::local_cache::{heats, refusal};

/// Time before any scheduled poll, and after the repetition of the effects that follow an error.
const SOON: Duration = Duration::from_secs(8);
const COMMIT: &[u8] = b"COMMIT";
const FORBIDDEN: u16 = 4403;

/// Two nodes, each with its own proxy to the database. Scheduled polls do not happen during a test.
struct Trial {
    world: Arc<World>,
    one: Node,
    two: Node,
    databases: [Proxy; 2],
    /// Proxy of the second node.
    redis: Proxy,
}

impl Trial {
    async fn begin() -> Self {
        let world = World::clustered().await;
        let (one_database, one_url) = Proxy::to_url(&world.database.url).await;
        let (two_database, two_url) = Proxy::to_url(&world.database.url).await;
        let (redis, redis_url) = Proxy::to_url(world.redis_url.as_deref().expect("a Redis")).await;
        let node = async |name: &str, url: String, redis_url: Option<String>| {
            let mut config = world.config(name);
            config.database.url = url.into();
            config.database.statement_timeout_seconds = 1;
            config.redis.url = redis_url.unwrap_or_else(|| config.redis.url.expose_secret().to_owned()).into();
            config.feed.poll_seconds = 3600;
            world.try_node(config).await.expect("a node starts")
        };
        let one = node("one", one_url, None).await;
        let two = node("two", two_url, Some(redis_url)).await;
        Self { one, two, databases: [one_database, two_database], redis, world }
    }

    /// Runs `work` while the first node loses the database's answers to `question`.
    async fn without_answer<T>(&self, question: &[u8], work: impl Future<Output = T>) -> T {
        self.databases[0].lose_answers_to(question);
        let done = work.await;
        self.databases[0].heal();
        done
    }

    /// Registers alice at the first node and bob at the second.
    async fn pair(&self) -> (Client, Client) {
        (self.one.client().register("alice").await, self.two.client().register("bob").await)
    }
}

#[tokio::test]
async fn other_devices_hear_of_what_was_committed_without_an_answer() {
    let trial = Trial::begin().await;
    let (alice, bob) = trial.pair().await;
    let reader = bob.at(trial.one.server.address);
    let mut feed = bob.feed(None).await;
    feed.backlog().await;

    assert!(trial.without_answer(b"the-first", alice.send(&bob, "hello", "the-first")).await.is_away());
    assert_eq!(kind(&mut feed).await, "SENT");
    let sent = alice.send(&bob, "hello", "the-first").await;
    assert!(trial.without_answer(COMMIT, reader.mark_read(&sent)).await.is_away());
    assert_eq!(kind(&mut feed).await, "READ");
    assert!(trial.without_answer(COMMIT, reader.delete(&[sent.message_id()])).await.is_away());
    assert_eq!(kind(&mut feed).await, "DELETED");
}

#[tokio::test]
async fn other_devices_hear_of_what_is_committed_after_the_error() {
    let trial = Trial::begin().await;
    let (alice, bob) = trial.pair().await;
    let sent = alice.send(&bob, "hello", "1").await;
    let mut feed = bob.feed(None).await;
    feed.backlog().await;

    trial.databases[0].hold_back(COMMIT);
    assert!(bob.at(trial.one.server.address).mark_read(&sent).await.is_away());
    trial.databases[0].heal();

    assert_eq!(kind(&mut feed).await, "READ");
}

#[tokio::test]
async fn other_devices_hear_of_what_a_client_repeats() {
    let trial = Trial::begin().await;
    let (alice, bob) = trial.pair().await;
    let reader = bob.at(trial.one.server.address);
    let mut feed = bob.feed(None).await;
    feed.backlog().await;

    trial.redis.lose_hints();
    let sent = alice.send(&bob, "hello", "1").await;
    sent.data();
    trial.redis.heal();
    alice.send(&bob, "hello", "1").await.data();
    assert_eq!(kind(&mut feed).await, "SENT");

    trial.redis.lose_hints();
    reader.mark_read(&sent).await.data();
    trial.redis.heal();
    reader.mark_read(&sent).await.data();
    assert_eq!(kind(&mut feed).await, "READ");

    trial.redis.lose_hints();
    reader.delete(&[sent.message_id()]).await.data();
    trial.redis.heal();
    reader.delete(&[sent.message_id()]).await.data();
    assert_eq!(kind(&mut feed).await, "DELETED");
}

#[tokio::test]
async fn a_session_whose_end_was_committed_without_an_answer_ends_everywhere() {
    let trial = Trial::begin().await;
    let alice = trial.one.client().register("alice").await;
    for is_logout in [false, true] {
        let device = trial.one.client().login("alice").await;
        let (elsewhere, session) = (device.at(trial.two.server.address), device.session().await);
        let mut socket = elsewhere.socket().await;
        heats(&elsewhere).await;
        let ending = async {
            if is_logout { device.run(operation!("logout"), Value::Null).await } else { revoke(&alice, &session).await }
        };

        assert!(trial.without_answer(COMMIT, ending).await.is_away());

        assert_eq!(refusal(&elsewhere).await.as_deref(), Some("REVOKED"));
        assert_eq!(timeout(SOON, socket.closed()).await.expect("the socket closes"), FORBIDDEN);
    }
}

#[tokio::test]
async fn a_revocation_that_finds_nothing_ends_what_is_remembered_of_the_session() {
    let trial = Trial::begin().await;
    let alice = trial.one.client().register("alice").await;
    let device = trial.one.client().login("alice").await;
    let (elsewhere, session) = (device.at(trial.two.server.address), device.session().await);
    let mut socket = elsewhere.socket().await;
    heats(&elsewhere).await;
    // A node that crashes right after the commit leaves this state.
    let sql = "DELETE FROM sessions WHERE created_at = (SELECT max(created_at) FROM sessions)";
    let database = trial.world.database.connect().await;
    database.execute_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("it is deleted");

    assert_eq!(revoke(&alice, &session).await.error().0, "NOT_FOUND");

    assert_eq!(refusal(&elsewhere).await.as_deref(), Some("REVOKED"));
    assert_eq!(timeout(SOON, socket.closed()).await.expect("the socket closes"), FORBIDDEN);
}

#[tokio::test]
async fn a_logout_of_a_session_that_has_just_ended_succeeds() {
    let trial = Trial::begin().await;
    let device = trial.one.client().register("alice").await;
    let session = device.session().await;
    heats(&device).await;
    let database = trial.world.database.connect().await;
    let sql = Statement::from_string(DbBackend::Postgres, "DELETE FROM sessions");
    database.execute_raw(sql).await.expect("it is deleted");

    let answer = device.run(operation!("logout"), Value::Null).await;

    assert_eq!(answer.data()["logout"]["revokedSessionId"], session);
    assert_eq!(refusal(&device).await.as_deref(), Some("REVOKED"));
}

#[tokio::test]
async fn a_socket_closes_although_the_database_was_away_when_its_session_ended() {
    let trial = Trial::begin().await;
    let alice = trial.one.client().register("alice").await;
    let device = trial.one.client().login("alice").await;
    let mut socket = device.at(trial.two.server.address).socket().await;
    let (path, session) = (&trial.databases[1], device.session().await);
    path.refuse();
    let before = path.connections();

    revoke(&alice, &session).await.data();
    until("a look at the database that is away", async || path.connections() > before + 1).await;
    path.heal();

    assert_eq!(timeout(SOON, socket.closed()).await.expect("the socket closes"), FORBIDDEN);
}

#[tokio::test]
async fn a_letter_goes_out_for_what_was_committed_without_an_answer() {
    let world = World::clustered().await;
    let mut mails = MailServer::start().await;
    let (database, url) = Proxy::to_url(&world.database.url).await;
    let mut config = world.mail_config("one", mails.port);
    config.database.url = url.into();
    let node = world.try_node(config).await.expect("a node starts");

    database.lose_answers_to(COMMIT);
    let answer = node.client().run(operation!("register"), json!({ "input": registration("alice") })).await;
    assert!(answer.is_away());
    database.heal();

    let letter = timeout(SOON, mails.letter()).await.expect("a letter");
    assert_eq!(letter["to"], json!(["alice@example.org"]));
    let is_signed_in = until_in(SOON, async || node.client().login("alice").await.refusal().await.is_none()).await;
    assert!(is_signed_in);
}

/// Returns the kind of a feed's next event.
async fn kind(feed: &mut Socket) -> Value {
    timeout(SOON, feed.event()).await.expect("the feed hears of it")["kind"].take()
}

async fn revoke(client: &Client, session: &str) -> qv_tests::client::Answer {
    client.run(operation!("revoke_session"), json!({ "input": { "id": session } })).await
}
