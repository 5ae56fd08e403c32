//! Small schema in the shape of the API's, whose fields return constants or errors.
#![expect(clippy::unused_async, reason = "resolvers of the library are async whether they wait or not")]

use async_graphql::futures_util::{Stream, stream};
use async_graphql::{
    EmptyMutation, Enum, Error, ErrorExtensions, ID, InputObject, Object, OneofObject, Result, Schema, SchemaBuilder,
    SimpleObject, Subscription,
};

use crate::config::graphql::Graphql;
use crate::domain::ErrorCode;
use crate::engine::{Definition, Engine, FieldError};

#[derive(Default)]
pub(crate) struct Query;
#[derive(Default)]
pub(crate) struct Mutation;
#[derive(Default)]
pub(crate) struct Feed;

pub(crate) struct User;

#[derive(SimpleObject)]
pub(crate) struct Edge {
    cursor: String,
    node: User,
}

#[derive(SimpleObject)]
pub(crate) struct Users {
    edges: Vec<Edge>,
    nodes: Vec<User>,
}

#[derive(OneofObject)]
pub(crate) enum UserBy {
    Id(ID),
    Username(String),
}

#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Admin,
}

#[derive(InputObject)]
pub(crate) struct LoginInput {
    login: String,
    #[graphql(default = 3)]
    tries: i32,
    roles: Option<Vec<Role>>,
}

#[Object]
impl User {
    async fn id(&self) -> ID {
        "user_1".into()
    }

    async fn username(&self) -> &str {
        "ada"
    }

    async fn friends(&self, first: Option<i32>, last: Option<i32>) -> Users {
        let _ = (first, last);
        Users { edges: Vec::new(), nodes: Vec::new() }
    }
}

#[Object]
impl Query {
    async fn viewer(&self) -> Option<User> {
        Some(User)
    }

    async fn user(&self, by: UserBy) -> Option<User> {
        match by {
            UserBy::Id(_) => Some(User),
            UserBy::Username(_) => None,
        }
    }

    async fn users(&self, first: Option<i32>, last: Option<i32>, roles: Option<Vec<Role>>) -> Users {
        let _ = (first, last, roles);
        Users { edges: vec![Edge { cursor: "c".to_owned(), node: User }], nodes: vec![User] }
    }

    async fn nodes(&self, ids: Vec<ID>) -> Vec<Option<User>> {
        ids.into_iter().map(|_| Some(User)).collect()
    }

    async fn forbidden(&self) -> Result<Option<User>> {
        Err(FieldError::new(ErrorCode::Forbidden, "You may not do that.".to_owned(), Vec::new(), None).into())
    }

    async fn fault(&self) -> Result<Option<User>> {
        Err(Error::new("relation \"users\" does not exist"))
    }

    async fn unknown_code(&self) -> Result<Option<User>> {
        Err(Error::new("secret").extend_with(|_, fields| fields.set("code", "FORBIDDEN")))
    }
}

#[Object]
impl Mutation {
    async fn login(&self, input: LoginInput) -> Option<String> {
        Some(format!("{} {} {}", input.login, input.tries, input.roles.map_or(0, |roles| roles.len())))
    }

    async fn register(&self) -> bool {
        true
    }

    async fn logout(&self) -> bool {
        true
    }
}

#[Subscription]
impl Feed {
    async fn ticks(&self) -> impl Stream<Item = i32> {
        stream::iter([1])
    }
}

const DEFINITION: Definition<Query, Mutation, Feed> = Definition { build: builder, description: "A schema for tests." };

pub(crate) fn engine(settings: Graphql) -> Engine<Query, Mutation, Feed> {
    Engine::new(&DEFINITION, settings, false).unwrap()
}

pub(crate) fn builder() -> SchemaBuilder<Query, Mutation, Feed> {
    Schema::build(Query, Mutation, Feed)
}

/// Returns a builder of the schema without mutations.
pub(crate) fn without_mutations() -> SchemaBuilder<Query, EmptyMutation, Feed> {
    Schema::build(Query, EmptyMutation, Feed)
}
