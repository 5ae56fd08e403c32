//! Following users: each change reaches its followers once, whether hints arrive or not.

use std::time::Duration;

use qv_entity::{conversation_members, conversations, users};
use qv_tests::client::{Client, PASSWORD};
use qv_tests::command_line::said;
use qv_tests::events::Events;
use qv_tests::keyring::Keyring;
use qv_tests::mail::MailServer;
use qv_tests::operation;
use qv_tests::socket::Socket;
use qv_tests::world::World;
use sea_orm::{ActiveModelTrait, EntityTrait, Set};
use serde_json::{Value, json};
use uuid::Uuid;

/// Publishes new keys and returns them as others see them.
async fn publish(client: &Client) -> Value {
    let answer = Keyring::generate().publish(client, "a passphrase").await;
    answer.data()["updatePublicKeys"]["user"]["publicKeys"].clone()
}

async fn subscribe(client: &Client, ids: &Value) -> Socket {
    let mut socket = client.socket().await;
    socket.subscribe("users", operation!("user_changed"), json!({ "ids": ids })).await;
    socket
}

/// Follows these users on a socket, and changes one of them until an event reports it.
async fn following(client: &Client, ids: &Value, changing: &Client) -> Socket {
    let mut socket = subscribe(client, ids).await;
    loop {
        let keys = publish(changing).await;
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(300), socket.receive()).await {
            if user(&message)["publicKeys"] == keys {
                return socket;
            }
        }
    }
}

fn user(message: &Value) -> &Value {
    assert!(message["payload"].get("errors").is_none(), "{message}");
    &message["payload"]["data"]["userChanged"]
}

async fn next(socket: &mut Socket) -> Value {
    user(&socket.receive().await).clone()
}

#[tokio::test]
async fn other_keys_of_a_contact_are_told_once_at_every_node() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let [alice, bob, carol] = one.client().register_all(["alice", "bob", "carol"]).await;
    alice.send(&bob, "hello", "1").await.data();
    let bob = bob.at(two.server.address);
    let mut everyone = following(&bob, &Value::Null, &alice).await;
    let mut named = following(&bob, &json!([alice.id]), &alice).await;
    // The set-up of the second subscription has caused more events on the first.
    let latest = publish(&alice).await;
    while next(&mut everyone).await["publicKeys"] != latest {}
    assert_eq!(next(&mut named).await["publicKeys"], latest);

    for _ in 0..3 {
        // Neither a user without a conversation nor unchanged keys cause an event.
        publish(&carol).await;
        let keys = publish(&alice).await;
        let expected = json!({ "id": alice.id, "isActive": true, "isVerified": false, "publicKeys": keys });
        let mut told = next(&mut everyone).await;
        // An event of the set-up may arrive late, and with the latest keys.
        while told["publicKeys"] == latest {
            told = next(&mut everyone).await;
        }
        assert_eq!((told, next(&mut named).await), (expected.clone(), expected));
        let input = json!({ "ecc": keys["ecc"], "pqc": keys["pqc"], "keyVault": null });
        alice.run(operation!("update_public_keys"), json!({ "input": input })).await.data();
    }
}

#[tokio::test]
async fn a_conversation_that_begins_later_counts() {
    let node = World::new().await.node().await;
    let [alice, bob, carol] = node.client().register_all(["alice", "bob", "carol"]).await;
    alice.send(&bob, "hello", "1").await.data();
    let mut socket = following(&bob, &Value::Null, &alice).await;
    carol.send(&bob, "hello", "1").await.data();
    let keys = publish(&carol).await;
    let heard = next(&mut socket).await;
    assert_eq!((&heard["id"], &heard["publicKeys"]), (&json!(carol.id), &keys));
}

