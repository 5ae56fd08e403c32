//! Workloads of frontends: the server compared with a floor, with another binary, and at several sizes.

mod compare;
mod fan_out;
mod figures;
mod fill;
pub mod floor;
mod growth;
mod load;
mod mixed;
mod picture;
mod seed;
mod works;
mod world;

use std::path::Path;

use self::fan_out::Audience;
use self::figures::{HEAD, Round, Rounds, ratio};
use self::floor::Floor;
use self::picture::Pair;
use self::works::{NAMES, Work};
use self::world::{Shape, World};
pub use self::{compare::compare, growth::grow};
use super::server::binary;

/// Rounds of a work, alternating with rounds of its floor, because a machine's speed varies.
const ROUNDS: usize = 5;

/// Settings of a benchmark.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    pub folder: &'a Path,
    pub is_embedded: bool,
    pub messages: u32,
}

/// Fails if one of the names belongs to no work.
fn refuse_unknown(only: &[&str], known: &[&str]) {
    let unknown: Vec<_> = only.iter().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not among {known:?}");
}

/// Measures every work, or the named ones, next to the floor.
pub async fn measure(trial: &Trial<'_>, only: &[&str]) {
    refuse_unknown(only, &[&NAMES[..], &["W5", "W5x", "mixed", "backlog"]].concat());
    let is_asked = |name: &str| only.is_empty() || only.contains(&name);
    let shape = Shape::start(trial.is_embedded).await;
    let mut world = World::fill(&shape, &binary(), &trial.folder.join("one"), trial.messages).await;
    let floor = Floor::start(&shape, &world).await;
    println!("\n| work | {HEAD} | of the floor |\n| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut pairs = Vec::new();
    for name in NAMES.into_iter().filter(|name| is_asked(name)) {
        let work = Work::new(&mut world, name).await;
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        for _ in 0..ROUNDS {
            ours.push(world.round(&shape, &work).await);
            theirs.push(floor.round(&shape, &work).await);
        }
        println!("| {} | {} | {} |", work.title, ours.cells(), ratio(ours.ratios(&theirs, Round::rate)));
        println!("| floor, {} and {} bytes an answer | {} | |", ours.bytes(), theirs.bytes(), theirs.cells());
        pairs.push(Pair { name: work.title, ours: ours.median(Round::rate), floor: theirs.median(Round::rate) });
    }
    println!("\nresident after these: {} MiB", world.server.resident_kib() / 1024);
    if !pairs.is_empty() {
        let path = std::env::temp_dir().join("quantumvault-throughput.svg");
        picture::draw(&pairs, &path);
        println!("picture: {}", path.display());
    }
    if ["W5", "W5x", "mixed"].iter().any(|name| is_asked(name)) {
        let audience = Audience::gather(&mut world).await;
        if is_asked("W5") {
            fan_out::paced_rounds(&shape, &world, &audience).await;
        }
        if is_asked("W5x") {
            fan_out::crowded_rounds(&shape, &world, &audience).await;
        }
        if is_asked("mixed") {
            mixed::measure(&shape, &mut world, &audience).await;
        }
    }
    if is_asked("backlog") {
        fan_out::catch_up(&world).await;
    }
}
