//! Two binaries in one run, so that differences of less than 5 % can be shown.

use std::path::Path;

use super::fan_out::{self, Audience};
use super::figures::{Round, Rounds, ratio};
use super::works::{NAMES, Work};
use super::world::{Shape, World};
use super::{Trial, refuse_unknown};

/// Rounds of each work. The number is odd, so that the median is a measured round.
const ROUNDS: usize = 11;
/// Rounds of the works that open a thousand sockets each time.
const FAN_OUT_ROUNDS: usize = 3;

/// Measures every work, or the named ones, with both binaries over equal rows.
///
/// Fills the old binary's database and copies it. The new binary migrates the copy to its own schema.
pub async fn compare(trial: &Trial<'_>, old: &Path, new: &Path, only: &[&str]) {
    refuse_unknown(only, &[&NAMES[..], &["W5", "W5x"]].concat());
    let is_asked = |name: &str| only.is_empty() || only.contains(&name);
    let shape = Shape::start(trial.is_embedded).await;
    let filled = World::fill(&shape, old, &trial.folder.join("old"), trial.messages).await;
    let (mut one, mut other) = filled.copy(&shape, new, &trial.folder.join("new")).await;
    println!(
        "\n| work | old/s | new/s | rate, new to old | p50 | p99 | server CPU each | database CPU each |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for name in NAMES.into_iter().filter(|name| is_asked(name)) {
        let works = (Work::new(&mut one, name).await, Work::new(&mut other, name).await);
        let (mut old, mut new) = (Rounds::default(), Rounds::default());
        for round in 0..ROUNDS {
            // Each binary goes first equally often, because the second finds a warmer machine.
            if round % 2 == 0 {
                old.push(one.round(&shape, &works.0).await);
                new.push(other.round(&shape, &works.1).await);
            } else {
                new.push(other.round(&shape, &works.1).await);
                old.push(one.round(&shape, &works.0).await);
            }
        }
        row(works.0.title, &old, &new);
    }
    if is_asked("W5") || is_asked("W5x") {
        let audiences = (Audience::gather(&mut one).await, Audience::gather(&mut other).await);
        let (mut paced, mut crowded) = (<[Rounds; 2]>::default(), <[Rounds; 2]>::default());
        for round in 0..FAN_OUT_ROUNDS {
            let mut sides = [(0, &one, &audiences.0), (1, &other, &audiences.1)];
            sides.rotate_left(round % 2);
            for (n, world, audience) in sides {
                paced[n].push(fan_out::paced(&shape, world, audience).await);
                crowded[n].push(fan_out::crowded(&shape, world, audience).await);
            }
        }
        row("W5 deliveries at 200 sends/s", &paced[0], &paced[1]);
        row("W5x deliveries", &crowded[0], &crowded[1]);
    }
}

fn row(title: &str, old: &Rounds, new: &Rounds) {
    let ratio = |figure: fn(&Round) -> f64| {
        let ratios = new.ratios(old, figure);
        // An embedded server has no separate database process.
        if ratios.1.is_nan() { String::new() } else { ratio(ratios) }
    };
    println!(
        "| {title} | {:.0} | {:.0} | {} | {} | {} | {} | {} |",
        old.median(Round::rate),
        new.median(Round::rate),
        ratio(Round::rate),
        ratio(|round| round.percentile(50)),
        ratio(|round| round.percentile(99)),
        ratio(Round::server_ms),
        ratio(Round::database_ms),
    );
}
