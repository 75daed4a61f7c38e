//! Telephone numbers: international, of the United States and Canada, and national behind a word.

use super::chars::{DIGIT, WORD, at, before, free_left, free_right, is};
use super::context::PHONE;
use super::numbers::Start;
use super::{Entity, Kind};

const PARENTHESIS: u8 = b'(';

impl Start<'_> {
    /// One that is longer than what has been found already.
    pub fn phone(&self, longest: usize, american: bool) -> Option<Entity> {
        let text = self.text;
        let last = if self.place > 0 { text[self.place - 1] } else { 0 };
        // A parenthesis belongs to it when it is closed behind the first group.
        let opened = last == PARENTHESIS && self.groups[0].joint[0] == b')';
        let start = if opened || last == b'+' { self.place - 1 } else { self.place };
        let end = if last == b'+' {
            let touched = before(text, start, WORD) || (start > 0 && text[start - 1] == b'+');
            if touched { None } else { self.international() }
        } else if free_left(text, start) {
            let found = if american { self.north_american(opened) } else { None };
            found.or_else(|| self.national(longest))
        } else {
            None
        };
        let end = self.extension(end?);
        (end > longest).then_some(Entity { start, end, kind: Kind::Phone })
    }

    /// After a `+`: 7 to 15 digits, 11 where the country is 1.
    fn international(&self) -> Option<usize> {
        if self.text[self.place] == b'0' {
            return None;
        }
        if self.text[self.place] == b'1' { self.longest(11, 11) } else { self.longest(7, 15) }
    }

    /// The end of the longest row of groups with so many digits together.
    fn longest(&self, least: usize, most: usize) -> Option<usize> {
        let (mut total, mut best) = (0, None);
        for group in self.groups {
            total += group.len();
            if total > most {
                break;
            }
            if total >= least && (self.closed(group.end) || self.extension(group.end) > group.end) {
                best = Some(group.end);
            }
        }
        best
    }

    /// (555) 234-5678, 555-234-5678, 1 555 234 5678: area and exchange begin with 2 to 9.
    fn north_american(&self, opened: bool) -> Option<usize> {
        let text = self.text;
        let prefix = match &text[self.groups[0].start..self.groups[0].end] {
            b"1" | b"001" => 1,
            _ => 0,
        };
        let [area, exchange, line] = self.groups.get(prefix..prefix + 3)? else { return None };
        if (area.len(), exchange.len(), line.len()) != (3, 3, 4) {
            return None;
        }
        if text[area.start] < b'2' || text[exchange.start] < b'2' {
            return None;
        }
        let plain = |joint: [u8; 2]| matches!(joint, [b'-' | b'.' | b' ', 0]);
        let closing = |joint: [u8; 2]| matches!(joint, [b')', 0 | b' ' | b'-' | b'.']);
        let parenthesis = if prefix == 1 {
            match self.groups[0].joint {
                [b' ' | b'-' | b'.', b'('] | [b'(', 0] => true,
                joint if plain(joint) => false,
                _ => return None,
            }
        } else {
            opened
        };
        if opened && prefix == 1 {
            return None;
        }
        let well = if parenthesis { closing(area.joint) } else { plain(area.joint) };
        (well && plain(exchange.joint) && (self.closed(line.end) || self.extension(line.end) > line.end))
            .then_some(line.end)
    }

    /// Any other form, right after a word for telephone: 7 to 15 digits.
    fn national(&self, longest: usize) -> Option<usize> {
        if !self.nameable {
            return None;
        }
        let end = self.longest(7, 15)?;
        (self.extension(end) > longest && self.named(PHONE)).then_some(end)
    }

    /// Behind a number: x12, ext. 12, extension 12.
    fn extension(&self, end: usize) -> usize {
        let text = self.text;
        let from = if text.get(end) == Some(&b' ') { end + 1 } else { end };
        if !matches!(text.get(from), Some(b'x' | b'X' | b'e' | b'E')) {
            return end;
        }
        let rest = &text[from.min(text.len())..];
        let Some(word) = ["extension", "ext", "x"]
            .iter()
            .find(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes())))
        else {
            return end;
        };
        let mut first = from + word.len();
        for _ in 0..2 {
            if first < text.len() && matches!(text[first], b'.' | b':' | b' ') {
                first += 1;
            }
        }
        let digits = text[first.min(text.len())..].iter().take_while(|&&byte| is(byte, DIGIT)).count();
        let stop = first + digits;
        if (1..=6).contains(&digits) && !at(text, stop, WORD) { stop } else { end }
    }

    fn closed(&self, end: usize) -> bool {
        free_right(self.text, end)
    }
}
