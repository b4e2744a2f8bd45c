//! Seeded randomness: the same seed gives the same paths, on every machine and in every version.

/// The generator of Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"
/// (SplitMix64): small, fast, and good enough for paths that only end as quantiles.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform over 0 < u < 1.
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A pair of independent standard normals (Box and Muller 1958).
    pub(super) fn normals(&mut self) -> (f64, f64) {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        (radius * cos, radius * sin)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_first_numbers_are_those_of_the_paper_s_reference_code() {
        let mut random = Random::seeded(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn normals_have_mean_0_and_variance_1() {
        let mut random = Random::seeded(7);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normals().0).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let var = draws.iter().map(|d| d * d).sum::<f64>() / draws.len() as f64;
        // Five standard errors: 5/√20000 and 5·√(2/20000).
        assert!(
            mean.abs() < 0.036 && (var - 1.0).abs() < 0.05,
            "{mean} {var}"
        );
    }
}
