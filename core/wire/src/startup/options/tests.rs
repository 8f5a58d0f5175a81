//! `options` in, settings or the refusal out.

use super::{OptionsError, options};

fn check(text: &str, expect: &[(&str, &str)]) {
    let found = options(text).unwrap();
    let found: Vec<_> = found.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(found, expect, "{text:?}");
}

#[test]
fn settings_are_split_as_postgres_splits_them() {
    check("", &[]);
    check("  ", &[]);
    check("-c geqo=off", &[("geqo", "off")]);
    check("-cgeqo=off  --work-mem=64MB", &[("geqo", "off"), ("work_mem", "64MB")]);
    check("-c search_path=a\\ b,c", &[("search_path", "a b,c")]);
    check("-c Search_Path=A", &[("search_path", "A")]);
    check("-c a=b=c", &[("a", "b=c")]);
    check("-c a=", &[("a", "")]);
    check("-c a=\\\\x", &[("a", "\\x")]);
    check("-c a=b\\", &[("a", "b")]);
    check("--a=1\t--b=2", &[("a", "1"), ("b", "2")]);
}

#[test]
fn what_is_no_setting_is_refused_by_name() {
    assert_eq!(options("-c="), Err(OptionsError::Setting("=".into())));
    assert_eq!(options("-c =x"), Err(OptionsError::Setting("=x".into())));
    assert_eq!(options("-c"), Err(OptionsError::Missing));
    assert_eq!(options("-c geqo"), Err(OptionsError::Setting("geqo".into())));
    assert_eq!(options("-d 5"), Err(OptionsError::Switch("-d".into())));
    assert_eq!(options("geqo=off"), Err(OptionsError::Switch("geqo=off".into())));
    assert_eq!(options("--"), Err(OptionsError::Setting(String::new())));
}
