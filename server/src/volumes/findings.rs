//! The table `findings`: what checks found, until it is resolved or dismissed. How many are open is kept: see [`counts`].

mod figures;

use chrono::{DateTime, Utc};
use salvor_app::volumes::port::{FindingView, FindingsFilter, FindingsPage};
use salvor_domain::finding::{FindingKind, FindingState};
use salvor_domain::ids::JobId;
use salvor_domain::path::{FilePath, hex};
use sqlx::AssertSqlSafe;

use super::{CHUNK, from_sql, stored_path, to_sql};
use crate::database::{Paths, Tx, bad_row, build, execute, fetch_all, scalar};

pub use figures::{counts, recount};

/// As SQL.
const OPEN: &str = "'open'";

const PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    pub path: FilePath,
    pub kind: FindingKind,
    pub size: u64,
    pub detail: String,
}

/// Adds findings, or opens them again. A dismissed one stays dismissed: somebody looked at it.
pub async fn report(
    tx: &mut Tx,
    volume_id: i64,
    job_id: JobId,
    now: DateTime<Utc>,
    found: &[NewFinding],
) -> sqlx::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    // As everywhere: first the volume's figures, then what is about its files.
    tx.one_at_a_time(volume_id).await?;
    let paths: Vec<&[u8]> = found.iter().map(|finding| finding.path.as_bytes()).collect();
    let before = figures::among(tx, volume_id, &paths, OPEN).await?;
    let job_id = job_id.to_string();
    for found in found.chunks(CHUNK) {
        build!(&mut *tx, |query, connection| {
            query.push("INSERT INTO findings (volume_id, path, kind, state, size, detail, job_id, seen_at) ");
            query.push_values(found, |mut values, finding| {
                values.push_bind(volume_id).push_bind(finding.path.as_bytes());
                values.push_bind(finding.kind.as_str()).push_bind(FindingState::Open.as_str());
                values.push_bind(to_sql(finding.size)).push_bind(&finding.detail);
                values.push_bind(&job_id).push_bind(now);
            });
            query.push(
                " ON CONFLICT (volume_id, path, kind) DO UPDATE SET size = excluded.size, detail = excluded.detail, \
                 job_id = excluded.job_id, seen_at = excluded.seen_at, \
                 state = CASE findings.state WHEN 'dismissed' THEN 'dismissed' ELSE 'open' END, \
                 resolved_at = CASE findings.state WHEN 'dismissed' THEN findings.resolved_at END",
            );
            query.build().execute(connection).await.map(drop)
        })?;
    }
    let mut opened = figures::among(tx, volume_id, &paths, OPEN).await?;
    for (kind, count) in before {
        *opened.entry(kind).or_default() -= count;
    }
    figures::add(tx, volume_id, opened).await
}

/// These files are now as the catalogue says: whatever was found about them is over. Returns how many findings that were.
pub async fn resolve(
    tx: &mut Tx,
    volume_id: i64,
    paths: &[FilePath],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    close(tx, volume_id, paths.iter().map(FilePath::as_bytes), FindingState::Resolved, now).await
}

/// An operator said that nothing is to be done about this file.
pub async fn dismiss(tx: &mut Tx, volume_id: i64, path: &FilePath, now: DateTime<Utc>) -> sqlx::Result<u64> {
    close(tx, volume_id, std::iter::once(path.as_bytes()), FindingState::Dismissed, now).await
}

/// A check that came to its end: which one, and since when it looked.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    pub job: JobId,
    pub since: DateTime<Utc>,
}

/// Resolves the open findings of `kinds` that the check did not see again, where it looked (`within`). What another job
/// saw while it looked stays: that may be newer.
pub async fn resolve_unseen(
    tx: &mut Tx,
    volume_id: i64,
    looked: Looked,
    kinds: &[FindingKind],
    within: impl Fn(&[u8]) -> bool + Send,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let job_id = looked.job.to_string();
    let mut resolved = 0;
    tx.one_at_a_time(volume_id).await?;
    for kind in kinds {
        let mut after = Vec::new();
        let already = resolved;
        loop {
            let sql = "SELECT path FROM findings WHERE volume_id = $1 AND state = 'open' AND kind = $2 \
                       AND job_id <> $3 AND seen_at < $4 AND path > $5 ORDER BY path LIMIT $6";
            let (kind_word, limit) = (kind.as_str(), to_sql(CHUNK as u64));
            let since = looked.since;
            let rows =
                fetch_all!(&mut *tx, (Vec<u8>,), sql, volume_id, kind_word, &job_id, since, &after, limit)?;
            let Some((last,)) = rows.last() else { break };
            after.clone_from(last);
            let unseen: Vec<_> = rows.into_iter().map(|(path,)| path).filter(|path| within(path)).collect();
            if unseen.is_empty() {
                continue;
            }
            let sql = AssertSqlSafe(format!(
                "UPDATE findings SET state = $1, resolved_at = $2 \
                 WHERE volume_id = $3 AND state = 'open' AND kind = $4 AND {}",
                tx.among("path", 5)
            ));
            let unseen: Paths = unseen.iter().map(Vec::as_slice).collect();
            resolved +=
                execute!(&mut *tx, sql, FindingState::Resolved.as_str(), now, volume_id, kind_word, unseen)?;
        }
        let closed = [(kind.as_str().to_owned(), -to_sql(resolved - already))];
        figures::add(tx, volume_id, closed.into()).await?;
    }
    Ok(resolved)
}

