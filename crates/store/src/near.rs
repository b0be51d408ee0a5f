//! Hashes for numbers given out one after the other: neighbours lie side by side in a table, as they come and go
//! together. Nobody outside chooses such a number.

use std::hash::{BuildHasher, Hasher};

/// So many neighbours share a place.
const SIDE_BY_SIDE: u64 = 8;
/// 2⁶⁴ divided by the golden ratio: spreads what is multiplied by it.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Where a table looks for the bits that tell entries of one place apart.
const TAG_SHIFT: u32 = 57;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Near;

impl BuildHasher for Near {
    type Hasher = NearHasher;

    fn build_hasher(&self) -> NearHasher {
        NearHasher::default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct NearHasher(u64);

impl Hasher for NearHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.wrapping_mul(SPREAD) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let spread = u128::from(number / SIDE_BY_SIDE + 1) * u128::from(SPREAD);
        let [low, high] =
            [spread, spread >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        let place = low ^ high ^ (low >> 32);
        let own = number % SIDE_BY_SIDE;
        self.0 = (place.wrapping_mul(SIDE_BY_SIDE) | own) ^ (own << TAG_SHIFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn hash(number: u64) -> u64 {
        Near.hash_one(number)
    }

    #[test]
    fn neighbours_lie_side_by_side() {
        for first in (0..8000).step_by(8) {
            for n in 1..8 {
                assert_eq!(hash(first + n) % (1 << 20), hash(first) % (1 << 20) + n);
                assert_ne!(hash(first + n) >> TAG_SHIFT, hash(first) >> TAG_SHIFT);
            }
        }
    }

    #[test]
    fn places_are_spread() {
        // in a table of 2^16 with as many numbers, whichever of them there are
        for step in [1, 8, 64, 4096, 1 << 20] {
            let places: HashSet<u64> = (0..1 << 16).map(|n| hash(n * step) % (1 << 16)).collect();
            assert!(places.len() > 1 << 12, "{step}: {}", places.len());
            let tags: HashSet<u64> = (0..1 << 16).map(|n| hash(n * step) >> TAG_SHIFT).collect();
            assert!(tags.len() > 100, "{step}: {}", tags.len());
        }
    }
}
