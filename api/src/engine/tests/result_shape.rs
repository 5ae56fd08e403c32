//! Tests that incomplete or unordered results of async-graphql are completed as the specification requires.
#![expect(clippy::unused_async, reason = "resolvers of the library are async whether they wait or not")]

use async_graphql::{Object, Result, Schema};
use serde_json::{Value, json, value::RawValue};

use crate::config::graphql::Mode;
use crate::domain::ErrorCode;
use crate::engine::tests::{call, limits, run};
use crate::engine::{Definition, Engine, FieldError, tests::schema::Feed};

#[derive(Default)]
struct Query;
struct Item;

#[Object]
impl Item {
    async fn quick(&self) -> i32 {
        1
    }

    async fn slow(&self) -> i32 {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        2
    }

    async fn fails(&self) -> Result<Option<i32>> {
        Err(failed())
    }

    async fn must(&self) -> Result<i32> {
        Err(failed())
    }

    async fn item(&self) -> Item {
        Item
    }

    async fn maybe(&self) -> Option<Item> {
        Some(Item)
    }

    async fn items(&self) -> Vec<Item> {
        vec![Item, Item]
    }

    async fn holes(&self) -> Vec<Option<Item>> {
        vec![Some(Item), None]
    }
}

#[Object]
impl Query {
    async fn maybe(&self) -> Option<Item> {
        Some(Item)
    }

    async fn item(&self) -> Item {
        Item
    }

    async fn fails(&self) -> Result<Option<Item>> {
        Err(failed())
    }
}

#[derive(Default)]
struct Mutation;

#[Object]
impl Mutation {
    async fn item(&self) -> Item {
        Item
    }
}

fn failed() -> async_graphql::Error {
    FieldError::new(ErrorCode::NotFound, "failed".to_owned(), Vec::new(), None).into()
}

async fn data(query: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Data {
        data: Box<RawValue>,
    }
    let schema = Definition { build: || Schema::build(Query, Mutation, Feed), description: "A schema for tests." };
    let engine = Engine::new(&schema, limits(Mode::Open), false).unwrap();
    let answer = run(&engine, call(query, json!({}))).await;
    serde_json::from_slice::<Data>(&answer.json).unwrap().data.get().to_owned()
}

#[tokio::test]
async fn fields_stand_in_the_order_of_the_document() {
    let query = "{ maybe { slow ...F items { slow quick } } item { a: slow quick } } \
                 fragment F on Item { b: slow ... { quick } slow }";
    assert_eq!(
        data(query).await,
        r#"{"maybe":{"slow":2,"b":2,"quick":1,"items":[{"slow":2,"quick":1},{"slow":2,"quick":1}]},"item":{"a":2,"quick":1}}"#
    );
}

#[tokio::test]
async fn what_failed_is_null_and_takes_along_what_cannot_be_without_it() {
    for (query, expected) in [
        ("{ fails { quick } maybe { quick } }", json!({ "fails": null, "maybe": { "quick": 1 } })),
        ("{ fails { quick } }", json!({ "fails": null })),
        ("{ maybe { fails } }", json!({ "maybe": { "fails": null } })),
        ("{ maybe { fails must quick } }", json!({ "maybe": null })),
        ("{ maybe { must item { fails } } }", json!({ "maybe": null })),
        ("{ maybe { item { fails } must } }", json!({ "maybe": null })),
        ("{ maybe { quick item { item { must } } } }", json!({ "maybe": null })),
        ("{ maybe { quick a: maybe { must } } }", json!({ "maybe": { "quick": 1, "a": null } })),
        ("{ maybe { items { quick must } } }", json!({ "maybe": null })),
        ("{ maybe { quick holes { must } } }", json!({ "maybe": { "quick": 1, "holes": [null, null] } })),
        ("{ maybe { holes { fails } } }", json!({ "maybe": { "holes": [{ "fails": null }, null] } })),
        ("{ item { must } maybe { quick } }", Value::Null),
        ("{ maybe { ...F } } fragment F on Item { ... { m: must } quick }", json!({ "maybe": null })),
    ] {
        assert_eq!(serde_json::from_str::<Value>(&data(query).await).unwrap(), expected, "{query}");
    }
}
