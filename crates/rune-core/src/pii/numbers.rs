//! Numbers that are written in groups: SSN, cards, dates, IPv4 addresses, phone numbers.
//!
//! A run is read once, group by group. At each group the longest entity that begins there is taken, and the reading
//! goes on behind it.

use std::cell::Cell;

use super::chars::{DIGIT, JOINT, WORD, at, before, free_left, free_right};
use super::context::{self, BIRTH, SSN};
use super::tokens::is_octet;
use super::{Entity, Kind};
use crate::window::Window;

/// Groups that are looked at together.
const MOST: usize = 8;
const ROOM: usize = 2 * MOST;

#[derive(Clone, Copy)]
pub struct Group {
    pub start: usize,
    pub end: usize,
    /// What joins it to the next group: one byte, or two; 0 when nothing does.
    pub joint: [u8; 2],
}

impl Group {
    const NONE: Self = Self { start: 0, end: 0, joint: [0; 2] };

    /// In `digits` there is a bit for each digit from `start` on, or none when that is not known.
    #[inline]
    fn read(text: &[u8], start: usize, digits: u64) -> Self {
        let mut end = start + digits.trailing_ones() as usize;
        if digits == 0 {
            while at(text, end, DIGIT) {
                end += 1;
            }
        }
        let mut joint = [0; 2];
        if at(text, end, JOINT) {
            if at(text, end + 1, DIGIT) {
                joint[0] = text[end];
            } else if at(text, end + 1, JOINT) && at(text, end + 2, DIGIT) {
                joint = [text[end], text[end + 1]];
            }
        }
        Self { start, end, joint }
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// The place of the next group, if there is one.
    fn next(&self) -> Option<usize> {
        match self.joint {
            [0, _] => None,
            [_, 0] => Some(self.end + 1),
            _ => Some(self.end + 2),
        }
    }

    fn joined_by(&self, byte: u8) -> bool {
        self.joint == [byte, 0]
    }
}

/// Where a run of groups begins, and what is known of its surroundings.
pub struct Run {
    pub place: usize,
    /// A bit for each digit from there on to the end of the run, or none when it is longer than a window.
    pub digits: u64,
    /// What stands before it, if there is a digit in it.
    pub before: Window,
}

/// A window over the groups of a run; it moves down when it comes to the end of its room.
pub struct Groups([Group; ROOM]);

impl Groups {
    pub const fn new() -> Self {
        Self([Group::NONE; ROOM])
    }

    /// Read a run of groups; where it ends.
    #[inline(never)]
    pub fn read(&mut self, text: &[u8], run: &Run, found: &mut Vec<Entity>) -> usize {
        let groups = &mut self.0;
        let place = run.place;
        let (mut first, mut last) = (0, 0);
        let mut next = Some(place);
        let mut end = place;
        loop {
            if first + MOST > ROOM {
                groups.copy_within(first..last, 0);
                (first, last) = (0, last - first);
            }
            while last - first < MOST {
                let Some(start) = next else { break };
                let group = Group::read(text, start, run.digits.checked_shr((start - place) as u32).unwrap_or(0));
                next = group.next();
                end = group.end;
                groups[last] = group;
                last += 1;
            }
            if first == last {
                return end;
            }
            let entity = Start::best(text, &groups[first..last], run);
            first += 1;
            if let Some(entity) = entity {
                while first < last && groups[first].start < entity.end {
                    first += 1;
                }
                found.push(entity);
            }
        }
    }
}

/// The groups from one on, and what may begin there.
pub struct Start<'a> {
    pub text: &'a [u8],
    pub groups: &'a [Group],
    pub place: usize,
    run: &'a Run,
    /// Whether a word may stand before it: between the groups of a run there is no room for one.
    pub nameable: bool,
    /// The words before it, looked for once.
    words: Cell<Option<u8>>,
}

