//! The printed schema: as committed, and described throughout.

use quantumvault::graphql;

const COMMITTED: &str = include_str!("../../schema.graphql");

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    assert!(graphql::sdl() == COMMITTED, "schema.graphql is out of date: run `just schema` and read the difference");
}
