//! Passkeys.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf};
use crate::graphql::request_scope::RequestScope;

/// A passkey.
pub(crate) type Passkey = Scoped<domain::Passkey>;

impl JsonObject for domain::Passkey {
    type Context = RequestScope;
    const NAME: &'static str = "Passkey";
    const DESCRIPTION: &'static str = "A passkey (WebAuthn credential), which signs its owner in without a password.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes.", |it, out| out.plain(it.id)),
        leaf::<_, String>("deviceName", "Name that the owner gave to the device with the passkey.", |it, out| {
            out.text(&it.device_name);
        }),
        leaf::<_, Timestamp>("createdAt", "Time when the passkey was added.", |it, out| out.time(it.created_at)),
        leaf::<_, Option<Timestamp>>(
            "lastUsedAt",
            "Time of the latest sign-in with the passkey. Null before the first.",
            |it, out| {
                out.or_null(it.last_used_at, Writer::time);
            },
        ),
    ];
}
