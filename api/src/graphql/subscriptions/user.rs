//! The subscription to changes of users.

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt};

use crate::graphql::{error::Result, request_scope::RequestScope, scalars::parse_id, types::user::User};
use crate::service;

/// Changes to users.
#[derive(Default)]
pub struct UserSubscription;

/// Changes to users.
#[Subscription]
impl UserSubscription {
    /// Users as they are after each change to their keys, `isActive` or `isVerified` from now on.
    ///
    /// Those named, or everyone whom the caller has a conversation with, also one that begins later. Several changes
    /// in a short time may come as one. A client that has been away asks for the users it knows once it is back.
    async fn user_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "1 to 100 users; an id that is nobody's is never heard of. Everyone, if left out.")]
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
