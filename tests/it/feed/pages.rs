//! The feed by pages, its rest after retention, and cursors to events that no longer exist.

use chrono::TimeDelta;
use quantumvault::{domain::UserId, service::ops::retention as purge};
use qv_entity::{mailbox_events, mailboxes, messages};
use qv_tests::client::Client;
use qv_tests::operation;
use qv_tests::world::{Node, World};
use sea_orm::prelude::{Expr, Uuid};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};

#[tokio::test]
async fn pages_and_the_subscription_tell_the_same_events() {
    let (_node, alice, bob) = World::new().await.pair().await;
    for n in 0..25 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
    }
    let (all, end) = bob.feed(None).await.backlog().await;

    let (mut events, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = page(&bob, after.as_deref(), Some(10)).await;
        events.extend(page["events"].as_array().expect("events").clone());
        after = page["endCursor"].as_str().map(str::to_owned);
        if page["hasMore"] == false {
            break;
        }
    }

    assert_eq!(events, all);
    assert_eq!(after.as_deref(), Some(&*end));
    // A page resumes after an event of the subscription, and the subscription after a page.
    let rest = page(&bob, all[19]["cursor"].as_str(), None).await;
    assert_eq!(rest["events"].as_array().expect("events"), &all[20..]);
    assert!(bob.feed(after.as_deref()).await.backlog().await.0.is_empty());
    // Without new events, the cursor stays.
    let nothing = page(&bob, Some(&end), None).await;
    assert_eq!(nothing, json!({ "events": [], "endCursor": end, "hasMore": false }));
}

#[tokio::test]
async fn a_mailbox_without_events_has_a_place_to_begin_at() {
    let (_node, alice, bob) = World::new().await.pair().await;
    let empty = page(&bob, None, None).await;
    assert_eq!((&empty["events"], &empty["hasMore"]), (&json!([]), &json!(false)));
    alice.send(&bob, "hello", "1").await.data();
    let next = page(&bob, empty["endCursor"].as_str(), None).await;
    assert_eq!(next["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_page_of_the_feed_that_cannot_be_is_refused() {
    let (_node, alice, bob) = World::new().await.pair().await;
    alice.send(&bob, "hello", "1").await.data();
    let foreign = page(&alice, None, None).await["endCursor"].as_str().expect("a cursor").to_owned();
    let own = page(&bob, None, None).await["endCursor"].as_str().expect("a cursor").to_owned();
    let inbox = bob.run(operation!("inbox"), Value::Null).await;
    let elsewhere = inbox.data()["viewer"]["conversations"]["pageInfo"]["endCursor"].as_str().expect("one").to_owned();
    let flipped =
        if own.ends_with('A') { own[..own.len() - 1].to_owned() + "Q" } else { own.replacen(&own[3..4], "-", 1) };
    for (after, first, field) in [
        (Some(&*foreign), None, "after"),
        (Some(&*elsewhere), None, "after"),
        (Some(&*flipped), None, "after"),
        (Some(""), None, "after"),
        (None, Some(0), "first"),
        (None, Some(101), "first"),
    ] {
        let answer = bob.feed_page(after, first).await;
        let (code, extensions) = answer.error();
        assert_eq!((code, extensions["field"].as_str()), ("BAD_USER_INPUT", Some(field)), "{after:?} {first:?}");
    }
    let answer = bob.run(operation!("inbox"), json!({ "after": own })).await;
    assert_eq!(answer.error().1["field"], "after");
}

#[tokio::test]
async fn retention_takes_the_oldest_events_and_the_feed_tells_of_the_gap() {
    let world = World::new().await;
    let (node, alice, bob) = world.pair().await;
    let db = world.database.connect().await;
    for n in 0..6 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
    }
    let (all, _) = bob.feed(None).await.backlog().await;
    // A wrong clock: the fifth event looks older than the fourth.
    age(&world, &db, &bob, &[1, 2, 3, 5]).await;

    assert_eq!(purged(&node).await, 3);

    for after in [None, all[0]["cursor"].as_str(), all[1]["cursor"].as_str()] {
        let (events, _) = bob.feed(after).await.backlog().await;
        assert_eq!(kinds(&events), ["GAP", "SENT", "SENT", "SENT"], "{after:?}");
        assert_eq!(events[0]["messageId"], Value::Null);
        assert_eq!(events[1..], all[3..]);
        let pages = page(&bob, after, Some(2)).await;
        assert_eq!(kinds(pages["events"].as_array().expect("events")), ["GAP", "SENT"]);
        let behind = page(&bob, pages["events"][0]["cursor"].as_str(), None).await;
        assert_eq!(behind["events"].as_array().expect("events"), &all[3..]);
    }
    // A reader who had come that far misses nothing, and the sender has lost nothing.
    assert_eq!(bob.feed(all[2]["cursor"].as_str()).await.backlog().await.0, all[3..]);
    assert_eq!(alice.feed(None).await.backlog().await.0.len(), 6);
    assert_eq!(messages::Entity::find().count(&db).await.expect("readable"), 6);
    assert_eq!(purged(&node).await, 0);
}

#[tokio::test]
async fn a_gap_with_nothing_behind_it_is_told_too() {
    let world = World::new().await;
    let (node, alice, bob) = world.pair().await;
    let db = world.database.connect().await;
    alice.send(&bob, "0", "0").await.data();
    alice.send(&bob, "1", "1").await.data();
    let (all, end) = bob.feed(None).await.backlog().await;
    let mut live = bob.feed(Some(&end)).await;
    live.backlog().await;
    age(&world, &db, &bob, &[1, 2]).await;
    assert_eq!(purged(&node).await, 2);
    for after in [None, all[0]["cursor"].as_str()] {
        assert_eq!(kinds(&bob.feed(after).await.backlog().await.0), ["GAP"]);
        assert_eq!(kinds(page(&bob, after, None).await["events"].as_array().expect("events")), ["GAP"]);
    }
    assert!(bob.feed(Some(&end)).await.backlog().await.0.is_empty());
    // Sequence numbers continue.
    alice.send(&bob, "2", "2").await.data();
    assert_eq!(live.event().await["kind"], "SENT");
    assert_eq!(kinds(&bob.feed(Some(&end)).await.backlog().await.0), ["SENT"]);
}

#[tokio::test]
async fn retention_takes_a_long_history_in_batches() {
    let world = World::new().await;
    let (node, db) = (world.node().await, world.database.connect().await);
    let bob = node.client().register("bob").await;
    let user_id = uuid(&bob);
    let old = world.source.now() - TimeDelta::days(200);
    let rows = (1..=500).map(|sequence| mailbox_events::ActiveModel {
        user_id: sea_orm::Set(user_id),
        sequence: sea_orm::Set(sequence),
        kind: sea_orm::Set("SENT".to_owned()),
        message_id: sea_orm::Set(user_id),
        created_at: sea_orm::Set(old),
    });
    mailbox_events::Entity::insert_many(rows).exec_without_returning(&db).await.expect("written");
    set_last(&db, &bob, 500).await;
    assert_eq!(purged(&node).await, 500);
    let mailbox = mailboxes::Entity::find_by_id(user_id).one(&db).await.expect("readable").expect("a mailbox");
    assert_eq!(mailbox.oldest_sequence, 501);
}

#[tokio::test]
async fn a_cursor_from_what_a_restore_has_undone_has_expired() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair().await;
    let db = world.database.connect().await;
    alice.send(&bob, "0", "0").await.data();
    alice.send(&bob, "1", "1").await.data();
    let (_, end) = bob.feed(None).await.backlog().await;
    set_last(&db, &bob, 1).await;
    mailbox_events::Entity::delete_many()
        .filter(mailbox_events::Column::UserId.eq(uuid(&bob)))
        .filter(mailbox_events::Column::Sequence.eq(2))
        .exec(&db)
        .await
        .expect("removed");
    expired(&bob, &end).await;
}

