//! The database: migrations, transactions and query plans.

mod failed_transactions;
mod migrations;
mod query_plans;
mod transactions;
