//! The outage itself: an ext4 whose directory blocks are overwritten and which `e2fsck` then repairs, so that files lie
//! nameless in its `lost+found`; the real program brings all of them back. Takes root, for loop mounts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::disk::LoopDisk;
use crate::support::jobs::tree;
use crate::support::running::program;

/// A volume's disk, and the program on it.
struct House {
    disk: LoopDisk,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = LoopDisk::ext4(&folder.path().join("image"), &folder.path().join("mnt"), 48, "defaults")?;
        Some(Self { disk, folder })
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn repair(&self) {
        let done = Command::new("e2fsck").args(["-fy", &self.disk.device]).output().unwrap();
        assert_eq!(
            done.status.code(),
            Some(1),
            "it had something to repair, and did: {}",
            shown(&done.stdout)
        );
    }

    fn salvor(&self, args: &[&str]) -> Output {
        program(&self.at("salvor.toml"), args).output().unwrap()
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", shown(&output.stdout), shown(&output.stderr)))
}

/// The story with the volume at the root of the disk, or (`beneath`) in a folder of it, with lost+found outside the volume.
fn story(volume: &str, how: &str) {
    let Some(house) = House::new() else { return };
    let root = house.at(volume);
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir(house.at("local")).unwrap();
    let config = format!(
        "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"uploads\"\npath = \"{volume}\"\n[[volume.copy]]\n\
         name = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\n"
    );
    std::fs::write(house.at("salvor.toml"), config).unwrap();
    for site in ["anna", "rose", "iris"] {
        for number in 0..60 {
            let folder = root.join(site).join(format!("gallery {}", number % 3));
            std::fs::create_dir_all(&folder).unwrap();
            let bytes: Vec<u8> =
                (0..1_500 + number * 13).map(|at| (at * (number + site.len()) % 251) as u8).collect();
            std::fs::write(folder.join(format!("p{number}.jpg")), bytes).unwrap();
        }
    }
    let protected = house.salvor(&["protect", "uploads"]);
    assert!(protected.status.success(), "{} {}", shown(&protected.stdout), shown(&protected.stderr));
    let files = |root: &Path| {
        let mut all = tree(root);
        all.retain(|path, _| !path.starts_with("lost+found"));
        all
    };
    let before = files(&root);
    assert_eq!(before.len(), 180);

    house.disk.unmount();
    let within = volume.strip_prefix("mnt").unwrap();
    // The names of files, and the names of two folders with their files in them.
    house.disk.forget(&format!("{within}/anna/gallery 1"));
    house.disk.forget(&format!("{within}/rose"));
    house.repair();
    assert!(house.disk.mount("defaults"));
    let lost = before.len() - files(&root).len();
    assert_eq!(lost, 20 + 60, "their names are lost, and they are all there");
    // Nothing can come from the copy.
    for site in ["anna", "rose", "iris"] {
        std::fs::remove_dir_all(house.at("local").join(site)).unwrap();
    }

    let job = json(&house.salvor(&[how, "uploads", "--json"]));
    assert_eq!(
        (&job["state"], &job["files"]["done"], &job["files"]["failed"]),
        (&"finished".into(), &lost.into(), &0.into()),
        "{job}"
    );
    assert_eq!(
        (&job["sources"]["reunite"]["files"], &job["findings"]["orphan"]),
        (&lost.into(), &0.into()),
        "{job}"
    );
    let after = files(&root);
    assert!(after == before, "a file is not what it was");
    let full = house.salvor(&["check", "uploads", "--full"]);
    assert_eq!(full.status.code(), Some(0), "{}", shown(&full.stdout));
}

#[test]
fn a_repaired_ext4_is_whole_again_after_a_reunite() {
    story("mnt", "reunite");
}

#[test]
fn a_volume_in_a_folder_of_the_file_system_finds_the_lost_and_found_above_it() {
    story("mnt/srv/uploads", "reunite");
}

#[test]
fn a_restore_does_it_without_its_copies() {
    story("mnt", "restore");
}
