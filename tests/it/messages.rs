//! Messages between two people: sending, reading, marking read and deleting.

mod conversations;
mod delete;
mod encryption;
mod group_commit;
mod inbox;
mod mark_read;
mod quota;
