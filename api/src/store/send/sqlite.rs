//! Delivery on SQLite: several statements in one transaction. SQLite can write in only one part of a statement. It runs
//! in this process, so more statements cost no round trips.

use std::sync::Arc;

use sea_orm::ConnectionTrait;

use crate::domain::FeedEventKind;
use crate::store::conversations::{self, Arrival};
use crate::store::mailboxes::{self, NewEvent};
use crate::store::send::delivery::{Delivery, Placed};
use crate::store::{Error, Store, messages, users};

pub(super) async fn write(store: &Store, deliveries: &[Arc<Delivery>]) -> Result<Vec<Option<Placed>>, Error> {
    let tx = store.begin().await?;
    let mut placed = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let may_be_sent = may_deliver(tx.db(), delivery).await?;
        placed.push(if may_be_sent { Some(deliver(tx.db(), delivery).await?) } else { None });
    }
    if placed.iter().any(Option::is_some) {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(placed)
}

async fn may_deliver(db: &impl ConnectionTrait, delivery: &Delivery) -> Result<bool, Error> {
    if !users::accepts_message(db, delivery.recipient_id, (delivery.sender_id, delivery.session_id)).await? {
        return Ok(false);
    }
    let id = &delivery.client_message_id;
    Ok(messages::find_by_client_message_id(db, delivery.sender_id, id).await?.is_none())
}

async fn deliver(db: &impl ConnectionTrait, delivery: &Delivery) -> Result<Placed, Error> {
    let (sender, recipient) = (delivery.sender_id, delivery.recipient_id);
    let (one, other) = (sender.min(recipient), sender.max(recipient));
    let mut arrivals = Vec::with_capacity(2);
    for (user_id, peer_id) in [(one, other), (other, one)].into_iter().take(if one == other { 1 } else { 2 }) {
        let is_unread = user_id != sender;
        let event = mailboxes::advance(db, user_id, is_unread).await?;
        arrivals.push(Arrival { user_id, peer_id, event, is_unread });
    }
    let place = if let Some(place) = conversations::advance(db, one, other).await? {
        for arrival in &arrivals {
            conversations::update_member(db, place.id, delivery.id, arrival).await?;
        }
        place
    } else {
        let id = delivery.new_conversation_id;
        let place = conversations::insert(db, id, (one, other), delivery.created_at).await?;
        conversations::insert_members(db, id, delivery.id, &arrivals).await?;
        place
    };
    let kept = conversations::find_with(db, sender, recipient).await?;
    messages::insert(db, &delivery.message(place.id, place.sequence)).await?;
    let events = arrivals.iter().map(|arrival| NewEvent {
        user_id: arrival.user_id,
        sequence: arrival.event,
        kind: FeedEventKind::Sent,
        message_id: delivery.id,
    });
    mailboxes::record(db, events, delivery.created_at).await?;
    Ok(Placed {
        conversation_id: place.id,
        sequence: place.sequence,
        last_message_id: Some(delivery.id),
        unread_count: kept.map_or(0, |conversation| conversation.unread_count),
    })
}
