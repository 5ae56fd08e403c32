//! Passkeys: adding them, signing in with them, and all the ways in which both must fail.

mod management;

use qv_entity::{audit_logs, users, webauthn_credentials};
use qv_tests::authenticator::{Authenticator, begin, claim, finish_login, finish_registration};
use qv_tests::client::{Answer, Client, PASSWORD};
use qv_tests::operation;
use qv_tests::world::{World, manual_clock};
use sea_orm::prelude::Expr;
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};

#[tokio::test]
async fn a_passkey_signs_its_user_in() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;

    let answer = key.log_in(&node.client()).await;
    let again = node.client().signed_in(&answer, "finishPasskeyLogin");

    assert_eq!((&again.id, &again.username), (&alice.id, &alice.username));
    let session = &answer.data()["finishPasskeyLogin"]["viewer"]["session"];
    assert_eq!((&session["deviceInfo"], &session["isCurrent"]), (&json!("a test"), &json!(true)));
    let listed = passkeys(&again).await;
    assert_eq!((listed.len(), &listed[0]["deviceName"]), (1, &json!("a key")));
    assert!(listed[0]["lastUsedAt"].is_string(), "{listed:?}");
    assert_eq!(trail(&world).await, ["user.registered", "session.created", "passkey.added", "session.created"]);
    // The second sign-in has a higher counter.
    key.log_in(&node.client()).await.data();
}

#[tokio::test]
async fn the_options_ask_for_what_signs_in_by_itself() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let key = Authenticator::of(&alice).await;

    let (_, registration) = begin(&alice, operation!("begin_passkey_registration")).await;
    let (_, login) = begin(&node.client(), operation!("begin_passkey_login")).await;

    insta::assert_json_snapshot!(registration, {
        ".challenge" => "[bytes]",
        ".user.id" => "[handle]",
        ".excludeCredentials[0].id" => "[id]",
    }, @r#"
    {
      "attestation": "none",
      "authenticatorSelection": {
        "requireResidentKey": true,
        "residentKey": "required",
        "userVerification": "required"
      },
      "challenge": "[bytes]",
      "excludeCredentials": [
        {
          "id": "[id]",
          "type": "public-key"
        }
      ],
      "extensions": {
        "credProps": true,
        "credentialProtectionPolicy": "userVerificationRequired",
        "enforceCredentialProtectionPolicy": false,
        "uvm": true
      },
      "pubKeyCredParams": [
        {
          "alg": -7,
          "type": "public-key"
        },
        {
          "alg": -35,
          "type": "public-key"
        },
        {
          "alg": -257,
          "type": "public-key"
        }
      ],
      "rp": {
        "id": "localhost",
        "name": "QuantumVault"
      },
      "timeout": 300000,
      "user": {
        "displayName": "alice",
        "id": "[handle]",
        "name": "alice"
      }
    }
    "#);
    insta::assert_json_snapshot!(login, { ".challenge" => "[bytes]" }, @r#"
    {
      "allowCredentials": [],
      "challenge": "[bytes]",
      "extensions": {
        "uvm": true
      },
      "rpId": "localhost",
      "timeout": 300000,
      "userVerification": "required"
    }
    "#);
    assert_eq!(registration["excludeCredentials"][0]["id"], json!(key.credential_id));
    // The handle never changes: with a new one, an authenticator would keep several passkeys for one account.
    assert_eq!(registration["user"]["id"], json!(key.handle));
}

#[tokio::test]
async fn an_assertion_counts_once() {
    let node = World::new().await.node().await;
    let (alice, nobody) = (node.client().register("alice").await, node.client());
    let mut key = Authenticator::of(&alice).await;
    let (ceremony, options) = begin(&nobody, operation!("begin_passkey_login")).await;
    let assertion = key.assert(&options);
    finish_login(&nobody, &ceremony, assertion.clone()).await.data();

    assert_refused(&finish_login(&nobody, &ceremony, assertion.clone()).await);
    let (another, _) = begin(&nobody, operation!("begin_passkey_login")).await;
    assert_refused(&finish_login(&nobody, &another, assertion).await);
    // The failed attempt has used up that ceremony.
    let (_, options) = begin(&nobody, operation!("begin_passkey_login")).await;
    assert_refused(&finish_login(&nobody, &another, key.assert(&options)).await);
}

#[tokio::test]
async fn a_ceremony_is_finished_as_what_it_was_begun() {
    let node = World::new().await.node().await;
    let (alice, nobody) = (node.client().register("alice").await, node.client());
    let mut key = Authenticator::of(&alice).await;

    let (registration, creation) = begin(&alice, operation!("begin_passkey_registration")).await;
    let (login, request) = begin(&nobody, operation!("begin_passkey_login")).await;
    assert_refused(&finish_login(&alice, &registration, key.assert(&request)).await);
    let credential = Authenticator::new(&alice).create(&creation);
    assert_eq!(finish_registration(&alice, &login, credential).await.error().0, "NOT_FOUND");

    let unknown = "ceremony_01h455vb4pex5vsknk084sn02q";
    assert_refused(&finish_login(&nobody, unknown, key.assert(&request)).await);
    assert_eq!(finish_login(&nobody, "ceremony_1", json!({})).await.error().1["field"], "input.ceremonyId");
}

#[tokio::test]
async fn a_page_elsewhere_gets_nowhere() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    let port = node.server.address.port();
    for origin in [format!("http://localhost:{}", port - 1), format!("https://localhost:{port}")] {
        key.origin.clone_from(&origin);
        assert_refused(&key.log_in(&node.client()).await);
        let mut foreign = Authenticator::new(&alice);
        foreign.origin = origin;
        assert_eq!(foreign.add_to(&alice).await.error().1["field"], "input.credential");
    }
}

