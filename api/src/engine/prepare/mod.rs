//! From a request to a document that may run: guarded, parsed, measured and validated, once for each text.

mod cost;
pub mod directives;
pub mod lexer;
pub mod limits;
mod persisted;
pub mod validation;
mod variables;

#[cfg(test)]
pub(crate) mod tests;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use async_graphql::{
    Extensions, Name, ObjectType, Pos, Positioned, Request, SchemaBuilder, SchemaEnv, SubscriptionType, Variables,
    parser::{
        self,
        types::{
            DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection,
            SelectionSet,
        },
    },
};
use quick_cache::{Weighter, sync::Cache};
use serde::Deserialize;

use crate::{
    config::graphql::{Graphql, Mode},
    domain::ErrorCode,
    engine::prepare::{
        limits::Shape,
        persisted::{Digest, DocumentRef},
        validation::Validator,
    },
};

pub use self::lexer::check as guard;
pub use crate::engine::{request_error::RequestError, result_shape::ResultShape};

/// What a client sends, over whichever transport (GraphQL over HTTP, 5.1).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The document's text.
    pub query: Option<String>,
    /// The document's name in the manifest, or `sha256:` and its digest.
    pub document_id: Option<String>,
    /// Which of the document's operations to run.
    pub operation_name: Option<String>,
    /// The operation's variables.
    #[serde(default)]
    pub variables: Variables,
    /// Extensions of the protocol; `persistedQuery` is the one known here.
    #[serde(default)]
    pub extensions: Extensions,
}

/// A request that may be executed.
#[derive(Debug)]
pub struct PreparedOperation {
    document: Arc<Document>,
    variables: Variables,
    /// What kind of operation it is.
    pub kind: OperationType,
    /// The operation's name in the document.
    pub operation_name: Option<String>,
    /// What it may cost, in the unit of `max_complexity`.
    pub cost: usize,
    /// The field of the schema that a subscription follows.
    pub field: Option<String>,
    /// What the answer has to look like: restore it before it is written.
    pub shape: Arc<ResultShape>,
}

/// An operation with nothing left in it to be decided.
#[derive(Debug)]
pub struct ExecutableOperation {
    /// What it asks for.
    pub operation: Positioned<OperationDefinition>,
    /// The fragments of its document.
    pub fragments: HashMap<Name, Positioned<FragmentDefinition>>,
    /// Its variables.
    pub variables: Variables,
}

/// Why documents cannot be served: the start stops with it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The mode needs a manifest.
    #[error("graphql.manifest: name the file of documents that may run, or set graphql.mode to \"open\"")]
    NoManifest,
    /// The file is not a manifest.
    #[error("graphql.manifest: {}: {reason}", path.display())]
    Manifest {
        /// Where it was read from.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The GraphQL library did not do what this server builds upon.
    #[error("the GraphQL library validates or executes in another way than this server builds upon")]
    Library,
}

/// Up to so much text a document is small: more than what frontends follow their feeds with.
const SMALL_BYTES: usize = 2 * 1024;
/// For how many values the cache has a part of its own.
const CACHE_PART: u64 = 32;

/// Every document that is known here.
pub struct Documents {
    settings: Graphql,
    validator: Validator,
    cache: Cache<Digest, Arc<Document>, Weight>,
    /// Documents of the manifest by their ids; they do not count into the cache.
    named: HashMap<String, Arc<Document>>,
    /// The same by their digests.
    listed: HashMap<Digest, Arc<Document>>,
}

/// A text that is within the limits and fits the schema.
#[derive(Debug)]
struct Document {
    ast: ExecutableDocument,
    mixes_variables: bool,
    has_directives: bool,
    introspects: bool,
    shapes: HashMap<Option<Name>, Arc<ResultShape>>,
    text_bytes: usize,
}

