//! The schema and its responses: the contract, paging, global ids, JSON, and statements per request.

mod contract;
mod global_ids;
mod json_objects;
mod pagination;
mod statement_counts;
