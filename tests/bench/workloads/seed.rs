//! The users, conversations and messages that the works use: skewed, in chronological order, equal in every run.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use quantumvault::domain::{Clock, UserId};
use qv_tests::dice::Dice;
use uuid::Uuid;

use super::fill::{Cell, Database};

/// Seed of all random data.
const SEED: u64 = 42;
/// Conversations drawn per user.
const CONVERSATIONS_PER_USER: u32 = 5;
/// Fewest pairs to draw, so that some user of a small database has a page of conversations.
const FEWEST_PAIRS: u32 = 1_500;

/// Size of a database.
#[derive(Clone, Copy)]
pub struct Size {
    pub users: u32,
    pub messages: u32,
}

/// Two users with a conversation of more than a page of messages.
#[derive(Clone, Copy)]
pub struct Pair {
    pub conversation: u32,
    pub one: u32,
    pub other: u32,
}

/// Contents of a filled database.
pub struct Seed {
    pub size: Size,
    /// Pairs with more than a page of messages, in random order.
    pub pairs: Vec<Pair>,
    /// Users that each user has a conversation with.
    pub peers: HashMap<u32, Vec<u32>>,
}

/// Message with its sequence numbers in the conversation and in both mailboxes.
struct Note {
    conversation: u32,
    sender: u32,
    recipient: u32,
    sequence: i64,
    sender_place: i64,
    recipient_place: i64,
}

/// Side of a conversation.
#[derive(Default)]
struct Line {
    last_note: u32,
    last_place: i64,
    unread: i64,
}

#[derive(Default)]
struct Mailbox {
    last_place: i64,
    unread: i64,
}

/// Returns the name of the nth user. Users with low numbers write and read the most.
pub fn username(n: u32) -> String {
    format!("user{n:06}")
}

/// Returns the id of the nth user.
pub fn user_id(n: u32) -> Uuid {
    id(0x0197, n)
}

/// Returns the global id of the nth user.
pub fn global_id(n: u32) -> String {
    UserId(user_id(n)).to_string()
}

/// Returns the id of the nth conversation.
pub fn conversation_id(n: u32) -> Uuid {
    id(0x0199, n)
}

fn message_id(n: u32) -> Uuid {
    id(0x0198, n)
}

fn id(kind: u128, n: u32) -> Uuid {
    Uuid::from_u128(kind << 112 | 0x7000_8000 << 48 | u128::from(n))
}

impl Seed {
    /// Returns the users with at least this many conversations, in random order.
    pub fn users_with(&self, conversations: usize) -> Vec<u32> {
        let found = self.peers.iter().filter(|(_, peers)| peers.len() >= conversations);
        let mut users: Vec<_> = found.map(|(user, _)| *user).collect();
        users.sort_unstable();
        shuffle(&mut Dice::new(SEED), &mut users);
        users
    }
}

/// Fills a database whose schema exists. All users get the password of the only existing user.
pub async fn fill(database: &mut Database, size: Size) -> Seed {
    let mut dice = Dice::new(SEED);
    let pairs = draw_pairs(&mut dice, size.users);
    let (mut sizes, mut lines) = (vec![0_i64; pairs.len()], HashMap::<(u32, u32), Line>::new());
    let mut mailboxes: Vec<_> = (0..=size.users).map(|_| Mailbox::default()).collect();
    let mut notes = Vec::with_capacity(size.messages as usize);
    for n in 0..size.messages {
        let conversation = skewed(&mut dice, pairs.len(), 3);
        let (one, other) = pairs[conversation];
        let (sender, recipient) = if dice.once_in(2) { (one, other) } else { (other, one) };
        sizes[conversation] += 1;
        let conversation = u32::try_from(conversation).expect("few conversations");
        let mut arrive = |user: u32, unread: i64| {
            let mailbox = &mut mailboxes[user as usize];
            let line = lines.entry((conversation, user)).or_default();
            mailbox.last_place += 1;
            mailbox.unread += unread;
            *line = Line { last_note: n, last_place: mailbox.last_place, unread: line.unread + unread };
            mailbox.last_place
        };
        let (sender_place, recipient_place) = (arrive(sender, 0), arrive(recipient, 1));
        let sequence = sizes[conversation as usize];
        notes.push(Note { conversation, sender, recipient, sequence, sender_place, recipient_place });
    }
    let mut peers = HashMap::<u32, Vec<u32>>::new();
    for (&(one, other), _) in pairs.iter().zip(&sizes).filter(|(_, size)| **size > 0) {
        peers.entry(one).or_default().push(other);
        peers.entry(other).or_default().push(one);
    }
    write(database, size, &pairs, &sizes, &notes, &lines, &mailboxes).await;
    let long = (0..).zip(&pairs).zip(&sizes).filter(|(_, size)| **size > 50);
    let mut pairs: Vec<_> = long.map(|((conversation, &(one, other)), _)| Pair { conversation, one, other }).collect();
    shuffle(&mut dice, &mut pairs);
    Seed { size, pairs, peers }
}

/// Draws the pairs of users with a conversation, in random order.
fn draw_pairs(dice: &mut Dice, users: u32) -> Vec<(u32, u32)> {
    let mut user = || 1 + u32::try_from(skewed(dice, users as usize, 2)).expect("a user");
    let drawn = (0..(CONVERSATIONS_PER_USER * users).max(FEWEST_PAIRS)).map(|_| (user(), user()));
    let distinct: BTreeSet<_> = drawn.filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
    let mut pairs: Vec<_> = distinct.into_iter().collect();
    shuffle(dice, &mut pairs);
    pairs
}

