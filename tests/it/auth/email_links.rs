//! Password resets and address verification by mail.

use std::sync::Arc;

use chrono::TimeDelta;
use quantumvault::crypto::token;
use qv_entity::{audit_logs, one_time_tokens};
use qv_tests::client::{Answer, Client, PASSWORD};
use qv_tests::mail::{LINK_BASE, MailServer};
use qv_tests::node_process::binary;
use qv_tests::operation;
use qv_tests::process::{Process, TRACE};
use qv_tests::world::{Node, World, manual_clock};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};

const NEXT: &str = "quartz-lantern-otter-mosaic-7";

/// Starts a node and a mail server that receives its mails.
async fn mailing(world: &Arc<World>) -> (Node, MailServer) {
    let mails = MailServer::start().await;
    (node_at(world, "one", mails.port).await, mails)
}

/// Starts a node that sends its mails to this port.
pub async fn node_at(world: &Arc<World>, name: &str, port: u16) -> Node {
    world.try_node(world.mail_config(name, port)).await.expect("a node starts")
}

/// Registers a user; returns the client and the token in the verification mail.
async fn register(node: &Node, mails: &mut MailServer, username: &str) -> (Client, String) {
    let client = node.client().register(username).await;
    (client, linked(&mails.letter().await, "verify-email"))
}

/// Returns the token of a mail's link to a page, which both the text and the HTML must contain.
pub fn linked(letter: &Value, page: &str) -> String {
    let link = format!("{LINK_BASE}/{page}?token=");
    let text = letter["text"].as_str().unwrap_or_else(|| panic!("{letter}"));
    let token = text.split(&link).nth(1).unwrap_or_else(|| panic!("{letter}")).lines().next().expect("a token");
    let html = letter["html"].as_str().unwrap_or_else(|| panic!("{letter}"));
    assert!(html.contains(&format!("<a href=\"{link}{token}\">")), "{html}");
    token.to_owned()
}

async fn forget(client: &Client, email: &str) -> Answer {
    client.run(operation!("request_password_reset"), json!({ "input": { "email": email } })).await
}

async fn reset(client: &Client, token: &str, password: &str) -> Answer {
    client.run(operation!("reset_password"), json!({ "input": { "token": token, "newPassword": password } })).await
}

async fn verify(client: &Client, token: &str) -> Answer {
    client.run(operation!("verify_email"), json!({ "input": { "token": token } })).await
}

async fn login(client: &Client, password: &str) -> Answer {
    client.run(operation!("login"), json!({ "input": { "login": "alice", "password": password } })).await
}

/// Requests a reset and returns the mailed token.
async fn reset_token(node: &Node, mails: &mut MailServer) -> String {
    forget(&node.client(), "Alice@example.org").await.data();
    linked(&mails.letter().await, "reset-password")
}

fn assert_unusable(answer: &Answer) {
    let (code, extensions) = answer.error();
    assert_eq!((code, &extensions["field"]), ("BAD_USER_INPUT", &json!("input.token")), "{answer:?}");
}

#[tokio::test]
async fn a_reset_sets_the_password_once_and_says_so_by_mail() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, _) = register(&node, &mut mails, "alice").await;
    forget(&node.client(), "alice@example.org").await.data();
    let letter = mails.letter().await;
    assert_eq!(letter["to"], json!(["alice@example.org"]));
    assert_eq!(letter["from"], "quantumvault@localhost.localdomain");
    assert_eq!(letter["subject"], "Set another password");
    let token = linked(&letter, "reset-password");

    assert_eq!(reset(&node.client(), &token, "short").await.error().1["field"], "input.newPassword");
    assert_eq!(reset(&node.client(), &token, NEXT).await.data()["resetPassword"]["user"]["id"], alice.id);
    assert_unusable(&reset(&node.client(), &token, PASSWORD).await);
    assert_eq!(login(&node.client(), PASSWORD).await.error().0, "INVALID_CREDENTIALS");
    login(&node.client(), NEXT).await.data();
    let notice = mails.letter().await;
    assert_eq!(notice["subject"], "Your password was changed");
    assert!(notice["text"].is_string() && notice["html"].is_string(), "{notice}");

    let db = world.database.connect().await;
    for action in ["password.reset_requested", "password.reset"] {
        let entries = audit_logs::Entity::find().filter(audit_logs::Column::Action.eq(action));
        assert_eq!(entries.count(&db).await.expect("readable"), 1, "{action}");
    }
}

#[tokio::test]
async fn of_two_uses_at_once_one_succeeds() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    register(&node, &mut mails, "alice").await;
    let token = reset_token(&node, &mut mails).await;
    let (one, two) = (node.client(), node.client());
    let answers: [Answer; 2] = tokio::join!(reset(&one, &token, NEXT), reset(&two, &token, NEXT)).into();
    let [done, refused]: [Vec<&Answer>; 2] =
        [false, true].map(|fails| answers.iter().filter(|answer| answer.0.get("errors").is_some() == fails).collect());
    assert_eq!((done.len(), refused.len()), (1, 1), "{answers:?}");
    assert_unusable(refused[0]);
}

