//! The classes of the 64 bytes around a place, as bits: what a scanner may then decide without a loop.
//!
//! Like `trigger.rs` this file has `unsafe`: the vector units of the processor.
#![allow(unsafe_code)]
// Unaligned loads are used throughout.
#![allow(clippy::cast_ptr_alignment)]

/// Classes of 64 bytes, a bit for each byte; beyond the text no byte is in any class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// `[0-9]`.
    pub digits: u64,
    /// `[A-Za-z]`.
    pub letters: u64,
    /// `[A-Fa-f]`.
    pub hex: u64,
    /// Beyond ASCII.
    pub high: u64,
    /// Between groups of digits: space and `-./()`.
    pub joints: u64,
    /// `[+./~-]`: in values of keys beside letters, digits and `_`.
    pub marks: u64,
    /// `-`.
    pub dashes: u64,
    /// `.`.
    pub dots: u64,
    /// `:`.
    pub colons: u64,
    /// `_`.
    pub lines: u64,
}

impl Window {
    /// Bytes of a window.
    pub const SIZE: usize = 64;

    /// The window that ends with the byte before bit `bit` of this one, as far as this one reaches.
    #[inline]
    pub fn before(&self, bit: usize) -> Self {
        let up = |set: u64| set << (Self::SIZE - bit);
        Self { digits: up(self.digits), letters: up(self.letters), high: up(self.high), ..Self::default() }
    }

    /// The 64 bytes before a place: digits, letters and what is beyond ASCII.
    #[inline]
    pub fn words(text: &[u8], place: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if place >= Self::SIZE && std::arch::is_x86_feature_detected!("avx2") {
            let bytes = &text[place - Self::SIZE..place];
            // SAFETY: the processor has AVX2, and there are 64 bytes.
            return unsafe { x86::words_avx2(bytes.as_ptr()) };
        }
        Self::around(text, place, Self::SIZE)
    }

    /// The window whose bit `back` is the byte at a place.
    #[inline]
    pub fn around(text: &[u8], place: usize, back: usize) -> Self {
        if place >= back && place - back + Self::SIZE <= text.len() {
            return Self::of(&text[place - back..]);
        }
        let mut padded = [0u8; Self::SIZE];
        let (low, skipped) = if place >= back { (place - back, 0) } else { (0, back - place) };
        let length = (text.len() - low).min(Self::SIZE - skipped);
        padded[skipped..skipped + length].copy_from_slice(&text[low..low + length]);
        Self::of(&padded)
    }

    #[inline]
    fn of(bytes: &[u8]) -> Self {
        assert!(bytes.len() >= Self::SIZE);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, and there are 64 bytes (asserted above).
            return unsafe { x86::window_avx2(bytes.as_ptr()) };
        }
        Self::scalar(bytes)
    }

    /// The same without vector units.
    fn scalar(bytes: &[u8]) -> Self {
        let mut window = Self::default();
        for (bit, &byte) in bytes[..Self::SIZE].iter().enumerate() {
            let bit = 1 << bit;
            match byte {
                b'0'..=b'9' => window.digits |= bit,
                b'A'..=b'Z' | b'a'..=b'z' => window.letters |= bit,
                b' ' | b'(' | b')' => window.joints |= bit,
                b'-' | b'.' | b'/' => (window.joints, window.marks) = (window.joints | bit, window.marks | bit),
                b'+' | b'~' => window.marks |= bit,
                b':' => window.colons |= bit,
                b'_' => window.lines |= bit,
                0x80.. => window.high |= bit,
                _ => {}
            }
            match byte {
                b'A'..=b'F' | b'a'..=b'f' => window.hex |= bit,
                b'-' => window.dashes |= bit,
                b'.' => window.dots |= bit,
                _ => {}
            }
        }
        window
    }
}

/// Do some work, compiled for the units of this processor as far as it is inlined.
#[inline]
pub fn with_units<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the processor has all of them.
        return unsafe { x86::with_units(work) };
    }
    work()
}

