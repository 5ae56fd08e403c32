//! Management of passkeys: who adds and removes them, their number, and the last way to sign in.

use qv_entity::{users, webauthn_credentials};
use qv_tests::authenticator::{Authenticator, begin, finish_login, finish_registration};
use qv_tests::client::{Answer, Client};
use qv_tests::operation;
use qv_tests::world::{World, manual_clock};
use sea_orm::prelude::Uuid;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, Set};
use serde_json::{Value, json};

use super::{assert_refused, passkeys, set, trail};

#[tokio::test]
async fn a_removed_passkey_signs_nobody_in() {
    let world = World::new().await;
    let (node, alice, bob) = world.pair().await;
    let mut key = Authenticator::of(&alice).await;
    let id = passkeys(&alice).await[0]["id"].clone();

    assert_eq!(bob.run(operation!("node"), json!({ "id": id })).await.data()["node"], Value::Null);
    assert_eq!(alice.run(operation!("node"), json!({ "id": id })).await.data()["node"]["id"], id);
    assert_eq!(remove(&bob, &id).await.error().0, "NOT_FOUND");
    assert_eq!(remove(&alice, &id).await.data()["removePasskey"]["removedPasskeyId"], id);

    assert_refused(&key.log_in(&node.client()).await);
    assert_eq!(remove(&alice, &id).await.error().0, "NOT_FOUND");
    assert_eq!(trail(&world).await.last().map(String::as_str), Some("passkey.removed"));
}

#[tokio::test]
async fn the_last_way_in_is_kept() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    set(&world, users::Column::PasswordHash, "none").await;
    let id = passkeys(&alice).await[0]["id"].clone();

    assert_eq!(remove(&alice, &id).await.error().0, "CONFLICT");
    key.log_in(&node.client()).await.data();
    Authenticator::of(&alice).await;
    remove(&alice, &id).await.data();
    assert_refused(&key.log_in(&node.client()).await);
}

#[tokio::test]
async fn only_who_has_just_signed_in_adds_and_removes() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    let id = passkeys(&alice).await[0]["id"].clone();
    world.source.clock.advance(chrono::TimeDelta::minutes(6));

    let begun = alice.run(operation!("begin_passkey_registration"), Value::Null).await;
    assert_eq!(begun.error().0, "FORBIDDEN");
    assert_eq!(remove(&alice, &id).await.error().0, "FORBIDDEN");
    let again = key.log_in(&node.client()).await;
    remove(&node.client().signed_in(&again, "finishPasskeyLogin"), &id).await.data();
}

#[tokio::test]
async fn a_deactivated_account_has_no_way_in() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    set(&world, users::Column::IsActive, false).await;
    assert_refused(&key.log_in(&node.client()).await);
}

#[tokio::test]
async fn a_passkey_works_while_passwords_are_limited() {
    let world = World::new().await;
    let mut config = world.config("one");
    config.rate_limits.enabled = true;
    config.rate_limits.login_by_account.burst = 1;
    config.rate_limits.login_by_address.burst = 3;
    let node = world.try_node(config).await.expect("a node starts");
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    let input = json!({ "input": { "login": "alice", "password": "not the password at all" } });
    while node.client().run(operation!("login"), input.clone()).await.error().0 != "RATE_LIMITED" {}

    key.log_in(&node.client()).await.data();

    begin(&node.client(), operation!("begin_passkey_login")).await;
    let answer = node.client().run(operation!("begin_passkey_login"), Value::Null).await;
    assert_eq!(answer.error().0, "RATE_LIMITED");
}

#[tokio::test]
async fn what_is_no_passkey_is_refused() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for credential in [json!("text"), json!({}), json!([1]), json!({ "id": "AA", "rawId": "AA" })] {
        let (ceremony, _) = begin(&alice, operation!("begin_passkey_registration")).await;
        let answer = finish_registration(&alice, &ceremony, credential.clone()).await;
        assert_eq!(answer.error().0, "BAD_USER_INPUT", "{credential}");
        let (ceremony, _) = begin(&node.client(), operation!("begin_passkey_login")).await;
        assert_refused(&finish_login(&node.client(), &ceremony, credential).await);
    }
    for name in ["", " ", &"n".repeat(65), "a\0b"] {
        let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
        let credential = Authenticator::new(&alice).create(&options);
        let input = json!({ "ceremonyId": ceremony, "credential": credential, "deviceName": name });
        let answer = alice.run(operation!("finish_passkey_registration"), json!({ "input": input })).await;
        assert_eq!(answer.error().1["field"], "input.deviceName", "{name:?}");
    }
}

#[tokio::test]
async fn an_account_has_twenty_passkeys_at_most() {
    let world = World::new().await;
    let alice = world.node().await.client().register("alice").await;
    Authenticator::of(&alice).await;
    let db = world.database.connect().await;
    let first = webauthn_credentials::Entity::find().one(&db).await.expect("readable").expect("a passkey");
    for place in 1..20_u8 {
        let mut copy = first.clone().into_active_model();
        (copy.id, copy.credential_id) = (Set(Uuid::from_u128(place.into())), Set(vec![place]));
        copy.insert(&db).await.expect("a copy");
    }
    let answer = alice.run(operation!("begin_passkey_registration"), Value::Null).await;
    assert_eq!(answer.error().0, "CONFLICT");
}

async fn remove(client: &Client, id: &Value) -> Answer {
    client.run(operation!("remove_passkey"), json!({ "input": { "id": id } })).await
}
