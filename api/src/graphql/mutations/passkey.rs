//! Mutations of passkeys: add, sign in, remove.

use async_graphql::{Context, ID, InputObject, Json, Object, SimpleObject};
use serde_json::Value;

use crate::graphql::error::Result;
use crate::graphql::mutations::account::AuthPayload;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::parse_id;
use crate::graphql::types::passkey::Passkey;
use crate::service;
use crate::service::passkeys::{NewPasskey, Offer, PasskeyLogin};

/// Started registration or login with a passkey. Finish it once, within 5 minutes.
#[derive(SimpleObject)]
pub(crate) struct PasskeyCeremony {
    /// Id for the mutation that finishes the ceremony.
    id: ID,
    /// Options for the browser, as JSON.
    ///
    /// Pass them to `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`.
    options: Json<Value>,
}

/// Input of `finishPasskeyRegistration`.
#[derive(InputObject)]
pub(crate) struct FinishPasskeyRegistrationInput {
    /// Id of the ceremony.
    ceremony_id: ID,
    /// Credential from `navigator.credentials.create`, converted by its method `toJSON()`.
    credential: Json<Value>,
    /// Name for the device with the passkey, 1 to 64 characters.
    device_name: String,
}

/// Payload of `finishPasskeyRegistration`.
#[derive(SimpleObject)]
pub(crate) struct FinishPasskeyRegistrationPayload {
    /// The passkey that was added.
    passkey: Passkey,
}

/// Input of `finishPasskeyLogin`.
#[derive(InputObject)]
pub(crate) struct FinishPasskeyLoginInput {
    /// Id of the ceremony.
    ceremony_id: ID,
    /// Credential from `navigator.credentials.get`, converted by its method `toJSON()`.
    credential: Json<Value>,
    /// Name of the device for the list of sessions, at most 200 characters.
    device_info: Option<String>,
}

/// Input of `removePasskey`.
#[derive(InputObject)]
pub(crate) struct RemovePasskeyInput {
    /// Id of a passkey of the caller.
    id: ID,
}

/// Payload of `removePasskey`.
#[derive(SimpleObject)]
pub(crate) struct RemovePasskeyPayload {
    /// Id of the passkey that was removed.
    removed_passkey_id: ID,
}

impl From<Offer> for PasskeyCeremony {
    fn from(offer: Offer) -> Self {
        Self { id: offer.id.to_string().into(), options: Json(offer.options) }
    }
}

/// Mutations of passkeys.
#[derive(Default)]
pub struct PasskeyMutation;

/// Mutations of passkeys.
#[Object]
impl PasskeyMutation {
    /// Starts to add a passkey to the caller's account.
    ///
    /// Fails with:
    /// - `FORBIDDEN` if the session is older than 5 minutes, unless configured otherwise
    /// - `CONFLICT` if the account has 20 passkeys
    /// - `RATE_LIMITED` after too many ceremonies from one network address
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn begin_passkey_registration(&self, ctx: &Context<'_>) -> Result<Option<PasskeyCeremony>> {
        Ok(Some(service::passkeys::begin_registration(RequestScope::of(ctx).request()).await?.into()))
    }

    /// Adds the passkey that the browser created.
    ///
    /// Fails with:
    /// - `NOT_FOUND` if the ceremony is expired, used or of another session
    /// - `BAD_USER_INPUT` if the name or the credential is not acceptable
    /// - `CONFLICT` if the passkey is already registered, or if the account has 20 passkeys
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn finish_passkey_registration(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Result from the browser.")] input: FinishPasskeyRegistrationInput,
    ) -> Result<Option<FinishPasskeyRegistrationPayload>> {
        let FinishPasskeyRegistrationInput { ceremony_id, credential: Json(credential), device_name } = input;
        let ceremony_id = parse_id("input.ceremonyId", &ceremony_id)?;
        let new = NewPasskey { ceremony_id, credential, device_name };
        let scope = RequestScope::of(ctx);
        let passkey = service::passkeys::finish_registration(scope.request(), new).await?;
        Ok(Some(FinishPasskeyRegistrationPayload { passkey: Passkey::new(scope, passkey) }))
    }

    /// Starts a sign-in with a passkey, which the user chooses in the browser.
    ///
    /// Fails with:
    /// - `RATE_LIMITED` after too many ceremonies from one network address
    ///
    /// Null if the mutation failed; see `errors`.
    async fn begin_passkey_login(&self, ctx: &Context<'_>) -> Result<Option<PasskeyCeremony>> {
        Ok(Some(service::passkeys::begin_login(RequestScope::of(ctx).request()).await?.into()))
    }

    /// Signs a user in with the passkey that the browser used.
    ///
    /// Fails with:
    /// - `INVALID_CREDENTIALS` if the ceremony is expired or used, the passkey is wrong, or the account is deactivated
    /// - `BAD_USER_INPUT` if `deviceInfo` is not acceptable
    ///
    /// Null if the mutation failed; see `errors`.
    async fn finish_passkey_login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Result from the browser.")] input: FinishPasskeyLoginInput,
    ) -> Result<Option<AuthPayload>> {
        let FinishPasskeyLoginInput { ceremony_id, credential: Json(credential), device_info } = input;
        let ceremony_id = parse_id("input.ceremonyId", &ceremony_id)?;
        let (scope, login) = (RequestScope::of(ctx), PasskeyLogin { ceremony_id, credential, device_info });
        Ok(Some(AuthPayload::new(scope, service::passkeys::finish_login(scope.request(), login).await?)))
    }

    /// Removes a passkey of the caller.
    ///
    /// Fails with:
    /// - `FORBIDDEN` if the session is older than 5 minutes, unless configured otherwise
    /// - `NOT_FOUND` if the caller has no such passkey
    /// - `CONFLICT` if the passkey is the last way into the account
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn remove_passkey(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Passkey to remove.")] input: RemovePasskeyInput,
    ) -> Result<Option<RemovePasskeyPayload>> {
        service::passkeys::remove(RequestScope::of(ctx).request(), parse_id("input.id", &input.id)?).await?;
        Ok(Some(RemovePasskeyPayload { removed_passkey_id: input.id }))
    }
}
