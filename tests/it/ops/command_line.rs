//! Commands of operators, and their effects on the server that runs next to them.

use std::time::Duration;

use chrono::TimeDelta;
use quantumvault::{config::Config, domain::Timestamp};
use qv_entity::{audit_logs, one_time_tokens, performance_metrics, sessions, signing_keys};
use qv_tests::client::Client;
use qv_tests::command_line::{create, run, said};
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::world::World;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, Set};
use serde_json::{Value, json};

/// Deadline far above any expected wait.
const PATIENCE: Duration = Duration::from_secs(20);

async fn actions(world: &World, action: &str) -> Vec<audit_logs::Model> {
    let entries = audit_logs::Entity::find().filter(audit_logs::Column::Action.eq(action));
    entries.all(&world.database.connect().await).await.expect("readable")
}

#[tokio::test]
async fn an_account_is_made_promoted_and_deactivated() {
    let world = World::new().await;
    let id = create(&world, "Alice", "alice@example.org");
    let node = world.node_with(|config| config.cache.session_ttl_seconds = 0).await;
    let alice = node.client().login("alice").await;
    assert_eq!(alice.id, id);
    // No mail goes to an address whose owner has not asked to confirm it.
    assert_eq!(one_time_tokens::Entity::find().count(&world.database.connect().await).await.expect("readable"), 0);
    let role = async || alice.run(operation!("viewer"), Value::Null).await.data()["viewer"]["role"].clone();
    assert_eq!(role().await, "USER");
    said(&world, &["user", "promote", "alice"]);
    assert_eq!(role().await, "ADMIN");
    said(&world, &["user", "deactivate", "ALICE"]);
    assert_eq!(alice.refusal().await.as_deref(), Some("REVOKED"));
    for action in ["user.registered", "user.promoted", "user.deactivated"] {
        let entries = actions(&world, action).await;
        assert_eq!(entries.len(), 1, "{action}");
        assert_eq!(entries[0].user_agent.as_deref(), Some("quantumvault command line"));
        assert!(entries[0].user_id.is_some(), "its owner sees it");
    }
    let output = run(&world.environment("one"), &["user", "promote", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "quantumvault: The user was not found.\n");
}

#[tokio::test]
async fn what_a_command_ends_is_closed_on_every_node_without_being_looked_for() {
    let world = World::new().await;
    let (one, two) = world.two_nodes_with(|config| config.feed.poll_seconds = 600).await;
    let alice = one.client().register("alice").await;
    let elsewhere = alice.at(two.server.address);
    let mut sockets = [alice.socket().await, elsewhere.socket().await, elsewhere.feed(None).await];
    said(&world, &["user", "deactivate", "alice"]);
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4403);
    }
    for client in [&alice, &elsewhere] {
        assert_eq!(client.refusal().await.as_deref(), Some("REVOKED"));
    }
    let bob = one.client().register("bob").await;
    let gone = bob.run(operation!("user"), json!({ "by": { "username": "alice" } })).await;
    assert_eq!(gone.data()["user"], Value::Null);
}

#[tokio::test]
async fn a_session_is_issued_for_automation() {
    let world = World::new().await;
    let node = world.node().await;
    let mut alice = node.client().register("alice").await;
    let tokens = said(&world, &["session", "issue", "alice", "--device-info", "a robot"]);
    let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
    let text = |name: &str| tokens[name].as_str().expect("text").to_owned();
    alice.token = Some(text("accessToken"));
    alice.refresh_token = text("refreshToken");
    assert_eq!(alice.session().await, text("sessionId"));
    assert_eq!(alice.refreshed().await.refusal().await, None);
    let sessions = alice.run(operation!("sessions"), json!({})).await;
    assert_eq!(sessions.data()["viewer"]["sessions"]["nodes"][0]["deviceInfo"], "a robot");
    assert_eq!(actions(&world, "session.issued").await.len(), 1);
}

