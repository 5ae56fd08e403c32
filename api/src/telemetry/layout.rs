//! How a line looks: words for people, or JSON for machines.
//!
//! The library's own layouts name the spans around a line, and would need one for each request to name that. Nothing that
//! is logged can begin a line of its own, speak to a terminal or turn a line around: such characters are escaped.

use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format::Writer};

use super::request;
use crate::{
    config::LogFormat,
    domain::{Clock, Rfc3339},
};

const REQUEST: &str = "request.id";
const MESSAGE: &str = "message";

/// The layout of the settings.
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
        // Where a line comes from the `log` crate, its target and level stand in fields.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let (level, is_json) = (metadata.level(), self.format == LogFormat::Json);
        let now = Rfc3339::of_a_line(Clock::System.now());
        if is_json {
            write!(out, "{{\"timestamp\":\"{now}\",\"level\":\"{level}\",\"target\":")?;
            quote(&mut out, metadata.target())?;
        } else {
            let indent = if level.as_str().len() < 5 { " " } else { "" };
            if self.is_coloured {
                write!(out, "{now} \x1b[{}m{indent}{level}\x1b[0m", colour(*level))?;
            } else {
                write!(out, "{now} {indent}{level}")?;
            }
        }
        let mut fields = Fields { out, is_json, names_request: false, result: Ok(()) };
        event.record(&mut fields);
        if !fields.names_request
            && let Some(client) = request::current()
        {
            fields.put(REQUEST, |out| quote(out, &client.request_id));
        }
        let Fields { mut out, result, .. } = fields;
        result?;
        out.write_str(if is_json { "}\n" } else { "\n" })
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

/// Writes fields behind one another.
struct Fields<'a> {
    out: Writer<'a>,
    is_json: bool,
    names_request: bool,
    result: fmt::Result,
}

impl<'a> Fields<'a> {
    fn put(&mut self, name: &str, write: impl FnOnce(&mut Writer<'a>) -> fmt::Result) {
        // What the `log` crate says besides is in the metadata.
        if name.starts_with("log.") {
            return;
        }
        let (out, is_json) = (&mut self.out, self.is_json);
        self.names_request |= name == REQUEST;
        self.result = self.result.and_then(|()| {
            let (before, name, behind) = match (is_json, name) {
                (true, _) => (",\"", name, "\":"),
                (false, MESSAGE) => (" ", "", ""),
                (false, _) => (" ", name, "="),
            };
            out.write_str(before)?;
            out.write_str(name)?;
            out.write_str(behind)?;
            write(out)
        });
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let is_bare = !self.is_json && field.name() == MESSAGE;
        self.put(field.name(), |out| {
            if is_bare { write!(Escaped(out, false), "{value:?}") } else { quote_debug(out, value) }
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.put(field.name(), |out| quote(out, value));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), |out| out.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), |out| out.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.put(field.name(), |out| write!(out, "{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }
}

fn quote(out: &mut Writer<'_>, text: &str) -> fmt::Result {
    out.write_char('"')?;
    Escaped(out, true).write_str(text)?;
    out.write_char('"')
}

fn quote_debug(out: &mut Writer<'_>, value: &dyn Debug) -> fmt::Result {
    out.write_char('"')?;
    write!(Escaped(out, true), "{value:?}")?;
    out.write_char('"')
}

/// Control characters, other ends of lines, and what changes the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text as it stands in JSON; without its quotes escaped where none are around it.
struct Escaped<'w, 'a>(&'w mut Writer<'a>, bool);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            return self.0.write_str(text);
        }
        let is_quote = |c: char| self.1 && matches!(c, '"' | '\\');
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| is_unfit(c) || is_quote(c)) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut behind = special.chars();
            match behind.next() {
                Some(c) if is_unfit(c) => write!(self.0, "\\u{:04x}", u32::from(c))?,
                Some(c) => write!(self.0, "\\{c}")?,
                None => {}
            }
            rest = behind.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

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

    /// What is written of three lines, the first two for a request.
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
                is_it = true,
                text = "a \"b\"\n\u{1b}[31m\u{202e}",
                nobody,
                "it went well"
            );
            tracing::warn!(request.id = "r-2", error = %"x\ny", "what {}", "one\ntwo");
        };
        within(&Arc::new(client), work).await;
        tracing::error!(ratio = f64::NAN, "nobody's");
        // As the `log` crate's records come.
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
                r#" INFO it went well count=3 ratio=0.5 is_it=true text="a \"b\"\u000a\u001b[31m\u202e" request.id="r-1""#,
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
                json!({ "level": "INFO", "message": "it went well", "count": 3, "ratio": 0.5, "is_it": true,
                    "text": "a \"b\"\n\u{1b}[31m\u{202e}", "request.id": "r-1" }),
                json!({ "level": "WARN", "message": "what one\ntwo", "request.id": "r-2", "error": "x\ny" }),
                json!({ "level": "ERROR", "message": "nobody's", "ratio": "NaN" }),
                json!({ "level": "INFO", "message": "taken over" }),
            ]
        );
    }
}
