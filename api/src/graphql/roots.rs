//! The root types, put together from what each aggregate offers.
//!
//! Root fields are nullable, so that one that fails does not take its siblings' data away.

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

/// Reads.
//
// A field is looked for from the last of them on.
#[derive(MergedObject, Default)]
pub struct Query(UserQuery, NodeQuery, ServiceConfigQuery, AdminQuery, ViewerQuery);

/// Changes: each takes one input and returns what it changed.
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

/// Events.
#[derive(MergedSubscription, Default)]
pub struct Subscription(FeedSubscription, UserSubscription, SessionSubscription, MetricSubscription);
