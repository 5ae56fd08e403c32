//! Context of one operation: its caller, its client and its backend.

use std::{ops::Deref, sync::Arc};

use crate::budget::{Holder, OperationMemory, Policy};
use crate::domain::{AuditAction, AuthenticationReason, Client, Message, Role, UserId, Viewer};
use crate::service::{Backend, Error};
use crate::store::audit_logs::NewEntry;

/// Context that every use case receives first.
#[derive(Clone)]
pub struct RequestContext {
    /// The running server.
    pub backend: Arc<Backend>,
    /// Client that sent the request.
    pub client: Arc<Client>,
    /// Bytes that the operation loads and answers.
    pub memory: Arc<OperationMemory>,
    viewer: Option<Viewer>,
}

/// Proof that the caller is an operator. Use cases for operators take it instead of a [`RequestContext`].
#[derive(Clone, Copy)]
pub struct Admin<'a>(&'a RequestContext);

impl RequestContext {
    /// Creates the context of an operation, with the viewer that its access token authenticates.
    #[must_use]
    pub fn new(backend: Arc<Backend>, client: Arc<Client>, viewer: Option<Viewer>) -> Self {
        Self::with_memory(backend, client, viewer, Policy::Refuse)
    }

    /// Creates the context of an operation that continues when memory is exhausted.
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

    /// Returns the caller, if anyone is signed in.
    #[must_use]
    pub fn caller(&self) -> Option<&Viewer> {
        self.viewer.as_ref()
    }

    /// Returns the caller. Fails with UNAUTHENTICATED if nobody is signed in.
    pub fn viewer(&self) -> Result<&Viewer, Error> {
        self.caller().ok_or(Error::Unauthenticated(AuthenticationReason::Missing))
    }

    /// Counts the ciphertext of loaded messages in the operation's memory. Fails if that is too much.
    pub(crate) fn count_loaded<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> Result<(), Error> {
        let bytes = messages.into_iter().map(|message| message.encrypted_content.len()).sum();
        Ok(self.memory.load(bytes)?)
    }

    /// Creates an audit entry about an account.
    pub(crate) fn entry(&self, user_id: UserId, action: AuditAction, resource: &impl ToString) -> NewEntry<'_> {
        NewEntry { user_id: Some(user_id), ..self.system_entry(action, Some(resource.to_string())) }
    }

    /// Creates an audit entry that concerns no account.
    pub(crate) fn system_entry(&self, action: AuditAction, resource: Option<String>) -> NewEntry<'_> {
        let source = &self.backend.source;
        NewEntry { id: source.uuid(), user_id: None, action, resource, client: &self.client, created_at: source.now() }
    }

    /// Returns the proof that the caller is an operator. Fails with FORBIDDEN for other users.
    pub fn admin(&self) -> Result<Admin<'_>, Error> {
        match self.viewer()?.role {
            Role::Admin => Ok(Admin(self)),
            Role::User => Err(Error::Forbidden),
        }
    }

    /// Returns this context with the viewer who has just signed in.
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
