//! What operators run and see: commands, configuration, health, logs, metrics, mail and shutdown.

pub mod admin;
mod backup;
pub mod command_line;
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
pub mod served;
mod smtp;
pub mod start;
mod traces;
