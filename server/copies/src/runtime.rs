//! The threads on which remote copies are talked to: one small runtime for the whole process.
//!
//! The engine's traits block; a remote copy is read by many tasks at once. Whoever stands between them asks here. Never
//! call [`wait`] from a task: it blocks its thread.

use std::future::Future;
use std::sync::LazyLock;

use salvor_engine::SourceFault;
use tokio::runtime::{Builder, Runtime};

/// The work is waiting and decrypting: two threads carry more than a gigabit.
const THREADS: usize = 2;

static RUNTIME: LazyLock<Result<Runtime, String>> = LazyLock::new(|| {
    let built =
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("salvor-copies").enable_all().build();
    built.map_err(|why| format!("Salvor cannot start threads for its copies: {why}"))
});

/// Where tasks are spawned.
pub(crate) fn runtime() -> Result<&'static Runtime, SourceFault> {
    RUNTIME.as_ref().map_err(|why| SourceFault::Gone(why.clone()))
}

/// Blocks this thread until the work is done.
pub(crate) fn wait<T>(work: impl Future<Output = Result<T, SourceFault>>) -> Result<T, SourceFault> {
    runtime()?.block_on(work)
}
