//! Choosing the files of a drill: at random, and from every class of sizes, so that a file's cost and a byte's both show.
//!
//! The same seed and the same files in the same order give the same sample. Memory is bounded by what is asked for.

use crate::path::FilePath;

/// Where the classes of sizes end, in bytes; what is larger is of the last class.
const CLASSES: [u64; 4] = [16 << 10, 256 << 10, 4 << 20, 32 << 20];
/// Files up to this size count as small: their cost is their number's.
pub const SMALL_BYTES: u64 = CLASSES[1];
/// The most files that one drill takes from one copy.
pub const MOST_FILES: u64 = 10_000;

/// How much a drill moves from each copy, at the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    pub files: u64,
    /// Absent when a number of files was asked for.
    pub bytes: Option<u64>,
    pub seconds: Option<f64>,
}

impl Budget {
    /// 200 files, 256 MiB or a minute, whichever comes first; or so many files as were asked for.
    pub fn of(sample: Option<u64>) -> Self {
        match sample {
            Some(files) => Self { files: files.min(MOST_FILES), bytes: None, seconds: None },
            None => Self { files: 200, bytes: Some(256 << 20), seconds: Some(60.0) },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    pub path: FilePath,
    pub size: u64,
}

/// Files of one class: a uniform sample of those offered, however many they are.
#[derive(Debug, Default)]
struct Class {
    offered: u64,
    kept: Vec<Picked>,
}

#[derive(Debug)]
pub struct Sampler {
    random: u64,
    budget: Budget,
    classes: [Class; CLASSES.len() + 1],
}

impl Sampler {
    pub fn new(seed: u64, budget: Budget) -> Self {
        Self { random: seed, budget, classes: Default::default() }
    }

    pub fn offer(&mut self, path: &FilePath, size: u64) {
        // A file that is larger than all that may be moved can never be chosen.
        if self.budget.bytes.is_some_and(|most| size > most) {
            return;
        }
        let most = usize::try_from(self.budget.files).unwrap_or(usize::MAX);
        let at = CLASSES.iter().position(|end| size <= *end).unwrap_or(CLASSES.len());
        self.classes[at].offered += 1;
        let offered = self.classes[at].offered;
        let place = if self.classes[at].kept.len() < most { None } else { Some(self.below(offered)) };
        let kept = &mut self.classes[at].kept;
        match place.and_then(|place| usize::try_from(place).ok()) {
            None => kept.push(Picked { path: path.clone(), size }),
            Some(place) => {
                if let Some(out) = kept.get_mut(place) {
                    *out = Picked { path: path.clone(), size };
                }
            }
        }
    }

    /// One file of each class in turn until the budget is spent. In path order.
    pub fn picked(mut self) -> Vec<Picked> {
        for class in 0..self.classes.len() {
            for last in (1..self.classes[class].kept.len()).rev() {
                let other = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
                self.classes[class].kept.swap(last, other);
            }
        }
        let (mut files, mut bytes) = (self.budget.files, self.budget.bytes.unwrap_or(u64::MAX));
        let mut picked = Vec::new();
        while files > 0 && self.classes.iter().any(|class| !class.kept.is_empty()) {
            for class in &mut self.classes {
                let Some(next) = class.kept.pop().filter(|next| next.size <= bytes) else { continue };
                if files == 0 {
                    break;
                }
                files -= 1;
                bytes -= next.size;
                picked.push(next);
            }
        }
        picked.sort_by(|a, b| a.path.cmp(&b.path));
        picked
    }

    /// A number below `end` (splitmix64; the bias of the remainder is far below what a sample could show).
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampled(seed: u64, budget: Budget, sizes: &[u64]) -> Vec<Picked> {
        let mut sampler = Sampler::new(seed, budget);
        for (number, size) in sizes.iter().enumerate() {
            sampler.offer(&FilePath::new(format!("f{number:06}")).unwrap(), *size);
        }
        sampler.picked()
    }

    #[test]
    fn every_class_of_sizes_is_in_it() {
        let sizes: Vec<u64> = (0..10_000).map(|n| if n % 1_000 == 7 { 5 << 20 } else { 3_000 }).collect();
        let picked = sampled(1, Budget::of(None), &sizes);
        assert_eq!(
            picked.iter().filter(|file| file.size > 4 << 20).count(),
            10,
            "all the large ones there are"
        );
        assert_eq!(picked.len(), 200);
        assert_eq!(picked, sampled(1, Budget::of(None), &sizes), "a seed repeats its sample");
        assert_ne!(picked, sampled(2, Budget::of(None), &sizes));
        assert!(sampled(1, Budget::of(None), &[]).is_empty());
    }

    #[test]
    fn all_parts_of_a_class_are_chosen_alike() {
        let picked = sampled(7, Budget { files: 1_000, bytes: None, seconds: None }, &[100; 10_000]);
        let late = picked.iter().filter(|file| file.path >= FilePath::new("f005000").unwrap()).count();
        assert!((420..580).contains(&late), "{late} of 1,000 from the later half");
    }

    proptest! {
        #[test]
        fn it_keeps_within_its_budget(
            sizes in proptest::collection::vec(0u64..100 << 20, 0..300), seed in any::<u64>(), files in 1u64..300, bytes in 1u64..1 << 30,
        ) {
            let picked = sampled(seed, Budget { files, bytes: Some(bytes), seconds: None }, &sizes);
            prop_assert!(picked.len() as u64 <= files);
            prop_assert!(picked.iter().map(|file| file.size).sum::<u64>() <= bytes);
            prop_assert!(picked.windows(2).all(|pair| pair[0].path < pair[1].path), "each once");
        }
    }
}
