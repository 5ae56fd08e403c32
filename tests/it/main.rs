//! Every test that runs against the whole system, as one binary.

mod schema;
