//! The ports of all slices together: what the routes put into a page's context.

use std::sync::Arc;

use crate::accounts::port::AccountsPort;
use crate::health::port::HealthPort;
use crate::incidents::port::IncidentsPort;
use crate::restore::port::JobsPort;
use crate::tickets::port::TicketsPort;
use crate::volumes::port::VolumesPort;
use crate::webhooks::port::WebhooksPort;

#[derive(Clone)]
pub struct Ports {
    pub accounts: Arc<dyn AccountsPort>,
    pub volumes: Arc<dyn VolumesPort>,
    pub jobs: Arc<dyn JobsPort>,
    pub incidents: Arc<dyn IncidentsPort>,
    pub tickets: Arc<dyn TicketsPort>,
    pub health: Arc<dyn HealthPort>,
    pub webhooks: Arc<dyn WebhooksPort>,
}
