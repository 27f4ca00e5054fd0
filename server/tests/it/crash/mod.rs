//! Kill -9 at random moments, in the midst of protect, check and restore: the real program, real files. After each kill the promises
//! hold as they are on the disk and in the database; and each job goes on and comes to its right end.
//!
//! `SALVOR_TEST_KILLS` sets how often there is killed (`make soak`: a thousand times); `SALVOR_TEST_SEED` repeats a run.

pub mod house;
mod reunite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use house::House;

use crate::support::jobs::{rot, tree};

type Tree = BTreeMap<PathBuf, (Vec<u8>, i64, i64, u32)>;

/// Corrupt files, deleted files, newer files of each outage.
const ROTTEN: usize = 3;
const DELETED: usize = 3;
const NEWER: usize = 3;

/// What an outage did, and what must hold through everything that comes.
struct Outage {
    /// As the owners left them.
    right: Tree,
    /// Bytes of files that turned bad where they are.
    rotten: BTreeMap<PathBuf, Vec<u8>>,
    deleted: Vec<PathBuf>,
    newer: Tree,
    copies: [Tree; 2],
}

#[test]
fn a_killed_job_goes_on_and_loses_nothing() {
    let kills = house::variable("SALVOR_TEST_KILLS").unwrap_or(10);
    let mut house = House::new(kills);
    let mut rounds = 0;
    while house.kills_left() > 0 || rounds == 0 {
        rounds += 1;
        protected(&mut house, rounds);
        let outage = break_down(&mut house, rounds);
        checked(&mut house, &outage);
        restored(&mut house, &outage);
        recovered(&mut house, &outage);
    }
    eprintln!("{}; {rounds} outages", house.tally());
}

/// Owners write new files, and they are protected. Half a copy is not seen as a whole one.
fn protected(house: &mut House, round: usize) {
    house.write_files(round);
    let right = own(tree(&house.at("files")));
    let before = ["local", "offsite"].map(|copy| (copy, own(tree(&house.at(copy)))));
    let report = house.through_kills(&["protect", "uploads"], |house, _| {
        for (copy, before) in &before {
            for (path, file) in own(tree(&house.at(copy))) {
                let is_whole = [&right, before].iter().any(|tree| tree.get(&path) == Some(&file));
                assert!(is_whole, "{copy}: half of {}", path.display());
            }
        }
    });
    assert_eq!(report["state"], "finished", "{report}");
    for copy in ["local", "offsite"] {
        let held = own(tree(&house.at(copy)));
        assert!(
            right.iter().all(|(path, file)| held.get(path) == Some(file)),
            "{copy} lacks files: {report}"
        );
        // What was recorded as done was not done again.
        let given = report["sources"][copy]["files"].as_u64().unwrap_or(0);
        assert!(given <= report["files"]["done"].as_u64().unwrap(), "{report}");
    }
    house.no_litter();
}

fn break_down(house: &mut House, round: usize) -> Outage {
    let files = house.at("files");
    let right = own(tree(&files));
    let mut paths: Vec<PathBuf> = right.keys().cloned().collect();
    let mut pick = |house: &mut House, count: usize| -> Vec<PathBuf> {
        (0..count).map(|_| paths.swap_remove((house.chance() * (paths.len() - 1) as f64) as usize)).collect()
    };
    let (rotten, deleted, newer) = (pick(house, ROTTEN), pick(house, DELETED), pick(house, NEWER));
    let lost = right.len() * 2 / 3;
    for path in pick(house, lost) {
        std::fs::remove_file(files.join(path)).unwrap();
    }
    let rotten = rotten.into_iter().map(|path| {
        rot(&files.join(&path));
        (path.clone(), std::fs::read(files.join(&path)).unwrap())
    });
    let rotten = rotten.collect();
    for path in &deleted {
        std::fs::remove_file(files.join(path)).unwrap();
        house.mark_deleted(path);
    }
    for path in &newer {
        std::fs::write(files.join(path), format!("written anew in round {round}")).unwrap();
    }
    let all = tree(&files);
    let newer = newer.into_iter().map(|path| (path.clone(), all[&path].clone())).collect();
    let copies = ["local", "offsite"].map(|copy| tree(&house.at(copy)));
    Outage { right, rotten, deleted, newer, copies }
}

fn checked(house: &mut House, outage: &Outage) {
    let before = tree(&house.at("files"));
    let report = house.through_kills(&["check", "uploads", "--full"], |_, _| {});
    assert!(tree(&house.at("files")) == before, "a check changes nothing");
    let found = &report["findings"];
    let lost = outage.right.len() * 2 / 3;
    assert_eq!(
        (found["missing"].as_u64(), found["corrupt"].as_u64()),
        (Some(lost as u64), Some(3)),
        "{report}"
    );
    assert_eq!(found["changed"], NEWER, "{report}");
}

fn restored(house: &mut House, outage: &Outage) {
    let report = house.through_kills(&["restore", "uploads"], |house, id| outage.holds(house, id));
    let wanted = outage.right.len() * 2 / 3 + ROTTEN;
    assert_eq!(
        (&report["state"], &report["files"]["done"]),
        (&"finished".into(), &wanted.into()),
        "{report}"
    );
    outage.holds(house, report["job"].as_str().unwrap());
    let files = own(tree(&house.at("files")));
    for (path, right) in &outage.right {
        if !outage.deleted.contains(path) && !outage.newer.contains_key(path) {
            assert!(files.get(path) == Some(right), "{} is not what it was", path.display());
        }
    }
    house.no_litter();
}

impl Outage {
    /// The promises, whatever was killed and whenever.
    fn holds(&self, house: &House, job: &str) {
        let files = tree(&house.at("files"));
        for (path, file) in files.iter().filter(|(path, _)| !path.starts_with(".salvor")) {
            let is_right = self.right.get(path) == Some(file);
            let is_rotten = self.rotten.get(path) == Some(&file.0);
            let is_newer = self.newer.get(path) == Some(file);
            assert!(
                is_right || is_rotten || is_newer,
                "I3: {} is neither right nor as it was",
                path.display()
            );
            assert!(!self.deleted.contains(path), "I4: {} came back", path.display());
        }
        for (path, newer) in &self.newer {
            assert!(files.get(path) == Some(newer), "I3: a newer file was lost: {}", path.display());
        }
        let kept: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with(".salvor/quarantine"))
            .map(|(_, file)| &file.0)
            .collect();
        for (path, bytes) in &self.rotten {
            let is_there = files.get(path).is_some_and(|file| file.0 == *bytes);
            assert!(is_there || kept.contains(&bytes), "I3: the corrupt {} was not kept", path.display());
        }
        for path in house.recorded_as_done(job) {
            assert!(
                self.right.get(&path) == files.get(&path),
                "I2: {} is not there and right",
                path.display()
            );
        }
        for (copy, before) in ["local", "offsite"].iter().zip(&self.copies) {
            assert!(tree(&house.at(copy)) == *before, "the copy {copy} was touched");
        }
    }
}

/// All is as before but for what owners did: they now delete what they had deleted, so that the next round begins well.
fn recovered(house: &mut House, outage: &Outage) {
    let found = house.report(&["check", "uploads", "--full", "--json"])["findings"].clone();
    let lost = ["missing", "corrupt", "unreadable"].map(|kind| found[kind].as_u64().unwrap());
    assert_eq!(lost, [0, 0, 0], "{found}");
    assert_eq!(outage.deleted.len(), DELETED);
}

/// What is not Salvor's own.
fn own(mut tree: Tree) -> Tree {
    tree.retain(|path, _| !path.starts_with(Path::new(".salvor")));
    tree
}
