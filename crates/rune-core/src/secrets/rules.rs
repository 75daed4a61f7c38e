//! What secrets look like, as the providers document it.

use super::Kind;

/// `[A-Za-z0-9]`.
pub const ALNUM: u8 = 1;
/// `[A-Za-z0-9_-]`.
pub const KEY: u8 = 1 << 1;
/// `[0-9a-f]`.
pub const HEX: u8 = 1 << 2;
/// `[A-Z2-7]`.
pub const BASE32: u8 = 1 << 3;
/// `[A-Za-z0-9_./+~-]`.
pub const VALUE: u8 = 1 << 4;
/// `[A-Za-z0-9_]`.
pub const WORD: u8 = 1 << 5;
/// What begins a rule.
pub const FIRST: u8 = 1 << 6;

/// Kind, how it begins, what follows, and how many of those at least and at most.
pub type Rule = (Kind, &'static [u8], u8, usize, usize);

pub const PREFIXES: &[Rule] = &[
    (Kind::AwsAccessKey, b"AKIA", BASE32, 16, 16),
    (Kind::AwsAccessKey, b"ASIA", BASE32, 16, 16),
    (Kind::AwsAccessKey, b"ABIA", BASE32, 16, 16),
    (Kind::AwsAccessKey, b"ACCA", BASE32, 16, 16),
    (Kind::GithubToken, b"github_pat_", KEY, 82, 82),
    (Kind::GithubToken, b"ghp_", ALNUM, 36, 251),
    (Kind::GithubToken, b"gho_", ALNUM, 36, 251),
    (Kind::GithubToken, b"ghu_", ALNUM, 36, 251),
    (Kind::GithubToken, b"ghs_", ALNUM, 36, 251),
    (Kind::GithubToken, b"ghr_", ALNUM, 36, 251),
    (Kind::GitlabToken, b"glpat-", KEY, 20, 64),
    (Kind::GitlabToken, b"gldt-", KEY, 20, 64),
    (Kind::GitlabToken, b"glrt-", KEY, 20, 64),
    (Kind::GitlabToken, b"glptt-", HEX, 40, 40),
    (Kind::SlackToken, b"xoxb-", KEY, 20, 250),
    (Kind::SlackToken, b"xoxp-", KEY, 20, 250),
    (Kind::SlackToken, b"xoxa-", KEY, 20, 250),
    (Kind::SlackToken, b"xoxr-", KEY, 20, 250),
    (Kind::SlackToken, b"xoxs-", KEY, 20, 250),
    (Kind::SlackToken, b"xoxe-", KEY, 20, 250),
    (Kind::SlackToken, b"xapp-", KEY, 20, 250),
    (Kind::GoogleApiKey, b"AIza", KEY, 35, 35),
    (Kind::GoogleApiKey, b"GOCSPX-", KEY, 28, 28),
    (Kind::StripeKey, b"sk_live_", ALNUM, 16, 250),
    (Kind::StripeKey, b"sk_test_", ALNUM, 16, 250),
    (Kind::StripeKey, b"rk_live_", ALNUM, 16, 250),
    (Kind::StripeKey, b"rk_test_", ALNUM, 16, 250),
    (Kind::StripeKey, b"whsec_", ALNUM, 24, 250),
    (Kind::AnthropicKey, b"sk-ant-", KEY, 32, 200),
    (Kind::OpenaiKey, b"sk-proj-", KEY, 32, 200),
    (Kind::OpenaiKey, b"sk-svcacct-", KEY, 32, 200),
    (Kind::OpenaiKey, b"sk-admin-", KEY, 32, 200),
    (Kind::OpenaiKey, b"sk-", ALNUM, 40, 64),
    (Kind::PackageToken, b"npm_", ALNUM, 36, 36),
    (Kind::PackageToken, b"pypi-", KEY, 50, 300),
    (Kind::PackageToken, b"dckr_pat_", KEY, 24, 64),
    (Kind::PackageToken, b"rubygems_", HEX, 48, 48),
    (Kind::PackageToken, b"hf_", ALNUM, 34, 40),
    (Kind::CloudToken, b"dop_v1_", HEX, 64, 64),
    (Kind::CloudToken, b"doo_v1_", HEX, 64, 64),
    (Kind::CloudToken, b"dor_v1_", HEX, 64, 64),
    (Kind::CloudToken, b"dapi", HEX, 32, 32),
    (Kind::CloudToken, b"hvs.", KEY, 24, 300),
    (Kind::CloudToken, b"hvb.", KEY, 24, 300),
    (Kind::CloudToken, b"pul-", HEX, 40, 40),
    (Kind::CloudToken, b"tskey-", KEY, 20, 100),
    (Kind::ServiceToken, b"shpat_", HEX, 32, 32),
    (Kind::ServiceToken, b"shpss_", HEX, 32, 32),
    (Kind::ServiceToken, b"shpca_", HEX, 32, 32),
    (Kind::ServiceToken, b"shppa_", HEX, 32, 32),
    (Kind::ServiceToken, b"sq0atp-", KEY, 22, 22),
    (Kind::ServiceToken, b"sq0csp-", KEY, 43, 43),
    (Kind::ServiceToken, b"PMAK-", KEY, 59, 59),
    (Kind::ServiceToken, b"NRAK-", ALNUM, 27, 27),
    (Kind::ServiceToken, b"lin_api_", ALNUM, 40, 40),
    (Kind::ServiceToken, b"secret_", ALNUM, 43, 43),
    (Kind::ServiceToken, b"ntn_", ALNUM, 40, 50),
    (Kind::ServiceToken, b"glsa_", KEY, 41, 41),
    (Kind::ServiceToken, b"figd_", KEY, 40, 64),
    (Kind::ServiceToken, b"AGE-SECRET-KEY-1", ALNUM, 58, 58),
];

const fn classes(byte: u8) -> u8 {
    let mut found = 0;
    if byte.is_ascii_alphanumeric() {
        found |= ALNUM | KEY | VALUE | WORD;
    }
    match byte {
        b'0'..=b'9' | b'a'..=b'f' => found |= HEX,
        b'_' => found |= KEY | VALUE | WORD,
        b'-' => found |= KEY | VALUE,
        b'.' | b'/' | b'+' | b'~' => found |= VALUE,
        _ => {}
    }
    if matches!(byte, b'A'..=b'Z' | b'2'..=b'7') {
        found |= BASE32;
    }
    let mut rule = 0;
    while rule < PREFIXES.len() {
        if PREFIXES[rule].1[0] == byte {
            found |= FIRST;
        }
        rule += 1;
    }
    found
}

static TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
};

/// The first two letters of all rules, a bit for each pair.
static PAIRS: [u64; 1024] = {
    let mut pairs = [0; 1024];
    let mut rule = 0;
    while rule < PREFIXES.len() {
        let pair = (PREFIXES[rule].1[0] as usize) << 8 | PREFIXES[rule].1[1] as usize;
        pairs[pair / 64] |= 1 << (pair % 64);
        rule += 1;
    }
    pairs
};

/// Whether two letters begin a rule.
#[inline]
pub fn begins(first: u8, second: u8) -> bool {
    let pair = usize::from(first) << 8 | usize::from(second);
    PAIRS[pair / 64] >> (pair % 64) & 1 != 0
}

/// Whether a byte is in one of the classes.
#[inline]
pub fn is(byte: u8, wanted: u8) -> bool {
    TABLE[byte as usize] & wanted != 0
}

/// The end of a run of a class that begins at a place, before a limit.
pub fn run(text: &[u8], start: usize, wanted: u8, limit: usize) -> usize {
    let stop = text.len().min(limit);
    let mut end = start;
    while end < stop && is(text[end], wanted) {
        end += 1;
    }
    end
}