#[tokio::test]
async fn a_reset_ends_all_sessions_and_sockets_on_every_node() {
    let world = World::new().await;
    let (one, mut mails) = mailing(&world).await;
    let two = if world.is_clustered() { node_at(&world, "two", mails.port).await } else { one.clone() };
    let (alice, _) = register(&one, &mut mails, "alice").await;
    let device = two.client().login("alice").await;
    let mut sockets = [alice.socket().await, device.socket().await, alice.at(two.server.address).feed(None).await];
    let token = reset_token(&one, &mut mails).await;
    reset(&one.client(), &token, NEXT).await.data();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 4403);
    }
    for client in [&alice, &device, &alice.at(two.server.address)] {
        assert_eq!(client.refusal().await.as_deref(), Some("REVOKED"));
        assert_eq!(client.refresh().await.error().1["reason"], "REVOKED");
    }
}

#[tokio::test]
async fn a_link_works_for_fifteen_minutes() {
    let world = World::with_clock(manual_clock()).await;
    let (node, mut mails) = mailing(&world).await;
    let (_, verification) = register(&node, &mut mails, "alice").await;
    let token = reset_token(&node, &mut mails).await;
    world.source.clock.advance(TimeDelta::minutes(15));
    assert_unusable(&reset(&node.client(), &token, NEXT).await);
    assert_unusable(&verify(&node.client(), &verification).await);
    let token = reset_token(&node, &mut mails).await;
    world.source.clock.advance(TimeDelta::seconds(899));
    reset(&node.client(), &token, NEXT).await.data();
}

#[tokio::test]
async fn only_the_newest_link_works_and_only_for_what_it_is() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, old) = register(&node, &mut mails, "alice").await;
    alice.run(operation!("resend_verification_email"), Value::Null).await.data();
    let verification = linked(&mails.letter().await, "verify-email");
    let (first, second) = (reset_token(&node, &mut mails).await, reset_token(&node, &mut mails).await);
    for token in [&first, &verification, "qvp_unknown", ""] {
        assert_unusable(&reset(&node.client(), token, NEXT).await);
    }
    for token in [&old, &second] {
        assert_unusable(&verify(&node.client(), token).await);
    }
    verify(&node.client(), &verification).await.data();
    reset(&node.client(), &second, NEXT).await.data();
}

#[tokio::test]
async fn a_changed_password_takes_the_mailed_link_with_it() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, _) = register(&node, &mut mails, "alice").await;
    let token = reset_token(&node, &mut mails).await;
    let input = json!({ "currentPassword": PASSWORD, "newPassword": NEXT });
    alice.run(operation!("change_password"), json!({ "input": input })).await.data();
    assert_unusable(&reset(&node.client(), &token, PASSWORD).await);
    login(&node.client(), NEXT).await.data();
}

#[tokio::test]
async fn a_reset_opens_what_too_many_wrong_passwords_have_locked() {
    let world = World::new().await;
    let mut mails = MailServer::start().await;
    let mut config = world.mail_config("one", mails.port);
    config.accounts.max_password_failures = 1;
    let node = world.try_node(config).await.expect("a node starts");
    register(&node, &mut mails, "alice").await;
    for password in ["wrong", PASSWORD] {
        assert_eq!(login(&node.client(), password).await.error().0, "INVALID_CREDENTIALS");
    }
    let token = reset_token(&node, &mut mails).await;
    reset(&node.client(), &token, NEXT).await.data();
    login(&node.client(), NEXT).await.data();
}

#[tokio::test]
async fn a_reset_and_a_change_at_once_leave_one_of_the_two_passwords() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, _) = register(&node, &mut mails, "alice").await;
    let token = reset_token(&node, &mut mails).await;
    let other = "velvet-harbor-cactus-ribbon-9";
    let input = json!({ "input": { "currentPassword": PASSWORD, "newPassword": other } });
    let nobody = node.client();
    let (by_mail, by_owner) =
        tokio::join!(reset(&nobody, &token, NEXT), alice.run(operation!("change_password"), input));
    let done = [by_mail, by_owner].map(|answer| answer.0.get("errors").is_none());
    assert_ne!(done[0], done[1]);
    login(&nobody, if done[0] { NEXT } else { other }).await.data();
}

