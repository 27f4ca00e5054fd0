//! A restore's progress in words and as a bar. The script of the page says the same in the same words
//! (`document/script.js`): change both.

use leptos::prelude::*;
use salvor_domain::units::{bytes, count, counted, duration_range};

use crate::incidents::port::PublicProgress;

/// One sentence: how far, how long still; never a figure without data (promise I10).
pub fn words(progress: &PublicProgress) -> String {
    let files = |n| counted(n, "file", "files");
    let (done, total) = (progress.files_done, progress.files_total);
    if progress.state == "finished" {
        // What became of the others, the figures do not tell: the incident's updates do.
        return match total {
            1 if done >= total => "Finished: the file is back and verified.".into(),
            _ if done >= total => format!("Finished: all {} are back and verified.", files(total)),
            _ => format!("Finished: {} of {} are back and verified.", count(done), files(total)),
        };
    }
    if progress.state == "planning" || total == 0 {
        return "We are working out which files to bring back, and from which backup.".into();
    }
    let far = format!(
        "{} of {} are back ({}\u{a0}%), {}",
        count(done),
        files(total),
        progress.percent,
        of(&bytes(progress.bytes_done), &bytes(progress.bytes_total))
    );
    if progress.state == "paused" {
        return format!("Paused: {far}. Nothing is lost, it goes on from here.");
    }
    match progress.eta {
        Some(eta) => format!("{far}; about {} to go.", duration_range(eta.low_seconds, eta.high_seconds)),
        None => format!("{far}; how long it still takes is not known yet."),
    }
}

/// `1.20 of 1.80 MB`: a unit that both share is said once.
fn of(done: &str, total: &str) -> String {
    let unit = total.find(' ').map_or("", |at| &total[at..]);
    format!("{} of {total}", done.strip_suffix(unit).unwrap_or(done))
}

/// `place` is the restore's index in the view: the script finds the bar by it.
pub(super) fn bar(progress: &PublicProgress, place: usize, heading: AnyView) -> AnyView {
    let unknown = progress.state == "planning" || progress.files_total == 0;
    let value = (!unknown).then(|| progress.percent.to_string());
    view! {
        <div class="restore stack" data-tone="info" data-restore=place.to_string()>
            {heading}
            <progress max="100" value=value aria-label="Files brought back"></progress>
            <p class="far">{words(progress)}</p>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::port::StatusView;

    #[test]
    fn progress_is_said_in_words() {
        let running = StatusView::sample().restores.remove(0);
        let paused = PublicProgress { state: "paused".into(), ..running.clone() };
        let blind = PublicProgress { eta: None, bytes_done: 900, ..running.clone() };
        let planning = PublicProgress { state: "planning".into(), files_total: 0, ..running.clone() };
        let finished = PublicProgress { state: "finished".into(), ..running.clone() };
        let all = PublicProgress { files_done: 1_234, files_total: 1_234, ..finished.clone() };
        let one = PublicProgress { files_done: 1, files_total: 1, ..finished.clone() };
        for (progress, expected) in [
            (running, "40 of 60 files are back (66\u{a0}%), 1.20 of 1.80 MB; about 12–25 s to go."),
            (
                paused,
                "Paused: 40 of 60 files are back (66\u{a0}%), 1.20 of 1.80 MB. Nothing is lost, it goes on from here.",
            ),
            (
                blind,
                "40 of 60 files are back (66\u{a0}%), 900 B of 1.80 MB; how long it still takes is not known yet.",
            ),
            (planning, "We are working out which files to bring back, and from which backup."),
            (finished, "Finished: 40 of 60 files are back and verified."),
            (all, "Finished: all 1,234 files are back and verified."),
            (one, "Finished: the file is back and verified."),
        ] {
            assert_eq!(words(&progress), expected);
        }
    }

    #[test]
    fn the_script_says_it_in_the_same_words() {
        for words in [
            "Finished: ",
            "the file is",
            "all ${files(p.files_total)} are",
            "back and verified.",
            "We are working out which files to bring back, and from which backup.",
            "are back (${p.percent}\\u00a0%), ",
            "Paused: ${far}. Nothing is lost, it goes on from here.",
            "about ${range(p.eta)} to go",
            "how long it still takes is not known yet",
        ] {
            assert!(crate::document::SCRIPT.contains(words), "{words}");
        }
    }
}
