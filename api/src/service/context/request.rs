//! One operation of a client: who asks, from where, and of which backend.

use std::{ops::Deref, sync::Arc};

use crate::budget::{Holder, OperationMemory, Policy};
use crate::domain::{AuthenticationReason, Client, Role, UserId, Viewer};
use crate::service::{Backend, Error};
use crate::store::audit_logs::NewEntry;

/// What every use case gets first.
#[derive(Clone)]
pub struct RequestContext {
    /// The running server.
    pub backend: Arc<Backend>,
    /// Where the request comes from.
    pub client: Arc<Client>,
    /// Bytes that the operation loads and answers.
    pub memory: Arc<OperationMemory>,
    viewer: Option<Viewer>,
}

/// The proof that an operator asks: what only operators may do takes this instead of the operation.
#[derive(Clone, Copy)]
pub struct Admin<'a>(&'a RequestContext);

impl RequestContext {
    /// An operation of whoever the access token proved.
    #[must_use]
    pub fn new(backend: Arc<Backend>, client: Arc<Client>, viewer: Option<Viewer>) -> Self {
        Self::with_memory(backend, client, viewer, Policy::Refuse)
    }

    /// Creates the context of an operation that goes on when memory is exhausted.
    #[must_use]
    pub fn counting(backend: Arc<Backend>, client: Arc<Client>, viewer: Option<Viewer>) -> Self {
        Self::with_memory(backend, client, viewer, Policy::Count)
    }

    fn with_memory(backend: Arc<Backend>, client: Arc<Client>, viewer: Option<Viewer>, policy: Policy) -> Self {
        let holder = viewer.map_or_else(|| Holder::network(client.ip), |viewer| Holder::User(viewer.user_id));
        let limit = backend.config.graphql.max_answer_bytes;
        let memory = Arc::new(OperationMemory::new(&backend.memory, holder, policy, limit));
        Self { backend, client, memory, viewer }
    }

    /// Who asks, if anyone is signed in.
    #[must_use]
    pub fn caller(&self) -> Option<&Viewer> {
        self.viewer.as_ref()
    }

    /// Who asks; whoever is not signed in is refused.
    pub fn viewer(&self) -> Result<&Viewer, Error> {
        self.caller().ok_or(Error::Unauthenticated(AuthenticationReason::Missing))
    }

    /// Returns an entry for the audit trail about something done to an account.
    pub(crate) fn entry(&self, user_id: UserId, action: &'static str, resource: &impl ToString) -> NewEntry<'_> {
        NewEntry { user_id: Some(user_id), ..self.system_entry(action, Some(resource.to_string())) }
    }

    /// Returns an entry for the audit trail about something that concerns no account.
    pub(crate) fn system_entry(&self, action: &'static str, resource: Option<String>) -> NewEntry<'_> {
        let source = &self.backend.source;
        NewEntry { id: source.uuid(), user_id: None, action, resource, client: &self.client, created_at: source.now() }
    }

    /// The proof that an operator asks; anyone else is refused.
    pub fn admin(&self) -> Result<Admin<'_>, Error> {
        match self.viewer()?.role {
            Role::Admin => Ok(Admin(self)),
            Role::User => Err(Error::Forbidden),
        }
    }

    /// The same operation, gone on as somebody who has just signed in.
    #[must_use]
    pub fn signed_in(&self, viewer: Viewer) -> Self {
        Self { viewer: Some(viewer), ..self.clone() }
    }
}

impl Deref for Admin<'_> {
    type Target = RequestContext;

    fn deref(&self) -> &RequestContext {
        self.0
    }
}
