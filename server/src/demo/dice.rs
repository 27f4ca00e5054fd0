//! Repeatable randomness (SplitMix64): no secrets depend on it, only that the same seed gives the same demonstration.

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of a thing's own, so that adding a file changes no other.
    pub fn named(seed: u64, name: &[u8]) -> Self {
        let digest = blake3::hash(name);
        let own = digest.as_bytes().iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self(seed ^ own)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number in `low..high`; `low` when there is none.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % high.saturating_sub(low).max(1)
    }

    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let fraction = (self.roll() >> 40) as f32 / (1_u64 << 24) as f32;
        low + (high - low) * fraction
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T; 5]) -> &'a T {
        &of[(self.roll() % 5) as usize]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.range(0, at as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same() {
        let rolls = |mut dice: Dice| [dice.roll(), dice.roll(), dice.roll()];
        assert_eq!(rolls(Dice::new(7)), rolls(Dice::new(7)));
        assert_ne!(rolls(Dice::named(7, b"a")), rolls(Dice::named(7, b"b")));
    }

    #[test]
    fn stays_in_bounds() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            assert!((3..9).contains(&dice.range(3, 9)));
            assert!((-1.0..=1.0).contains(&dice.between(-1.0, 1.0)));
        }
        assert_eq!(dice.range(5, 5), 5);
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<u32> = (0..100).collect();
        Dice::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