#[tokio::test]
async fn an_unknown_address_is_answered_like_a_known_one_and_gets_no_mail() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, _) = register(&node, &mut mails, "alice").await;
    let (known, unknown) =
        (forget(&node.client(), "alice@example.org").await, forget(&node.client(), "eve@example.org").await);
    assert_eq!(known.data()["requestPasswordReset"]["accepted"], true);
    assert_eq!(known.0, unknown.0);
    mails.letter().await;
    alice.run(operation!("deactivate_account"), json!({ "input": { "password": PASSWORD } })).await.data();
    assert_eq!(forget(&node.client(), "alice@example.org").await.0, unknown.0);
    assert_eq!(forget(&node.client(), "no address").await.error().1["field"], "input.email");
    node.stop().await;
    assert_eq!(mails.rest().await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_address_is_confirmed_once() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, token) = register(&node, &mut mails, "alice").await;
    let seen = || alice.run(operation!("user"), json!({ "by": { "id": alice.id } }));
    seen().await.data();
    let answer = verify(&node.client(), &token).await;
    assert_eq!(answer.data()["verifyEmail"]["user"], json!({ "id": alice.id, "isVerified": true }));
    assert_unusable(&verify(&node.client(), &token).await);
    let query = "{ viewer { isEmailVerified user { isVerified } } }";
    let viewer = alice.run(query, Value::Null).await;
    assert_eq!(viewer.data()["viewer"], json!({ "isEmailVerified": true, "user": { "isVerified": true } }));
}

#[tokio::test]
async fn an_account_out_of_use_takes_no_link() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (alice, verification) = register(&node, &mut mails, "alice").await;
    let token = reset_token(&node, &mut mails).await;
    alice.run(operation!("deactivate_account"), json!({ "input": { "password": PASSWORD } })).await.data();
    assert_unusable(&verify(&node.client(), &verification).await);
    assert_unusable(&reset(&node.client(), &token, NEXT).await);
}

#[tokio::test]
async fn another_confirmation_needs_a_session() {
    let node = World::new().await.node().await;
    let answer = node.client().run(operation!("resend_verification_email"), Value::Null).await;
    assert_eq!(answer.error().1["reason"], "MISSING");
}

#[tokio::test]
async fn the_database_holds_digests_only() {
    let world = World::new().await;
    let (node, mut mails) = mailing(&world).await;
    let (_, verification) = register(&node, &mut mails, "alice").await;
    let mut expected = [verification, reset_token(&node, &mut mails).await].map(|token| token::digest(&token).to_vec());
    let db = world.database.connect().await;
    let rows = one_time_tokens::Entity::find().all(&db).await.expect("readable");
    let mut stored: Vec<_> = rows.into_iter().map(|row| row.token_hash).collect();
    expected.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn mails_are_limited_by_recipient_whether_or_not_there_is_one() {
    let world = World::new().await;
    let mut config = world.config("one");
    config.rate_limits.enabled = true;
    config.rate_limits.mail_by_network.burst = 10;
    let node = world.try_node(config).await.expect("a node starts");
    let alice = node.client().register("alice").await;
    let mut refusals = Vec::new();
    for email in ["alice@example.org", "eve@example.org"] {
        forget(&node.client(), email).await.data();
        let refused = forget(&node.client(), &email.to_uppercase()).await;
        let (code, extensions) = refused.error();
        let is_about_an_hour = (3_500..=3_600).contains(&extensions["retryAfterSeconds"].as_u64().expect("a wait"));
        refusals.push((code.to_owned(), is_about_an_hour));
    }
    assert_eq!(refusals, [("RATE_LIMITED".to_owned(), true), ("RATE_LIMITED".to_owned(), true)]);
    alice.run(operation!("resend_verification_email"), Value::Null).await.data();
    let again = alice.run(operation!("resend_verification_email"), Value::Null).await;
    assert_eq!(again.error().0, "RATE_LIMITED");
}

#[tokio::test]
async fn mails_are_limited_by_network() {
    let world = World::new().await;
    let node = world.node_with(|config| config.rate_limits.enabled = true).await;
    for n in 0..3 {
        forget(&node.client(), &format!("user{n}@example.org")).await.data();
    }
    assert_eq!(forget(&node.client(), "user3@example.org").await.error().0, "RATE_LIMITED");
}

#[tokio::test]
async fn no_secret_of_a_mail_is_in_the_log() {
    let world = World::new().await;
    let mut mails = MailServer::start().await;
    let mut command = binary();
    command.envs(world.environment_with("one", &[TRACE])).envs(MailServer::settings(mails.port));
    let process = Process::run(command).await;
    let client = process.client();
    client.register("alice").await;
    let verification = linked(&mails.letter().await, "verify-email");
    verify(&client, &verification).await.data();
    forget(&client, "alice@example.org").await.data();
    let token = linked(&mails.letter().await, "reset-password");
    reset(&client, &token, NEXT).await.data();
    mails.letter().await;
    let (output, log) = process.stop().await;
    assert!(log.contains("stopping"), "{log}");
    for secret in [&verification, &token, PASSWORD, NEXT] {
        assert!(!output.contains(secret) && !log.contains(secret), "{secret} is in the log: {log}");
    }
}
