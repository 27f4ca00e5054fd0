//! A disk check as its job's report has it, and whether its process gives a sign of life.

use chrono::{DateTime, TimeDelta, Utc};
use salvor_domain::disk_check::DiskCheckReport;
use salvor_domain::ids::JobId;
use salvor_domain::units;

use crate::database::Tx;
use crate::restore::store::disk_checks::{self, DiskCheck, KEPT_AT_EACH_END};

/// Without a sign for so long, that is said.
const QUIET: TimeDelta = TimeDelta::minutes(2);
/// Lines of output, and bytes of each, that travel in a report.
const TAIL: u32 = 60;
const TAIL_BYTES: usize = 200;

/// The part of a report, as far as the job was planned.
pub async fn shown(tx: &mut Tx, job: JobId, now: DateTime<Utc>) -> sqlx::Result<Option<DiskCheckReport>> {
    let Some(check) = disk_checks::get(tx, job).await? else { return Ok(None) };
    let tail = disk_checks::tail(tx, job, TAIL).await?;
    let activity = activity(&check, now);
    Ok(Some(DiskCheckReport {
        tool: check.tool,
        command: check.command,
        device: check.device,
        round: check.round,
        pass: check.course.pass,
        percent: check.course.percent,
        exit_code: check.exit_code,
        verdict: check.verdict,
        summary: check.summary,
        output_lines: check.lines,
        output_left_out: check.lines.saturating_sub(2 * KEPT_AT_EACH_END),
        tail: tail.into_iter().map(|line| shortened(line, TAIL_BYTES)).collect(),
        cleared_entries: check.tally.cleared_entries,
        reconnected_inodes: check.tally.reconnected_inodes,
        activity,
        last_io_at: check.work.last_io_at,
        can_pause: check.can_pause,
    }))
}

/// What its process does: shown by its bytes and its use of the processor, since a tool may say nothing for hours.
fn activity(check: &DiskCheck, now: DateTime<Utc>) -> Option<String> {
    check.process?;
    let work = &check.work;
    let moved = match (work.read_bytes, work.written_bytes) {
        (0, 0) => String::new(),
        (read, 0) => format!(", {} read", units::bytes(read)),
        (read, written) => format!(", {} read, {} written", units::bytes(read), units::bytes(written)),
    };
    let is_fresh = |at: Option<DateTime<Utc>>| at.is_some_and(|at| now - at < QUIET);
    Some(match quiet(check, now) {
        None => format!("working{moved}"),
        Some(since) if is_fresh(work.last_work_at) => format!("computing, no I/O for {since}{moved}"),
        Some(since) => format!("no I/O for {since}{moved}"),
    })
}

/// For how long nothing was read or written, when that is long.
fn quiet(check: &DiskCheck, now: DateTime<Utc>) -> Option<String> {
    let quiet = now - check.work.last_io_at?;
    (quiet >= QUIET).then(|| units::duration(quiet.num_seconds() as f64))
}

/// At most so many bytes, cut between letters.
pub fn shortened(mut line: String, most: usize) -> String {
    if line.len() > most {
        line.truncate(line.floor_char_boundary(most));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use salvor_domain::disk_check::DiskTool;

    use super::*;
    use crate::restore::store::disk_checks::{Process, WorkDone};

    #[test]
    fn a_silent_process_is_not_called_working() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let mut check = DiskCheck::new(DiskTool::E2fsck, String::new(), String::new(), false);
        assert_eq!(activity(&check, now), None);
        check.process = Some(Process { pid: 7, ticks: 1 });
        let ago = |minutes| Some(now - TimeDelta::minutes(minutes));
        check.work =
            WorkDone { read_bytes: 12_000_000, written_bytes: 0, last_io_at: ago(1), last_work_at: ago(1) };
        assert_eq!(activity(&check, now).unwrap(), "working, 12.0 MB read");
        check.work.last_io_at = ago(3);
        assert_eq!(activity(&check, now).unwrap(), "computing, no I/O for 3 min, 12.0 MB read");
        check.work.last_work_at = ago(3);
        assert_eq!(activity(&check, now).unwrap(), "no I/O for 3 min, 12.0 MB read");
    }

    #[test]
    fn a_line_is_cut_between_letters() {
        assert_eq!(shortened("äöü".into(), 3), "ä…");
        assert_eq!(shortened("abc".into(), 3), "abc");
    }
}
