//! GraphQL requests as clients send them: a JSON body or message, or a query string.

use async_graphql::{Extensions, Variables};
use serde::Deserialize;
use serde_json::Value;

/// Request over any transport (GraphQL over HTTP, section 5.1).
#[derive(Debug, Clone, Default)]
pub struct GraphqlRequest {
    /// The document's text.
    pub query: Option<String>,
    /// The document's id in the manifest, or `sha256:` and its digest.
    pub document_id: Option<String>,
    /// The name of the operation to run.
    pub operation_name: Option<String>,
    /// The operation's variables.
    pub variables: Variables,
    /// Extensions of the protocol. Only `persistedQuery` is supported.
    pub extensions: Extensions,
}

/// Error message for bytes that are not JSON. The depth of parsed values is bounded, so that later recursion cannot
/// overflow the stack. Ignored values are skipped without recursion.
pub const NO_JSON: &str = "The body must be JSON in UTF-8, at most 128 levels deep.";
const NO_OBJECT: &str = "The request must be a JSON object without duplicate fields.";

/// Parameters of a query string. Other parameters are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryString {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Fields of a request object. Other fields are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    query: Value,
    document_id: Value,
    operation_name: Value,
    variables: Value,
    extensions: Value,
}

impl GraphqlRequest {
    /// Parses a body that is one JSON object. The error is a sentence for the client.
    pub fn from_slice(body: &[u8]) -> Result<Self, &'static str> {
        from_fields(serde_json::from_slice(body).map_err(|error| if error.is_data() { NO_OBJECT } else { NO_JSON })?)
    }

    /// Reads a JSON value. The error is a sentence for the client.
    pub fn from_json(value: Value) -> Result<Self, &'static str> {
        let Value::Object(mut fields) = value else { return Err(NO_OBJECT) };
        let mut take = |name| fields.remove(name).unwrap_or_default();
        from_fields(Fields {
            query: take("query"),
            document_id: take("documentId"),
            operation_name: take("operationName"),
            variables: take("variables"),
            extensions: take("extensions"),
        })
    }

    /// Reads a query string (GraphQL over HTTP, section 5.3). The error is a sentence for the client.
    pub fn from_query(fields: QueryString) -> Result<Self, &'static str> {
        let decode = |json: Option<String>| json.map_or(Ok(Value::Null), |json| serde_json::from_str(&json));
        let decoded_variables = decode(fields.variables).map_err(|_| "`variables` must be JSON.")?;
        let decoded_extensions = decode(fields.extensions).map_err(|_| "`extensions` must be JSON.")?;
        Ok(Self {
            query: fields.query,
            document_id: fields.document_id,
            operation_name: fields.operation_name.filter(|name| !name.is_empty()),
            variables: variables(decoded_variables, "`variables` must be a JSON object or null.")?,
            extensions: extensions(decoded_extensions, "`extensions` must be a JSON object or null.")?,
        })
    }
}

fn from_fields(fields: Fields) -> Result<GraphqlRequest, &'static str> {
    Ok(GraphqlRequest {
        query: text(fields.query, "`query` must be a string.")?,
        document_id: text(fields.document_id, "`documentId` must be a string or null.")?,
        operation_name: text(fields.operation_name, "`operationName` must be a string or null.")?,
        variables: variables(fields.variables, "`variables` must be an object or null.")?,
        extensions: extensions(fields.extensions, "`extensions` must be an object or null.")?,
    })
}

fn text(value: Value, error: &'static str) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(error),
    }
}

fn variables(value: Value, error: &'static str) -> Result<Variables, &'static str> {
    match value {
        Value::Null | Value::Object(_) => Ok(Variables::from_json(value)),
        _ => Err(error),
    }
}

fn extensions(value: Value, error: &'static str) -> Result<Extensions, &'static str> {
    match value {
        Value::Null => Ok(Extensions::default()),
        value => serde_json::from_value(value).map_err(|_| error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_object_that_says_everything_once() {
        let query = |body: &str| GraphqlRequest::from_slice(body.as_bytes()).map(|request| request.query);
        assert_eq!(query(r#" {"query": "{ a }", "more": [{}]} "#), Ok(Some("{ a }".to_owned())));
        assert_eq!(query("{}"), Ok(None));
        let deep = format!(r#"{{"variables":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        for (body, error) in [
            ("\"{ a }\"", NO_OBJECT),
            ("1", NO_OBJECT),
            ("null", NO_OBJECT),
            (r#"{"query":"{ a }","query":"{ b }"}"#, NO_OBJECT),
            (r#"{"query":"{ a }""#, NO_JSON),
            (r#"{"query":"{ a }"} {}"#, NO_JSON),
            ("", NO_JSON),
            (&deep, NO_JSON),
            (r#"{"query":1}"#, "`query` must be a string."),
            (r#"{"variables":[]}"#, "`variables` must be an object or null."),
        ] {
            assert_eq!(query(body), Err(error), "{body}");
        }
        for value in [Value::Null, Value::Array(Vec::new()), Value::from("a")] {
            assert_eq!(GraphqlRequest::from_json(value).map(|request| request.query), Err(NO_OBJECT));
        }
    }

    #[test]
    fn fields_may_be_null_and_more_fields_are_ignored() {
        let body = r#"{ "query": "{ a }", "operationName": null, "variables": null, "extensions": null, "documentId": null, "id": 1 }"#;
        assert_eq!(GraphqlRequest::from_slice(body.as_bytes()).unwrap().query.as_deref(), Some("{ a }"));
        for bad in [r#"{ "query": "", "operationName": 1 }"#, r#"{ "query": "", "documentId": 1 }"#] {
            assert!(GraphqlRequest::from_slice(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
