//! What the handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::limits::Attempts;
use crate::accounts::remembered::Remembered;
use crate::assets::Site;
use crate::core::Core;
use crate::error::Result;
use crate::gateway::Gateway;
use crate::http::feed::Feed;
use crate::http::glances::Looks;
use crate::incidents::{Board, Incidents};
use crate::tickets::Tickets;
use crate::volumes::modes::Modes;

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
    /// The public pages, ready to be served.
    pub board: Board,
    pub incidents: Incidents,
    pub tickets: Tickets,
    /// The modes of all volumes, for whoever asks before each upload.
    pub modes: Modes,
    /// What gives files out, on a port of its own.
    pub gateway: Gateway,
    /// All volumes and hosts at a glance, for pages and for those that listen.
    pub looks: Looks,
    /// Holders of tokens, for the same.
    pub remembered: Remembered,
    /// Cancelled when the server stops: streams end then.
    pub stop: CancellationToken,
    /// What the server waits for before it ends.
    pub tasks: TaskTracker,
}

impl AppState {
    pub async fn open(core: Core, stop: CancellationToken) -> Result<Self> {
        let feed = Feed::open(&core).await?;
        let site = Arc::new(Site::embedded());
        let board = Board::new(&core, &*site.public_css_inline, stop.clone());
        let incidents = Incidents::new(core.clone()).with_board(board.clone());
        let tickets = Tickets::new(core.clone());
        let modes = Modes::open(&core).await;
        let gateway = Gateway::new(&core, &modes);
        Ok(Self {
            core,
            attempts: Arc::default(),
            feed,
            site,
            board,
            incidents,
            tickets,
            modes,
            gateway,
            looks: Looks::default(),
            remembered: Remembered::default(),
            stop,
            tasks: TaskTracker::new(),
        })
    }
}
