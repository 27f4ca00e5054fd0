//! `salvor incident`: say in public what is going on, from the command line.

use std::process::ExitCode;

use clap::Subcommand;
use salvor_app::incidents::port::{
    ComponentChange, IncidentView, IncidentsPort, NewIncident, NewUpdate, Publication,
};
use salvor_domain::ids::IncidentId;
use salvor_domain::incident::{Impact, IncidentStatus};

use super::{CliError, actor};
use crate::core::Core;
use crate::incidents::Incidents;

/// Open, update and resolve incidents on the public status page
#[derive(Debug, Subcommand)]
pub enum Args {
    /// Open an incident
    Open {
        /// What customers see as its name
        name: String,
        /// The first update
        #[arg(long, value_name = "TEXT")]
        body: String,
        #[arg(long, default_value = "investigating")]
        status: IncidentStatus,
        /// Without it, the impact follows from the components
        #[arg(long)]
        impact: Option<Impact>,
        /// The volume whose restores the status page shows with it
        #[arg(long)]
        volume: Option<String>,
        #[command(flatten)]
        shared: Shared,
    },
    /// Post a timestamped update
    Update {
        id: IncidentId,
        #[arg(long, value_name = "TEXT")]
        body: String,
        /// Without it, the status stays as it is
        #[arg(long)]
        status: Option<IncidentStatus>,
        #[command(flatten)]
        shared: Shared,
    },
    /// Say that it is over; its components return to operational
    Resolve {
        id: IncidentId,
        #[arg(long, value_name = "TEXT", default_value = "This incident has been resolved.")]
        body: String,
        #[command(flatten)]
        shared: Shared,
    },
    /// Show a draft that Salvor wrote to the public
    Publish {
        id: IncidentId,
        /// What customers see as its name; as drafted when absent
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// The first update; as drafted when absent
        #[arg(long, value_name = "TEXT")]
        body: Option<String>,
        /// Without it, the impact follows from the components
        #[arg(long)]
        impact: Option<Impact>,
        #[command(flatten)]
        shared: Shared,
    },
    /// Remove a draft
    Discard { id: IncidentId },
    /// List incidents, drafts and open ones first
    List {
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Shared {
    /// Set a component, by its name or id: "Uploaded files=partial_outage"; may be repeated
    #[arg(long = "component", value_name = "NAME=STATUS")]
    components: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const LISTED: u32 = 50;

pub async fn run(core: Core, args: Args) -> Result<ExitCode, CliError> {
    let incidents = Incidents::new(core);
    let (incident, json) = match args {
        Args::Open { name, body, status, impact, volume, shared } => {
            let components = changes(&incidents, &shared.components).await?;
            let new = NewIncident { name, status, body, impact, components, volume };
            (incidents.open(&actor(), new).await?, shared.json)
        }
        Args::Update { id, body, status, shared } => {
            let status = match status {
                Some(status) => status,
                None => incidents.incident(id).await?.status,
            };
            (posted(&incidents, id, status, body, &shared).await?, shared.json)
        }
        Args::Resolve { id, body, shared } => {
            (posted(&incidents, id, IncidentStatus::Resolved, body, &shared).await?, shared.json)
        }
        Args::Publish { id, name, body, impact, shared } => {
            let components = changes(&incidents, &shared.components).await?;
            let publication = Publication { name, body, components, impact };
            (incidents.publish(&actor(), id, publication).await?, shared.json)
        }
        Args::Discard { id } => {
            incidents.discard(&actor(), id).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Args::List { all, json } => {
            let listed = incidents.incidents(!all, LISTED).await?;
            match json {
                true => println!("{}", serde_json::json!(listed)),
                false => listed.iter().for_each(|incident| println!("{}", line(incident))),
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    match json {
        true => println!("{}", serde_json::json!(incident)),
        false => println!("{}", line(&incident)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn posted(
    incidents: &Incidents,
    id: IncidentId,
    status: IncidentStatus,
    body: String,
    shared: &Shared,
) -> Result<IncidentView, CliError> {
    let components = changes(incidents, &shared.components).await?;
    Ok(incidents.update(&actor(), id, NewUpdate { status, body, components }).await?)
}

async fn changes(incidents: &Incidents, words: &[String]) -> Result<Vec<ComponentChange>, CliError> {
    let known = if words.is_empty() { Vec::new() } else { incidents.components().await? };
    let change = |word: &String| {
        let (name, status) = word.rsplit_once('=').ok_or_else(|| {
            CliError::Usage(format!(
                "--component {word}: write NAME=STATUS, for example \"Files=partial_outage\""
            ))
        })?;
        let status = status.parse().map_err(|why| CliError::Usage(format!("--component {word}: {why}")))?;
        let found = known.iter().find(|component| component.name == name || component.id.to_string() == name);
        let id = found.map(|component| component.id).ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|component| component.name.as_str()).collect();
            let there = if names.is_empty() {
                "there are none yet".into()
            } else {
                format!("there is: {}", names.join(", "))
            };
            CliError::Usage(format!("--component {word}: there is no component \"{name}\"; {there}"))
        })?;
        Ok(ComponentChange { id, status })
    };
    words.iter().map(change).collect()
}

fn line(incident: &IncidentView) -> String {
    let at = incident.updated_at.format("%Y-%m-%d %H:%M UTC");
    let status = if incident.draft { "draft" } else { incident.status.as_str() };
    format!("{}  {status:<13} {:<8} {at}  {}", incident.id, incident.impact, incident.name)
}