impl Documents {
    /// Documents judged by the types of `schema`, with those of the manifest read and checked.
    pub fn new<Q, M, S>(settings: Graphql, schema: SchemaBuilder<Q, M, S>) -> Result<Self, SetupError>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        // No more parts than each have room for two of the largest.
        let parts = settings.document_cache_bytes / weight(settings.max_document_bytes).saturating_mul(2);
        let values = usize::try_from(parts.max(1) * CACHE_PART).unwrap_or(usize::MAX);
        let cache = Cache::with_weighter(values, settings.document_cache_bytes, Weight);
        let validator = Validator::new(schema).ok_or(SetupError::Library)?;
        let (named, listed) = (HashMap::new(), HashMap::new());
        let mut documents = Self { settings, validator, cache, named, listed };
        if !documents.settings.manifest.as_os_str().is_empty() {
            documents.read_manifest()?;
        } else if documents.settings.mode == Mode::Trusted {
            return Err(SetupError::NoManifest);
        }
        Ok(documents)
    }

    /// The types that documents are judged by.
    #[must_use]
    pub fn types(&self) -> &SchemaEnv {
        self.validator.env()
    }

    /// Finds, checks and resolves what a request asks to run.
    pub fn prepare(&self, call: GraphqlRequest) -> Result<PreparedOperation, Vec<RequestError>> {
        let document = self.find(&call)?;
        let GraphqlRequest { operation_name, mut variables, .. } = call;
        let (operation_name, operation) = document.operation(operation_name.as_deref())?;
        let operation = &operation.node;
        let shape = document.shapes[&operation_name.cloned()].clone();
        variables::complete(operation, &mut variables);
        let cost = cost::of(&document.ast, operation, &variables, &self.settings);
        if cost > self.settings.max_complexity {
            return Err(RequestError::over("units of cost", cost, self.settings.max_complexity).into());
        }
        variables::check(self.validator.registry(), operation, &variables)?;
        if document.mixes_variables {
            self.validator.validate(&document.ast, operation_name.map(Name::as_str), variables.clone())?;
        }
        let operation_name = operation_name.map(Name::to_string);
        let follows = operation.ty == OperationType::Subscription;
        let field = follows.then(|| document.first_field(&operation.selection_set.node)).flatten();
        let (kind, field) = (operation.ty, field.map(str::to_owned));
        Ok(PreparedOperation { document, variables, kind, operation_name, cost, field, shape })
    }

    fn find(&self, call: &GraphqlRequest) -> Result<Arc<Document>, Vec<RequestError>> {
        call.query.iter().try_for_each(|text| lexer::check_size(text, &self.settings))?;
        let document_ref = persisted::document_ref(call)?;
        let (name, digest) = match document_ref {
            DocumentRef::Text(_, digest) => (None, Some(digest)),
            DocumentRef::Name(name) => (Some(name), persisted::parse_digest(name)),
        };
        let listed = name.and_then(|name| self.named.get(name)).or_else(|| self.listed.get(digest.as_ref()?));
        if let Some(document) = listed {
            return Ok(document.clone());
        }
        if self.settings.mode == Mode::Trusted {
            let message = "Only the documents of this server's manifest run here.";
            return Err(RequestError::new(ErrorCode::PersistedQueryNotFound, message).into());
        }
        if let Some(document) = digest.and_then(|digest| self.cache.get(&digest)) {
            return Ok(document);
        }
        let DocumentRef::Text(text, digest) = document_ref else {
            let message = "The persisted query is not known here: send it with its text.";
            return Err(RequestError::new(ErrorCode::PersistedQueryNotFound, message).into());
        };
        let document = Arc::new(self.read(text)?);
        self.cache.insert(digest, document.clone());
        Ok(document)
    }

    fn read(&self, text: &str) -> Result<Document, Vec<RequestError>> {
        lexer::check(text, &self.settings)?;
        let ast = parser::parse_query(text).map_err(|error| unreadable(&error))?;
        let measured = limits::check(&ast, &self.settings)?;
        if measured.introspects && self.settings.mode != Mode::Explore {
            let message = "This server does not answer questions about its schema.";
            return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, message).into());
        }
        self.validator.validate(&ast, None, Variables::default())?;
        let shape = |operation| ResultShape::of(self.validator.registry(), &ast, operation).map(Arc::new);
        let shapes = ast.operations.iter().map(|(name, it)| Ok((name.cloned(), shape(&it.node)?)));
        let shapes = shapes.collect::<Result<_, RequestError>>()?;
        let Shape { introspects, mixes_variables, has_directives } = measured;
        Ok(Document { ast, mixes_variables, has_directives, introspects, shapes, text_bytes: text.len() })
    }

    fn read_manifest(&mut self) -> Result<(), SetupError> {
        let path = self.settings.manifest.clone();
        let fault = |reason| SetupError::Manifest { path: path.clone(), reason };
        for (id, text) in persisted::read_manifest(&path).map_err(fault)? {
            let document = self.read(&text).map_err(|refusals| {
                let reasons: Vec<_> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
                fault(format!("document {id}: {}", reasons.join(" ")))
            })?;
            let document = Arc::new(document);
            self.listed.insert(persisted::digest(&text), document.clone());
            self.named.insert(id, document);
        }
        Ok(())
    }
}

