//! What every test stands on: a Salvor of its own in a temporary folder, with a small volume and two copies, a clock
//! that can be moved, and a router to call. [`on_both_engines!`] runs a test on SQLite and on PostgreSQL.

mod app;
pub mod disk;
mod engine;
pub mod facts;
pub mod jobs;
pub mod running;

pub use app::{PASSWORD, Reply, Stream, TestApp};
pub use engine::{Engine, run};

/// `on_both_engines! { async fn name(app: &TestApp) { … } }`: a module `name` with the tests `sqlite` and `postgres`.
macro_rules! on_both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: &TestApp) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn story($app: &$crate::support::TestApp) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                $crate::support::run($crate::support::Engine::Sqlite, async |app| story(app).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                $crate::support::run($crate::support::Engine::Postgres, async |app| story(app).await).await;
            }
        }
    )+};
}
