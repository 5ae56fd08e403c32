//! Loadable values. Each kind is declared once: its key, its value, and the use case that reads a batch.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use foldhash::fast::RandomState;

use crate::budget::{Exceeded, OperationMemory};
use crate::domain::{
    Account, Conversation, ConversationId, Message, MessageCounts, MessageId, Page, PublicKeys, User, UserId,
};
use crate::engine::object::{Key, LoadedValues};
use crate::engine::{Context, EventSource, FieldError, LoadQueue};
use crate::graphql::{batch::Batch, request_scope::RequestScope};
use crate::service::{self, Connection, Error, RequestContext};

/// Key of a user's public keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct KeysOf(pub(crate) UserId);

/// Key of the number of a user's active sessions.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionsOf(pub(crate) UserId);

/// Key of the caller's own account.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Own;

/// Key of the caller's own counts over all messages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnCounts;

/// Key of a page of a conversation's messages.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MessagesOf {
    pub(crate) conversation_id: ConversationId,
    pub(crate) page: Page<i64>,
}

impl Hash for MessagesOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The page is left out, because most pages of an operation are equal.
        self.conversation_id.hash(state);
    }
}

/// Values of a batch, by key.
type Found<K, V> = Result<HashMap<K, V>, Error>;

/// Declares the kinds of loadable values: `field: Key => Value, "name", use case`.
macro_rules! loadable {
    ($($name:ident: $key:ident => $value:ty, $what:literal, $find:expr;)+) => {
        /// Values that were loaded for an object.
        #[derive(Default)]
        pub struct Loaded {
            $($name: LoadedValues<$key, $value>,)+
        }

        /// Keys of values that an object still needs.
        #[derive(Default)]
        pub struct Missing {
            $($name: HashSet<$key, RandomState>,)+
        }

        impl Loaded {
            /// Returns the number of values.
            pub(crate) fn len(&self) -> usize {
                0 $(+ self.$name.len())+
            }

            /// Loads what is missing, each kind in one batch.
            pub(crate) async fn load(&mut self, scope: &RequestScope, mut missing: Missing) {
                self.take_local(scope, &mut missing);
                tokio::join!($(fill(&mut self.$name, scope, missing.$name),)+);
            }
        }

        $(
            impl Key<RequestScope> for $key {
                type Value = $value;

                fn loaded(loaded: &Loaded) -> &LoadedValues<Self, $value> {
                    &loaded.$name
                }

                fn missing(missing: &mut Missing) -> &mut HashSet<Self, RandomState> {
                    &mut missing.$name
                }

                fn not_found() -> FieldError {
                    Error::NotFound($what).into()
                }
            }

            impl Loader<$key> for Batch {
                type Value = $value;
                type Error = Arc<Error>;

                async fn load(&self, keys: &[$key]) -> Result<HashMap<$key, $value>, Arc<Error>> {
                    let find = $find;
                    find(&self.0, keys).await.map_err(Arc::new)
                }
            }
        )+
    };
}

loadable! {
    users: UserId => User, "user", service::users::find_many;
    keys: KeysOf => PublicKeys, "public keys", find_keys;
    sessions: SessionsOf => i64, "count of sessions", count_sessions;
    conversations: ConversationId => Conversation, "conversation", service::conversations::find_many;
    messages: MessageId => Message, "message", service::messages::find_many;
    pages: MessagesOf => Arc<Connection<Message>>, "conversation", find_pages;
}

impl Context for RequestScope {
    type Loaded = Loaded;
    type Missing = Missing;

    async fn load(&self, loaded: &mut Loaded, missing: Missing) {
        loaded.load(self, missing).await;
    }

    fn loaded_count(loaded: &Loaded) -> usize {
        loaded.len()
    }

    fn request_id(&self) -> &str {
        &self.request().client.request_id
    }

    fn memory(&self) -> &OperationMemory {
        &self.request().memory
    }

