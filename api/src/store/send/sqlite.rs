//! Delivery on SQLite: several statements in one transaction. SQLite can write in only one part of a statement. It runs
//! in this process, so more statements cost no round trips.

use std::sync::Arc;

use sea_orm::ConnectionTrait;

use crate::config::Quotas;
use crate::domain::FeedEventKind;
use crate::store::conversations::{self, Arrival};
use crate::store::mailboxes::{self, NewEvent};
use crate::store::send::delivery::{Answer, Delivery, Placed};
use crate::store::{Error, Store, messages, users};

pub(super) async fn write(store: &Store, quotas: &Quotas, deliveries: &[Arc<Delivery>]) -> Result<Vec<Answer>, Error> {
    let tx = store.begin().await?;
    let mut answers = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let may_be_sent = may_deliver(tx.db(), delivery).await?;
        answers.push(if may_be_sent { deliver(tx.db(), quotas, delivery).await? } else { Ok(None) });
    }
    if answers.iter().any(|answer| matches!(answer, Ok(Some(_)))) {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(answers)
}

async fn may_deliver(db: &impl ConnectionTrait, delivery: &Delivery) -> Result<bool, Error> {
    if !users::accepts_message(db, delivery.recipient_id, (delivery.sender_id, delivery.session_id)).await? {
        return Ok(false);
    }
    let id = &delivery.client_message_id;
    Ok(messages::find_by_client_message_id(db, delivery.sender_id, id).await?.is_none())
}

/// Writes a message. A used-up quota ends the delivery before its first write. Other errors end the transaction.
async fn deliver(db: &impl ConnectionTrait, quotas: &Quotas, delivery: &Delivery) -> Result<Answer, Error> {
    let (sender, recipient) = (delivery.sender_id, delivery.recipient_id);
    let (one, other) = (sender.min(recipient), sender.max(recipient));
    let bytes = i64::try_from(delivery.encrypted_content.len()).unwrap_or(i64::MAX);
    let event = match mailboxes::advance_sender(db, sender, (bytes, delivery.day()), quotas).await {
        Err(error @ Error::QuotaExceeded(_)) => return Ok(Err(error)),
        event => event?,
    };
    let mut arrivals = vec![Arrival { user_id: sender, peer_id: recipient, event, is_unread: false }];
    if recipient != sender {
        let event = mailboxes::advance_recipient(db, recipient).await?;
        arrivals.push(Arrival { user_id: recipient, peer_id: sender, event, is_unread: true });
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
    Ok(Ok(Some(Placed {
        conversation_id: place.id,
        sequence: place.sequence,
        last_message_id: Some(delivery.id),
        unread_count: kept.map_or(0, |conversation| conversation.unread_count),
    })))
}