/// In the row of `0x20`: 128 for a joint, 64 for a mark of values, 32 for `-`, 16 for `.`.
#[cfg(target_arch = "x86_64")]
const ROW_2: [u8; 16] = [128, 0, 0, 0, 0, 0, 0, 0, 128, 128, 0, 64, 0, 128 | 64 | 32, 128 | 64 | 16, 128 | 64];

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_adds_epu8, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256,
        _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_shuffle_epi8,
        _mm256_slli_epi16, _mm256_sub_epi8, _mm256_xor_si256,
    };

    use super::{ROW_2, Window};

    /// # Safety
    /// The processor has all of these.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub unsafe fn with_units<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// # Safety
    /// The processor has AVX2; 64 bytes can be read.
    #[target_feature(enable = "avx2")]
    pub unsafe fn words_avx2(bytes: *const u8) -> Window {
        // SAFETY: the caller promises that 64 bytes can be read; unaligned loads are used.
        unsafe {
            let all = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
            let bits = |v: __m256i| u64::from(_mm256_movemask_epi8(v).cast_unsigned());
            let upto = |v: __m256i, most: u8| _mm256_cmpeq_epi8(_mm256_min_epu8(v, all(most)), v);
            let half = |at: *const u8| {
                let v = _mm256_loadu_si256(at.cast::<__m256i>());
                let letter = _mm256_sub_epi8(_mm256_or_si256(v, all(0x20)), all(b'a'));
                (bits(upto(_mm256_sub_epi8(v, all(b'0')), 9)), bits(upto(letter, 25)), bits(v))
            };
            let (a, b) = (half(bytes), half(bytes.add(32)));
            Window { digits: a.0 | b.0 << 32, letters: a.1 | b.1 << 32, high: a.2 | b.2 << 32, ..Window::default() }
        }
    }

    /// # Safety
    /// The processor has AVX2; 64 bytes can be read.
    #[target_feature(enable = "avx2")]
    #[inline(never)]
    pub unsafe fn window_avx2(bytes: *const u8) -> Window {
        // SAFETY: the caller promises that 64 bytes can be read; unaligned loads are used.
        unsafe {
            let all = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
            let bits = |v: __m256i| u64::from(_mm256_movemask_epi8(v).cast_unsigned());
            let upto = |v: __m256i, most: u8| _mm256_cmpeq_epi8(_mm256_min_epu8(v, all(most)), v);
            let row_2 = _mm256_broadcastsi128_si256(_mm_loadu_si128(ROW_2.as_ptr().cast()));
            let half = |at: *const u8| {
                let v = _mm256_loadu_si256(at.cast::<__m256i>());
                let letter = _mm256_sub_epi8(_mm256_or_si256(v, all(0x20)), all(b'a'));
                // Outside of its row the high bit is set, which makes the shuffle give 0.
                let row = _mm256_adds_epu8(_mm256_xor_si256(v, all(0x20)), all(0x70));
                let row = _mm256_shuffle_epi8(row_2, row);
                let mark = _mm256_or_si256(_mm256_slli_epi16::<1>(row), _mm256_cmpeq_epi8(v, all(b'~')));
                [
                    bits(upto(_mm256_sub_epi8(v, all(b'0')), 9)),
                    bits(upto(letter, 25)),
                    bits(upto(letter, 5)),
                    bits(v),
                    bits(row),
                    bits(mark),
                    bits(_mm256_slli_epi16::<2>(row)),
                    bits(_mm256_slli_epi16::<3>(row)),
                    bits(_mm256_cmpeq_epi8(v, all(b':'))),
                    bits(_mm256_cmpeq_epi8(v, all(b'_'))),
                ]
            };
            let (a, b) = (half(bytes), half(bytes.add(32)));
            let both = |class: usize| a[class] | b[class] << 32;
            Window {
                digits: both(0),
                letters: both(1),
                hex: both(2),
                high: both(3),
                joints: both(4),
                marks: both(5),
                dashes: both(6),
                dots: both(7),
                colons: both(8),
                lines: both(9),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn windows_agree_with_the_plain_loop_at_every_place() {
        let every: Vec<u8> = (0..=255).collect();
        for text in [&every[..], &noise(300), &noise(40)] {
            for place in 0..text.len() {
                for back in [0, 12, 64] {
                    let padded: Vec<u8> = std::iter::repeat_n(0, back).chain(text.iter().copied()).collect();
                    let mut bytes = padded[place..].to_vec();
                    bytes.resize(64.max(bytes.len()), 0);
                    let window = Window::scalar(&bytes);
                    assert_eq!(Window::around(text, place, back), window, "{place} {back}");
                    let Window { digits, letters, high, .. } = window;
                    let words = Window::words(text, place);
                    assert!(back < 64 || (words.digits, words.letters, words.high) == (digits, letters, high));
                }
            }
        }
    }

    fn noise(length: usize) -> Vec<u8> {
        let common = b"0123456789@:-A aA:-@.()/+~_\xc3\xb0\xba\xc1\xad";
        let mut state = length;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            common[(state >> 33) % common.len()]
        })
        .take(length)
        .collect()
    }
}
