//! The floor: a baseline server that returns equivalent responses with hyper and a minimal database driver. It has no
//! GraphQL, sessions, limits, feeds or access log.
//!
//! Every statement is prepared once. Pages are read by bounds over an index. Each user of a page is fetched once.

mod json;
mod postgres;
mod sqlite;

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use qv_tests::{node_process::free_address, process};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use self::{postgres::Postgres, sqlite::Sqlite};
use super::figures::Round;
use super::works::Work;
use super::world::{Shape, World, ask, measure};

const OWN_RECORD: &str = "SELECT username, email, created_at FROM users WHERE id = $1";
const NEWEST: &str = "SELECT id, sender_id, recipient_id, encrypted_content, iv, created_at FROM messages
    WHERE conversation_id = $1 AND sequence > 0 AND sequence < 9223372036854775807
    ORDER BY sequence DESC LIMIT 51";
const MEMBERS: &str = "SELECT id, username, public_key_ecc FROM users WHERE id IN ($1, $2)";
const INBOX: &str =
    "SELECT c.conversation_id, c.unread_count, p.id, p.username, m.id, m.encrypted_content, m.iv, m.created_at
    FROM (SELECT conversation_id, unread_count, peer_id, last_message_id, last_event FROM conversation_members
          WHERE user_id = $1 AND last_event > 0 AND last_event < 9223372036854775807
          ORDER BY last_event DESC LIMIT 21) c
    JOIN users p ON p.id = c.peer_id JOIN messages m ON m.id = c.last_message_id
    ORDER BY c.last_event DESC";
const INSERT: &str = "INSERT INTO messages (id, conversation_id, sequence, sender_id, recipient_id, client_message_id,
      encrypted_content, iv, created_at, deleted_by_sender, deleted_by_recipient)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false, false)";
const NAME: &str = "SELECT username FROM users WHERE id = $1";

/// User as a page shows it.
struct Person {
    id: Uuid,
    username: String,
    key: Vec<u8>,
}

struct Message {
    id: Uuid,
    sender_id: Uuid,
    recipient_id: Uuid,
    content: Vec<u8>,
    iv: Vec<u8>,
    at: DateTime<Utc>,
}

struct Line {
    id: Uuid,
    unread: i64,
    peer_id: Uuid,
    peer: String,
    message_id: Uuid,
    content: Vec<u8>,
    iv: Vec<u8>,
    at: DateTime<Utc>,
}

/// Newest messages of a conversation.
struct Conversation {
    peer_id: Uuid,
    peer: String,
    messages: Vec<(Uuid, Vec<u8>, DateTime<Utc>)>,
}

/// Message to store, with a unique sequence number.
struct Draft {
    id: Uuid,
    conversation_id: Uuid,
    /// Negative, so that the number cannot collide with one that the server assigns.
    sequence: i64,
    sender_id: Uuid,
    recipient_id: Uuid,
    client_message_id: String,
    content: Vec<u8>,
    at: DateTime<Utc>,
}

enum Store {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

/// Serves until the process ends.
pub async fn serve(address: SocketAddr, database: &str, redis: &str) {
    let store = if let Some(path) = database.strip_prefix("sqlite://") {
        Store::Sqlite(Sqlite::open(path))
    } else {
        Store::Postgres(Postgres::connect(database, redis).await)
    };
    let (store, listener) = (Arc::new(store), TcpListener::bind(address).await.expect("a free port"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let store = Arc::clone(&store);
        let service = service_fn(move |request| answer(Arc::clone(&store), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(store: Arc<Store>, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut path = head.uri.path().split('/').skip(1);
    let work = path.next().unwrap_or_default();
    let ids: Vec<_> = path.map(|id| Uuid::parse_str(id).expect("an id")).collect();
    let text = match (work, &ids[..]) {
        ("w1", &[user]) => json::own_record(user, &store.own_record(user).await),
        ("w2", &[conversation, one, other]) => {
            let (messages, members) = store.newest(conversation, one, other).await;
            json::newest(&messages, &members)
        }
        ("w3", &[user]) => json::inbox(&store.inbox(user).await),
        ("w4", &[sender_id, recipient_id, conversation_id]) => {
            let (number, content) = body.split_at(16);
            let draft = Draft {
                id: Uuid::from_u128(rand()),
                conversation_id,
                sequence: -i64::from_str_radix(std::str::from_utf8(number).expect("digits"), 16).expect("a number") - 1,
                sender_id,
                recipient_id,
                client_message_id: format!("floor-{}", String::from_utf8_lossy(number)),
                content: content.to_vec(),
                at: quantumvault::domain::Clock::System.now(),
            };
            let sent = (draft.id, draft.at);
            json::sent(sent.0, sent.1, &store.send(draft).await)
        }
        ("w6", &[user]) => json::newest_of_each(&store.newest_of_each(user).await),
        _ => panic!("{} is no work", head.uri),
    };
    Ok(Response::builder().header("content-type", "application/json").body(Full::from(text)).expect("an answer"))
}

fn rand() -> u128 {
    u128::from_le_bytes(quantumvault::domain::Random::System.bytes())
}

impl Store {
    async fn own_record(&self, user: Uuid) -> (String, String, DateTime<Utc>) {
        match self {
            Self::Postgres(store) => store.own_record(user).await,
            Self::Sqlite(store) => store.own_record(user).await,
        }
    }

    async fn newest(&self, conversation: Uuid, one: Uuid, other: Uuid) -> (Vec<Message>, Vec<Person>) {
        match self {
            Self::Postgres(store) => store.newest(conversation, one, other).await,
            Self::Sqlite(store) => store.newest(conversation, one, other).await,
        }
    }

    async fn inbox(&self, user: Uuid) -> Vec<Line> {
        match self {
            Self::Postgres(store) => store.inbox(user).await,
            Self::Sqlite(store) => store.inbox(user).await,
        }
    }

    async fn newest_of_each(&self, user: Uuid) -> Vec<Conversation> {
        match self {
            Self::Postgres(store) => store.newest_of_each(user).await,
            Self::Sqlite(store) => store.newest_of_each(user).await,
        }
    }

    /// Stores a message and returns its sender's name.
    async fn send(&self, draft: Draft) -> String {
        match self {
            Self::Postgres(store) => store.send(draft).await,
            Self::Sqlite(store) => store.send(draft).await,
        }
    }
}

/// Floor as a separate process.
pub struct Floor {
    child: Child,
    address: SocketAddr,
}

impl Floor {
    /// Starts the floor over a world's database.
    pub async fn start(shape: &Shape, world: &World) -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["floor", &address.to_string(), world.database(), &shape.redis()]);
        let floor = Self { child: command.spawn().expect("the floor starts"), address };
        let begin = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "the floor does not start");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        floor
    }

    /// Runs one round of a work.
    pub async fn round(&self, shape: &Shape, work: &Work) -> Round {
        measure(shape, || process::cpu(self.child.id()), ask(self.address, work.mode, &work.floor)).await
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}
