//! Tools of operators: commands, configuration, health, logs, metrics, mail and shutdown.

mod admin;
mod backup;
mod command_line;
mod data_folder_lock;
mod deployment;
mod doctor;
mod graceful_shutdown;
pub mod health;
mod log;
mod mail_delivery;
mod metric_subscription;
pub mod performance_metrics;
mod prometheus;
mod purge;
mod readme;
mod reference;
mod smtp;
mod start;
mod traces;