impl<'a> Start<'a> {
    /// The longest entity; the first kind in this order among equals.
    #[inline]
    fn best(text: &'a [u8], groups: &'a [Group], run: &'a Run) -> Option<Entity> {
        let length = |index: usize| groups.get(index).map_or(0, |group: &Group| group.len().min(15));
        let shape = length(0) << 12 | length(1) << 8 | length(2) << 4 | length(3);
        let (first, place) = (shape >> 12, groups[0].start);
        let nameable = place == run.place;
        let dotted = groups[0].joined_by(b'.');
        // The kinds whose shape it may have.
        let ssn = shape >> 4 == 0x324 || (nameable && first == 9);
        let card = (first == 4 && matches!(shape >> 8 & 15, 4 | 6)) || first >= 12;
        let date = nameable && groups.len() > 2 && matches!(shape >> 4, 0x111..=0x224 | 0x411..=0x422);
        let ipv4 = dotted && first < 4 && groups.len() > 3 && (place == 0 || text[place - 1] != b'.');
        let american = shape >> 4 == 0x334 || matches!(shape, 0x1334 | 0x3334);
        let phone = american || (nameable && (groups.len() > 1 || first > 6));
        // Nothing begins inside a word.
        if !(ssn || card || date || ipv4 || phone) || before(text, place, WORD) {
            return None;
        }
        let start = Self { text, groups, place, run, nameable, words: Cell::new(None) };
        let mut best: Option<Entity> = None;
        let mut longest = 0;
        let mut take = |kind: Kind, end: Option<usize>| {
            if let Some(end) = end
                && end > longest
            {
                (best, longest) = (Some(Entity { start: place, end, kind }), end);
            }
        };
        if ssn {
            take(Kind::Ssn, start.ssn());
        }
        if card {
            take(Kind::CreditCard, start.card());
        }
        if date {
            take(Kind::DateOfBirth, start.date());
        }
        if ipv4 {
            take(Kind::Ipv4, start.ipv4());
        }
        // Last, and only where it would win: it may have to look for words.
        if phone { start.phone(longest, american).or(best) } else { best }
    }

    fn lens<const N: usize>(&self) -> Option<[usize; N]> {
        let mut lens = [0; N];
        if self.groups.len() < N {
            return None;
        }
        for (len, group) in lens.iter_mut().zip(self.groups) {
            *len = group.len();
        }
        Some(lens)
    }

    fn number(&self, group: usize) -> u32 {
        let Group { start, end, .. } = self.groups[group];
        self.text[start..end].iter().fold(0, |sum, &byte| (sum * 10 + u32::from(byte - b'0')) % 1_000_000)
    }

    /// The one byte that joins the first `count` groups, when it is the same everywhere.
    fn joint(&self, count: usize) -> Option<u8> {
        let [byte, 0] = self.groups[0].joint else { return None };
        self.groups[1..count - 1].iter().all(|group| group.joined_by(byte)).then_some(byte)
    }

    fn ssn(&self) -> Option<usize> {
        let end = match self.lens::<3>() {
            Some([3, 2, 4]) => {
                let joint = self.joint(3)?;
                if joint != b'-' && !(matches!(joint, b' ' | b'.') && self.named(SSN)) {
                    return None;
                }
                if !ssn_parts(self.number(0), self.number(1), self.number(2)) {
                    return None;
                }
                self.groups[2].end
            }
            _ if self.groups[0].len() == 9 && self.named(SSN) => {
                let Group { start, end, .. } = self.groups[0];
                let number = self.text[start..end].iter().fold(0u32, |sum, &byte| sum * 10 + u32::from(byte - b'0'));
                if !ssn_parts(number / 1_000_000, number / 10_000 % 100, number % 10_000) {
                    return None;
                }
                end
            }
            _ => return None,
        };
        self.alone(end)
    }

    fn card(&self) -> Option<usize> {
        // Every layout begins with four digits, or is one group.
        if self.groups[0].len() != 4 && self.groups[0].len() < 12 {
            return None;
        }
        let mut digits = [0u8; 19];
        let mut total = 0;
        let mut best = None;
        for (index, group) in self.groups.iter().take(5).enumerate() {
            let len = group.len();
            if total + len > 19 {
                break;
            }
            for (slot, &byte) in digits[total..].iter_mut().zip(&self.text[group.start..group.end]) {
                *slot = byte - b'0';
            }
            total += len;
            let joined = index == 0 || self.joint(index + 1).is_some_and(|byte| matches!(byte, b' ' | b'-'));
            if !joined {
                break;
            }
            if total >= 12
                && self.card_layout(index + 1)
                && (total > 12 || index == 0 || (self.nameable && group.next().is_none()))
                && card_issuer(&digits[..total])
                && luhn(&digits[..total])
                && self.alone(group.end).is_some()
            {
                best = Some(group.end);
            }
        }
        best
    }

