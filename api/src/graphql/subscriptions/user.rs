//! The subscription to changes of users.

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, scalars::parse_id, types::user::User};
use crate::service;

/// Subscription to changes of users.
#[derive(Default)]
pub struct UserSubscription;

/// Subscription to changes of users.
#[Subscription]
impl UserSubscription {
    /// Users after each change of their keys, `isActive` or `isVerified` from now on.
    ///
    /// Without `ids`, follows all users with whom the caller has a conversation, including later ones. Several changes
    /// in a short time may arrive as one. After a reconnect, query the users again: changes in between are not
    /// delivered.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` unless there are 1 to `serviceConfig.maxPageSize` ids of users
    /// - `UNAUTHENTICATED` without a session
    async fn user_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Users to follow: 1 to `serviceConfig.maxPageSize` ids. Unknown ids are ignored. All peers if omitted."
        )]
        ids: Option<Vec<ID>>,
    ) -> Result<impl Stream<Item = Result<User>> + use<>> {
        let scope = RequestScope::of(ctx).clone();
        let ids = ids.map(|ids| ids.iter().map(|id| parse_id("ids", id)).collect::<Result<_>>()).transpose()?;
        let changes = service::user_changes::follow(scope.request().clone(), ids).await?;
        Ok(changes.map(move |user| {
            let user = user?;
            Ok(User::new(&scope, user))
        }))
    }
}
