//! Words that give a number its meaning: what stands just before it, in the common languages.

use super::chars::{DIGIT, LETTER, is};

/// Bytes before a number in which its word may stand; no digit and no line end may come in between.
const REACH: usize = 40;

/// Some words, and their first and second bytes: nearly every place in a text is ruled out by one look.
pub struct Words {
    all: &'static [&'static str],
    first: [bool; 256],
    second: [bool; 256],
}

impl Words {
    const fn new(words: &'static [&'static str]) -> Self {
        let (mut first, mut second) = ([false; 256], [false; 256]);
        let mut index = 0;
        while index < words.len() {
            let word = words[index].as_bytes();
            first[word[0] as usize] = true;
            first[word[0].to_ascii_uppercase() as usize] = true;
            second[word[1] as usize] = true;
            second[word[1].to_ascii_uppercase() as usize] = true;
            index += 1;
        }
        Self { all: words, first, second }
    }
}

pub static PHONE: Words = Words::new(&[
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
]);
pub static BIRTH: Words = Words::new(&[
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
]);
pub static SSN: Words = Words::new(&["ssn", "social security", "social sec", "soc sec"]);

/// Whether one of the words stands before the place, at the start of a word, its ASCII letters in any case.
pub fn stands_before(text: &[u8], place: usize, words: &Words) -> bool {
    let mut start = place;
    while start > 0 && place - start < REACH {
        let byte = text[start - 1];
        if byte == b'\n' || is(byte, DIGIT) {
            return false;
        }
        start -= 1;
        if words.first[byte as usize]
            && start + 1 < place
            && words.second[text[start + 1] as usize]
            && begins(text, start, place, words)
        {
            return true;
        }
    }
    false
}

#[inline(never)]
fn begins(text: &[u8], start: usize, place: usize, words: &Words) -> bool {
    if is(text[start], LETTER) && start > 0 && is(text[start - 1], LETTER) {
        return false;
    }
    let rest = &text[start..place];
    words.all.iter().any(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes())))
}
