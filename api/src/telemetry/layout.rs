//! Format of log lines: text for people, or JSON for machines.
//!
//! The formats of `tracing-subscriber` name the spans around a line, so naming the request would need a span per
//! request. Logged values cannot start a line, control a terminal or reverse text: such characters are escaped.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format::Writer};

use crate::config::LogFormat;
use crate::domain::{Clock, Rfc3339};
use crate::telemetry::request;

const REQUEST: &str = "request.id";
const MESSAGE: &str = "message";
/// Initial capacity of a line, in bytes.
const ROOM: usize = 512;

/// Format of log lines, as configured.
pub(super) struct Layout {
    pub(super) format: LogFormat,
    /// Whether the level of a line for people has a colour.
    pub(super) is_coloured: bool,
}

impl<S: Subscriber, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Layout
where
    S: for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // An event from the `log` crate has its target and level in fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (level, is_json) = (metadata.level(), self.format == LogFormat::Json);
        let now = Rfc3339::of_a_line(Clock::System.now());
        // Built as one string, because `out` makes two dynamic calls for each piece of text. Guarded by the benchmark
        // `tricks`.
        let mut line = String::with_capacity(ROOM);
        line.push_str(if is_json { "{\"timestamp\":\"" } else { "" });
        write!(line, "{now}")?;
        if is_json {
            for part in ["\",\"level\":\"", level.as_str(), "\",\"target\":"] {
                line.push_str(part);
            }
            quote(&mut line, metadata.target());
        } else {
            let indent = if level.as_str().len() < 5 { " " } else { "" };
            if self.is_coloured {
                write!(line, " \x1b[{}m{indent}{level}\x1b[0m", colour(*level))?;
            } else {
                for part in [" ", indent, level.as_str()] {
                    line.push_str(part);
                }
            }
        }
        let mut fields = Fields { line, is_json, names_request: false };
        event.record(&mut fields);
        if !fields.names_request
            && let Some(client) = request::current()
        {
            fields.put(REQUEST, |line| quote(line, &client.request_id));
        }
        fields.line.push_str(if is_json { "}\n" } else { "\n" });
        out.write_str(&fields.line)
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

/// Visitor that appends fields to a line.
struct Fields {
    line: String,
    is_json: bool,
    names_request: bool,
}

impl Fields {
    fn put(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        // The other fields of the `log` crate are in the metadata.
        if name.starts_with("log.") {
            return;
        }
        self.names_request |= name == REQUEST;
        let line = &mut self.line;
        if self.is_json {
            line.push_str(",\"");
            line.push_str(name);
            line.push_str("\":");
        } else {
            line.push(' ');
            if name != MESSAGE {
                line.push_str(name);
                line.push('=');
            }
        }
        write(line);
    }

    fn put_number(&mut self, field: &Field, number: impl itoa::Integer) {
        self.put(field.name(), |line| line.push_str(itoa::Buffer::new().format(number)));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let is_bare = !self.is_json && field.name() == MESSAGE;
        self.put(field.name(), |line| {
            let quote = if is_bare { "" } else { "\"" };
            line.push_str(quote);
            // A value that fails to format is truncated there.
            let _ = write!(Escaped(line, !is_bare), "{value:?}");
            line.push_str(quote);
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.put(field.name(), |line| quote(line, value));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_number(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), |line| line.push_str(if value { "true" } else { "false" }));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put(field.name(), |line| {
                let mut buffer = zmij::Buffer::new();
                let text = buffer.format_finite(value);
                line.push_str(text.strip_suffix(".0").unwrap_or(text));
            });
        } else {
            self.record_debug(field, &value);
        }
    }
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    escape(line, text, true);
    line.push('"');
}

/// Whether a character is a control character, a line separator or one that changes the direction of text.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writer that escapes text. The flag is whether quotes and backslashes are escaped too, as in JSON.
struct Escaped<'a>(&'a mut String, bool);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text, self.1);
        Ok(())
    }
}

fn escape(line: &mut String, text: &str, is_quoted: bool) {
    // Checks all bytes without an early exit, so that many bytes are checked together.
    let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
        return line.push_str(text);
    }
    for c in text.chars() {
        match c {
            _ if is_unfit(c) => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            '"' | '\\' if is_quoted => line.extend(['\\', c]),
            _ => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::{fmt, layer::SubscriberExt};

    use super::*;
    use crate::{domain::Client, telemetry::within};

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the log of four events, the first two of them for a request.
    async fn written(format: LogFormat, is_coloured: bool) -> String {
        let out = Out::default();
        let writer = out.clone();
        let layer = fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let layer = layer.event_format(Layout { format, is_coloured });
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let client = Client { request_id: "r-1".to_owned(), ip: None, user_agent: None };
        let work = async {
            let nobody = None::<&str>;
            tracing::info!(
                count = 3,
                ratio = 0.5,
                whole = 2.0,
                is_it = true,
                text = "a \"b\"\n\u{1b}[31m\u{202e}",
                nobody,
                "it went well"
            );
            tracing::warn!(request.id = "r-2", error = %"x\ny", "what {}", "one\ntwo");
        };
        within(&Arc::new(client), work).await;
        tracing::error!(ratio = f64::NAN, "nobody's");
        // An event as the `log` crate's records arrive.
        tracing::info!(log.target = "elsewhere", log.line = 7, "taken over");
        let written = out.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[tokio::test]
    async fn a_line_for_people_has_its_fields_and_its_request_and_stays_one_line() {
        let written = written(LogFormat::Text, false).await;
        let lines: Vec<_> = written.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            lines,
            [
                r#" INFO it went well count=3 ratio=0.5 whole=2 is_it=true text="a \"b\"\u000a\u001b[31m\u202e" request.id="r-1""#,
                r#" WARN what one\u000atwo request.id="r-2" error="x\u000ay""#,
                r#"ERROR nobody's ratio="NaN""#,
                " INFO taken over",
            ]
        );
    }

    #[tokio::test]
    async fn only_the_level_has_a_colour() {
        let written = written(LogFormat::Text, true).await;
        let lines: Vec<_> = written.lines().collect();
        assert!(lines[0].contains(" \u{1b}[32m INFO\u{1b}[0m it went well"), "{written}");
        assert!(lines[2].contains(" \u{1b}[31mERROR\u{1b}[0m nobody"), "{written}");
        assert_eq!(written.matches('\u{1b}').count(), 2 * lines.len());
    }

    #[tokio::test]
    async fn a_line_for_machines_is_json() {
        let written = written(LogFormat::Json, false).await;
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let object = line.as_object_mut().unwrap();
            let time = object.remove("timestamp").unwrap();
            assert!(time.as_str().unwrap().ends_with('Z'));
            assert_eq!(object.remove("target").unwrap(), "quantumvault::telemetry::layout::tests");
            line
        };
        let lines: Vec<_> = written.lines().map(line).collect();
        assert_eq!(
            lines,
            [
                json!({ "level": "INFO", "message": "it went well", "count": 3, "ratio": 0.5, "whole": 2, "is_it": true,
                    "text": "a \"b\"\n\u{1b}[31m\u{202e}", "request.id": "r-1" }),
                json!({ "level": "WARN", "message": "what one\ntwo", "request.id": "r-2", "error": "x\ny" }),
                json!({ "level": "ERROR", "message": "nobody's", "ratio": "NaN" }),
                json!({ "level": "INFO", "message": "taken over" }),
            ]
        );
    }
}
