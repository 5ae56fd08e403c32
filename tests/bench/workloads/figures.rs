//! Figures of the rounds of a work, and the rows of tables that show them.

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
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        count(self.answers.count) / self.answers.elapsed.as_secs_f64()
    }

    /// Processor time of the server for each answer, in milliseconds.
    pub fn server_ms(&self) -> f64 {
        ms(self.server) / count(self.answers.count)
    }

    /// Processor time of the database for each answer, in milliseconds.
    pub fn database_ms(&self) -> f64 {
        ms(self.database) / count(self.answers.count)
    }

    /// The time within which so many of a hundred answers came, in milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        percentile(self.answers.times.clone(), percent)
    }
}

impl Rounds {
    pub fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    /// The median over the rounds of a figure of each.
    pub fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        spread(self.0.iter().map(figure).collect()).1
    }

    /// The rate of the fastest round.
    pub fn fastest(&self) -> f64 {
        self.0.iter().map(Round::rate).fold(0.0, f64::max)
    }

    /// The mean length of an answer, its head included.
    pub fn bytes(&self) -> usize {
        let (bytes, answers) = self
            .0
            .iter()
            .fold((0, 0), |(bytes, answers), round| (bytes + round.answers.bytes, answers + round.answers.count));
        bytes / answers.max(1)
    }

    /// A figure of each round beside the same round of others: the least, the median and the most of the ratios.
    pub fn ratios(&self, others: &Self, figure: impl Fn(&Round) -> f64) -> (f64, f64, f64) {
        spread(self.0.iter().zip(&others.0).map(|(one, other)| figure(one) / figure(other)).collect())
    }

    /// The cells of a table's row: rates, latencies, processor times.
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

/// The header of [`Rounds::cells`].
pub const HEAD: &str =
    "requests/s, median round | fastest round | p50 ms | p99 ms | server CPU ms each | database CPU ms each";

/// The time within which so many of a hundred came, in milliseconds.
pub fn percentile(mut times: Vec<Duration>, percent: usize) -> f64 {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).map_or(f64::NAN, |time| ms(*time))
}

/// Spells a ratio with its spread over the rounds.
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

/// The least, the median and the most.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[0], figures[figures.len() / 2], figures[figures.len() - 1])
}
