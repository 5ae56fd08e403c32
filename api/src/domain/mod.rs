//! The types of the product and their rules, without I/O, frameworks, a global clock or global randomness.

pub mod account;
pub mod audit;
pub mod error_code;
pub mod event;
pub mod id;
pub mod message;
pub mod metrics;
pub mod page;
pub mod passkey;
pub mod source;
mod text_enum;
pub mod time;

pub use account::{
    Account, Client, Email, KeyTag, PqcKey, PublicKeys, Role, Session, TokenPurpose, User, Username, UsernamePrefix,
    Viewer,
};
pub use audit::{AdminUser, AuditAction, AuditFilter, AuditLog};
pub use error_code::{AuthenticationReason, ErrorCode};
pub use id::{
    AdminUserId, AuditLogId, CeremonyId, ConversationId, IdError, MessageId, MetricId, NodeId, PasskeyId, SessionId,
    UserId,
};
pub use message::{Conversation, FeedEvent, FeedEventKind, InboxLine, Message, MessageCounts, Quota};
pub use metrics::{MetricBucket, MetricFilter, MetricKey, MetricName, PerformanceMetric, SeriesRange};
pub use page::{Direction, Page, PageArguments, Slice};
pub use passkey::{CeremonyKind, DeviceName, Passkey};
pub use source::{Clock, Random, Source};
pub(crate) use text_enum::text_enum;
pub use time::{Rfc3339, Timestamp};
