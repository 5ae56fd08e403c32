//! Registering and signing in.

use async_graphql::{Context, InputObject, Object};
use secrecy::{ExposeSecret, SecretString};

use super::{error::Result, scope::Scope, viewer::Viewer};
use crate::{
    domain::Timestamp,
    service::{
        self,
        accounts::{Login, Registration},
        sessions::Grant,
    },
};

/// A new account.
#[derive(InputObject)]
pub(super) struct RegisterInput {
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
pub(super) struct LoginInput {
    /// The username or the e-mail address.
    login: String,
    /// The password.
    password: String,
    /// What the device calls itself in the list of sessions, up to 200 characters.
    device_info: Option<String>,
}

/// A session's tokens, shown this once, and whose it is.
pub(super) struct AuthPayload {
    scope: Scope,
    grant: Grant,
}

/// A session's tokens, shown this once, and whose it is.
#[Object]
impl AuthPayload {
    /// A JWT for `Authorization: Bearer`, signed with a key of `/.well-known/jwks.json`.
    async fn access_token(&self) -> &str {
        self.grant.access_token.expose_secret()
    }

    /// When the access token ends.
    async fn access_token_expires_at(&self) -> Timestamp {
        self.grant.access_token_expires_at
    }

    /// An opaque token that another access token is got with.
    async fn refresh_token(&self) -> &str {
        self.grant.refresh_token.expose_secret()
    }

    /// When the session ends unless it is refreshed before.
    async fn refresh_token_expires_at(&self) -> Timestamp {
        self.grant.refresh_token_expires_at
    }

    /// Who is signed in now.
    async fn viewer(&self) -> Viewer {
        Viewer { scope: self.scope.clone() }
    }
}

impl AuthPayload {
    pub(super) fn new(scope: &Scope, grant: Grant) -> Self {
        Self { scope: scope.signed_in(grant.viewer), grant }
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
        let scope = Scope::of(ctx);
        let grant = service::accounts::register(&scope.op, input.into()).await?;
        Ok(Some(AuthPayload::new(scope, grant)))
    }

    /// Signs a user in; null only when it fails.
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and the proof.")] input: LoginInput,
    ) -> Result<Option<AuthPayload>> {
        let scope = Scope::of(ctx);
        let grant = service::accounts::login(&scope.op, input.into()).await?;
        Ok(Some(AuthPayload::new(scope, grant)))
    }
}
