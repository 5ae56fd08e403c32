//! Input of the rules: the files of the repository, the paths in code, the paths in documents.

use std::fs;
use std::path::{Path, PathBuf};

/// Extensions that mark a name without a slash as a file.
const EXTENSIONS: [&str; 7] = [".rs", ".toml", ".md", ".graphql", ".json", ".mjs", ".yaml"];

/// Prefixes of media types, which look like paths in documents.
const MEDIA_TYPES: [&str; 4] = ["application/", "image/", "multipart/", "text/"];

/// Module of the server: `["service", "page"]` for `api/src/service/page.rs`.
pub struct Module(Vec<String>);

impl Module {
    pub fn of(file: &str) -> Self {
        let path = file.trim_start_matches("api/src/").trim_end_matches(".rs").trim_end_matches("/mod");
        Self(path.split('/').map(str::to_owned).collect())
    }

    pub fn top(&self) -> &str {
        &self.0[0]
    }

    /// Returns the module below the crate's root that `path` leads to, unless it leads into another crate.
    pub fn resolve<'a>(&'a self, path: &[&'a str]) -> Option<&'a str> {
        let ups = path.iter().take_while(|segment| **segment == "super").count();
        match path[0] {
            "crate" => path.get(1).copied(),
            "super" if ups >= self.0.len() => path.get(ups).copied(),
            "super" => Some(self.top()),
            _ => None,
        }
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// Returns every text file that git does not ignore, with its path from the root.
pub fn files() -> Vec<(String, String)> {
    let (root, ignored) = (root(), ignored());
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let name = path.strip_prefix(&root).ok().and_then(Path::to_str).expect("a name in UTF-8").to_owned();
            if name == ".git" || is_ignored(&ignored, &name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(path) {
                found.push((name, text));
            }
        }
    }
    assert!(found.len() > 100, "the rules read {} files", found.len());
    found.sort();
    found
}

pub fn rust_files() -> impl Iterator<Item = (String, String)> {
    files().into_iter().filter(|(file, _)| has_extension(file, "rs"))
}

pub fn server_files() -> impl Iterator<Item = (String, String)> {
    rust_files().filter(|(file, _)| file.starts_with("api/src/"))
}

pub fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// Returns the rules of `.gitignore`.
pub fn ignored() -> Vec<String> {
    let rules = fs::read_to_string(root().join(".gitignore")).expect("the rules");
    rules.lines().map(|rule| rule.trim_end_matches('/').to_owned()).collect()
}

/// Whether a rule names the path or a folder that holds it.
pub fn is_ignored(rules: &[String], path: &str) -> bool {
    Path::new(path).ancestors().any(|path| {
        rules.iter().any(|rule| match rule.strip_prefix('/') {
            Some(rooted) => path == Path::new(rooted),
            None => path.file_name().is_some_and(|name| name == rule.as_str()),
        })
    })
}

/// Returns the code of a file before its tests; empty if all of it is tests.
pub fn untested<'a>(file: &str, text: &'a str) -> &'a str {
    if file.starts_with("tests/it/") || file.contains("/tests/") || file.ends_with("/tests.rs") {
        return "";
    }
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// Returns the paths in code, with `use` trees expanded. A single name counts only after `use`.
pub fn paths(code: &str) -> Vec<Vec<&str>> {
    let tokens = tokens(code);
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let is_use = at > 0 && tokens[at - 1] == "use";
        if is_name(tokens[at]) {
            let first = found.len();
            at = read_tree(&tokens, at, &[], &mut found);
            if !is_use && found[first..].iter().all(|path: &Vec<_>| path.len() == 1) {
                found.truncate(first);
            }
        } else {
            at += 1;
        }
    }
    found
}

/// Returns the child modules that code declares.
pub fn children(code: &str) -> Vec<&str> {
    let tokens = tokens(code);
    tokens.windows(3).filter(|three| three[0] == "mod" && three[2] == ";").map(|three| three[1]).collect()
}

