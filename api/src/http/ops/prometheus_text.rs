//! Prometheus' text format for metrics, version 0.0.4.

use std::fmt::{Display, Write};

use crate::telemetry::counters::Durations;

/// Media type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of labels. None comes from a client, so none needs escaping.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Page of metrics.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family of values that only grow.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    /// Begins a family of values that go up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Begins a family of distributions.
    pub fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    /// Returns the page.
    pub fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { page: self, name }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
    }
}

/// Family of metrics with one name.
pub struct Family<'a> {
    page: &'a mut Exposition,
    name: &'static str,
}

impl Family<'_> {
    /// Writes one value.
    pub fn value(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.sample("", labels, None, value);
        self
    }

    /// Writes one distribution.
    pub fn durations(&mut self, labels: Labels<'_>, durations: &Durations) -> &mut Self {
        // Reads the count after the buckets. Otherwise a bucket could exceed it.
        let buckets: Vec<_> = durations.cumulative().collect();
        let count = durations.count();
        for (bound, sum) in buckets {
            self.sample("_bucket", labels, Some(&bound.to_string()), sum);
        }
        self.sample("_bucket", labels, Some("+Inf"), count);
        self.sample("_sum", labels, None, durations.seconds());
        self.sample("_count", labels, None, count);
        self
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        let pairs = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let name = self.name;
        if pairs.is_empty() {
            self.page.line(format_args!("{name}{suffix} {value}\n"));
        } else {
            self.page.line(format_args!("{name}{suffix}{{{}}} {value}\n", pairs.join(",")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut page = Exposition::default();
        page.counter("a_total", "Some.").value(&[("kind", "x")], 1).value(&[("kind", "y")], 2);
        page.gauge("b", "Others.").value(&[], 0.5);
        let durations = Durations::default();
        durations.observe(Duration::from_millis(2));
        page.histogram("c_seconds", "Times.").durations(&[("route", "/")], &durations);
        let page = page.finish();
        assert!(page.starts_with(
            "# HELP a_total Some.\n# TYPE a_total counter\na_total{kind=\"x\"} 1\na_total{kind=\"y\"} 2\n# HELP b Others.\n# TYPE b gauge\nb 0.5\n# HELP c_seconds Times.\n"
        ));
        assert!(
            page.contains(
                "c_seconds_bucket{route=\"/\",le=\"0.001\"} 0\nc_seconds_bucket{route=\"/\",le=\"0.0025\"} 1\n"
            )
        );
        assert!(page.ends_with("le=\"+Inf\"} 1\nc_seconds_sum{route=\"/\"} 0.002\nc_seconds_count{route=\"/\"} 1\n"));
    }
}
