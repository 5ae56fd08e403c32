//! Mail: messages as text and HTML, sent by SMTP or written to a folder, never during a request.

mod email;
mod folder;
mod mailer;
mod outbox;
mod smtp;

pub use self::{email::EmailMessage, mailer::Mailer, outbox::Outbox};
