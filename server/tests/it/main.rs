//! The one integration-test binary. Everything that touches the database runs on SQLite and, where the variable
//! SALVOR_TEST_POSTGRES names a server (`postgres://user@host:port/postgres`), on PostgreSQL as well.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test a panic is the answer, also in what stands beside the functions marked as one"
)]

#[macro_use]
mod support;

mod accounts;
mod adopt;
mod adopt_stores;
mod agents;
mod copies;
mod crash;
mod disk_check;
mod drill;
mod e2fsck;
mod faults;
mod gateway;
mod glances;
mod health;
mod health_machine;
mod http;
mod incidents;
mod jobs;
mod moving;
mod need;
mod outage;
mod reunite;
mod safety;
mod said;
mod tickets;
mod tidy;
mod tokens;
mod volumes;
