//! Whether the folders of a job are still the places that they were: asked before each segment, so that a disk that is not mounted
//! is neither called empty nor filled.
//!
//! Invariants: the mark that a place gets is in the database before it is on the disk, so that two workers write the same one;
//! a copy is marked only by jobs that write to it; nothing is marked in a dry run, nor by a check of a volume that is not
//! `normal`.

use std::sync::Arc;

use salvor_domain::identity::{Doubt, Identity, Sight, judge};
use salvor_domain::job::JobKind;
use salvor_domain::volume::Mode;
use salvor_engine::{MarkKind, Root};

use crate::clock::random;
use crate::restore::work::{Copy, Halt, Work};
use crate::volumes::{catalogue, store as volumes};

/// The volume's folder.
pub async fn confirm_volume(work: &Work, root: &Arc<Root>) -> Result<(), String> {
    let may_mark = work.place.volume.mode.mode() == Mode::Normal || work.job.kind() == JobKind::Restore;
    let may_mark = may_mark && !work.job.request.adopts();
    confirm(work, root, None, may_mark && !work.job.dry_run).await
}

/// The folder of a copy; `to_write` when the job writes to it.
pub async fn confirm_copy(work: &Work, root: &Arc<Root>, copy: &Copy, to_write: bool) -> Result<(), String> {
    confirm(work, root, Some(copy), to_write && !work.job.dry_run).await
}

async fn confirm(work: &Work, root: &Arc<Root>, copy: Option<&Copy>, may_mark: bool) -> Result<(), String> {
    let kind = if copy.is_some() { MarkKind::Copy } else { MarkKind::Volume };
    let looked = {
        let root = root.clone();
        tokio::task::spawn_blocking(move || root.sight(kind)).await
    };
    let shown = root.path().display();
    let sight = looked
        .map_err(|broken| Halt::panicked(broken).to_string())?
        .map_err(|fault| format!("the folder {shown} cannot be looked at: {fault}"))?;
    let asked = ask(work, copy, &sight).await.map_err(|error| format!("the database: {error}"))?;
    let (known, doubt) = asked;
    if let Some(doubt) = doubt {
        return Err(format!("{}; {}", doubt.words(&shown.to_string()), advice(work, copy)));
    }
    if is_settled(&known, &sight, may_mark) {
        return Ok(());
    }
    let mark =
        record(work, copy, &sight, may_mark).await.map_err(|error| format!("the database: {error}"))?;
    if let Some(mark) = mark.filter(|_| may_mark && sight.mark.is_none()) {
        let root = root.clone();
        let marked = tokio::task::spawn_blocking(move || root.set_mark(kind, &mark)).await;
        if let Ok(Err(fault)) = marked {
            // The job says soon enough what is wrong with the disk; the place is known by its file system meanwhile.
            tracing::debug!(%fault, %shown, "a place could not be marked");
        }
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
    let new = || may_mark.then(|| random::<16>().iter().map(|byte| format!("{byte:02x}")).collect());
    let mark = sight.mark.clone().or(before).or_else(new);
    let seen = Identity { mark: mark.clone(), file_system: Some(sight.file_system), replaced: false };
    volumes::set_identity(&mut tx, volume.id, bit, &seen).await?;
    tx.commit().await?;
    Ok(mark)
}

fn advice(work: &Work, copy: Option<&Copy>) -> String {
    let volume = &work.place.volume.name;
    match copy {
        None => format!("mount it; if it is a new, empty one, say so: salvor restore {volume} --replaced"),
        Some(copy) => format!(
            "mount it; if it is a new, empty one, say so: salvor protect {volume} --replaced {}",
            copy.config.name
        ),
    }
}
