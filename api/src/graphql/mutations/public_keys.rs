//! Publishing public keys.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};

use crate::graphql::{error::Result, request_scope::RequestScope, scalars::Base64, types::user::User};
use crate::service;
use crate::service::public_keys::{NewKeys, Vault};

/// The keys that others encrypt for, both at once.
#[derive(InputObject)]
pub(crate) struct UpdatePublicKeysInput {
    /// The X25519 key, 32 bytes (RFC 7748): in canonical form, and not of small order.
    ecc: Base64,
    /// The ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203), each coefficient reduced.
    pqc: Base64,
    /// The private keys, wrapped on the device, 1 byte to 16 KiB.
    ///
    /// Left out, what is stored stays as it is; null removes it.
    key_vault: MaybeUndefined<Base64>,
}

/// Whose keys they are.
#[derive(SimpleObject)]
pub(crate) struct UpdatePublicKeysPayload {
    /// The caller as others see it from now on.
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

/// Publishing public keys.
#[derive(Default)]
pub struct PublicKeysMutation;

/// Publishing public keys.
#[Object]
impl PublicKeysMutation {
    /// Publishes the caller's keys, both at once; null only when it fails.
    ///
    /// Whoever follows the caller hears of other keys by `userChanged`; the same keys again change nothing.
    async fn update_public_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The keys.")] input: UpdatePublicKeysInput,
    ) -> Result<Option<UpdatePublicKeysPayload>> {
        let scope = RequestScope::of(ctx);
        let id = service::public_keys::update(scope.request(), input.into()).await?;
        Ok(Some(UpdatePublicKeysPayload { user: User::load(scope, id).await? }))
    }
}
