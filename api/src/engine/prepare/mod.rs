//! Prepares operations: checks, parses, measures and validates each document once.

mod cost;
mod directives;
mod documents;
mod introspection;
mod lexer;
mod limits;
mod operation;
mod persisted;
mod validation;
mod values;

#[cfg(test)]
mod tests;

pub use self::documents::{Documents, SetupError};
pub use self::lexer::check as check_text;
pub use self::operation::PreparedOperation;
