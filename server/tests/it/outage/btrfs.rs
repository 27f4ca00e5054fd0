//! btrfs over three devices that keeps everything twice: one is overwritten, one is removed, both copies of one file are corrupted; and
//! a scrub that is paused, resumed and cancelled.

use super::*;

impl Place {
    fn on_btrfs() -> Option<Self> {
        Self::new("btrfs_scrub", |at| {
            let disk = |number: usize| {
                LoopDisk::new(&at.join(format!("image{number}")), &mount_point(at, number), 200)
            };
            let disks = vec![disk(0)?, disk(1)?, disk(2)?];
            // mkfs is told the first one last: what it writes at first lies on the other end.
            let args = ["-q", "-f", "-d", "raid1", "-m", "raid1", &disks[1].device, &disks[2].device];
            (disks[0].made("mkfs.btrfs", &args) && disks[0].mount("defaults,noatime")).then_some(disks)
        })
    }

    /// Overwrites a file on both devices that have it.
    fn rot(&self, path: &str) {
        let path = self.at("mnt").join(path);
        let told = Command::new("filefrag").args(["-v", "-b4096"]).arg(&path).output().unwrap();
        let told = shown(&told.stdout);
        let first = told.lines().find(|line| line.trim_start().starts_with("0:")).unwrap();
        let block: u64 = first.split(':').nth(2).unwrap().trim().split("..").next().unwrap().parse().unwrap();
        let logical = (block * 4096).to_string();
        let told =
            Command::new("btrfs-map-logical").args(["-l", &logical, &self.disk().device]).output().unwrap();
        let told = shown(&told.stdout);
        let mut mirrors = 0;
        for words in told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()) {
            let after =
                |word: &str| words.iter().position(|other| *other == word).and_then(|at| words.get(at + 1));
            let (Some(offset), Some(device)) = (after("physical"), after("device")) else { continue };
            let disk = self.disks.iter().find(|disk| disk.device == **device).unwrap();
            disk.overwrite(offset.parse().unwrap(), 4096);
            mirrors += 1;
        }
        assert_eq!(mirrors, 2, "{told}");
    }

    fn scrub(&self) -> (Value, i32) {
        let output = self.command(&["disk-check", "uploads", "--json"]).output().unwrap();
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
    }
}

fn mount_point(at: &Path, number: usize) -> PathBuf {
    at.join(if number == 0 { "mnt".to_owned() } else { format!("mnt{number}") })
}

#[test]
fn what_a_mirror_has_right_is_mended_and_what_none_has_comes_from_a_copy() {
    let Some(mut place) = Place::on_btrfs() else { return };
    let before = place.in_service();
    forget_caches();
    // Behind the super blocks: without those a device is gone, which is another story.
    place.disks[2].overwrite(72 << 20, 100 << 20);
    place.disks[2].overwrite(2 << 20, 60 << 20);
    let (mended, code) = place.scrub();
    assert_eq!((code, &mended["disk_check"]["verdict"]), (0, &json!("repaired")), "{mended}");
    let counted = place.until_signal("its device is named", "btrfs", |signal| signal["level"] == "critical");
    assert!(counted["reason"].to_string().contains("devid 2 corruption_errs"), "{counted}");
    assert_eq!(place.mode()["mode"], "normal", "nothing is lost");

    place.set_mode("read-only");
    place.rot(LARGE);
    forget_caches();
    let (left, code) = place.scrub();
    assert_eq!((code, &left["disk_check"]["verdict"]), (1, &json!("damaged")), "{left}");
    assert!(
        left["disk_check"]["summary"].to_string().contains("run a full check, it names the files"),
        "{left}"
    );
    let (found, code) = place.says(&["check", "uploads", "--full"]);
    assert!(code == 1 && found.contains("1 unreadable"), "{found}");
    let findings = place.call("GET /api/v1/volumes/uploads/findings", None);
    assert!(findings.contains(LARGE), "{findings}");
    let open = place.refused();
    assert!(open.contains("did not end well") && open.contains("1 file is unreadable"), "{open}");

    let restored = place.json(&["restore", "uploads", "--json"]);
    assert_eq!(
        (&restored["files"]["done"], &restored["files"]["failed"]),
        (&json!(1), &json!(0)),
        "{restored}"
    );
    // What nobody can read any more waits in quarantine, and a scrub finds it there.
    std::fs::remove_dir_all(place.at("mnt/.salvor/quarantine")).unwrap();
    assert!(place.files() == before);
    rustix::fs::sync();
    let (clean, code) = place.scrub();
    assert_eq!((code, &clean["disk_check"]["verdict"]), (0, &json!("clean")), "{clean}");
    place.back_to_normal();
}

