//! What the handlers share.

use axum::extract::FromRef;

use crate::core::Core;

/// Cheap to clone; handlers take the part that they need, such as `State<Core>`.
#[derive(Clone, FromRef)]
pub struct AppState {
    pub core: Core,
}

impl AppState {
    pub fn new(core: Core) -> Self {
        Self { core }
    }
}
