//! The floor: what poem and sqlx reach without GraphQL, sessions or limits, by one statement and JSON made by hand.

use std::{fmt::Write, net::SocketAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use poem::{
    EndpointExt, Response, Route, handler,
    listener::TcpListener,
    post,
    web::{Data, Path},
};
use quantumvault::domain::Source;
use sqlx::{
    PgPool, Row,
    postgres::{PgPoolOptions, PgRow},
    types::chrono::{DateTime, Utc},
};
use uuid::Uuid;

/// The statements of W1, W2, W3 and W6, of one user or conversation each.
pub const OWN_RECORD: &str = "SELECT username, email, created_at FROM users WHERE id = $1";
pub const NEWEST: &str = "SELECT m.id, m.encrypted_content, m.iv, m.created_at, s.id, s.username, s.public_key_ecc,
        r.id, r.username, r.public_key_ecc
    FROM messages m JOIN users s ON s.id = m.sender_id JOIN users r ON r.id = m.recipient_id
    WHERE m.conversation_id = $1 ORDER BY m.sequence DESC LIMIT 51";
pub const INBOX: &str =
    "SELECT c.conversation_id, c.unread_count, p.id, p.username, m.id, m.encrypted_content, m.iv, m.created_at
    FROM conversation_members c JOIN users p ON p.id = c.peer_id JOIN messages m ON m.id = c.last_message_id
    WHERE c.user_id = $1 ORDER BY c.last_event DESC LIMIT 21";
pub const NEWEST_OF_EACH: &str = "SELECT m.id, m.encrypted_content, m.created_at, c.id, p.id, p.username
    FROM (SELECT conversation_id AS id, peer_id, last_event FROM conversation_members
          WHERE user_id = $1 ORDER BY last_event DESC LIMIT 50) c
    JOIN users p ON p.id = c.peer_id
    JOIN LATERAL (SELECT id, encrypted_content, created_at FROM messages WHERE conversation_id = c.id
          ORDER BY sequence DESC LIMIT 3) m ON true
    ORDER BY c.last_event DESC";

/// Serves until the process is ended.
pub async fn serve(address: SocketAddr, url: &str) {
    let pool = PgPoolOptions::new().max_connections(8).test_before_acquire(false).connect(url).await;
    let route = Route::new()
        .at("/w1/:user", post(own_record))
        .at("/w2/:conversation", post(newest))
        .at("/w3/:user", post(inbox))
        .at("/w4/:sender/:recipient/:conversation", post(send))
        .at("/w6/:user", post(newest_of_each))
        .at("/constant/:bytes", post(constant))
        .data(pool.expect("the database answers"))
        .data(Source::default());
    poem::Server::new(TcpListener::bind(address)).run(route).await.expect("it serves");
}

/// No work at all: an answer of so many bytes.
#[handler]
fn constant(Path(bytes): Path<usize>) -> Response {
    json("x".repeat(bytes))
}

fn json(body: String) -> Response {
    Response::builder().content_type("application/json").body(body)
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn time(row: &PgRow, column: usize) -> String {
    row.get::<DateTime<Utc>, _>(column).to_rfc3339()
}

#[handler]
async fn own_record(Data(pool): Data<&PgPool>, Path(user): Path<Uuid>) -> Response {
    let row = sqlx::query(OWN_RECORD).bind(user).fetch_one(pool).await.expect("a user");
    let (username, email): (&str, &str) = (row.get(0), row.get(1));
    json(format!(r#"{{"id":"{user}","username":"{username}","email":"{email}","createdAt":"{}"}}"#, time(&row, 2)))
}

/// A message with both its people, of columns in this order.
fn message(row: &PgRow, out: &mut String) {
    let (id, content, iv): (Uuid, &[u8], &[u8]) = (row.get(0), row.get(1), row.get(2));
    let (sender, sender_name, sender_key): (Uuid, &str, &[u8]) = (row.get(4), row.get(5), row.get(6));
    let (recipient, recipient_name, recipient_key): (Uuid, &str, &[u8]) = (row.get(7), row.get(8), row.get(9));
    let (content, iv, at) = (base64(content), base64(iv), time(row, 3));
    let (sender_key, recipient_key) = (base64(sender_key), base64(recipient_key));
    write!(
        out,
        r#"{{"id":"{id}","encryptedContent":"{content}","iv":"{iv}","createdAt":"{at}","sender":{{"id":"{sender}","username":"{sender_name}","publicKeys":{{"ecc":"{sender_key}"}}}},"recipient":{{"id":"{recipient}","username":"{recipient_name}","publicKeys":{{"ecc":"{recipient_key}"}}}}}},"#
    )
    .expect("room");
}

#[handler]
async fn newest(Data(pool): Data<&PgPool>, Path(conversation): Path<Uuid>) -> Response {
    let rows = sqlx::query(NEWEST).bind(conversation).fetch_all(pool).await.expect("messages");
    let mut out = String::with_capacity(40 << 10);
    out.push_str(r#"{"nodes":["#);
    for row in rows.iter().take(50) {
        message(row, &mut out);
    }
    out.pop();
    write!(out, r#"],"pageInfo":{{"hasNextPage":{}}}}}"#, rows.len() > 50).expect("room");
    json(out)
}

#[handler]
async fn inbox(Data(pool): Data<&PgPool>, Path(user): Path<Uuid>) -> Response {
    let rows = sqlx::query(INBOX).bind(user).fetch_all(pool).await.expect("conversations");
    let mut out = String::with_capacity(16 << 10);
    out.push_str(r#"{"nodes":["#);
    for row in rows.iter().take(20) {
        let (id, unread, peer, peer_name): (Uuid, i64, Uuid, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
        let (message, content, iv): (Uuid, &[u8], &[u8]) = (row.get(4), row.get(5), row.get(6));
        let (content, iv, at) = (base64(content), base64(iv), time(row, 7));
        write!(
            out,
            r#"{{"id":"{id}","unreadCount":{unread},"peer":{{"id":"{peer}","username":"{peer_name}"}},"lastMessage":{{"id":"{message}","encryptedContent":"{content}","iv":"{iv}","createdAt":"{at}"}}}},"#
        )
        .expect("room");
    }
    out.pop();
    write!(out, r#"],"pageInfo":{{"hasNextPage":{}}}}}"#, rows.len() > 20).expect("room");
    json(out)
}

/// A message in a conversation, with none of the rest that a send keeps: no inbox, no feed, no order.
#[handler]
async fn send(
    Data(pool): Data<&PgPool>,
    Data(source): Data<&Source>,
    Path((sender, recipient, conversation)): Path<(Uuid, Uuid, Uuid)>,
    body: Vec<u8>,
) -> Response {
    let sql = "WITH it AS (
          INSERT INTO messages (id, conversation_id, sequence, sender_id, recipient_id, client_message_id,
            encrypted_content, iv, created_at, deleted_by_sender, deleted_by_recipient)
          VALUES ($1, $2, -nextval('thin_places'), $3, $4, $5, $6, $7, now(), false, false)
          RETURNING id, created_at, sender_id)
        SELECT it.id, it.created_at, username FROM it JOIN users ON users.id = sender_id";
    let (id, number) = (source.uuid(), String::from_utf8_lossy(&body[..16]).into_owned());
    let query = sqlx::query(sql).bind(id).bind(conversation).bind(sender).bind(recipient);
    let row = query.bind(format!("thin-{number}")).bind(&body[16..]).bind(&body[..12]).fetch_one(pool).await;
    let row = row.expect("it is stored");
    json(format!(
        r#"{{"id":"{id}","createdAt":"{}","sender":{{"username":"{}"}}}}"#,
        time(&row, 1),
        row.get::<&str, _>(2)
    ))
}

#[handler]
async fn newest_of_each(Data(pool): Data<&PgPool>, Path(user): Path<Uuid>) -> Response {
    let rows = sqlx::query(NEWEST_OF_EACH).bind(user).fetch_all(pool).await.expect("messages");
    let mut out = String::with_capacity(64 << 10);
    out.push('[');
    let mut latest = None;
    for row in &rows {
        let (message, content, conversation): (Uuid, &[u8], Uuid) = (row.get(0), row.get(1), row.get(3));
        if latest.replace(conversation) == Some(conversation) {
            out.push(',');
        } else {
            let (peer, peer_name): (Uuid, &str) = (row.get(4), row.get(5));
            if out.len() > 1 {
                out.push_str("]},");
            }
            write!(out, r#"{{"peer":{{"id":"{peer}","username":"{peer_name}"}},"messages":["#).expect("room");
        }
        let (content, at) = (base64(content), time(row, 2));
        write!(out, r#"{{"id":"{message}","encryptedContent":"{content}","createdAt":"{at}"}}"#).expect("room");
    }
    out.push_str("]}]");
    json(out)
}
