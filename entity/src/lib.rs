//! Tables as SeaORM entities without behaviour, one file each.

pub mod audit_logs;
pub mod conversation_members;
pub mod conversations;
pub mod installation;
pub mod mailbox_events;
pub mod mailboxes;
pub mod messages;
pub mod metric_sequence;
pub mod one_time_tokens;
pub mod passkey_ceremonies;
pub mod password_failures;
pub mod performance_metrics;
pub mod sessions;
pub mod signing_keys;
pub mod users;
pub mod webauthn_credentials;