async fn expired(client: &Client, cursor: &str) {
    assert_eq!(client.feed_page(Some(cursor), None).await.error().0, "CURSOR_EXPIRED");
    let mut socket = client.feed(Some(cursor)).await;
    let message = socket.receive().await;
    assert!(message.to_string().contains(r#""code":"CURSOR_EXPIRED""#), "{message}");
}

async fn page(client: &Client, after: Option<&str>, first: Option<i32>) -> Value {
    client.feed_page(after, first).await.data()["viewer"]["messageFeed"].clone()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().expect("a kind")).collect()
}

async fn purged(node: &Node) -> u64 {
    let purged = purge::run(&node.server.backend).await.expect("purges");
    purged.expect("nobody else purges").mailbox_events
}

/// Makes events of a mailbox older than the retention period.
async fn age(world: &World, db: &DatabaseConnection, client: &Client, sequences: &[i64]) {
    let old = world.source.now() - TimeDelta::days(91);
    mailbox_events::Entity::update_many()
        .col_expr(mailbox_events::Column::CreatedAt, Expr::val(old))
        .filter(mailbox_events::Column::UserId.eq(uuid(client)))
        .filter(mailbox_events::Column::Sequence.is_in(sequences.iter().copied()))
        .exec(db)
        .await
        .expect("written");
}

async fn set_last(db: &DatabaseConnection, client: &Client, sequence: i64) {
    mailboxes::Entity::update_many()
        .col_expr(mailboxes::Column::LastSequence, Expr::val(sequence))
        .filter(mailboxes::Column::UserId.eq(uuid(client)))
        .exec(db)
        .await
        .expect("written");
}

fn uuid(client: &Client) -> Uuid {
    client.id.parse::<UserId>().expect("an id").0
}