/// Reads the path or tree that begins at `at`, and returns the position after it.
fn read_tree<'a>(tokens: &[&'a str], at: usize, before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    if tokens[at] == "{" {
        let mut at = at + 1;
        while tokens.get(at).is_some_and(|token| *token != "}") {
            at = match tokens[at] {
                "as" => at + 2,
                "," => at + 1,
                _ => read_tree(tokens, at, before, found),
            };
        }
        return at + 1;
    }
    let path = [before, &[tokens[at]]].concat();
    let goes_on = tokens.get(at + 1) == Some(&"::")
        && tokens.get(at + 2).is_some_and(|next| is_name(next) || matches!(*next, "{" | "*"));
    if goes_on {
        return read_tree(tokens, at + 2, &path, found);
    }
    found.push(path);
    at + 1
}

/// Returns the tests whose body has a `return`, also in a closure or a nested function.
pub fn tests_that_return(code: &str) -> Vec<&str> {
    let tokens = tokens(code);
    let is_test = |at: &usize| {
        matches!(tokens[*at..], ["#", "[", "test", "]", ..] | ["#", "[", "tokio", "::", "test", "]" | "(", ..])
    };
    let returns = |at: usize| {
        let mut rest = tokens[at..].iter().copied().skip_while(|token| *token != "fn").skip(1);
        let name = rest.next()?;
        let mut depth = 0;
        let body = rest.skip_while(|token| *token != "{").take_while(|token| {
            depth += i32::from(*token == "{") - i32::from(*token == "}");
            depth > 0
        });
        body.into_iter().any(|token| token == "return").then_some(name)
    };
    (0..tokens.len()).filter(is_test).filter_map(returns).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// Returns the words and signs of Rust code, without comments, strings and characters.
pub fn tokens(code: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), code);
    while let Some(first) = rest.chars().next() {
        let name = rest.len() - rest.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_').len();
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if first == '"' {
            quoted(rest)
        } else if first == '\'' {
            // A quote that does not start a character starts a lifetime.
            let letters: Vec<_> = rest.chars().take(3).collect();
            if letters.get(1) == Some(&'\\') || letters.get(2) == Some(&'\'') { quoted(rest) } else { 1 }
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            let length = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(&rest[..length]);
            length
        };
        rest = &rest[skipped..];
    }
    tokens
}

/// Returns the length of the string or character that begins here.
fn quoted(rest: &str) -> usize {
    let quote = rest.chars().next();
    let mut is_escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, letter)| {
        let is_end = !is_escaped && Some(*letter) == quote;
        is_escaped = !is_escaped && *letter == '\\';
        is_end
    });
    end.map_or(rest.len(), |(at, _)| at + 1)
}

/// Returns the length of the raw string that begins here, if there is one.
fn raw_string(rest: &str) -> Option<usize> {
    let opened = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let text = opened.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(opened.len() - text.len()));
    let length = text.strip_prefix('"')?.find(&end)?;
    Some(rest.len() - text.len() + 1 + length + end.len())
}

/// Returns the words in code spans and links of a document that look like paths of the repository.
pub fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    // After a split at fences or ticks, every other part is inside them.
    let prose = || text.split("```").step_by(2);
    let spans = prose().flat_map(|text| text.split('`').skip(1).step_by(2));
    let links = prose().flat_map(|text| text.split("](").skip(1).filter_map(|link| link.split(')').next()));
    spans.flat_map(str::split_whitespace).chain(links).filter_map(named_path)
}

fn named_path(word: &str) -> Option<&str> {
    let word = word.trim_end_matches(['.', ',', ';']).split('#').next()?;
    let path = word.strip_prefix("./").unwrap_or(word);
    let is_place = path.contains('/') || EXTENSIONS.iter().any(|extension| path.ends_with(extension));
    // A leading slash marks a route, and a colon an address. The other signs belong to patterns and shell.
    let is_other = path.starts_with(['/', '-', '~', '@'])
        || path.contains([':', '*', '{', '}', '<', '>', '$', '=', '|', '"', '\'', '\\'])
        || MEDIA_TYPES.iter().any(|kind| path.starts_with(kind));
    (is_place && !is_other).then_some(path)
}
