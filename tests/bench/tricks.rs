//! Code written by hand for speed, compared with the libraries' code. A trick that saves less than 5 % of a request is
//! removed.

use std::{fs, io};

use quantumvault::{config::LogFormat, telemetry};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{fmt, layer::SubscriberExt};

/// Processor time of the smallest request in nanoseconds, as `front` measures it.
const REQUEST: f64 = 15_000.0;
const ROUNDS: u32 = 1_000_000;

pub fn measure() {
    let (lines, written) = telemetry::open_lines(io::sink()).expect("a thread");
    let ours = tracing_subscriber::registry().with(telemetry::layer(lines, LogFormat::Json));
    let ours = tracing::subscriber::with_default(ours, || each(log, || written.finish()));
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(io::sink());
    let layer =
        fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false).with_writer(writer);
    let library = tracing_subscriber::registry().with(layer);
    let library = tracing::subscriber::with_default(library, || each(log, || drop(guard)));
    assert_eq!(telemetry::LOST.read(), 0, "lines were lost");
    report("a log line, with the thread that writes it", ours, library);
}

/// Writes the access log line of a request.
fn log() {
    tracing::info!(
        target: "requests",
        {
        request.id = "0123456789abcdef-12345",
        http.method = "POST",
        http.route = "/graphql",
        http.status = 200_u16,
        operation.kind = "query",
        elapsed_ms = 1.234,
        bytes = 345_usize,
        client.address = "192.0.2.17",
        user.id = "user_01m8p8e9v3e00aarkfnydpr6rm",
        },
        "request"
    );
}

/// Returns the processor time of a piece of work in nanoseconds, including other threads until `finish` returns.
fn each(work: impl Fn(), finish: impl FnOnce()) -> f64 {
    let before = cpu();
    for _ in 0..ROUNDS {
        work();
    }
    finish();
    (cpu() - before) / f64::from(ROUNDS)
}

/// Returns the processor time of this process in nanoseconds, including threads that have ended. Linux counts it in
/// hundredths of a second.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() * 1e7
}

fn report(what: &str, ours: f64, library: f64) {
    let share = (library - ours) / REQUEST * 100.0;
    println!("{what}: {ours:.0} ns, by the library {library:.0} ns; saves {share:.1} % of a request of 15 us");
}
