//! The mixed load: reads and sends at fixed rates, next to a thousand open feeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::fan_out::Audience;
use super::figures::{count, percentile};
use super::load::{Answers, OpenLoop};
use super::works::Work;
use super::world::{Shape, World};

/// Offered requests per second.
const RATES: [u32; 3] = [750, 2_000, 3_750];
const OFFERED: Duration = Duration::from_secs(10);
/// Requests per send; the others are W1, W2 and W3 in equal parts.
const SEND_OF: usize = 5;

/// Offers the mix at each rate and prints the results. Times count from the moment when a request was due.
pub async fn measure(shape: &Shape, world: &mut World, audience: &Audience) {
    let mut reads = Vec::new();
    for name in ["W1", "W2", "W3"] {
        reads.push(Work::new(world, name).await.ours);
    }
    let address = world.server.address;
    let reads: Vec<_> = reads.into_iter().map(|requests| OpenLoop::new(address, requests)).collect();
    let sends = OpenLoop::new(address, Arc::new(audience.messages()));
    let listening = audience.listen(world).await;
    println!(
        "\n| mixed, offered/s | answered/s | reads p50 ms | p99 | sends p50 ms | p99 | failed | server CPU s/s | \
         database CPU s/s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for rate in RATES {
        let offering = async {
            let begin = Instant::now();
            offer(rate, begin, &reads, &sends).await;
            Answers { elapsed: begin.elapsed(), ..Answers::default() }
        };
        let round = world.measure(shape, offering).await;
        let read: Vec<_> = reads.iter().map(|open_loop| open_loop.take()).collect();
        let sent = sends.take();
        let times: Vec<_> = read.iter().flat_map(|answers| answers.times.iter().copied()).collect();
        let answered = sent.count + read.iter().map(|answers| answers.count).sum::<usize>();
        let failed = sent.failed + read.iter().map(|answers| answers.failed).sum::<usize>();
        let seconds = round.answers.elapsed.as_secs_f64();
        println!(
            "| {rate} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {failed} | {:.2} | {:.2} |",
            count(answered) / seconds,
            percentile(times.clone(), 50),
            percentile(times, 99),
            percentile(sent.times.clone(), 50),
            percentile(sent.times, 99),
            round.server.as_secs_f64() / seconds,
            round.database.as_secs_f64() / seconds,
        );
    }
    drop(listening);
}

/// Sends each request when it is due, and waits for all responses.
async fn offer(rate: u32, begin: Instant, reads: &[Arc<OpenLoop>], sends: &Arc<OpenLoop>) {
    let mut tasks = JoinSet::new();
    let mut n = 0_u32;
    while begin.elapsed() < OFFERED {
        let due = begin + Duration::from_secs(1) * n / rate;
        // The runtime's clock counts milliseconds, so some requests start together.
        tokio::time::sleep_until(due.into()).await;
        let place = n as usize;
        let open_loop =
            if place.is_multiple_of(SEND_OF) { sends } else { &reads[(place - place / SEND_OF) % reads.len()] };
        tasks.spawn(Arc::clone(open_loop).ask(place / SEND_OF, due));
        n += 1;
    }
    tasks.join_all().await;
}
