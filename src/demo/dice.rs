//! Seeded randomness: the same seed gives the same demo.
//!
//! For: parameters, choices and noise of the demo. Not for: secrets, nor for statistics that must
//! pass tests of randomness.

/// The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Evenly in 0..1, 1 excluded.
    pub(super) fn unit(&mut self) -> f64 {
        to_unit(self.bits())
    }

    /// Evenly in 0..`n`; 0 for an empty range.
    pub(super) fn below(&mut self, n: usize) -> usize {
        // 53 bits hold any count of rows that fits a demo.
        let scaled = (self.unit() * n as f64).floor();
        num(scaled).min(n.saturating_sub(1))
    }

    /// One of `items`; `None` if there are none.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// One of `items` by Zipf's law, the first most often; exponent 1.1.
    pub(super) fn pick_skewed<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        // Inverts the continuous distribution, as `generate.sql` does.
        let most = (items.len() as f64 + 1.0).powf(-0.1);
        let rank = ((most - 1.0) * self.unit() + 1.0).powf(-10.0).floor();
        items.get(num(rank).clamp(1, items.len().max(1)) - 1)
    }

    /// A random UUID (RFC 9562, version 4) as text.
    pub(super) fn uuid(&mut self) -> String {
        let (a, b) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:x}{:03x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            8 | (b >> 62),
            (b >> 48) & 0xfff,
            b & 0xffff_ffff_ffff,
        )
    }
}

/// Evenly in 0..1 for a place: the same `seed` and `place` always give the same number.
pub(super) fn noise(seed: u64, place: u64) -> f64 {
    to_unit(mix(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A seed for a name (FNV-1a), so that each series has a noise of its own.
pub(super) fn seed_of(seed: u64, name: &str) -> u64 {
    let start = mix(seed ^ 0xcbf2_9ce4_8422_2325);
    name.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits, as many as the significand holds.
fn to_unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A small non-negative number that is whole already.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the callers floor it, and a negative or huge one saturates"
)]
fn num(whole: f64) -> usize {
    whole as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_throws() {
        let throw = |seed| {
            let mut dice = Dice::new(seed);
            [dice.bits(), dice.bits()]
        };
        assert_eq!(throw(7), throw(7));
        assert_ne!(throw(7), throw(8));
    }

    #[test]
    fn throws_stay_in_their_range_and_reach_both_ends() {
        let mut dice = Dice::new(1);
        let mut seen = [0_usize; 5];
        for _ in 0..1_000 {
            seen[dice.below(5)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 140), "{seen:?}");
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.pick::<u8>(&[]), None);
        assert_eq!(dice.pick_skewed::<u8>(&[]), None);
    }

    #[test]
    fn a_skewed_pick_prefers_the_first() {
        let mut dice = Dice::new(1);
        let items: Vec<usize> = (0..1_000).collect();
        let mut seen = vec![0_usize; 1_000];
        for _ in 0..10_000 {
            seen[*dice.pick_skewed(&items).unwrap()] += 1;
        }
        assert!(seen[0] > 1_000 && seen[0] > 2 * seen[2], "{}", seen[0]);
        assert!(seen[500..].iter().sum::<usize>() > 300);
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut dice = Dice::new(3);
        for _ in 0..100 {
            let id = dice.uuid();
            assert_eq!(id.len(), 36, "{id}");
            assert_eq!(id.as_bytes()[14], b'4', "{id}");
            assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        }
    }
}
