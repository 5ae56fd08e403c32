//! Project rules that no compiler checks. Each is a test that names the files that break it.

mod imports;
mod source;

use std::{fs, path::Path};

use self::source::{
    Module, files, has_extension, ignored, is_ignored, named_paths, paths, root, rust_files, server_files,
    tests_that_return, tokens, untested,
};

/// Layers of `api/src`, lowest first. The last row connects the others, and its files may import each other.
const ROWS: [&[&str]; 8] = [
    &["domain", "config"],
    &["redis_client", "telemetry", "budget"],
    &["crypto", "store", "cache", "bus", "mail", "limiter"],
    &["service"],
    &["engine"],
    &["graphql"],
    &["http"],
    &["main", "cli", "app", "lib"],
];

/// Modules that may import only some of the rows below them.
const IMPORTS: [(&str, &[&str]); 2] = [
    ("engine", &["domain", "config", "telemetry", "budget"]),
    ("graphql", &["domain", "config", "service", "engine", "budget"]),
];

/// Crates, and the only modules of `api/src` that may name them.
const KEEPERS: [(&[&str], &[&str]); 7] = [
    (&["lettre"], &["mail"]),
    (&["sea_orm", "sea_orm_migration", "sea_query_sqlx", "qv_entity", "qv_migration", "sqlx"], &["store"]),
    (&["async_graphql", "asynk_strim"], &["engine", "graphql"]),
    (&["redis"], &["redis_client", "cache", "bus", "limiter"]),
    (&["poem"], &["http", "app"]),
    (&["hyper", "hyper_util"], &["http", "telemetry"]),
    (&["opentelemetry", "opentelemetry_http", "opentelemetry_otlp", "opentelemetry_sdk"], &["telemetry"]),
];

/// Longest allowed file in lines, without its tests.
const LONGEST: usize = 400;

#[test]
fn a_module_imports_only_from_lower_rows() {
    check("a module imports only from lower rows", |broken| {
        for (file, text) in server_files() {
            let module = Module::of(&file);
            let Some(row) = row_of(module.top()) else {
                broken.push(format!("{file}: `{}` is in no row", module.top()));
                continue;
            };
            for path in paths(untested(&file, &text)) {
                let Some(named) = module.resolve(&path).filter(|named| *named != module.top()) else { continue };
                let only = IMPORTS.iter().find(|(name, _)| *name == module.top());
                let is_allowed = match row_of(named) {
                    None => false,
                    Some(lower) if lower >= row => row == ROWS.len() - 1,
                    Some(_) => only.is_none_or(|(_, allowed)| allowed.contains(&named)),
                };
                if !is_allowed {
                    broken.push(format!("{file}: `{}`", path.join("::")));
                }
            }
        }
    });
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    check("files of a module do not import each other in a circle", |broken| {
        for circle in imports::circles(&server_files().collect::<Vec<_>>()) {
            broken.push(circle.join(" -> "));
        }
    });
}

#[test]
fn a_circle_of_imports_is_found() {
    let files = [
        ("service/mod.rs", "pub mod a; mod b; mod c; pub use self::b::B;"),
        ("service/a.rs", "use crate::service::b::B;"),
        ("service/b.rs", "use super::c; pub struct B; fn f() { c::g() }"),
        ("service/c.rs", "mod inner; fn g() { inner::h(); super::a::f() }"),
        ("service/c/inner.rs", "use crate::service::{Error, c::C}; #[cfg(test)]\nmod tests { use crate::service::a; }"),
        ("store/mod.rs", "mod x; use self::x::X; struct Y;"),
        ("store/x.rs", "use crate::{service::a, store::Y};"),
        ("bus/a.rs", "use crate::bus::b::B;"),
        ("bus/b.rs", "mod inner;"),
        ("bus/b/inner.rs", "use crate::bus::a::A;"),
    ];
    let files = files.map(|(file, text)| (format!("api/src/{file}"), text.to_owned()));
    assert_eq!(imports::circles(&files), [vec!["service/a", "service/b", "service/c"], vec!["bus/a", "bus/b"]]);
}

#[test]
fn a_crate_is_named_only_by_its_keepers() {
    check("a crate is named only by its keepers", |broken| {
        for (file, text) in server_files() {
            let module = Module::of(&file);
            for path in paths(untested(&file, &text)) {
                for (_, keepers) in KEEPERS.iter().filter(|(crates, _)| crates.contains(&path[0])) {
                    if !keepers.contains(&module.top()) {
                        broken.push(format!("{file}: `{}` is for {}", path.join("::"), keepers.join(", ")));
                    }
                }
            }
        }
    });
}

#[test]
fn a_file_begins_with_what_it_is_for() {
    check("a file begins with `//!` and a sentence", |broken| {
        broken.extend(rust_files().filter(|(_, text)| !text.starts_with("//! ")).map(|(file, _)| file));
    });
}

#[test]
fn a_file_is_not_too_long() {
    check("a file is split past 400 lines, its tests aside", |broken| {
        for (file, text) in rust_files() {
            let lines = untested(&file, &text).lines().count();
            if lines > LONGEST {
                broken.push(format!("{file}: {lines} lines"));
            }
        }
    });
}

