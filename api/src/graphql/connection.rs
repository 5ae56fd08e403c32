//! Relay connections, one generic shape for every list.

use async_graphql::{Object, OutputType, SimpleObject};

use super::{
    admin::AdminUser, audit::AuditLog, conversation::Conversation, message::Message, metric::PerformanceMetric,
    session::Session, user::User,
};
use crate::{domain::PageArguments, service};

/// One page of a list.
pub(super) struct Connection<T: OutputType> {
    edges: Vec<Edge<T>>,
    has_next: bool,
    has_previous: bool,
}

/// An item of a list and where it stands.
#[derive(SimpleObject)]
#[graphql(
    concrete(name = "UserEdge", params(User)),
    concrete(name = "MessageEdge", params(Message)),
    concrete(name = "ConversationEdge", params(Conversation)),
    concrete(name = "SessionEdge", params(Session)),
    concrete(name = "AuditLogEdge", params(AuditLog)),
    concrete(name = "AdminUserEdge", params(AdminUser)),
    concrete(name = "PerformanceMetricEdge", params(PerformanceMetric))
)]
pub(super) struct Edge<T: OutputType> {
    /// Names this place in the list; opaque, and good for `after` and `before`.
    cursor: String,
    /// The item.
    node: T,
}

/// Where a page stands in its list (Relay Cursor Connections).
#[derive(SimpleObject)]
struct PageInfo {
    /// Whether the list goes on behind this page.
    has_next_page: bool,
    /// Whether the list goes on before this page.
    has_previous_page: bool,
    /// The first item's cursor; null when the page is empty.
    start_cursor: Option<String>,
    /// The last item's cursor; null when the page is empty.
    end_cursor: Option<String>,
}

/// One page of a list.
#[Object(
    concrete(name = "UserConnection", params(User)),
    concrete(name = "MessageConnection", params(Message)),
    concrete(name = "ConversationConnection", params(Conversation)),
    concrete(name = "SessionConnection", params(Session)),
    concrete(name = "AuditLogConnection", params(AuditLog)),
    concrete(name = "AdminUserConnection", params(AdminUser)),
    concrete(name = "PerformanceMetricConnection", params(PerformanceMetric))
)]
impl<T: OutputType> Connection<T>
where
    Edge<T>: OutputType,
{
    /// The items with their cursors, in the list's order.
    async fn edges(&self) -> &[Edge<T>] {
        &self.edges
    }

    /// The items alone, in the list's order.
    async fn nodes(&self) -> Vec<&T> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page stands in the list.
    async fn page_info(&self) -> PageInfo {
        let cursor = |edge: Option<&Edge<T>>| edge.map(|edge| edge.cursor.clone());
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: cursor(self.edges.first()),
            end_cursor: cursor(self.edges.last()),
        }
    }
}

impl<T: OutputType> Connection<T> {
    /// A use case's page with each of its items as an object.
    pub(super) fn of<N>(page: service::Connection<N>, object: impl Fn(N) -> T) -> Self {
        let edges = page.edges.into_iter().map(|(cursor, item)| Edge { cursor, node: object(item) }).collect();
        Self { edges, has_next: page.has_next, has_previous: page.has_previous }
    }
}

/// The four arguments of every list.
pub(super) fn arguments(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> PageArguments {
    PageArguments { first, after, last, before }
}
