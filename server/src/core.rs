//! What every service needs: the configuration, the database, the clock, and a nudge for the workers.

use std::sync::Arc;

use salvor_domain::ids;
use tokio::sync::Notify;

use crate::clock::{Clock, random};
use crate::config::Config;
use crate::database::Db;

/// Cheap to clone; one for each process.
#[derive(Clone)]
pub struct Core {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    /// Wakes this process's workers at once when there is work; they also wake by a timer, for work of other processes.
    pub nudge: Arc<Notify>,
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
