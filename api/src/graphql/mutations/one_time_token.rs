//! Mutations that use single-use tokens from mails: password reset and e-mail verification.

use async_graphql::{Context, InputObject, Object, SimpleObject};

use crate::domain::UserId;
use crate::graphql::{error::Result, request_scope::RequestScope, types::user::User};
use crate::service::one_time_tokens;

/// Input of `requestPasswordReset`.
#[derive(InputObject)]
pub(crate) struct RequestPasswordResetInput {
    /// E-mail address of the account.
    email: String,
}

/// Input of `resetPassword`.
#[derive(InputObject)]
pub(crate) struct ResetPasswordInput {
    /// Query parameter `token` of the link in the mail.
    token: String,
    /// New password: at least `serviceConfig.passwordMinLength` and at most 256 characters, hard to guess.
    new_password: String,
}

/// Input of `verifyEmail`.
#[derive(InputObject)]
pub(crate) struct VerifyEmailInput {
    /// Query parameter `token` of the link in the mail.
    token: String,
}

/// Payload of `requestPasswordReset`.
#[derive(SimpleObject)]
pub(crate) struct RequestPasswordResetPayload {
    /// Always true, whether or not an account has the address.
    accepted: bool,
}

/// Payload of `resetPassword`.
#[derive(SimpleObject)]
pub(crate) struct ResetPasswordPayload {
    /// The user. All sessions of the user have ended.
    user: User,
}

/// Payload of `verifyEmail`.
#[derive(SimpleObject)]
pub(crate) struct VerifyEmailPayload {
    /// The user, whose address is confirmed now.
    user: User,
}

/// Payload of `resendVerificationEmail`.
#[derive(SimpleObject)]
pub(crate) struct ResendVerificationEmailPayload {
    /// Always true. The mail follows.
    accepted: bool,
}

/// Mutations that use single-use tokens from mails.
#[derive(Default)]
pub struct OneTimeTokenMutation;

/// Mutations that use single-use tokens from mails.
#[Object]
impl OneTimeTokenMutation {
    /// Sends a mail with a password reset link, if an active account has the address.
    ///
    /// The response does not depend on whether there is such an account. The link works once, for 15 minutes unless
    /// configured otherwise.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if `email` is not an e-mail address
    /// - `RATE_LIMITED` after too many requests from one network address or for one e-mail address
    ///
    /// Null if the mutation failed; see `errors`.
    async fn request_password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Address of the account.")] input: RequestPasswordResetInput,
    ) -> Result<Option<RequestPasswordResetPayload>> {
        one_time_tokens::request_password_reset(RequestScope::of(ctx).request(), &input.email).await?;
        Ok(Some(RequestPasswordResetPayload { accepted: true }))
    }

    /// Sets a new password with a token from a mail, and ends all sessions of the account.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if the token is unknown, used or expired
    /// - `BAD_USER_INPUT` if the password is too short, too long or easy to guess
    ///
    /// Null if the mutation failed; see `errors`.
    async fn reset_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Token and new password.")] input: ResetPasswordInput,
    ) -> Result<Option<ResetPasswordPayload>> {
        let scope = RequestScope::of(ctx);
        let id: UserId =
            one_time_tokens::reset_password(scope.request(), &input.token.into(), input.new_password.into()).await?;
        Ok(Some(ResetPasswordPayload { user: User::load(scope, id).await? }))
    }

    /// Confirms an e-mail address with a token from a mail.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if the token is unknown, used or expired
    ///
    /// Null if the mutation failed; see `errors`.
    async fn verify_email(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Token from the mail.")] input: VerifyEmailInput,
    ) -> Result<Option<VerifyEmailPayload>> {
        let scope = RequestScope::of(ctx);
        let id = one_time_tokens::verify_email(scope.request(), &input.token.into()).await?;
        Ok(Some(VerifyEmailPayload { user: User::load(scope, id).await? }))
    }

    /// Sends the caller another mail with a link that confirms the e-mail address.
    ///
    /// Earlier links stop working. The link works once, for 15 minutes unless configured otherwise.
    ///
    /// Fails with:
    /// - `RATE_LIMITED` after too many requests from one network address or by one user
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn resend_verification_email(&self, ctx: &Context<'_>) -> Result<Option<ResendVerificationEmailPayload>> {
        one_time_tokens::resend_verification(RequestScope::of(ctx).request()).await?;
        Ok(Some(ResendVerificationEmailPayload { accepted: true }))
    }
}