#[tokio::test]
async fn a_rotated_key_signs_nobody_out_and_the_running_node_takes_it_up() {
    let world = World::new().await;
    let node = world.node_with(|config| config.upkeep.interval_seconds = 1).await;
    let other = if world.is_clustered() {
        world.try_node(world.config("two")).await.expect("a second node starts")
    } else {
        node.clone()
    };
    let alice = node.client().register("alice").await;
    let old = kid(&alice);
    let new = said(&world, &["keys", "rotate"]).trim().to_owned();
    assert_ne!(old, new);
    let mut next = alice.refreshed().await;
    while kid(&next) != new {
        next = next.refreshed().await;
    }
    for node in [&node, &other] {
        for client in [&alice, &next] {
            assert_eq!(client.at(node.server.address).refusal().await, None);
        }
        let keys = reqwest::get(node.client().url("/.well-known/jwks.json")).await.expect("an answer");
        let keys: Value = serde_json::from_str(&keys.text().await.expect("text")).expect("JSON");
        let kids: Vec<_> = keys["keys"].as_array().expect("keys").iter().map(|key| &key["kid"]).collect();
        assert!(kids.contains(&&json!(old)) && kids.contains(&&json!(new)), "{kids:?}");
    }
}

#[tokio::test]
async fn a_retired_key_is_no_longer_accepted_when_its_last_tokens_have_ended() {
    let world = World::new().await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let old = kid(&alice);
    said(&world, &["keys", "rotate"]);
    retire(&world, &old).await;
    drop(node);
    let again = world.node().await;
    assert_eq!(alice.at(again.server.address).refusal().await.as_deref(), Some("INVALID"));
    assert!(said(&world, &["purge"]).contains("1 signing keys"));
}

#[tokio::test]
async fn what_a_retired_key_has_signed_is_forgotten_while_the_node_runs() {
    let world = World::new().await;
    let node = world.node_with(|config| config.upkeep.interval_seconds = 1).await;
    let alice = node.client().register("alice").await;
    let old = kid(&alice);
    said(&world, &["keys", "rotate"]);
    assert_eq!(alice.refusal().await, None);
    retire(&world, &old).await;
    until("its token is refused", async || alice.refusal().await.as_deref() == Some("INVALID")).await;
}

#[tokio::test]
async fn a_withdrawn_key_is_accepted_nowhere_and_nobody_is_signed_out() {
    let world = World::new().await;
    // No scheduled work runs during the test.
    let change = |config: &mut Config| (config.upkeep.interval_seconds, config.feed.poll_seconds) = (600, 600);
    let (one, two) = world.two_nodes_with(change).await;
    let alice = one.client().register("alice").await;
    let elsewhere = alice.at(two.server.address);
    assert_eq!((alice.refusal().await, elsewhere.refusal().await), (None, None));
    let mut sockets = [alice.socket().await, elsewhere.socket().await];
    let old = kid(&alice);

    assert_eq!(said(&world, &["keys", "withdraw", &old]), format!("{old} is withdrawn\n"));

    for client in [&alice, &elsewhere] {
        until("its token is refused", async || client.refusal().await.as_deref() == Some("EXPIRED")).await;
    }
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4403);
    }
    let next = alice.refreshed().await;
    assert_ne!(kid(&next), old);
    for node in [&one, &two] {
        assert_eq!(next.at(node.server.address).refusal().await, None);
        let keys = reqwest::get(node.client().url("/.well-known/jwks.json")).await.expect("an answer");
        let keys = keys.text().await.expect("text");
        assert!(!keys.contains(&old) && keys.contains(&kid(&next)), "{keys}");
    }
    assert_eq!(actions(&world, "signing_key.withdrawn").await[0].resource.as_deref(), Some(&*old));

    // Neither a purge nor a restart makes the key valid again.
    said(&world, &["purge"]);
    drop((one, two, sockets));
    let again = world.node_with(change).await;
    assert_eq!(alice.at(again.server.address).refusal().await.as_deref(), Some("EXPIRED"));
    assert_eq!(next.at(again.server.address).refusal().await, None);

    let output = run(&world.environment("one"), &["keys", "withdraw", "-unknown"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "quantumvault: The signing key was not found.\n");
}

#[tokio::test]
async fn a_node_whose_key_was_withdrawn_while_it_was_away_makes_another() {
    let world = World::new().await;
    let node = world.node().await;
    let old = kid(&node.client().register("alice").await);
    drop(node);
    let mut key = signing_key(&world, &old).await;
    key.retired_at = Set(Some(Timestamp::UNIX_EPOCH));
    key.update(&world.database.connect().await).await.expect("written");

    let node = world.node().await;

    let alice = node.client().login("alice").await;
    assert_ne!(kid(&alice), old);
    assert_eq!(alice.refusal().await, None);
}

