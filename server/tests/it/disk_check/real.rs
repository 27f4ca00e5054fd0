//! The real tools on loop devices. Takes root; each says so and passes over where the privilege or the tool is missing.

use salvor_domain::disk_check::DiskVerdict;

use super::*;
use crate::support::disk::LoopDisk;

fn loop_disk(app: &TestApp, name: &str, megabytes: u64) -> Option<LoopDisk> {
    LoopDisk::new(&app.path(name), &app.path(format!("{name}.mnt")), megabytes)
}

fn fill(disk: &LoopDisk) {
    for number in 0..120 {
        let folder = disk.point.join(format!("site {}", number % 4));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes: Vec<u8> = (0..3_000 + number).map(|at| (at * number % 251) as u8).collect();
        std::fs::write(folder.join(format!("p{number}.jpg")), bytes).unwrap();
    }
}

fn section(disk: &LoopDisk, tool: &str) -> String {
    format!("tool = \"{tool}\"\ndevice = \"{}\"", disk.device)
}

on_both_engines! {
    /// A destroyed folder: refused while mounted, then repaired and confirmed; the files are nameless in lost+found.
    async fn ext4_with_a_destroyed_folder(app: &TestApp) {
        let at = |name| app.path(name);
        let Some(ext4) = LoopDisk::ext4(&at("ext4"), &at("ext4.mnt"), 48, "defaults") else { return };
        fill(&ext4);
        let disk = Disk::new(app, Some(&ext4.point), &section(&ext4, "e2fsck"));
        disk.out_of_service().await;
        let refused = disk.run().await;
        let why = refused.reason.clone().unwrap_or_default();
        assert_eq!((refused.state.as_str(), refused.exit_code()), ("failed", 3), "{refused:#?}");
        for needed in ["is mounted on", &ext4.point.display().to_string(), "failover", "umount", &ext4.device] {
            assert!(why.contains(needed), "{needed} in {why}");
        }
        assert_eq!(disk.last().await, None);

        ext4.unmount();
        ext4.forget("/site 1");
        let report = disk.run().await;
        let told = check(&report);
        assert_eq!((report.exit_code(), told.verdict, told.round), (0, Some(DiskVerdict::Repaired), 2), "{report:#?}");
        assert_eq!((told.pass, told.percent), (Some(5), Some(100.0)), "its descriptor 3 was read");
        assert_eq!(told.reconnected_inodes, 30);
        let output = disk.output(report.job.parse().unwrap()).await;
        assert!(output.contains("Pass 5: ") && output.contains("Connect to /lost+found? yes"), "{output}");
        assert!(ext4.mount("defaults"));
        let nameless = std::fs::read_dir(ext4.point.join("lost+found")).unwrap().count();
        assert_eq!(nameless, 30);
    }

    /// Held by something that no mount table shows.
    async fn a_device_that_is_held_elsewhere_is_refused(app: &TestApp) {
        let Some(held) = loop_disk(app, "held", 8) else { return };
        if !held.made("mkfs.ext4", &["-q", "-F"]) {
            return;
        }
        let disk = Disk::new(app, None, &section(&held, "e2fsck"));
        disk.out_of_service().await;
        use rustix::fs::{Mode, OFlags};
        let alone = rustix::fs::open(&*held.device, OFlags::RDONLY | OFlags::EXCL, Mode::empty()).unwrap();
        let refused = disk.run().await;
        assert!(refused.reason.as_ref().unwrap().contains("is held by something else"), "{refused:#?}");
        drop(alone);
        let report = disk.run().await;
        assert_eq!((check(&report).verdict, check(&report).round), (Some(DiskVerdict::Clean), 1), "{report:#?}");
        // By the image's own name it is the same disk.
        assert!(held.mount("defaults"));
        let section = format!("tool = \"e2fsck\"\ndevice = \"{}\"", app.path("held").display());
        let config = std::fs::read_to_string(app.path("salvor.toml")).unwrap();
        std::fs::write(app.path("salvor.toml"), config.split("  [volume.disk_check]").next().unwrap()).unwrap();
        let by_image = Disk::new(app, None, &section);
        let refused = by_image.run().await;
        assert!(refused.reason.as_ref().unwrap().contains("is mounted on"), "{refused:#?}");
    }

    async fn xfs_with_a_destroyed_folder(app: &TestApp) {
        let Some(xfs) = loop_disk(app, "xfs", 320) else { return };
        if !xfs.made("mkfs.xfs", &["-q", "-f"]) || !xfs.mount("defaults") {
            return;
        }
        fill(&xfs);
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata(xfs.point.join("site 1")).unwrap().ino();
        xfs.unmount();
        let disk = Disk::new(app, Some(&xfs.point), &section(&xfs, "xfs_repair"));
        disk.out_of_service().await;
        let clean = disk.run().await;
        assert_eq!((check(&clean).verdict, check(&clean).round), (Some(DiskVerdict::Clean), 1), "{clean:#?}");
        let asked = format!("inode {inode}");
        let told = order("xfs_db", &["-r", "-c", &asked, "-c", "dblock 0", "-c", "daddr", &xfs.device]);
        let sector: u64 = told.trim().rsplit(' ').next().unwrap().parse().unwrap();
        xfs.overwrite(sector * 512, 4096);
        let report = disk.run().await;
        let told = check(&report);
        assert_eq!((report.exit_code(), told.verdict), (0, Some(DiskVerdict::Repaired)), "{report:#?}");
        assert!(told.round >= 2 && told.pass == Some(7) && told.percent.is_none(), "{told:#?}");
        assert_eq!((told.cleared_entries, told.reconnected_inodes), (1, 30), "{told:#?}");
        assert!(xfs.mount("defaults"));
    }

    /// One of two devices is overwritten beneath the file system: the other has it right.
    async fn btrfs_on_two_devices(app: &TestApp) {
        let (Some(one), Some(two)) = (loop_disk(app, "one", 256), loop_disk(app, "two", 256)) else {
            return;
        };
        if !one.made("mkfs.btrfs", &["-q", "-f", "-d", "raid1", "-m", "raid1", &two.device]) {
            return;
        }
        let _ = attempt("btrfs", &["device", "scan", &one.device, &two.device]);
        let disk = Disk::new(
            app,
            Some(&one.point),
            &format!("tool = \"btrfs_scrub\"\ndevice = \"{}\"", one.point.display()),
        );
        let unmounted = disk.run().await;
        assert!(unmounted.reason.as_ref().unwrap().contains("no btrfs is mounted"), "{unmounted:#?}");
        if !one.mount("defaults") {
            return;
        }
        fill(&one);
        std::fs::write(one.point.join("large"), vec![7; 20 << 20]).unwrap();
        order("sync", &["-f", &one.point.display().to_string()]);
        // In service: a scrub does not ask for more.
        let clean = disk.run().await;
        assert_eq!((clean.exit_code(), check(&clean).verdict), (0, Some(DiskVerdict::Clean)), "{clean:#?}");
        one.unmount();
        two.overwrite(40 << 20, 160 << 20);
        assert!(one.mount("defaults"));
        let report = disk.run().await;
        let told = check(&report);
        assert_eq!((report.exit_code(), told.verdict), (0, Some(DiskVerdict::Repaired)), "{report:#?}");
        assert!(told.summary.as_ref().unwrap().contains("corrected"), "{told:#?}");
        let output = disk.output(report.job.parse().unwrap()).await;
        assert!(output.contains("Uncorrectable:  0"), "{output}");
    }
}
