//! The two engines under a test: each test has a database of its own, and takes it away again.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use salvor::clock::random;
use salvor::config::environment;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::TestApp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Runs `story` on a Salvor of its own. Without a PostgreSQL to test with, says so and passes.
pub async fn run(engine: Engine, story: impl AsyncFnOnce(&TestApp)) {
    let database = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => match server() {
            Some(server) => Some(PgDatabase::create(server).await),
            None => return eprintln!("skipped: SALVOR_TEST_POSTGRES names no PostgreSQL server"),
        },
    };
    let app = TestApp::open(database.as_ref().map(|database| database.url.as_str())).await;
    // Whatever becomes of the story, the database goes.
    let outcome = AssertUnwindSafe(story(&app)).catch_unwind().await;
    app.close().await;
    if let Some(database) = database {
        database.drop().await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn server() -> Option<String> {
    environment().find_map(|(name, value)| (name == "SALVOR_TEST_POSTGRES").then_some(value))
}

struct PgDatabase {
    server: String,
    name: String,
    url: String,
}

impl PgDatabase {
    async fn create(server: String) -> Self {
        let name: String = random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("salvor_test_{name}");
        Self::order(&server, format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        Self { server, name, url }
    }

    async fn drop(self) {
        Self::order(&self.server, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    async fn order(server: &str, sql: String) {
        let mut connection = PgConnection::connect(server).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
