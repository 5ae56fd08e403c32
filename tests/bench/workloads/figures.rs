//! Figures of the rounds of a work, and the table cells that show them.

use std::time::Duration;

use super::load::Answers;

/// Figures of one round: its answers, and the processor time of server and database.
#[derive(Default)]
pub struct Round {
    pub answers: Answers,
    pub server: Duration,
    pub database: Duration,
}

/// All rounds of a work.
#[derive(Default)]
pub struct Rounds(Vec<Round>);

impl Round {
    /// Returns the answers per second.
    pub fn rate(&self) -> f64 {
        count(self.answers.count) / self.answers.elapsed.as_secs_f64()
    }

    /// Returns the server's processor time per answer, in milliseconds.
    pub fn server_ms(&self) -> f64 {
        ms(self.server) / count(self.answers.count)
    }

    /// Returns the database's processor time per answer, in milliseconds.
    pub fn database_ms(&self) -> f64 {
        ms(self.database) / count(self.answers.count)
    }

    /// Returns a percentile of the answers' times, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        percentile(self.answers.times.clone(), percent)
    }
}

impl Rounds {
    pub fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    /// Returns the median of a figure over all rounds.
    pub fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        spread(self.0.iter().map(figure).collect()).1
    }

    /// Returns the rate of the fastest round.
    pub fn fastest(&self) -> f64 {
        self.0.iter().map(Round::rate).fold(0.0, f64::max)
    }

    /// Returns the mean length of an answer, including its head.
    pub fn bytes(&self) -> usize {
        let (bytes, answers) = self
            .0
            .iter()
            .fold((0, 0), |(bytes, answers), round| (bytes + round.answers.bytes, answers + round.answers.count));
        bytes / answers.max(1)
    }

    /// Divides a figure of each round by the others' figure; returns minimum, median and maximum of the ratios.
    pub fn ratios(&self, others: &Self, figure: impl Fn(&Round) -> f64) -> (f64, f64, f64) {
        spread(self.0.iter().zip(&others.0).map(|(one, other)| figure(one) / figure(other)).collect())
    }

    /// Returns the cells of a table row: rates, latencies, processor times.
    pub fn cells(&self) -> String {
        format!(
            "{:.0} | {:.0} | {:.2} | {:.2} | {:.3} | {:.3}",
            self.median(Round::rate),
            self.fastest(),
            self.median(|round| round.percentile(50)),
            self.median(|round| round.percentile(99)),
            self.median(Round::server_ms),
            self.median(Round::database_ms),
        )
    }
}

/// Header of [`Rounds::cells`].
pub const HEAD: &str =
    "requests/s, median round | fastest round | p50 ms | p99 ms | server CPU ms each | database CPU ms each";

/// Returns a percentile of times, in milliseconds.
pub fn percentile(mut times: Vec<Duration>, percent: usize) -> f64 {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).map_or(f64::NAN, |time| ms(*time))
}

/// Formats a ratio with its spread over the rounds.
pub fn ratio((least, median, most): (f64, f64, f64)) -> String {
    format!("{median:.2} ({least:.2} to {most:.2})")
}

pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
pub fn count(count: usize) -> f64 {
    count as f64
}

/// Returns minimum, median and maximum.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[0], figures[figures.len() / 2], figures[figures.len() - 1])
}
