//! Keys, tokens and passwords in text: where they are and of what kind. `docs/reference/secrets.md` is the grammar.
//!
//! One pass looks at what may begin a secret: the first letter of a prefix, `:` and `=` behind a name, `-----BEGIN`.

mod rules;

use rules::{FIRST, KEY, PREFIXES, VALUE, WORD, begins, is, run};

use crate::span::{Span, hide};

pub use crate::span::to_code_points;

/// What a secret is. The order decides between two that begin at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A private key in PEM.
    PrivateKey,
    /// The id of an access key of Amazon Web Services.
    AwsAccessKey,
    /// A token of GitHub.
    GithubToken,
    /// A token of GitLab.
    GitlabToken,
    /// A token of Slack.
    SlackToken,
    /// A key or client secret of Google.
    GoogleApiKey,
    /// A key of Stripe.
    StripeKey,
    /// A key of `OpenAI`.
    OpenaiKey,
    /// A key of Anthropic.
    AnthropicKey,
    /// A token of a registry of packages, images or models.
    PackageToken,
    /// A token of a cloud or of what runs in one.
    CloudToken,
    /// A token of another service.
    ServiceToken,
    /// A JSON Web Token.
    Jwt,
    /// The password in a URL.
    UrlPassword,
    /// The value of something that is called a secret.
    NamedSecret,
}

impl Kind {
    /// All kinds, in their order, with their names in configurations and results.
    pub const ALL: [(&'static str, Self); 15] = [
        ("private_key", Self::PrivateKey),
        ("aws_access_key", Self::AwsAccessKey),
        ("github_token", Self::GithubToken),
        ("gitlab_token", Self::GitlabToken),
        ("slack_token", Self::SlackToken),
        ("google_api_key", Self::GoogleApiKey),
        ("stripe_key", Self::StripeKey),
        ("openai_key", Self::OpenaiKey),
        ("anthropic_key", Self::AnthropicKey),
        ("package_token", Self::PackageToken),
        ("cloud_token", Self::CloudToken),
        ("service_token", Self::ServiceToken),
        ("jwt", Self::Jwt),
        ("url_password", Self::UrlPassword),
        ("named_secret", Self::NamedSecret),
    ];

    /// Its bit in a set of kinds.
    #[must_use]
    pub const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Something found, and what it is.
pub type Secret = Span<Kind>;

/// Names of values, with their shortest value.
const NAMES: &[(&[u8], bool)] = &[
    (b"password", true),
    (b"passwd", true),
    (b"passphrase", true),
    (b"pwd", true),
    (b"secret", false),
    (b"token", false),
];
/// What stands before `key` in a name.
const KEYS: &[&[u8]] = &[b"api", b"access", b"secret", b"private", b"auth", b"account"];

/// All secrets of the wanted kinds (a sum of [`Kind::bit`]), sorted and without overlap.
#[must_use]
pub fn scan(text: &[u8], wanted: u16) -> Vec<Secret> {
    let mut scanner = Scanner { text, found: Vec::new(), key: 0, open_ended: false, jwt: 0, url: 0 };
    scanner.sweep();
    let mut found = scanner.found;
    found.retain(|secret| wanted & secret.kind.bit() != 0);
    found.sort_unstable_by_key(|secret| (secret.start, secret.kind, secret.end));
    found.dedup_by(|next, last| {
        let overlaps = next.start < last.end;
        if overlaps {
            last.end = last.end.max(next.end);
        }
        overlaps
    });
    found
}

/// The text with every secret replaced; `None` when there is nothing to replace.
#[must_use]
pub fn mask(text: &[u8], wanted: u16, by: &[u8]) -> Option<Vec<u8>> {
    hide(text, &scan(text, wanted), by)
}

struct Scanner<'a> {
    text: &'a [u8],
    found: Vec<Secret>,
    /// Up to here private keys have been found.
    key: usize,
    /// The last private key had no end, nor has any later one.
    open_ended: bool,
    /// Up to here JSON Web Tokens have been found.
    jwt: usize,
    /// Up to here URLs have been read.
    url: usize,
}

impl Scanner<'_> {
    fn sweep(&mut self) {
        let mut word = false;
        for at in 0..self.text.len() {
            let byte = self.text[at];
            if !word && is(byte, FIRST) && begins(byte, self.text.get(at + 1).copied().unwrap_or(0)) {
                self.prefixed(at);
            }
            word = is(byte, WORD);
            match byte {
                b':' => {
                    self.named(at);
                    if at >= self.url && self.text[at..].starts_with(b"://") {
                        self.password(at);
                    }
                }
                b'=' => self.named(at),
                b' ' | b'\t' if at > 0 && matches!(self.text[at - 1], b'r' | b'R') => self.bearer(at),
                b'-' if at >= self.key && self.text[at..].starts_with(b"-----BEGIN ") => self.private_key(at),
                b'e' if at >= self.jwt && self.text[at..].starts_with(b"eyJ") => self.jwt(at),
                _ => {}
            }
        }
    }

