//! Quotas: bytes that a user may store and send, counted exactly, and charged to the sender alone.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use futures_util::future::join_all;
use quantumvault::config::Config;
use qv_entity::{mailbox_events, mailboxes, messages};
use qv_tests::client::{Answer, Client, base64, draft};
use qv_tests::operation;
use qv_tests::raw::{get, post};
use qv_tests::world::{World, manual_clock};
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait, Statement};
use serde_json::{Value, json};

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn a_sender_stores_exactly_as_much_as_the_quota() {
    let world = World::new().await;
    let (node, alice, bob) = world.pair_with(stored(10)).await;
    sent(&alice.send(&bob, "12345", "a").await);
    let before = rows(&world).await;

    for (content, id) in [("123456", "b"), ("much more than there is", "c")] {
        assert_eq!(exceeded(&alice.send(&bob, content, id).await), None);
        assert_eq!(exceeded(&alice.send(&alice, content, id).await), None);
    }
    assert_eq!(rows(&world).await, before, "a message that exceeds the quota leaves no trace");
    assert_eq!(storage(&alice).await, (5, 10));

    // Its client id is free, and the rest of the quota as well.
    sent(&alice.send(&bob, "54321", "b").await);
    assert_eq!(exceeded(&alice.send(&bob, "1", "c").await), None);
    sent(&bob.send(&alice, "ten bytes!", "b").await);
    assert_eq!((storage(&alice).await, storage(&bob).await), ((10, 10), (10, 10)));
    assert_eq!(contents(&bob, &alice).await, ["ten bytes!", "54321", "12345"].map(base64));
    let metrics = get(node.server.address, "/metrics", &[]).await;
    let metrics = String::from_utf8(metrics.body).expect("text");
    for line in [r#"{quota="stored"} 5"#, r#"{quota="sent_today"} 0"#] {
        assert!(metrics.contains(&format!("quantumvault_quota_refusals_total{line}\n")), "{metrics}");
    }
    agree(&world).await;
}

#[tokio::test]
async fn senders_free_storage_once_and_recipients_free_none() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(stored(12)).await;
    let first = alice.send(&bob, "12345", "1").await.message_id();
    let second = alice.send(&bob, "123", "2").await.message_id();
    let note = alice.send(&alice, "1234", "3").await.message_id();
    assert_eq!(storage(&alice).await.0, 12);

    bob.delete(&[first.clone(), second.clone()]).await.data();
    assert_eq!((storage(&alice).await.0, storage(&bob).await.0), (12, 0));
    assert_eq!(exceeded(&alice.send(&bob, "1", "4").await), None);

    // The recipient has deleted it before, so the ciphertext goes as well.
    alice.delete(std::slice::from_ref(&first)).await.data();
    assert_eq!(storage(&alice).await.0, 7);
    for _ in 0..2 {
        alice.delete(&[first.clone(), note.clone(), first.clone()]).await.data();
        assert_eq!(storage(&alice).await.0, 3);
        agree(&world).await;
    }
    sent(&alice.send(&bob, "123456789", "4").await);
    assert_eq!(exceeded(&alice.send(&bob, "1", "5").await), None);

    // The sender deletes first, the recipient second.
    let last = bob.send(&alice, "123", "1").await.message_id();
    for client in [&bob, &alice, &bob, &alice] {
        client.delete(std::slice::from_ref(&last)).await.data();
    }
    assert_eq!((storage(&alice).await.0, storage(&bob).await.0), (12, 0));
    agree(&world).await;
}

