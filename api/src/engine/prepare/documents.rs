//! Finds documents by digest or id, or parses and checks them.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use async_graphql::parser;
use async_graphql::parser::types::OperationType;
use async_graphql::{Name, ObjectType, SchemaBuilder, SchemaEnv, SubscriptionType, Variables};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::config::graphql::{Graphql, Mode};
use crate::domain::ErrorCode;
use crate::engine::prepare::cost::{self, Cost};
use crate::engine::prepare::introspection::{IntrospectionAnswers, SchemaSize};
use crate::engine::prepare::limits::{self, Shape};
use crate::engine::prepare::operation::{Document, PreparedOperation};
use crate::engine::prepare::persisted::{self, Digest, DocumentRef};
use crate::engine::prepare::validation::Validator;
use crate::engine::prepare::{lexer, values};
use crate::engine::result_shape::ResultShape;
use crate::engine::{GraphqlRequest, RequestError};

/// Error that prevents the start, because documents cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The mode needs a manifest.
    #[error(
        "QUANTUMVAULT__GRAPHQL__MANIFEST is empty: name a manifest file, or set QUANTUMVAULT__GRAPHQL__MODE to \"open\""
    )]
    NoManifest,
    /// The file is not a manifest.
    #[error("QUANTUMVAULT__GRAPHQL__MANIFEST names {}, which cannot be used ({reason}): correct the file", path.display())]
    Manifest {
        /// The path of the file.
        path: PathBuf,
        /// The reason why the file is invalid.
        reason: String,
    },
    /// async-graphql does not behave as this server requires.
    #[error("the GraphQL library is incompatible: build with the versions of Cargo.lock")]
    Library,
}

/// Number of values for which `quick_cache` adds a shard.
const CACHE_PART: u64 = 32;

/// Documents of the manifest and of the cache.
pub struct Documents {
    settings: Graphql,
    validator: Validator,
    schema_size: SchemaSize,
    introspection_answers: IntrospectionAnswers,
    pub(super) cache: Cache<Digest, Arc<Document>, Weight>,
    /// Documents of the manifest by id. They do not count toward the cache's size.
    named: HashMap<String, Arc<Document>>,
    /// Documents of the manifest by digest.
    listed: HashMap<Digest, Arc<Document>>,
}

