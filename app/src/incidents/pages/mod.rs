//! Incidents and components, for operators. What the public sees of them is in `public`.

mod components;
mod draft;
mod fields;
mod incident;
mod incidents;
mod open;

pub use components::ComponentsPage;
pub use incident::IncidentPage;
pub use incidents::IncidentsPage;
pub use open::OpenIncidentPage;
