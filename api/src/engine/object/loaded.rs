//! What has been loaded for an answer that is being written, and what it still lacks.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use async_graphql::dataloader::Loader;
use foldhash::fast::RandomState;

use crate::{
    domain::{Conversation, ConversationId, Message, MessageId, PublicKeys, User, UserId},
    graphql::{
        error::Result,
        loaders::{Batch, KeysOf, MessagesOf, SessionsOf},
        request_scope::Scope,
    },
    service::{self, Connection},
};

/// Names a value that is read from elsewhere.
pub(crate) trait Key: Clone + Hash + Eq + Send + Sync + 'static {
    /// The value.
    type Value: Clone + Send + Sync + 'static;
    /// What it is called where it is missing.
    const WHAT: &'static str;

    /// Where its values are, once loaded.
    fn shelf(loaded: &Loaded) -> &LoadedValues<Self>;

    /// Where what is lacking is noted.
    fn list(missing: &mut Missing) -> &mut Keys<Self>;
}

/// Values by their keys, or why they could not be read.
pub(crate) type LoadedValues<K> = HashMap<K, Result<Option<<K as Key>::Value>>, RandomState>;

/// Keys of one kind.
pub(crate) type Keys<K> = HashSet<K, RandomState>;

macro_rules! shelves {
    ($($name:ident: $key:ident => $value:ty, $what:literal;)+) => {
        /// Everything that has been loaded so far.
        #[derive(Default)]
        pub(crate) struct Loaded {
            $($name: LoadedValues<$key>,)+
        }

        /// The keys of what is lacking.
        #[derive(Default)]
        pub(crate) struct Missing {
            $($name: Keys<$key>,)+
        }

        $(
            impl Key for $key {
                type Value = $value;
                const WHAT: &'static str = $what;

                fn shelf(loaded: &Loaded) -> &LoadedValues<Self> {
                    &loaded.$name
                }

                fn list(missing: &mut Missing) -> &mut Keys<Self> {
                    &mut missing.$name
                }
            }
        )+

        impl Loaded {
            /// How much of everything there is.
            pub(crate) fn len(&self) -> usize {
                0 $(+ self.$name.len())+
            }

            /// Reads what is lacking, each kind of it together.
            pub(crate) async fn load(&mut self, scope: &Scope, mut missing: Missing) {
                self.take_local(scope, &mut missing);
                tokio::join!($(fill(&mut self.$name, scope, missing.$name),)+);
            }
        }
    };
}

shelves! {
    users: UserId => User, "user";
    keys: KeysOf => PublicKeys, "public keys";
    sessions: SessionsOf => i64, "count of sessions";
    conversations: ConversationId => Conversation, "conversation";
    messages: MessageId => Message, "message";
    pages: MessagesOf => Arc<Connection<Message>>, "conversation";
}

impl Loaded {
    /// Takes the users that are near at hand, without a wait in which others would begin to write the same.
    fn take_local(&mut self, scope: &Scope, missing: &mut Missing) {
        let near = missing.users.iter().filter_map(|id| service::users::find_local(&scope.context, *id));
        self.users.extend(near.map(|user| (user.id, Ok(Some(user)))));
        missing.users.retain(|id| !self.users.contains_key(id));
    }
}

async fn fill<K: Key>(shelf: &mut LoadedValues<K>, scope: &Scope, missing: Keys<K>)
where
    Batch: Loader<K, Value = K::Value, Error = Arc<service::Error>>,
{
    if missing.is_empty() {
        return;
    }
    match scope.loader().load_many(missing.iter().cloned()).await {
        Ok(mut found) => shelf.extend(missing.into_iter().map(|key| {
            let value = found.remove(&key);
            (key, Ok(value))
        })),
        Err(error) => shelf.extend(missing.into_iter().map(|key| (key, Err(Arc::clone(&error).into())))),
    }
}
