//! Checks before a transaction: they count only if they still hold in the transaction that relies on them.

use std::collections::BTreeSet;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use qv_entity::{audit_logs, mailbox_events, messages, performance_metrics, sessions, users, webauthn_credentials};
use qv_tests::authenticator::{Authenticator, begin, finish_registration};
use qv_tests::client::{Answer, Client, PASSWORD, base64, draft, registration};
use qv_tests::keyring::Keyring;
use qv_tests::operation;
use qv_tests::patience::until;
use qv_tests::world::{Node, World};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    TransactionTrait,
};
use serde_json::{Value, json};

const NEXT: &str = "quartz-lantern-otter-mosaic-7";
/// Mutations that need no session.
const WITHOUT_SESSION: [&str; 8] = [
    "beginPasskeyLogin",
    "finishPasskeyLogin",
    "login",
    "refreshSession",
    "register",
    "requestPasswordReset",
    "resetPassword",
    "verifyEmail",
];

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_changes_nothing() {
    let world = World::new().await;
    // The node keeps the session cached, as between a request's first check and its transaction.
    let (node, alice, bob) = world.pair_with(|config| config.cache.session_ttl_seconds = 60).await;
    let other = node.client().login("alice").await.session().await;
    let mut key = Authenticator::new(&alice);
    let passkey = key.add_to(&alice).await.data()["finishPasskeyRegistration"]["passkey"]["id"].clone();
    let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
    let credential = Authenticator::new(&alice).create(&options);
    let sent = bob.send(&alice, "hello", "1").await;
    let sent = &sent.data()["sendMessage"];
    let metrics = json!([{ "name": "client.render", "value": 1.0, "unit": "ms" }]);
    let keys = Keyring::generate().public();
    let keys = json!({ "ecc": base64(&keys.ecc), "pqc": base64(&keys.pqc) });
    let finish = json!({ "ceremonyId": ceremony, "credential": credential, "deviceName": "a key" });
    let tries = [
        ("sendMessage", operation!("send_message"), draft(&bob, "too late", "2")["input"].clone()),
        (
            "markRead",
            operation!("mark_read"),
            json!({ "conversationId": sent["conversation"]["id"], "upToMessageId": sent["message"]["id"] }),
        ),
        ("deleteMessages", operation!("delete_messages"), json!({ "ids": [sent["message"]["id"]] })),
        ("recordMetrics", operation!("record_metrics"), json!({ "metrics": metrics })),
        ("updatePublicKeys", operation!("update_public_keys"), keys),
        ("changePassword", operation!("change_password"), json!({ "currentPassword": PASSWORD, "newPassword": NEXT })),
        ("deactivateAccount", operation!("deactivate_account"), json!({ "password": PASSWORD })),
        ("beginPasskeyRegistration", operation!("begin_passkey_registration"), Value::Null),
        ("finishPasskeyRegistration", operation!("finish_passkey_registration"), finish),
        ("removePasskey", operation!("remove_passkey"), json!({ "id": passkey })),
        ("resendVerificationEmail", operation!("resend_verification_email"), Value::Null),
        ("revokeSession", operation!("revoke_session"), json!({ "id": other })),
        ("revokeOtherSessions", operation!("revoke_other_sessions"), Value::Null),
    ];
    let known: BTreeSet<_> = tries.iter().map(|(field, ..)| *field).chain(WITHOUT_SESSION).chain(["logout"]).collect();
    assert_eq!(known, mutations(&node.client()).await.iter().map(String::as_str).collect());

    let db = world.database.connect().await;
    assert_eq!(alice.refusal().await, None);
    let first = sessions::Entity::find().order_by_asc(sessions::Column::Id).one(&db).await.expect("readable");
    sessions::Entity::delete_by_id(first.expect("a session").id).exec(&db).await.expect("written");
    let before = stored(&db).await;
    for (field, query, input) in tries {
        let answer = alice.run(query, json!({ "input": input })).await;
        let (code, extensions) = answer.error();
        assert_eq!((code, &extensions["reason"]), ("UNAUTHENTICATED", &json!("REVOKED")), "{field}");
        assert_eq!(stored(&db).await, before, "{field}");
    }
    let believed = alice.run("{ viewer { user { username } } }", Value::Null).await;
    assert_eq!(believed.data()["viewer"]["user"]["username"], "alice", "this node has believed in the session");

    // A repeated logout succeeds, because the response to the first may have been lost.
    alice.run(operation!("logout"), Value::Null).await.data();
    assert_eq!(stored(&db).await, before, "logout");
    assert_eq!(alice.refusal().await.as_deref(), Some("REVOKED"));
}

