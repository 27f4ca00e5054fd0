//! What every service needs: the configuration, the database, the clock, and a nudge for the workers.

use std::path::Path;
use std::sync::Arc;

use salvor_domain::ids;
use tokio::sync::Notify;

use crate::agents::Agents;
use crate::clock::{Clock, random};
use crate::config::Config;
use crate::copies::Copies;
use crate::database::{Db, OpenError};
use crate::error::Error;
use crate::volumes::reach::Patience;

/// Cheap to clone; one for each process.
#[derive(Clone)]
pub struct Core {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    pub copies: Copies,
    /// Those that are connected to this process.
    pub agents: Agents,
    /// With folders and copies that may hang.
    pub patience: Patience,
    /// Wakes this process's workers at once when there is work; they also wake by a timer, for work of other processes.
    pub nudge: Arc<Notify>,
}

/// Why Salvor cannot start on this configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("server.data_dir {folder}: {source}; it must be a folder that Salvor may write to")]
    DataDir { folder: String, source: std::io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Service(#[from] Error),
}

impl Core {
    /// Makes the data folder, opens the database that the configuration names, and brings it up to date.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, StartError> {
        make_private_folder(&config.server.data_dir)?;
        let db = match &config.server.database_url {
            Some(url) => Db::open_postgres(url).await?,
            None => Db::open_sqlite(&config.server.data_dir.join("salvor.db")).await?,
        };
        let core = Self::with(config, db, clock);
        crate::volumes::service::register(&core).await?;
        Ok(core)
    }

    /// As [`Core::open`], for `salvor serve`: a PostgreSQL that is away is waited for later. [`Core::bring_up`] has to succeed
    /// before anything can be read.
    pub async fn open_patiently(config: Config, clock: Clock) -> Result<Self, StartError> {
        let Some(url) = &config.server.database_url else { return Self::open(config, clock).await };
        make_private_folder(&config.server.data_dir)?;
        let db = Db::postgres_later(url)?;
        let core = Self::with(config, db, clock);
        match core.bring_up().await {
            Err(StartError::Open(why)) if why.may_pass() => {
                tracing::error!("{why}; Salvor goes on without its database, and with it when it is there");
                Ok(core)
            }
            Err(other) => Err(other),
            Ok(()) => Ok(core),
        }
    }

    fn with(config: Config, db: Db, clock: Clock) -> Self {
        let (copies, agents, nudge) = (Copies::default(), Agents::default(), Arc::new(Notify::new()));
        Self { config: Arc::new(config), db, clock, copies, agents, patience: Patience::default(), nudge }
    }

    /// Reaches the database and brings it up to date.
    pub async fn bring_up(&self) -> Result<(), StartError> {
        self.db.reach().await?;
        Ok(crate::volumes::service::register(self).await?)
    }
}

/// Only for the user that Salvor runs as: the database holds hashes of passwords and customers' addresses.
fn make_private_folder(folder: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StartError::DataDir { folder: folder.display().to_string(), source })
}

macro_rules! new_ids {
    ($($name:ident: $id:ident),+) => {
        impl Core {
            $(pub fn $name(&self) -> ids::$id { ids::$id::new(self.clock.now(), random()) })+
        }
    };
}
new_ids! {
    new_job_id: JobId, new_worker_id: WorkerId, new_user_id: UserId, new_token_id: TokenId,
    new_component_id: ComponentId, new_incident_id: IncidentId, new_update_id: UpdateId
}
