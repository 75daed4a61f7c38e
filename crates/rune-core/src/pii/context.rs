//! Words that give a number its meaning: what stands just before it, in the common languages.

use super::chars::{LETTER, is};
use crate::window::Window;

/// Bytes before a number in which its word may stand; no digit and no line end may come in between.
const REACH: usize = 40;

/// Words for telephone.
pub const PHONE: u8 = 1;
/// Words for birth.
pub const BIRTH: u8 = 2;
/// Words for social security.
pub const SSN: u8 = 4;

static PHONES: &[&str] = &[
    "tel",
    "phone",
    "fon",
    "mobile",
    "mobil",
    "cell",
    "celular",
    "fax",
    "call",
    "handy",
    "gsm",
    "sms",
    "whatsapp",
    "tlf",
    "tfn",
    "tfno",
    "puh",
    "telefoon",
    "portable",
    "t\u{e9}l",
    "m\u{f3}vil",
    "\u{442}\u{435}\u{43b}",
    "\u{422}\u{435}\u{43b}",
    "\u{3c4}\u{3b7}\u{3bb}",
    "\u{7535}\u{8bdd}",
    "\u{96fb}\u{8a71}",
    "\u{624b}\u{673a}",
    "\u{624b}\u{6a5f}",
    "\u{643a}\u{5e2f}",
    "\u{c804}\u{d654}",
    "\u{d734}\u{b300}",
    "\u{647}\u{627}\u{62a}\u{641}",
    "\u{5d8}\u{5dc}\u{5e4}\u{5d5}\u{5df}",
    "\u{92b}\u{93c}\u{94b}\u{928}",
    "\u{92b}\u{94b}\u{928}",
    "\u{e42}\u{e17}\u{e23}",
];
static BIRTHS: &[&str] = &[
    "dob",
    "d.o.b",
    "born",
    "birth",
    "geb",
    "naissance",
    "n\u{e9} le",
    "n\u{e9}e le",
    "nacimiento",
    "nacido",
    "nacida",
    "nascita",
    "nato il",
    "nata il",
    "nascimento",
    "nascido",
    "nascida",
    "geboorte",
    "urodz",
    "\u{440}\u{43e}\u{436}\u{434}\u{435}\u{43d}",
    "\u{440}\u{43e}\u{434}\u{438}\u{43b}",
    "\u{751f}\u{65e5}",
    "\u{751f}\u{5e74}\u{6708}\u{65e5}",
    "\u{51fa}\u{751f}",
    "\u{c0dd}\u{b144}\u{c6d4}\u{c77c}",
];
static SSNS: &[&str] = &["ssn", "social security", "social sec", "soc sec"];

static WORDS: [(u8, &[&str]); 3] = [(PHONE, PHONES), (BIRTH, BIRTHS), (SSN, SSNS)];

const HEADS: usize = 4096;

/// Which words may begin with three bytes, whatever the case: nearly every word of a text is ruled out by one look.
static MAY_BEGIN: [u8; HEADS] = {
    let mut table = [0; HEADS];
    let mut list = 0;
    while list < WORDS.len() {
        let (bit, words) = WORDS[list];
        let mut index = 0;
        while index < words.len() {
            let word = words[index].as_bytes();
            table[head([word[0], word[1], word[2]])] |= bit;
            index += 1;
        }
        list += 1;
    }
    table
};

const fn head(bytes: [u8; 3]) -> usize {
    let [a, b, c] = bytes;
    let together = u32::from_le_bytes([a | 0x20, b | 0x20, c | 0x20, 0]);
    (together.wrapping_mul(0x9E37_79B1) >> 20) as usize
}

/// The kinds of words that stand before a place, each at the start of a word, its ASCII letters in any case.
/// What ends there is in the window, if there is a digit in it.
#[inline(never)]
pub fn before(text: &[u8], place: usize, window: &Window) -> u8 {
    let window = if window.digits == 0 { &Window::words(text, place) } else { window };
    let mut starts = window.letters & !(window.letters << 1) | window.high;
    starts &= !0 << (Window::SIZE - REACH).max(Window::SIZE - window.digits.leading_zeros() as usize).min(63);
    let mut found = 0;
    while starts != 0 {
        let distance = Window::SIZE - starts.trailing_zeros() as usize;
        starts &= starts - 1;
        if distance >= 3 {
            let start = place - distance;
            let may = MAY_BEGIN[head([text[start], text[start + 1], text[start + 2]])] & !found;
            if may != 0 {
                found |= begins(text, start, place, may);
            }
        }
    }
    found
}

/// Which of these kinds of words begin at a place.
#[cold]
fn begins(text: &[u8], start: usize, place: usize, may: u8) -> u8 {
    if is(text[start], LETTER) && start > 0 && is(text[start - 1], LETTER) {
        return 0;
    }
    let rest = &text[start..place];
    if rest.contains(&b'\n') {
        return 0;
    }
    let mut found = 0;
    for (bit, words) in WORDS {
        let stands =
            |word: &&str| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
        if may & bit != 0 && words.iter().any(stands) {
            found |= bit;
        }
    }
    found
}