/// Forgets findings that were resolved before this, at most `limit`. Returns how many.
pub async fn forget_resolved(
    tx: &mut Tx,
    volume_id: i64,
    before: DateTime<Utc>,
    limit: u32,
) -> sqlx::Result<u64> {
    let sql = "DELETE FROM findings WHERE volume_id = $1 AND (path, kind) IN (SELECT path, kind FROM findings \
               WHERE volume_id = $1 AND state = 'resolved' AND resolved_at < $2 LIMIT $3)";
    execute!(tx, sql, volume_id, before, i64::from(limit))
}

/// Whether there is a finding that was resolved before this.
pub async fn has_resolved(tx: &mut Tx, volume_id: i64, before: DateTime<Utc>) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM findings WHERE volume_id = $1 AND state = 'resolved' AND resolved_at < $2)";
    scalar!(tx, bool, sql, volume_id, before)
}

/// Files between these two, both included, about which something was found that is not over, each once.
pub async fn unresolved_between(
    tx: &mut Tx,
    volume_id: i64,
    first: &FilePath,
    last: &FilePath,
) -> sqlx::Result<Vec<FilePath>> {
    let sql = "SELECT DISTINCT path FROM findings WHERE volume_id = $1 AND path >= $2 AND path <= $3 \
               AND state <> 'resolved' ORDER BY path";
    let rows = fetch_all!(tx, (Vec<u8>,), sql, volume_id, first.as_bytes(), last.as_bytes())?;
    rows.into_iter().map(|(path,)| stored_path("findings", path)).collect()
}

/// Files with an open loss, after `after` in byte order, each once. Of several kinds, `corrupt` comes first: such a file
/// is there and must move aside.
pub async fn open_losses_after(
    tx: &mut Tx,
    volume_id: i64,
    after: Option<&[u8]>,
    limit: u32,
) -> sqlx::Result<Vec<(FilePath, FindingKind)>> {
    let sql = "SELECT path, min(kind) FROM findings WHERE volume_id = $1 AND state = 'open' \
               AND kind IN ('corrupt', 'missing', 'unreadable') AND path > $2 GROUP BY path ORDER BY path LIMIT $3";
    let rows =
        fetch_all!(tx, (Vec<u8>, String), sql, volume_id, after.unwrap_or_default(), i64::from(limit))?;
    rows.into_iter()
        .map(|(path, kind)| {
            let path = stored_path("findings", path)?;
            let kind = kind.parse().map_err(|why| bad_row("findings", "kind", &path, why))?;
            Ok((path, kind))
        })
        .collect()
}

/// Everything that was ever found about these files.
pub async fn of_files(
    tx: &mut Tx,
    volume_id: i64,
    paths: &[FilePath],
) -> sqlx::Result<Vec<(FilePath, FindingKind, FindingState)>> {
    let among = tx.among("path", 2);
    let sql = AssertSqlSafe(format!("{ROW} WHERE volume_id = $1 AND {among} ORDER BY path, kind"));
    let rows = fetch_all!(tx, Raw, sql, volume_id, Paths::of(paths))?;
    let parsed = |raw: Raw| {
        let (kind, state) = raw.words()?;
        Ok((stored_path("findings", raw.path)?, kind, state))
    };
    rows.into_iter().map(parsed).collect()
}

/// The first `limit` open findings that this job saw last, in path order.
pub async fn of_job(
    tx: &mut Tx,
    volume_id: i64,
    job_id: JobId,
    limit: u32,
) -> sqlx::Result<Vec<FindingView>> {
    let sql = AssertSqlSafe(format!(
        "{ROW} WHERE volume_id = $1 AND state = 'open' AND job_id = $2 ORDER BY path, kind LIMIT $3"
    ));
    let rows = fetch_all!(tx, Raw, sql, volume_id, job_id.to_string(), i64::from(limit))?;
    rows.into_iter().map(FindingView::try_from).collect()
}

