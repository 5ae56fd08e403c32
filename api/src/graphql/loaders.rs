//! `DataLoader`s: what the fields of one step ask for one by one is read in one statement.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use async_graphql::dataloader::{DataLoader, Loader};
use futures_util::future::BoxFuture;

use crate::{
    domain::{Account, Conversation, ConversationId, Message, MessageId, Page, PublicKeys, User, UserId},
    engine::load_queue::Loads,
    service::{self, Connection, RequestContext},
};

/// The batches of one operation, a type of key each.
///
/// Without a cache: caching belongs to the use cases, where writes invalidate. Without a delay: a batch is what was
/// asked for by the time the executor has nothing else to do. Items of a subscription, which have no loads of their
/// operation's, are read on tasks: their reader may be slow, and they ask for little.
pub(crate) fn loader(context: &RequestContext, loads: Option<Loads>) -> DataLoader<Batch> {
    let begin = move |batch: BoxFuture<'static, ()>| match &loads {
        Some(loads) => loads.add(batch),
        None => service::spawn(batch),
    };
    DataLoader::new(Batch(context.clone()), begin).delay(Duration::ZERO)
}

/// Reads a batch on behalf of an operation.
pub(crate) struct Batch(RequestContext);

/// Asks for the public keys of a user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeysOf(pub(crate) UserId);

/// Asks for the number of a user's living sessions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionsOf(pub(crate) UserId);

/// Asks for the caller's own account.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Own;

/// Asks for a page of a conversation's messages.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MessagesOf {
    pub(crate) conversation_id: ConversationId,
    pub(crate) page: Page<i64>,
}

impl Hash for MessagesOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Most of an operation's pages are of one form.
        self.conversation_id.hash(state);
    }
}

type Loaded<K, V> = Result<HashMap<K, V>, Arc<service::Error>>;

impl Loader<UserId> for Batch {
    type Value = User;
    type Error = Arc<service::Error>;

    async fn load(&self, ids: &[UserId]) -> Loaded<UserId, User> {
        service::users::find_many(&self.0, ids).await.map_err(Arc::new)
    }
}

impl Loader<Own> for Batch {
    type Value = Account;
    type Error = Arc<service::Error>;

    async fn load(&self, _: &[Own]) -> Loaded<Own, Account> {
        let account = service::accounts::own(&self.0).await.map_err(Arc::new)?;
        Ok(HashMap::from([(Own, account)]))
    }
}

impl Loader<KeysOf> for Batch {
    type Value = PublicKeys;
    type Error = Arc<service::Error>;

    async fn load(&self, keys: &[KeysOf]) -> Loaded<KeysOf, PublicKeys> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = service::users::find_keys(&self.0, &ids).await.map_err(Arc::new)?;
        Ok(found.into_iter().map(|(id, keys)| (KeysOf(id), keys)).collect())
    }
}

impl Loader<SessionsOf> for Batch {
    type Value = i64;
    type Error = Arc<service::Error>;

    async fn load(&self, keys: &[SessionsOf]) -> Loaded<SessionsOf, i64> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let admin = self.0.admin().map_err(Arc::new)?;
        let counts = service::admin::count_sessions(admin, &ids).await.map_err(Arc::new)?;
        Ok(counts.into_iter().map(|(id, count)| (SessionsOf(id), count)).collect())
    }
}

impl Loader<MessageId> for Batch {
    type Value = Message;
    type Error = Arc<service::Error>;

    async fn load(&self, ids: &[MessageId]) -> Loaded<MessageId, Message> {
        service::messages::find_many(&self.0, ids).await.map_err(Arc::new)
    }
}

impl Loader<ConversationId> for Batch {
    type Value = Conversation;
    type Error = Arc<service::Error>;

    async fn load(&self, ids: &[ConversationId]) -> Loaded<ConversationId, Conversation> {
        service::conversations::find_many(&self.0, ids).await.map_err(Arc::new)
    }
}

impl Loader<MessagesOf> for Batch {
    // A loader hands out copies, which messages are too large for.
    type Value = Arc<Connection<Message>>;
    type Error = Arc<service::Error>;

    async fn load(&self, keys: &[MessagesOf]) -> Loaded<MessagesOf, Self::Value> {
        let mut ids: HashMap<&Page<i64>, Vec<ConversationId>> = HashMap::new();
        for key in keys {
            ids.entry(&key.page).or_default().push(key.conversation_id);
        }
        let mut loaded = HashMap::with_capacity(keys.len());
        for (page, ids) in ids {
            let found = service::messages::list_many(&self.0, &ids, page).await.map_err(Arc::new)?;
            let found = found.into_iter();
            loaded.extend(
                found.map(|(conversation_id, it)| (MessagesOf { conversation_id, page: page.clone() }, Arc::new(it))),
            );
        }
        Ok(loaded)
    }
}
