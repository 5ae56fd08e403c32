//! The audit trail.

use async_graphql::{ID, InputObject, Json};
use serde_json::Value;

use crate::domain::{self, AuditFilter, Timestamp};
use crate::engine::FieldError;
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::{error::Result, request_scope::RequestScope, scalars::parse_id, types::user::User};

/// An entry of the audit trail.
pub(crate) type AuditLog = Scoped<domain::AuditLog>;

/// Filter of audit trail entries. Omitted fields match everything.
#[derive(InputObject)]
pub(crate) struct AuditLogFilter {
    /// Only entries about the account of this user.
    user_id: Option<ID>,
    /// Only entries with this action, such as `session.created`.
    action: Option<String>,
    /// Only entries from this time on.
    since: Option<Timestamp>,
    /// Only entries before this time.
    until: Option<Timestamp>,
}

impl JsonObject for domain::AuditLog {
    type Context = RequestScope;
    const NAME: &'static str = "AuditLog";
    const DESCRIPTION: &'static str = "An entry of the audit trail. Entries never change.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, ID>("id", "Global id, which never changes.", |it, out| out.plain(it.id)),
        object::<_, Option<User>>(
            "user",
            "User whose account the entry is about. Null if it is about no account.",
            |it: &Self, entry, out| out.linked_or_null(it.user_id.as_ref(), entry),
        ),
        leaf::<_, String>(
            "action",
            "Action as a dotted name in the past tense, such as `session.created`.",
            |it, out| out.text(&it.action),
        ),
        leaf::<_, Option<String>>(
            "resource",
            "Global id of the affected object. Null if the object has none.",
            |it, out| out.or_null(it.resource.as_deref(), Writer::text),
        ),
        leaf::<_, Option<Json<Value>>>("details", "More data about the action. Null for most actions.", |it, out| {
            out.json(&it.details);
        }),
        leaf::<_, Option<String>>(
            "ipAddress",
            "IP address of the client. Null if it is unknown or if no client caused the action.",
            |it, out| out.or_null(it.ip_address.as_deref(), Writer::text),
        ),
        leaf::<_, Option<String>>(
            "userAgent",
            "`User-Agent` header of the client. Null if the client sent none.",
            |it, out| {
                out.or_null(it.user_agent.as_deref(), Writer::text);
            },
        ),
        leaf::<_, Timestamp>("createdAt", "Time of the action.", |it, out| out.time(it.created_at)),
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
