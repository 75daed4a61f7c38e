//! From marks to entities: what the bytes around a digit rule out is never looked at twice.
// What is inlined into `sweep` is compiled for the units that the processor has.
#![allow(clippy::inline_always)]

use super::chars::{ADDRESS, BEFORE, DIGIT, HEX, JOINT, UPPER, VALUE, WORD, at, before, is};
use super::context;
use super::numbers::{Groups, Run};
use super::{Entity, Kind, email, keys, tokens};
use crate::trigger::Marks;
use crate::window::{Window, with_units};

/// Bytes before the first digit of a window. A colon that belongs to an address is at most ten bytes away.
const BACK: usize = 12;
/// Groups that end before this bit are judged: as much is seen behind them.
const LIMIT: usize = Window::SIZE - BACK;
/// The shortest run of groups that may be something, in bytes.
const SHORTEST: usize = 7;
const ZONE: u64 = (1 << LIMIT) - (1 << BACK);

/// All that is found while a text is read from its beginning to its end.
pub struct Scanner<'a> {
    text: &'a [u8],
    found: Vec<Entity>,
    groups: Groups,
    /// Up to here all digits have been judged.
    done: usize,
    /// Up to here the runs of groups have been read.
    run: usize,
    /// Up to here MAC addresses with colons and dashes have been found.
    mac: usize,
    /// Up to here tokens of hex digits and colons have been judged.
    colons: usize,
    /// Up to here tokens of hex digits and dots have been found.
    dots: usize,
}

impl<'a> Scanner<'a> {
    /// The entities of a text; some may overlap.
    pub fn sweep(text: &'a [u8]) -> Vec<Entity> {
        with_units(|| Self::read(text))
    }

    #[inline(always)]
    fn read(text: &'a [u8]) -> Vec<Entity> {
        let groups = Groups::new();
        let mut scanner = Self { text, found: Vec::new(), groups, done: 0, run: 0, mac: 0, colons: 0, dots: 0 };
        let mut marks = Marks::new();
        let (mut at, mut carry) = (0, 0u64);
        while at < text.len() {
            let words = marks.fill(text, at);
            for word in 0..words {
                let digits = marks.digits[word];
                // Only where a run of digits begins.
                let starts = digits & !(digits << 1 | carry);
                carry = digits >> 63;
                if starts | marks.others[word] != 0 {
                    scanner.word(at + word * 64, starts, marks.others[word]);
                }
            }
            at += words * 64;
        }
        scanner.found
    }

    #[inline(always)]
    fn word(&mut self, base: usize, starts: u64, others: u64) {
        let mut starts = starts & self.ahead(base);
        let mut others = others;
        while starts | others != 0 {
            let bit = (starts | others) & (starts | others).wrapping_neg();
            let place = base + bit.trailing_zeros() as usize;
            if starts & bit == 0 {
                others ^= bit;
                self.judge(place);
            } else if self.alone(place) {
                starts ^= bit;
            } else {
                self.digits(place);
                starts &= self.ahead(base);
            }
        }
    }

    /// Most numbers in prose are short and stand alone: they can be nothing.
    #[inline(always)]
    fn alone(&self, place: usize) -> bool {
        let text = self.text;
        if before(text, place, BEFORE) {
            return false;
        }
        let end = (place + 1..text.len().min(place + SHORTEST)).find(|&end| !is(text[end], DIGIT));
        let Some(end) = end else { return false };
        !is(text[end], WORD | VALUE | JOINT | ADDRESS) || (text[end] == b' ' && !at(text, end + 1, DIGIT | JOINT))
    }

    /// The bits of a word at which digits are still to be judged.
    #[inline(always)]
    fn ahead(&self, base: usize) -> u64 {
        (!0u64).checked_shl(self.done.saturating_sub(base).min(64) as u32).unwrap_or(0)
    }