#[tokio::test]
async fn an_authenticator_that_has_not_verified_its_user_is_refused() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    key.verifies_user = false;
    assert_refused(&key.log_in(&node.client()).await);
    assert_eq!(key.add_to(&alice).await.error().1["field"], "input.credential");
}

#[tokio::test]
async fn a_passkey_speaks_for_its_own_user_only() {
    let (node, alice, bob) = World::new().await.pair().await;
    let mut of_alice = Authenticator::new(&alice);
    let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
    let credential = of_alice.create(&options);
    finish_registration(&alice, &ceremony, credential.clone()).await.data();
    let mut of_bob = Authenticator::of(&bob).await;

    // Bob's passkey with alice's handle, and a passkey that no account has added.
    of_bob.handle.clone_from(&of_alice.handle);
    assert_refused(&of_bob.log_in(&node.client()).await);
    let mut stray = Authenticator::new(&alice);
    stray.create(&options);
    assert_refused(&stray.log_in(&node.client()).await);

    // Alice's passkey, claimed by bob.
    let (ceremony, options) = begin(&bob, operation!("begin_passkey_registration")).await;
    let answer = finish_registration(&bob, &ceremony, claim(&credential, &options, &of_alice.origin)).await;
    assert_eq!(answer.error().0, "CONFLICT");
    let answer = of_alice.log_in(&node.client()).await;
    assert_eq!(node.client().signed_in(&answer, "finishPasskeyLogin").id, alice.id);
}

