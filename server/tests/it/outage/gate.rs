//! Unmount, mount again without a check, and everything looks writable and fine: the gate is not fooled.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// Stands in for the repair; how it ends is in the file `how`.
const TOOL: &str = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n. ./how\n";

impl Place {
    fn trip_by_the_kernel(&self) {
        let device = self.disk().device.trim_start_matches("/dev/");
        let hit = Instant::now();
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
        self.trips_after(hit);
    }

    /// Out, and in again; the probes have seen that it is there, and it takes writes.
    fn mount_again(&self, options: &str) {
        self.disk().unmount();
        assert!(self.disk().mount(options));
        self.looks_fine();
    }

    fn looks_fine(&self) {
        let fact = "the volume is seen where it was";
        let since = |signal: &Value| signal["read_at"].as_str().unwrap().to_owned();
        let mounted = self
            .until_signal(fact, "mount", |signal| signal["reason"].to_string().contains("is mounted for"));
        self.until_signal("it was read again", "mount", |signal| {
            signal["subject"] == mounted["subject"] && since(signal) > since(&mounted)
        });
        std::fs::write(self.at("mnt/try"), "it takes writes").unwrap();
        std::fs::remove_file(self.at("mnt/try")).unwrap();
    }

    fn disk_check_ends_by(&self, how: &str) -> (String, i32) {
        std::fs::write(self.at("how"), how).unwrap();
        self.disk().unmount();
        let ended = self.says(&["disk-check", "uploads"]);
        assert!(self.disk().mount("errors=continue"));
        self.looks_fine();
        ended
    }
}

#[test]
fn an_ext4_that_was_only_mounted_again_stays_out_of_service() {
    let Some(mut place) = Place::on_ext4("errors=remount-ro") else { return };
    let tool = place.at("tool");
    std::fs::write(&tool, TOOL).unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    place.configure(Section::DiskCheck, &format!("command = [\"{}\", \"{{device}}\"]", tool.display()));
    let before = place.in_service();
    place.trip_by_the_kernel();
    place.mount_again("errors=continue");
    let open = place.refused();
    for point in ["ext4 counts 1 error", "no disk check that began after", "full check"] {
        assert!(open.contains(point), "{point} in {open}");
    }
    // Names and sizes are not enough.
    place.done(&["check", "uploads"]);
    assert!(place.refused().contains("full check"));
    place.done(&["check", "uploads", "--full"]);
    let open = place.refused();
    assert!(open.contains("ext4 counts 1 error") && !open.contains("full check"), "{open}");

    let (said, code) = place.disk_check_ends_by("exit 4");
    assert!(code == 1 && said.contains("could not correct"), "{said}");
    assert!(place.refused().contains("did not end well"));
    let (said, code) = place.disk_check_ends_by("exit 8");
    assert!(code == 3 && said.contains("could not work on the device"), "{said}");
    assert!(place.refused().contains("did not end well"));

    // One that is cancelled.
    std::fs::write(place.at("how"), "touch begun; while [ -e how ]; do sleep 0.05; done").unwrap();
    place.disk().unmount();
    let job = place.start(&["disk-check", "uploads"]);
    until("the check has begun", || place.at("begun").exists());
    assert!(place.refused().contains("has not ended yet"));
    place.done(&["job", "cancel", &job]);
    until("its device is free", || place.disk().mount("errors=continue"));
    assert!(place.refused().contains("did not end well"));

    // One that says that all is well does not take away what ext4 itself counts.
    place.disk_check_ends_by("exit 0");
    let open = place.refused();
    assert!(open.contains("ext4 counts 1 error") && !open.contains("disk check"), "{open}");

    let (said, code) = place.disk_check_ends_by("exec e2fsck -f -y -C 3 $1");
    assert_eq!(code, 0, "{said}");
    place.back_to_normal();
    assert!(place.files() == before);
}

/// XFS forgets with its mount that it ever shut down.
#[test]
fn an_xfs_that_shut_down_needs_its_check_although_it_can_be_mounted() {
    let Some(mut place) = Place::on_xfs() else { return };
    let before = place.in_service();
    let hit = Instant::now();
    if !place.disk().shut_down() {
        return;
    }
    let tripped = place.trips_after(hit);
    assert!(
        tripped.to_string().contains("XFS has shut down") || tripped.to_string().contains("Shutting down"),
        "{tripped}"
    );
    place.disk().unmount();
    // What was not written yet waits in its log.
    let (said, code) = place.says(&["disk-check", "uploads"]);
    assert!(code == 3 && said.contains("mount it and unmount it once"), "{said}");
    assert!(place.disk().mount("defaults"));
    place.looks_fine();
    place.done(&["check", "uploads", "--full"]);
    assert!(place.refused().contains("did not end well"));

    place.disk().unmount();
    place.done(&["disk-check", "uploads"]);
    assert!(place.refused().contains("as when its disk is not mounted"), "what is not there is not back");
    assert!(place.disk().mount("defaults"));
    place.back_to_normal();
    assert!(place.files() == before);

    // The check of the last time says nothing of this one.
    let hit = Instant::now();
    assert!(place.disk().shut_down());
    place.trips_after(hit);
    place.mount_again("defaults");
    place.done(&["check", "uploads", "--full"]);
    let open = place.refused();
    assert!(
        open.contains("no disk check that began after") && open.contains("salvor disk-check uploads"),
        "{open}"
    );
    place.disk().unmount();
    place.done(&["disk-check", "uploads"]);
    assert!(place.disk().mount("defaults"));
    place.back_to_normal();
}

/// Nothing was wrong with it, so that nothing is known to be bad: but what is not there is not back.
#[test]
fn a_volume_that_is_not_mounted_is_not_back_whoever_tripped_it() {
    let Some(mut place) = Place::on_ext4("errors=remount-ro") else { return };
    place.in_service();
    place.set_mode("read-only");
    place.done(&["check", "uploads", "--full"]);
    place.disk().unmount();
    let gone = until("it is seen that it is not mounted", || {
        let points = place.mode()["gate"].clone();
        if points.as_array().unwrap().is_empty() { Err(points) } else { Ok(points) }
    });
    assert!(gone.to_string().contains(&place.disk().point.display().to_string()), "{gone}");
    place.refused();
    // Also by a server that never saw it mounted.
    place.server = None;
    place.server = Some(Running(
        place.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap(),
    ));
    until("the server answers", || TcpStream::connect(("127.0.0.1", place.port)).is_ok());
    place.refused();
    assert!(place.disk().mount("defaults"));
    let mounted = Instant::now();
    place.back_to_normal();
    assert!(mounted.elapsed() < PROMISED, "as soon as it is read: {:?}", mounted.elapsed());
}
