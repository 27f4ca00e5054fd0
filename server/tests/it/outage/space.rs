//! No room, or no inodes: said before it happens, and what waits for room goes on by itself.

use super::*;

/// How much of an ext4 of this size is left.
fn left(place: &Place) -> (u64, u64, u64) {
    let stat = rustix::fs::statvfs(&place.disk().point).unwrap();
    (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize, stat.f_ffree)
}

impl Place {
    /// On an ext4 with so many inodes.
    fn on_small(inodes: &str) -> Option<Self> {
        Self::new("e2fsck", |at| {
            let disk = LoopDisk::new(&at.join("image"), &at.join("mnt"), 24)?;
            let made =
                disk.made("mkfs.ext4", &["-q", "-F", "-m", "0", "-N", inodes]) && disk.mount("defaults");
            made.then(|| vec![disk])
        })
    }

    fn lose_a_gallery(&self) {
        std::fs::remove_dir_all(self.at("mnt/anna/gallery 1")).unwrap();
    }

    /// It waits for room, and says so; with room it goes on although nobody says a word.
    fn restore_waits_for(&self, words: &str, make_room: impl FnOnce()) {
        let (said, code) = self.says(&["restore", "uploads", "--json"]);
        let report: Value = serde_json::from_str(said.lines().next().unwrap_or_default()).unwrap_or_default();
        assert!(code == 3 && said.contains(words), "{code}: {said}");
        assert_eq!(report["files"]["failed"], 0, "{said}");
        assert_eq!(self.mode()["mode"], "normal", "it is full, not ill");
        let answer = self.call("GET /api/v1/volumes/uploads/writable", None);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        make_room();
        let id = report["job"].as_str().unwrap();
        until("the restore has come to its end", || {
            let report = self.json(&["job", "show", id, "--json"]);
            if report["state"] == "finished" && report["files"]["failed"] == 0 { Ok(()) } else { Err(report) }
        });
    }
}

#[test]
fn without_room_it_warns_and_then_waits() {
    let Some(mut place) = Place::on_small("1024") else { return };
    let before = place.in_service();
    let ballast = place.at("mnt/ballast");
    let fill_up_to = |share: u64| {
        let (available, total, _) = left(&place);
        let file = std::fs::File::options().create(true).append(true).open(&ballast).unwrap();
        let (at, more) = (file.metadata().unwrap().len(), available - total * share / 1_000);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), at, more).unwrap();
    };
    fill_up_to(40);
    let warned = place.until_signal("it is a warning", "space", |signal| signal["level"] == "warning");
    assert!(warned["reason"].to_string().contains("are free (4.0 %): delete files"), "{warned}");
    fill_up_to(10);
    let full = place.until_signal("it is critical", "space", |signal| signal["level"] == "critical");
    assert!(full["stops_writes"] == false, "{full}");
    place.lose_a_gallery();
    fill_up_to(1);
    place.restore_waits_for("is full", || std::fs::remove_file(&ballast).unwrap());
    assert!(place.files() == before);
}

#[test]
fn without_inodes_it_is_critical_although_there_is_room() {
    let Some(mut place) = Place::on_small("320") else { return };
    let before = place.in_service();
    place.lose_a_gallery();
    let ballast = place.at("mnt/ballast");
    std::fs::create_dir(&ballast).unwrap();
    let mut files = (0..).map(|at| std::fs::write(ballast.join(at.to_string()), ""));
    let full = files.find_map(Result::err).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let (available, total, inodes) = left(&place);
    assert!(inodes == 0 && available > total / 2);
    let full = place.until_signal("it is critical", "space", |signal| signal["level"] == "critical");
    assert!(full["reason"].to_string().contains("inodes"), "{full}");
    place.restore_waits_for("inodes are free", || std::fs::remove_dir_all(&ballast).unwrap());
    assert!(place.files() == before);
}