#[tokio::test]
async fn a_registration_is_finished_by_the_session_that_began_it() {
    let (node, alice, bob) = World::new().await.pair().await;
    let input = json!({ "login": "alice", "password": PASSWORD });
    let other_session = node.client().run(operation!("login"), json!({ "input": input })).await;
    let other_session = node.client().signed_in(&other_session, "login");
    for thief in [bob, other_session] {
        let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
        let credential = Authenticator::new(&alice).create(&options);
        assert_eq!(finish_registration(&thief, &ceremony, credential).await.error().0, "NOT_FOUND");
    }
    let answer = node.client().run(operation!("begin_passkey_registration"), Value::Null).await;
    assert_eq!(answer.error().0, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_counter_that_does_not_grow_is_refused_and_reported() {
    let world = World::new().await;
    let node = world.node().await;
    let (alice, nobody) = (node.client().register("alice").await, node.client());
    let mut key = Authenticator::of(&alice).await;
    let (first, first_options) = begin(&nobody, operation!("begin_passkey_login")).await;
    let (second, second_options) = begin(&nobody, operation!("begin_passkey_login")).await;
    let (behind, ahead) = (key.assert(&first_options), key.assert(&second_options));
    finish_login(&nobody, &second, ahead).await.data();

    assert_refused(&finish_login(&nobody, &first, behind).await);

    assert_eq!(trail(&world).await.last().map(String::as_str), Some("passkey.counter_regressed"));
    let db = world.database.connect().await;
    let stored = webauthn_credentials::Entity::find().one(&db).await.expect("readable").expect("a passkey");
    assert_eq!(stored.counter, 2);
}

#[tokio::test]
async fn a_ceremony_that_took_too_long_is_over() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let (alice, nobody) = (node.client().register("alice").await, node.client());
    let mut key = Authenticator::of(&alice).await;
    let (login, request) = begin(&nobody, operation!("begin_passkey_login")).await;
    let (registration, creation) = begin(&alice, operation!("begin_passkey_registration")).await;
    world.source.clock.advance(chrono::TimeDelta::minutes(5));

    assert_refused(&finish_login(&nobody, &login, key.assert(&request)).await);
    let credential = Authenticator::new(&alice).create(&creation);
    assert_eq!(finish_registration(&alice, &registration, credential).await.error().0, "NOT_FOUND");
}

#[tokio::test]
async fn what_nobody_finished_does_not_pile_up() {
    use qv_entity::passkey_ceremonies::Entity;
    use sea_orm::PaginatorTrait;

    let world = World::with_clock(manual_clock()).await;
    let client = world.node().await.client();
    for _ in 0..3 {
        begin(&client, operation!("begin_passkey_login")).await;
    }
    world.source.clock.advance(chrono::TimeDelta::minutes(5));
    begin(&client, operation!("begin_passkey_login")).await;
    let db = world.database.connect().await;
    assert_eq!(Entity::find().count(&db).await.expect("readable"), 1);
}

#[tokio::test]
async fn nodes_share_ceremonies_and_finish_each_once() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let mut key = Authenticator::of(&alice).await;
    // The page of the first node calls the second, so both have to know its origin.
    let mut config = world.config("three");
    config.webauthn.origins = vec![key.origin.clone()];
    let three = if world.is_clustered() { world.try_node(config).await.expect("a third node") } else { two };
    for _ in 0..10 {
        let (ceremony, options) = begin(&one.client(), operation!("begin_passkey_login")).await;
        let assertion = key.assert(&options);
        let (here, there) = (one.client(), three.client());
        let (first, second) = tokio::join!(
            finish_login(&here, &ceremony, assertion.clone()),
            finish_login(&there, &ceremony, assertion.clone()),
        );
        let (done, refused): (Vec<_>, Vec<_>) =
            [first, second].into_iter().partition(|answer| answer.0.get("errors").is_none());
        assert_eq!((done.len(), refused.len()), (1, 1));
        assert_refused(&refused[0]);
    }
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.error().0, "INVALID_CREDENTIALS");
    assert_eq!(answer.0["data"], json!({ "finishPasskeyLogin": null }));
}

async fn passkeys(client: &Client) -> Vec<Value> {
    let answer = client.run(operation!("passkeys"), Value::Null).await;
    answer.data()["viewer"]["passkeys"].as_array().expect("a list").clone()
}

/// Returns the actions in the audit log, oldest first.
async fn trail(world: &World) -> Vec<String> {
    let db = world.database.connect().await;
    let select = audit_logs::Entity::find().order_by_asc(audit_logs::Column::CreatedAt);
    select.all(&db).await.expect("the trail can be read").into_iter().map(|entry| entry.action).collect()
}

/// Changes every account directly in the database.
async fn set(world: &World, column: users::Column, value: impl Into<sea_orm::Value>) {
    let db = world.database.connect().await;
    let value = Expr::value(value);
    users::Entity::update_many().col_expr(column, value).exec(&db).await.expect("the accounts change");
}
