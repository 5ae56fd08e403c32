//! The floor over SQLite: a thread for each reading connection, and one for the writer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Params, Row, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Conversation, Draft, INBOX, INSERT, Line, MEMBERS, Message, NAME, NEWEST, OWN_RECORD, Person};

const READERS: usize = 2;
const LATEST: &str = "SELECT p.id, p.username, c.conversation_id
    FROM conversation_members c JOIN users p ON p.id = c.peer_id
    WHERE c.user_id = $1 AND c.last_event > 0 AND c.last_event < 9223372036854775807
    ORDER BY c.last_event DESC LIMIT 50";
const NEWEST_THREE: &str = "SELECT id, encrypted_content, created_at FROM messages
    WHERE conversation_id = $1 AND sequence > 0 AND sequence < 9223372036854775807
    ORDER BY sequence DESC LIMIT 3";

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Threads that run jobs, each with its own connection.
pub struct Sqlite {
    readers: Vec<Sender<Job>>,
    writer: Sender<Job>,
    next: AtomicUsize,
}

impl Sqlite {
    pub fn open(path: &str) -> Self {
        let readers = (0..READERS).map(|_| worker(path)).collect();
        Self { readers, writer: worker(path), next: AtomicUsize::new(0) }
    }

    async fn read<T: Send + 'static>(&self, job: impl FnOnce(&Connection) -> T + Send + 'static) -> T {
        run(&self.readers[self.next.fetch_add(1, Ordering::Relaxed) % READERS], job).await
    }

    pub async fn own_record(&self, user: Uuid) -> (String, String, DateTime<Utc>) {
        let record = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        self.read(move |db| rows(db, OWN_RECORD, [user], record).pop().expect("a user")).await
    }

    pub async fn newest(&self, conversation: Uuid, one: Uuid, other: Uuid) -> (Vec<Message>, Vec<Person>) {
        let message = |row: &Row| {
            let (sender_id, recipient_id, content) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Message { id: row.get(0)?, sender_id, recipient_id, content, iv: row.get(4)?, at: row.get(5)? })
        };
        let person = |row: &Row| Ok(Person { id: row.get(0)?, username: row.get(1)?, key: row.get(2)? });
        self.read(move |db| (rows(db, NEWEST, [conversation], message), rows(db, MEMBERS, [one, other], person))).await
    }

    pub async fn inbox(&self, user: Uuid) -> Vec<Line> {
        let line = |row: &Row| {
            let (peer_id, peer, message_id) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let (content, iv, at) = (row.get(5)?, row.get(6)?, row.get(7)?);
            Ok(Line { id: row.get(0)?, unread: row.get(1)?, peer_id, peer, message_id, content, iv, at })
        };
        self.read(move |db| rows(db, INBOX, [user], line)).await
    }

    pub async fn newest_of_each(&self, user: Uuid) -> Vec<Conversation> {
        let latest = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Uuid>(2)?));
        let message = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let job = move |db: &Connection| {
            let conversations = rows(db, LATEST, [user], latest).into_iter();
            conversations
                .map(|(peer_id, peer, id)| Conversation {
                    peer_id,
                    peer,
                    messages: rows(db, NEWEST_THREE, [id], message),
                })
                .collect()
        };
        self.read(job).await
    }

    /// Stores a message durably and reads its sender's name.
    pub async fn send(&self, draft: Draft) -> String {
        let job = move |db: &Connection| {
            let iv = &draft.content[..12];
            let values = params![
                draft.id,
                draft.conversation_id,
                draft.sequence,
                draft.sender_id,
                draft.recipient_id,
                draft.client_message_id,
                draft.content,
                iv,
                draft.at
            ];
            db.prepare_cached(INSERT).expect("a statement").execute(values).expect("the message is stored");
            rows(db, NAME, [draft.sender_id], |row| row.get(0)).pop().expect("a user")
        };
        run(&self.writer, job).await
    }
}

/// Starts a thread that runs jobs on its own connection, which is as durable as the server's.
fn worker(path: &str) -> Sender<Job> {
    let (sender, jobs) = channel::<Job>();
    let db = Connection::open(path).expect("the file opens");
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000")
        .expect("settings");
    thread::spawn(move || jobs.into_iter().for_each(|job| job(&db)));
    sender
}

async fn run<T: Send + 'static>(worker: &Sender<Job>, job: impl FnOnce(&Connection) -> T + Send + 'static) -> T {
    let (sender, done) = oneshot::channel();
    let job = move |db: &Connection| drop(sender.send(job(db)));
    worker.send(Box::new(job)).expect("the worker runs");
    done.await.expect("the job is done")
}

fn rows<T>(db: &Connection, sql: &str, values: impl Params, read: impl Fn(&Row) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = db.prepare_cached(sql).expect("a statement");
    let found = statement.query_map(values, |row| read(row)).expect("rows");
    found.collect::<rusqlite::Result<_>>().expect("rows of the expected types")
}
