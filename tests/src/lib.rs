//! The test harness: an isolated world for each test, its nodes, and clients that use real sockets.
//!
//! The environment selects the kind of world. By default it is embedded: SQLite in a file, with cache and bus inside
//! the process. With `QV_TEST_DATABASE_URL` and `QV_TEST_REDIS_URL` it is clustered: a separate PostgreSQL database and
//! a separate Redis key prefix. Tests in modules called `clustered` need a clustered one. `tests/run` runs both rounds.
#![expect(clippy::missing_panics_doc, reason = "a harness panics wherever a test must fail")]
#![expect(clippy::must_use_candidate, reason = "asking for an answer's data asserts that it has no errors")]

pub mod attacks;
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

/// Encodes bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Includes a document of `tests/operations`, all of which a test validates against the schema.
#[macro_export]
macro_rules! operation {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/operations/", $name, ".graphql"))
    };
}
