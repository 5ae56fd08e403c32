//! Passkeys.

use async_graphql::{ID, Object};

use crate::domain::{self, Timestamp};

/// A way to sign in without a password.
pub(crate) struct Passkey(pub(crate) domain::Passkey);

/// A way to sign in without a password.
#[Object]
impl Passkey {
    /// Global and stable.
    pub(crate) async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What its owner calls the device that keeps it.
    async fn device_name(&self) -> &str {
        &self.0.device_name
    }

    /// When it was added.
    async fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// When it last signed in; null before the first time.
    async fn last_used_at(&self) -> Option<Timestamp> {
        self.0.last_used_at
    }
}
