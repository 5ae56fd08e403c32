//! Mutations of accounts: registration, sign-in, password change, deactivation.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::Timestamp;
use crate::graphql::{error::Result, request_scope::RequestScope, types::user::User, types::viewer::Viewer};
use crate::service::accounts::{Login, Registration};
use crate::service::{self, sessions::IssuedTokens};

/// Input of `register`.
#[derive(InputObject)]
pub(crate) struct RegisterInput {
    /// Unique name: 3 to 32 characters of `a-z 0-9 _ . -`. Upper case becomes lower case.
    username: String,
    /// E-mail address, at most 254 ASCII characters. Unique regardless of case.
    email: String,
    /// Password: at least `serviceConfig.passwordMinLength` and at most 256 characters, hard to guess.
    password: String,
    /// Name of the device for the list of sessions, at most 200 characters.
    device_info: Option<String>,
}

/// Input of `login`.
#[derive(InputObject)]
pub(crate) struct LoginInput {
    /// Username or e-mail address, in upper or lower case.
    login: String,
    /// Password of the account.
    password: String,
    /// Name of the device for the list of sessions, at most 200 characters.
    device_info: Option<String>,
}

/// Input of `changePassword`.
#[derive(InputObject)]
pub(crate) struct ChangePasswordInput {
    /// Current password.
    current_password: String,
    /// New password: at least `serviceConfig.passwordMinLength` and at most 256 characters, hard to guess.
    new_password: String,
}

/// Input of `deactivateAccount`.
#[derive(InputObject)]
pub(crate) struct DeactivateAccountInput {
    /// Password of the account.
    password: String,
}

/// Payload of `changePassword`.
pub(crate) struct ChangePasswordPayload {
    scope: RequestScope,
}

/// Payload of `deactivateAccount`.
#[derive(SimpleObject)]
pub(crate) struct DeactivateAccountPayload {
    /// Public profile of the deactivated user.
    user: User,
}

/// Payload of `changePassword`.
#[Object]
impl ChangePasswordPayload {
    /// The caller. All other sessions have ended.
    async fn viewer(&self) -> Viewer {
        Viewer { scope: self.scope.clone() }
    }
}

/// Tokens of a session.
pub(crate) struct AuthPayload {
    scope: RequestScope,
    tokens: IssuedTokens,
}

/// Tokens of a session. They cannot be read again.
#[Object]
impl AuthPayload {
    /// JWT for the header `Authorization: Bearer`, signed with a key of `/.well-known/jwks.json`.
    async fn access_token(&self) -> &str {
        self.tokens.access_token.expose_secret()
    }

    /// Time when the access token expires.
    async fn access_token_expires_at(&self) -> Timestamp {
        self.tokens.access_token_expires_at
    }

    /// Opaque token used to obtain a new access token. Works once, with `refreshSession`.
    async fn refresh_token(&self) -> &str {
        self.tokens.refresh_token.expose_secret()
    }

    /// Time when the session ends unless it is refreshed before.
    async fn refresh_token_expires_at(&self) -> Timestamp {
        self.tokens.refresh_token_expires_at
    }

    /// The user who is signed in now.
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

/// Mutations of accounts.
#[derive(Default)]
pub struct AccountMutation;

/// Mutations of accounts.
#[Object]
impl AccountMutation {
    /// Creates an account and signs its owner in.
    ///
    /// The server sends a mail with a link that confirms the address.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if a field is not acceptable
    /// - `CONFLICT` if the username or the e-mail address is taken
    /// - `RATE_LIMITED` after too many registrations from one network address
    ///
    /// Null if the mutation failed; see `errors`.
    async fn register(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Data of the new account.")] input: RegisterInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = RequestScope::of(ctx);
        let tokens = service::accounts::register(scope.request(), input.into()).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Signs a user in with a password.
    ///
    /// After 100 wrong passwords in a row, unless configured otherwise, no password is accepted until it is reset.
    ///
    /// Fails with:
    /// - `INVALID_CREDENTIALS` if no active account has this login and password
    /// - `BAD_USER_INPUT` if `deviceInfo` is not acceptable
    /// - `RATE_LIMITED` after too many attempts from one network address or for one account
    ///
    /// Null if the mutation failed; see `errors`.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Login and password.")] input: LoginInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = RequestScope::of(ctx);
        let tokens = service::accounts::login(scope.request(), input.into()).await?;
        Ok(Some(AuthPayload::new(scope, tokens)))
    }

    /// Changes the caller's password and ends the caller's other sessions.
    ///
    /// Fails with:
    /// - `INVALID_CREDENTIALS` if the current password is wrong
    /// - `BAD_USER_INPUT` if the new password is too short, too long or easy to guess
    /// - `RATE_LIMITED` after too many attempts
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Current and new password.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let scope = RequestScope::of(ctx).clone();
        let ChangePasswordInput { current_password, new_password } = input;
        service::accounts::change_password(scope.request(), current_password.into(), new_password.into()).await?;
        Ok(Some(ChangePasswordPayload { scope }))
    }

    /// Deactivates the caller's account and ends all of its sessions.
    ///
    /// The user can no longer sign in, receive messages or be found by name or address. The other members of
    /// conversations keep the messages.
    ///
    /// Fails with:
    /// - `INVALID_CREDENTIALS` if the password is wrong
    /// - `RATE_LIMITED` after too many attempts
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn deactivate_account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Password of the account.")] input: DeactivateAccountInput,
    ) -> Result<Option<DeactivateAccountPayload>> {
        let scope = RequestScope::of(ctx);
        service::accounts::deactivate(scope.request(), input.password.into()).await?;
        let user = User::load(scope, scope.request().viewer()?.user_id).await?;
        Ok(Some(DeactivateAccountPayload { user }))
    }
}
