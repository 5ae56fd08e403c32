//! Messages.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::{request_scope::RequestScope, scalars::Base64, types::user::User};

/// One encrypted message, seen by its sender or its recipient.
pub(crate) type Message = Scoped<domain::Message>;

impl JsonObject for domain::Message {
    type Context = RequestScope;
    const NAME: &'static str = "Message";
    const DESCRIPTION: &'static str = "One encrypted message, seen by its sender or its recipient.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(it.id)),
        object::<_, User>("sender", "Who wrote it.", |it: &Self, entry, out| out.linked(&it.sender_id, entry)),
        object::<_, User>("recipient", "Whom it is for.", |it: &Self, entry, out| out.linked(&it.recipient_id, entry)),
        leaf::<_, Base64>("encryptedContent", "The ciphertext, opaque to the server.", |it, out| {
            out.bytes(&it.encrypted_content);
        }),
        leaf::<_, Base64>("iv", "The initialisation vector, 12 or 24 bytes.", |it, out| out.bytes(&it.iv)),
        leaf::<Self, Option<String>>(
            "clientMessageId",
            "The sender's own id of it; null to the recipient.",
            |it, out| {
                let is_own = out.context.request().caller().is_some_and(|viewer| viewer.user_id == it.sender_id);
                out.or_null(is_own.then_some(&*it.client_message_id), Writer::text);
            },
        ),
        leaf::<_, Timestamp>("createdAt", "When the server accepted it.", |it, out| out.time(it.created_at)),
        leaf::<_, Option<Timestamp>>("readAt", "When the recipient marked it read; null until then.", |it, out| {
            out.or_null(it.read_at, Writer::time);
        }),
    ];
}
