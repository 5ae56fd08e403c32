//! The mutation that publishes public keys.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::graphql::{error::Result, request_scope::RequestScope, scalars::Base64, types::user::User};
use crate::service;
use crate::service::public_keys::{NewKeys, Vault};

/// Input of `updatePublicKeys`.
#[derive(InputObject)]
pub(crate) struct UpdatePublicKeysInput {
    /// X25519 public key, 32 bytes (RFC 7748), in canonical form and not of small order.
    ecc: Base64,
    /// ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203), with reduced coefficients.
    pqc: Base64,
    /// Private keys, encrypted on the device, 1 byte to 16 KiB.
    ///
    /// If omitted, the stored value stays. Null removes it.
    key_vault: MaybeUndefined<Base64>,
}

/// Payload of `updatePublicKeys`.
#[derive(SimpleObject)]
pub(crate) struct UpdatePublicKeysPayload {
    /// Public profile of the caller, with the new keys.
    user: User,
}

impl From<UpdatePublicKeysInput> for NewKeys {
    fn from(input: UpdatePublicKeysInput) -> Self {
        let vault = match input.key_vault {
            MaybeUndefined::Undefined => Vault::Keep,
            MaybeUndefined::Null => Vault::Remove,
            MaybeUndefined::Value(Base64(bytes)) => Vault::Replace(bytes),
        };
        Self { ecc: input.ecc.0, pqc: input.pqc.0, vault }
    }
}

/// Mutation of public keys.
#[derive(Default)]
pub struct PublicKeysMutation;

/// Mutation of public keys.
#[Object]
impl PublicKeysMutation {
    /// Publishes both public keys of the caller, and stores the encrypted private keys.
    ///
    /// Followers receive changed keys by `userChanged`. A repeat with the same keys changes nothing.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if a key or the vault is not acceptable
    /// - `RATE_LIMITED` after too many calls
    /// - `UNAUTHENTICATED` without a session
    ///
    /// Null if the mutation failed; see `errors`.
    async fn update_public_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Keys to publish.")] input: UpdatePublicKeysInput,
    ) -> Result<Option<UpdatePublicKeysPayload>> {
        let scope = RequestScope::of(ctx);
        let id = service::public_keys::update(scope.request(), input.into()).await?;
        Ok(Some(UpdatePublicKeysPayload { user: User::load(scope, id).await? }))
    }
}
