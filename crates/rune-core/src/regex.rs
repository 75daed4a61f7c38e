//! A pattern of the operator and what is put in place of what it finds, in linear time. `docs/reference/regex.md` says
//! which patterns; `rune.kernels.regex.portable` writes them so that they mean here what they mean to Python.

use regex::bytes::{CaptureLocations, Regex};

/// A part of what is put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(Vec<u8>),
    /// What a group has found; nothing where it took no part.
    Group(usize),
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// Nothing was found.
    Same,
    /// Only Python can tell what is found in it.
    Unknown,
    /// The text with every match replaced.
    Changed(Vec<u8>),
}

/// A pattern, compiled.
pub struct Filter {
    ascii: Regex,
    wide: Option<Regex>,
    closed: bool,
    template: Vec<Part>,
    /// The template where no group is in it.
    plain: Option<Vec<u8>>,
}

impl Filter {
    /// `ascii` for texts of ASCII, `wide` for others; `closed`: not for texts that end with a line end.
    ///
    /// # Errors
    /// What is wrong with a pattern, or that it is too large.
    pub fn new(ascii: &str, wide: Option<&str>, closed: bool, template: Vec<Part>) -> Result<Self, String> {
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| error.to_string());
        let plain = template.iter().try_fold(Vec::new(), |mut plain, part| match part {
            Part::Text(text) => {
                plain.extend_from_slice(text);
                Some(plain)
            }
            Part::Group(_) => None,
        });
        Ok(Self { ascii: compile(ascii)?, wide: wide.map(compile).transpose()?, closed, template, plain })
    }

    /// Every match in a text of UTF-8 replaced.
    #[must_use]
    pub fn sub(&self, text: &[u8]) -> Filtered {
        if self.closed && text.last() == Some(&b'\n') {
            return Filtered::Unknown;
        }
        let regex = match (&self.wide, text.is_ascii()) {
            (_, true) => &self.ascii,
            (Some(wide), false) => wide,
            (None, false) => return Filtered::Unknown,
        };
        match &self.plain {
            Some(plain) => replaced(regex, text, plain),
            None => self.rebuilt(regex, text),
        }
    }

    fn rebuilt(&self, regex: &Regex, text: &[u8]) -> Filtered {
        let mut groups = regex.capture_locations();
        let (mut out, mut done) = (Vec::new(), 0);
        while let Some(found) = regex.captures_read_at(&mut groups, text, done).filter(|found| !found.is_empty()) {
            out.extend_from_slice(&text[done..found.start()]);
            self.put(&groups, text, &mut out);
            done = found.end();
        }
        if done == 0 {
            return Filtered::Same;
        }
        out.extend_from_slice(&text[done..]);
        Filtered::Changed(out)
    }

    fn put(&self, groups: &CaptureLocations, text: &[u8], out: &mut Vec<u8>) {
        for part in &self.template {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(number) => {
                    if let Some((start, end)) = groups.get(*number) {
                        out.extend_from_slice(&text[start..end]);
                    }
                }
            }
        }
    }
}

/// The next match begins behind the last one; one that is empty ends the search: no pattern that is written for this has it.
fn replaced(regex: &Regex, text: &[u8], by: &[u8]) -> Filtered {
    let (mut out, mut done) = (Vec::new(), 0);
    while let Some(found) = regex.find_at(text, done).filter(|found| !found.is_empty()) {
        out.extend_from_slice(&text[done..found.start()]);
        out.extend_from_slice(by);
        done = found.end();
    }
    if done == 0 {
        return Filtered::Same;
    }
    out.extend_from_slice(&text[done..]);
    Filtered::Changed(out)
}

#[cfg(test)]
mod tests {
    use super::{Filter, Filtered, Part};

    fn filter(pattern: &str, wide: Option<&str>, closed: bool, template: Vec<Part>) -> Filter {
        Filter::new(pattern, wide, closed, template).expect("a pattern")
    }

    #[test]
    fn matches_are_replaced() {
        let plain = filter("[a-b]+", Some("[a-b]+"), false, vec![Part::Text(b"x".to_vec())]);
        assert_eq!(plain.sub(b"abcab"), Filtered::Changed(b"xcx".to_vec()));
        assert_eq!(plain.sub("\u{e9}a".as_bytes()), Filtered::Changed("\u{e9}x".as_bytes().to_vec()));
        assert_eq!(plain.sub(b"ccc"), Filtered::Same);
        let turned = vec![Part::Group(2), Part::Text(b"-".to_vec()), Part::Group(1)];
        assert_eq!(filter("(a)(b)?", None, false, turned).sub(b"abca"), Filtered::Changed(b"b-ac-a".to_vec()));
    }

    #[test]
    fn what_only_python_can_tell_is_left_to_it() {
        let filter = filter(r"a\z", None, true, vec![]);
        assert_eq!(filter.sub(b"ba"), Filtered::Changed(b"b".to_vec()));
        assert_eq!(filter.sub(b"ba\n"), Filtered::Unknown);
        assert_eq!(filter.sub("\u{e9}a".as_bytes()), Filtered::Unknown);
        assert!(Filter::new("(", None, false, vec![]).is_err());
    }
}