#[tokio::test]
async fn a_repeat_returns_the_earlier_message_although_the_quota_is_used_up() {
    let world = World::new().await;
    let (one, two) = world.two_nodes_with(stored(10)).await;
    let [alice, bob] = one.client().register_all(["alice", "bob"]).await;
    let first = alice.send(&bob, "1234567890", "1").await;
    let again = alice.send(&bob, "1234567890", "1").await;
    assert_eq!(first.message_id(), again.message_id());
    assert_eq!(alice.send(&bob, "another", "1").await.error().0, "CONFLICT");

    // Repeats that run at once, of a message that uses up all that is left.
    let there = bob.at(two.server.address);
    for round in 0..10 {
        let id = round.to_string();
        let sends = (0..4).map(|n| if n % 2 == 0 { &bob } else { &there });
        let answers = join_all(sends.map(|bob| bob.send(&alice, "1234567890", &id))).await;
        let ids: Vec<_> = answers.iter().map(Answer::message_id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        agree(&world).await;
        bob.delete(&ids[..1]).await.data();
    }
}

#[tokio::test]
async fn a_day_has_a_quota_of_its_own_that_ends_at_midnight() {
    let world = World::with_clock(manual_clock()).await;
    let (node, alice, bob) = world.pair_with(|config| config.quotas.sent_bytes_per_day = 10).await;
    let first = alice.send(&bob, "12345", "1").await.message_id();
    sent(&alice.send(&alice, "12345", "2").await);
    alice.delete(&[first]).await.data();
    assert_eq!(storage(&alice).await.0, 5);

    let left = DAY - world.source.now().timestamp().rem_euclid(DAY);
    assert_eq!(exceeded(&alice.send(&bob, "1", "3").await), Some(left), "what was deleted was sent all the same");
    let authorization = format!("Bearer {}", alice.token.as_deref().expect("a token"));
    let body = json!({ "query": operation!("send_message"), "variables": draft(&bob, "1", "3") });
    let raw = post(node.server.address, &[("authorization", &authorization)], &body).await;
    assert_eq!((raw.status, raw.header("retry-after")), (200, Some(left.to_string())));
    sent(&bob.send(&alice, "1234567890", "1").await);

    let passed = TimeDelta::microseconds(world.source.now().timestamp_micros().rem_euclid(DAY * 1_000_000));
    world.source.clock.advance(TimeDelta::seconds(DAY) - passed - TimeDelta::microseconds(1));
    let alice = node.client().login("alice").await;
    assert_eq!(exceeded(&alice.send(&bob, "1", "3").await), Some(1));
    world.source.clock.advance(TimeDelta::microseconds(1));
    sent(&alice.send(&bob, "123456789", "3").await);
    assert_eq!(exceeded(&alice.send(&bob, "12", "4").await), Some(DAY));
    sent(&alice.send(&bob, "1", "4").await);
    agree(&world).await;
}

#[tokio::test]
async fn a_node_whose_clock_is_behind_does_not_begin_a_new_day() {
    let world = World::with_clock(manual_clock()).await;
    let (_node, alice, bob) = world.pair_with(|config| config.quotas.sent_bytes_per_day = 10).await;
    sent(&alice.send(&bob, "123456", "1").await);
    let db = world.database.connect().await;
    let next_day = "UPDATE mailboxes SET sent_day = sent_day + 1";

    db.execute_unprepared(next_day).await.expect("updated");
    assert!(exceeded(&alice.send(&bob, "12345", "2").await).is_some());
    sent(&alice.send(&bob, "1", "2").await);
    assert!(exceeded(&alice.send(&bob, "1234", "3").await).is_some());

    // A clock that is further ahead was wrong.
    db.execute_unprepared(next_day).await.expect("updated");
    sent(&alice.send(&bob, "1234567890", "3").await);
}

#[tokio::test]
async fn a_full_store_matters_more_than_a_full_day() {
    let (_node, alice, bob) = World::new()
        .await
        .pair_with(|config| {
            config.quotas.stored_bytes_per_user = 5;
            config.quotas.sent_bytes_per_day = 6;
        })
        .await;
    let first = alice.send(&bob, "12345", "1").await.message_id();
    assert_eq!(exceeded(&alice.send(&bob, "12", "2").await), None, "waiting does not help");
    alice.delete(&[first]).await.data();
    assert!(exceeded(&alice.send(&bob, "12", "2").await).is_some());
    sent(&alice.send(&bob, "1", "2").await);
}

#[tokio::test]
async fn sends_at_once_share_the_quota_to_the_last_byte() {
    let world = World::new().await;
    let (one, two) = world.two_nodes_with(stored(100)).await;
    let [alice, bob, carol] = one.client().register_all(["alice", "bob", "carol"]).await;
    let there = alice.at(two.server.address);
    for round in 0..10 {
        // Of two that fit alone, one is sent. In whatever order they arrive, one of 60 bytes and the one of 40 are sent.
        for (name, sizes, fitting) in [("two", &[60, 60][..], 60), ("mixed", &[60, 60, 60, 40], 100)] {
            let sends = sizes.iter().enumerate().map(async |(n, size)| {
                let from = if n % 2 == 0 { &alice } else { &there };
                let to = if n % 3 == 0 { &bob } else { &carol };
                from.send(to, &"x".repeat(*size), &format!("{round}-{name}-{n}")).await
            });
            let answers = join_all(sends).await;
            assert_eq!(storage(&alice).await.0, fitting, "{answers:?}");
            agree(&world).await;
            alice.delete(&sent_ids(&answers)).await.data();
            assert_eq!(storage(&alice).await.0, 0);
        }
    }
}

#[tokio::test]
async fn sends_of_one_round_share_the_quota_to_the_last_byte() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(stored(100)).await;
    for round in 0..5 {
        // While one send waits for the lock, the others gather in a round.
        let lock = world.database.lock_messages().await;
        let first = async { bob.send(&bob, "x", &round.to_string()).await };
        let sends = [60, 60, 200, 60, 40].into_iter().enumerate().map(async |(n, size)| {
            let to = if n % 2 == 0 { &alice } else { &bob };
            alice.send(to, &"x".repeat(size), &format!("{round}-{n}")).await
        });
        let release = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            lock.rollback().await.expect("unlocked");
        };
        let (first, answers, ()) = tokio::join!(first, join_all(sends), release);
        sent(&first);
        assert_eq!(storage(&alice).await.0, 100, "{answers:?}");
        agree(&world).await;
        alice.delete(&sent_ids(&answers)).await.data();
    }
}