/// Shuffles items (Fisher and Yates).
fn shuffle<T>(dice: &mut Dice, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, dice.below(last + 1));
    }
}

/// Returns a number below `bound`. The higher the power, the more frequent are low numbers.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
fn skewed(dice: &mut Dice, bound: usize, power: i32) -> usize {
    const GRAIN: usize = 1 << 52;
    let uniform = dice.below(GRAIN) as f64 / GRAIN as f64;
    (bound as f64 * uniform.powi(power)) as usize
}

async fn write(
    database: &mut Database,
    size: Size,
    pairs: &[(u32, u32)],
    sizes: &[i64],
    notes: &[Note],
    lines: &HashMap<(u32, u32), Line>,
    mailboxes: &[Mailbox],
) {
    let now = Clock::System.now();
    let at = |n: u32| Cell::Time(sent_at(now, size, n));
    let hash = database.password_hash().await;
    let users = (1..=size.users).map(|n| {
        let email = Cell::Text(format!("user{n}@example.org"));
        let (ecc, pqc) = (Cell::Bytes(noise(n, 32)), Cell::Bytes(noise(n, 1184)));
        let (hash, made) = (Cell::Text(hash.clone()), || Cell::Time(now - TimeDelta::days(30)));
        let (yes, role) = (|| Cell::Flag(true), Cell::Text("USER".to_owned()));
        let name = Cell::Text(username(n));
        vec![Cell::Id(user_id(n)), name, email, hash, ecc, pqc, made(), made(), made(), yes(), yes(), role]
    });
    let columns = "id, username, email, password_hash, public_key_ecc, public_key_pqc, keys_changed_at, created_at, \
        updated_at, is_active, is_verified, role";
    database.insert("users", columns, users).await;

    let rows = (0..).zip(pairs).zip(sizes).filter(|(_, size)| **size > 0).map(|((n, &(one, other)), &size)| {
        let members = [Cell::Id(user_id(one)), Cell::Id(user_id(other))];
        [vec![Cell::Id(conversation_id(n))], members.into(), vec![at(0), Cell::Number(size)]].concat()
    });
    let columns = "id, first_user_id, second_user_id, created_at, last_sequence";
    database.insert("conversations", columns, rows).await;

    let rows = (0..).zip(notes).map(|(n, note)| {
        let members = [Cell::Id(user_id(note.sender)), Cell::Id(user_id(note.recipient))];
        let place =
            vec![Cell::Id(message_id(n)), Cell::Id(conversation_id(note.conversation)), Cell::Number(note.sequence)];
        let content = [Cell::Text(format!("seed-{n}")), Cell::Bytes(noise(n, 304)), Cell::Bytes(noise(n, 12))];
        [place, members.into(), content.into(), vec![at(n), Cell::Flag(false), Cell::Flag(false)]].concat()
    });
    let columns = "id, conversation_id, sequence, sender_id, recipient_id, client_message_id, encrypted_content, iv, \
        created_at, deleted_by_sender, deleted_by_recipient";
    database.insert("messages", columns, rows).await;

    let rows = (0..).zip(notes).flat_map(|(n, note)| {
        [(note.sender, note.sender_place), (note.recipient, note.recipient_place)].map(|(user, place)| {
            let kind = Cell::Text("SENT".to_owned());
            vec![Cell::Id(user_id(user)), Cell::Number(place), kind, Cell::Id(message_id(n)), at(n)]
        })
    });
    database.insert("mailbox_events", "user_id, sequence, kind, message_id, created_at", rows).await;

    // Ordered by their last messages, as repeated updates would leave the rows.
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by_key(|((_, user), line)| (line.last_note, *user));
    let rows = lines.into_iter().map(|(&(conversation, user), line)| {
        let (one, other) = pairs[conversation as usize];
        let peer = if user == one { other } else { one };
        let ids = [Cell::Id(conversation_id(conversation)), Cell::Id(user_id(user)), Cell::Id(user_id(peer))];
        let last = [Cell::Id(message_id(line.last_note)), Cell::Number(line.last_place)];
        [&ids[..], &last[..], &[Cell::Number(line.unread), Cell::Number(0)]].concat()
    });
    let columns = "conversation_id, user_id, peer_id, last_message_id, last_event, unread_count, read_sequence";
    database.insert("conversation_members", columns, rows).await;

    let rows = (0..).zip(mailboxes).skip(1).map(|(n, mailbox)| {
        vec![Cell::Id(user_id(n)), Cell::Number(mailbox.last_place), Cell::Number(1), Cell::Number(mailbox.unread)]
    });
    database.insert("mailboxes", "user_id, last_sequence, oldest_sequence, unread_count", rows).await;
    database.settle().await;
}

/// Returns the time of the nth message. Messages are a millisecond apart, and the last one is a second old.
fn sent_at(now: DateTime<Utc>, size: Size, n: u32) -> DateTime<Utc> {
    now - TimeDelta::milliseconds(i64::from(size.messages - n) + 1_000)
}

/// Returns bytes that cannot be compressed.
fn noise(n: u32, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(u64::from(n));
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(dice.below(usize::MAX).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
