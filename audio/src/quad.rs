//! Four `f32` side by side in a 128-bit register.
//!
//! Spelled out for wasm, because the build that pages download is optimised for size as a whole, which turns automatic
//! vectorisation off. Elsewhere arrays do: compilers see through them. Both add in the same order and give the same bits.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use self::array::{Quad, dot, quad, shifted_in};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use self::simd128::{Quad, dot, quad, shifted_in};

/// Quads that [`dot`] takes at once: four sums that do not wait for each other.
pub(crate) const STRIDE: usize = 4;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use core::arch::wasm32::{
        f32x4, f32x4_add, f32x4_extract_lane, f32x4_mul, f32x4_splat, i32x4_shuffle, v128,
    };

    use super::STRIDE;

    pub(crate) type Quad = v128;

    pub(crate) fn quad([a, b, c, d]: [f32; 4]) -> Quad {
        f32x4(a, b, c, d)
    }

    /// The last three lanes, then this.
    #[inline]
    pub(crate) fn shifted_in(quad: Quad, sample: f32) -> Quad {
        i32x4_shuffle::<1, 2, 3, 4>(quad, f32x4_splat(sample))
    }

    /// Sum of products of two slices of the same length, a multiple of [`STRIDE`].
    #[inline]
    pub(crate) fn dot(left: &[Quad], right: &[Quad]) -> f32 {
        let [mut a, mut b, mut c, mut d] = [f32x4_splat(0.0); STRIDE];
        for (left, right) in left.as_chunks::<STRIDE>().0.iter().zip(right.as_chunks::<STRIDE>().0) {
            a = f32x4_add(a, f32x4_mul(left[0], right[0]));
            b = f32x4_add(b, f32x4_mul(left[1], right[1]));
            c = f32x4_add(c, f32x4_mul(left[2], right[2]));
            d = f32x4_add(d, f32x4_mul(left[3], right[3]));
        }
        let four = f32x4_add(f32x4_add(a, c), f32x4_add(b, d));
        let two = f32x4_add(four, i32x4_shuffle::<2, 3, 2, 3>(four, four));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod array {
    use super::STRIDE;

    pub(crate) type Quad = [f32; 4];

    pub(crate) fn quad(lanes: [f32; 4]) -> Quad {
        lanes
    }

    /// The last three lanes, then this.
    #[inline]
    pub(crate) fn shifted_in([_, b, c, d]: Quad, sample: f32) -> Quad {
        [b, c, d, sample]
    }

    /// Sum of products of two slices of the same length, a multiple of [`STRIDE`].
    #[inline]
    pub(crate) fn dot(left: &[Quad], right: &[Quad]) -> f32 {
        const LANES: usize = 4 * STRIDE;
        let (left, right) =
            (left.as_flattened().as_chunks::<LANES>().0, right.as_flattened().as_chunks::<LANES>().0);
        let mut sums = [0.0; LANES];
        for (left, right) in left.iter().zip(right) {
            for lane in 0..LANES {
                sums[lane] += left[lane] * right[lane];
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        sums[0]
    }
}