#[tokio::test]
async fn a_sign_in_whose_proof_holds_no_more_opens_no_session() {
    let world = World::new().await;
    let node = world.node().await;
    for (name, change, expected) in [
        ("alice", "password_hash = (SELECT password_hash FROM users WHERE username = 'other')", None),
        ("bob", "is_active = FALSE", None),
        // Another sign-in has stored the hash of the password with current parameters.
        ("carol", "password_hash = (SELECT password_hash FROM users WHERE username = 'same')", Some("carol")),
    ] {
        node.client().register(name).await;
        if name == "alice" {
            for (username, password) in [("other", NEXT), ("same", PASSWORD)] {
                let mut input = registration(username);
                input["password"] = json!(password);
                node.client().run(operation!("register"), json!({ "input": input })).await.data();
            }
        }
        let change = format!("UPDATE users SET {change} WHERE username = '{name}'");
        let answer = while_reading(&world, &node, &change, 1, sign_in(&node.client(), name)).await;
        let signed_in = answer.0["data"]["login"]["viewer"]["user"]["username"].as_str();
        assert_eq!(signed_in, expected, "{answer:?}");
        if expected.is_none() {
            assert_eq!(answer.error().0, "INVALID_CREDENTIALS");
        }
        let db = world.database.connect().await;
        let user = users::Entity::find().filter(users::Column::Username.eq(name)).one(&db).await.expect("readable");
        let theirs = sessions::Column::UserId.eq(user.expect("a user").id);
        let count = sessions::Entity::find().filter(theirs).count(&db).await.expect("readable");
        assert_eq!(count, if expected.is_some() { 2 } else { 1 }, "{name}");
    }
}

#[tokio::test]
async fn no_account_has_more_passkeys_than_it_may() {
    const BEGUN: usize = 26;
    let node = World::new().await.node().await;
    let alice = node.client().register("alice").await;
    let mut made = Vec::with_capacity(BEGUN);
    for _ in 0..BEGUN {
        let (ceremony, options) = begin(&alice, operation!("begin_passkey_registration")).await;
        made.push((ceremony, Authenticator::new(&alice).create(&options)));
    }
    let finishing = made.into_iter().map(|(ceremony, credential)| {
        let alice = alice.clone();
        async move { finish_registration(&alice, &ceremony, credential).await }
    });
    let answers = join_all(finishing).await;
    let (added, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.0.get("errors").is_none());
    assert_eq!((added.len(), refused.len()), (20, BEGUN - 20));
    for answer in refused {
        assert_eq!((answer.error().0, &answer.error().1["field"]), ("CONFLICT", &json!("passkeys")));
    }
}

#[tokio::test]
async fn what_opens_and_ends_sessions_at_once_waits_in_no_circle() {
    const DEVICES: usize = 4;
    const ROUNDS: usize = 8;
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let bob = two.client().register("bob").await;
    one.client().register("alice").await;
    let nodes = [&one, &two];
    // Selects no session, which may have ended before the response.
    let brief = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }";
    let mut work: Vec<BoxFuture<'_, ()>> = Vec::new();
    for device in 0..DEVICES {
        let (here, bob) = (nodes[device % 2].client(), &bob);
        work.push(
            async move {
                for round in 0..ROUNDS {
                    let answer = here.run(brief, json!({ "input": { "login": "alice", "password": PASSWORD } })).await;
                    let token = answer.data()["login"]["accessToken"].as_str().expect("a token").to_owned();
                    let mut alice = here.clone();
                    alice.token = Some(token);
                    let id = format!("{device}-{round}");
                    let other = newest_session(&alice).await;
                    let (sent, keys, ended, others, gone) = tokio::join!(
                        alice.send(bob, "hello", &id),
                        async { Keyring::generate().publish(&alice, "a passphrase").await },
                        alice.run(operation!("revoke_session"), json!({ "input": { "id": other } })),
                        alice.run(operation!("revoke_other_sessions"), Value::Null),
                        alice.run(operation!("logout"), Value::Null),
                    );
                    for answer in [sent, keys, ended, others, gone] {
                        if answer.0.get("errors").is_some() {
                            let code = answer.error().0;
                            assert!(["UNAUTHENTICATED", "NOT_FOUND"].contains(&code), "{answer:?}");
                        }
                    }
                }
            }
            .boxed(),
        );
    }
    join_all(work).await;
}

mod clustered {
    use super::*;