    fn push(&mut self, start: usize, end: usize, kind: Kind) {
        self.found.push(Secret { start, end, kind });
    }

    /// A token of a service that begins at a place: the longest prefix that fits.
    fn prefixed(&mut self, start: usize) {
        let text = &self.text[start..];
        let mut best: Option<(usize, usize, Kind)> = None;
        for &(kind, prefix, class, least, most) in PREFIXES {
            if text[0] != prefix[0]
                || !text.starts_with(prefix)
                || best.is_some_and(|(length, ..)| length >= prefix.len())
            {
                continue;
            }
            let at = prefix.len();
            let end = run(text, at, class, at + most + 1);
            if (least..=most).contains(&(end - at)) && varied(&text[at..end], 6) {
                best = Some((at, start + end, kind));
            }
        }
        if let Some((_, end, kind)) = best {
            self.push(start, end, kind);
        }
    }

    /// A value behind a name and one of `:`, `=`, `:=`, `=>`.
    fn named(&mut self, at: usize) {
        let text = self.text;
        let stop = before_blanks(text, at);
        let stop = stop - usize::from(stop > 0 && matches!(text[stop - 1], b'"' | b'\''));
        let Some(short) = name(&text[stop.saturating_sub(16)..stop]) else { return };
        let pair = matches!((text[at], text.get(at + 1)), (b':', Some(b'=')) | (b'=', Some(b'>')));
        let start = after_blanks(text, at + 1 + usize::from(pair));
        let start = start + usize::from(matches!(text.get(start), Some(b'"' | b'\'')));
        self.value(start, short);
    }

    fn bearer(&mut self, at: usize) {
        let (text, start) = (self.text, after_blanks(self.text, at));
        if at >= 6 && text[at - 6..at].eq_ignore_ascii_case(b"bearer") {
            self.value(start, false);
        }
    }

    /// A value that does not look like a word.
    fn value(&mut self, start: usize, short: bool) {
        let text = self.text;
        let mut end = run(text, start, VALUE, text.len());
        while end > start && text[end - 1] == b'.' {
            end -= 1;
        }
        let value = text.get(start..end).unwrap_or_default();
        for _ in 0..2 {
            end += usize::from(text.get(end) == Some(&b'='));
        }
        if value.len() >= if short { 8 } else { 16 }
            && !matches!(text.get(end), Some(b'(' | b'['))
            && value.iter().any(u8::is_ascii_alphabetic)
            && value.iter().any(u8::is_ascii_digit)
            && varied(value, if short { 5 } else { 8 })
        {
            self.push(start, end, Kind::NamedSecret);
        }
    }

    fn private_key(&mut self, start: usize) {
        let text = self.text;
        let Some(begin) = header(text, start) else { return };
        let end = if self.open_ended { None } else { footer(text, begin) };
        self.open_ended = end.is_none();
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=\\\r\n".contains(byte);
        self.key = end.unwrap_or_else(|| begin + text[begin..].iter().take_while(|byte| base64(byte)).count());
        self.push(start, self.key, Kind::PrivateKey);
    }

    /// Three parts joined by dots, five when encrypted.
    fn jwt(&mut self, start: usize) {
        let text = self.text;
        if start > 0 && is(text[start - 1], KEY) {
            return;
        }
        let mut end = run(text, start, KEY, text.len());
        if end < start + 11 {
            return;
        }
        for part in 0..4 {
            let next = if text.get(end) == Some(&b'.') { run(text, end + 1, KEY, text.len()) } else { end };
            if part < 2 && next < end + 9 {
                return;
            }
            if next > end + 1 {
                end = next;
            } else {
                break;
            }
        }
        self.jwt = end;
        self.push(start, end, Kind::Jwt);
    }

