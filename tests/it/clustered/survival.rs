//! What stays true while PostgreSQL or Redis is away: each test starts and harms servers of its own.

mod disk;
mod postgres;
mod redis;
