//! Operations of checked documents, ready to be executed.

use std::{collections::HashMap, sync::Arc};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::{Name, Positioned, Request, Variables};
use bytes::Bytes;

use crate::domain::ErrorCode;
use crate::engine::prepare::{directives, limits, persisted::Digest};
use crate::engine::{RequestError, result_shape::ResultShape};

/// Maximum size of a document that is prepared again for each event of a subscription, in bytes.
const SMALL_BYTES: usize = 2 * 1024;

/// Valid operation within the limits, with checked variables.
#[derive(Debug, Clone)]
pub struct PreparedOperation {
    pub(super) document: Arc<Document>,
    pub(super) variables: Variables,
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// The operation's name in the document.
    pub(in crate::engine) operation_name: Option<String>,
    /// The cost, in the unit of `max_complexity`.
    pub cost: usize,
    /// The name of a subscription's root field in the schema.
    pub field: Option<String>,
    /// The shape of the result.
    pub(crate) shape: Arc<ResultShape>,
    /// The document's digest, if the document contains only introspection.
    pub(in crate::engine) introspection: Option<Digest>,
    /// The cached answer to such a document.
    pub(in crate::engine) known_answer: Option<Bytes>,
}

/// Operation as resolvers receive it, without directives.
#[derive(Debug)]
pub(in crate::engine) struct ExecutableOperation {
    pub(in crate::engine) operation: Positioned<OperationDefinition>,
    pub(in crate::engine) fragments: HashMap<Name, Positioned<FragmentDefinition>>,
    pub(in crate::engine) variables: Variables,
}

/// Document that is valid and within the limits.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) ast: ExecutableDocument,
    pub(super) mixes_variables: bool,
    pub(super) has_directives: bool,
    pub(super) introspects: bool,
    pub(super) shapes: HashMap<Option<Name>, Arc<ResultShape>>,
    pub(super) digest: Digest,
    pub(super) text_bytes: usize,
}

impl PreparedOperation {
    /// Whether the document is small enough to be prepared again for each event.
    pub(in crate::engine) fn is_small(&self) -> bool {
        self.document.text_bytes <= SMALL_BYTES
    }

    /// Returns the parsed operation as a request of async-graphql, if the document has introspection fields.
    pub(in crate::engine) fn introspection(&self) -> Option<Request> {
        self.document.introspects.then(|| self.request())
    }

    /// Returns the parsed operation as a request of async-graphql.
    pub(crate) fn request(&self) -> Request {
        let mut request = Request::new("").variables(self.variables.clone());
        request.operation_name.clone_from(&self.operation_name);
        request.set_parsed_query(self.document.ast.clone());
        request
    }

    /// Converts into an executable operation, with all directives applied.
    pub(in crate::engine) fn into_executable(self) -> ExecutableOperation {
        let Self { document, variables, operation_name, .. } = self;
        let mut operation = match &document.ast.operations {
            DocumentOperations::Single(operation) => operation.clone(),
            // Preparation has found an operation of this name.
            DocumentOperations::Multiple(operations) => operations[operation_name.unwrap_or_default().as_str()].clone(),
        };
        let mut fragments = document.ast.fragments.clone();
        if document.has_directives {
            directives::apply(&mut operation.node.selection_set.node, &variables);
            for fragment in fragments.values_mut() {
                directives::apply(&mut fragment.node.selection_set.node, &variables);
            }
        }
        ExecutableOperation { operation, fragments, variables }
    }
}

impl Document {
    /// Returns the digest of a document whose answer depends on the schema alone.
    pub(super) fn introspection_key(&self) -> Option<Digest> {
        let mut operations = self.ast.operations.iter();
        let (Some((_, operation)), None) = (operations.next(), operations.next()) else { return None };
        let operation = &operation.node;
        let asks_schema = |selection: &Positioned<Selection>| matches!(&selection.node, Selection::Field(field) if limits::is_introspection(&field.node.name.node));
        let is_constant = self.introspects && !self.has_directives && operation.variable_definitions.is_empty();
        let only_schema = is_constant && operation.selection_set.node.items.iter().all(asks_schema);
        only_schema.then_some(self.digest)
    }

    /// Returns the operation of this name, or the only operation if there is no name.
    pub(super) fn operation(
        &self,
        name: Option<&str>,
    ) -> Result<(Option<&Name>, &Positioned<OperationDefinition>), RequestError> {
        let found = match (&self.ast.operations, name) {
            (DocumentOperations::Single(operation), None) => Some((None, operation)),
            (DocumentOperations::Single(_), Some(_)) => None,
            (DocumentOperations::Multiple(operations), Some(name)) => {
                operations.get_key_value(name).map(|(name, operation)| (Some(name), operation))
            }
            (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
                operations.iter().next().map(|(name, operation)| (Some(name), operation))
            }
            (DocumentOperations::Multiple(_), None) => {
                let message = "The document has several operations: select one by `operationName`.";
                return Err(RequestError::new(ErrorCode::OperationResolutionFailure, message));
            }
        };
        let (name, operation) = found.ok_or_else(|| {
            RequestError::new(
                ErrorCode::OperationResolutionFailure,
                "The document has no operation with the name in `operationName`.",
            )
        })?;
        Ok((name, operation))
    }

    /// Returns the name of the first field of a selection. A subscription has only one.
    pub(super) fn first_field<'a>(&'a self, selections: &'a SelectionSet) -> Option<&'a str> {
        selections.items.iter().find_map(|selection| match &selection.node {
            Selection::Field(field) => Some(field.node.name.node.as_str()),
            Selection::InlineFragment(fragment) => self.first_field(&fragment.node.selection_set.node),
            Selection::FragmentSpread(spread) => {
                let fragment = self.ast.fragments.get(&spread.node.fragment_name.node)?;
                self.first_field(&fragment.node.selection_set.node)
            }
        })
    }
}
