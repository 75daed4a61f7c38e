//! The words that the judge knows, packed into numbers: comparing those costs one instruction.

use super::{ALTER, CREATE, DELETE, DROP, EXECUTE, GRANT, INSERT, MERGE, REVOKE, SELECT, TRUNCATE, UPDATE};

/// A word in capitals as a number; 0 for what is too long to be one of ours.
pub fn packed(word: &[u8]) -> u128 {
    if word.len() > 16 {
        return 0;
    }
    word.iter().fold(0, |value, &byte| value << 8 | u128::from(byte & 0xDF))
}

const fn word(text: &str) -> u128 {
    let bytes = text.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < bytes.len() {
        value = value << 8 | bytes[at] as u128;
        at += 1;
    }
    value
}

macro_rules! words {
    ($($name:ident)*) => { $(pub const $name: u128 = word(stringify!($name));)* };
}

pub mod is {
    use super::word;
    words!(
        SELECT VALUES TABLE INSERT REPLACE UPDATE DELETE MERGE DROP TRUNCATE ALTER CREATE GRANT REVOKE EXECUTE EXEC
        CALL DO WITH EXPLAIN DESCRIBE DESC ANALYZE PREPARE BEGIN IF WHILE DECLARE FROM SET WHERE HAVING OR AND NOT
        BETWEEN CASE END GROUP ORDER LIMIT RETURNING UNION EXCEPT INTERSECT FETCH OFFSET WINDOW FOR QUALIFY TRUE FALSE
        NULL AS THEN LIKE CONNECT START FORMAT OUTPUT OPTION MINUS
        A AN THE ME US IT THIS THAT THESE THOSE ALL MY YOUR OUR IN OFF OUT BY TO SOME ANY NEW ONE YOU HIM HER THEM
    );
}

/// The bit of the statement that begins with a word; 0 when none does.
pub fn verb(word: u128) -> u32 {
    match word {
        is::SELECT | is::VALUES | is::TABLE => SELECT,
        is::INSERT | is::REPLACE => INSERT,
        is::UPDATE => UPDATE,
        is::DELETE => DELETE,
        is::MERGE => MERGE,
        is::DROP => DROP,
        is::TRUNCATE => TRUNCATE,
        is::ALTER => ALTER,
        is::CREATE => CREATE,
        is::GRANT => GRANT,
        is::REVOKE => REVOKE,
        is::EXECUTE | is::EXEC | is::CALL | is::DO => EXECUTE,
        _ => 0,
    }
}

/// Words before a statement that is run all the same.
pub fn leads(word: u128) -> bool {
    matches!(
        word,
        is::WITH
            | is::EXPLAIN
            | is::DESCRIBE
            | is::DESC
            | is::ANALYZE
            | is::PREPARE
            | is::BEGIN
            | is::IF
            | is::WHILE
            | is::DECLARE
    )
}

/// Words that end a condition.
pub fn ends_condition(word: u128) -> bool {
    matches!(
        word,
        is::WHERE
            | is::HAVING
            | is::GROUP
            | is::ORDER
            | is::LIMIT
            | is::RETURNING
            | is::UNION
            | is::EXCEPT
            | is::INTERSECT
            | is::MINUS
            | is::FETCH
            | is::OFFSET
            | is::WINDOW
            | is::FOR
            | is::QUALIFY
            | is::CONNECT
            | is::START
            | is::FORMAT
            | is::OUTPUT
            | is::OPTION
    )
}

/// What follows `drop`, `alter` and the like in letters to people, and is nothing that a database has.
pub fn prose(word: u128) -> bool {
    matches!(
        word,
        is::A
            | is::AN
            | is::THE
            | is::ME
            | is::US
            | is::IT
            | is::THIS
            | is::THAT
            | is::THESE
            | is::THOSE
            | is::ALL
            | is::MY
            | is::YOUR
            | is::OUR
            | is::IN
            | is::OFF
            | is::OUT
            | is::BY
            | is::TO
            | is::SOME
            | is::ANY
            | is::NEW
            | is::ONE
            | is::YOU
            | is::HIM
            | is::HER
            | is::THEM
    )
}
