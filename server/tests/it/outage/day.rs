//! The whole day on ext4: its metadata is destroyed while it serves; the volume trips, goes offline, its disk is checked, nameless files
//! are reunited, the rest comes from the copies, the gate opens.

use std::collections::BTreeSet;

use super::*;

/// Files that the disk lost for good: of what lies nameless after its check, so many are taken away.
const GONE: usize = 4;
const GALLERY: &str = "/anna/gallery 1";

/// What is destroyed beneath the mounted file system.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    /// The block with the names in one folder.
    Names,
    /// The block of the inode table with that folder in it, and its neighbours.
    Inodes,
    /// What tells which blocks are free: no file is lost.
    Bitmaps,
}

impl Place {
    fn destroy(&self, damage: Damage) {
        forget_caches();
        let disk = self.disk();
        match damage {
            Damage::Names => disk.forget(GALLERY),
            Damage::Inodes => disk.destroy(disk.inode_block(GALLERY)),
            Damage::Bitmaps => disk.block_bitmaps().into_iter().for_each(|block| disk.destroy(block)),
        }
    }

    /// What a customer does, by which the kernel notices it; only what is destroyed decides what comes of it.
    fn visit(&self) {
        let gallery = self.at("mnt").join(&GALLERY[1..]);
        let _ = std::fs::read_dir(gallery).map(Iterator::count);
        let _ = std::fs::write(self.at("mnt/iris/visit"), vec![7; 9_000]);
        let _ = std::fs::remove_file(self.at("mnt/iris/visit"));
    }

    /// Some files are gone for good, and one of them is in no copy either: that one's path. Gives it with how many files are not in
    /// their place.
    fn lose_some_for_good(&self, before: &Files) -> (String, usize) {
        for nameless in std::fs::read_dir(self.at("mnt/lost+found")).unwrap().take(GONE) {
            std::fs::remove_file(nameless.unwrap().path()).unwrap();
        }
        let there: BTreeSet<Vec<u8>> = tree(&self.at("mnt")).into_values().map(|(bytes, ..)| bytes).collect();
        let (path, _) = before.iter().find(|(_, (bytes, ..))| !there.contains(bytes)).unwrap();
        for copy in ["local", "offsite"] {
            std::fs::remove_file(self.at(copy).join(path)).unwrap();
        }
        let after = self.files();
        let lost = before.keys().filter(|path| !after.contains_key(*path)).count();
        (path.display().to_string(), lost)
    }
}

fn day(damage: Damage, options: &str) {
    let Some(mut place) = Place::on_ext4(options) else { return };
    place.fill();
    place.done(&["protect", "uploads"]);
    // Else the journal still has what is about to be destroyed, and e2fsck would put it back from there.
    place.disk().unmount();
    assert!(place.disk().mount(&format!("{options},noatime")));
    let mut before = place.files();
    place.serve();

    let hit = Instant::now();
    place.destroy(damage);
    place.visit();
    place.trips_after(hit);
    let incidents = place.json(&["incident", "list", "--json"]);
    assert!(incidents.to_string().contains("\"draft\":true"), "{incidents}");
    if options == "errors=continue" {
        let upload = place.at("mnt/iris/upload");
        std::fs::write(&upload, "the kernel does not refuse it").unwrap();
        std::fs::remove_file(upload).unwrap();
    }

    place.set_mode("failover");
    place.disk().unmount();
    let checked = place.json(&["disk-check", "uploads", "--json"]);
    assert_eq!(checked["disk_check"]["verdict"], "repaired", "{checked}");
    assert!(place.disk().mount(options));
    let hopeless = (damage != Damage::Bitmaps).then(|| place.lose_some_for_good(&before));
    place.set_mode("read-only");
    assert!(place.refused().contains("full check"));

    if let Some((hopeless, lost)) = &hopeless {
        let reunited = place.json(&["reunite", "uploads", "--json"]);
        let nameless = reunited["files"]["done"].as_u64().unwrap() as usize;
        // The inodes beside it may be those of other folders.
        let expected = if damage == Damage::Names { 20 - GONE..=20 - GONE } else { 1..=*lost };
        assert!(expected.contains(&nameless) && reunited["files"]["failed"] == 0, "{reunited}");
        let restored = place.json(&["restore", "uploads", "--json"]);
        let failures = restored["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 1, "{restored}");
        assert_eq!(failures[0]["path"], **hopeless, "what no copy had is listed by name");
        assert_eq!(restored["files"]["done"], lost - nameless - 1, "{restored}");
        let (found, code) = place.says(&["check", "uploads", "--full"]);
        assert!(code == 1 && found.contains("1 missing"), "{found}");
        assert!(place.refused().contains("1 file is missing"));
        // Its owner is told, and lets it go.
        let gone = json!({ "path": hopeless });
        let answer = place.call("POST /api/v1/volumes/uploads/tombstones", Some(&gone));
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        assert!(before.remove(Path::new(hopeless)).is_some());
    } else {
        place.done(&["check", "uploads", "--full"]);
    }
    place.back_to_normal();
    assert!(place.files() == before, "a file is not what it was");
}

#[test]
fn names_are_destroyed_and_every_file_that_any_copy_had_is_back() {
    day(Damage::Names, "errors=remount-ro");
}

#[test]
fn inodes_are_destroyed_and_only_safety_mode_stops_the_writes() {
    day(Damage::Inodes, "errors=continue");
}

#[test]
fn bitmaps_are_destroyed_and_no_file_is_lost() {
    day(Damage::Bitmaps, "errors=remount-ro");
}
