//! Users and their public keys.

use async_graphql::{Context, ID, Object, OneofObject};

use crate::domain::{self, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, leaf, object};
use crate::graphql::error::Result;
use crate::graphql::loaders::KeysOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::connection::{Connection, arguments};
use crate::service::{self, users::Lookup};

/// A user, as anyone signed in may see it.
pub(crate) type User = Scoped<domain::User>;

/// The hybrid public keys of a user.
pub(crate) type PublicKeys = Scoped<domain::PublicKeys>;

/// How to look a user up: exactly one of these.
#[derive(OneofObject)]
pub(crate) enum UserBy {
    /// The global id.
    Id(ID),
    /// The name, in upper or lower case.
    Username(String),
    /// The address: answers for the caller's own, or to an operator; else nobody is found.
    Email(String),
}

impl JsonObject for domain::User {
    type Context = RequestScope;
    const NAME: &'static str = "User";
    const DESCRIPTION: &'static str = "A user, as anyone signed in may see it.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<Self, ID>("id", "Global and stable.", |it, out| out.plain(it.id)).constant(),
        leaf::<Self, String>("username", "3 to 32 of `a-z 0-9 _ . -`, unique.", |it, out| out.text(&it.username))
            .constant(),
        object::<_, Option<PublicKeys>>(
            "publicKeys",
            "The keys to encrypt for this user; null until the user has published some.",
            // The long key is read, with the other one, for whoever asks for it or for what is made of both.
            |it: &Self, entry, out| match &it.public_keys {
                Some(_) if entry.selects_any(&["pqc", "fingerprint"]) => {
                    out.linked_or_null(Some(&KeysOf(it.id)), entry)
                }
                short => out.object_or_null(short.as_ref(), entry),
            },
        ),
        leaf::<_, bool>(
            "isActive",
            "False once the account has been deactivated: it receives nothing any more.",
            |it, out| out.json(&it.is_active),
        ),
        leaf::<_, bool>("isVerified", "Whether the user has confirmed the address.", |it, out| {
            out.json(&it.is_verified);
        }),
        leaf::<Self, Timestamp>("createdAt", "When the account was registered.", |it, out| out.time(it.created_at))
            .constant(),
    ];
}

impl JsonObject for domain::PublicKeys {
    type Context = RequestScope;
    const NAME: &'static str = "PublicKeys";
    const DESCRIPTION: &'static str = "The hybrid public keys of a user.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, Base64>("ecc", "The X25519 key, 32 bytes (RFC 7748).", |it, out| out.bytes(&it.ecc)),
        leaf::<_, Base64>("pqc", "The ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203).", |it, out| {
            out.or_null(it.pqc.as_ref(), |out, pqc| out.bytes(&pqc.bytes));
        }),
        leaf::<_, String>("fingerprint", FINGERPRINT, |it, out| {
            out.or_null(it.pqc.as_ref(), |out, pqc| out.text(&pqc.fingerprint));
        }),
        leaf::<_, Timestamp>("changedAt", "When the keys were last set.", |it, out| out.time(it.changed_at)),
    ];
}

const FINGERPRINT: &str = "Twelve groups of five digits over both keys, for two people to compare.

Let each device compute its own from the keys it uses: SHA-512 of the text `quantumvault fingerprint 1`, `ecc`
and `pqc`, one behind the other; of that, each five of the first sixty bytes, read as a number with the highest
byte first, modulo 100000, in five digits.";

impl User {
    /// The user that something refers to.
    pub(crate) async fn load(scope: &RequestScope, id: domain::UserId) -> Result<Self> {
        let user = scope.loader().load_one(id).await?.ok_or(service::Error::NotFound("user"))?;
        Ok(Self::new(scope, user))
    }
}

impl UserBy {
    pub(crate) fn lookup(self) -> Result<Lookup> {
        Ok(match self {
            Self::Id(id) => Lookup::Id(parse_id("by.id", &id)?),
            Self::Username(username) => Lookup::Username(username),
            Self::Email(email) => Lookup::Email(email),
        })
    }
}

/// Looking users up.
#[derive(Default)]
pub struct UserQuery;

/// Looking users up.
#[Object]
impl UserQuery {
    /// A user; null when nobody is found.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How to look the user up.")] by: UserBy,
    ) -> Result<Option<User>> {
        let scope = RequestScope::of(ctx);
        let user = service::users::find(scope.request(), by.lookup()?).await?;
        Ok(user.map(|user| User::new(scope, user)))
    }

    /// Active users by name; null only when it fails.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How the name begins, in upper or lower case.")] search: Option<String>,
        #[graphql(desc = "How many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what stands behind this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what stands before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<domain::User>>> {
        let scope = RequestScope::of(ctx);
        let page = arguments(first, after, last, before);
        let users = service::users::list(scope.request(), search.as_deref(), &page).await?;
        Ok(Some(Connection::new(scope, users)))
    }
}
