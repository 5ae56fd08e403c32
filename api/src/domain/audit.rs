//! What operators see: accounts from the inside, and the audit trail, which owners see their own part of.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::{AuditLogId, Role, Timestamp, UserId, text_enum::text_enum};

text_enum! {
    /// Event that the audit trail records: dotted and in the past tense.
    pub enum AuditAction {
        /// An account was registered, or created at the command line.
        UserRegistered = "user.registered",
        /// An operator gave the account the role ADMIN.
        UserPromoted = "user.promoted",
        /// The account was deactivated by its owner or by an operator.
        UserDeactivated = "user.deactivated",
        /// A mail with a link that confirms the address was requested.
        EmailVerificationRequested = "email.verification_requested",
        /// The address was confirmed by a mailed link.
        EmailVerified = "email.verified",
        /// The owner changed the password.
        PasswordChanged = "password.changed",
        /// A mail with a link that resets the password was requested.
        PasswordResetRequested = "password.reset_requested",
        /// The password was reset by a mailed link.
        PasswordReset = "password.reset",
        /// A session was opened.
        SessionCreated = "session.created",
        /// An operator opened a session at the command line.
        SessionIssued = "session.issued",
        /// A session was ended by its user, a password change, a reset or a deactivation.
        SessionRevoked = "session.revoked",
        /// The session that was idle longest was ended, because the user has too many.
        SessionDisplaced = "session.displaced",
        /// A session was ended, because its refresh token was used twice.
        SessionReuseDetected = "session.reuse_detected",
        /// A passkey was added.
        PasskeyAdded = "passkey.added",
        /// A passkey was removed.
        PasskeyRemoved = "passkey.removed",
        /// A sign-in failed, because the passkey's counter did not increase: there may be a copy.
        PasskeyCounterRegressed = "passkey.counter_regressed",
        /// The user published other public keys.
        KeysUpdated = "keys.updated",
        /// The user replaced or removed the key vault.
        KeyVaultUpdated = "key_vault.updated",
        /// A node signs with a new key.
        SigningKeyRotated = "signing_key.rotated",
        /// An operator withdrew a signing key.
        SigningKeyWithdrawn = "signing_key.withdrawn",
        /// A restored database was fenced.
        InstallationRestored = "installation.restored",
    }
}

/// An entry of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLog {
    /// In the order in which the entries were written.
    pub id: AuditLogId,
    /// Whose account it concerns.
    pub user_id: Option<UserId>,
    /// Dotted and in the past tense.
    pub action: String,
    /// The global id of what it was done to.
    pub resource: Option<String>,
    /// What else is worth knowing.
    pub details: Option<Value>,
    /// Where the request came from.
    pub ip_address: Option<String>,
    /// What the client said it was.
    pub user_agent: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// Which entries of the audit trail are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// About this account.
    pub user_id: Option<UserId>,
    /// Of this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// An account as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUser {
    /// Whose it is.
    pub user_id: UserId,
    /// The name, by which such accounts are listed.
    pub username: Arc<str>,
    /// The address.
    pub email: String,
    /// What the account may do.
    pub role: Role,
    /// The latest sign-in, if there was one.
    pub last_login_at: Option<Timestamp>,
}
