//! Every test that runs against the whole system, as one binary.

mod accounts;
mod admin;
mod cluster;
mod contract;
mod feed;
mod mail;
mod messages;
mod nodes;
mod operator;
mod pages;
mod passkeys;
mod passwords;
mod recovery;
mod schema;
mod sessions;
mod start;
mod statements;
mod tidy;
mod tokens;
mod transactions;
mod users;
mod wire_errors;
mod wire_http;
mod wire_limits;
mod wire_sockets;
mod wire_streams;
