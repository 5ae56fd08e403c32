//! Passkeys: adding, signing in with, and removing them.

use async_graphql::{Context, ID, InputObject, Json, Object, SimpleObject};
use serde_json::Value;

use crate::graphql::error::Result;
use crate::graphql::mutations::account::AuthPayload;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::parse_id;
use crate::graphql::types::passkey::Passkey;
use crate::service;
use crate::service::passkeys::{NewPasskey, Offer, PasskeyLogin};

/// A passkey's registration or login that a browser goes on with, once and within 5 minutes.
#[derive(SimpleObject)]
pub(crate) struct PasskeyCeremony {
    /// What to finish it by.
    id: ID,
    /// What `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` takes.
    options: Json<Value>,
}

/// What a browser made of a registration's options.
#[derive(InputObject)]
pub(crate) struct FinishPasskeyRegistrationInput {
    /// The ceremony that it answers.
    ceremony_id: ID,
    /// What `toJSON()` of the credential from `navigator.credentials.create` gave.
    credential: Json<Value>,
    /// What to call the device that keeps it, 1 to 64 characters.
    device_name: String,
}

/// The passkey that was added.
#[derive(SimpleObject)]
pub(crate) struct FinishPasskeyRegistrationPayload {
    /// The passkey.
    passkey: Passkey,
}

/// What a browser made of a login's options.
#[derive(InputObject)]
pub(crate) struct FinishPasskeyLoginInput {
    /// The ceremony that it answers.
    ceremony_id: ID,
    /// What `toJSON()` of the credential from `navigator.credentials.get` gave.
    credential: Json<Value>,
    /// What the device calls itself in the list of sessions, up to 200 characters.
    device_info: Option<String>,
}

/// Which passkey to remove.
#[derive(InputObject)]
pub(crate) struct RemovePasskeyInput {
    /// One of the caller's own.
    id: ID,
}

/// The passkey that was removed.
#[derive(SimpleObject)]
pub(crate) struct RemovePasskeyPayload {
    /// What its id was.
    removed_passkey_id: ID,
}

impl From<Offer> for PasskeyCeremony {
    fn from(offer: Offer) -> Self {
        Self { id: offer.id.to_string().into(), options: Json(offer.options) }
    }
}

/// Passkeys: adding, signing in with, and removing them.
#[derive(Default)]
pub struct PasskeyMutation;

/// Passkeys: adding, signing in with, and removing them.
#[Object]
impl PasskeyMutation {
    /// Begins to add a passkey, within 5 minutes of signing in; null only when it fails.
    async fn begin_passkey_registration(&self, ctx: &Context<'_>) -> Result<Option<PasskeyCeremony>> {
        Ok(Some(service::passkeys::begin_registration(RequestScope::of(ctx).request()).await?.into()))
    }

    /// Adds a passkey in the session that has begun to; null only when it fails.
    async fn finish_passkey_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The browser's answer.")] input: FinishPasskeyRegistrationInput,
    ) -> Result<Option<FinishPasskeyRegistrationPayload>> {
        let FinishPasskeyRegistrationInput { ceremony_id, credential: Json(credential), device_name } = input;
        let ceremony_id = parse_id("input.ceremonyId", &ceremony_id)?;
        let new = NewPasskey { ceremony_id, credential, device_name };
        let scope = RequestScope::of(ctx);
        let passkey = service::passkeys::finish_registration(scope.request(), new).await?;
        Ok(Some(FinishPasskeyRegistrationPayload { passkey: Passkey::new(scope, passkey) }))
    }

    /// Begins to sign in with whichever passkey the user chooses; null only when it fails.
    async fn begin_passkey_login(&self, ctx: &Context<'_>) -> Result<Option<PasskeyCeremony>> {
        Ok(Some(service::passkeys::begin_login(RequestScope::of(ctx).request()).await?.into()))
    }

    /// Signs a user in by passkey; null only when it fails.
    async fn finish_passkey_login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The browser's answer.")] input: FinishPasskeyLoginInput,
    ) -> Result<Option<AuthPayload>> {
        let FinishPasskeyLoginInput { ceremony_id, credential: Json(credential), device_info } = input;
        let ceremony_id = parse_id("input.ceremonyId", &ceremony_id)?;
        let (scope, login) = (RequestScope::of(ctx), PasskeyLogin { ceremony_id, credential, device_info });
        Ok(Some(AuthPayload::new(scope, service::passkeys::finish_login(scope.request(), login).await?)))
    }

    /// Removes a passkey within 5 minutes of signing in, never the last way in; null only when it fails.
    async fn remove_passkey(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RemovePasskeyInput,
    ) -> Result<Option<RemovePasskeyPayload>> {
        service::passkeys::remove(RequestScope::of(ctx).request(), parse_id("input.id", &input.id)?).await?;
        Ok(Some(RemovePasskeyPayload { removed_passkey_id: input.id }))
    }
}
