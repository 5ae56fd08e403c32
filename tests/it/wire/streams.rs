//! The life of streams: their ends, the failures that they survive, and the effects of one reader on others.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use quantumvault::config::Config;
use qv_tests::client::{Client, base64};
use qv_tests::events::Events;
use qv_tests::operation;
use qv_tests::socket::Socket;
use qv_tests::world::{World, manual_clock};
use serde_json::{Value, json};
use tokio::{task::yield_now, time::timeout};

const FORBIDDEN: u16 = 4403;
/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn nothing_is_told_after_the_token_has_expired() {
    let world = World::with_clock(manual_clock()).await;
    let (_node, alice, bob) = world.pair().await;
    let mut feed = bob.feed(None).await;
    feed.backlog().await;
    let mut events = Events::open(&bob, operation!("message_feed"), None).await;
    assert_eq!(events.feed_event().await["kind"], "CAUGHT_UP");
    world.source.clock.advance(TimeDelta::seconds(600));
    alice.refreshed().await.send(&bob, "late", "1").await.data();
    let closing = feed.closing().await;
    assert_eq!((closing.code, closing.messages), (FORBIDDEN, vec![]));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_socket_closes_when_its_token_expires_unless_it_was_renewed() {
    let world = World::with_clock(manual_clock()).await;
    let (_node, alice, bob) = world.pair().await;
    world.source.clock.advance(TimeDelta::seconds(598));
    let (mut stale, mut renewed) = (bob.feed(None).await, bob.feed(None).await);
    stale.backlog().await;
    renewed.backlog().await;
    let next = bob.refreshed().await.token.expect("a token");
    renewed.renew(&next).await;
    let pong = renewed.receive().await;
    assert_eq!(pong["type"], "pong");
    assert!(pong["payload"]["accessTokenExpiresAt"].is_string() && !pong.to_string().contains(&next), "{pong}");

    let began = Instant::now();
    assert_eq!(stale.closed().await, FORBIDDEN);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    world.source.clock.advance(TimeDelta::seconds(5));
    alice.refreshed().await.send(&bob, "still here", "1").await.data();
    assert_eq!(renewed.event().await["message"]["encryptedContent"], base64("still here"));
}

#[tokio::test]
async fn a_socket_is_renewed_by_its_own_session_only() {
    let node = World::new().await.node().await;
    let [alice, eve] = node.client().register_all(["alice", "eve"]).await;
    let device = node.client().login("alice").await;
    for token in [eve.token.as_deref(), device.token.as_deref(), Some("garbage")] {
        let mut feed = alice.feed(None).await;
        feed.backlog().await;
        feed.renew(token.expect("a token")).await;
        assert_eq!(feed.closed().await, FORBIDDEN);
    }
    let mut nobody = node.client().socket().await;
    nobody.renew(eve.token.as_deref().expect("a token")).await;
    assert_eq!(nobody.closed().await, FORBIDDEN);
}

#[tokio::test]
async fn a_logout_ends_every_stream_of_its_session_on_both_nodes_within_a_second() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let elsewhere = alice.at(two.server.address);
    let (mut here, mut there) = (alice.feed(None).await, elsewhere.feed(None).await);
    let mut device = two.client().login("alice").await.feed(None).await;
    let mut events = Events::open(&elsewhere, operation!("message_feed"), None).await;
    assert_eq!(events.feed_event().await["kind"], "CAUGHT_UP");
    for feed in [&mut here, &mut there, &mut device] {
        feed.backlog().await;
    }
    let bob = one.client().register("bob").await;
    let began = Instant::now();
    alice.run(operation!("logout"), Value::Null).await.data();
    assert_eq!((here.closed().await, there.closed().await), (FORBIDDEN, FORBIDDEN));
    assert!(events.next().await.is_none());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    bob.send(&alice, "to the other device", "1").await.data();
    assert_eq!(device.event().await["kind"], "SENT");
}

