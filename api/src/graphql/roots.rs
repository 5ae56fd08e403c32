//! The root types, put together from what each aggregate offers.
//!
//! Root fields are nullable, so that one that fails does not take its siblings' data away.

use async_graphql::{MergedObject, MergedSubscription};

use crate::graphql::{
    mutations::{account::AccountMutation, one_time_token::OneTimeTokenMutation, passkey::PasskeyMutation},
    subscriptions::feed::FeedSubscription,
    types::{
        admin::AdminQuery,
        message::MessageMutation,
        metric::{MetricMutation, MetricSubscription},
        node::NodeQuery,
        public_keys::PublicKeysMutation,
        service_config::ServiceConfigQuery,
        session::{SessionMutation, SessionSubscription},
        user::{UserQuery, UserSubscription},
        viewer::ViewerQuery,
    },
};

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
