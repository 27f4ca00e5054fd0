//! Whether the folders of a job are still the places that they were: asked before each segment, so that a disk that is not mounted
//! is neither called empty nor filled.
//!
//! Invariants: the mark that a place gets is in the database before it is on the disk, so that two workers write the same one;
//! a copy is marked only by jobs that write to it; nothing is marked in a dry run, nor by a check of a volume that is not
//! `normal`.

use std::path::Path;

use futures_util::future::join_all;
use salvor_domain::identity::{Doubt, Identity, Sight, judge};
use salvor_domain::job::{JobKind, JobRequest};
use salvor_domain::volume::Mode;
use salvor_engine::MarkKind;

use crate::clock::random_hex;
use crate::restore::hands::{self, Hands};
use crate::restore::work::{Copy, Work};
use crate::volumes::reach::{self, Away};
use crate::volumes::{catalogue, store as volumes};

/// The volume's folder.
pub async fn confirm_volume(work: &Work, hands: &Hands) -> Result<(), String> {
    let may_mark = work.place.volume.mode.mode() == Mode::Normal || work.job.kind() == JobKind::Restore;
    let may_mark = may_mark && !work.job.request.adopts();
    confirm(work, hands, None, may_mark && !work.job.dry_run).await
}

/// The folder of a copy; `to_write` when the job writes to it.
pub async fn confirm_copy(work: &Work, hands: &Hands, copy: &Copy, to_write: bool) -> Result<(), String> {
    confirm(work, hands, Some(copy), to_write && !work.job.dry_run).await
}

/// Comes back, with the reason, when a folder that the segment works in has fallen silent: whoever waits for a file in it would
/// wait for as long as its file system hangs.
pub async fn silence(work: &Work) -> String {
    let (folders, patience) = (worked_in(work), work.core.patience.job);
    loop {
        tokio::time::sleep(patience / 2).await;
        if let Some(host) = &work.place.config.host {
            match hands::see(&work.core.agents, host, &work.place.volume.name, patience).await {
                Err(Away::Silent(why)) => return why,
                Ok(_) | Err(Away::Gone(_)) => continue,
            }
        }
        let looks = folders.iter().map(|folder| reach::sight(folder, MarkKind::Volume, patience));
        let silent = |look| match look {
            Err(Away::Silent(why)) => Some(why),
            // That one is away is the drivers' to notice.
            Ok(_) | Err(Away::Gone(_)) => None,
        };
        if let Some(why) = join_all(looks).await.into_iter().find_map(silent) {
            return why;
        }
    }
}

/// The folders that a job cannot go on without. A restore, and a drill, go on without a copy that hangs.
fn worked_in(work: &Work) -> Vec<&Path> {
    let volume = work.place.config.path.as_path();
    match &work.job.request {
        // The volume of a disk check is not mounted.
        JobRequest::Drill { .. } | JobRequest::DiskCheck {} => Vec::new(),
        JobRequest::Restore { to_folder: Some(folder), .. } => vec![Path::new(folder)],
        JobRequest::Restore { .. } | JobRequest::Check { .. } | JobRequest::Reunite { .. } => vec![volume],
        JobRequest::Protect { to, adopt } => {
            let is_wanted = |copy: &&Copy| match adopt {
                Some(adopted) => *adopted == copy.config.name,
                None => to.is_empty() || to.contains(&copy.config.name),
            };
            let copies = work.place.copies.iter().filter(is_wanted);
            std::iter::once(volume).chain(copies.filter_map(|copy| copy.config.place.folder())).collect()
        }
    }
}

async fn confirm(work: &Work, hands: &Hands, copy: Option<&Copy>, may_mark: bool) -> Result<(), String> {
    let kind = if copy.is_some() { MarkKind::Copy } else { MarkKind::Volume };
    let (shown, patience) = (hands.shown(), work.core.patience.job);
    let sight = hands.sight(kind, patience).await?;
    let asked = ask(work, copy, &sight).await.map_err(|error| format!("the database: {error}"))?;
    let (known, doubt) = asked;
    if let Some(doubt) = doubt {
        return Err(format!("{}; {}", doubt.words(&shown), advice(work, copy)));
    }
    if is_settled(&known, &sight, may_mark) {
        return Ok(());
    }
    let mark =
        record(work, copy, &sight, may_mark).await.map_err(|error| format!("the database: {error}"))?;
    if let Some(mark) = mark.filter(|_| may_mark && sight.mark.is_none())
        && let Err(fault) = hands.set_mark(kind, &mark, patience).await
    {
        // The job says soon enough what is wrong with the disk; the place is known by its file system meanwhile.
        tracing::debug!(%fault, %shown, "a place could not be marked");
    }
    Ok(())
}

/// What is remembered of the place, and what speaks against its being that.
async fn ask(
    work: &Work,
    copy: Option<&Copy>,
    sight: &Sight,
) -> sqlx::Result<(Option<Identity>, Option<Doubt>)> {
    let (volume, bit) = (work.place.volume.id, copy.map(|copy| copy.row.bit));
    let mut tx = work.core.db.read().await?;
    let known = volumes::identity(&mut tx, volume, bit).await?;
    let doubt = match judge(known.as_ref(), sight) {
        Ok(()) => None,
        // It may well be empty where nothing should be.
        Err(Doubt::Bare) if !catalogue::has_any(&mut tx, volume, bit).await? => None,
        // Nor is anything known to have been there, when it was never marked; and who adopts fills nothing.
        Err(Doubt::Bare)
            if work.job.request.adopts() && known.as_ref().is_none_or(|known| known.mark.is_none()) =>
        {
            None
        }
        Err(doubt) => Some(doubt),
    };
    Ok((known, doubt))
}

fn is_settled(known: &Option<Identity>, sight: &Sight, may_mark: bool) -> bool {
    let Some(known) = known else { return false };
    // A person's word is for whoever may mark the place; others only look.
    if known.replaced && !may_mark {
        return true;
    }
    let is_marked = match &sight.mark {
        Some(_) => known.mark == sight.mark,
        None => !may_mark,
    };
    is_marked && !known.replaced && known.file_system == Some(sight.file_system)
}

/// Remembers what was seen; gives the mark that the place has or is to get.
async fn record(
    work: &Work,
    copy: Option<&Copy>,
    sight: &Sight,
    may_mark: bool,
) -> sqlx::Result<Option<String>> {
    let (volume, bit) = (&work.place.volume, copy.map(|copy| copy.row.bit));
    let mut tx = work.core.db.begin().await?;
    volumes::volume_to_change(&mut tx, &volume.name).await?;
    let known = volumes::identity(&mut tx, volume.id, bit).await?.unwrap_or_default();
    let before = known.mark.filter(|_| !known.replaced);
    let new = || may_mark.then(random_hex::<16>);
    let mark = sight.mark.clone().or(before).or_else(new);
    let seen = Identity { mark: mark.clone(), file_system: Some(sight.file_system), replaced: false };
    volumes::set_identity(&mut tx, volume.id, bit, &seen).await?;
    tx.commit().await?;
    Ok(mark)
}

fn advice(work: &Work, copy: Option<&Copy>) -> String {
    let volume = &work.place.volume.name;
    match copy {
        None => format!("mount it, or if it is a new, empty one, say so: salvor restore {volume} --replaced"),
        Some(copy) => format!(
            "mount it, or if it is a new, empty one, say so: salvor protect {volume} --replaced {}",
            copy.config.name
        ),
    }
}