/// One page of what `filter` asks for; [`BadPage`] when its `after` is not the `next` of an earlier page.
pub async fn page(
    tx: &mut Tx,
    volume_id: i64,
    filter: &FindingsFilter,
) -> sqlx::Result<Result<FindingsPage, BadPage>> {
    let after = match filter.after.as_deref().map(Place::parse) {
        None => Place::default(),
        Some(Some(place)) => place,
        Some(None) => return Ok(Err(BadPage)),
    };
    let limit = filter.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let state = filter.state.unwrap_or(FindingState::Open).as_str();
    let kind = filter.kind.map_or("", FindingKind::as_str);
    let search = filter.search.as_deref().unwrap_or_default().as_bytes();
    let contains = tx.contains("path", 4);
    // The empty word stands for "any": one statement for all filters.
    let matching = format!(
        "volume_id = $1 AND state = $2 AND ($3 = '' OR kind = $3) AND (length($4) = 0 OR {contains})"
    );
    let total = match (filter.state.unwrap_or(FindingState::Open), search) {
        (FindingState::Open, []) => {
            let counts = counts(tx, volume_id).await?;
            filter.kind.map_or(counts.total(), |kind| counts.of(kind))
        }
        _ => {
            let sql = AssertSqlSafe(format!("SELECT count(*) FROM findings WHERE {matching}"));
            from_sql(scalar!(&mut *tx, i64, sql, volume_id, state, kind, search)?)
        }
    };
    // The names come from the index alone, from where the page before ended.
    let sql = AssertSqlSafe(format!(
        "{ROW} WHERE volume_id = $1 AND (path, kind) IN (SELECT path, kind FROM findings \
         WHERE {matching} AND (path, kind) > ($5, $6) ORDER BY path, kind LIMIT $7) ORDER BY path, kind"
    ));
    let one_more = i64::from(limit) + 1;
    let mut rows =
        fetch_all!(tx, Raw, sql, volume_id, state, kind, search, &after.path, &after.kind, one_more)?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| Place::of(row).to_string());
    let findings = rows.into_iter().map(FindingView::try_from).collect::<sqlx::Result<_>>()?;
    Ok(Ok(FindingsPage { findings, total, next }))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"after\" is not the \"next\" of an earlier page; leave it out for the first page")]
pub struct BadPage;

async fn close(
    tx: &mut Tx,
    volume_id: i64,
    paths: impl Iterator<Item = &[u8]> + Send,
    state: FindingState,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let paths: Vec<&[u8]> = paths.collect();
    // What was dismissed is over as well once the file is there again: if it is lost anew, that is news.
    let closable = if state == FindingState::Resolved { "'open', 'dismissed'" } else { OPEN };
    let (Some(first), Some(last)) = (paths.iter().min(), paths.iter().max()) else { return Ok(0) };
    // Of most files nothing was ever found: nobody is held up for them, and they are not looked up one by one.
    let sql = AssertSqlSafe(format!(
        "SELECT count(*) FROM (SELECT 1 AS one FROM findings WHERE volume_id = $1 AND state IN ({closable}) \
         AND path >= $2 AND path <= $3 LIMIT 1) AS found"
    ));
    if scalar!(&mut *tx, i64, sql, volume_id, *first, *last)? == 0
        || figures::among(tx, volume_id, &paths, closable).await?.is_empty()
    {
        return Ok(0);
    }
    tx.one_at_a_time(volume_id).await?;
    let open = figures::among(tx, volume_id, &paths, OPEN).await?;
    figures::add(tx, volume_id, open.into_iter().map(|(kind, count)| (kind, -count)).collect()).await?;
    let sql = AssertSqlSafe(format!(
        "UPDATE findings SET state = $1, resolved_at = $2 WHERE volume_id = $3 AND state IN ({closable}) AND {}",
        tx.among("path", 4)
    ));
    execute!(tx, sql, state.as_str(), now, volume_id, paths.into_iter().collect::<Paths>())
}

/// Where a page ended: the finding that was its last.
#[derive(Default)]
struct Place {
    path: Vec<u8>,
    kind: String,
}

impl Place {
    fn of(row: &Raw) -> Self {
        Self { path: row.path.clone(), kind: row.kind.clone() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (path, kind) = text.split_once('.')?;
        let kind: FindingKind = kind.parse().ok()?;
        Some(Self { path: FilePath::from_hex(path).ok()?.into_bytes(), kind: kind.as_str().to_owned() })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", hex(&self.path), self.kind)
    }
}

const ROW: &str = "SELECT path, kind, state, size, detail, seen_at FROM findings";

#[derive(sqlx::FromRow)]
struct Raw {
    path: Vec<u8>,
    kind: String,
    state: String,
    size: i64,
    detail: String,
    seen_at: DateTime<Utc>,
}

impl Raw {
    fn words(&self) -> sqlx::Result<(FindingKind, FindingState)> {
        let id = salvor_domain::path::shown(&self.path);
        let kind = self.kind.parse().map_err(|why| bad_row("findings", "kind", &id, why))?;
        let state = self.state.parse().map_err(|why| bad_row("findings", "state", &id, why))?;
        Ok((kind, state))
    }
}

impl TryFrom<Raw> for FindingView {
    type Error = sqlx::Error;

    fn try_from(raw: Raw) -> sqlx::Result<Self> {
        let (kind, state) = raw.words()?;
        let path = stored_path("findings", raw.path)?;
        Ok(Self {
            path_hex: path.to_hex(),
            path: path.to_string(),
            kind,
            state,
            seen_at: raw.seen_at,
            size: from_sql(raw.size),
            detail: raw.detail,
        })
    }
}
