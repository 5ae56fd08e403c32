//! Setting another password and confirming an address, by links in mails.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use crate::domain::UserId;
use crate::graphql::{error::Result, request_scope::RequestScope, types::user::User};
use crate::service::one_time_tokens;

/// Whose password has been forgotten.
#[derive(InputObject)]
pub(crate) struct RequestPasswordResetInput {
    /// The account's address.
    email: String,
}

/// Another password, by a mailed token.
#[derive(InputObject)]
pub(crate) struct ResetPasswordInput {
    /// The `token` of the mailed link.
    token: String,
    /// 15 to 256 characters that are hard to guess.
    new_password: String,
}

/// The proof of an address.
#[derive(InputObject)]
pub(crate) struct VerifyEmailInput {
    /// The `token` of the mailed link.
    token: String,
}

/// That the request was taken.
#[derive(SimpleObject)]
pub(crate) struct RequestPasswordResetPayload {
    /// True whether or not the address is known.
    accepted: bool,
}

/// Whose password has been set.
#[derive(SimpleObject)]
pub(crate) struct ResetPasswordPayload {
    /// The user, whose sessions have all ended.
    user: User,
}

/// Whose address has been confirmed.
#[derive(SimpleObject)]
pub(crate) struct VerifyEmailPayload {
    /// The user, verified now.
    user: User,
}

/// That a mail is on its way.
#[derive(SimpleObject)]
pub(crate) struct ResendVerificationEmailPayload {
    /// True: the mail follows.
    accepted: bool,
}

/// Setting another password and confirming an address.
#[derive(Default)]
pub struct OneTimeTokenMutation;

/// Setting another password and confirming an address.
#[Object]
impl OneTimeTokenMutation {
    /// Mails a link that sets another password; null only when it fails.
    async fn request_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose password.")] input: RequestPasswordResetInput,
    ) -> Result<Option<RequestPasswordResetPayload>> {
        one_time_tokens::request_password_reset(RequestScope::of(ctx).request(), &input.email).await?;
        Ok(Some(RequestPasswordResetPayload { accepted: true }))
    }

    /// Sets another password and ends all sessions of the account; null only when it fails.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token and the password.")] input: ResetPasswordInput,
    ) -> Result<Option<ResetPasswordPayload>> {
        let scope = RequestScope::of(ctx);
        let id: UserId =
            one_time_tokens::reset_password(scope.request(), &input.token.into(), input.new_password.into()).await?;
        Ok(Some(ResetPasswordPayload { user: User::load(scope, id).await? }))
    }

    /// Confirms an address; null only when it fails.
    async fn verify_email(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: VerifyEmailInput,
    ) -> Result<Option<VerifyEmailPayload>> {
        let scope = RequestScope::of(ctx);
        let id = one_time_tokens::verify_email(scope.request(), &input.token.into()).await?;
        Ok(Some(VerifyEmailPayload { user: User::load(scope, id).await? }))
    }

    /// Mails the caller another link that confirms the address; null only when it fails.
    async fn resend_verification_email(&self, ctx: &Context<'_>) -> Result<Option<ResendVerificationEmailPayload>> {
        one_time_tokens::resend_verification(RequestScope::of(ctx).request()).await?;
        Ok(Some(ResendVerificationEmailPayload { accepted: true }))
    }
}
