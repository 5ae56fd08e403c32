//! Encrypted messages.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::{request_scope::RequestScope, scalars::Base64, types::user::User};

/// An encrypted message, as its sender or its recipient sees it.
pub(crate) type Message = Scoped<domain::Message>;

impl JsonObject for domain::Message {
    type Context = RequestScope;
    const NAME: &'static str = "Message";
    const DESCRIPTION: &'static str = "An encrypted message. Only its sender and its recipient can see it.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes.", |it, out| out.plain(it.id)),
        object::<_, User>("sender", "User who sent the message.", |it: &Self, entry, out| {
            out.linked(&it.sender_id, entry)
        }),
        object::<_, User>("recipient", "User to whom the message was sent.", |it: &Self, entry, out| {
            out.linked(&it.recipient_id, entry)
        }),
        leaf::<_, Base64>("encryptedContent", "Ciphertext, 1 byte to 64 KiB, opaque to the server.", |it, out| {
            out.bytes(&it.encrypted_content);
        }),
        leaf::<_, Base64>("iv", "Initialisation vector of the ciphertext, 12 or 24 bytes.", |it, out| {
            out.bytes(&it.iv);
        }),
        leaf::<Self, Option<String>>(
            "clientMessageId",
            "Idempotency key from the sender. Null for the recipient.",
            |it, out| {
                let is_own = out.context.request().caller().is_some_and(|viewer| viewer.user_id == it.sender_id);
                out.or_null(is_own.then_some(&*it.client_message_id), Writer::text);
            },
        ),
        leaf::<_, Timestamp>("createdAt", "Time when the server accepted the message.", |it, out| {
            out.time(it.created_at);
        }),
        leaf::<_, Option<Timestamp>>(
            "readAt",
            "Time when the recipient marked the message read. Null until then.",
            |it, out| {
                out.or_null(it.read_at, Writer::time);
            },
        ),
    ];
}
