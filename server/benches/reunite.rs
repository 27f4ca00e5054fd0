//! A volume whose files have all lost their names gets them back. Their bytes must be read once, as `b3sum` reads them; what a
//! reunite takes beyond that is its own.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::Outcome;
use crate::harness::{Contest, Contestant, Tree, has, median, name_of};
use crate::place::{Place, Room};
use crate::settings::Settings;
use crate::table::{Figure, Report};

/// In a second, beyond the hashing.
const TARGET_FILES: f64 = 50_000.0;
/// Less than this tells nothing.
const LEAST_SECONDS: f64 = 0.001;

pub fn run(settings: &Settings) -> Outcome<Report> {
    let Settings { files, bytes, rounds, .. } = *settings;
    let room = Room { bytes: files * bytes.next_multiple_of(4_096) * 2, files: files * 2, block: 4_096 };
    let place = Place::find(settings.folder.as_deref(), &room)?;
    let tree = Tree::with_folder(settings, &place.folder().join("reunite"))?;
    tree.fill(files, bytes)?;
    tree.run(&tree.salvor("protect bench"))?;
    std::fs::create_dir(lost(&tree))?;

    let mut contestants = vec![Contestant::new("salvor reunite", tree.salvor("reunite bench"))];
    if has("b3sum") {
        // On every processor, as Salvor does it: what is left must not be their number.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let lost = tree.shown("volume/lost+found");
        contestants.push(Contestant::new(
            "b3sum of the same files",
            format!(
                "find {lost} -type f -print0 | xargs -0 -n 500 -P {processors} b3sum --no-names --num-threads 1 >/dev/null"
            ),
        ));
    }
    let mut contest = Contest { title: "reunite", files, contestants };
    contest.hold(&tree, rounds, || lose_names(&tree, files))?;

    let mut report = Report::new("Reunite");
    report.say(format!("{files} nameless files of {bytes} bytes; median of {rounds} rounds."));
    report.add_contest(&contest);
    if let [ours, hashing] = contest.contestants.as_slice() {
        let beyond = (median(ours.seconds()) - median(hashing.seconds())).max(LEAST_SECONDS);
        report.say(format!("Beyond the hashing a reunite takes {beyond:.3} s."));
        let rate = files as f64 / beyond;
        report.figures.push(Figure::at_least("reunite: beyond the hashing", rate, "files/s", TARGET_FILES));
    }
    Ok(report)
}

fn lost(tree: &Tree) -> PathBuf {
    tree.at("volume/lost+found")
}

/// As after a file system's check: every file lies in lost+found under a number. Where they lie there still, they stay.
fn lose_names(tree: &Tree, files: u64) -> Outcome<()> {
    let lost = lost(tree);
    let mut moved = 0;
    for number in 0..files {
        let named = tree.at("volume").join(name_of(number));
        match std::fs::rename(named, lost.join(format!("#{}", 1_000_000 + number))) {
            Ok(()) => moved += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    if moved != 0 && moved != files {
        return Err(format!("only {moved} of {files} files had got their names back").into());
    }
    tree.sync()
}
