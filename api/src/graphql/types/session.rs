//! Sessions, one for each signed-in device.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf};
use crate::graphql::request_scope::RequestScope;

/// A session of a signed-in device.
pub(crate) type Session = Scoped<domain::Session>;

impl JsonObject for domain::Session {
    type Context = RequestScope;
    const NAME: &'static str = "Session";
    const DESCRIPTION: &'static str = "A session of a signed-in device.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes. A refresh changes only the tokens.", |it, out| {
            out.plain(it.id);
        }),
        leaf::<_, Option<String>>(
            "deviceInfo",
            "Name that the client gave to the device at sign-in. Null if it gave none.",
            |it, out| out.or_null(it.device_info.as_deref(), Writer::text),
        ),
        leaf::<_, Option<String>>(
            "ipAddress",
            "IP address of the device at sign-in. Null if it is unknown.",
            |it, out| out.or_null(it.ip_address.as_deref(), Writer::text),
        ),
        leaf::<_, Timestamp>("createdAt", "Time of the sign-in.", |it, out| out.time(it.created_at)),
        leaf::<_, Timestamp>("lastUsedAt", "Time of the sign-in or of the latest refresh.", |it, out| {
            out.time(it.last_used_at);
        }),
        leaf::<_, Timestamp>("expiresAt", "Time when the session ends unless it is refreshed before.", |it, out| {
            out.time(it.expires_at);
        }),
        leaf::<Self, bool>("isCurrent", "Whether this request runs in the session.", |it, out| {
            out.json(&out.context.request().caller().is_some_and(|viewer| viewer.session_id == it.id));
        }),
    ];
}
