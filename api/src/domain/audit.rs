//! Data for operators: accounts, and the audit trail. Owners see the part of the trail about their own account.

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
    /// Id. Ids follow the order in which entries were written.
    pub id: AuditLogId,
    /// User whose account the entry is about.
    pub user_id: Option<UserId>,
    /// Action as a dotted name in the past tense.
    pub action: String,
    /// Global id of the affected object.
    pub resource: Option<String>,
    /// More data about the action.
    pub details: Option<Value>,
    /// IP address of the client.
    pub ip_address: Option<String>,
    /// `User-Agent` header of the client.
    pub user_agent: Option<String>,
    /// Time of the action.
    pub created_at: Timestamp,
}

/// Filter of audit trail entries. Absent fields match everything.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only entries about this account.
    pub user_id: Option<UserId>,
    /// Only entries with this action.
    pub action: Option<String>,
    /// Only entries from this time on.
    pub since: Option<Timestamp>,
    /// Only entries before this time.
    pub until: Option<Timestamp>,
}

/// An account with the data that operators can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUser {
    /// Owner of the account.
    pub user_id: UserId,
    /// Username, the order of the list of accounts.
    pub username: Arc<str>,
    /// E-mail address.
    pub email: String,
    /// Role of the account.
    pub role: Role,
    /// Time of the latest sign-in, if there was one.
    pub last_login_at: Option<Timestamp>,
}
