//! `/proc/diskstats`: what each block device has done. A kernel may add figures at a line's end; what is here has been there always.

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    pub name: String,
    pub reads: u64,
    pub writes: u64,
    /// Begun, and not done yet.
    pub in_progress: u64,
    /// Milliseconds in which anything was in progress.
    pub busy_ms: u64,
}

/// Lines that are none are passed over.
pub fn parse(text: &str) -> Vec<Disk> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Disk> {
    let mut words = line.split_whitespace().skip(2);
    let name = words.next()?.to_owned();
    let figures: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let figure = |at: usize| figures.get(at).copied();
    Some(Disk { name, reads: figure(0)?, writes: figure(4)?, in_progress: figure(8)?, busy_ms: figure(9)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_lines_are_read_alike() {
        let disks = parse(
            " 253       0 vda 10 1 20 3 40 5 60 7 2 90 100\n   8      32 sdc 126552 141 1657779 14 11822 1895 172905 1007 0 10730 17070 \
             18851 0 125173784 11130 1555 1944\n   8 1 sda1 1 2\n",
        );
        let vda = Disk { name: "vda".into(), reads: 10, writes: 40, in_progress: 2, busy_ms: 90 };
        assert_eq!(disks[0], vda);
        assert_eq!((disks.len(), disks[1].busy_ms), (2, 10_730));
    }
}
