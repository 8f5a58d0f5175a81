//! docs/settings.md says what the table says, and the examples are valid.

use poolwright_settings::{parse, reference};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
const EXAMPLE: &str = include_str!("../../../../examples/pooler/settings.yaml");
const BEGIN: &str = "<!-- begin: written by `UPDATE=1 cargo test -p poolwright-settings` -->\n";
const END: &str = "<!-- end -->";

fn page() -> String {
    std::fs::read_to_string(PAGE).expect("docs/settings.md can be read")
}

#[test]
fn the_reference_page_is_up_to_date() {
    let page = page();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where the tables begin");
    let (_, after) = rest.split_once(END).expect("the page marks where the tables end");
    let fresh = format!("{before}{BEGIN}{}{END}{after}", reference::markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, &fresh).expect("docs/settings.md can be written");
    } else {
        assert_eq!(page, fresh, "run UPDATE=1 cargo test -p poolwright-settings");
    }
}

#[test]
fn every_example_of_the_page_is_a_valid_file() {
    let page = page();
    let examples: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or(rest))
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        let users = example.contains("usersFile:").then_some("users: []");
        parse(example, users).unwrap_or_else(|problems| panic!("{example}\n{problems}"));
    }
}

#[test]
fn the_example_is_a_valid_file_without_hints() {
    let settings = parse(EXAMPLE, None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(settings.hints(), []);
}

#[test]
fn the_query_for_users_is_the_one_in_the_documentation() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/authentication.md");
    let page = std::fs::read_to_string(page).expect("docs/authentication.md can be read");
    assert!(page.contains(poolwright_settings::defaults::AUTH_QUERY));
}