    #[tokio::test]
    async fn a_passkey_whose_account_is_ended_meanwhile_signs_nobody_in() {
        let world = World::clustered().await;
        let node = world.node().await;
        let alice = node.client().register("alice").await;
        let mut key = Authenticator::of(&alice).await;
        let nobody = node.client();
        let (ceremony, options) = begin(&nobody, operation!("begin_passkey_login")).await;
        let assertion = key.assert(&options);
        let login = qv_tests::authenticator::finish_login(&nobody, &ceremony, assertion);
        // By then, the ceremony is used up and the passkey has been read.
        let answer = while_reading(&world, &node, "UPDATE users SET is_active = FALSE", 2, login).await;
        assert_eq!(answer.error().0, "INVALID_CREDENTIALS");
        let db = world.database.connect().await;
        assert_eq!(sessions::Entity::find().count(&db).await.expect("readable"), 1);
    }

    #[tokio::test]
    async fn a_session_ends_after_what_was_begun_in_it() {
        let world = World::clustered().await;
        let (_node, alice, bob) = world.pair().await;
        let sent = bob.send(&alice, "hello", "1").await;
        let db = world.database.connect().await;
        let ids: [BoxFuture<'_, Answer>; 3] = [
            alice.send(&bob, "later", "2").boxed(),
            alice.mark_read(&sent).boxed(),
            async { alice.delete(&[sent.message_id()]).await }.boxed(),
        ];
        for (round, doing) in ids.into_iter().enumerate() {
            let tx = db.begin().await.expect("a transaction");
            tx.execute_unprepared("SELECT 1 FROM mailboxes FOR UPDATE").await.expect("they are held");
            let ending = async {
                until("somebody waits", async || waits(&db).await).await;
                let ends = "SELECT 1 FROM sessions FOR UPDATE NOWAIT";
                let refreshes = "SELECT 1 FROM sessions FOR NO KEY UPDATE NOWAIT";
                for (lock, is_free) in [(ends, false), (refreshes, true)] {
                    assert_eq!(db.execute_unprepared(lock).await.is_ok(), is_free, "{round}: {lock}");
                }
                tx.commit().await.expect("it ends");
            };
            let (answer, ()) = tokio::join!(doing, ending);
            answer.data();
        }
    }

    async fn waits(db: &DatabaseConnection) -> bool {
        let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
        db.query_one_raw(statement).await.expect("readable").is_some()
    }
}

/// Runs `doing`, and commits a change after that many of its statements. Later writes of `doing` wait for the change.
async fn while_reading(
    world: &World,
    node: &Node,
    change: &str,
    statements: u64,
    doing: impl Future<Output = Answer>,
) -> Answer {
    let tx = world.database.begin().await;
    tx.execute_unprepared(change).await.expect("written");
    let backend = &node.server.backend;
    let before = backend.statement_count();
    let changing = async {
        until("it has read", async || backend.statement_count() >= before + statements).await;
        tx.commit().await.expect("it ends");
    };
    tokio::join!(doing, changing).0
}

async fn sign_in(client: &Client, name: &str) -> Answer {
    client.run(operation!("login"), json!({ "input": { "login": name, "password": PASSWORD } })).await
}

/// Returns the id of the caller's newest session, or null if the caller's own has ended meanwhile.
async fn newest_session(client: &Client) -> Value {
    let answer = client.run(operation!("sessions"), json!({ "first": 1 })).await;
    answer.0["data"]["viewer"]["sessions"]["nodes"][0]["id"].clone()
}

/// Returns all rows that the mutations of a session can change.
async fn stored(db: &DatabaseConnection) -> Vec<String> {
    async fn all<E: EntityTrait>(db: &DatabaseConnection) -> String {
        format!("{:?}", E::find().all(db).await.expect("readable"))
    }
    vec![
        all::<audit_logs::Entity>(db).await,
        all::<mailbox_events::Entity>(db).await,
        all::<messages::Entity>(db).await,
        all::<performance_metrics::Entity>(db).await,
        all::<sessions::Entity>(db).await,
        all::<users::Entity>(db).await,
        all::<webauthn_credentials::Entity>(db).await,
    ]
}

async fn mutations(client: &Client) -> Vec<String> {
    let query = "{ __schema { mutationType { fields { name } } } }";
    let answer = client.run(query, Value::Null).await;
    let fields = answer.data()["__schema"]["mutationType"]["fields"].as_array().expect("fields").clone();
    fields.iter().map(|field| field["name"].as_str().expect("text").to_owned()).collect()
}
