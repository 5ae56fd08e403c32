//! The database that the workloads run on: skewed as people are, and the same every time.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row};
use uuid::Uuid;

use super::fan_out::SOCKETS;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Size {
    pub users: u32,
    pub messages: u32,
}

/// A conversation that has at least fifty messages.
pub struct Pair {
    pub one: String,
    pub conversation_id: Uuid,
    pub one_id: Uuid,
    pub other_id: Uuid,
}

/// A seeded database.
pub struct Seed {
    pub size: Size,
    pub pairs: Vec<Pair>,
    /// Users, by their numbers, who have more than fifty conversations of several messages: as much as any answer holds.
    pub readers: Vec<u32>,
}

/// The nth user; those of low numbers write and read the most.
pub fn username(n: u32) -> String {
    format!("user{n:06}")
}

/// The nth user's id.
pub fn user_id(n: u32) -> Uuid {
    Uuid::parse_str(&format!("01970000-0000-7000-8000-{n:012x}")).expect("a UUID")
}

/// Fills a database whose schema is there and that has one user, whose password all others get.
pub async fn fill(url: &str, size: Size) -> Seed {
    let begin = Instant::now();
    let mut db = PgConnection::connect(url).await.expect("the database answers");
    let (users, messages) = (size.users, size.messages);
    let statements = [
        ids("person", "01970000"),
        ids("message", "01980000"),
        ids("conversation", "01990000"),
        "SELECT setseed(0.42)".to_owned(),
        format!(
            "INSERT INTO users (id, username, email, password_hash, public_key_ecc, public_key_pqc, keys_changed_at,
               created_at, updated_at, is_active, is_verified, role)
             SELECT person(n), 'user' || lpad(n::text, 6, '0'),
               'user' || n || '@example.org', hash, decode(repeat(md5(n::text), 2), 'hex'),
               decode(repeat(md5(n::text), 74), 'hex'), at, at, at, true, true, 'USER'
             FROM generate_series(1, {users} + {SOCKETS}) n, (SELECT password_hash AS hash, created_at AS at FROM users LIMIT 1) it"
        ),
        format!(
            "CREATE TEMP TABLE pair AS SELECT row_number() OVER (ORDER BY md5(a || ':' || b)) AS c, a, b FROM (
               SELECT DISTINCT least(a, b) AS a, greatest(a, b) AS b FROM (
                 SELECT 1 + floor({users} * random() ^ 2)::int AS a, 1 + floor({users} * random() ^ 2)::int AS b
                 FROM generate_series(1, greatest(5 * {users}, 1500))) drawn WHERE a <> b) distinct_pairs"
        ),
        format!(
            "CREATE TEMP TABLE note AS SELECT n, c, a, b, forth, row_number() OVER (PARTITION BY c ORDER BY n) AS place
             FROM (SELECT n, 1 + floor((SELECT count(*) FROM pair) * random() ^ 3)::int AS c, random() < 0.5 AS forth
               FROM generate_series(1, {messages}) n) drawn JOIN pair USING (c)"
        ),
        "CREATE TEMP TABLE event AS SELECT n, c, who, row_number() OVER (PARTITION BY who ORDER BY n) AS place
             FROM (SELECT n, c, a AS who FROM note UNION ALL SELECT n, c, b FROM note) both_sides"
            .to_owned(),
        "INSERT INTO conversations (id, first_user_id, second_user_id, created_at, last_sequence)
             SELECT conversation(c), person(a), person(b), now(), max(place) FROM note GROUP BY c, a, b"
            .to_owned(),
        "INSERT INTO messages (id, conversation_id, sequence, sender_id, recipient_id, client_message_id, encrypted_content, iv,
               created_at, deleted_by_sender, deleted_by_recipient)
             SELECT message(n), conversation(c), place, person(CASE WHEN forth THEN a ELSE b END),
               person(CASE WHEN forth THEN b ELSE a END), 'seed-' || n, decode(repeat(md5(n::text), 19), 'hex'),
               decode(left(md5(n::text), 24), 'hex'), now() - (8e6 - n) * interval '1 ms', false, false FROM note"
            .to_owned(),
        "INSERT INTO mailbox_events (user_id, sequence, kind, message_id, created_at)
             SELECT person(who), place, 'SENT', message(n), now() - (8e6 - n) * interval '1 ms' FROM event"
            .to_owned(),
        "INSERT INTO conversation_members (conversation_id, user_id, peer_id, last_message_id, last_event, unread_count,
               read_sequence)
             SELECT conversation(c), person(who), person(CASE WHEN who = a THEN b ELSE a END), message(max(n)),
               max(event.place), count(*) FILTER (WHERE forth <> (who = a)), 0
             FROM event JOIN note USING (n, c) GROUP BY c, who, a, b"
            .to_owned(),
        "INSERT INTO mailboxes (user_id, last_sequence, oldest_sequence, unread_count)
         SELECT id, coalesce(max(last_event), 0), 1, coalesce(sum(unread_count), 0)
         FROM users LEFT JOIN conversation_members ON user_id = id
         WHERE id NOT IN (SELECT user_id FROM mailboxes) GROUP BY id"
            .to_owned(),
        "CREATE SEQUENCE thin_places".to_owned(),
        "VACUUM ANALYZE".to_owned(),
        // What the filling has left for later would be done while something is measured.
        "CHECKPOINT".to_owned(),
    ];
    for statement in statements {
        db.execute(AssertSqlSafe(statement.clone())).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    println!("seed: {users} users and {messages} messages in {:.0?}", begin.elapsed());
    Seed { size, pairs: pairs(&mut db).await, readers: readers(&mut db).await }
}

/// A function that makes ids of one kind out of numbers.
fn ids(kind: &str, prefix: &str) -> String {
    format!(
        "CREATE FUNCTION {kind}(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql
         AS $$ SELECT ('{prefix}-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$"
    )
}

async fn pairs(db: &mut PgConnection) -> Vec<Pair> {
    let sql = "SELECT username, c.id, first_user_id, second_user_id FROM conversations c
        JOIN users u ON u.id = first_user_id WHERE last_sequence >= 50 ORDER BY md5(c.id::text) LIMIT 256";
    let rows = sqlx::query(sql).fetch_all(db).await.expect("readable");
    rows.iter()
        .map(|row| Pair { one: row.get(0), conversation_id: row.get(1), one_id: row.get(2), other_id: row.get(3) })
        .collect()
}

async fn readers(db: &mut PgConnection) -> Vec<u32> {
    let sql = "SELECT right(username, 6)::bigint FROM conversation_members m
        JOIN conversations c ON c.id = conversation_id JOIN users u ON u.id = m.user_id
        WHERE last_sequence >= 2 GROUP BY username HAVING count(*) > 50 ORDER BY username LIMIT 64";
    let rows = sqlx::query(sql).fetch_all(db).await.expect("readable");
    assert!(!rows.is_empty(), "somebody has a page of conversations");
    rows.iter().map(|row| u32::try_from(row.get::<i64, _>(0)).expect("a number")).collect()
}
