//! The table `signal_points`: figures over time, thinned out the older they are.
//!
//! Each figure has a ring for each step ([`RINGS`]): a new bucket takes the place of the oldest one. So a year of a figure is a few
//! thousand rows, however often it is read, and nothing has to be cleared away.

use chrono::{DateTime, Utc};
use salvor_app::health::port::Point;

use crate::database::{Tx, build, fetch_all};

/// A figure of a signal at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    pub signal: i64,
    pub at: DateTime<Utc>,
    pub fact: &'static str,
    pub value: f64,
}

/// Seconds of a bucket, and how many buckets are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    pub step: i64,
    pub kept: i64,
}

pub const MINUTES: Ring = Ring { step: 60, kept: 24 * 60 };
pub const HOURS: Ring = Ring { step: 3_600, kept: 30 * 24 };
pub const DAYS: Ring = Ring { step: 86_400, kept: 400 };
pub const RINGS: [Ring; 3] = [MINUTES, HOURS, DAYS];

/// Rows a statement.
const CHUNK: usize = 900;

/// Counts figures in: of each signal and fact one at a time.
pub async fn add(tx: &mut Tx, figures: &[Figure]) -> sqlx::Result<()> {
    for figures in figures.chunks(CHUNK / RINGS.len()) {
        build!(&mut *tx, |query, connection| {
            query.push(
                "INSERT INTO signal_points (signal_id, fact, step_seconds, slot, starts, low, mean, high, readings) ",
            );
            let rows = figures.iter().flat_map(|figure| RINGS.map(|ring| (figure, ring)));
            query.push_values(rows, |mut row, (figure, ring)| {
                let bucket = figure.at.timestamp().div_euclid(ring.step);
                row.push_bind(figure.signal).push_bind(figure.fact).push_bind(ring.step);
                row.push_bind(bucket.rem_euclid(ring.kept)).push_bind(bucket * ring.step);
                row.push_bind(figure.value).push_bind(figure.value).push_bind(figure.value).push_bind(1_i64);
            });
            query.push(MERGE);
            query.build().execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// The same bucket takes one more reading; a newer one begins anew, and an older one comes too late.
const MERGE: &str = " ON CONFLICT (signal_id, fact, step_seconds, slot) DO UPDATE SET \
    low = CASE WHEN signal_points.starts = excluded.starts AND signal_points.low < excluded.low \
          THEN signal_points.low ELSE excluded.low END, \
    mean = CASE WHEN signal_points.starts = excluded.starts \
           THEN signal_points.mean + (excluded.mean - signal_points.mean) / (signal_points.readings + 1) \
           ELSE excluded.mean END, \
    high = CASE WHEN signal_points.starts = excluded.starts AND signal_points.high > excluded.high \
           THEN signal_points.high ELSE excluded.high END, \
    readings = CASE WHEN signal_points.starts = excluded.starts THEN signal_points.readings + 1 ELSE 1 END, \
    starts = excluded.starts \
    WHERE signal_points.starts <= excluded.starts";

/// What a ring holds from `from` on, oldest first.
pub async fn read(
    tx: &mut Tx,
    signal: i64,
    fact: &str,
    ring: Ring,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<Point>> {
    let sql = "SELECT starts, low, mean, high FROM signal_points \
               WHERE signal_id = $1 AND fact = $2 AND step_seconds = $3 AND starts >= $4 ORDER BY starts";
    let rows = fetch_all!(tx, (i64, f64, f64, f64), sql, signal, fact, ring.step, from.timestamp())?;
    let point =
        |(starts, low, mean, high)| Some(Point { at: DateTime::from_timestamp(starts, 0)?, low, mean, high });
    Ok(rows.into_iter().filter_map(point).collect())
}
