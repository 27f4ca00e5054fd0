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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use chrono::TimeDelta;
    use salvor_domain::health::standing::Standing;
    use salvor_domain::health::{Facts, Level, Probe};

    use super::*;
    use crate::database::{scalar, testing};
    use crate::health::store::{self, Signal};

    async fn signal(tx: &mut Tx) -> i64 {
        let at = DateTime::UNIX_EPOCH;
        let mut signals = [Signal {
            id: 0,
            host: "store1".into(),
            probe: Probe::Space,
            subject: "fs:/srv".into(),
            first_at: at,
            read_at: at,
            gone_at: None,
            reason: String::new(),
            facts: Facts::new(),
            stops_writes: false,
            standing: Standing::new(Level::Ok, None, at),
            volumes: vec![],
            copies_of: vec![],
            muted: None,
        }];
        store::put(tx, &mut signals).await.unwrap();
        signals[0].id
    }

    #[tokio::test]
    async fn a_year_stays_small_and_fast() {
        let (_folder, databases) = testing::databases().await;
        for db in databases {
            let mut tx = db.begin().await.unwrap();
            let signal = signal(&mut tx).await;
            let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
            let now = start + TimeDelta::days(500);
            let hours = (0..499 * 24).map(|hour| start + TimeDelta::hours(hour));
            let minutes = (0..2 * 24 * 60).map(|minute| now - TimeDelta::minutes(2 * 24 * 60 - minute));
            for (n, at) in hours.chain(minutes).enumerate() {
                let value = (n % 100) as f64;
                add(&mut tx, &[Figure { signal, at, fact: "used_percent", value }]).await.unwrap();
            }
            let rows = scalar!(&mut tx, i64, "SELECT count(*) FROM signal_points").unwrap();
            assert_eq!(
                rows,
                RINGS.iter().map(|ring| ring.kept).sum::<i64>(),
                "2,560 rows, whatever was read"
            );
            let begun = Instant::now();
            let days = read(&mut tx, signal, "used_percent", DAYS, now - TimeDelta::days(365)).await.unwrap();
            let took = begun.elapsed();
            assert_eq!(days.len(), 365);
            assert!(days.windows(2).all(|pair| pair[1].at - pair[0].at == TimeDelta::days(1)));
            assert!(took.as_millis() < 500, "{took:?}");
            tx.commit().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_bucket_has_the_low_the_mean_and_the_high() {
        let (_folder, databases) = testing::databases().await;
        for db in databases {
            let mut tx = db.begin().await.unwrap();
            let signal = signal(&mut tx).await;
            let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
            for (second, value) in [(0, 3.0), (10, 1.0), (20, 8.0), (60, 5.0)] {
                let at = start + TimeDelta::seconds(second);
                add(&mut tx, &[Figure { signal, at, fact: "temp_c", value }]).await.unwrap();
            }
            let point = |at, low, mean, high| Point { at, low, mean, high };
            let minutes = read(&mut tx, signal, "temp_c", MINUTES, start).await.unwrap();
            let second = start + TimeDelta::minutes(1);
            assert_eq!(minutes, [point(start, 1.0, 4.0, 8.0), point(second, 5.0, 5.0, 5.0)]);
            // A ring later its place is taken, and what is older comes too late.
            let later = start + TimeDelta::days(1);
            for at in [later, start] {
                add(&mut tx, &[Figure { signal, at, fact: "temp_c", value: 9.0 }]).await.unwrap();
            }
            let minutes = read(&mut tx, signal, "temp_c", MINUTES, start).await.unwrap();
            assert_eq!(minutes, [point(second, 5.0, 5.0, 5.0), point(later, 9.0, 9.0, 9.0)]);
        }
    }
}
