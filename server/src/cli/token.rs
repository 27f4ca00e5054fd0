//! `salvor token`: what scripts authenticate with.

use std::process::ExitCode;

use chrono::TimeDelta;
use clap::Subcommand;
use salvor_domain::account::Role;

use super::{CliError, actor};
use crate::accounts::service;
use crate::core::Core;

/// Create, list and revoke API tokens
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Create a token and print it: it cannot be shown again
    Create {
        name: String,
        /// viewer, responder, operator or admin; agent for a storage host that reports
        #[arg(long)]
        role: Role,
        /// The only host that the token may report for; without this it is the one that it reports for first
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
        /// Days that it holds; without this it holds until it is revoked
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// List all tokens
    List,
    /// Revoke a token: it stops working at once
    Revoke { name: String },
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    match args {
        Args::Create { name, role, host, expires } => {
            let holds_for = expires.map(|days| TimeDelta::days(i64::from(days)));
            let (_, secret) =
                service::create_token(&core, &actor(), &name, role, host.as_deref(), holds_for).await?;
            println!("{secret}");
        }
        Args::List => {
            let now = core.clock.now();
            for token in service::tokens(&core).await? {
                let state = match (token.revoked_at, token.expires_at) {
                    (Some(at), _) => format!("revoked {}", at.format("%Y-%m-%d")),
                    (None, Some(at)) if at <= now => format!("expired {}", at.format("%Y-%m-%d")),
                    (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
                    (None, None) => "until revoked".to_owned(),
                };
                let host = match (token.role, token.host) {
                    (Role::Agent, Some(host)) => format!("  for the host {host}"),
                    (Role::Agent, None) => "  for the host that it reports for first".to_owned(),
                    _ => String::new(),
                };
                println!("{:<32} {:<10} {state}{host}", token.name, token.role);
            }
        }
        Args::Revoke { name } => {
            service::revoke_token(&core, &actor(), &name).await?;
            println!("Revoked {name}.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
