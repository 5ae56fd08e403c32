//! From a request to an operation that may be executed: checked, parsed, measured and validated, once for each
//! document.

mod cost;
mod directives;
mod documents;
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
