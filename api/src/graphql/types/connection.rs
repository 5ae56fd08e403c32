//! Relay connections: one generic implementation for every list.

use crate::domain;
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::request_scope::RequestScope;
use crate::service::{self, Cursor, Edge, conversations::ConversationRef};

/// A page of a list.
pub(crate) type Connection<T> = Scoped<service::Connection<T>>;

/// Item of a list.
pub(crate) trait Item: JsonObject<Context = RequestScope> {
    /// Name of the connection type in the schema.
    const CONNECTION: &'static str;
    /// Name of the edge type in the schema.
    const EDGE: &'static str;
}

macro_rules! items {
    ($($item:ty: $connection:literal, $edge:literal;)+) => {
        $(
            impl Item for $item {
                const CONNECTION: &'static str = $connection;
                const EDGE: &'static str = $edge;
            }
        )+
    };
}

items! {
    domain::User: "UserConnection", "UserEdge";
    domain::Message: "MessageConnection", "MessageEdge";
    ConversationRef: "ConversationConnection", "ConversationEdge";
    domain::Session: "SessionConnection", "SessionEdge";
    domain::AuditLog: "AuditLogConnection", "AuditLogEdge";
    domain::AdminUser: "AdminUserConnection", "AdminUserEdge";
    domain::PerformanceMetric: "PerformanceMetricConnection", "PerformanceMetricEdge";
}

impl<T: Item> JsonObject for service::Connection<T> {
    type Context = RequestScope;
    const NAME: &'static str = T::CONNECTION;
    const DESCRIPTION: &'static str = "A page of a list.";
    const FIELDS: &'static [Field<Self>] = &[
        object::<_, Vec<Scoped<Edge<T>>>>(
            "edges",
            "Items with their cursors, in the order of the list.",
            |page: &Self, entry, out| out.list(&page.edges, |out, edge| out.object(edge, &entry.below)),
        ),
        object::<_, Vec<Scoped<T>>>(
            "nodes",
            "Items without their cursors, in the order of the list.",
            |page: &Self, entry, out| out.list(&page.edges, |out, edge| out.object(&edge.node, &entry.below)),
        ),
        object::<_, Scoped<PageInfo>>("pageInfo", "Position of this page in the list.", |page: &Self, entry, out| {
            let cursor = |edge: Option<&Edge<T>>| edge.map(|edge| edge.cursor.clone());
            let info = PageInfo {
                has_next: page.has_next,
                has_previous: page.has_previous,
                start: cursor(page.edges.first()),
                end: cursor(page.edges.last()),
            };
            out.object(&info, &entry.below)
        }),
    ];
}

impl<T: Item> JsonObject for Edge<T> {
    type Context = RequestScope;
    const NAME: &'static str = T::EDGE;
    const DESCRIPTION: &'static str = "An item of a list with its cursor.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, String>(
            "cursor",
            "Opaque position of the item, for the arguments `after` and `before` of this list.",
            |edge: &Self, out| out.cursor(&edge.cursor),
        ),
        object::<_, Scoped<T>>("node", "The item.", |edge: &Self, entry, out| out.object(&edge.node, &entry.below)),
    ];
}

/// Position of a page in its list.
pub(crate) struct PageInfo {
    has_next: bool,
    has_previous: bool,
    start: Option<Cursor>,
    end: Option<Cursor>,
}

impl JsonObject for PageInfo {
    type Context = RequestScope;
    const NAME: &'static str = "PageInfo";
    const DESCRIPTION: &'static str = "Position of a page in its list (Relay Cursor Connections).";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, bool>("hasNextPage", "Whether the list has items after this page.", |info, out| {
            out.json(&info.has_next);
        }),
        leaf::<_, bool>("hasPreviousPage", "Whether the list has items before this page.", |info, out| {
            out.json(&info.has_previous);
        }),
        leaf::<_, Option<String>>(
            "startCursor",
            "Cursor of the first item. Null if the page is empty.",
            |info, out| out.or_null(info.start.as_ref(), Writer::cursor),
        ),
        leaf::<_, Option<String>>("endCursor", "Cursor of the last item. Null if the page is empty.", |info, out| {
            out.or_null(info.end.as_ref(), Writer::cursor);
        }),
    ];
}
