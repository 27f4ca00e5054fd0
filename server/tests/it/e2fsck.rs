//! The outage itself: an ext4 whose directory blocks are overwritten and which `e2fsck` then repairs, so that files lie
//! nameless in its `lost+found`; the real program brings all of them back. Takes root, for loop mounts.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::jobs::tree;

/// A disk in a file, mounted or not.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a word to the reader, where a file system cannot be made or mounted.
    fn new() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.at("mnt")).unwrap();
        std::fs::File::create(disk.at("image")).unwrap().set_len(48 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-b", "1024"]).arg(disk.at("image")).output();
        if !made.is_ok_and(|output| output.status.success()) || !disk.mount() {
            eprintln!("skipped: an ext4 cannot be made and mounted here (it takes e2fsprogs and root)");
            return None;
        }
        Some(disk)
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mount(&self) -> bool {
        let mounted =
            Command::new("mount").args(["-o", "loop"]).arg(self.at("image")).arg(self.at("mnt")).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    fn unmount(&self) {
        let done = Command::new("umount").arg(self.at("mnt")).output().unwrap();
        assert!(done.status.success(), "{}", shown(&done.stderr));
    }

    /// Overwrites the blocks of a directory: the names in it are lost, and nothing else.
    fn forget(&self, directory: &str) {
        let asked = format!("blocks \"{directory}\"");
        let told = Command::new("debugfs").args(["-R", &asked]).arg(self.at("image")).output().unwrap();
        let blocks: Vec<u64> =
            shown(&told.stdout).split_whitespace().map(|block| block.parse().unwrap()).collect();
        assert!(!blocks.is_empty(), "{directory}: {}", shown(&told.stderr));
        let image = std::fs::File::options().write(true).open(self.at("image")).unwrap();
        for block in blocks {
            image.write_all_at(&[0xAA; 1024], block * 1024).unwrap();
        }
    }

    fn repair(&self) {
        let done = Command::new("e2fsck").arg("-fy").arg(self.at("image")).output().unwrap();
        assert_eq!(
            done.status.code(),
            Some(1),
            "it had something to repair, and did: {}",
            shown(&done.stdout)
        );
    }

    fn salvor(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
        command.arg("--config").arg(self.at("salvor.toml")).args(args).env("SALVOR_LOG", "error");
        command.stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A test that failed may still hold files open: detach.
        let _ = Command::new("umount").arg("-l").arg(self.at("mnt")).output();
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
    let Some(disk) = Disk::new() else { return };
    let root = disk.at(volume);
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir(disk.at("local")).unwrap();
    let config = format!(
        "[server]\ndata_dir = \"data\"\n[[volume]]\nname = \"uploads\"\npath = \"{volume}\"\n[[volume.copy]]\n\
         name = \"local\"\nkind = \"fs\"\nplacement = \"onsite\"\npath = \"local\"\n"
    );
    std::fs::write(disk.at("salvor.toml"), config).unwrap();
    for site in ["anna", "rose", "iris"] {
        for number in 0..60 {
            let folder = root.join(site).join(format!("gallery {}", number % 3));
            std::fs::create_dir_all(&folder).unwrap();
            let bytes: Vec<u8> =
                (0..1_500 + number * 13).map(|at| (at * (number + site.len()) % 251) as u8).collect();
            std::fs::write(folder.join(format!("p{number}.jpg")), bytes).unwrap();
        }
    }
    let protected = disk.salvor(&["protect", "uploads"]);
    assert!(protected.status.success(), "{} {}", shown(&protected.stdout), shown(&protected.stderr));
    let files = |root: &Path| {
        let mut all = tree(root);
        all.retain(|path, _| !path.starts_with("lost+found"));
        all
    };
    let before = files(&root);
    assert_eq!(before.len(), 180);

    disk.unmount();
    let within = volume.strip_prefix("mnt").unwrap();
    // The names of files, and the names of two folders with their files in them.
    disk.forget(&format!("{within}/anna/gallery 1"));
    disk.forget(&format!("{within}/rose"));
    disk.repair();
    assert!(disk.mount());
    let lost = before.len() - files(&root).len();
    assert_eq!(lost, 20 + 60, "their names are lost, and they are all there");
    // Nothing can come from the copy.
    for site in ["anna", "rose", "iris"] {
        std::fs::remove_dir_all(disk.at("local").join(site)).unwrap();
    }

    let job = json(&disk.salvor(&[how, "uploads", "--json"]));
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
    let full = disk.salvor(&["check", "uploads", "--full"]);
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
