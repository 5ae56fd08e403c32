//! Mail: letters with a text and an HTML part, given to a mail server or put into a folder, never during a request.

mod email;
mod folder;
mod mailer;
mod outbox;
mod smtp;

pub use self::{email::EmailMessage, mailer::Mailer, outbox::Outbox};