    #[inline(always)]
    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        self.found.push(Entity { start, end, kind });
    }

    /// A mark that is no digit.
    fn judge(&mut self, place: usize) {
        match self.text[place] {
            b'@' => {
                if let Some((start, end)) = email::find(self.text, place) {
                    self.push(start, end, Kind::Email);
                }
            }
            b'A' => {
                if let Some(end) = keys::aws(self.text, place) {
                    self.push(place, end, Kind::AwsAccessKey);
                }
            }
            _ => {
                if place >= self.mac + 2
                    && let Some((start, end)) = tokens::mac(self.text, place)
                {
                    self.mac = end;
                    self.push(start, end, Kind::MacAddress);
                }
            }
        }
    }

    /// The groups in the window that begins with a group, and the runs that they are a part of.
    #[inline(always)]
    fn digits(&mut self, place: usize) {
        let window = Window::around(self.text, place, BACK);
        let digits = window.digits;
        let starts = digits & !(digits << 1);
        // Groups that go on behind the zone wait for the next window.
        let between = !digits & ((1 << LIMIT) - 1);
        let cut = digits >> (LIMIT - 1) & 1 == 1;
        let stop = if cut { Window::SIZE - between.leading_zeros() as usize } else { LIMIT };
        if stop <= BACK {
            self.long(place);
            return;
        }
        let stop = self.runs(place, &window, starts, stop);
        let zone = ZONE & ((1 << stop) - 1);
        self.tokens(place, &window, starts & zone);
        self.done = place + stop - BACK;
    }

    /// A group that is longer than the zone.
    fn long(&mut self, place: usize) {
        let text = self.text;
        let end = place + text[place..].iter().take_while(|&&byte| is(byte, DIGIT)).count();
        if place >= self.run {
            self.run = self.groups.read(text, &Run { place, digits: 0, before: Window::default() }, &mut self.found);
        }
        if let Some((from, to, kind)) = keys::find(text, place) {
            self.push(from, to, kind);
        }
        self.address(place, end);
        self.done = end;
    }

    /// Read the runs that begin in the zone and may be something; where the zone ends that is judged with them.
    #[inline(always)]
    fn runs(&mut self, place: usize, window: &Window, starts: u64, stop: usize) -> usize {
        let Window { digits, joints, .. } = *window;
        let ends = !digits & (digits << 1);
        let links = ends & joints & (digits >> 1 | (joints >> 1 & digits >> 2));
        let linked = (digits << 2 & joints << 1) | (digits << 3 & joints << 2 & joints << 1);
        let last = ends & !links & ((1 << (LIMIT + 1)) - 1);
        let mut firsts = starts & !linked & ZONE;
        while firsts != 0 {
            let first = firsts.trailing_zeros() as usize;
            let begin = place + first - BACK;
            let behind = last & (!0 << first);
            if behind == 0 {
                // It does not end in this window.
                if begin >= self.run {
                    if first > BACK {
                        return first.min(stop);
                    }
                    let run = Run { place, digits: 0, before: window.before(BACK) };
                    self.run = self.groups.read(self.text, &run, &mut self.found);
                }
                break;
            }
            let end = behind.trailing_zeros() as usize;
            firsts &= !0 << end;
            // Nothing is shorter than seven bytes.
            if end - first >= SHORTEST && begin >= self.run && self.may_be(begin, window, first, end) {
                let digits = (digits & ((1 << end) - 1)) >> first;
                let run = Run { place: begin, digits, before: window.before(first) };
                self.run = self.groups.read(self.text, &run, &mut self.found);
            }
        }
        stop
    }

    /// Whether a run of groups may be something, by the number of its groups and digits and by what is next to it.
    #[inline(always)]
    fn may_be(&self, begin: usize, window: &Window, first: usize, end: usize) -> bool {
        let Window { digits, dashes, dots, .. } = *window;
        let run = ((1 << end) - 1) & (!0 << first);
        let count = (digits & run).count_ones();
        let joints = run & !digits;
        let groups = (digits & run & !(digits << 1)).count_ones();
        // A letter behind a date makes it a time stamp.
        let plain = joints & !(dashes | dots) == 0 && joints & joints << 1 == 0;
        let touched = window.letters >> end & 1 == 1 && !matches!(self.text[begin + end - first] | 0x20, b'x' | b'e');
        match (groups, count) {
            // As in 1.1.1.1; cards; 123-45-6789 and 555-234-5678.
            (4.., _) | (_, 12..) => true,
            (3, _) if plain && touched => false,
            (3, 9 | 10) => true,
            // What has a `+` or a word before it: 1.1.1990, or seven digits.
            (3, 6..) | (_, 7..) => {
                (begin > 0 && self.text[begin - 1] == b'+')
                    || context::before(self.text, begin, &window.before(first)) != 0
            }
            _ => false,
        }
    }

    /// Judge the tokens that these groups are a part of.
    #[inline(always)]
    fn tokens(&mut self, place: usize, window: &Window, groups: u64) {
        let Window { digits, letters, hex, .. } = *window;
        let word = digits | letters | window.lines;
        let ibans = groups & letters << 1 & letters << 2 & !(word << 3) & digits >> 1;
        for bit in bits(ibans) {
            let start = place + bit - BACK - 2;
            if is(self.text[start], UPPER)
                && is(self.text[start + 1], UPPER)
                && let Some(end) = tokens::iban(self.text, start)
            {
                self.push(start, end, Kind::Iban);
            }
        }
        for bit in bits(keys_in(window, word) & groups) {
            if let Some((from, to, kind)) = keys::find(self.text, place + bit - BACK) {
                self.push(from, to, kind);
            }
        }
        // Two colons with at most four hex digits between them, or two dots with exactly four.
        let hex = hex | digits;
        let Window { colons, dots, .. } = *window;
        let near = colons >> 5 & hex >> 4;
        let near = (colons >> 4 | near) & hex >> 3;
        let near = (colons >> 3 | near) & hex >> 2;
        let near = (colons >> 2 | near) & hex >> 1;
        let fours = dots & dots >> 5 & hex >> 1 & hex >> 2 & hex >> 3 & hex >> 4;
        let pairs = colons & (colons >> 1 | near) | fours;
        if pairs != 0 {
            self.addresses(place, window, groups, pairs);
        }
    }

    /// The tokens around such colons and dots: an address has a gap, or six colons, or two dots.
    #[inline(never)]
    fn addresses(&mut self, place: usize, window: &Window, groups: u64, mut pairs: u64) {
        let Window { digits, colons, dots, .. } = *window;
        let others = !(digits | window.hex | colons | dots);
        let gaps = colons & colons << 1;
        let mut worthy = 0;
        while pairs != 0 {
            let pair = pairs & pairs.wrapping_neg();
            let (before, behind) = (others & (pair - 1), others & !(pair - 1));
            let end = (behind & behind.wrapping_neg()).wrapping_sub(1);
            let token = end & (!0u64).checked_shl(64 - before.leading_zeros()).unwrap_or(0);
            // What goes on beyond the window may have more of them.
            let whole = before != 0 && behind != 0;
            if !whole || gaps & token != 0 || (colons & token).count_ones() > 5 || (dots & token).count_ones() > 1 {
                worthy |= token;
            }
            pairs &= !token;
        }
        for bit in bits(groups & worthy) {
            let start = place + bit - BACK;
            // Most groups of a long token have been judged with its first one.
            if start >= self.colons || dots != 0 {
                self.address(start, start + (!(digits >> bit)).trailing_zeros() as usize);
            }
        }
    }

    /// An IPv6 address or a MAC address with dots that a group is a part of.
    fn address(&mut self, start: usize, end: usize) {
        let text = self.text;
        let (colons, dots) = beside(text, start, end);
        if colons && start >= self.colons {
            let (address, token) = tokens::ipv6(text, start);
            self.colons = token;
            if let Some((from, to)) = address {
                self.push(from, to, Kind::Ipv6);
            }
        }
        if dots
            && start >= self.dots
            && let Some((from, to)) = tokens::dotted_mac(text, start)
        {
            self.dots = to;
            self.push(from, to, Kind::MacAddress);
        }
    }
}

