//! Everything back into an empty volume. Salvor verifies every byte and has it on the disk before it says so; the others
//! promise nothing about durability, so a `sync -f` follows them.

use crate::Outcome;
use crate::harness::{Contest, Contestant, Tree, has, quoted};
use crate::place::{Place, Room};
use crate::settings::Settings;
use crate::table::Report;

pub fn run(settings: &Settings) -> Outcome<Report> {
    let Settings { files, bytes, rounds, .. } = *settings;
    // The volume, its copy, and restic's repository.
    let each = bytes.next_multiple_of(4_096);
    let place = Place::find(
        settings.folder.as_deref(),
        &Room { bytes: files * each * 3, files: files * 2, block: 4_096 },
    )?;
    let tree = Tree::with_folder(settings, &place.folder().join("restore"))?;
    tree.fill(files, bytes)?;
    tree.run(&tree.salvor("protect bench"))?;

    let (volume, copy) = (tree.shown("volume"), tree.shown("copy"));
    // None of them touches the marks by which Salvor knows a volume from its copy.
    let sync = format!("sync -f {volume}");
    let mut contestants = vec![
        Contestant::new("salvor restore", tree.salvor("restore bench")),
        Contestant::peer("cp -a, sync", 1.0, format!("cp -a {copy}/site* {volume}/ && {sync}")),
    ];
    if has("rsync") {
        contestants.push(Contestant::peer(
            "rsync -a, sync",
            3.0,
            format!("rsync -a --exclude=/.salvor {copy}/ {volume}/ && {sync}"),
        ));
    }
    if has("rclone") {
        let rclone = format!(
            "rclone copy --quiet --transfers 16 --checkers 16 --exclude '/.salvor/**' {copy} {volume} && {sync}"
        );
        contestants.push(Contestant::peer("rclone copy, sync", 5.0, rclone));
    }
    if has("restic") {
        let restic =
            format!("restic --quiet --repo {} --cache-dir {}", tree.shown("restic"), tree.shown("cache"));
        tree.run(&format!("{restic} init && cd {copy} && {restic} backup site*"))?;
        contestants.push(Contestant::peer(
            "restic restore, sync",
            3.0,
            format!("{restic} restore latest --target {volume} && {sync}"),
        ));
    }
    let bench = quoted(&std::env::current_exe()?.display().to_string());
    contestants
        .push(Contestant::new("the file system alone", format!("{bench} raw {copy} {volume} --bench")));
    let mut contest = Contest { title: "restore", files, contestants };
    contest.hold(&tree, rounds, || tree.empty_volume())?;

    let mut report = Report::new("Restore");
    report.say(format!("{files} files of {bytes} bytes from an onsite copy; median of {rounds} rounds."));
    report.add_contest(&contest);
    Ok(report)
}
