//! Where personal data may be: one pass over the bytes that marks the few places worth looking at.
//!
//! A mark is a digit, an `@`, or one of `:`, `-` and `A` that stands again three bytes later (the separators of a MAC
//! address, the frame of an AWS key id). Only this file and `window.rs` have `unsafe`: the vector units of the processor.
#![allow(unsafe_code)]
// Unaligned loads are used throughout.
#![allow(clippy::cast_ptr_alignment)]

/// Words of 64 marks that one call fills; 4 KiB stay in the first-level cache.
pub const WORDS: usize = 64;
const BLOCK: usize = WORDS * 64;
const AHEAD: usize = 3;
const DIGIT: u8 = 1;
const ALONE: u8 = 2;
const PAIR: u8 = 4;

/// Marks of up to 4096 bytes: bit `i` of word `w` stands for byte `64 * w + i`.
pub struct Marks {
    /// Digits.
    pub digits: [u64; WORDS],
    /// Everything else that is worth a look.
    pub others: [u64; WORDS],
}

impl Marks {
    /// No marks.
    pub const fn new() -> Self {
        Self { digits: [0; WORDS], others: [0; WORDS] }
    }

    /// Mark `text` from `at` on; the number of words that are filled.
    pub fn fill(&mut self, text: &[u8], at: usize) -> usize {
        let rest = &text[at..];
        let whole = if rest.len() >= BLOCK + AHEAD { WORDS } else { rest.len().saturating_sub(AHEAD) / 64 };
        self.sweep(rest, 0, whole);
        if whole == WORDS {
            return WORDS;
        }
        // The end, with room behind it that matches nothing.
        let mut padded = [0u8; 2 * 64 + 32];
        let tail = &rest[whole * 64..];
        padded[..tail.len()].copy_from_slice(tail);
        let words = tail.len().div_ceil(64).min(WORDS - whole);
        self.sweep(&padded, whole, words);
        whole + words
    }

    /// Mark `words` times 64 bytes of `bytes`, which has three more, from word `first` on.
    fn sweep(&mut self, bytes: &[u8], first: usize, words: usize) {
        if words == 0 {
            return;
        }
        assert!(bytes.len() >= words * 64 + AHEAD && first + words <= WORDS);
        let digits = &mut self.digits[first..first + words];
        let others = &mut self.others[first..first + words];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, and `bytes` is long enough for every load (asserted above).
            unsafe { x86::sweep_avx2(bytes.as_ptr(), digits, others) };
            return;
        } else if std::arch::is_x86_feature_detected!("ssse3") {
            // SAFETY: the processor has SSSE3, and `bytes` is long enough for every load (asserted above).
            unsafe { x86::sweep_ssse3(bytes.as_ptr(), digits, others) };
            return;
        }
        #[cfg(target_arch = "aarch64")]
        {
            // SAFETY: NEON is part of the architecture, and `bytes` is long enough for every load (asserted above).
            unsafe { neon::sweep(bytes.as_ptr(), digits, others) };
            return;
        }
        #[allow(unreachable_code)]
        scalar(bytes, digits, others);
    }
}

const fn class(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => DIGIT,
        b'@' => ALONE,
        b':' | b'-' | b'A' => PAIR,
        _ => 0,
    }
}

/// The same without vector units.
fn scalar(bytes: &[u8], digits: &mut [u64], others: &mut [u64]) {
    for (word, (digits, others)) in digits.iter_mut().zip(others.iter_mut()).enumerate() {
        let (mut found, mut other) = (0u64, 0u64);
        for bit in 0..64 {
            let at = word * 64 + bit;
            match class(bytes[at]) {
                DIGIT => found |= 1 << bit,
                ALONE => other |= 1 << bit,
                PAIR if bytes[at] == bytes[at + AHEAD] => other |= 1 << bit,
                _ => {}
            }
        }
        (*digits, *others) = (found, other);
    }
}

