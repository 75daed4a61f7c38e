use super::*;

fn facts(text: &str) -> u32 {
    check(text.as_bytes(), Dialect::Generic)
}

#[test]
fn a_plain_query_reads() {
    assert_eq!(facts("SELECT a FROM t WHERE b = 1 AND c = 'x; -- y'"), SELECT);
}

#[test]
fn statements_are_counted() {
    assert_eq!(facts("select 1;"), SELECT);
    assert_eq!(facts("select 1; drop table t"), SELECT | DROP | SEVERAL);
    assert_eq!(facts("this; and that"), OTHER);
}

#[test]
fn a_where_in_parentheses_is_that_of_another() {
    assert_eq!(facts("DELETE FROM t"), DELETE | DELETE_ALL);
    assert_eq!(facts("DELETE FROM t WHERE a IN (SELECT b FROM c)"), DELETE | SELECT);
    assert_eq!(facts("UPDATE t SET a = (SELECT b FROM c WHERE d = 1)"), UPDATE | UPDATE_ALL | SELECT);
    assert_eq!(facts("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x"), SELECT | DELETE | DELETE_ALL);
}

#[test]
fn conditions_that_always_hold_are_seen() {
    for text in ["a = 1 OR 1=1", "x = 'y' or 'a' = 'a'", "NOT (1=2)", "a = b OR (c = 1 OR t.d = t.d)", "1 = 1 OR a = b"]
    {
        assert_eq!(facts(&format!("SELECT * FROM t WHERE {text}")), SELECT | TAUTOLOGY, "{text}");
    }
    for text in
        ["1=1 AND a = 2", "a = 1 OR 1=1 AND b = 2", "a BETWEEN 1 AND 2", "a = 'OR 1=1'", "f(x) = f(x)", "(1=1) = b"]
    {
        assert_eq!(facts(&format!("SELECT * FROM t WHERE {text}")), SELECT, "{text}");
    }
}

#[test]
fn dialects_differ_in_strings_and_comments() {
    let text = b"SELECT 'a\\'; DROP TABLE t; --'";
    assert_eq!(check(text, Dialect::Generic), SELECT | DROP | SEVERAL | COMMENT);
    assert_eq!(check(text, Dialect::Mysql), SELECT);
    assert_eq!(check(b"SELECT 1 /*!50000 ; DROP TABLE t */", Dialect::Mysql), SELECT | DROP | SEVERAL | COMMENT);
    assert_eq!(check(b"SELECT $a$ ; DROP TABLE t $a$", Dialect::Postgres), SELECT);
    assert_eq!(check(b"SELECT 1 DROP TABLE t", Dialect::Tsql), SELECT | DROP | SEVERAL);
    assert_eq!(check(b"SELECT q'[it's; DROP TABLE t]' FROM dual", Dialect::Oracle), SELECT);
}

#[test]
fn what_does_not_end_is_said() {
    for text in ["SELECT 'a", "SELECT \"a", "SELECT /* a", "SELECT $$ a"] {
        assert_ne!(facts(text) & UNTERMINATED, 0, "{text}");
    }
}
