//! The root types, put together from what each aggregate offers.
//!
//! Root fields are nullable, so that one that fails does not take its siblings' data away.

use async_graphql::{MergedObject, MergedSubscription};

use crate::graphql::{
    mutations::{
        account::AccountMutation, message::MessageMutation, metric::MetricMutation,
        one_time_token::OneTimeTokenMutation, passkey::PasskeyMutation, public_keys::PublicKeysMutation,
        session::SessionMutation,
    },
    subscriptions::{
        feed::FeedSubscription, metric::MetricSubscription, session::SessionSubscription, user::UserSubscription,
    },
    types::{
        admin::AdminQuery, node::NodeQuery, service_config::ServiceConfigQuery, user::UserQuery, viewer::ViewerQuery,
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
