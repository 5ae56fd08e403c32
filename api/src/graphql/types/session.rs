//! Sessions: signed-in devices.

use async_graphql::ID;

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf};
use crate::graphql::request_scope::RequestScope;

/// A signed-in device.
pub(crate) type Session = Scoped<domain::Session>;

impl JsonObject for domain::Session {
    type Context = RequestScope;
    const NAME: &'static str = "Session";
    const DESCRIPTION: &'static str = "A signed-in device.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable, however often the tokens change.", |it, out| out.plain(it.id)),
        leaf::<_, Option<String>>(
            "deviceInfo",
            "What the client called itself at sign-in; null if it did not say.",
            |it, out| out.or_null(it.device_info.as_deref(), Writer::text),
        ),
        leaf::<_, Option<String>>(
            "ipAddress",
            "Where it signed in from; null if the server could not tell.",
            |it, out| out.or_null(it.ip_address.as_deref(), Writer::text),
        ),
        leaf::<_, Timestamp>("createdAt", "When it signed in.", |it, out| out.time(it.created_at)),
        leaf::<_, Timestamp>("lastUsedAt", "When it last signed in or refreshed.", |it, out| out.time(it.last_used_at)),
        leaf::<_, Timestamp>("expiresAt", "When it ends unless it is refreshed before.", |it, out| {
            out.time(it.expires_at);
        }),
        leaf::<Self, bool>("isCurrent", "Whether this request runs in it.", |it, out| {
            out.json(&out.context.request().caller().is_some_and(|viewer| viewer.session_id == it.id));
        }),
    ];
}
