//! Personal data in text: where it is and of what kind. `docs/reference/pii.md` is the grammar that this implements.
//!
//! One pass marks the few bytes worth looking at; each mark is judged by the kinds that it may belong to. Time is linear
//! in the length of the text, whatever is in it. Offsets are bytes of UTF-8; lone surrogates in three bytes are fine.

mod chars;
mod context;
mod email;
mod keys;
mod numbers;
mod phone;
mod scanner;
mod tokens;

use scanner::Scanner;

use crate::escapes::opened;
use crate::span::{Span, hide};

pub use crate::span::to_code_points;

/// What an entity is. The order decides between two of the same extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An address of electronic mail.
    Email,
    /// A telephone number.
    Phone,
    /// A social security number of the United States.
    Ssn,
    /// The number of a payment card.
    CreditCard,
    /// An international bank account number.
    Iban,
    /// An address of the internet protocol, version 4.
    Ipv4,
    /// An address of the internet protocol, version 6.
    Ipv6,
    /// An address of a network interface.
    MacAddress,
    /// A date that is said to be one of birth.
    DateOfBirth,
    /// A JSON Web Token.
    Jwt,
    /// The id of an access key of Amazon Web Services.
    AwsAccessKey,
    /// A key of a well-known service, or the value of something that is called a key.
    ApiKey,
}

impl Kind {
    /// All kinds, in their order.
    pub const ALL: [Self; 12] = [
        Self::Email,
        Self::Phone,
        Self::Ssn,
        Self::CreditCard,
        Self::Iban,
        Self::Ipv4,
        Self::Ipv6,
        Self::MacAddress,
        Self::DateOfBirth,
        Self::Jwt,
        Self::AwsAccessKey,
        Self::ApiKey,
    ];

    /// Its name in configurations and results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ssn => "ssn",
            Self::CreditCard => "credit_card",
            Self::Iban => "iban",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::MacAddress => "mac_address",
            Self::DateOfBirth => "date_of_birth",
            Self::Jwt => "jwt",
            Self::AwsAccessKey => "aws_access_key",
            Self::ApiKey => "api_key",
        }
    }

    /// Its bit in a set of kinds.
    #[must_use]
    pub const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// Every kind.
pub const EVERYTHING: u16 = (1 << Kind::ALL.len()) - 1;

/// Something found, and what it is.
pub type Entity = Span<Kind>;

/// All entities of the wanted kinds (a sum of [`Kind::bit`]), sorted and without overlap.
#[must_use]
pub fn scan(text: &[u8], wanted: u16) -> Vec<Entity> {
    let mut found = Scanner::sweep(text);
    if wanted != EVERYTHING {
        found.retain(|entity| wanted & entity.kind.bit() != 0);
    }
    fuse(&mut found);
    found
}

/// The text with every entity replaced; `None` when there is nothing to replace.
#[must_use]
pub fn mask(text: &[u8], wanted: u16, by: &[u8]) -> Option<Vec<u8>> {
    hide(text, &scan(text, wanted), by)
}

/// Whether nothing is in the texts of some JSON. A quote is part of no entity, and no rule lets something pass because
/// of what stands before it: all of them are read as one.
#[must_use]
pub fn clean(json: &[u8], wanted: u16) -> bool {
    scan(&opened(json), wanted).is_empty()
}

/// Entities that overlap become one that covers them all, of the kind of the longest: what is hidden must be hidden whole.
fn fuse(found: &mut Vec<Entity>) {
    if !found.is_sorted_by_key(|entity| (entity.start, entity.end, entity.kind)) {
        found.sort_unstable_by_key(|entity| (entity.start, entity.end, entity.kind));
    }
    let (mut kept, mut longest) = (0, 0);
    for index in 0..found.len() {
        let entity = found[index];
        let length = entity.end - entity.start;
        if kept > 0 && entity.start < found[kept - 1].end {
            let cluster = &mut found[kept - 1];
            cluster.end = cluster.end.max(entity.end);
            if length > longest || (length == longest && entity.kind < cluster.kind) {
                (cluster.kind, longest) = (entity.kind, length);
            }
        } else {
            found[kept] = entity;
            (kept, longest) = (kept + 1, length);
        }
    }
    found.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::{EVERYTHING, Entity, Kind, mask, scan, to_code_points};

    fn found(text: &str) -> Vec<(&str, Kind)> {
        scan(text.as_bytes(), EVERYTHING).iter().map(|entity| (&text[entity.start..entity.end], entity.kind)).collect()
    }

    #[test]
    fn each_kind_is_found() {
        let text = "a@b.co +49 30 1234567 123-45-6789 4111111111111111 DE89370400440532013000 10.0.0.1 fe80::1 \
                    aa:bb:cc:dd:ee:ff born 12/05/1980 eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig \
                    AKIAIOSFODNN7EXAMPLE ghp_a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
        let kinds: Vec<Kind> = found(text).iter().map(|(_, kind)| *kind).collect();
        let mut expected = Kind::ALL.to_vec();
        expected.sort();
        let mut sorted = kinds.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn the_end_of_every_block_is_seen() {
        for length in 4000..4200 {
            let text = format!("{} 123-45-6789", "x".repeat(length));
            assert_eq!(found(&text), [("123-45-6789", Kind::Ssn)], "after {length}");
        }
    }

    #[test]
    fn only_the_wanted_kinds_are_hidden() {
        assert_eq!(mask(b"a@b.co 10.0.0.1", Kind::Email.bit(), b"#"), Some(b"# 10.0.0.1".to_vec()));
        assert_eq!(mask(b"nothing here", EVERYTHING, b"#"), None);
    }

    #[test]
    fn what_overlaps_is_one() {
        assert_eq!(found("555-234-5678@example.com"), [("555-234-5678@example.com", Kind::Email)]);
    }

    #[test]
    fn offsets_become_code_points() {
        let text = "\u{1f600}\u{e9} a@b.co";
        let mut entities = scan(text.as_bytes(), EVERYTHING);
        to_code_points(text.as_bytes(), &mut entities);
        assert_eq!(entities, [Entity { start: 3, end: 9, kind: Kind::Email }]);
    }
}
