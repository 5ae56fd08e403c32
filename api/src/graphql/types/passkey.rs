//! Passkeys.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf};
use crate::graphql::request_scope::RequestScope;

/// A way to sign in without a password.
pub(crate) type Passkey = Scoped<domain::Passkey>;

impl JsonObject for domain::Passkey {
    type Context = RequestScope;
    const NAME: &'static str = "Passkey";
    const DESCRIPTION: &'static str = "A way to sign in without a password.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(it.id)),
        leaf::<_, String>("deviceName", "What its owner calls the device that keeps it.", |it, out| {
            out.text(&it.device_name);
        }),
        leaf::<_, Timestamp>("createdAt", "When it was added.", |it, out| out.time(it.created_at)),
        leaf::<_, Option<Timestamp>>("lastUsedAt", "When it last signed in; null before the first time.", |it, out| {
            out.or_null(it.last_used_at, Writer::time);
        }),
    ];
}
