//! An XFS that shut down looks as ever in mountinfo; every access gives EIO.

use salvor_domain::health::{Level, Probe, Reading};

/// What the file system's own folder answers: `errno` where it could not be looked at.
pub fn reading(subject: &str, answer: Result<(), i32>) -> Reading {
    const EIO: i32 = 5;
    match answer {
        Ok(()) => Reading::new(Probe::Xfs, subject, Level::Ok, "XFS answers"),
        Err(EIO) => {
            let why = "XFS has shut down and every access fails: unmount it and run xfs_repair";
            Reading::new(Probe::Xfs, subject, Level::Critical, why).stopping_writes()
        }
        Err(errno) => {
            let why = format!(
                "whether XFS has shut down is not known: {}",
                std::io::Error::from_raw_os_error(errno)
            );
            Reading::new(Probe::Xfs, subject, Level::Unknown, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_eio_means_that_it_shut_down() {
        let down = reading("fs:/a", Err(5));
        assert!(down.level == Level::Critical && down.stops_writes);
        assert_eq!(reading("fs:/a", Err(13)).level, Level::Unknown);
        assert_eq!(reading("fs:/a", Ok(())).level, Level::Ok);
    }
}
