//! `salvor user`: who may sign in to the console.

use std::io::Read;
use std::process::ExitCode;

use clap::Subcommand;
use salvor_domain::account::Role;

use super::{CliError, actor};
use crate::accounts::service;
use crate::core::Core;

/// Add, list and disable the users of the console
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Add a user; the password is read from the standard input
    Add {
        email: String,
        /// viewer, responder, operator or admin
        #[arg(long)]
        role: Role,
        /// Read the password from the standard input, up to the end of its first line
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List all users
    List,
    /// Disable a user: their sessions end at once
    Disable { email: String },
}

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    match args {
        Args::Add { email, role, password_stdin: _ } => {
            let user = service::add_user(&core, &actor(), &email, role, &read_password()?).await?;
            println!("Added {} with the role {role}.", user.email);
        }
        Args::List => {
            for user in service::users(&core).await? {
                let state = match (user.disabled_at, &user.password_hash) {
                    (Some(at), _) => format!("disabled {}", at.format("%Y-%m-%d %H:%M UTC")),
                    (None, None) => "no password yet".to_owned(),
                    (None, Some(_)) => "active".to_owned(),
                };
                println!("{:<40} {:<10} {state}", user.email, user.role);
            }
        }
        Args::Disable { email } => {
            service::disable_user(&core, &actor(), &email).await?;
            println!("Disabled {email}. Their sessions have ended.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_password() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        CliError::Usage(format!("the password cannot be read from the standard input: {error}"))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