/// The first digits of tokens that are as long as the shortest key: what goes on beyond the window is long enough.
#[inline(always)]
fn keys_in(window: &Window, word: u64) -> u64 {
    let keys = word | window.dashes;
    let values = keys | window.marks;
    // Where one of the next fourteen bytes cannot belong to a value.
    let short = !values;
    let short = short | short >> 1;
    let short = short | short >> 2;
    let short = short | short >> 4;
    let short = short | short >> 6;
    let mut long = !short;
    long |= long << 1;
    long |= long << 2;
    long |= long << 4;
    long |= long << 6;
    long |= values & !values.wrapping_add(1);
    if long == 0 {
        return 0;
    }
    // Adding one to the beginning of a token carries it up to the first digit. In 1.1 the second has been judged.
    let begins = keys & !(keys << 1);
    let plain = keys & !window.digits;
    let again = window.marks << 1 & window.digits << 2;
    long & window.digits & (begins & !again | (begins & plain).wrapping_add(plain))
}

#[inline(always)]
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < Window::SIZE).then_some(bit)
    })
}

/// Whether at most four hex digits away from a group there is a colon, and whether there is a dot.
fn beside(text: &[u8], start: usize, end: usize) -> (bool, bool) {
    let (mut low, mut high) = (start, end);
    while low > 0 && start - low < 4 && is(text[low - 1], HEX) {
        low -= 1;
    }
    while at(text, high, HEX) && high - end < 4 {
        high += 1;
    }
    let last = if low > 0 { text[low - 1] } else { 0 };
    let next = text.get(high).copied().unwrap_or(0);
    (last == b':' || next == b':', last == b'.' || next == b'.')
}
