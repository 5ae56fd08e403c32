//! The harness: a world of its own for each test, its nodes, and clients that talk to them over real sockets.
//!
//! The shape comes from the environment. Without it a world is the embedded one: SQLite in a file, cache and bus in
//! the process. With `QV_TEST_DATABASE_URL` and `QV_TEST_REDIS_URL` it is the clustered one: a PostgreSQL database of
//! its own and a key prefix of its own. Tests in modules called `clustered` need it. `tests/run` runs both rounds.
#![expect(clippy::missing_panics_doc, reason = "a harness panics wherever a test must fail")]
#![expect(clippy::must_use_candidate, reason = "asking for an answer's data asserts that it has no errors")]

pub mod authenticator;
pub mod client;
pub mod command_line;
pub mod database;
pub mod dice;
pub mod events;
pub mod failing_disk;
pub mod follower;
pub mod keyring;
pub mod mail;
pub mod node_process;
pub mod patience;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod servers;
pub mod small_disk;
pub mod socket;
pub mod world;

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The documents of `tests/operations`, which a test holds against the schema.
#[macro_export]
macro_rules! operation {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/operations/", $name, ".graphql"))
    };
}
