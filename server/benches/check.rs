//! Full and quick checks of a volume where nothing is wrong.

use crate::Outcome;
use crate::harness::{Contest, Contestant, Tree, has};
use crate::place::{Place, Room};
use crate::settings::Settings;
use crate::table::Report;

/// Quick checks are short: more rounds cost little.
const QUICK_ROUNDS: usize = 3;
/// The other volume of the quick check, of files that fill one block.
const MANY: u64 = 5;
const SMALL: u64 = 400;

pub fn run(settings: &Settings) -> Outcome<Report> {
    let Settings { files, bytes, rounds, .. } = *settings;
    let each = bytes.next_multiple_of(4_096);
    let room = Room {
        bytes: files * each * 2 + files * MANY * 4_096 * 2,
        files: files * 2 * (1 + MANY),
        block: 4_096,
    };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let mut report = Report::new("Checks");
    for (name, files, bytes) in [("check", files, bytes), ("check-small", files * MANY, SMALL)] {
        let tree = Tree::with_folder(settings, &place.folder().join(name))?;
        tree.fill(files, bytes)?;
        tree.run(&tree.salvor("protect bench"))?;
        let (mut full, mut quick) = (full(&tree, files), quick(&tree, files));
        full.hold(&tree, rounds, || Ok(()))?;
        quick.hold(&tree, rounds * QUICK_ROUNDS, || Ok(()))?;
        report.say(format!(
            "{files} files of {bytes} bytes; median of {rounds} rounds of full checks, and {} of quick ones.",
            rounds * QUICK_ROUNDS
        ));
        report.add_contest(&full);
        report.add_contest(&quick);
    }
    // The same disciplines twice: say of which files.
    let half = report.figures.len() / 2;
    for (number, figure) in report.figures.iter_mut().enumerate() {
        let bytes = if number < half { bytes } else { SMALL };
        figure.what = figure.what.replacen(" check:", &format!(" check, {bytes} B:"), 1);
    }
    Ok(report)
}

fn full(tree: &Tree, files: u64) -> Contest {
    let (volume, copy) = (tree.shown("volume"), tree.shown("copy"));
    let mut contestants = vec![Contestant::new("salvor check --full", tree.salvor("check bench --full"))];
    if has("b3sum") {
        let b3sum = format!("find {volume} -type f -print0 | xargs -0 b3sum --no-names >/dev/null");
        contestants.push(Contestant::peer("b3sum", 0.9, b3sum));
    }
    if has("rclone") {
        // Reads both sides, having no catalogue.
        contestants.push(Contestant::peer(
            "rclone check",
            3.0,
            format!("rclone check --quiet --exclude '/.salvor/**' {copy} {volume}"),
        ));
    }
    Contest { title: "full check", files, contestants }
}

fn quick(tree: &Tree, files: u64) -> Contest {
    let (volume, copy) = (tree.shown("volume"), tree.shown("copy"));
    let mut contestants = vec![Contestant::new("salvor check", tree.salvor("check bench"))];
    contestants.push(Contestant::peer(
        "find -printf",
        0.5,
        format!("find {volume} -printf '%P %s %T@\\n' >/dev/null"),
    ));
    if has("rsync") {
        contestants.push(Contestant::peer(
            "rsync -an",
            3.0,
            format!("rsync -an --exclude=/.salvor {copy}/ {volume}/"),
        ));
    }
    Contest { title: "quick check", files, contestants }
}
