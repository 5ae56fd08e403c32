//! Custom scalars and global ids.

use std::{str::FromStr, sync::LazyLock};

use async_graphql::{ID, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use base64::{Engine, engine};

use crate::{domain::IdError, graphql::error::Result, service::Error};

/// Base64 with padding, with SIMD instructions where the processor has them.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) static BASE64: LazyLock<engine::Simd> =
    LazyLock::new(|| engine::Simd::standard(engine::general_purpose::PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) static BASE64: LazyLock<engine::GeneralPurpose> = LazyLock::new(|| engine::general_purpose::STANDARD);

/// Bytes, written as base64 text.
pub(crate) struct Base64(pub Vec<u8>);

/// Bytes as a base64 string with padding (RFC 4648, section 4).
#[Scalar(name = "Base64", specified_by_url = "https://www.rfc-editor.org/rfc/rfc4648#section-4")]
impl ScalarType for Base64 {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => BASE64
                .decode(text)
                .map(Self)
                .map_err(|_| InputValueError::custom("is not Base64 with padding (RFC 4648, section 4)")),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    /// Checks variables before the operation runs, so that the error names the part of the input.
    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if BASE64.decode(text).is_ok())
    }

    fn to_value(&self) -> Value {
        Value::String(BASE64.encode(&self.0))
    }
}

/// Parses the typed id in an argument. Fails with `BAD_USER_INPUT` if it is the id of another type.
pub(crate) fn parse_id<T: FromStr<Err = IdError>>(field: &str, id: &ID) -> Result<T> {
    Ok(id.parse().map_err(|error: IdError| Error::invalid(field, error.to_string()))?)
}
