//! Metrics of this process from the operating system, under the names that all Prometheus libraries use.

use std::fs;

use crate::http::ops::prometheus_text::Exposition;

/// Clock ticks per second in `/proc`, equal for every process on Linux.
const TICKS: f64 = 100.0;

/// Writes the metrics that are available. Without `/proc` there are none.
pub fn write(page: &mut Exposition) {
    let Some(stat) = read("/proc/self/stat") else { return };
    // The name in brackets may contain anything. From the fourth field on, all are numbers (proc(5)).
    let numbers: Vec<f64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').skip(1).map(|number| number.trim().parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    let number = |place: usize| numbers.get(place - 4).copied().unwrap_or_default();
    page.counter("process_cpu_seconds_total", "CPU time in seconds, user and system.")
        .value(&[], (number(14) + number(15)) / TICKS);
    if let Some(booted) = read("/proc/stat").and_then(|stat| field(&stat, "btime")) {
        page.gauge("process_start_time_seconds", "Start time of the process in seconds since 1970.")
            .value(&[], booted + number(22) / TICKS);
    }
    if let Some(status) = read("/proc/self/status") {
        for (name, help, key) in [
            ("process_resident_memory_bytes", "Resident memory in bytes.", "VmRSS:"),
            ("process_virtual_memory_bytes", "Virtual memory in bytes.", "VmSize:"),
        ] {
            if let Some(kib) = field(&status, key) {
                page.gauge(name, help).value(&[], kib * 1024.0);
            }
        }
        if let Some(threads) = field(&status, "Threads:") {
            page.gauge("process_threads", "Number of threads.").value(&[], threads);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read, and does not count.
        page.gauge("process_open_fds", "Number of open file descriptors.").value(&[], open.count().saturating_sub(1));
    }
    if let Some(most) = max_files() {
        page.gauge("process_max_fds", "Maximum number of open file descriptors.").value(&[], most);
    }
}

/// Returns the limit of open files, if any.
fn max_files() -> Option<f64> {
    field(&read("/proc/self/limits")?, "Max open files")
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Returns the number after a key at the beginning of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}
