//! What callgrind wrote: how many instructions each function ran, itself and with all it called.
//! Reads the text that one process left; never runs callgrind_annotate, which cannot subtract.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};

/// Functions in the list by own cost, and of our crates by cost with all they call: those of the
/// runtime that call everything say nothing.
const OWN: usize = 40;
const INCLUSIVE: usize = 30;
const OURS: &str = "poolwright";

/// Instructions of one function; fractions, once divided by a number of transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub own: f64,
    pub inclusive: f64,
}

/// Instructions by function.
#[derive(Debug, Default)]
pub struct Profile(HashMap<String, Cost>);

impl Profile {
    /// # Errors
    /// The text is not as callgrind writes it, or its costs do not add up to its own total.
    pub fn parse(text: &str) -> Result<Profile> {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.line(line).with_context(|| format!("line {line:?}"))?;
        }
        let profile = Profile(reader.costs);
        let (sum, told) = (profile.total(), reader.told.context("no line `totals:`")?);
        ensure!(sum == told, "the functions add up to {sum}, callgrind says {told}");
        Ok(profile)
    }

    pub fn total(&self) -> f64 {
        self.0.values().map(|cost| cost.own).sum()
    }

    /// What each of `count` transactions cost that `base` did not do.
    pub fn per(mut self, base: &Profile, count: u32) -> Profile {
        for (name, cost) in &base.0 {
            let ours = self.0.entry(name.clone()).or_default();
            ours.own -= cost.own;
            ours.inclusive -= cost.inclusive;
        }
        for cost in self.0.values_mut() {
            cost.own /= f64::from(count);
            cost.inclusive /= f64::from(count);
        }
        self
    }

    /// The dearest functions, for people.
    pub fn lists(&self) -> String {
        let mut text = format!("{:.0} instructions per transaction\n\nown\n", self.total());
        list(&mut text, OWN, self.0.iter().map(|(name, cost)| (cost.own, name)));
        text.push_str("\nwith all they call\n");
        let ours = self.0.iter().filter(|(name, _)| name.contains(OURS));
        list(&mut text, INCLUSIVE, ours.map(|(name, cost)| (cost.inclusive, name)));
        text
    }
}

fn list<'a>(text: &mut String, most: usize, rows: impl Iterator<Item = (f64, &'a String)>) {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    for (cost, name) in rows.into_iter().take(most) {
        let _ = writeln!(text, "{cost:>8.1}  {name}");
    }
}

/// Where we are in the text.
#[derive(Default)]
struct Reader {
    /// Names are written once, with a number that stands for them from then on.
    names: HashMap<String, String>,
    costs: HashMap<String, Cost>,
    function: String,
    called: String,
    /// The next cost is that of a call, not the function's own.
    is_call: bool,
    told: Option<f64>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(name) = line.strip_prefix("fn=") {
            self.function = self.name(name)?;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.called = self.name(name)?;
        } else if line.starts_with("calls=") {
            self.is_call = true;
        } else if let Some(total) = line.strip_prefix("totals:") {
            self.told = Some(total.trim().parse()?);
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            self.cost(line)?;
        }
        Ok(())
    }

    fn name(&mut self, text: &str) -> Result<String> {
        let (number, name) = text.split_once(')').context("a name without a number")?;
        if name.is_empty() {
            return self.names.get(number).cloned().context("a number without a name");
        }
        let name = name.trim_start().to_owned();
        self.names.insert(number.to_owned(), name.clone());
        Ok(name)
    }

    /// A place in the source, and what was spent there.
    fn cost(&mut self, line: &str) -> Result<()> {
        let spent: f64 = match line.split_whitespace().nth(1) {
            Some(spent) => spent.parse()?,
            None => 0.0,
        };
        let is_call = std::mem::take(&mut self.is_call);
        let cost = self.costs.entry(self.function.clone()).or_default();
        if !is_call {
            cost.own += spent;
            cost.inclusive += spent;
        } else if self.called != self.function {
            cost.inclusive += spent;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "events: Ir\n\nfn=(1) main\n10 5\n+2 7\ncfn=(2) read\ncalls=3 20\n* 30\n\
                        fn=(2)\n20 24\ncfn=(2)\ncalls=1 20\n21 6\n-1 6\n\ntotals: 42\n";

    #[test]
    fn own_and_inclusive_costs_are_told_apart_and_recursion_counts_once() {
        let profile = Profile::parse(TEXT).unwrap();
        assert_eq!(profile.0["main"], Cost { own: 12.0, inclusive: 42.0 });
        assert_eq!(profile.0["read"], Cost { own: 30.0, inclusive: 30.0 });
    }

    #[test]
    fn costs_that_do_not_add_up_are_refused() {
        assert!(Profile::parse(&TEXT.replace("totals: 42", "totals: 43")).is_err());
        assert!(Profile::parse("fn=(1) main\n1 1\n").is_err());
        assert!(Profile::parse("fn=(7)\n1 1\ntotals: 1\n").is_err());
    }

    #[test]
    fn what_both_lives_did_falls_out_of_the_difference() {
        let (base, longer) = (Profile::parse(TEXT).unwrap(), Profile::parse(TEXT).unwrap());
        assert_eq!(longer.per(&base, 10).total(), 0.0);
        let longer = TEXT.replace("-1 6", "-1 106").replace("42", "142");
        let each = Profile::parse(&longer).unwrap().per(&base, 10);
        assert_eq!(each.total(), 10.0);
        assert!(each.lists().contains("    10.0  read"), "{}", each.lists());
    }
}
