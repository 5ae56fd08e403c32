//! The floor's responses, formatted by hand.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::{Conversation, Line, Message, Person};

pub fn own_record(id: Uuid, (username, email, at): &(String, String, DateTime<Utc>)) -> String {
    format!(r#"{{"id":"{id}","username":"{username}","email":"{email}","createdAt":"{}"}}"#, time(*at))
}

pub fn newest(messages: &[Message], members: &[Person]) -> String {
    let mut out = String::with_capacity(48 << 10);
    out.push_str(r#"{"nodes":["#);
    for message in messages.iter().take(50) {
        let Message { id, content, iv, at, .. } = message;
        let (content, iv, at) = (base64(content), base64(iv), time(*at));
        write!(out, r#"{{"id":"{id}","encryptedContent":"{content}","iv":"{iv}","createdAt":"{at}""#).expect("room");
        for (role, id) in [("sender", message.sender_id), ("recipient", message.recipient_id)] {
            let Person { username, key, .. } = members.iter().find(|person| person.id == id).expect("a member");
            let key = base64(key);
            write!(out, r#","{role}":{{"id":"{id}","username":"{username}","publicKeys":{{"ecc":"{key}"}}}}"#)
                .expect("room");
        }
        out.push_str("},");
    }
    out.pop();
    write!(out, r#"],"pageInfo":{{"hasNextPage":{}}}}}"#, messages.len() > 50).expect("room");
    out
}

pub fn inbox(lines: &[Line]) -> String {
    let mut out = String::with_capacity(16 << 10);
    out.push_str(r#"{"nodes":["#);
    for Line { id, unread, peer_id, peer, message_id, content, iv, at } in lines.iter().take(20) {
        let (content, iv, at) = (base64(content), base64(iv), time(*at));
        write!(
            out,
            r#"{{"id":"{id}","unreadCount":{unread},"peer":{{"id":"{peer_id}","username":"{peer}"}},"lastMessage":{{"id":"{message_id}","encryptedContent":"{content}","iv":"{iv}","createdAt":"{at}"}}}},"#
        )
        .expect("room");
    }
    out.pop();
    write!(out, r#"],"pageInfo":{{"hasNextPage":{}}}}}"#, lines.len() > 20).expect("room");
    out
}

pub fn newest_of_each(conversations: &[Conversation]) -> String {
    let mut out = String::with_capacity(96 << 10);
    out.push('[');
    for Conversation { peer_id, peer, messages } in conversations {
        write!(out, r#"{{"peer":{{"id":"{peer_id}","username":"{peer}"}},"messages":["#).expect("room");
        for (id, content, at) in messages {
            let (content, at) = (base64(content), time(*at));
            write!(out, r#"{{"id":"{id}","encryptedContent":"{content}","createdAt":"{at}"}},"#).expect("room");
        }
        out.pop();
        out.push_str("]},");
    }
    out.pop();
    out.push(']');
    out
}

pub fn sent(id: Uuid, at: DateTime<Utc>, username: &str) -> String {
    format!(r#"{{"id":"{id}","createdAt":"{}","sender":{{"username":"{username}"}}}}"#, time(at))
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
