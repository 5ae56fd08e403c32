//! Access tokens that are forged, foreign or outdated, and must be rejected (RFC 8725).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use quantumvault::crypto::{AccessTokens, SigningKey};
use quantumvault::domain::{SessionId, UserId};
use qv_tests::world::{World, manual_clock};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn encode(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base 64")).expect("JSON")
}

#[tokio::test]
async fn a_token_with_anything_changed_is_invalid() {
    let node = World::new().await.node().await;
    let mut alice = node.client().register("alice").await;
    let token = alice.token.clone().expect("a token");
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let (good_header, good_claims) = (decode(header), decode(claims));
    let changed = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        encode(&changed)
    };
    let mut forged = vec![
        format!("{}.{claims}.", encode(&json!({ "alg": "none", "typ": "at+jwt" }))),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}."),
    ];
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("typ", json!("JWT")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", Value::Null),
        ("jku", json!("http://127.0.0.1:1/keys")),
        ("x5u", json!("http://127.0.0.1:1/keys")),
        ("crit", json!(["b64"])),
    ] {
        forged.push(format!("{}.{claims}.{signature}", changed(&good_header, name, value)));
    }
    for (name, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(9_999_999_999_i64)),
        ("nbf", json!("0")),
        ("iss", json!("another")),
        ("aud", Value::Null),
        ("sub", json!("00000000-0000-0000-0000-000000000000")),
    ] {
        forged.push(format!("{header}.{}.{signature}", changed(&good_claims, name, value)));
    }
    for token in forged {
        alice.token = Some(token.clone());
        assert_eq!(alice.refusal().await.as_deref(), Some("INVALID"), "{token}");
    }
}

#[tokio::test]
async fn a_foreign_a_future_and_an_outdated_token_are_refused() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let mut alice = node.client().register("alice").await;
    let token = alice.token.clone().expect("a token");
    let ids = ids(&token);
    let own = std::fs::read(world.config("one").data_dir.join("keys/signing.pk8")).expect("a key");
    let foreign = SigningKey::generate(&world.source.random).expect("a key").to_vec();
    let (now, short) = (world.source.now(), TimeDelta::minutes(10));
    for (key, issuer, at, expected) in [
        (&own, "quantumvault", now, None),
        (&own, "quantumvault", now + TimeDelta::seconds(9), None),
        (&own, "quantumvault", now + TimeDelta::minutes(1), Some("INVALID")),
        (&own, "quantumvault", now - TimeDelta::minutes(11), Some("EXPIRED")),
        (&own, "another", now, Some("INVALID")),
        (&foreign, "quantumvault", now, Some("INVALID")),
    ] {
        let tokens = AccessTokens::new(issuer, short, SigningKey::from_pkcs8(key).expect("a key"));
        let (token, _) = tokens.sign(ids, world.source.uuid(), at, short).expect("a token");
        alice.token = Some(token.expose_secret().to_owned());
        assert_eq!(alice.refusal().await.as_deref(), expected, "{issuer} {at}");
    }
}

#[tokio::test]
async fn a_token_that_was_made_for_longer_than_ours_are_is_refused() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let mut alice = node.client().register("alice").await;
    let lifetime = world.config("one").accounts.access_token_ttl_seconds.into();
    let token = alice.token.clone().expect("a token");
    let ids = ids(&token);
    let own = std::fs::read(world.config("one").data_dir.join("keys/signing.pk8")).expect("a key");
    for (seconds, expected) in
        [(lifetime, None), (lifetime + 10, None), (lifetime + 11, Some("EXPIRED")), (10 * 366 * 86400, Some("EXPIRED"))]
    {
        let tokens = AccessTokens::new("quantumvault", TimeDelta::zero(), SigningKey::from_pkcs8(&own).expect("a key"));
        let made = tokens.sign(ids, world.source.uuid(), world.source.now(), TimeDelta::seconds(seconds));
        alice.token = Some(made.expect("a token").0.expose_secret().to_owned());
        // The second request finds an accepted token in the cache.
        for _ in 0..2 {
            assert_eq!(alice.refusal().await.as_deref(), expected, "{seconds}");
        }
    }
}

/// Returns the user and the session of a token.
fn ids(token: &str) -> (UserId, SessionId) {
    let claims = decode(token.split('.').nth(1).expect("claims"));
    let id = |name: &str| claims[name].as_str().expect("text").parse::<uuid::Uuid>().expect("a UUID");
    (UserId(id("sub")), SessionId(id("sid")))
}