#[tokio::test]
async fn many_sends_of_one_node_fill_the_quota_and_count_each_sender_alone() {
    let world = World::new().await;
    let (_node, alice, bob) = world.pair_with(stored(100)).await;
    let sends = (0..60).map(async |n: usize| {
        let (from, to) = [(&alice, &bob), (&bob, &alice), (&alice, &alice)][n % 3];
        // Every tenth comes twice.
        let n = if n % 10 == 9 { n - 3 } else { n };
        from.send(to, "12345678", &n.to_string()).await
    });
    let answers = join_all(sends).await;
    assert_eq!((storage(&alice).await.0, storage(&bob).await.0), (96, 96), "{answers:?}");
    let ids: BTreeSet<_> = sent_ids(&answers).iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), 24);
    agree(&world).await;
}

#[tokio::test]
async fn the_viewer_reads_storage_and_the_unread_count_in_one_statement() {
    let (node, alice, bob) = World::new().await.pair_with(stored(1 << 53)).await;
    alice.send(&bob, "12345", "1").await.data();
    for (client, unread, used) in [(&alice, 0, 5.0), (&bob, 1, 0.0)] {
        client.run(operation!("viewer"), Value::Null).await.data();
        let (answer, statements) = node.statements(client.run(operation!("storage"), Value::Null)).await;
        let storage = json!({ "usedBytes": used, "limitBytes": 9_007_199_254_740_992.0 });
        assert_eq!(answer.data()["viewer"], json!({ "unreadCount": unread, "storage": storage }));
        assert_eq!(statements, 1);
    }
    let world = World::new().await;
    let (_node, alice, _) = world.pair().await;
    assert_eq!(storage(&alice).await, (0, 1 << 30));
}

fn stored(bytes: i64) -> impl Fn(&mut Config) {
    move |config| config.quotas.stored_bytes_per_user = bytes
}

/// The bytes that a user stores, and how many it may.
#[expect(clippy::cast_possible_truncation, reason = "whole numbers")]
async fn storage(client: &Client) -> (i64, i64) {
    let answer = client.run(operation!("storage"), Value::Null).await;
    let storage = &answer.data()["viewer"]["storage"];
    let bytes = |field: &str| storage[field].as_f64().expect("a number") as i64;
    (bytes("usedBytes"), bytes("limitBytes"))
}

fn sent(answer: &Answer) {
    assert!(answer.message_id().is_string(), "{answer:?}");
}

/// The messages that were sent. All others must have exceeded the quota of stored bytes.
fn sent_ids(answers: &[Answer]) -> Vec<Value> {
    let (sent, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.0.get("errors").is_none());
    assert!(others.into_iter().all(|answer| exceeded(answer).is_none()));
    sent.into_iter().map(Answer::message_id).collect()
}

/// The seconds after which a refused message can be sent, if waiting helps.
fn exceeded(answer: &Answer) -> Option<i64> {
    let (code, extensions) = answer.error();
    assert_eq!(code, "QUOTA_EXCEEDED", "{answer:?}");
    assert_eq!(answer.0["data"]["sendMessage"], Value::Null);
    extensions.get("retryAfterSeconds").map(|seconds| seconds.as_i64().expect("a number"))
}

async fn contents(client: &Client, peer: &Client) -> Vec<Value> {
    let viewer = client.messages(peer).await;
    let messages = viewer["conversation"]["messages"]["nodes"].as_array().expect("messages");
    messages.iter().map(|message| message["encryptedContent"].clone()).collect()
}

/// Everything that a send changes.
async fn rows(world: &World) -> (u64, u64, Vec<mailboxes::Model>) {
    let db = world.database.connect().await;
    (
        messages::Entity::find().count(&db).await.expect("counted"),
        mailbox_events::Entity::find().count(&db).await.expect("counted"),
        mailboxes::Entity::find().all(&db).await.expect("readable"),
    )
}

/// Every mailbox's count is the sum over the messages that its owner holds.
async fn agree(world: &World) {
    let db = world.database.connect().await;
    let differences = "SELECT user_id FROM mailboxes WHERE stored_bytes <> (SELECT coalesce(sum(length(
        encrypted_content)), 0) FROM messages WHERE sender_id = user_id AND deleted_by_sender = false)";
    let statement = Statement::from_string(db.get_database_backend(), differences);
    assert!(db.query_all_raw(statement).await.expect("readable").is_empty());
}