    /// In one piece, in fours, or as 4-6-5 and 4-6-4.
    fn card_layout(&self, count: usize) -> bool {
        let lens = || self.groups[..count].iter().map(Group::len);
        match count {
            1 => true,
            3 if self.groups[1].len() == 6 => self.groups[0].len() == 4 && matches!(self.groups[2].len(), 4 | 5),
            _ => lens().take(count - 1).all(|len| len == 4) && (1..=4).contains(&self.groups[count - 1].len()),
        }
    }

    fn date(&self) -> Option<usize> {
        if !self.nameable || self.groups.len() < 3 || !matches!(self.groups[0].joint, [b'/' | b'.' | b'-', 0]) {
            return None;
        }
        let lens = self.lens::<3>()?;
        self.joint(3)?;
        let (year, one, other) = match lens {
            [1 | 2, 1 | 2, 4] => (2, 0, 1),
            [4, 1 | 2, 1 | 2] => (0, 1, 2),
            _ => return None,
        };
        let (one, other) = (self.number(one), self.number(other));
        let day_and_month = |day, month| (1..=31).contains(&day) && (1..=12).contains(&month);
        let plausible =
            matches!(self.number(year) / 100, 19 | 20) && (day_and_month(one, other) || day_and_month(other, one));
        let end = self.groups[2].end;
        (plausible && self.alone(end).is_some() && self.named(BIRTH)).then_some(end)
    }

    fn ipv4(&self) -> Option<usize> {
        let groups = self.groups.get(..4)?;
        let dotted = groups[..3].iter().all(|group| group.joined_by(b'.')) && !groups[3].joined_by(b'.');
        let octets = || groups.iter().all(|group| is_octet(&self.text[group.start..group.end]));
        let end = groups[3].end;
        (dotted && !at(self.text, end, WORD) && octets()).then_some(end)
    }

    /// The end again, when nothing touches the entity on either side.
    fn alone(&self, end: usize) -> Option<usize> {
        (free_left(self.text, self.place) && free_right(self.text, end)).then_some(end)
    }

    /// Whether a word of a kind stands before it.
    pub fn named(&self, kind: u8) -> bool {
        self.nameable && {
            let words = self.words.get().unwrap_or_else(|| context::before(self.text, self.place, &self.run.before));
            self.words.set(Some(words));
            words & kind != 0
        }
    }
}

/// Areas 000, 666 and from 900 on are not given out, nor are group 00 and serial 0000.
fn ssn_parts(area: u32, group: u32, serial: u32) -> bool {
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Whether an issuer has numbers of this beginning and length.
fn card_issuer(digits: &[u8]) -> bool {
    let n = digits.len();
    let four = digits[..4].iter().fold(0u32, |sum, &digit| sum * 10 + u32::from(digit));
    let two = four / 100;
    match digits[0] {
        4 => matches!(n, 13 | 16 | 19),
        5 => ((51..=55).contains(&two) && n == 16) || two == 50 || two >= 56,
        2 => ((2221..=2720).contains(&four) && n == 16) || (four == 2131 && n == 15),
        3 => {
            (matches!(two, 34 | 37) && n == 15)
                || ((four / 10 <= 305 && four >= 3000) || four == 3095 || matches!(two, 36 | 38 | 39)) && n >= 14
                || (3528..=3589).contains(&four) && n >= 16
        }
        6 => true,
        1 => four == 1800 && n == 15,
        _ => false,
    }
}

/// The check digit of a card number (ISO/IEC 7812-1).
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().fold(0, |sum, (place, &digit)| {
        let value = if place % 2 == 1 { u32::from(digit) * 2 } else { u32::from(digit) };
        sum + if value > 9 { value - 9 } else { value }
    });
    sum.is_multiple_of(10)
}
