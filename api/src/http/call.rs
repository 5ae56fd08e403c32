//! The parameters of an operation as clients send them: JSON of a body or a message, or a query string.

use async_graphql::{Extensions, Variables};
use serde::Deserialize;
use serde_json::Value;

use crate::graphql::documents::Call;

/// What a query string may hold; anything else in it is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryString {
    query: Option<String>,
    document_id: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// The call that a JSON value describes; the error is a sentence for the client.
pub fn from_json(value: Value) -> Result<Call, &'static str> {
    let Value::Object(mut fields) = value else {
        return Err("The request must be a JSON object.");
    };
    let mut take = |name| fields.remove(name).unwrap_or_default();
    Ok(Call {
        query: text(take("query"), "`query` must be a string.")?,
        document_id: text(take("documentId"), "`documentId` must be a string or null.")?,
        operation_name: text(take("operationName"), "`operationName` must be a string or null.")?,
        variables: variables(take("variables"), "`variables` must be an object or null.")?,
        extensions: extensions(take("extensions"), "`extensions` must be an object or null.")?,
    })
}

/// The call that a query string describes (GraphQL over HTTP, section 5.3).
pub fn from_query(fields: QueryString) -> Result<Call, &'static str> {
    let decode = |json: Option<String>| json.map_or(Ok(Value::Null), |json| serde_json::from_str(&json));
    let decoded_variables = decode(fields.variables).map_err(|_| "`variables` must be JSON.")?;
    let decoded_extensions = decode(fields.extensions).map_err(|_| "`extensions` must be JSON.")?;
    Ok(Call {
        query: fields.query,
        document_id: fields.document_id,
        operation_name: fields.operation_name.filter(|name| !name.is_empty()),
        variables: variables(decoded_variables, "`variables` must be a JSON object or null.")?,
        extensions: extensions(decoded_extensions, "`extensions` must be a JSON object or null.")?,
    })
}

fn text(value: Value, refusal: &'static str) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(refusal),
    }
}

fn variables(value: Value, refusal: &'static str) -> Result<Variables, &'static str> {
    match value {
        Value::Null | Value::Object(_) => Ok(Variables::from_json(value)),
        _ => Err(refusal),
    }
}

fn extensions(value: Value, refusal: &'static str) -> Result<Extensions, &'static str> {
    match value {
        Value::Null => Ok(Extensions::default()),
        value => serde_json::from_value(value).map_err(|_| refusal),
    }
}
