//! Registering and signing in.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::Timestamp;
use crate::graphql::{error::Result, request_scope::RequestScope, types::user::User, types::viewer::Viewer};
use crate::service::accounts::{Login, Registration};
use crate::service::{self, sessions::IssuedTokens};

/// A new account.
#[derive(InputObject)]
pub(crate) struct RegisterInput {
    /// 3 to 32 of `a-z 0-9 _ . -`; upper case is folded; unique.
    username: String,
    /// Where mail goes; unique without regard to case.
    email: String,
    /// 15 to 256 characters that are hard to guess.
    password: String,
    /// What the device calls itself in the list of sessions, up to 200 characters.
    device_info: Option<String>,
}

/// A sign-in.
#[derive(InputObject)]
pub(crate) struct LoginInput {
    /// The username or the e-mail address.
    login: String,
    /// The password.
    password: String,
    /// What the device calls itself in the list of sessions, up to 200 characters.
    device_info: Option<String>,
}

/// Another password.
#[derive(InputObject)]
pub(crate) struct ChangePasswordInput {
    /// The password until now.
    current_password: String,
    /// 15 to 256 characters that are hard to guess.
    new_password: String,
}

/// The proof that it is the owner who takes the account out of use.
#[derive(InputObject)]
pub(crate) struct DeactivateAccountInput {
    /// The password.
    password: String,
}

/// Whose password has been changed.
pub(crate) struct ChangePasswordPayload {
    scope: RequestScope,
}

/// The account that has been taken out of use.
#[derive(SimpleObject)]
pub(crate) struct DeactivateAccountPayload {
    /// The user as others see it from now on.
    user: User,
}

/// Whose password has been changed.
#[Object]
impl ChangePasswordPayload {
    /// The caller, whose other sessions have ended.
    async fn viewer(&self) -> Viewer {
        Viewer { scope: self.scope.clone() }
    }
}

/// A session's tokens, shown this once, and whose it is.
pub(crate) struct AuthPayload {
    scope: RequestScope,
    tokens: IssuedTokens,
}

/// A session's tokens, shown this once, and whose it is.
#[Object]
impl AuthPayload {
    /// A JWT for `Authorization: Bearer`, signed with a key of `/.well-known/jwks.json`.
    async fn access_token(&self) -> &str {
        self.tokens.access_token.expose_secret()
    }

    /// When the access token ends.
    async fn access_token_expires_at(&self) -> Timestamp {
        self.tokens.access_token_expires_at
    }

    /// An opaque token that another access token is got with.
    async fn refresh_token(&self) -> &str {
        self.tokens.refresh_token.expose_secret()
    }

    /// When the session ends unless it is refreshed before.
    async fn refresh_token_expires_at(&self) -> Timestamp {
        self.tokens.refresh_token_expires_at
    }

    /// Who is signed in now.
    async fn viewer(&self) -> Viewer {
        Viewer { scope: self.scope.clone() }
    }
}

impl AuthPayload {
    pub(crate) fn new(scope: &RequestScope, tokens: IssuedTokens) -> Self {
        Self { scope: scope.signed_in(tokens.viewer), tokens }
    }
}

impl From<RegisterInput> for Registration {
    fn from(input: RegisterInput) -> Self {
        let RegisterInput { username, email, password, device_info } = input;
        Self { username, email, password: SecretString::from(password), device_info }
    }
}

impl From<LoginInput> for Login {
    fn from(input: LoginInput) -> Self {
        let LoginInput { login, password, device_info } = input;
        Self { login, password: SecretString::from(password), device_info }
    }
}

/// Registering and signing in.
#[derive(Default)]
pub struct AccountMutation;

/// Registering and signing in.
#[Object]
impl AccountMutation {
    /// Makes an account and signs its owner in; null only when it fails.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account.")] input: RegisterInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = RequestScope::of(ctx);
        let tokens = service::accounts::register(scope.request(), input.into()).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Signs a user in; null only when it fails.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and the proof.")] input: LoginInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = RequestScope::of(ctx);
        let tokens = service::accounts::login(scope.request(), input.into()).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Changes the caller's password and ends the other sessions; null only when it fails.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password until now and the next.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let scope = RequestScope::of(ctx).clone();
        let ChangePasswordInput { current_password, new_password } = input;
        service::accounts::change_password(scope.request(), current_password.into(), new_password.into()).await?;
        Ok(Some(ChangePasswordPayload { scope }))
    }

    /// Takes the caller's account out of use and ends its sessions; null only when it fails.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proof.")] input: DeactivateAccountInput,
    ) -> Result<Option<DeactivateAccountPayload>> {
        let scope = RequestScope::of(ctx);
        service::accounts::deactivate(scope.request(), input.password.into()).await?;
        let user = User::load(scope, scope.request().viewer()?.user_id).await?;
        Ok(Some(DeactivateAccountPayload { user }))
    }
}
