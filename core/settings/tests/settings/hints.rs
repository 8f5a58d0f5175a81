//! What is allowed but remarked on.

use poolwright_settings::parse;

#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let settings = parse(text, None).unwrap_or_else(|problems| panic!("{problems}"));
    let hints: Vec<String> = settings.hints().iter().map(ToString::to_string).collect();
    assert_eq!(hints, expect, "{text}");
}

fn file(server_max: u32, database: &str, users: &str) -> String {
    format!(
        "servers: [{{name: m, host: h, maxConnections: {server_max}}}]\n\
         databases: [{{name: a, {database}}}]\nusers: [{users}]\n"
    )
}

const USER: &str = "{name: u, password: p}";

#[test]
fn settings_that_add_up_get_no_hint() {
    check(&file(50, "maxConnections: 50, pool: {size: 50}", USER), &[]);
}

#[test]
fn a_limit_that_another_makes_unreachable_is_remarked_on() {
    check(
        &file(5, "maxConnections: 9", USER),
        &[
            "databases[a].maxConnections: found 9, expected at most the server's maxConnections, 5; \
           the server's limit holds",
        ],
    );
    check(
        &file(5, "maxConnections: 4, pool: {reserve: 9}", USER),
        &["databases[a].pool.size: found 5, expected at most the database's maxConnections, 4; \
           the database's limit holds"],
    );
}

#[test]
fn a_pooler_that_nobody_can_use_is_remarked_on() {
    let file = file(50, "maxConnections: 9", "");
    check(
        &file,
        &["users: found none, expected someone who may log in; \
                    add users, or fill the users file"],
    );
}

#[test]
fn a_rule_for_tls_where_there_is_none_is_remarked_on() {
    let rules = "listen: {rules: [{method: md5}, {type: hostssl, method: md5}]}";
    check(
        &format!("{}{rules}", file(50, "maxConnections: 9", USER)),
        &["listen.rules[1].type: found hostssl, expected host or hostnossl while listen.tls.mode \
           is disable; the rule fits no connection"],
    );
}
