//! The views of operators, and the audit log as owners see it.

use qv_tests::{client::Answer, command_line::said, operation, world::World};
use serde_json::{Value, json};

fn actions(answer: &Answer, root: &str) -> Vec<String> {
    let nodes = answer.data()[root]["auditLogs"]["nodes"].as_array().expect("nodes");
    nodes.iter().map(|entry| entry["action"].as_str().expect("an action").to_owned()).collect()
}

#[tokio::test]
async fn without_the_role_there_is_no_operators_view() {
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    for query in [operation!("admin_users"), operation!("admin_audit_logs")] {
        let answer = alice.run(query, json!({})).await;
        assert_eq!(answer.error().0, "FORBIDDEN");
        assert_eq!(answer.0["data"], json!({ "admin": null }));
        assert_eq!(node.client().run(query, json!({})).await.error().1["reason"], "MISSING");
    }
    let id = alice.id.replace("user_", "admin_user_");
    assert_eq!(alice.run(operation!("node"), json!({ "id": id })).await.data()["node"], Value::Null);
}

#[tokio::test]
async fn an_owner_sees_what_happened_to_the_account_and_what_operators_did_to_it() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    let [alice, eve] = node.client().register_all(["alice", "eve"]).await;
    said(&world, &["session", "issue", "alice"]);
    let answer = alice.run(operation!("audit_logs"), json!({ "first": 2 })).await;
    let page = &answer.data()["viewer"]["auditLogs"];
    let latest = &page["nodes"][0];
    let expected = json!({
        "id": latest["id"],
        "action": "session.issued",
        "resource": latest["resource"],
        "details": null,
        "ipAddress": null,
        "userAgent": "quantumvault command line",
        "createdAt": latest["createdAt"],
        "user": { "id": alice.id },
    });
    assert_eq!(latest, &expected);
    let rest = alice.run(operation!("audit_logs"), json!({ "after": page["pageInfo"]["endCursor"] })).await;
    let found = [actions(&answer, "viewer"), actions(&rest, "viewer")].concat();
    assert_eq!(found, ["session.issued", "session.created", "session.created", "user.registered"]);

    let entry = &page["nodes"][0]["id"];
    for (client, expected) in [(&alice, entry), (&operator, entry), (&eve, &Value::Null)] {
        let answer = client.run(operation!("node"), json!({ "id": entry })).await;
        assert_eq!(&answer.data()["node"]["id"], expected);
    }
}

#[tokio::test]
async fn operators_search_the_audit_trail() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    let alice = node.client().register("alice").await;
    let now = world.source.now().to_rfc3339();
    let later = node.client().login("alice").await;
    later.run(operation!("logout"), Value::Null).await.data();
    for (filter, expected) in [
        (json!({ "action": "user.promoted" }), &["user.promoted"][..]),
        (json!({ "userId": alice.id, "action": "user.registered" }), &["user.registered"]),
        (json!({ "userId": alice.id, "since": now }), &["session.revoked", "session.created"]),
        (json!({ "userId": alice.id, "until": now }), &["session.created", "user.registered"]),
        (json!({ "action": "nothing.happened" }), &[]),
    ] {
        let answer = operator.run(operation!("admin_audit_logs"), json!({ "filter": filter })).await;
        assert_eq!(actions(&answer, "admin"), expected, "{filter}");
    }
    let answer = operator.run(operation!("admin_audit_logs"), json!({ "filter": { "userId": "user_x" } })).await;
    assert_eq!(answer.error().1["field"], "filter.userId");
}

#[tokio::test]
async fn operators_list_accounts_with_their_sessions_in_three_statements() {
    let world = World::new().await;
    let (node, operator) = world.operated().await;
    node.client().register_all(["alice", "albert", "bob"]).await;
    let alice = node.client().login("alice").await;
    operator.run(operation!("viewer"), Value::Null).await.data();
    let (answer, statements) =
        node.statements(operator.run(operation!("admin_users"), json!({ "search": "AL" }))).await;
    let users = answer.data()["admin"]["users"]["nodes"].as_array().expect("nodes");
    let seen: Vec<_> = users
        .iter()
        .map(|user| json!([user["user"]["username"], user["email"], user["role"], user["activeSessionCount"]]))
        .collect();
    assert_eq!(
        seen,
        [json!(["albert", "albert@example.org", "USER", 1]), json!(["alice", "alice@example.org", "USER", 2])]
    );
    assert!(statements <= 3, "{statements}");
    let nobody = operator.run(operation!("admin_users"), json!({ "search": "al\0" })).await;
    assert_eq!(nobody.data()["admin"]["users"]["nodes"], json!([]));
    let id = alice.id.replace("user_", "admin_user_");
    assert_eq!(users[1]["id"], id);
    assert_eq!(operator.run(operation!("node"), json!({ "id": id })).await.data()["node"]["id"], id);
}
