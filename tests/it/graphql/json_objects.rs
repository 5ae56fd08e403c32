//! Objects written as JSON text, checked against the specification byte by byte: merged fields, order, types and nulls.

use qv_tests::client::{Answer, Client, base64};
use qv_tests::keyring::Keyring;
use qv_tests::raw::post;
use qv_tests::world::{Node, World};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

/// Registers alice and bob, and sends bob three messages from alice.
async fn people(node: &Node) -> (Client, Client) {
    let [alice, bob] = node.client().register_all(["alice", "bob"]).await;
    for n in 0..3 {
        alice.send(&bob, &n.to_string(), &n.to_string()).await.data();
    }
    (alice, bob)
}

/// Returns the data of a response, and for each error its path, its code and the field that it names.
fn outcome(answer: &Answer) -> Value {
    let errors = answer.0["errors"].as_array().expect("errors").iter();
    let errors = errors.map(|error| json!([error["path"], error["extensions"]["code"], error["extensions"]["field"]]));
    json!([answer.0["data"], errors.collect::<Vec<_>>()])
}

/// Returns the response as text, which shows the order of its fields.
async fn text(client: &Client, query: &str, variables: &Value) -> String {
    let token = format!("Bearer {}", client.token.as_deref().unwrap_or_default());
    let body = json!({ "query": query, "variables": variables });
    let answer = post(client.address, &[("authorization", &token)], &body).await;
    String::from_utf8(answer.body).expect("text")
}

#[tokio::test]
async fn what_is_asked_for_in_several_places_is_one_answer_in_the_documents_order() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    // Under a parent that the library resolves, and under one that is written as JSON text.
    let query = "query Q($with: ID!) {
        viewer { user { username } ...One conversation(with: $with) { ...Two messages(first: 1) { nodes { iv } } } }
    }
    fragment One on Viewer { user { __typename isActive } user { username } }
    fragment Two on Conversation { kind: __typename messages(first: 1) { nodes { iv sender { username } } } peer { id } }";
    let expected = format!(
        r#"{{"data":{{"viewer":{{"user":{{"username":"bob","__typename":"User","isActive":true}},"conversation":{{"kind":"Conversation","messages":{{"nodes":[{{"iv":"{iv}","sender":{{"username":"alice"}}}}]}},"peer":{{"id":"{id}"}}}}}}}}}}"#,
        iv = base64("twelve bytes"),
        id = alice.id
    );
    assert_eq!(text(&bob, query, &json!({ "with": alice.id })).await, expected);
    let alone = text(&bob, "{ me: viewer { it: user { name: username } } }", &Value::Null).await;
    assert_eq!(alone, r#"{"data":{"me":{"it":{"name":"bob"}}}}"#);
}

#[tokio::test]
async fn fragments_apply_to_the_types_they_name_and_fields_may_be_left_out() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    let query = "query Q($ids: [ID!]!, $yes: Boolean!) { nodes(ids: $ids) {
        ... on User { username publicKeys { ecc } } ... on Session { isCurrent } __typename
        ... on Node { id } ... on User { username isVerified @skip(if: $yes) }
        ... @include(if: $yes) { again: id }
    } }";
    let variables = json!({ "ids": [alice.id, bob.session().await], "yes": true });
    let expected = format!(
        r#"{{"data":{{"nodes":[{{"username":"alice","publicKeys":null,"__typename":"User","id":"{user}","again":"{user}"}},{{"isCurrent":true,"__typename":"Session","id":"{session}","again":"{session}"}}]}}}}"#,
        user = alice.id,
        session = variables["ids"][1].as_str().expect("an id")
    );
    assert_eq!(text(&bob, query, &variables).await, expected);
}

#[tokio::test]
async fn what_fails_inside_an_object_nulls_the_nearest_place_that_may_be_null() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    // A conversation may be null, so its siblings stay.
    let one = "query Q($with: ID!) { viewer { role conversation(with: $with) { id all: messages(first: 0) { nodes { id } } } } }";
    let answer = bob.run(one, json!({ "with": alice.id })).await;
    let expected = json!([
        { "viewer": { "role": "USER", "conversation": null } },
        [[["viewer", "conversation", "all"], "BAD_USER_INPUT", "first"]],
    ]);
    assert_eq!(outcome(&answer), expected);
    // Neither an item of the inbox may be null nor the inbox, so the viewer is.
    let many = "{ viewer { conversations { nodes { unreadCount messages(first: 1, last: 1) { nodes { id } } } } } }";
    let answer = bob.run(many, Value::Null).await;
    let path = json!(["viewer", "conversations", "nodes", 0, "messages"]);
    assert_eq!(outcome(&answer), json!([{ "viewer": null }, [[path, "BAD_USER_INPUT", "last"]]]));
    // A number outside `Int` is found before anything runs.
    let wide = "query Q($with: ID!) { viewer { conversation(with: $with) { messages(first: 99999999999) { nodes { id } } } } }";
    let answer = bob.run(wide, json!({ "with": alice.id })).await;
    assert_eq!(outcome(&answer), json!([null, [[null, "BAD_USER_INPUT", "first"]]]));
}

