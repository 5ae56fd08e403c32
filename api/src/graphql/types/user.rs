//! Users and their public keys.

use async_graphql::{Context, ID, Object, OneofObject};

use crate::domain::{self, PageArguments, Timestamp};
use crate::engine::object::{Field, JsonObject, Scoped, leaf, object};
use crate::graphql::error::Result;
use crate::graphql::loaders::KeysOf;
use crate::graphql::request_scope::RequestScope;
use crate::graphql::scalars::{Base64, parse_id};
use crate::graphql::types::connection::Connection;
use crate::service::{self, users::Lookup};

/// The public profile of a user.
pub(crate) type User = Scoped<domain::User>;

/// The hybrid public keys of a user.
pub(crate) type PublicKeys = Scoped<domain::PublicKeys>;

/// Key by which to find a user. Set exactly one field.
#[derive(OneofObject)]
pub(crate) enum UserBy {
    /// Global id of the user.
    Id(ID),
    /// Username, in upper or lower case.
    Username(String),
    /// E-mail address. Finds only the caller, unless the caller has the role `ADMIN`.
    Email(String),
}

impl JsonObject for domain::User {
    type Context = RequestScope;
    const NAME: &'static str = "User";
    const DESCRIPTION: &'static str = "Public profile of a user, for everyone with a session.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<Self, ID>("id", "Global id, which never changes.", |it, out| out.plain(it.id)).constant(),
        leaf::<Self, String>("username", "Unique name: 3 to 32 characters of `a-z 0-9 _ . -`.", |it, out| {
            out.text(&it.username);
        })
        .constant(),
        object::<_, Option<PublicKeys>>(
            "publicKeys",
            "Keys to encrypt messages for this user. Null until the user has published keys.",
            // The cached user lacks `pqc`, so that key and the fingerprint are loaded on demand.
            |it: &Self, entry, out| match &it.public_keys {
                Some(_) if entry.selects_any(&["pqc", "fingerprint"]) => {
                    out.linked_or_null(Some(&KeysOf(it.id)), entry)
                }
                short => out.object_or_null(short.as_ref(), entry),
            },
        ),
        leaf::<_, bool>(
            "isActive",
            "Whether the account is active. A deactivated account cannot receive messages.",
            |it, out| out.json(&it.is_active),
        ),
        leaf::<_, bool>("isVerified", "Whether the user has confirmed the e-mail address.", |it, out| {
            out.json(&it.is_verified);
        }),
        leaf::<Self, Timestamp>("createdAt", "Time of the registration.", |it, out| out.time(it.created_at)).constant(),
    ];
}

impl JsonObject for domain::PublicKeys {
    type Context = RequestScope;
    const NAME: &'static str = "PublicKeys";
    const DESCRIPTION: &'static str = "The hybrid public keys of a user: X25519 and ML-KEM-768.";
    const FIELDS: &'static [Field<Self>] = &[
        leaf::<_, Base64>("ecc", "X25519 public key, 32 bytes (RFC 7748).", |it, out| out.bytes(&it.ecc)),
        leaf::<_, Base64>("pqc", "ML-KEM-768 encapsulation key, 1184 bytes (FIPS 203).", |it, out| {
            out.or_null(it.pqc.as_ref(), |out, pqc| out.bytes(&pqc.bytes));
        }),
        leaf::<_, String>("fingerprint", FINGERPRINT, |it, out| {
            out.or_null(it.pqc.as_ref(), |out, pqc| out.text(&pqc.fingerprint));
        }),
        leaf::<_, Timestamp>("changedAt", "Time of the latest change of the keys.", |it, out| out.time(it.changed_at)),
    ];
}

const FINGERPRINT: &str = "Fingerprint of both keys, which two users compare: twelve groups of five digits.

A device must compute the fingerprint itself, from the keys that it uses:
1. Concatenate the text `quantumvault fingerprint 1`, `ecc` and `pqc`, and take the SHA-512 digest.
2. Split the first 60 bytes into twelve groups of five bytes.
3. Read each group as a big-endian number modulo 100000, and write it with five digits.";

impl User {
    /// Loads a user. Fails with `NOT_FOUND` if there is none.
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

/// Queries for users.
#[derive(Default)]
pub struct UserQuery;

/// Queries for users.
#[Object]
impl UserQuery {
    /// The user with this key. Null if there is none.
    ///
    /// A deactivated user is found by `id` only.
    ///
    /// Fails with:
    /// - `BAD_USER_INPUT` if `id` is not the id of a user
    /// - `UNAUTHENTICATED` without a session
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Key by which to find the user.")] by: UserBy,
    ) -> Result<Option<User>> {
        let scope = RequestScope::of(ctx);
        let user = service::users::find(scope.request(), by.lookup()?).await?;
        Ok(user.map(|user| User::new(scope, user)))
    }

    /// Active users in the order of their usernames. Null if the query failed; see `errors`.
    ///
    /// Fails with:
    /// - `UNAUTHENTICATED` without a session
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Start of the username, in upper or lower case.")] search: Option<String>,
        #[graphql(desc = "Number of items from the start.")] first: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Number of items from the end. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> Result<Option<Connection<domain::User>>> {
        let scope = RequestScope::of(ctx);
        let page = PageArguments { first, after, last, before };
        let users = service::users::list(scope.request(), search.as_deref(), &page).await?;
        Ok(Some(Connection::new(scope, users)))
    }
}