    fn out_of_memory(&self, exceeded: Exceeded) -> FieldError {
        Error::from(exceeded).into()
    }

    fn loads(&self) -> Option<&LoadQueue> {
        Self::loads(self)
    }

    fn event_source(&self) -> Option<&dyn EventSource> {
        self.feed().map(|feed| feed as &dyn EventSource)
    }

    fn for_next_event(&self) -> Self {
        self.without_loader()
    }

    fn take_event_id(&self) -> Option<String> {
        self.position()?.take_cursor()
    }
}

impl Loaded {
    /// Takes users from the local cache. It does not wait, so no other operation starts to write the same objects.
    fn take_local(&mut self, scope: &RequestScope, missing: &mut Missing) {
        let local = missing.users.iter().filter_map(|id| service::users::find_local(scope.request(), *id));
        self.users.extend(local.map(|user| (user.id, Ok(Some(user)))));
        missing.users.retain(|id| !self.users.contains_key(id));
    }
}

async fn fill<K: Key<RequestScope>>(
    loaded: &mut LoadedValues<K, K::Value>,
    scope: &RequestScope,
    missing: HashSet<K, RandomState>,
) where
    Batch: Loader<K, Value = K::Value, Error = Arc<Error>>,
{
    if missing.is_empty() {
        return;
    }
    match scope.loader().load_many(missing.iter().cloned()).await {
        Ok(mut found) => loaded.extend(missing.into_iter().map(|key| {
            let value = found.remove(&key);
            (key, Ok(value))
        })),
        Err(error) => {
            let error = FieldError::from(error);
            loaded.extend(missing.into_iter().map(|key| (key, Err(error.clone()))));
        }
    }
}

/// Loads the caller's account for fields of the viewer. Objects that are written as JSON text never need it.
impl Loader<Own> for Batch {
    type Value = Account;
    type Error = Arc<Error>;

    async fn load(&self, _: &[Own]) -> Result<HashMap<Own, Account>, Arc<Error>> {
        let account = service::accounts::own(&self.0).await.map_err(Arc::new)?;
        Ok(HashMap::from([(Own, account)]))
    }
}

/// One statement reads the counts for all fields of the viewer.
impl Loader<OwnCounts> for Batch {
    type Value = MessageCounts;
    type Error = Arc<Error>;

    async fn load(&self, _: &[OwnCounts]) -> Result<HashMap<OwnCounts, MessageCounts>, Arc<Error>> {
        let counts = service::conversations::count(&self.0).await.map_err(Arc::new)?;
        Ok(HashMap::from([(OwnCounts, counts)]))
    }
}

async fn find_keys(context: &RequestContext, keys: &[KeysOf]) -> Found<KeysOf, PublicKeys> {
    let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
    let found = service::users::find_keys(context, &ids).await?;
    Ok(found.into_iter().map(|(id, keys)| (KeysOf(id), keys)).collect())
}

async fn count_sessions(context: &RequestContext, keys: &[SessionsOf]) -> Found<SessionsOf, i64> {
    let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
    let counts = service::admin::count_sessions(context.admin()?, &ids).await?;
    Ok(counts.into_iter().map(|(id, count)| (SessionsOf(id), count)).collect())
}

// The loader clones values. Pages of messages are large, so they are shared.
async fn find_pages(context: &RequestContext, keys: &[MessagesOf]) -> Found<MessagesOf, Arc<Connection<Message>>> {
    let mut ids: HashMap<&Page<i64>, Vec<ConversationId>> = HashMap::new();
    for key in keys {
        ids.entry(&key.page).or_default().push(key.conversation_id);
    }
    let mut loaded = HashMap::with_capacity(keys.len());
    for (page, ids) in ids {
        let found = service::messages::list_many(context, &ids, page).await?.into_iter();
        loaded.extend(
            found.map(|(conversation_id, it)| (MessagesOf { conversation_id, page: page.clone() }, Arc::new(it))),
        );
    }
    Ok(loaded)
}
