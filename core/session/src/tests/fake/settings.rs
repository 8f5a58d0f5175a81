//! Run-time parameters of the fake server: base, session, transaction; what it reports.

use std::collections::BTreeMap;

type Values = BTreeMap<&'static str, String>;

/// Canonical names; the first two are reported, in this order.
const NAMES: [&str; 4] = ["application_name", "TimeZone", "search_path", "exit_on_error"];

#[derive(Clone, Debug)]
pub struct Settings {
    base: Values,
    session: Values,
    local: Values,
    saved: Values,
    reported: Values,
}

pub fn canonical(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

impl Settings {
    /// As after a login with these startup parameters.
    pub fn new(startup: &[(&str, &str)]) -> Settings {
        let defaults = [
            ("application_name", "app"),
            ("TimeZone", "UTC"),
            ("search_path", "a"),
            ("exit_on_error", "off"),
        ];
        let base: Values = defaults
            .iter()
            .chain(startup)
            .filter_map(|(name, value)| Some((canonical(name)?, (*value).to_owned())))
            .collect();
        Settings {
            session: base.clone(),
            saved: base.clone(),
            reported: base.clone(),
            base,
            local: Values::new(),
        }
    }

    /// What ParameterStatus says at login.
    pub fn at_login(&self) -> Vec<(String, String)> {
        NAMES[..2].iter().map(|&name| (name.to_owned(), self.base[name].clone())).collect()
    }

    pub fn get(&self, name: &str) -> &str {
        self.local.get(name).unwrap_or(&self.session[name])
    }

    pub fn set(&mut self, name: &'static str, value: &str, local: bool) {
        if local {
            self.local.insert(name, value.to_owned());
        } else {
            self.local.remove(name);
            self.session.insert(name, value.to_owned());
        }
    }

    pub fn reset(&mut self, name: &'static str) {
        let base = self.base[name].clone();
        self.set(name, &base, false);
    }

    pub fn reset_all(&mut self) {
        self.session = self.base.clone();
        self.local.clear();
    }

    pub fn begin(&mut self) {
        self.saved = self.session.clone();
    }

    pub fn end(&mut self, commit: bool) {
        self.local.clear();
        if !commit {
            self.session = self.saved.clone();
        }
        self.saved = self.session.clone();
    }

    /// What changed since the last report (`ReportChangedGUCOptions`).
    pub fn changed(&mut self) -> Vec<(&'static str, String)> {
        let mut changed = Vec::new();
        for name in &NAMES[..2] {
            let value = self.get(name).to_owned();
            if self.reported[name] != value {
                self.reported.insert(name, value.clone());
                changed.push((*name, value));
            }
        }
        changed
    }
}
