//! What objects carry with them to resolve their fields: the operation and its loader.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use async_graphql::{Context, Value, dataloader::DataLoader};
use bytes::Bytes;

use crate::{
    domain::Viewer,
    engine::load_queue::Loads,
    graphql::loaders::{Batch, loader},
    service::RequestContext,
};

/// An operation with its loader, cheap to clone.
///
/// Objects carry it instead of asking the request, because what a sign-in returns belongs to whoever has just signed
/// in, not to whoever sent the request.
#[derive(Clone)]
pub(crate) struct Scope(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) context: RequestContext,
    /// Made when something is first loaded: what is near at hand needs none.
    loader: OnceLock<DataLoader<Batch>>,
    loads: Option<Loads>,
    /// Whether the library may have to put together two answers under one key.
    repeats: bool,
}

impl Scope {
    pub(crate) fn new(context: RequestContext, loads: Option<Loads>, repeats: bool) -> Self {
        Self(Arc::new(Inner { context, loader: OnceLock::new(), loads, repeats }))
    }

    /// What the operation's fields load by.
    pub(crate) fn loader(&self) -> &DataLoader<Batch> {
        self.loader.get_or_init(|| loader(&self.context, self.loads.clone()))
    }

    /// The scope of the request that a root field belongs to.
    pub(crate) fn of<'a>(ctx: &Context<'a>) -> &'a Self {
        ctx.data_unchecked()
    }

    /// The scope of somebody who has just signed in.
    pub(crate) fn signed_in(&self, viewer: Viewer) -> Self {
        Self::new(self.context.signed_in(viewer), self.loads.clone(), self.repeats)
    }

    /// JSON as the library takes it: as it is, or in pieces where another answer may have to be put between them.
    pub(crate) fn value(&self, json: Bytes) -> Value {
        if !self.repeats {
            return Value::Binary(json);
        }
        serde_json::from_slice(&json).unwrap_or_else(|error| {
            tracing::error!(error.message = %error, "an object was not written as JSON");
            Value::Null
        })
    }
}

impl Deref for Scope {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
