//! The command line: one file a command, each with its `Args` and its `run`.
//!
//! Results go to stdout; progress and the log to stderr. The exit code is part of the contract: 0 all well, 1 it
//! finished and something is wrong, 2 wrong usage or configuration, 3 it could not run.

mod agent;
mod demo;
mod disk_check;
mod export;
mod health;
mod incident;
mod inspect;
mod job;
mod jobs;
mod limit;
mod mode;
mod readiness;
mod serve;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use salvor_app::problem::Problem;
use salvor_domain::account::{Actor, Role};
use tracing_subscriber::EnvFilter;

use crate::clock::Clock;
use crate::config::{Config, ConfigError, environment};
use crate::core::{Core, StartError};
use crate::error::Error;

/// It finished, and something is wrong: findings, failed files.
pub const SOMETHING_WRONG: u8 = 1;
const USAGE: u8 = 2;
const COULD_NOT_RUN: u8 = 3;

/// Keeps a file-hosting service honest and alive on the worst day of its life.
#[derive(Debug, Parser)]
#[command(name = "salvor", version)]
struct Cli {
    /// The configuration; without one, salvor.toml if it is there, else the embedded defaults.
    #[arg(long, global = true, value_name = "FILE", env = "SALVOR_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Agent(agent::Args),
    Mode(mode::Args),
    Protect(jobs::ProtectArgs),
    Check(jobs::CheckArgs),
    Restore(jobs::RestoreArgs),
    Reunite(jobs::ReuniteArgs),
    Drill(jobs::DrillArgs),
    DiskCheck(disk_check::Args),
    Readiness(readiness::Args),
    Health(health::Args),
    #[command(subcommand)]
    Job(job::Args),
    Limit(limit::Args),
    Demo(demo::Args),
    #[command(subcommand)]
    Incident(incident::Args),
    Export(export::Args),
    Inspect(inspect::Args),
    #[command(subcommand)]
    User(user::Args),
    #[command(subcommand)]
    Token(token::Args),
}

/// Why a command did not do its work. The message is one line, and says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    end_quietly_without_a_reader();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&CliError::Failed(format!("threads could not be started: {error}"))),
    };
    let code = runtime.block_on(run(cli)).unwrap_or_else(|error| complain(&error));
    // A folder that hangs keeps the thread that asked it; the process does not wait for that one.
    runtime.shutdown_background();
    code
}

async fn run(cli: Cli) -> Result<ExitCode, CliError> {
    let config = match &cli.command {
        // The demonstration brings its own.
        Command::Demo(args) => args.config()?,
        // A text needs none.
        Command::Inspect(args) => return inspect::run(args),
        _ => Config::load(cli.config.as_deref(), environment())?,
    };
    match cli.command {
        Command::Serve(args) => serve::run(Core::open_patiently(config, Clock::system()).await?, args).await,
        Command::Agent(args) => agent::run(config, args).await,
        Command::Mode(args) => mode::run(open(config).await?, args).await,
        Command::Protect(args) => jobs::protect(open(config).await?, args).await,
        Command::Check(args) => jobs::check(open(config).await?, args).await,
        Command::Restore(args) => jobs::restore(open(config).await?, args).await,
        Command::Reunite(args) => jobs::reunite(open(config).await?, args).await,
        Command::Drill(args) => jobs::drill(open(config).await?, args).await,
        Command::Health(args) => health::run(open(config).await?, args).await,
        Command::DiskCheck(args) => disk_check::run(open(config).await?, args).await,
        Command::Readiness(args) => readiness::run(open(config).await?, args).await,
        Command::Job(args) => job::run(open(config).await?, args).await,
        Command::Limit(args) => limit::run(open(config).await?, args).await,
        Command::Demo(args) => demo::run(open(config).await?, args).await,
        Command::Incident(args) => incident::run(open(config).await?, args).await,
        Command::Export(args) => export::run(open(config).await?, args).await,
        Command::Inspect(args) => inspect::run(&args),
        Command::User(args) => user::run(open(config).await?, args).await,
        Command::Token(args) => token::run(open(config).await?, args).await,
    }
}

async fn open(config: Config) -> Result<Core, CliError> {
    Ok(Core::open(config, Clock::system()).await?)
}

/// Who acts when a command does: the user of this machine. Whoever may read the configuration may do everything.
pub fn actor() -> Actor {
    let named =
        environment().find_map(|(name, value)| (name == "USER" || name == "LOGNAME").then_some(value));
    // Cron and containers often set neither; the number is known all the same.
    let user = named.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    Actor { name: format!("cli:{user}"), role: Role::Admin }
}

/// `salvor job list | head`: a reader that has enough is nothing to panic about. Ends as a program that SIGPIPE stops.
fn end_quietly_without_a_reader() {
    const STOPPED_BY_SIGPIPE: i32 = 128 + 13;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(STOPPED_BY_SIGPIPE);
        }
        usual(panic);
    }));
}

/// `SALVOR_LOG` holds a filter such as `debug` or `salvor=debug,warn`.
fn start_log() {
    let wanted = environment().find_map(|(name, value)| (name == "SALVOR_LOG").then_some(value));
    let filter = EnvFilter::new(wanted.as_deref().unwrap_or("info,sqlx=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn complain(error: &CliError) -> ExitCode {
    eprintln!("salvor: {error}");
    ExitCode::from(match error {
        CliError::Usage(_) => USAGE,
        CliError::Failed(_) => COULD_NOT_RUN,
    })
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { message, points } if !points.is_empty() => {
                Self::Failed(format!("{message} ({})", points.join("; ")))
            }
            Error::NotFound(_) | Error::Invalid(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::NotFound(_) | Problem::Invalid(_) => Self::Usage(problem.to_string()),
            _ => Self::Failed(problem.to_string()),
        }
    }
}

impl From<sqlx::Error> for CliError {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_configuration_may_be_named_before_or_after_the_command() {
        for args in [
            ["salvor", "--config", "x.toml", "user", "list"],
            ["salvor", "user", "list", "--config", "x.toml"],
        ] {
            assert_eq!(Cli::try_parse_from(args).unwrap().config, Some(PathBuf::from("x.toml")));
        }
    }
}
