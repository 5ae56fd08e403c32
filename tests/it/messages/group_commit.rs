//! Sends that arrive together, share a commit, and get a response each.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use qv_tests::client::{Answer, Client};
use qv_tests::world::World;
use serde_json::Value;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const ROUNDS: usize = 30;

/// Lists the sends of everybody to everybody, including themselves.
fn drafts(people: &[Client]) -> impl Iterator<Item = (&Client, &Client, String)> + Clone {
    let rounds = (0..ROUNDS).flat_map(|round| (0..people.len()).map(move |n| (round, n)));
    rounds.map(|(round, n)| (&people[n], &people[(n + round) % people.len()], format!("m{round}")))
}

async fn send_all(people: &[Client]) -> Vec<Answer> {
    join_all(drafts(people).map(async |(from, to, id)| from.send(to, "hello", &id).await)).await
}

/// Asserts that each message is in both mailboxes once, in one order for each pair, and counted once.
async fn agree(people: &[Client], answers: &[Answer]) {
    let mut order: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for who in people {
        let (events, _) = who.feed(None).await.backlog().await;
        let seen: Vec<_> = events.iter().map(|event| event["message"]["id"].clone()).collect();
        let own = drafts(people).zip(answers).filter(|((from, to, _), _)| from.id == who.id || to.id == who.id);
        let (mut expected, mut sorted): (Vec<_>, _) =
            (own.clone().map(|(_, answer)| answer.message_id().to_string()).collect(), seen.clone());
        expected.sort_unstable();
        sorted.sort_by_key(ToString::to_string);
        assert_eq!(sorted.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);

        let mut unread = 0;
        for peer in people {
            let viewer = who.messages(peer).await;
            let nodes = viewer["conversation"]["messages"]["nodes"].as_array().expect("messages").clone();
            let awaiting =
                own.clone().filter(|((from, to, _), _)| from.id == peer.id && to.id == who.id && from.id != to.id);
            let awaiting = awaiting.count();
            assert_eq!(viewer["conversation"]["unreadCount"], awaiting);
            unread += awaiting;
            let ids: Vec<_> = nodes.iter().rev().map(|node| node["id"].clone()).collect();
            let in_feed: Vec<_> = seen.iter().filter(|id| ids.contains(id)).cloned().collect();
            assert_eq!(in_feed, ids, "a feed has the conversation's order");
            let mut pair = [who.id.clone(), peer.id.clone()];
            pair.sort_unstable();
            assert_eq!(order.entry(pair.join(" ")).or_insert_with(|| ids.clone()), &ids);
            assert_eq!(viewer["conversation"]["lastMessage"]["id"], ids[ids.len() - 1]);
        }
        assert_eq!(who.messages(who).await["unreadCount"], unread);
    }
}

#[tokio::test]
async fn sends_that_arrive_together_are_each_delivered_once() {
    let node = World::new().await.node().await;
    let people = node.client().register_all(NAMES).await;
    agree(&people, &send_all(&people).await).await;
}

#[tokio::test]
async fn the_same_sends_at_two_nodes_at_once_are_one_each() {
    let world = World::new().await;
    let (one, two) = world.two_nodes().await;
    let here = one.client().register_all(NAMES).await;
    let there: Vec<_> = here.iter().map(|client| client.at(two.client().address)).collect();
    let (first, second) = tokio::join!(send_all(&here), send_all(&there));
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.message_id(), second.message_id());
    }
    agree(&here, &first).await;
}

#[tokio::test]
async fn what_cannot_be_sent_spoils_nothing_that_is_sent_with_it() {
    let node = World::new().await.node().await;
    let people = node.client().register_all(NAMES).await;
    let mut nobody = people[0].clone();
    nobody.id = nobody.id.replace(|c: char| c.is_ascii_digit(), "0");
    let lost = join_all((0..ROUNDS).map(async |n| people[n % 4].send(&nobody, "hello", &format!("lost-{n}")).await));
    let doubled =
        join_all((0..ROUNDS).map(async |n| people[0].send(&people[n % 2], "hello", &format!("m{}", n % 2)).await));
    let (answers, lost, doubled) = tokio::join!(send_all(&people), lost, doubled);
    for answer in lost {
        assert_eq!(answer.error().0, "NOT_FOUND");
    }
    for (n, answer) in doubled.iter().enumerate() {
        // Repeats of the first person's sends in the first two rounds.
        assert_eq!(answer.message_id(), answers[n % 2 * people.len()].message_id());
    }
    agree(&people, &answers).await;
}