/// For a byte below 128 its class is `LOW[byte & 15] & HIGH[byte >> 4]`, one bit for each pair of columns and rows.
/// 1: digits (row 3, columns 0-9); 2: `@` (4, 0); 4: `:` (3, 10); 8: `-` (2, 13); 16: `A` (4, 1).
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const LOW: [u8; 16] = [1 | 2, 1 | 16, 1, 1, 1, 1, 1, 1, 1, 1, 4, 0, 0, 8, 0, 0];
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const HIGH: [u8; 16] = [0, 0, 8, 1 | 4, 2 | 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PAIRS: u8 = 4 | 8 | 16;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_setzero_si128, _mm_shuffle_epi8, _mm_srli_epi16, _mm256_and_si256,
        _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256,
        _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    };

    use super::{AHEAD, HIGH, LOW, PAIRS};

    /// Never inlined: inside a loop with branches the compiler turns the compares into scalar code.
    ///
    /// # Safety
    /// The processor has AVX2; `64 * digits.len() + 3` bytes can be read.
    #[target_feature(enable = "avx2")]
    #[inline(never)]
    pub unsafe fn sweep_avx2(bytes: *const u8, digits: &mut [u64], others: &mut [u64]) {
        // SAFETY: the caller promises that all of these bytes can be read; unaligned loads are used.
        unsafe {
            let low = _mm256_broadcastsi128_si256(_mm_loadu_si128(LOW.as_ptr().cast()));
            let high = _mm256_broadcastsi128_si256(_mm_loadu_si128(HIGH.as_ptr().cast()));
            let (one, two) = (_mm256_set1_epi8(1), _mm256_set1_epi8(2));
            let (pairs, nibble) = (_mm256_set1_epi8(PAIRS.cast_signed()), _mm256_set1_epi8(15));
            let zero = _mm256_setzero_si256();
            let half = |at: *const u8| -> (u64, u64) {
                let v = _mm256_loadu_si256(at.cast::<__m256i>());
                let later = _mm256_loadu_si256(at.add(AHEAD).cast::<__m256i>());
                // The high bit of a byte makes the first shuffle give 0.
                let row = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(v), nibble));
                let class = _mm256_and_si256(_mm256_shuffle_epi8(low, v), row);
                let digit = _mm256_cmpeq_epi8(_mm256_and_si256(class, one), one);
                let paired = _mm256_and_si256(_mm256_and_si256(class, pairs), _mm256_cmpeq_epi8(v, later));
                let other = _mm256_or_si256(paired, _mm256_and_si256(class, two));
                let none = _mm256_cmpeq_epi8(other, zero);
                (
                    u64::from(_mm256_movemask_epi8(digit).cast_unsigned()),
                    u64::from(!_mm256_movemask_epi8(none).cast_unsigned()),
                )
            };
            for word in 0..digits.len() {
                let (digit_a, other_a) = half(bytes.add(word * 64));
                let (digit_b, other_b) = half(bytes.add(word * 64 + 32));
                digits[word] = digit_a | digit_b << 32;
                others[word] = other_a | other_b << 32;
            }
        }
    }

    /// # Safety
    /// The processor has SSSE3; `64 * digits.len() + 3` bytes can be read.
    #[target_feature(enable = "ssse3")]
    #[inline(never)]
    pub unsafe fn sweep_ssse3(bytes: *const u8, digits: &mut [u64], others: &mut [u64]) {
        // SAFETY: as above.
        unsafe {
            let low = _mm_loadu_si128(LOW.as_ptr().cast());
            let high = _mm_loadu_si128(HIGH.as_ptr().cast());
            let (one, two) = (_mm_set1_epi8(1), _mm_set1_epi8(2));
            let (pairs, nibble) = (_mm_set1_epi8(PAIRS.cast_signed()), _mm_set1_epi8(15));
            let zero = _mm_setzero_si128();
            for word in 0..digits.len() {
                let (mut found, mut other) = (0u64, 0u64);
                for quarter in 0..4 {
                    let at = bytes.add(word * 64 + quarter * 16);
                    let v = _mm_loadu_si128(at.cast::<__m128i>());
                    let later = _mm_loadu_si128(at.add(AHEAD).cast::<__m128i>());
                    let row = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi16::<4>(v), nibble));
                    let class = _mm_and_si128(_mm_shuffle_epi8(low, v), row);
                    let digit = _mm_cmpeq_epi8(_mm_and_si128(class, one), one);
                    let paired = _mm_and_si128(_mm_and_si128(class, pairs), _mm_cmpeq_epi8(v, later));
                    let none = _mm_cmpeq_epi8(_mm_or_si128(paired, _mm_and_si128(class, two)), zero);
                    found |= u64::from(_mm_movemask_epi8(digit).cast_unsigned()) << (16 * quarter);
                    other |= u64::from(!_mm_movemask_epi8(none).cast_unsigned() & 0xFFFF) << (16 * quarter);
                }
                (digits[word], others[word]) = (found, other);
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use std::arch::aarch64::{
        uint8x16_t, vaddv_u8, vandq_u8, vceqq_u8, vdupq_n_u8, vget_high_u8, vget_low_u8, vld1q_u8, vorrq_u8,
        vqtbl1q_u8, vshrq_n_u8, vtstq_u8,
    };

    use super::{AHEAD, HIGH, LOW, PAIRS};

    const BITS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

    /// # Safety
    /// `64 * digits.len() + 3` bytes can be read.
    #[inline(never)]
    pub unsafe fn sweep(bytes: *const u8, digits: &mut [u64], others: &mut [u64]) {
        // SAFETY: the caller promises that all of these bytes can be read.
        unsafe {
            let (low, high) = (vld1q_u8(LOW.as_ptr()), vld1q_u8(HIGH.as_ptr()));
            let bits = vld1q_u8(BITS.as_ptr());
            let mask = |v: uint8x16_t| -> u64 {
                let set = vandq_u8(v, bits);
                u64::from(vaddv_u8(vget_low_u8(set))) | u64::from(vaddv_u8(vget_high_u8(set))) << 8
            };
            for word in 0..digits.len() {
                let (mut found, mut other) = (0u64, 0u64);
                for quarter in 0..4 {
                    let at = bytes.add(word * 64 + quarter * 16);
                    let (v, later) = (vld1q_u8(at), vld1q_u8(at.add(AHEAD)));
                    let column = vqtbl1q_u8(low, vandq_u8(v, vdupq_n_u8(15)));
                    let class = vandq_u8(column, vqtbl1q_u8(high, vshrq_n_u8::<4>(v)));
                    let paired = vandq_u8(vandq_u8(class, vdupq_n_u8(PAIRS)), vceqq_u8(v, later));
                    let alone = vandq_u8(class, vdupq_n_u8(2));
                    found |= mask(vtstq_u8(class, vdupq_n_u8(1))) << (16 * quarter);
                    let any = vorrq_u8(paired, alone);
                    other |= mask(vtstq_u8(any, any)) << (16 * quarter);
                }
                (digits[word], others[word]) = (found, other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Marks, WORDS, scalar};

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let common = b"0123456789@:-A aA:-@\xc3\xb0\xba\xc1\xad";
        (0..length).map(|_| if next() % 3 == 0 { next() as u8 } else { common[next() % common.len()] }).collect()
    }

    #[test]
    fn vector_units_agree_with_the_plain_loop_at_every_length() {
        for length in (0..200).chain([4095, 4096, 4098, 4099, 4100, 9000]) {
            let text = noise(length, length as u64 + 1);
            let mut padded = text.clone();
            padded.resize(length + 128, 0);
            let mut at = 0;
            while at < length {
                let mut marks = Marks::new();
                let words = marks.fill(&text, at);
                let (mut digits, mut others) = ([0; WORDS], [0; WORDS]);
                scalar(&padded[at..], &mut digits[..words], &mut others[..words]);
                assert_eq!(marks.digits[..words], digits[..words], "digits of {length} at {at}");
                assert_eq!(marks.others[..words], others[..words], "others of {length} at {at}");
                at += words * 64;
            }
        }
    }
}
