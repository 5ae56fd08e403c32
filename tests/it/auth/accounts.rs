//! Registration, sign-in, and the user that a token authenticates.

use qv_tests::client::{PASSWORD, registration};
use qv_tests::operation;
use qv_tests::world::{World, manual_clock};
use serde_json::{Value, json};

#[tokio::test]
async fn a_new_user_is_signed_in() {
    let node = World::new().await.node().await;
    let mut input = registration("Alice");
    input["deviceInfo"] = json!("a test");
    let answer = node.client().run(operation!("register"), json!({ "input": input })).await;
    insta::assert_json_snapshot!(answer.data(), {
        ".register.accessToken" => "[jwt]",
        ".register.refreshToken" => "[opaque]",
        ".**.id" => insta::dynamic_redaction(|value, _| value.as_str().unwrap_or("").split('_').next().unwrap_or("").to_owned()),
        ".**.accessTokenExpiresAt" => "[time]",
        ".**.refreshTokenExpiresAt" => "[time]",
        ".**.createdAt" => "[time]",
        ".**.lastLoginAt" => "[time]",
        ".**.lastUsedAt" => "[time]",
        ".**.expiresAt" => "[time]",
    }, @r#"
    {
      "register": {
        "accessToken": "[jwt]",
        "accessTokenExpiresAt": "[time]",
        "refreshToken": "[opaque]",
        "refreshTokenExpiresAt": "[time]",
        "viewer": {
          "email": "alice@example.org",
          "isEmailVerified": false,
          "lastLoginAt": "[time]",
          "role": "USER",
          "session": {
            "createdAt": "[time]",
            "deviceInfo": "a test",
            "expiresAt": "[time]",
            "id": "session",
            "ipAddress": "127.0.0.1",
            "isCurrent": true,
            "lastUsedAt": "[time]"
          },
          "user": {
            "createdAt": "[time]",
            "id": "user",
            "isActive": true,
            "isVerified": false,
            "publicKeys": null,
            "username": "alice"
          }
        }
      }
    }
    "#);
}

#[tokio::test]
async fn a_user_signs_in_by_name_or_by_address() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for login in ["alice", "ALICE", "alice@example.org", "Alice@Example.ORG"] {
        let input = json!({ "login": login, "password": PASSWORD });
        let answer = node.client().run(operation!("login"), json!({ "input": input })).await;
        let again = node.client().signed_in(&answer, "login");
        assert_eq!(again.id, alice.id);
        let viewer = again.run(operation!("viewer"), Value::Null).await;
        let expected = json!({
            "email": "alice@example.org",
            "role": "USER",
            "user": { "id": alice.id, "username": "alice" },
            "session": { "id": answer.data()["login"]["viewer"]["session"]["id"] },
        });
        assert_eq!(viewer.data()["viewer"], expected);
    }
}

#[tokio::test]
async fn a_wrong_sign_in_tells_nothing() {
    let node = World::new().await.node().await;
    node.client().register("alice").await;
    let mut answers = Vec::new();
    for (login, password) in [("alice", "wrong"), ("nobody", PASSWORD), ("@", ""), ("alice@example.org", "x\0y")] {
        let input = json!({ "login": login, "password": password });
        let mut answer = node.client().run(operation!("login"), json!({ "input": input })).await;
        assert_eq!(answer.error().0, "INVALID_CREDENTIALS");
        answer.0["errors"][0]["extensions"]["requestId"].take();
        answers.push(answer.0);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn what_cannot_be_registered_is_named() {
    let node = World::new().await.node().await;
    node.client().register("alice").await;
    for (field, value, code) in [
        ("username", "al", "BAD_USER_INPUT"),
        ("username", "ａlice", "BAD_USER_INPUT"),
        ("username", "a\0lice", "BAD_USER_INPUT"),
        ("username", "ALICE", "CONFLICT"),
        ("email", "nowhere", "BAD_USER_INPUT"),
        ("email", "Alice@Example.org", "CONFLICT"),
        ("password", "short", "BAD_USER_INPUT"),
        ("password", "bobbobbobbobbobbob", "BAD_USER_INPUT"),
        ("deviceInfo", &"x".repeat(201), "BAD_USER_INPUT"),
    ] {
        let mut input = registration("bob");
        input[field] = json!(value);
        let answer = node.client().run(operation!("register"), json!({ "input": input })).await;
        let (found, extensions) = answer.error();
        assert_eq!((found, &extensions["field"]), (code, &json!(format!("input.{field}"))), "{value}");
        assert_eq!(answer.0["data"], json!({ "register": null }));
    }
    // The rejected registrations have stored nothing.
    node.client().register("bob").await;
}

#[tokio::test]
async fn without_a_token_there_is_no_viewer_and_a_bad_one_is_an_error() {
    let node = World::new().await.node().await;
    let mut client = node.client();
    assert_eq!(client.run(operation!("viewer"), Value::Null).await.data(), &json!({ "viewer": null }));
    let alice = client.register("alice").await;
    let token = alice.token.clone().expect("a token");
    for bad in ["garbage", &token[..token.len() - 4], "eyJhbGciOiJub25lIn0.e30."] {
        client.token = Some(bad.to_owned());
        let answer = client.run(operation!("viewer"), Value::Null).await;
        let (code, extensions) = answer.error();
        assert_eq!((code, extensions["reason"].as_str()), ("UNAUTHENTICATED", Some("INVALID")), "{bad}");
    }
    let answer = node.client().run(operation!("users"), Value::Null).await;
    assert_eq!(answer.error().1["reason"], "MISSING");
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    assert!(alice.run(operation!("viewer"), Value::Null).await.data()["viewer"].is_object());
    world.source.clock.advance(chrono::TimeDelta::minutes(11));
    let answer = alice.run(operation!("viewer"), Value::Null).await;
    assert_eq!(answer.error().1["reason"], "EXPIRED");
}

#[tokio::test]
async fn what_happened_to_an_account_is_in_the_audit_trail() {
    use qv_entity::audit_logs::{Column, Entity};
    use sea_orm::{EntityTrait, QueryOrder};

    let world = World::new().await;
    let node = world.node().await;
    node.client().register("alice").await;
    let db = world.database.connect().await;
    let entries = Entity::find().order_by_asc(Column::Id).all(&db).await.expect("the trail can be read");
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["user.registered", "session.created"]);
    assert!(entries.iter().all(|entry| entry.user_id.is_some() && entry.ip_address.as_deref() == Some("127.0.0.1")));
}

#[tokio::test]
async fn no_secret_is_stored_as_it_was_sent() {
    use sea_orm::EntityTrait;

    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let db = world.database.connect().await;
    let user = qv_entity::users::Entity::find().one(&db).await.expect("readable").expect("a user");
    assert!(user.password_hash.starts_with("$argon2id$"), "{}", user.password_hash);
    let session = qv_entity::sessions::Entity::find().one(&db).await.expect("readable").expect("a session");
    let token = alice.token.expect("a token");
    assert_eq!(session.token_hash, quantumvault::crypto::token::digest(&token));
    assert_eq!(session.refresh_token_hash.len(), 32);
}