impl Documents {
    /// Creates the documents of a schema. Reads and checks the documents of the manifest.
    pub fn new<Q, M, S>(settings: Graphql, schema: SchemaBuilder<Q, M, S>) -> Result<Self, SetupError>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        // Limits the shards so that each has room for two of the largest documents.
        let parts = settings.document_cache_bytes / weight(settings.max_document_bytes).saturating_mul(2);
        let values = usize::try_from(parts.max(1) * CACHE_PART).unwrap_or(usize::MAX);
        let cache = Cache::with_weighter(values, settings.document_cache_bytes, Weight);
        let validator = Validator::new(schema).ok_or(SetupError::Library)?;
        let (named, listed) = (HashMap::new(), HashMap::new());
        let schema_size = SchemaSize::of(validator.registry());
        let introspection_answers = IntrospectionAnswers::new();
        let mut documents = Self { settings, validator, schema_size, introspection_answers, cache, named, listed };
        if !documents.settings.manifest.as_os_str().is_empty() {
            documents.read_manifest()?;
        } else if documents.settings.mode == Mode::Trusted {
            return Err(SetupError::NoManifest);
        }
        Ok(documents)
    }

    /// Returns the types that documents are validated against.
    #[must_use]
    pub(in crate::engine) fn types(&self) -> &SchemaEnv {
        self.validator.env()
    }

    /// Finds the operation of a request, and checks its variables and cost.
    pub fn prepare(&self, request: GraphqlRequest) -> Result<PreparedOperation, Vec<RequestError>> {
        let document = self.find(&request)?;
        let GraphqlRequest { operation_name, mut variables, .. } = request;
        let (operation_name, operation) = document.operation(operation_name.as_deref())?;
        let operation = &operation.node;
        let shape = document.shapes[&operation_name.cloned()].clone();
        values::set_defaults(operation, &mut variables);
        let introspection = document.introspection_key();
        let known_answer = introspection.and_then(|key| self.introspection_answers.get(&key));
        let cost = match known_answer {
            Some(_) => Cost { units: 1, bytes: 0 },
            None => cost::of(&document.ast, operation, &variables, &self.settings, &self.schema_size),
        };
        self.check_cost(operation.ty, cost)?;
        values::check_variables(self.validator.registry(), operation, &variables)?;
        if document.mixes_variables {
            self.validator.validate(&document.ast, operation_name.map(Name::as_str), variables.clone())?;
        }
        if document.mixes_variables || values::has_null_for_default(operation, &variables) {
            values::check_arguments(self.validator.registry(), &document.ast, operation, Some(&variables))?;
        }
        let operation_name = operation_name.map(Name::to_string);
        let follows = operation.ty == OperationType::Subscription;
        let field = follows.then(|| document.first_field(&operation.selection_set.node)).flatten();
        let (kind, field) = (operation.ty, field.map(str::to_owned));
        Ok(PreparedOperation {
            document,
            variables,
            kind,
            operation_name,
            cost: cost.units,
            field,
            shape,
            introspection,
            known_answer,
        })
    }

    /// Checks a cost against the limits. A mutation must not run if its answer could be too large.
    fn check_cost(&self, kind: OperationType, cost: Cost) -> Result<(), RequestError> {
        let Graphql { max_complexity, max_answer_bytes, .. } = self.settings;
        if cost.units > max_complexity {
            return Err(RequestError::over("units of cost", cost.units, max_complexity));
        }
        if kind == OperationType::Mutation && cost.bytes > max_answer_bytes {
            return Err(RequestError::over("bytes in its largest answer", cost.bytes, max_answer_bytes));
        }
        Ok(())
    }

    /// Caches the answer to a document that contains only introspection.
    pub(in crate::engine) fn keep_introspection(&self, document: Digest, answer: &Bytes) {
        self.introspection_answers.insert(document, answer);
    }

    fn find(&self, request: &GraphqlRequest) -> Result<Arc<Document>, Vec<RequestError>> {
        request.query.iter().try_for_each(|text| lexer::check_size(text, &self.settings))?;
        let document_ref = persisted::document_ref(request)?;
        let (name, digest) = match document_ref {
            DocumentRef::Text(_, digest) => (None, Some(digest)),
            DocumentRef::Name(name) => (Some(name), persisted::parse_digest(name)),
        };
        let listed = name.and_then(|name| self.named.get(name)).or_else(|| self.listed.get(digest.as_ref()?));
        if let Some(document) = listed {
            return Ok(document.clone());
        }
        if self.settings.mode == Mode::Trusted {
            let message = "Only documents of this server's manifest may run: send one of them.";
            return Err(RequestError::new(ErrorCode::PersistedQueryNotFound, message).into());
        }
        if let Some(document) = digest.and_then(|digest| self.cache.get(&digest)) {
            return Ok(document);
        }
        let DocumentRef::Text(text, digest) = document_ref else {
            let message = "The persisted query is unknown: send it with its text.";
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
            let message = "Introspection is disabled on this server.";
            return Err(RequestError::new(ErrorCode::GraphqlValidationFailed, message).into());
        }
        self.validator.validate(&ast, None, Variables::default())?;
        for (_, operation) in ast.operations.iter() {
            values::check_arguments(self.validator.registry(), &ast, &operation.node, None)?;
        }
        let shape = |operation| ResultShape::of(self.validator.registry(), &ast, operation).map(Arc::new);
        let shapes = ast.operations.iter().map(|(name, it)| Ok((name.cloned(), shape(&it.node)?)));
        let shapes = shapes.collect::<Result<_, RequestError>>()?;
        let Shape { introspects, mixes_variables, has_directives } = measured;
        let (digest, text_bytes) = (persisted::digest(text), text.len());
        Ok(Document { ast, mixes_variables, has_directives, introspects, shapes, digest, text_bytes })
    }

    fn read_manifest(&mut self) -> Result<(), SetupError> {
        let path = self.settings.manifest.clone();
        let fault = |reason| SetupError::Manifest { path: path.clone(), reason };
        for (id, text) in persisted::read_manifest(&path).map_err(fault)? {
            let document = self.read(&text).map_err(|errors| {
                let reasons: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
                fault(format!("document {id}: {}", reasons.join(" ")))
            })?;
            let document = Arc::new(document);
            self.listed.insert(persisted::digest(&text), document.clone());
            self.named.insert(id, document);
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<Digest, Arc<Document>> for Weight {
    fn weight(&self, _: &Digest, document: &Arc<Document>) -> u64 {
        weight(document.text_bytes)
    }
}

/// Estimates the memory that a document holds, in bytes. Its syntax tree is much larger than its text.
const fn weight(text_bytes: usize) -> u64 {
    (text_bytes as u64).saturating_mul(64).saturating_add(1024)
}

/// Converts an error of the parser. Drops its message, which would echo the document and name the parser's grammar.
fn unreadable(error: &parser::Error) -> RequestError {
    let (code, message) = match error {
        parser::Error::MultipleOperations { .. } => (
            ErrorCode::GraphqlValidationFailed,
            "An anonymous operation must be the only one in its document: name all operations.",
        ),
        parser::Error::OperationDuplicated { .. } => {
            (ErrorCode::GraphqlValidationFailed, "Two operations in the document have the same name: rename one.")
        }
        parser::Error::FragmentDuplicated { .. } => {
            (ErrorCode::GraphqlValidationFailed, "Two fragments in the document have the same name: rename one.")
        }
        parser::Error::MissingOperation => {
            (ErrorCode::OperationResolutionFailure, "The document contains no operation.")
        }
        parser::Error::RecursionLimitExceeded => (ErrorCode::TooComplex, "The document is nested too deeply."),
        _ => (ErrorCode::GraphqlParseFailed, "The document is not valid GraphQL."),
    };
    RequestError { locations: error.positions().collect(), ..RequestError::new(code, message) }
}