#[tokio::test]
async fn a_purge_removes_what_has_ended_and_nothing_else() {
    let world = World::new().await;
    let node = world.node().await;
    let (alice, ended) = (node.client().register("alice").await, node.client().login("alice").await);
    let db = world.database.connect().await;
    let now = world.source.now();
    let latest = sessions::Entity::find().all(&db).await.expect("readable");
    let latest = latest.into_iter().max_by_key(|session| session.id).expect("a session");
    let user_id = latest.user_id;
    let mut session: sessions::ActiveModel = latest.into();
    session.expires_at = Set(now);
    session.update(&db).await.expect("written");
    for (hours, used_at) in [(1, None), (1, Some(now)), (-1, None)] {
        let token = one_time_tokens::ActiveModel {
            id: Set(world.source.uuid()),
            user_id: Set(user_id),
            purpose: Set("PASSWORD_RESET".to_owned()),
            token_hash: Set(world.source.random.bytes::<32>().to_vec()),
            created_at: Set(now),
            expires_at: Set(now + TimeDelta::hours(hours)),
            used_at: Set(used_at),
        };
        token.insert(&db).await.expect("written");
    }
    // More rows than two batches.
    let ages = std::iter::once(29).chain(std::iter::repeat_n(31, 2001));
    let metrics = ages.map(|days| performance_metrics::ActiveModel {
        id: Set(world.source.uuid()),
        metric_name: Set("test.value".to_owned()),
        metric_value: Set(1.0),
        metric_unit: Set("ms".to_owned()),
        metadata: Set(None),
        created_at: Set(now - TimeDelta::days(days)),
        user_id: Set(None),
        sequence: Set(1),
    });
    performance_metrics::Entity::insert_many(metrics).exec_without_returning(&db).await.expect("written");
    for days in [89, 91] {
        let entry = audit_logs::ActiveModel {
            id: Set(world.source.uuid()),
            action: Set("test.happened".to_owned()),
            created_at: Set(now - TimeDelta::days(days)),
            ..Default::default()
        };
        entry.insert(&db).await.expect("written");
    }
    let removed = said(&world, &["purge"]);
    assert_eq!(
        removed,
        "deleted 1 sessions, 2 mail tokens, 1 audit entries, 2001 metrics, 0 feed events, 0 signing keys\n"
    );
    assert_eq!(performance_metrics::Entity::find().count(&db).await.expect("readable"), 1);
    // One of the tokens above, and the token that the registration mailed.
    assert_eq!(one_time_tokens::Entity::find().count(&db).await.expect("readable"), 2);
    assert_eq!((alice.refusal().await, ended.refresh().await.error().0), (None, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn nodes_purge_in_the_background_what_is_more_than_one_batch() {
    let world = World::new().await;
    let db = world.database.connect().await;
    drop(world.node().await);
    let entries = (0..2500).map(|_| audit_logs::ActiveModel {
        id: Set(world.source.uuid()),
        action: Set("test.happened".to_owned()),
        created_at: Set(world.source.now() - TimeDelta::days(91)),
        ..Default::default()
    });
    let entries: Vec<_> = entries.collect();
    for batch in entries.chunks(500) {
        audit_logs::Entity::insert_many(batch.to_vec()).exec(&db).await.expect("written");
    }
    let (one, two) = world.two_nodes_with(|config| config.upkeep.interval_seconds = 1).await;
    let all_gone = async { while audit_logs::Entity::find().count(&db).await.expect("readable") > 0 {} };
    tokio::time::timeout(PATIENCE, all_gone).await.expect("they are removed");
    for node in [one, two] {
        node.client().run("{ __typename }", Value::Null).await.data();
    }
}

/// Marks a key as retired an hour ago.
async fn retire(world: &World, kid: &str) {
    let mut key = signing_key(world, kid).await;
    key.retired_at = Set(Some(world.source.now() - TimeDelta::hours(1)));
    key.update(&world.database.connect().await).await.expect("written");
}

async fn signing_key(world: &World, kid: &str) -> signing_keys::ActiveModel {
    let db = world.database.connect().await;
    let key = signing_keys::Entity::find_by_id(kid).one(&db).await.expect("readable");
    key.expect("a key").into()
}

/// Returns the name of the key that signed a client's access token.
fn kid(client: &Client) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    let token = client.token.as_deref().expect("a token");
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base 64");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a key's name").to_owned()
}
