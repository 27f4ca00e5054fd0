//! The copies of this process: opened when first needed, kept open, and opened anew when they have gone bad.
//!
//! Connections and indexes are dear, so that a remote copy is opened once for everybody here. A folder is opened each time:
//! it costs nothing, and what is mounted there may have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use salvor_engine::{Source, SourceFault};

use crate::config::CopyConfig;

/// Cheap to clone; one for each process.
#[derive(Clone, Default)]
pub struct Copies {
    opened: Arc<Mutex<HashMap<(String, String), Slot>>>,
}

/// One copy; whoever opens it holds it, so that it is opened once however many wait.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<dyn Source>>>>;

impl Copies {
    /// The copy, ready to be read. What opens it goes on when the caller does not wait for its end.
    pub async fn open(&self, volume: &str, copy: &CopyConfig) -> Result<Arc<dyn Source>, SourceFault> {
        let (place, name) = (copy.place.clone(), copy.name.clone());
        if place.folder().is_some() {
            return blocking(move || salvor_copies::open(&place, &name)).await;
        }
        let mut slot = self.slot(volume, copy).lock_owned().await;
        if let Some(source) = slot.as_ref().filter(|source| !source.is_spent()) {
            return Ok(Arc::clone(source));
        }
        blocking(move || {
            *slot = None;
            let source = salvor_copies::open(&place, &name)?;
            *slot = Some(Arc::clone(&source));
            Ok(source)
        })
        .await
    }

    fn slot(&self, volume: &str, copy: &CopyConfig) -> Slot {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(opened.entry((volume.to_owned(), copy.name.clone())).or_default())
    }
}

async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, SourceFault> + Send + 'static,
) -> Result<T, SourceFault> {
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|broken| {
        tracing::error!(%broken, "opening a copy broke down");
        Err(SourceFault::Gone("Salvor itself broke down at it; the details are in its log".into()))
    })
}