impl PreparedOperation {
    /// Whether it costs little to make its request again and again.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.document.text_bytes <= SMALL_BYTES
    }

    /// What the library runs, with its document parsed, so that it does not parse again.
    #[must_use]
    pub fn request(&self) -> Request {
        let mut request = Request::new("").variables(self.variables.clone());
        request.operation_name.clone_from(&self.operation_name);
        request.set_parsed_query(self.document.ast.clone());
        request
    }

    /// What its resolvers need, without a walk of the library's; itself again where the library has to answer.
    pub fn into_executable(self) -> Result<ExecutableOperation, Self> {
        let is_for_resolvers = !self.document.introspects && self.kind != OperationType::Subscription;
        let found = self.document.operation(self.operation_name.as_deref()).ok().filter(|_| is_for_resolvers);
        let Some(operation) = found.map(|(_, operation)| operation.clone()) else { return Err(self) };
        let Self { document, variables, .. } = self;
        let mut executable = ExecutableOperation { operation, fragments: document.ast.fragments.clone(), variables };
        if document.has_directives {
            directives::apply(&mut executable.operation.node.selection_set.node, &executable.variables);
            for fragment in executable.fragments.values_mut() {
                directives::apply(&mut fragment.node.selection_set.node, &executable.variables);
            }
        }
        Ok(executable)
    }
}

impl Document {
    fn operation(&self, name: Option<&str>) -> Result<(Option<&Name>, &Positioned<OperationDefinition>), RequestError> {
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
                let message = "The document has several operations: say by `operationName` which to run.";
                return Err(RequestError::new(ErrorCode::OperationResolutionFailure, message));
            }
        };
        let (name, operation) = found.ok_or_else(|| {
            RequestError::new(ErrorCode::OperationResolutionFailure, "The document has no operation of that name.")
        })?;
        Ok((name, operation))
    }

    /// The first field of a selection, which for a subscription is the only one.
    fn first_field<'a>(&'a self, selections: &'a SelectionSet) -> Option<&'a str> {
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

#[derive(Clone)]
struct Weight;

impl Weighter<Digest, Arc<Document>> for Weight {
    fn weight(&self, _: &Digest, document: &Arc<Document>) -> u64 {
        weight(document.text_bytes)
    }
}

/// An estimate of the memory that a document holds: a node of the tree takes some hundred bytes for the few of its text.
const fn weight(text_bytes: usize) -> u64 {
    (text_bytes as u64).saturating_mul(64).saturating_add(1024)
}

/// What the parser found, without its words: they would echo the document and name the library's grammar.
fn unreadable(error: &parser::Error) -> RequestError {
    let (code, message) = match error {
        parser::Error::MultipleOperations { .. } => {
            (ErrorCode::GraphqlValidationFailed, "An operation without a name is the only one of its document.")
        }
        parser::Error::OperationDuplicated { .. } => {
            (ErrorCode::GraphqlValidationFailed, "Two operations of the document have the same name.")
        }
        parser::Error::FragmentDuplicated { .. } => {
            (ErrorCode::GraphqlValidationFailed, "Two fragments of the document have the same name.")
        }
        parser::Error::MissingOperation => {
            (ErrorCode::OperationResolutionFailure, "The document has no operation to run.")
        }
        parser::Error::RecursionLimitExceeded => (ErrorCode::TooComplex, "The document is nested too deep."),
        _ => (ErrorCode::GraphqlParseFailed, "The document is not GraphQL."),
    };
    let mut refusal = RequestError::new(code, message);
    refusal.locations = error.positions().collect::<Vec<Pos>>();
    refusal
}
