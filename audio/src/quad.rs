//! Four `f32` side by side in a 128-bit register.
//!
//! Spelled out for wasm, because the build that pages download is optimised for size as a whole, which turns automatic
//! vectorisation off. Elsewhere arrays do: compilers see through them, and where an x86-64 processor turns out to have registers of 256
//! bits (AVX2), those are used. All add in the same order and give the same bits.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use self::array::{Quad, dot, quad, shifted_in};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use self::simd128::{Quad, dot, quad, shifted_in};

#[cfg(target_arch = "x86_64")]
pub(crate) use self::wide::with_widest;

/// What sums products with registers of some width.
pub(crate) trait Registers: Copy {
    /// Sum of products of two slices of the same length, a multiple of [`STRIDE`].
    fn dot(self, left: &[Quad], right: &[Quad]) -> f32;
}

/// What is done with whichever registers there are.
pub(crate) trait WithRegisters {
    /// To be inlined always: only what is inlined uses registers that were found when the program runs.
    fn with(self, registers: impl Registers) -> usize;
}

/// The registers that every processor of this kind has.
#[derive(Clone, Copy)]
struct Common;

impl Registers for Common {
    #[inline(always)]
    fn dot(self, left: &[Quad], right: &[Quad]) -> f32 {
        dot(left, right)
    }
}

/// Does something with the widest registers there are.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn with_widest(action: impl WithRegisters) -> usize {
    action.with(Common)
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use pulp::{Arch, Simd, WithSimd};

    use super::{Common, Quad, Registers, WithRegisters};

    /// Lanes of a 256-bit register.
    const LANES: usize = 8;

    /// Does something with the widest registers that this processor has.
    pub(crate) fn with_widest(action: impl WithRegisters) -> usize {
        Arch::new().dispatch(Dispatched(action))
    }

    struct Dispatched<A>(A);

    impl<A: WithRegisters> WithSimd for Dispatched<A> {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> usize {
            if S::F32_LANES == LANES { self.0.with(Wide(simd)) } else { self.0.with(Common) }
        }
    }

    #[derive(Clone, Copy)]
    struct Wide<S>(S);

    impl<S: Simd> Registers for Wide<S> {
        #[inline(always)]
        fn dot(self, left: &[Quad], right: &[Quad]) -> f32 {
            let Wide(simd) = self;
            let (left, _) = S::as_simd_f32s(left.as_flattened());
            let (right, _) = S::as_simd_f32s(right.as_flattened());
            let [mut low, mut high] = [simd.splat_f32s(0.0); 2];
            for (left, right) in left.as_chunks::<2>().0.iter().zip(right.as_chunks::<2>().0) {
                low = simd.add_f32s(low, simd.mul_f32s(left[0], right[0]));
                high = simd.add_f32s(high, simd.mul_f32s(left[1], right[1]));
            }
            let mut sums = [0.0; LANES];
            S::as_mut_simd_f32s(&mut sums).0[0] = simd.add_f32s(low, high);
            let [a, b, c, d, e, f, g, h] = sums;
            ((a + e) + (c + g)) + ((b + f) + (d + h))
        }
    }
}

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
    #[inline(always)]
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

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    struct Dot<'a>(&'a [Quad], &'a [Quad], &'a mut f32);

    impl WithRegisters for Dot<'_> {
        #[inline(always)]
        fn with(self, registers: impl Registers) -> usize {
            *self.2 = registers.dot(self.0, self.1);
            1
        }
    }

    #[test]
    fn registers_of_every_width_give_the_same_bits() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        for quads in [0, STRIDE, 5 * STRIDE, 40 * STRIDE] {
            let left: Vec<Quad> = (0..quads).map(|_| quad([noise(), noise(), noise(), noise()])).collect();
            let right: Vec<Quad> = (0..quads).map(|_| quad([noise(), noise(), noise(), noise()])).collect();
            let mut widest = f32::NAN;
            assert_eq!(with_widest(Dot(&left, &right, &mut widest)), 1);
            assert_eq!(widest.to_bits(), dot(&left, &right).to_bits(), "of {quads} quads");
        }
    }
}
