//! The same for a reunite: every file has lost its name, and whoever gives the names back is killed again and again.

use super::house::{self, House, shown};
use super::own;
use crate::support::jobs::tree;

#[test]
fn a_killed_reunite_goes_on_and_loses_nothing() {
    let kills = house::variable("SALVOR_TEST_KILLS").unwrap_or(10).div_ceil(3);
    let mut house = House::new(kills);
    house.write_files(1);
    let protected = house.run(&["protect", "uploads"]);
    assert!(protected.status.success(), "{}", shown(&protected.stdout));
    let before = own(tree(&house.at("files")));
    while house.kills_left() > 0 {
        let left = house.kills_left();
        let lost = house.at("files/lost+found");
        std::fs::create_dir_all(&lost).unwrap();
        // Files without names, and folders that lost only their own.
        for (number, path) in before.keys().enumerate() {
            let whole_folder = path.to_string_lossy().contains('7');
            if !whole_folder {
                std::fs::rename(house.at("files").join(path), lost.join(format!("#{number}"))).unwrap();
            }
        }
        for (number, entry) in std::fs::read_dir(house.at("files")).unwrap().map(Result::unwrap).enumerate() {
            if entry.file_name().to_string_lossy().starts_with("site") {
                std::fs::rename(entry.path(), lost.join(format!("#{}", 1_000_000 + number))).unwrap();
            }
        }
        assert!(own(tree(&house.at("files"))).keys().all(|path| path.starts_with("lost+found")));
        let report = house.through_kills(&["reunite", "uploads"], |house, job| {
            let now = own(tree(&house.at("files")));
            assert_eq!(now.len(), before.len(), "each file is there once, at home or nameless");
            for path in house.recorded_as_done(job) {
                assert!(now.get(&path) == before.get(&path), "called restored: {}", path.display());
            }
            for (path, file) in now.iter().filter(|(path, _)| !path.starts_with("lost+found")) {
                assert!(before.get(path) == Some(file), "at home, and not as it was: {}", path.display());
            }
        });
        assert_eq!(
            (&report["files"]["failed"], &report["findings"]["orphan"]),
            (&0.into(), &0.into()),
            "{report}"
        );
        assert!(own(tree(&house.at("files"))) == before, "a file is not what it was");
        if house.kills_left() == left {
            break;
        }
    }
    house.no_litter();
    let full = house.run(&["check", "uploads", "--full"]);
    assert_eq!(full.status.code(), Some(0), "{}", shown(&full.stdout));
    eprintln!("{}", house.tally());
}
