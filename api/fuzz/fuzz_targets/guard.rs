//! Holds the guard against the parser: nothing that passes may overflow the stack or take longer than 10 ms.
//!
//! `cargo +nightly fuzz run guard -- -max_len=16384`; a stack overflow ends the process, which libFuzzer reports. Without a
//! nightly compiler, from `api`: `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none guard -- -max_len=16384`.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use async_graphql::parser::parse_query;
use libfuzzer_sys::fuzz_target;
use quantumvault::{config::graphql::{Graphql, Mode}, engine::check_text};

/// The defaults of `config.default.toml` that the guard reads.
static LIMITS: LazyLock<Graphql> = LazyLock::new(|| Graphql {
    mode: Mode::Open,
    graphiql_dir: PathBuf::new(),
    manifest: PathBuf::new(),
    document_cache_bytes: 0,
    max_document_bytes: 16_384,
    max_tokens: 1_000,
    max_bracket_depth: 32,
    max_operations: 10,
    max_fragments: 50,
    max_directives: 20,
    max_aliases: 30,
    max_root_fields: 20,
    max_nodes: 2_000,
    max_depth: 10,
    max_complexity: 1_000,
    max_introspection_depth: 16,
    max_introspection_lists: 2,
    default_page_size: 20,
    max_page_size: 100,
});

fuzz_target!(|text: &str| {
    if check_text(text, &LIMITS).is_ok() {
        let is_quick = |_| {
            let begin = Instant::now();
            drop(parse_query(text));
            begin.elapsed() < Duration::from_millis(10)
        };
        // A busy machine may interrupt it, but not each time.
        assert!((0..20).any(is_quick), "the parser takes 10 ms or more");
    }
});
