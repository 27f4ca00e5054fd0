//! The salvor program: services over the database, the routes to them, the workers that do the jobs.
//!
//! The way of a request: routes → port → service → store → database. The way of a job: worker → service → store, with
//! `salvor_engine` for the bytes. Slices meet through ids and events, never through each other's tables.

pub mod accounts;
pub mod agents;
pub mod assets;
mod buckets;
pub mod cli;
pub mod clock;
pub mod config;
pub mod copies;
pub mod core;
pub mod database;
pub mod demo;
pub mod error;
pub mod events;
pub mod gateway;
pub mod health;
pub mod http;
pub mod incidents;
pub mod network;
mod outgoing;
pub mod restore;
pub mod routes;
pub mod tickets;
pub mod volumes;
pub mod webhooks;
