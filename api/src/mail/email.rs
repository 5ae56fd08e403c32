//! Mails that the server sends to users, as text and as HTML.

use lettre::Message;
use lettre::message::{Mailbox, MultiPart};

use crate::domain::Timestamp;

/// A mail to one address.
pub struct EmailMessage {
    to: String,
    subject: &'static str,
    greeting: String,
    body: &'static str,
    link: Option<String>,
}

impl EmailMessage {
    /// Creates the mail with a link that sets a new password.
    #[must_use]
    pub fn password_reset(to: &str, username: &str, link: String) -> Self {
        let body = "Somebody asked for another password for your account. If it was you, follow the link; it works \
                    once and for a short time. If not, do nothing: your password stays as it is.";
        Self::new(to, "Set another password", username, body, Some(link))
    }

    /// Creates the notice that the password was changed.
    #[must_use]
    pub fn password_changed(to: &str, username: &str) -> Self {
        let body = "Your password was changed by a link sent to this address, and all your sessions were ended. If \
                    it was not you, ask for another password at once and look after this mailbox.";
        Self::new(to, "Your password was changed", username, body, None)
    }

    /// Creates the mail with a link that confirms an address.
    #[must_use]
    pub fn verification(to: &str, username: &str, link: String) -> Self {
        let body = "Follow the link to confirm that this address is yours; it works once and for a short time. If \
                    you have no account here, do nothing.";
        Self::new(to, "Confirm your address", username, body, Some(link))
    }

    fn new(to: &str, subject: &'static str, username: &str, body: &'static str, link: Option<String>) -> Self {
        Self { to: to.to_owned(), subject, greeting: format!("Hello {username},"), body, link }
    }

    pub(crate) fn message(&self, from: &Mailbox, id: &str, now: Timestamp) -> Result<Message, String> {
        let to = self.to.parse().map_err(|_| "the recipient's address cannot be written to".to_owned())?;
        let builder = Message::builder()
            .from(from.clone())
            .to(to)
            .subject(self.subject)
            .date(now.into())
            .message_id(Some(format!("<{id}@{}>", from.email.domain())));
        let parts = MultiPart::alternative_plain_html(self.text(), self.html());
        builder.multipart(parts).map_err(|error| error.to_string())
    }

    fn text(&self) -> String {
        let link = self.link.as_ref().map_or_else(String::new, |link| format!("\n{link}\n"));
        format!("{}\n\n{}\n{link}", self.greeting, self.body)
    }

    fn html(&self) -> String {
        let link = self.link.as_deref().map_or_else(String::new, |link| {
            let link = escape(link);
            format!("<p><a href=\"{link}\">{link}</a></p>")
        });
        let (greeting, body) = (escape(&self.greeting), escape(self.body));
        format!("<!doctype html><html lang=\"en\"><body><p>{greeting}</p><p>{body}</p>{link}</body></html>")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
