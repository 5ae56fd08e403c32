//! Publishing keys: validation, storage, the audit log, and visibility on every node.

use qv_entity::{audit_logs, users};
use qv_tests::client::{Answer, Client, base64, bytes};
use qv_tests::keyring::{Keyring, Published};
use qv_tests::operation;
use qv_tests::world::{World, manual_clock};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

const PASSPHRASE: &str = "seven lanterns over a quiet harbour";

async fn update(client: &Client, keys: &Published, others: Value) -> Answer {
    let mut input = json!({ "ecc": base64(&keys.ecc), "pqc": base64(&keys.pqc) });
    input.as_object_mut().expect("an object").extend(others.as_object().expect("an object").clone());
    client.run(operation!("update_public_keys"), json!({ "input": input })).await
}

async fn vault(client: &Client) -> Value {
    client.run(operation!("key_vault"), Value::Null).await.data()["viewer"]["keyVault"].clone()
}

async fn published(client: &Client, id: &str) -> Value {
    client.run(operation!("public_keys"), json!({ "id": id })).await.data()["user"]["publicKeys"].clone()
}

/// Returns the actions about keys in the audit log, in order.
async fn trail(world: &World) -> Vec<String> {
    let entries = audit_logs::Entity::find()
        .filter(audit_logs::Column::Action.starts_with("key"))
        .order_by_asc(audit_logs::Column::Id);
    let entries = entries.all(&world.database.connect().await).await.expect("readable");
    assert!(entries.iter().all(|entry| entry.user_id.is_some() && entry.ip_address.is_some()));
    entries.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn keys_are_published_both_at_once_and_every_node_shows_them() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let (alice, bob) = (one.client().register("alice").await, two.client().register("bob").await);
    // From here on, the other node caches a user without keys.
    assert_eq!(published(&bob, &alice.id).await, Value::Null);
    let keyring = Keyring::generate();
    let answer = keyring.publish(&alice, PASSPHRASE).await;
    let keys = &answer.data()["updatePublicKeys"]["user"]["publicKeys"];
    assert_eq!(Published::from_json(keys), keyring.public());
    assert_eq!(published(&bob, &alice.id).await, *keys);
    assert_eq!(trail(&world).await, ["keys.updated", "key_vault.updated"]);

    let stored = bytes(&vault(&alice.at(two.server.address)).await);
    assert_eq!(Keyring::from_vault(&stored, PASSPHRASE).expect("it opens").secrets(), keyring.secrets());
    assert!(Keyring::from_vault(&stored, "another passphrase").is_none());
    assert_eq!(vault(&bob).await, Value::Null);
}

#[tokio::test]
async fn the_same_keys_again_change_nothing() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let keys = Keyring::generate().public();
    let first = update(&alice, &keys, json!({ "keyVault": base64("wrapped") })).await;
    world.source.clock.advance(chrono::TimeDelta::seconds(1));
    for others in [json!({}), json!({ "keyVault": base64("wrapped") })] {
        assert_eq!(update(&alice, &keys, others).await.data(), first.data());
    }
    assert_eq!(trail(&world).await, ["keys.updated", "key_vault.updated"]);
    // A new vault for unchanged keys does not count as a change of the public keys.
    let answer = update(&alice, &keys, json!({ "keyVault": base64("wrapped anew") })).await;
    assert_eq!(answer.data(), first.data());
    assert_eq!(trail(&world).await, ["keys.updated", "key_vault.updated", "key_vault.updated"]);
}

#[tokio::test]
async fn a_vault_that_is_left_out_stays_and_null_removes_it() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    for (others, expected) in [
        (json!({}), Value::Null),
        (json!({ "keyVault": base64("first") }), json!(base64("first"))),
        (json!({}), json!(base64("first"))),
        (json!({ "keyVault": base64(vec![1; 16 * 1024]) }), json!(base64(vec![1; 16 * 1024]))),
        (json!({ "keyVault": null }), Value::Null),
    ] {
        update(&alice, &Keyring::generate().public(), others).await.data();
        assert_eq!(vault(&alice).await, expected);
    }
}