    /// The password in a URL, unless it is the name of a variable.
    fn password(&mut self, at: usize) {
        let text = self.text;
        let plain = |byte: u8| !(byte.is_ascii_whitespace() || byte == 0x0B || b"/@\"'<>\\".contains(&byte));
        let mut colon = at + 3;
        while colon < text.len() && colon - at - 3 <= 128 && text[colon] != b':' && plain(text[colon]) {
            colon += 1;
        }
        if colon - at - 3 > 128 || text.get(colon) != Some(&b':') {
            return;
        }
        let start = colon + 1;
        let mut end = start;
        while end < text.len() && end - start <= 256 && plain(text[end]) {
            end += 1;
        }
        if end == start || end - start > 256 || text.get(end) != Some(&b'@') {
            return;
        }
        self.url = end + 1;
        if !text[start..end].iter().any(|byte| b"${}*".contains(byte)) {
            self.push(start, end, Kind::UrlPassword);
        }
    }
}

/// Whether there are enough different bytes: what people write as an example repeats one.
fn varied(value: &[u8], least: u32) -> bool {
    let mut seen = 0u128;
    for &byte in value {
        seen |= 1 << (byte & 127);
    }
    seen.count_ones() >= least
}

/// Before at most three blanks that end at a place.
fn before_blanks(text: &[u8], at: usize) -> usize {
    let mut start = at;
    while start > 0 && at - start < 3 && matches!(text[start - 1], b' ' | b'\t') {
        start -= 1;
    }
    start
}

/// Behind at most three blanks.
fn after_blanks(text: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < text.len() && end - at < 3 && matches!(text[end], b' ' | b'\t') {
        end += 1;
    }
    end
}

/// Whether a text ends with the name of a secret, and then whether its value may be short.
fn name(text: &[u8]) -> Option<bool> {
    if !text.last()?.is_ascii_alphabetic() {
        return None;
    }
    if let Some((_, short)) = NAMES.iter().find(|(name, _)| without_end(text, name).is_some()) {
        return Some(*short);
    }
    let rest = without_end(text, b"key")?;
    let rest = rest.strip_suffix(b"_").or_else(|| rest.strip_suffix(b"-")).unwrap_or(rest);
    KEYS.iter().any(|name| without_end(rest, name).is_some()).then_some(false)
}

fn without_end<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let (rest, last) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    last.eq_ignore_ascii_case(end).then_some(rest)
}

/// Behind `-----BEGIN … PRIVATE KEY-----`.
fn header(text: &[u8], start: usize) -> Option<usize> {
    let rest = &text[start + 11..];
    let dashes = rest.iter().take(64).position(|&byte| byte == b'-')?;
    let label = &rest[..dashes];
    let label = label.strip_suffix(b" BLOCK").unwrap_or(label);
    let before = label.strip_suffix(b"PRIVATE KEY")?;
    let fits = before.is_empty()
        || (before.last() == Some(&b' ') && before.len() <= 33 && before.iter().all(|&byte| is_label(byte)));
    (fits && rest[dashes..].starts_with(b"-----")).then_some(start + 11 + dashes + 5)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
}

/// Behind the next `-----END …-----`.
fn footer(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text[at..].windows(9).position(|window| window == b"-----END ")?;
        let label = at + 9 + text[at + 9..].iter().take(64).take_while(|&&byte| is_label(byte)).count();
        if text[label..].starts_with(b"-----") {
            return Some(label + 5);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, mask, scan};

    #[test]
    fn secrets_are_found() {
        for (text, secret, kind) in [
            ("id AKIAIOSFODNN7EXAMPLE.", "AKIAIOSFODNN7EXAMPLE", Kind::AwsAccessKey),
            ("password = 'hunter2hunter2'", "hunter2hunter2", Kind::NamedSecret),
            ("postgres://ada:s3cret@db/x", "s3cret", Kind::UrlPassword),
            ("Authorization: Bearer abcdef1234567890abcd==", "abcdef1234567890abcd==", Kind::NamedSecret),
        ] {
            let found = scan(text.as_bytes(), u16::MAX);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((&text[found[0].start..found[0].end], found[0].kind), (secret, kind));
        }
    }

    #[test]
    fn private_keys_are_hidden_whole() {
        let text = b"a -----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY----- b";
        assert_eq!(mask(text, u16::MAX, b"#"), Some(b"a # b".to_vec()));
        assert_eq!(mask(b"-----BEGIN PRIVATE KEY-----\nMIIB", u16::MAX, b"#"), Some(b"#".to_vec()));
        assert_eq!(mask(b"-----BEGIN PUBLIC KEY-----\nMIIB", u16::MAX, b"#"), None);
    }
}
