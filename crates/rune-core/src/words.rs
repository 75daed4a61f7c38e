//! Whether one of some words may stand in JSON, in any case: one pass for each, which says no for most of what passes.

use crate::escapes::opened;
use crate::window::with_units;

const LANES: usize = 32;
const KELVIN: &[u8] = "\u{212a}".as_bytes();
const DOTTED: &[u8] = "\u{130}".as_bytes();
/// From the most common to the rarest, of what stands in texts.
const COMMON: &[u8] = b" \"etaoinshrdlcumwfgypbvk0123456789,.:-_/";

/// Words that are looked for.
pub struct Words {
    /// Those of ASCII, in lower case, each with the place of its rarest pair.
    plain: Vec<(Vec<u8>, usize)>,
    /// Whether there are others: what they are in another case only Unicode knows.
    others: bool,
}

impl Words {
    /// `words` in lower case, none of them empty.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut made = Self { plain: Vec::new(), others: false };
        for word in words {
            let word = word.as_ref();
            if word.is_ascii() {
                made.plain.push((word.to_vec(), rarest(word)));
            } else {
                made.others = true;
            }
        }
        made
    }

    /// Whether certainly none of them stands in some JSON, its escapes read. Beyond ASCII there are characters that are
    /// others in lower case: with some of them, and with words of such, this is never certain.
    #[must_use]
    pub fn absent(&self, json: &[u8]) -> bool {
        let text = opened(json);
        let text: &[u8] = &text;
        if !text.is_ascii() && (self.others || holds(text, KELVIN) || holds(text, DOTTED)) {
            return false;
        }
        with_units(|| !self.plain.iter().any(|(word, pair)| stands(text, word, *pair)))
    }
}

fn holds(text: &[u8], character: &[u8]) -> bool {
    text.windows(character.len()).any(|bytes| bytes == character)
}

/// Where the two neighbours of a word stand that are least common in texts.
fn rarest(word: &[u8]) -> usize {
    let rank = |byte: &u8| COMMON.iter().position(|common| common == byte).unwrap_or(COMMON.len());
    let pairs = word.windows(2).enumerate();
    pairs.max_by_key(|(_, pair)| pair.iter().map(rank).sum::<usize>()).map_or(0, |(place, _)| place)
}

/// Whether a word stands in a text, in any case: only where its rarest pair does it is compared.
#[inline(always)]
#[allow(clippy::inline_always)] // It is compiled for the units that the processor has.
fn stands(text: &[u8], word: &[u8], pair: usize) -> bool {
    let Some(last) = text.len().checked_sub(word.len()) else { return false };
    let fold = |letter: u8| if letter.is_ascii_lowercase() { 0x20 } else { 0 };
    let first = word[pair];
    let second = *word.get(pair + 1).unwrap_or(&first);
    let (one, two) = (fold(first), fold(second));
    let firsts = &text[pair..=pair + last];
    let seconds = &text[pair + usize::from(word.len() > 1)..][..=last];
    let hit = |at: usize| text[at + pair] | one == first && text[at..at + word.len()].eq_ignore_ascii_case(word);
    let (blocks, rest) = firsts.as_chunks::<LANES>();
    for (block, (a, b)) in blocks.iter().zip(seconds.as_chunks::<LANES>().0).enumerate() {
        let mut both = 0;
        for lane in 0..LANES {
            both |= u8::from(a[lane] | one == first) & u8::from(b[lane] | two == second);
        }
        if both != 0 && (block * LANES..(block + 1) * LANES).any(hit) {
            return true;
        }
    }
    (firsts.len() - rest.len()..firsts.len()).any(hit)
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_word_is_seen_wherever_it_stands_and_in_any_case() {
        let words = Words::new(["drop table", "x", "rm -rf"]);
        for before in 0..100 {
            for after in [0, 1, 31, 32, 33, 70] {
                let text = format!("{}Drop TABLE{}", "-".repeat(before), "-".repeat(after));
                assert!(!words.absent(text.as_bytes()), "{text}");
                assert!(words.absent(text.replace(' ', "_").as_bytes()), "{text}");
            }
        }
        assert!(!words.absent(br#"{"a":"dr\u006fp table"}"#));
        assert!(!words.absent(b"X"));
        assert!(words.absent(b""));
    }

    #[test]
    fn beyond_ascii_it_is_not_always_certain() {
        let words = Words::new(["key"]);
        assert!(words.absent("\u{e9}t\u{e9}".as_bytes()));
        assert!(!words.absent("\u{212a}EY".as_bytes()));
        assert!(!words.absent("\u{130}".as_bytes()));
        let words = Words::new(["\u{e9}t\u{e9}"]);
        assert!(words.absent(b"ete"));
        assert!(!words.absent("\u{c9}".as_bytes()));
    }
}
