//! Objects of other users: every field that takes an id reports them as absent.

use std::collections::BTreeSet;

use qv_tests::authenticator::{Authenticator, begin, finish_registration};
use qv_tests::client::Client;
use qv_tests::command_line::{create, said};
use qv_tests::operation;
use qv_tests::world::World;
use serde_json::{Value, json};

/// Fields that take the ids of users' objects. Each is tested below or open to everyone.
const TAKE_IDS: [&str; 13] = [
    // For everyone: the directory, the recipient of a message, and a passkey sign-in, which needs no session.
    "Query.user",
    "Mutation.sendMessage",
    "Mutation.finishPasskeyLogin",
    "Subscription.userChanged",
    // For operators.
    "Admin.auditLogs",
    // Tested below.
    "Query.node",
    "Query.nodes",
    "Viewer.conversation",
    "Mutation.revokeSession",
    "Mutation.removePasskey",
    "Mutation.finishPasskeyRegistration",
    "Mutation.markRead",
    "Mutation.deleteMessages",
];

/// Objects that two users share, and objects of one of them.
struct Belongings {
    session: Value,
    passkey: Value,
    message: Value,
    conversation: Value,
    feed_cursor: Value,
    cursors: Vec<(&'static str, Value)>,
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there_whatever_ones_role() {
    let world = World::new().await;
    create(&world, "operator", "operator@example.org");
    said(&world, &["user", "promote", "operator"]);
    let (node, alice, bob) = world.pair().await;
    let theirs = belongings(&alice, &bob).await;
    let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
    for stranger in [node.client().register("eve").await, node.client().login("operator").await] {
        let all = [&theirs.session, &theirs.passkey, &theirs.message, &theirs.conversation];
        for id in all {
            let answer = stranger.run(operation!("node"), json!({ "id": id })).await;
            assert_eq!(answer.data()["node"], Value::Null, "{id}");
        }
        let answer = stranger.run(operation!("nodes"), json!({ "ids": all })).await;
        assert_eq!(answer.data()["nodes"], json!([null, null, null, null]));
        let answer = stranger.run(operation!("conversation"), json!({ "with": bob.id })).await;
        assert_eq!(answer.data()["viewer"]["conversation"], Value::Null);

        let read = json!({ "conversationId": theirs.conversation, "upToMessageId": theirs.message });
        for (field, input) in [
            ("revokeSession", json!({ "id": theirs.session })),
            ("removePasskey", json!({ "id": theirs.passkey })),
            ("markRead", read),
            ("deleteMessages", json!({ "ids": [theirs.message] })),
        ] {
            let name = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
            let query = format!("mutation($input: {name}!) {{ {field}(input: $input) {{ __typename }} }}");
            let answer = stranger.run(&query, json!({ "input": input })).await;
            assert_eq!(answer.error().0, "NOT_FOUND", "{field}");
        }
        let credential = Authenticator::new(&stranger).create(&options);
        assert_eq!(finish_registration(&stranger, &ceremony, credential).await.error().0, "NOT_FOUND");

        for (query, cursor) in &theirs.cursors {
            let answer = stranger.run(query, json!({ "after": cursor, "with": bob.id, "first": 1 })).await;
            assert_eq!(answer.error().0, "BAD_USER_INPUT", "{query}");
        }
        let feed = &stranger.feed(theirs.feed_cursor.as_str()).await.receive().await;
        assert_eq!(feed["payload"]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{feed}");
    }
    // The attempts have changed none of the named objects.
    assert_eq!(alice.session().await, theirs.session);
    let kept = bob.run(operation!("node"), json!({ "id": theirs.message })).await;
    assert_eq!(kept.data()["node"]["id"], theirs.message);
}

#[tokio::test]
async fn every_field_that_takes_an_id_is_looked_after_here() {
    let node = World::new().await.node().await;
    let known: BTreeSet<_> = TAKE_IDS.map(str::to_owned).into();
    let fields = fields_that_take_ids(&node.client()).await;
    assert_eq!(fields, known);
}

async fn belongings(alice: &Client, bob: &Client) -> Belongings {
    let sent = alice.send(bob, "between us", "1").await;
    let sent = &sent.data()["sendMessage"];
    let mut key = Authenticator::new(alice);
    let passkey = key.add_to(alice).await.data()["finishPasskeyRegistration"]["passkey"]["id"].clone();
    let (events, _) = alice.feed(None).await.backlog().await;
    let mut cursors = Vec::new();
    for (query, path) in [
        (operation!("sessions"), "/viewer/sessions/pageInfo/endCursor"),
        (operation!("audit_logs"), "/viewer/auditLogs/pageInfo/endCursor"),
    ] {
        let answer = alice.run(query, json!({ "first": 1 })).await;
        cursors.push((query, answer.data().pointer(path).expect("a cursor").clone()));
    }
    Belongings {
        session: alice.session().await.into(),
        passkey,
        message: sent["message"]["id"].clone(),
        conversation: sent["conversation"]["id"].clone(),
        feed_cursor: events[0]["cursor"].clone(),
        cursors,
    }
}

/// Returns the fields with an argument that can contain an id, as `Type.field`.
async fn fields_that_take_ids(client: &Client) -> BTreeSet<String> {
    let answer = client.run(operation!("introspection"), Value::Null).await;
    let types = answer.data()["__schema"]["types"].as_array().expect("types");
    let mut found = BTreeSet::new();
    for object in types.iter().filter(|found| found["kind"] == "OBJECT") {
        for field in object["fields"].as_array().expect("fields") {
            if can_hold_id(&field["args"], types) {
                found.insert(format!("{}.{}", text(&object["name"]), text(&field["name"])));
            }
        }
    }
    found
}

/// Whether one of these arguments or input fields is an id, or an input object that contains an id.
fn can_hold_id(inputs: &Value, types: &[Value]) -> bool {
    inputs.as_array().expect("inputs").iter().any(|input| {
        let mut named = &input["type"];
        while !named["ofType"].is_null() {
            named = &named["ofType"];
        }
        let is_input = |found: &&Value| found["name"] == named["name"] && found["kind"] == "INPUT_OBJECT";
        named["name"] == "ID"
            || types.iter().find(is_input).is_some_and(|found| can_hold_id(&found["inputFields"], types))
    })
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}
