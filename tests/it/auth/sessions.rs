//! Sessions: refreshing, listing and ending them, and events about them on other devices.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use qv_entity::audit_logs;
use qv_tests::client::Client;
use qv_tests::operation;
use qv_tests::socket::Socket;
use qv_tests::world::{World, manual_clock};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};

/// Close code of a socket whose session has ended.
const FORBIDDEN: u16 = 4403;

#[tokio::test]
async fn a_refresh_gives_new_tokens_to_the_same_session() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let next = alice.refreshed().await;
    assert_ne!(next.refresh_token, alice.refresh_token);
    assert_ne!(next.token, alice.token);
    assert_eq!(next.session().await, alice.session().await);
    let third = next.refreshed().await.refreshed().await;
    assert_eq!(third.refusal().await, None);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_while_nothing_of_it_is_used() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let alice = node.client().register("alice").await;
    let lost = alice.refreshed().await;
    world.source.clock.advance(TimeDelta::seconds(30));
    let again = alice.refreshed().await;
    assert_eq!(again.refresh_token, lost.refresh_token, "there is one token that continues the session");
    assert_eq!(again.refreshed().await.refusal().await, None);
}

#[tokio::test]
async fn a_spent_token_ends_the_session_once_its_successors_are_in_use_or_the_grace_is_over() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    node.client().register("alice").await;

    let access_used = node.client().login("alice").await;
    assert_eq!(access_used.refreshed().await.refusal().await, None);
    let refresh_used = node.client().login("alice").await;
    refresh_used.refreshed().await.refreshed().await;
    let late = node.client().login("alice").await;
    let child = late.refreshed().await;
    let ancient = node.client().login("alice").await;
    ancient.refreshed().await.refreshed().await.refreshed().await;
    for (spent, what) in [(&access_used, "access"), (&refresh_used, "refresh"), (&ancient, "ancient")] {
        assert_eq!(spent.refresh().await.error().1["reason"], "REVOKED", "{what}");
        assert_eq!(spent.refusal().await.as_deref(), Some("REVOKED"), "{what}");
    }
    world.source.clock.advance(TimeDelta::seconds(31));
    assert_eq!(late.refresh().await.error().1["reason"], "REVOKED");
    assert_eq!(child.refresh().await.error().1["reason"], "REVOKED");

    let db = world.database.connect().await;
    let detected = audit_logs::Entity::find().filter(audit_logs::Column::Action.eq("session.reuse_detected"));
    assert_eq!(detected.count(&db).await.expect("readable"), 4);
}

#[tokio::test]
async fn reuse_closes_the_sockets_of_the_session_on_every_node_and_tells_the_other_devices() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let victim = one.client().register("alice").await;
    let other = two.client().login("alice").await;
    let (mut here, mut there) = (victim.socket().await, victim.at(two.server.address).socket().await);
    let mut told = other.socket().await;
    following(&mut told, &other).await;
    let session = victim.session().await;
    victim.refreshed().await.refreshed().await;
    assert_eq!(victim.at(two.server.address).refresh().await.error().1["reason"], "REVOKED");
    assert_eq!((here.closed().await, there.closed().await), (FORBIDDEN, FORBIDDEN));
    loop {
        let event = change(&told.receive().await);
        if event["kind"] == "REVOKED" {
            assert_eq!(event, json!({ "kind": "REVOKED", "sessionId": session, "session": null }));
            break;
        }
    }
    assert_eq!(other.refusal().await, None);
}

#[tokio::test]
async fn two_nodes_that_refresh_one_token_at_once_continue_one_line() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let mut alice = one.client().register("alice").await;
    for round in 0..20 {
        let other = alice.at(two.server.address);
        let (here, there) = tokio::join!(alice.refreshed(), other.refreshed());
        assert_eq!(here.refresh_token, there.refresh_token, "round {round}");
        assert_eq!((here.refusal().await, there.refusal().await), (None, None), "round {round}");
        alice = if round % 2 == 0 { here } else { there.at(one.server.address) };
    }
    let db = world.database.connect().await;
    assert_eq!(qv_entity::sessions::Entity::find().count(&db).await.expect("readable"), 1);
}