#[tokio::test]
async fn a_reader_that_stops_is_let_go_holds_up_nobody_and_misses_nothing() {
    let (node, alice, bob) = World::new()
        .await
        .pair_with(|config| {
            config.sockets.slow_reader_seconds = 1;
            config.sockets.max_per_user = 1;
        })
        .await;
    let carol = node.client().register("carol").await;
    let contents: Vec<_> = (0..20).map(|n| format!("{n:02}").repeat(20_000)).collect();
    for (n, content) in contents.iter().enumerate() {
        alice.send(&bob, content, &n.to_string()).await.data();
    }
    let mut other = carol.feed(None).await;
    other.backlog().await;
    // More feeds than the pool has connections, and more bytes than the network's buffers hold.
    let mut stuck = bob.socket().await;
    for id in 0..30 {
        stuck.subscribe(&id.to_string(), operation!("message_feed"), Value::Null).await;
    }
    // The stuck socket occupies the user's only slot while it lives.
    let began = Instant::now();
    let mut fresh = loop {
        assert!(began.elapsed() < Duration::from_secs(20), "the reader is not let go");
        let round = began.elapsed().as_nanos().to_string();
        alice.send(&carol, &round, &round).await.data();
        assert_eq!(other.event().await["message"]["encryptedContent"], base64(&round));
        bob.run(operation!("viewer"), Value::Null).await.data();
        match Socket::try_open(bob.address, bob.token.as_deref()).await {
            Ok(socket) => break socket,
            Err(refused) => assert_eq!(refused.reason, "TOO_MANY_CONNECTIONS"),
        }
    };
    assert!(began.elapsed() >= Duration::from_secs(1));
    let closing = stuck.closing().await;
    assert_eq!((closing.code, closing.reason.as_str()), (1013, "Reading too slowly"));

    let expected: Vec<_> = contents.iter().map(|content| json!(base64(content))).collect();
    let mut feeds: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for message in &closing.messages {
        let events = feeds.entry(message["id"].as_str().expect("an id")).or_default();
        events.push(&message["payload"]["data"]["messageFeed"]);
    }
    assert!(feeds.values().any(|events| events.len() < contents.len()), "the reader was never stuck");
    for events in feeds.values().take(5) {
        let cursor = &events.last().expect("an event")["cursor"];
        fresh.subscribe("feed", operation!("message_feed"), json!({ "after": cursor })).await;
        let (rest, _) = fresh.backlog().await;
        fresh.send(json!({ "type": "complete", "id": "feed" })).await;
        let seen = events.iter().copied().chain(&rest).filter(|event| event["kind"] == "SENT");
        let seen: Vec<_> = seen.map(|event| event["message"]["encryptedContent"].clone()).collect();
        assert!(seen == expected, "{} events came before and {} behind the cursor", events.len(), rest.len());
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_none_of_its_users_other_devices() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let mut devices = [bob.feed(None).await, bob.feed(None).await, bob.feed(None).await];
    // Feeds at the positions of the devices' feeds, and more bytes than the network's buffers hold.
    let mut stuck = bob.socket().await;
    for id in 0..30 {
        stuck.subscribe(&id.to_string(), operation!("message_feed"), Value::Null).await;
    }
    for device in &mut devices {
        device.backlog().await;
    }
    for n in 0..20 {
        let content = format!("{n:02}").repeat(20_000);
        alice.send(&bob, &content, &n.to_string()).await.data();
        for device in &mut devices {
            assert_eq!(device.event().await["message"]["encryptedContent"], base64(&content));
        }
    }
    // The node has not closed the stuck socket yet.
    stuck.answers_pings().await;
}

#[tokio::test]
async fn a_reader_that_stops_while_its_sessions_change_keeps_no_connection_from_others() {
    let change = |config: &mut Config| {
        config.database.pool_size = 2;
        // The sign-ins below must not end the session of the stuck socket.
        config.accounts.max_sessions = 30;
    };
    let (node, alice, bob) = World::new().await.pair_with(change).await;
    for n in 0..20 {
        alice.send(&bob, &format!("{n:02}").repeat(20_000), &n.to_string()).await.data();
    }
    // More streams that poll the database than it has connections, and more bytes than the network's buffers hold.
    let mut stuck = bob.socket().await;
    for id in 0..25 {
        stuck.subscribe(&format!("sessions {id}"), operation!("session_changed"), Value::Null).await;
        stuck.subscribe(&format!("feed {id}"), operation!("message_feed"), Value::Null).await;
    }
    for _ in 0..20 {
        node.client().login("bob").await;
    }
    // The node has not closed the stuck socket yet.
    stuck.answers_pings().await;
}

#[tokio::test]
async fn streams_of_one_socket_all_arrive_and_do_not_starve_a_query() {
    let (_node, alice, bob) = World::new().await.pair().await;
    fill(&alice, &bob, 0..64).await;
    let mut socket = bob.socket().await;
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        socket.subscribe(id, operation!("message_feed"), Value::Null).await;
    }
    socket.subscribe("query", operation!("service_config"), Value::Null).await;
    let (mut counts, mut behind) = (BTreeMap::<String, usize>::new(), ids.len());
    while behind > 0 {
        let message = socket.receive().await;
        behind -= usize::from(message["payload"]["data"]["messageFeed"]["kind"] == "CAUGHT_UP");
        *counts.entry(message["id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    // The progress of each feed depends on the database, but the query must not wait for the last feed.
    assert!(ids.iter().all(|id| counts.get(*id) == Some(&65)), "{counts:?}");
    assert_eq!(counts.get("query"), Some(&2), "{counts:?}");
}

#[tokio::test]
async fn a_node_that_stops_sends_its_clients_elsewhere_and_waits_for_nobody() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let (mut feed, mut events) = (alice.feed(None).await, Events::open(&alice, operation!("message_feed"), None).await);
    feed.backlog().await;
    assert_eq!(events.feed_event().await["kind"], "CAUGHT_UP");
    // Neither socket has sent `connection_init`, and one of them does not read either.
    let mut early = Socket::connect(alice.address).await;
    let _silent = Socket::connect(alice.address).await;
    let server = Arc::into_inner(node.server).expect("the only one");
    let began = Instant::now();
    let stop = server.stop();
    let ((), code, early, end) = tokio::join!(stop, feed.closed(), early.closed(), events.next());
    assert_eq!((code, early), (1012, 1012));
    assert!(end.is_none());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn events_of_a_query_are_its_answer_and_the_end() {
    let node = World::new().await.node().await;
    let mut events = Events::open(&node.client(), operation!("service_config"), None).await;
    let answer = events.next().await.expect("an answer");
    assert_eq!(answer.name, "next");
    assert!(answer.data["data"].is_object(), "{:?}", answer.data);
    assert_eq!(events.next().await.expect("an end").name, "complete");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn events_resume_behind_the_last_one_without_loss_or_repetition() {
    let (_node, alice, bob) = World::new().await.pair().await;
    fill(&alice, &bob, 0..40).await;
    let mut seen = Vec::new();
    let mut last = None;
    let mut events = Events::open(&bob, operation!("message_feed"), None).await;
    for _ in 0..3 {
        for _ in 0..10 {
            let event = events.feed_event().await;
            last = event["cursor"].as_str().map(str::to_owned);
            seen.push(event["message"]["encryptedContent"].clone());
        }
        events = Events::open(&bob, operation!("message_feed"), last.as_deref()).await;
    }
    loop {
        let event = events.feed_event().await;
        if event["kind"] == "CAUGHT_UP" {
            break;
        }
        seen.push(event["message"]["encryptedContent"].clone());
    }
    fill(&alice, &bob, 40..41).await;
    seen.push(events.feed_event().await["message"]["encryptedContent"].clone());
    assert_eq!(seen, (0..41).map(|n| json!(base64(n.to_string()))).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_id_of_an_event_is_its_cursor_under_whatever_name_or_none() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for number in ["1", "2"] {
        alice.send(&alice, number, number).await.data();
    }
    let query = "subscription { feed: messageFeed { at: cursor what: kind } }";
    let mut events = Events::open(&alice, query, None).await;
    let first = events.next().await.expect("an event");
    assert_eq!(first.id.as_deref(), first.data["data"]["feed"]["at"].as_str());

    let blind = "subscription { messageFeed { kind } }";
    let mut rest = Events::open(&alice, blind, first.id.as_deref()).await;
    let (second, end) = (rest.next().await.expect("an event"), rest.next().await.expect("an event"));
    assert_eq!(second.data, json!({ "data": { "messageFeed": { "kind": "SENT" } } }));
    assert_eq!(end.data, json!({ "data": { "messageFeed": { "kind": "CAUGHT_UP" } } }));
    assert!(second.id.is_some() && second.id != first.id && end.id == second.id, "{second:?} {end:?}");
    let mut nothing = Events::open(&alice, blind, second.id.as_deref()).await;
    assert_eq!(nothing.next().await.expect("an event").data, end.data);
}

#[tokio::test]
async fn a_silent_event_stream_carries_comments() {
    let node = World::new().await.node_with(|config| config.sockets.comment_seconds = 1).await;
    let alice = node.client().register("alice").await;
    let mut events = Events::open(&alice, operation!("message_feed"), None).await;
    assert_eq!(events.feed_event().await["kind"], "CAUGHT_UP");
    assert_eq!([events.block().await, events.block().await], [Some(":\n\n".to_owned()), Some(":\n\n".to_owned())]);
    alice.send(&alice, "after a silence", "1").await.data();
    assert_eq!(events.feed_event().await["kind"], "SENT");
}

#[tokio::test]
async fn event_streams_have_their_users_places_and_give_everything_back_when_they_are_dropped() {
    let (node, alice, bob) = World::new().await.pair_with(|config| config.sockets.max_per_user = 1).await;
    let before = node.server.backend.listener_count();
    for _ in 0..30 {
        let events = timeout(PATIENCE, admitted(&alice)).await.expect("the place is given back");
        assert!(node.server.backend.listener_count() > before);
        let Err(refused) = Events::try_open(&alice, operation!("message_feed")).await else { panic!("one too many") };
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().expect("text")));
        let Err(closed) = Socket::try_open(alice.address, alice.token.as_deref()).await else { panic!("one too many") };
        assert_eq!(closed.reason, "TOO_MANY_CONNECTIONS");
        drop(events);
        let all_gone = async {
            while node.server.backend.listener_count() > before {
                yield_now().await;
            }
        };
        timeout(PATIENCE, all_gone).await.expect("nobody listens any more");
    }
    Events::open(&bob, operation!("message_feed"), None).await;
}

#[tokio::test]
async fn an_event_stream_that_cannot_begin_says_so_in_its_only_event() {
    let node = World::new().await.node().await;
    let mut forged = node.client();
    forged.token = Some("garbage".to_owned());
    for (client, query, code) in [
        (&node.client(), "subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        (&forged, operation!("message_feed"), "UNAUTHENTICATED"),
        (&node.client(), operation!("message_feed"), "UNAUTHENTICATED"),
    ] {
        let mut events = Events::open(client, query, None).await;
        let event = events.next().await.expect("an event");
        assert_eq!(event.name, "next");
        assert_eq!(event.data["errors"][0]["extensions"]["code"], code, "{:?}", event.data);
        assert_eq!(events.next().await.expect("an end").name, "complete");
        assert!(events.next().await.is_none());
    }
}

/// Opens a feed as soon as there is a slot for it.
async fn admitted(client: &Client) -> Events {
    loop {
        match Events::try_open(client, operation!("message_feed")).await {
            Ok(events) => return events,
            Err(refused) => assert_eq!(refused.status(), 429),
        }
    }
}

/// Sends one message for each number, which is its content and id.
async fn fill(sender: &Client, recipient: &Client, numbers: Range<u32>) {
    for number in numbers {
        let number = number.to_string();
        sender.send(recipient, &number, &number).await.data();
    }
}