#[test]
fn a_device_that_is_gone_is_never_green() {
    let Some(mut place) = Place::on_btrfs() else { return };
    place.in_service();
    place.server = None;
    place.disk().unmount();
    drop(place.disks.pop());
    assert!(place.disk().mount("degraded"));
    place.serve();
    let mount = place.until_signal("it is told of", "mount", |signal| signal["level"] == "critical");
    assert!(mount["reason"].to_string().contains("mounted with a device missing: add one"), "{mount}");
    let named = place.until_signal("the device is named", "btrfs", |signal| signal["level"] == "critical");
    assert!(named["reason"].to_string().contains("devid 2 is missing"), "{named}");
    let health = place.call("GET /api/v1/volumes/uploads/health", None);
    assert!(health.contains("\"level\":\"critical\""), "{health}");
    assert_eq!(place.mode()["mode"], "normal", "it holds what it holds");
}

#[test]
fn a_scrub_is_paused_resumed_and_cancelled() {
    let Some(mut place) = Place::on_btrfs() else { return };
    for part in 0..3_u8 {
        std::fs::write(place.at(format!("mnt/ballast{part}")), vec![part; 16 << 20]).unwrap();
    }
    rustix::fs::sync();
    place.serve();
    let uuid = Command::new("findmnt").args(["-n", "-o", "UUID"]).arg(&place.disk().point).output().unwrap();
    let limit = |bytes: &str| {
        let folder = format!("/sys/fs/btrfs/{}/devinfo", shown(&uuid.stdout).trim());
        for device in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            std::fs::write(device.path().join("scrub_speed_max"), bytes).unwrap();
        }
    };
    let job = |job: &str, state: &str| {
        until(&format!("the scrub is {state}"), || {
            let report = place.json(&["job", "show", job, "--json"]);
            if report["state"] == state { Ok(report) } else { Err(report) }
        })
    };
    let status = || {
        let told = Command::new("btrfs").args(["scrub", "status"]).arg(&place.disk().point).output().unwrap();
        shown(&told.stdout)
    };
    let runs = || if status().contains("running") { Ok(()) } else { Err(status()) };
    // Slow enough to be met at work.
    limit("1048576");
    let first = place.start(&["disk-check", "uploads"]);
    until("it scrubs", runs);
    place.done(&["job", "pause", &first]);
    job(&first, "paused");
    until(
        "it has stopped where it was",
        || if status().contains("aborted") { Ok(()) } else { Err(status()) },
    );
    place.done(&["job", "resume", &first, "--detach"]);
    until("it goes on", runs);
    limit("0");
    let ended = job(&first, "finished");
    assert_eq!(
        (&ended["disk_check"]["verdict"], &ended["disk_check"]["round"]),
        (&json!("clean"), &json!(1)),
        "{ended}"
    );

    limit("1048576");
    let second = place.start(&["disk-check", "uploads"]);
    until("it scrubs", runs);
    place.done(&["job", "cancel", &second]);
    let cancelled = job(&second, "cancelled");
    assert_eq!(cancelled["disk_check"]["verdict"], "unfinished", "{cancelled}");
    until("it has ended", || runs().is_err());
}