#[tokio::test]
async fn twenty_refreshes_at_once_have_one_child() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let answers = futures_util::future::join_all((0..20).map(|_| alice.refreshed())).await;
    let mut children: Vec<_> = answers.iter().map(|child| child.refresh_token.clone()).collect();
    children.dedup();
    assert_eq!(children.len(), 1);
    assert_eq!(answers[7].refreshed().await.refusal().await, None);
}

#[tokio::test]
async fn what_is_no_refresh_token_of_a_living_session_is_refused_and_harms_nobody() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let mut alice = node.client().register("alice").await;
    let own = alice.refresh_token.clone();
    let access = alice.token.clone().expect("a token");
    let mut forged = own.clone();
    let last = forged.pop();
    forged.push(if last == Some('A') { 'B' } else { 'A' });
    for bad in ["", "qvr_", "qvr_AAAA", &access, &forged, &own[4..], &"x".repeat(10_000)] {
        alice.refresh_token = bad.to_owned();
        assert_eq!(alice.refresh().await.error().1["reason"], "INVALID", "{bad:.20}");
    }
    alice.refresh_token = own;
    // A refresh token does not work as an access token.
    let mut confused = alice.clone();
    confused.token = Some(alice.refresh_token.clone());
    assert_eq!(confused.refusal().await.as_deref(), Some("INVALID"));
    world.source.clock.advance(TimeDelta::days(6));
    alice = alice.refreshed().await;
    world.source.clock.advance(TimeDelta::days(8));
    assert_eq!(alice.refresh().await.error().1["reason"], "EXPIRED");
}

#[tokio::test]
async fn a_session_ends_at_its_greatest_age_however_often_it_is_refreshed() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let mut alice = node.client().register("alice").await;
    for _ in 0..5 {
        world.source.clock.advance(TimeDelta::days(6) - TimeDelta::seconds(1));
        alice = alice.refreshed().await;
    }
    world.source.clock.advance(TimeDelta::minutes(1));
    assert_eq!(alice.refresh().await.error().1["reason"], "EXPIRED");
}

#[tokio::test]
async fn every_sign_in_makes_a_session_of_its_own_and_only_that_is_recent() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node().await;
    let first = node.client().register("alice").await;
    // A sign-in with an existing session creates another one, which prevents session fixation.
    let second = first.login("alice").await;
    assert_ne!(first.session().await, second.session().await);
    assert!(first.token != second.token && first.refresh_token != second.refresh_token);

    world.source.clock.advance(TimeDelta::minutes(6));
    let refreshed = second.refreshed().await;
    let fresh = refreshed.login("alice").await;
    for (client, is_recent) in [(&refreshed, false), (&fresh, true), (&refreshed, false)] {
        let begun = client.run(operation!("begin_passkey_registration"), Value::Null).await;
        let code = begun.0["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(code, (!is_recent).then_some("FORBIDDEN"), "{begun:?}");
    }
}