#[tokio::test]
async fn an_address_confirmed_and_an_account_out_of_use_are_told() {
    let world = World::new().await;
    let mut mails = MailServer::start().await;
    let mut config = world.mail_config("one", mails.port);
    // A command next to an embedded node cannot use the bus.
    config.feed.poll_seconds = 1;
    let node = world.try_node(config).await.expect("a node starts");
    let [alice, bob, carol] = node.client().register_all(["alice", "bob", "carol"]).await;
    let letter = loop {
        let letter = mails.letter().await;
        if letter["text"].as_str().is_some_and(|text| text.contains("alice")) {
            break letter;
        }
    };
    alice.send(&bob, "hello", "1").await.data();
    let mut socket = following(&bob, &json!([alice.id, carol.id]), &alice).await;

    let token = letter["text"].as_str().and_then(|text| text.split("token=").nth(1)?.lines().next()).expect("a token");
    alice.run(operation!("verify_email"), json!({ "input": { "token": token } })).await.data();
    let heard = next(&mut socket).await;
    assert_eq!(
        (&heard["id"], &heard["isVerified"], &heard["isActive"]),
        (&json!(alice.id), &json!(true), &json!(true))
    );
    alice.run(operation!("deactivate_account"), json!({ "input": { "password": PASSWORD } })).await.data();
    let heard = next(&mut socket).await;
    assert_eq!((&heard["id"], &heard["isActive"]), (&json!(alice.id), &json!(false)));
    assert!(heard["publicKeys"].is_object(), "what was written to the user can still be understood");
    said(&world, &["user", "deactivate", "carol"]);
    said(&world, &["user", "deactivate", "carol"]);
    let heard = next(&mut socket).await;
    assert_eq!((&heard["id"], &heard["isActive"]), (&json!(carol.id), &json!(false)));
}

#[tokio::test]
async fn a_change_whose_hint_is_lost_is_found_once() {
    let world = World::new().await;
    let node = world.node_with(|config| config.feed.poll_seconds = 1).await;
    // With another prefix, the nodes share neither bus nor cache, only the database.
    let mut config = world.config("two");
    config.redis.prefix += "apart:";
    let deaf = world.try_node(config).await.expect("a second node starts");
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    alice.send(&bob, "hello", "1").await.data();
    let apart = alice.at(deaf.server.address);
    let mut everyone = following(&bob, &Value::Null, &alice).await;
    for _ in 0..3 {
        let keys = publish(&apart).await;
        assert_eq!(next(&mut everyone).await["publicKeys"], keys);
    }
}

#[tokio::test]
async fn changes_at_once_reach_the_follower_without_loss() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let bob = one.client().register("bob").await;
    let mut peers = Vec::new();
    for name in ["ann", "ben", "cem", "dot", "eve", "fay"] {
        let peer = two.client().register(name).await;
        peer.send(&bob, "hello", "1").await.data();
        peers.push(peer);
    }
    // Lets each node fetch the other's signing key before all changes start.
    peers[0].at(one.server.address).session().await;
    let mut socket = following(&bob, &Value::Null, &peers[0]).await;
    let rounds = async |peer: Client, address| {
        let peer = peer.at(address);
        let mut last = Value::Null;
        for _ in 0..5 {
            last = publish(&peer).await;
        }
        (peer.id, last)
    };
    let addresses = [one.server.address, two.server.address].into_iter().cycle();
    let changing = peers.iter().cloned().zip(addresses).map(|(peer, address)| rounds(peer, address));
    let mut open: std::collections::HashMap<_, _> =
        futures_util::future::join_all(changing).await.into_iter().collect();
    let mut latest = std::collections::HashMap::new();
    while !open.is_empty() {
        let heard = next(&mut socket).await;
        let (id, time) = (heard["id"].to_string(), heard["publicKeys"]["changedAt"].to_string());
        // Keys are read when an event is sent, so an event may already show the keys of the next change.
        let before = latest.insert(id, time.clone());
        assert!(before.is_none_or(|before| before <= time), "the keys never go back");
        open.retain(|id, keys| heard["id"] != *id || heard["publicKeys"] != *keys);
    }
    let last = publish(&peers[0]).await;
    assert_eq!(next(&mut socket).await["publicKeys"], last);
}

#[tokio::test]
async fn events_of_the_server_tell_the_same() {
    let (_node, alice, bob) = World::new().await.pair().await;
    alice.send(&bob, "hello", "1").await.data();
    let mut events = Events::open(&bob, operation!("user_changed"), None).await;
    let keys = loop {
        let keys = publish(&alice).await;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(300), events.next()).await {
            let event = event.expect("the stream goes on");
            assert_eq!((event.name.as_str(), event.id), ("next", None));
            break (keys, event.data["data"]["userChanged"]["publicKeys"].clone());
        }
    };
    assert_eq!(keys.0, keys.1);
}