#[tokio::test]
async fn what_fails_in_a_field_that_may_be_null_nulls_that_field_alone() {
    let world = World::new().await;
    let node = world.node().await;
    let (alice, bob) = people(&node).await;
    let query = "query Q($with: ID!) { viewer { conversation(with: $with) { id lastMessage { id } } } }";
    let with = json!({ "with": alice.id });
    let before = bob.run(query, with.clone()).await;
    // The conversation's id is cached, but the caller's membership has to be read.
    let db = world.database.connect().await;
    db.execute_unprepared("ALTER TABLE conversation_members RENAME TO away").await.expect("renamed");
    let answer = bob.run(query, with).await;
    let id = &before.data()["viewer"]["conversation"]["id"];
    let expected = json!([
        { "viewer": { "conversation": { "id": id, "lastMessage": null } } },
        [[["viewer", "conversation", "lastMessage"], "INTERNAL_SERVER_ERROR", null]],
    ]);
    assert_eq!(outcome(&answer), expected);
}

#[tokio::test]
async fn fields_of_one_key_that_differ_are_refused_whatever_fragment_they_stand_in() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    for below in [
        "a: peer { id } ... on Conversation { a: lastMessage { iv } }",
        "messages(first: 1) { nodes { id } } ... on Conversation { messages(first: 2) { nodes { id } } }",
        "peer { a: id } ... on Node { ... on Conversation { peer { a: username } } }",
    ] {
        let query = format!("query Q($with: ID!) {{ viewer {{ conversation(with: $with) {{ {below} }} }} }}");
        let answer = bob.run(&query, json!({ "with": alice.id })).await;
        assert_eq!(answer.error().0, "GRAPHQL_VALIDATION_FAILED", "{below}");
    }
    // An object cannot be of both types.
    let query = "query Q($id: ID!) { node(id: $id) { ... on User { a: username } ... on AuditLog { a: action } } }";
    assert_eq!(bob.run(query, json!({ "id": alice.id })).await.data()["node"]["a"], "alice");
}

#[tokio::test]
async fn a_name_with_a_quotation_mark_leaves_the_answer_json() {
    let world = World::new().await;
    let node = world.node_with(|config| config.cache.user_ttl_seconds = 0).await;
    let (_, bob) = people(&node).await;
    let db = world.database.connect().await;
    db.execute_unprepared("UPDATE users SET username = 'a\"x' WHERE username = 'alice'").await.expect("renamed");
    let answer = bob.run("{ users { nodes { username } } }", Value::Null).await;
    assert_eq!(answer.data()["users"]["nodes"][0]["username"], "a\"x");
}

#[tokio::test]
async fn the_same_list_by_two_names_is_two_pages() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    let query = "query Q($with: ID!, $after: String) { viewer { conversation(with: $with) {
        newest: messages(first: 1) { nodes { encryptedContent } pageInfo { hasNextPage endCursor } }
        oldest: messages(last: 1) { nodes { encryptedContent } }
        rest: messages(first: 5, after: $after) { edges { cursor node { encryptedContent } } pageInfo { hasNextPage } }
    } } }";
    let first = bob.run(query, json!({ "with": alice.id })).await;
    let after = &first.data()["viewer"]["conversation"]["newest"]["pageInfo"]["endCursor"];
    let answer = bob.run(query, json!({ "with": alice.id, "after": after })).await;
    let conversation = &answer.data()["viewer"]["conversation"];
    let [one, zero] = [0, 1].map(|place| &conversation["rest"]["edges"][place]["cursor"]);
    assert!(one.is_string() && zero.is_string(), "{conversation}");
    let node = |content| json!({ "encryptedContent": base64(content) });
    let expected = json!({
        "newest": { "nodes": [node("2")], "pageInfo": { "hasNextPage": true, "endCursor": after } },
        "oldest": { "nodes": [node("0")] },
        "rest": {
            "edges": [{ "cursor": one, "node": node("1") }, { "cursor": zero, "node": node("0") }],
            "pageInfo": { "hasNextPage": false },
        },
    });
    assert_eq!(conversation, &expected);
}

#[tokio::test]
async fn the_long_key_comes_with_the_short_one_that_belongs_to_it() {
    let node = World::new().await.node().await;
    let (alice, bob) = people(&node).await;
    Keyring::generate().publish(&alice, "a passphrase").await.data();
    let short = "query Q($id: ID!) { user(by: { id: $id }) { publicKeys { ecc changedAt } } }";
    let all = "query Q($id: ID!) { user(by: { id: $id }) { publicKeys { ecc pqc fingerprint changedAt } } }";
    let id = json!({ "id": alice.id });
    let (short, all) = (bob.run(short, id.clone()).await, bob.run(all, id).await);
    let (short, all) = (&short.data()["user"]["publicKeys"], &all.data()["user"]["publicKeys"]);
    assert_eq!((&short["ecc"], &short["changedAt"]), (&all["ecc"], &all["changedAt"]));
    assert!(all["pqc"].as_str().is_some_and(|key| key.len() > 1500) && all["fingerprint"].is_string());
}
