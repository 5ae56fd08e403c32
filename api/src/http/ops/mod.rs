//! Endpoints for operators: metrics, health and the public keys of access tokens.

pub mod health;
pub mod http_metrics;
pub mod jwks;
pub mod metrics;
pub mod process_metrics;
pub mod prometheus_text;