#[tokio::test]
async fn what_cannot_be_followed_is_named_and_nobodys_id_is_never_heard_of() {
    let (node, alice, bob) = World::new().await.pair().await;
    let nobody = alice.id.replace(|c: char| c.is_ascii_digit(), "0");
    following(&bob, &json!([nobody, alice.id]), &alice).await;
    let session = bob.session().await;
    for (ids, field) in [
        (json!([]), "ids"),
        (json!(vec![&alice.id; 101]), "ids"),
        (json!([alice.id, session]), "ids"),
        (json!(["alice"]), "ids"),
    ] {
        let message = subscribe(&bob, &ids).await.receive().await;
        let errors = message["payload"].as_array().or_else(|| message["payload"]["errors"].as_array());
        let extensions = &errors.expect("errors")[0]["extensions"];
        assert_eq!((&extensions["code"], &extensions["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{message}");
    }
    let message = subscribe(&node.client(), &Value::Null).await.receive().await;
    assert!(message.to_string().contains(r#""code":"UNAUTHENTICATED""#), "{message}");
}

#[tokio::test]
async fn what_a_change_costs_does_not_grow_with_the_followers() {
    let world = World::new().await;
    // However slow the machine, no session is read again while statements are counted.
    let (node, alice, bob) = world.pair_with(|config| config.cache.session_ttl_seconds = 600).await;
    alice.send(&bob, "hello", "1").await.data();
    let cost = async || node.statements(publish(&alice)).await.1;
    publish(&alice).await;
    let alone = cost().await;
    // The account's row, the session, the keys, the audit log, the change number, its storage, the contacts. Then the
    // user and the keys again.
    assert_eq!(alone, 9);
    befriend(&world, &alice, 2500).await;
    assert_eq!(cost().await, alone + 2, "contacts are read a thousand at a time");

    // A poll costs users with many contacts no more than those with few. It reads the number, the changes, and the
    // number again. A late hint adds one read of the number.
    let mut socket = following(&alice, &Value::Null, &bob).await;
    let (keys, both) = node.statements(async { (publish(&bob).await, next(&mut socket).await) }).await;
    assert_eq!(keys.0, keys.1["publicKeys"]);
    assert!(both <= alone + 6, "{both}");
}

/// Creates conversations of a user with many others.
async fn befriend(world: &World, client: &Client, count: u32) {
    let db = world.database.connect().await;
    let known = users::Entity::find().all(&db).await.expect("readable");
    let own = known.iter().find(|user| user.username == client.username).expect("the user").clone();
    let peers: Vec<_> = (0..count).map(|_| world.source.uuid()).collect();
    for chunk in peers.chunks(500) {
        let rows = chunk.iter().map(|id| {
            let name = format!("peer-{}", id.simple().to_string().split_off(8));
            let user = users::Model { id: *id, email: format!("{name}@example.org"), username: name, ..own.clone() };
            users::ActiveModel::from(user).reset_all()
        });
        users::Entity::insert_many(rows).exec_without_returning(&db).await.expect("written");
        let conversations: Vec<(Uuid, Uuid)> = chunk.iter().map(|id| (world.source.uuid(), *id)).collect();
        let rows = conversations.iter().map(|(id, peer)| conversations::ActiveModel {
            id: Set(*id),
            first_user_id: Set(*peer.min(&own.id)),
            second_user_id: Set(*peer.max(&own.id)),
            created_at: Set(own.created_at),
            last_sequence: Set(0),
        });
        conversations::Entity::insert_many(rows).exec_without_returning(&db).await.expect("written");
        let rows = conversations.iter().map(|(id, peer)| conversation_members::ActiveModel {
            conversation_id: Set(*id),
            user_id: Set(own.id),
            peer_id: Set(*peer),
            last_message_id: Set(None),
            last_event: Set(0),
            unread_count: Set(0),
            read_sequence: Set(0),
        });
        conversation_members::Entity::insert_many(rows).exec_without_returning(&db).await.expect("written");
    }
}