#[test]
fn a_lint_is_expected_and_never_allowed() {
    check("`#[expect(lint, reason = \"...\")]`, never allow", |broken| {
        for (file, text) in rust_files() {
            let tokens = tokens(&text);
            if tokens.windows(3).any(|three| matches!(three, ["[" | ",", "allow", "("])) {
                broken.push(file);
            }
        }
    });
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    check("no `unwrap` outside tests", |broken| {
        for (file, text) in rust_files() {
            if tokens(untested(&file, &text)).windows(3).any(|three| three == [".", "unwrap", "("]) {
                broken.push(file);
            }
        }
    });
}

#[test]
fn a_test_never_returns_early() {
    check("no `return` in the body of a test: what needs a cluster goes in a module `clustered`", |broken| {
        for (file, text) in rust_files() {
            broken.extend(tests_that_return(&text).into_iter().map(|test| format!("{file}: `{test}`")));
        }
    });
}

#[test]
fn nothing_is_left_for_later() {
    // Assembled here, so that this file does not break its own rule.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    check("nothing is left for later in a remark", |broken| {
        // Lock files contain digests, which can spell anything.
        for (file, text) in files().into_iter().filter(|(file, _)| !file.contains("lock")) {
            for (number, line) in (1..).zip(text.lines()) {
                let mut words = line.split(|letter: char| !letter.is_alphanumeric());
                if words.any(|word| marks.contains(&word)) {
                    broken.push(format!("{file}:{number}"));
                }
            }
            let is_rust = has_extension(&file, "rs");
            if is_rust && tokens(&text).windows(2).any(|two| matches!(two, ["todo" | "unimplemented", "!"])) {
                broken.push(file);
            }
        }
    });
}

#[test]
fn a_document_names_only_paths_that_exist() {
    check("a document names no path that does not exist", |broken| {
        for (file, text) in files() {
            let is_document = has_extension(&file, "md") && (!file.contains('/') || file.starts_with("docs/"));
            if !is_document {
                continue;
            }
            let folder = Path::new(&file).parent().unwrap();
            for path in named_paths(&text) {
                let exists = [Path::new(""), folder].iter().any(|from| root().join(from).join(path).exists());
                // Paths that git ignores are created by a build or a run.
                if !exists && !is_ignored(&ignored(), path) {
                    broken.push(format!("{file}: `{path}`"));
                }
            }
        }
    });
}

#[test]
fn a_setting_is_explained_above_it() {
    const SETTINGS: &str = "api/config.default.toml";
    let text = fs::read_to_string(root().join(SETTINGS)).unwrap();
    let lines: Vec<_> = text.lines().collect();
    check("a setting has a comment line above it", |broken| {
        for (number, pair) in (2..).zip(lines.windows(2)) {
            let is_setting = pair[1].starts_with(|letter: char| letter.is_ascii_alphabetic());
            if is_setting && !pair[0].starts_with("# ") {
                broken.push(format!("{SETTINGS}:{number}: `{}`", pair[1]));
            }
        }
    });
}

#[test]
fn no_file_is_empty() {
    check("no file is empty", |broken| {
        broken.extend(files().into_iter().filter(|(_, text)| text.trim().is_empty()).map(|(file, _)| file));
    });
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let places = ["root", "home", "work", "Users"].map(|folder| format!("/{folder}/"));
    check("no file names a place on one machine", |broken| {
        for (file, text) in files() {
            for (at, place) in places.iter().flat_map(|place| text.match_indices(place)) {
                // After a name, the match is a folder inside another path.
                let is_within =
                    text[..at].ends_with(|letter: char| letter.is_alphanumeric() || "._-/})".contains(letter));
                if !is_within {
                    broken.push(format!("{file}: `{place}`"));
                }
            }
        }
    });
}

#[test]
fn a_test_that_returns_is_told_from_others() {
    let code = r#"
        #[test]
        fn plain() { if is_absent() { return; } assert!(true); }
        #[tokio::test]
        async fn asynchronous() { let Some(url) = url() else { return }; ask(url).await; }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[should_panic = "return"]
        pub async fn with_attributes() { until(async || { return true; }).await; }
        #[should_panic(expected = "x")]
        #[test]
        fn nested<'a>() -> Result<(), String> { fn inner() -> u8 { return 1; } Ok(()) }
        #[test]
        fn honest() { /* return */ assert_eq!(returned('}'), "return }"); }
        fn helper() { return; }
        #[tokio::main]
        async fn main() { return; }
        #[test]
        fn last() { { let one = || 1; } return }
    "#;
    assert_eq!(tests_that_return(code), ["plain", "asynchronous", "with_attributes", "nested", "last"]);
}

#[test]
fn paths_are_read_from_code_alone() {
    let code = r##"
        //! crate::comment::x
        pub use self::{key::Key, redis::{self, Bus as _}};
        use poem;
        fn f<'a>(text: &'a str) -> char { /* crate::block::x */ g("crate::text", r#"crate::"raw"#, '"', '\''); }
        fn g() { crate::store::users::find(config.redis.url, super::Error) }
    "##;

    let found: Vec<_> = paths(code).into_iter().map(|path| path.join("::")).collect();

    let expected = "self::key::Key self::redis::self self::redis::Bus poem crate::store::users::find super::Error";
    assert_eq!(found.join(" "), expected);
}

/// Fails with the rule and all its violations.
fn check(rule: &str, find: impl FnOnce(&mut Vec<String>)) {
    let mut broken = Vec::new();
    find(&mut broken);
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}