#[tokio::test]
async fn sessions_are_listed_newest_first() {
    let node = World::new().await.node().await;
    let first = node.client().register("alice").await;
    let (second, third) = (node.client().login("alice").await, node.client().login("alice").await);
    node.client().register("bob").await;
    let expected = [third.session().await, second.session().await, first.session().await];

    let answer = second.run(operation!("sessions"), json!({ "first": 2 })).await;
    let page = &answer.data()["viewer"]["sessions"];
    let rest = second.run(operation!("sessions"), json!({ "after": page["pageInfo"]["endCursor"] })).await;
    let rest = &rest.data()["viewer"]["sessions"];
    let sessions: Vec<_> = [page, rest].iter().flat_map(|page| page["nodes"].as_array().expect("nodes")).collect();
    assert_eq!(sessions.iter().map(|session| &session["id"]).collect::<Vec<_>>(), expected.each_ref());
    let current: Vec<_> = sessions.iter().map(|session| session["isCurrent"] == true).collect();
    assert_eq!(current, [false, true, false]);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn a_logout_holds_at_once_on_every_node() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let session = alice.session().await;
    let elsewhere = alice.at(two.server.address);
    assert_eq!(elsewhere.refusal().await, None);
    let answer = alice.run(operation!("logout"), Value::Null).await;
    assert_eq!(answer.data()["logout"]["revokedSessionId"], session);
    assert_eq!(elsewhere.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(alice.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(alice.refresh().await.error().1["reason"], "REVOKED");
}

#[tokio::test]
async fn a_revoked_session_loses_its_sockets_on_both_nodes_within_a_second() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let (alice, device) = (one.client().register("alice").await, two.client().login("alice").await);
    let mut sockets = [device.socket().await, device.at(one.server.address).socket().await, device.feed(None).await];
    let session = device.session().await;
    let began = Instant::now();
    let answer = alice.run(operation!("revoke_session"), json!({ "input": { "id": session } })).await;
    assert_eq!(answer.data()["revokeSession"]["revokedSessionId"], session);
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, FORBIDDEN);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(device.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(alice.refusal().await, None);
}

#[tokio::test]
async fn only_own_sessions_can_be_revoked_and_others_do_not_exist() {
    let node = World::new().await.node().await;
    let [alice, eve] = node.client().register_all(["alice", "eve"]).await;
    let session = alice.session().await;
    let absent = eve.id.replace("user", "session");
    for id in [&session, &absent] {
        let answer = eve.run(operation!("revoke_session"), json!({ "input": { "id": id } })).await;
        assert_eq!(answer.error().0, "NOT_FOUND");
        assert_eq!(eve.run(operation!("node"), json!({ "id": id })).await.data()["node"], Value::Null);
    }
    assert_eq!(alice.refusal().await, None);
    for query in [operation!("logout"), operation!("revoke_other_sessions")] {
        assert_eq!(node.client().run(query, Value::Null).await.error().1["reason"], "MISSING");
    }
}

#[tokio::test]
async fn all_other_sessions_can_be_revoked_together() {
    let node = World::new().await.node().await;
    let first = node.client().register("alice").await;
    let (second, third) = (node.client().login("alice").await, node.client().login("alice").await);
    let mut expected = [first.session().await, third.session().await];
    expected.sort_unstable();
    let answer = second.run(operation!("revoke_other_sessions"), Value::Null).await;
    let ids = answer.data()["revokeOtherSessions"]["revokedSessionIds"].as_array().expect("ids");
    let mut ids: Vec<_> = ids.iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    ids.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(first.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(third.refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!(second.refusal().await, None);
}

#[tokio::test]
async fn other_devices_hear_of_each_change_to_a_session() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let alice = one.client().register("alice").await;
    let mut socket = alice.socket().await;
    let device = following(&mut socket, &two.client()).await;
    let id = device.session().await;
    device.refreshed().await;
    let refreshed = change(&socket.receive().await);
    let session = json!({ "id": id, "isCurrent": false });
    assert_eq!(refreshed, json!({ "kind": "REFRESHED", "sessionId": id, "session": session }));
    device.run(operation!("logout"), Value::Null).await.data();
    let revoked = change(&socket.receive().await);
    assert_eq!(revoked, json!({ "kind": "REVOKED", "sessionId": id, "session": null }));
}

#[tokio::test]
async fn a_user_has_at_most_so_many_sessions_and_the_idlest_goes() {
    let world = World::with_clock(manual_clock()).await;
    let node = world.node_with(|config| config.accounts.max_sessions = 3).await;
    let first = node.client().register("alice").await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        world.source.clock.advance(TimeDelta::seconds(1));
        devices.push(node.client().login("alice").await);
    }
    world.source.clock.advance(TimeDelta::seconds(1));
    let first = first.refreshed().await;
    let mut socket = devices[0].socket().await;
    node.client().login("alice").await;
    assert_eq!(socket.closed().await, FORBIDDEN);
    assert_eq!(devices[0].refusal().await.as_deref(), Some("REVOKED"));
    assert_eq!((first.refusal().await, devices[1].refusal().await), (None, None));
}

/// Follows the sessions of `alice` on a socket, and signs in until an event reports it; returns the reported client.
async fn following(socket: &mut Socket, login: &Client) -> Client {
    socket.subscribe("sessions", operation!("session_changed"), Value::Null).await;
    loop {
        let device = login.login("alice").await;
        let id = device.session().await;
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(300), socket.receive()).await {
            let event = change(&message);
            if event["sessionId"] == *id {
                assert_eq!(event["kind"], "CREATED");
                return device;
            }
        }
    }
}

fn change(message: &Value) -> Value {
    assert!(message["payload"].get("errors").is_none(), "{message}");
    message["payload"]["data"]["sessionChanged"].clone()
}
