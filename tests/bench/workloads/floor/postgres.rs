//! The floor over PostgreSQL: pipelined statements on a few connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use redis::{AsyncCommands, aio::ConnectionManager};
use tokio_postgres::{Client, NoTls, Row, Statement, types::ToSql};
use uuid::Uuid;

use super::{Conversation, Draft, INBOX, INSERT, Line, MEMBERS, Message, NAME, NEWEST, OWN_RECORD, Person};

const CONNECTIONS: usize = 20;
const NEWEST_OF_EACH: &str = "SELECT p.id, p.username, m.id, m.encrypted_content, m.created_at
    FROM (SELECT conversation_id, peer_id, last_event FROM conversation_members
          WHERE user_id = $1 AND last_event > 0 AND last_event < 9223372036854775807
          ORDER BY last_event DESC LIMIT 50) c
    JOIN users p ON p.id = c.peer_id
    JOIN LATERAL (SELECT id, encrypted_content, created_at FROM messages
          WHERE conversation_id = c.conversation_id AND sequence > 0 AND sequence < 9223372036854775807
          ORDER BY sequence DESC LIMIT 3) m ON true
    ORDER BY c.last_event DESC";

/// Connections that requests use in turn, and Redis for the hint after a send.
pub struct Postgres {
    connections: Vec<Prepared>,
    next: AtomicUsize,
    redis: ConnectionManager,
}

/// Connection with its prepared statements.
struct Prepared {
    client: Client,
    own_record: Statement,
    newest: Statement,
    members: Statement,
    inbox: Statement,
    insert: Statement,
    name: Statement,
    newest_of_each: Statement,
}

impl Postgres {
    pub async fn connect(database: &str, redis: &str) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, driver) = tokio_postgres::connect(database, NoTls).await.expect("the database answers");
            tokio::spawn(driver);
            let prepare = async |sql| client.prepare(sql).await.expect("a statement");
            let (own_record, newest, members) =
                (prepare(OWN_RECORD).await, prepare(NEWEST).await, prepare(MEMBERS).await);
            let (inbox, insert, name) = (prepare(INBOX).await, prepare(INSERT).await, prepare(NAME).await);
            let newest_of_each = prepare(NEWEST_OF_EACH).await;
            connections.push(Prepared { client, own_record, newest, members, inbox, insert, name, newest_of_each });
        }
        let redis = redis::Client::open(redis).expect("a URL").get_connection_manager().await.expect("Redis answers");
        Self { connections, next: AtomicUsize::new(0), redis }
    }

    fn connection(&self) -> &Prepared {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS]
    }

    pub async fn own_record(&self, user: Uuid) -> (String, String, DateTime<Utc>) {
        let db = self.connection();
        let row = db.client.query_one(&db.own_record, &[&user]).await.expect("a user");
        (row.get(0), row.get(1), row.get(2))
    }

    /// Reads a conversation's newest messages and both its members, in one round trip.
    pub async fn newest(&self, conversation: Uuid, one: Uuid, other: Uuid) -> (Vec<Message>, Vec<Person>) {
        let db = self.connection();
        let (messages, members) =
            tokio::join!(db.rows(&db.newest, [&conversation]), db.rows(&db.members, [&one, &other]));
        let message = |row: &Row| Message {
            id: row.get(0),
            sender_id: row.get(1),
            recipient_id: row.get(2),
            content: row.get(3),
            iv: row.get(4),
            at: row.get(5),
        };
        let person = |row: &Row| Person { id: row.get(0), username: row.get(1), key: row.get(2) };
        (messages.iter().map(message).collect(), members.iter().map(person).collect())
    }

    pub async fn inbox(&self, user: Uuid) -> Vec<Line> {
        let db = self.connection();
        let line = |row: &Row| Line {
            id: row.get(0),
            unread: row.get(1),
            peer_id: row.get(2),
            peer: row.get(3),
            message_id: row.get(4),
            content: row.get(5),
            iv: row.get(6),
            at: row.get(7),
        };
        db.rows(&db.inbox, [&user]).await.iter().map(line).collect()
    }

    pub async fn newest_of_each(&self, user: Uuid) -> Vec<Conversation> {
        let db = self.connection();
        let mut found: Vec<Conversation> = Vec::new();
        for row in db.rows(&db.newest_of_each, [&user]).await {
            let (peer_id, message) = (row.get(0), (row.get(2), row.get(3), row.get(4)));
            match found.last_mut().filter(|last| last.peer_id == peer_id) {
                Some(last) => last.messages.push(message),
                None => found.push(Conversation { peer_id, peer: row.get(1), messages: vec![message] }),
            }
        }
        found
    }

    /// Stores a message, reads its sender's name in the same round trip, and publishes a hint.
    pub async fn send(&self, draft: Draft) -> String {
        let db = self.connection();
        let iv = &draft.content[..12];
        let values: [&(dyn ToSql + Sync); 9] = [
            &draft.id,
            &draft.conversation_id,
            &draft.sequence,
            &draft.sender_id,
            &draft.recipient_id,
            &draft.client_message_id,
            &draft.content,
            &iv,
            &draft.at,
        ];
        let (stored, names) =
            tokio::join!(db.client.execute(&db.insert, &values), db.rows(&db.name, [&draft.sender_id]));
        stored.expect("the message is stored");
        let channel = draft.recipient_id.to_string();
        self.redis.clone().publish::<_, _, ()>(channel, "").await.expect("Redis answers");
        names[0].get(0)
    }
}

impl Prepared {
    async fn rows<const N: usize>(&self, statement: &Statement, values: [&(dyn ToSql + Sync); N]) -> Vec<Row> {
        self.client.query(statement, &values).await.expect("rows")
    }
}
