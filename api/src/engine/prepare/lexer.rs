//! Bounds the bytes, tokens and nesting of a document's text in one pass, before the parser reads it.
//!
//! The parser recurses once per bracket and does not limit literals, so a few kilobytes of `[` crash the process. The
//! lexer must therefore see every bracket that the parser sees. At an unterminated string, the parser goes back and
//! reads on. The lexer rejects such text, so that both agree on where strings end.

use async_graphql::Pos;

use crate::{config::graphql::Graphql, domain::ErrorCode, engine::RequestError};

/// Maximum length of a name, in bytes. Response keys and paths of errors repeat names.
const MAX_NAME_BYTES: usize = 128;

/// Rejects text that is unsafe to parse. Does not recurse, and allocates only for an error.
pub fn check(text: &str, limits: &Graphql) -> Result<(), RequestError> {
    check_size(text, limits)?;
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut depth) = (0, 0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            // Outside of strings and comments, a byte order mark is the only valid non-ASCII text. It is whitespace.
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0x80.. => {
                at += 1;
                continue;
            }
            b'#' => {
                at = run(bytes, at, |byte| !matches!(byte, b'\n' | b'\r'));
                continue;
            }
            b'"' => string_end(bytes, at).ok_or_else(|| unterminated(text, at))?,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                let end = run(bytes, at, |byte| byte == b'_' || byte.is_ascii_alphanumeric());
                if end - at > MAX_NAME_BYTES {
                    return Err(RequestError::over("bytes in a name", end - at, MAX_NAME_BYTES));
                }
                end
            }
            b'-' | b'0'..=b'9' => number_end(bytes, at),
            b'.' if bytes[at..].starts_with(b"...") => at + 3,
            b'{' | b'[' | b'(' => {
                depth += 1;
                if depth > limits.max_bracket_depth {
                    return Err(RequestError::over("nested brackets", depth, limits.max_bracket_depth));
                }
                at + 1
            }
            b'}' | b']' | b')' => {
                // The kinds of brackets need no distinction, because the parser stops at the first mismatch.
                depth = depth.saturating_sub(1);
                at + 1
            }
            _ => at + 1,
        };
        tokens += 1;
        if tokens > limits.max_tokens {
            return Err(RequestError::over("tokens", tokens, limits.max_tokens));
        }
        at = end;
    }
    Ok(())
}

/// Rejects text that is too large, before its digest is computed.
pub(super) fn check_size(text: &str, limits: &Graphql) -> Result<(), RequestError> {
    if text.len() > limits.max_document_bytes {
        return Err(RequestError::over("bytes", text.len(), limits.max_document_bytes));
    }
    Ok(())
}

/// Returns the end of the bytes from `start` for which `belongs` is true.
fn run(bytes: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> usize {
    start + bytes[start..].iter().take_while(|&&byte| belongs(byte)).count()
}

fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes[start..].starts_with(b"\"\"\"") {
        return block_string_end(bytes, start + 3);
    }
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn block_string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' if bytes[at..].starts_with(b"\"\"\"") => return Some(at + 3),
            b'\\' if bytes[at..].starts_with(b"\\\"\"\"") => at += 4,
            _ => at += 1,
        }
    }
}

/// Returns the end of a number. Numbers need no separator (`[00-1]` holds three), so the grammar delimits them.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let digits = |from| run(bytes, from, |byte| byte.is_ascii_digit());
    let integer = start + usize::from(bytes[start] == b'-');
    let mut end = if bytes.get(integer) == Some(&b'0') { integer + 1 } else { digits(integer) };
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digits(exponent) > exponent {
            end = digits(exponent);
        }
    }
    end
}

fn unterminated(text: &str, at: usize) -> RequestError {
    let before = &text[..at];
    let line = before.split('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    RequestError::new(ErrorCode::GraphqlParseFailed, "The document contains an unterminated string.")
        .at(Pos { line, column })
}
