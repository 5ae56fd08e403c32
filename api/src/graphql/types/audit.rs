//! The audit trail.

use async_graphql::{ID, InputObject, Json};
use serde_json::Value;

use crate::domain::{self, AuditFilter, Timestamp};
use crate::engine::FieldError;
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::{error::Result, request_scope::RequestScope, scalars::parse_id, types::user::User};

/// An entry of the audit trail, which nobody can change.
pub(crate) type AuditLog = Scoped<domain::AuditLog>;

/// Which entries are asked for; what is left out does not matter.
#[derive(InputObject)]
pub(crate) struct AuditLogFilter {
    /// About this user's account.
    user_id: Option<ID>,
    /// Of this action, such as `session.created`.
    action: Option<String>,
    /// Not before this time.
    since: Option<Timestamp>,
    /// Before this time.
    until: Option<Timestamp>,
}

impl JsonObject for domain::AuditLog {
    type Context = RequestScope;
    const NAME: &'static str = "AuditLog";
    const DESCRIPTION: &'static str = "An entry of the audit trail, which nobody can change.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global and stable.", |it, out| out.plain(it.id)),
        object::<_, Option<User>>(
            "user",
            "Whose account it concerns; null when no account was known.",
            |it: &Self, entry, out| out.linked_or_null(it.user_id.as_ref(), entry),
        ),
        leaf::<_, String>(
            "action",
            "What was done: dotted and in the past tense, such as `session.created`.",
            |it, out| out.text(&it.action),
        ),
        leaf::<_, Option<String>>(
            "resource",
            "The global id of what it was done to; null when that has none.",
            |it, out| out.or_null(it.resource.as_deref(), Writer::text),
        ),
        leaf::<_, Option<Json<Value>>>("details", "What else is worth knowing; null for most actions.", |it, out| {
            out.json(&it.details);
        }),
        leaf::<_, Option<String>>(
            "ipAddress",
            "Where the request came from; null if the server could not tell, or did it of itself.",
            |it, out| out.or_null(it.ip_address.as_deref(), Writer::text),
        ),
        leaf::<_, Option<String>>("userAgent", "What the client said it was; null if it did not say.", |it, out| {
            out.or_null(it.user_agent.as_deref(), Writer::text);
        }),
        leaf::<_, Timestamp>("createdAt", "When it was done.", |it, out| out.time(it.created_at)),
    ];
}

impl TryFrom<AuditLogFilter> for AuditFilter {
    type Error = FieldError;

    fn try_from(filter: AuditLogFilter) -> Result<Self> {
        let AuditLogFilter { user_id, action, since, until } = filter;
        let user_id = user_id.map(|id| parse_id("filter.userId", &id)).transpose()?;
        Ok(Self { user_id, action, since, until })
    }
}
