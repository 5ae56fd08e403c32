//! Settings that limit GraphQL documents. `config.default.toml` documents each.
#![expect(missing_docs, reason = "config.default.toml documents every field, once")]

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graphql {
    pub mode: Mode,
    pub graphiql_dir: PathBuf,
    pub manifest: PathBuf,
    pub document_cache_bytes: u64,
    pub max_document_bytes: usize,
    pub max_tokens: usize,
    pub max_bracket_depth: usize,
    pub max_operations: usize,
    pub max_fragments: usize,
    pub max_directives: usize,
    pub max_aliases: usize,
    pub max_root_fields: usize,
    pub max_nodes: usize,
    pub max_depth: usize,
    pub max_complexity: usize,
    pub max_answer_bytes: usize,
    pub max_introspection_depth: usize,
    pub max_introspection_lists: usize,
    pub default_page_size: usize,
    pub max_page_size: usize,
}

/// Mode that decides which documents run, and whether introspection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Any document within the limits, and introspection.
    Explore,
    /// Any document within the limits.
    Open,
    /// Only the documents of the manifest.
    Trusted,
}
