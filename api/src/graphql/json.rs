//! JSON of the schema's own values: times, cursors and bytes.

use base64::Engine;

use crate::domain::{Rfc3339, Timestamp};
use crate::engine::object::Writer;
use crate::graphql::{request_scope::RequestScope, scalars::BASE64};
use crate::service::Cursor;

impl Writer<'_, RequestScope> {
    /// Writes a time (RFC 3339, in UTC).
    pub(crate) fn time(&mut self, time: Timestamp) {
        self.plain(Rfc3339::exact(time));
    }

    /// Writes a sealed cursor.
    pub(crate) fn cursor(&mut self, cursor: &Cursor) {
        if !self.is_incomplete() {
            self.plain(self.context.request().seal(cursor));
        }
    }

    /// Writes bytes in base64 with padding.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        // Padded base64 has four characters for each started group of three bytes, so the buffer always fits.
        self.plain_bytes(bytes.len().div_ceil(3) * 4, |out| {
            let _ = BASE64.encode_slice(bytes, out);
        });
    }
}
