//! The root types, merged from the operations of each aggregate.
//!
//! Root fields are nullable, so that a failed field does not null its siblings.

use async_graphql::{MergedObject, MergedSubscription};

use crate::graphql::mutations::account::AccountMutation;
use crate::graphql::mutations::message::MessageMutation;
use crate::graphql::mutations::metric::MetricMutation;
use crate::graphql::mutations::one_time_token::OneTimeTokenMutation;
use crate::graphql::mutations::passkey::PasskeyMutation;
use crate::graphql::mutations::public_keys::PublicKeysMutation;
use crate::graphql::mutations::session::SessionMutation;
use crate::graphql::subscriptions::feed::FeedSubscription;
use crate::graphql::subscriptions::metric::MetricSubscription;
use crate::graphql::subscriptions::session::SessionSubscription;
use crate::graphql::subscriptions::user::UserSubscription;
use crate::graphql::types::admin::AdminQuery;
use crate::graphql::types::node::NodeQuery;
use crate::graphql::types::service_config::ServiceConfigQuery;
use crate::graphql::types::user::UserQuery;
use crate::graphql::types::viewer::ViewerQuery;

/// Queries. They change nothing.
///
/// A nullable field that fails is null and has an entry in `errors`. The other fields keep their data.
//
// The library looks a field up in these types from the last to the first.
#[derive(MergedObject, Default)]
pub struct Query(UserQuery, NodeQuery, ServiceConfigQuery, AdminQuery, ViewerQuery);

/// Mutations. Each has at most one argument `input` and returns a payload with the changes.
///
/// The fields of one operation run in their order. A mutation runs to its end even if the client disconnects or the
/// request times out. An operation may have only one of the fields `register`, `login`, `refreshSession`,
/// `changePassword`, `resetPassword` and `finishPasskeyLogin`.
#[derive(MergedObject, Default)]
pub struct Mutation(
    AccountMutation,
    OneTimeTokenMutation,
    SessionMutation,
    PasskeyMutation,
    PublicKeysMutation,
    MessageMutation,
    MetricMutation,
);

/// Subscriptions, over WebSocket (graphql-transport-ws) or Server-Sent Events (graphql-sse).
///
/// An operation has exactly one field, outside of fragments.
#[derive(MergedSubscription, Default)]
pub struct Subscription(FeedSubscription, UserSubscription, SessionSubscription, MetricSubscription);
