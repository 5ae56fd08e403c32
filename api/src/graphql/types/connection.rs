//! Relay connections, one generic shape for every list.

use crate::domain::{self, PageArguments};
use crate::engine::object::{Field, JsonObject, Scoped, Writer, leaf, object};
use crate::graphql::request_scope::RequestScope;
use crate::service::{self, Cursor, Edge, conversations::ConversationRef};

/// One page of a list.
pub(crate) type Connection<T> = Scoped<service::Connection<T>>;

/// What can stand in a list.
pub(crate) trait Item: JsonObject<Context = RequestScope> {
    /// What the schema calls a page of them.
    const CONNECTION: &'static str;
    /// What it calls one of them with its cursor.
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
    const DESCRIPTION: &'static str = "One page of a list.";
    const FIELDS: &'static [Field<Self>] = &[
        object::<_, Vec<Scoped<Edge<T>>>>(
            "edges",
            "The items with their cursors, in the list's order.",
            |page: &Self, entry, out| out.list(&page.edges, |out, edge| out.object(edge, &entry.below)),
        ),
        object::<_, Vec<Scoped<T>>>("nodes", "The items alone, in the list's order.", |page: &Self, entry, out| {
            out.list(&page.edges, |out, edge| out.object(&edge.node, &entry.below))
        }),
        object::<_, Scoped<PageInfo>>("pageInfo", "Where this page stands in the list.", |page: &Self, entry, out| {
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
    const DESCRIPTION: &'static str = "An item of a list and where it stands.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, String>(
            "cursor",
            "Names this place in the list; opaque, and good for `after` and `before`.",
            |edge: &Self, out| out.cursor(&edge.cursor),
        ),
        object::<_, Scoped<T>>("node", "The item.", |edge: &Self, entry, out| out.object(&edge.node, &entry.below)),
    ];
}

/// Where a page stands in its list.
pub(crate) struct PageInfo {
    has_next: bool,
    has_previous: bool,
    start: Option<Cursor>,
    end: Option<Cursor>,
}

impl JsonObject for PageInfo {
    type Context = RequestScope;
    const NAME: &'static str = "PageInfo";
    const DESCRIPTION: &'static str = "Where a page stands in its list (Relay Cursor Connections).";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, bool>("hasNextPage", "Whether the list goes on behind this page.", |info, out| {
            out.json(&info.has_next);
        }),
        leaf::<_, bool>("hasPreviousPage", "Whether the list goes on before this page.", |info, out| {
            out.json(&info.has_previous);
        }),
        leaf::<_, Option<String>>(
            "startCursor",
            "The first item's cursor; null when the page is empty.",
            |info, out| out.or_null(info.start.as_ref(), Writer::cursor),
        ),
        leaf::<_, Option<String>>("endCursor", "The last item's cursor; null when the page is empty.", |info, out| {
            out.or_null(info.end.as_ref(), Writer::cursor);
        }),
    ];
}

/// The four arguments of every list.
pub(crate) fn arguments(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> PageArguments {
    PageArguments { first, after, last, before }
}
