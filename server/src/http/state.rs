//! What the handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use crate::accounts::limits::Attempts;
use crate::assets::Site;
use crate::core::Core;
use crate::error::Result;
use crate::http::feed::Feed;

/// Cheap to clone; handlers take the part that they need, such as `State<Core>`.
#[derive(Clone, FromRef)]
pub struct AppState {
    pub core: Core,
    /// Failed sign-ins.
    pub attempts: Arc<Attempts>,
    /// New events as they come.
    pub feed: Feed,
    /// The browser's half.
    pub site: Arc<Site>,
    /// Cancelled when the server stops: streams end then.
    pub stop: CancellationToken,
}

impl AppState {
    pub async fn open(core: Core, stop: CancellationToken) -> Result<Self> {
        let feed = Feed::open(&core).await?;
        let site = Arc::new(Site::embedded());
        Ok(Self { core, attempts: Arc::default(), feed, site, stop })
    }
}
