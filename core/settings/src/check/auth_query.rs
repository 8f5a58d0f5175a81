//! Checks how users are looked up that are not listed.
//! Never puts the password into a problem, and never reads the query beyond its parameter.

use super::Report;
use crate::{AuthQuery, defaults, kind, raw};

pub(super) fn check(section: raw::AuthQuery, report: &mut Report) -> AuthQuery {
    let query = section.query.unwrap_or_else(|| defaults::AUTH_QUERY.to_owned());
    if !query.contains("$1") {
        let expected = "a query with $1 where the user's name belongs";
        report.add("authQuery.query", kind::quoted(&query), expected, "write $1, without quotes");
    }
    AuthQuery {
        user: report.required("authQuery.user", section.user.as_ref(), "who may run the query"),
        password: section.password,
        dbname: section.dbname,
        query,
        cache_time: section.cache_time.map_or(defaults::AUTH_CACHE_TIME, |span| span.0),
    }
}