#[tokio::test]
async fn what_is_no_key_is_named_and_nothing_is_kept() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let good = Keyring::generate().public();
    let overflowing = [&[0xff; 3], &good.pqc[3..]].concat();
    let small_order = [&[1][..], &[0; 31]].concat();
    let not_canonical = [&[0xed][..], &[0xff; 30], &[0x7f]].concat();
    let with_high_bit = [&good.ecc[..31], &[good.ecc[31] | 0x80]].concat();
    for (field, value) in [
        ("ecc", base64(&good.ecc[..31])),
        ("ecc", base64([&good.ecc[..], &[0]].concat())),
        ("ecc", base64([0; 32])),
        ("ecc", base64(small_order)),
        ("ecc", base64(not_canonical)),
        ("ecc", base64(with_high_bit)),
        ("ecc", base64(&good.pqc)),
        ("ecc", "_-8=".to_owned()),
        ("pqc", String::new()),
        ("pqc", base64(&good.pqc[..1183])),
        ("pqc", base64([&good.pqc[..], &[0]].concat())),
        ("pqc", base64(overflowing)),
        ("keyVault", String::new()),
        ("keyVault", base64(vec![1; 16 * 1024 + 1])),
    ] {
        let answer = update(&alice, &good, json!({ field: value })).await;
        let (code, extensions) = answer.error();
        assert_eq!((code, &extensions["field"]), ("BAD_USER_INPUT", &json!(format!("input.{field}"))), "{value}");
    }
    let answer = update(&alice, &good, json!({ "ecc": null })).await;
    assert_eq!(answer.error().0, "BAD_USER_INPUT");
    let stored = users::Entity::find().one(&world.database.connect().await).await.expect("readable").expect("a user");
    assert_eq!((stored.public_key_ecc, stored.public_key_pqc, stored.key_vault), (None, None, None));
    assert_eq!((stored.keys_changed_at, stored.change_sequence), (None, 0));
    assert!(trail(&world).await.is_empty());
    assert_eq!(update(&node.client(), &good, json!({})).await.error().1["reason"], "MISSING");
}

#[tokio::test]
async fn two_devices_that_publish_at_once_leave_one_pair_and_times_that_grow() {
    let world = World::with_clock(manual_clock()).await;
    let (one, two) = world.two_nodes().await;
    let device = one.client().register("alice").await;
    let other = two.client().login("alice").await;
    let keyrings: Vec<_> = (0..8).map(|_| Keyring::generate().public()).collect();
    let updates = keyrings.iter().zip([&device, &other].into_iter().cycle());
    let updates = updates.map(|(keys, client)| update(client, keys, json!({})));
    let answers = futures_util::future::join_all(updates).await;
    for answer in answers {
        answer.data();
    }

    // The clock stands still, but no two pairs have equal times.
    let last = published(&device, &device.id).await;
    assert!(keyrings.contains(&Published::from_json(&last)));
    let time = |keys: &Value| -> chrono::DateTime<chrono::Utc> {
        keys["changedAt"].as_str().expect("a time").parse().expect("a time")
    };
    assert_eq!((time(&last) - world.source.now()).num_microseconds(), Some(7));
    assert_eq!(trail(&world).await.len(), 8);
}

#[tokio::test]
async fn keys_are_published_only_so_often() {
    let (_node, alice, bob) = World::new()
        .await
        .pair_with(|config| {
            config.rate_limits.enabled = true;
            config.rate_limits.keys_by_user.burst = 2;
        })
        .await;
    let keys = Keyring::generate().public();
    for _ in 0..2 {
        update(&alice, &keys, json!({})).await.data();
    }
    let answer = update(&alice, &Keyring::generate().public(), json!({})).await;
    let (code, extensions) = answer.error();
    assert_eq!(code, "RATE_LIMITED");
    assert!(extensions["retryAfterSeconds"].as_u64().is_some_and(|seconds| seconds > 0), "{answer:?}");
    assert_eq!(Published::of(&bob, &alice.id).await, keys);
    update(&bob, &Keyring::generate().public(), json!({})).await.data();
}
