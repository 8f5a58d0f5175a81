//! All rounds of one cell: A B C A B C, so that a slow minute hits all subjects alike, and further
//! ones of those that a goal compares, until the rounds agree on it.
//! Never hides a failure: it stands in the summary, and nothing is compared with it.

use std::io::IsTerminal;

use anyhow::{Context, Result};

use crate::cell::{Cell, Entry};
use crate::goals;
use crate::result::{Summary, disturbed};
use crate::run::{self, Run};
use crate::site::Site;
use crate::subject::Subject;

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// How many rounds at most, while a goal of the cell is open.
    pub most_rounds: usize,
    pub seconds: f64,
    /// How often a disturbed run is repeated.
    pub repeats: usize,
}

/// One entry on its way through the rounds.
struct Candidate<'a> {
    entry: &'a Entry,
    program: String,
    subject: Option<Subject>,
    runs: Vec<Run>,
    left_out: Option<String>,
    failed: Option<String>,
}

/// Runs all rounds of the cell.
pub async fn measure(site: &Site, cell: &Cell, effort: Effort) -> Vec<Summary> {
    let mut candidates = Vec::new();
    for entry in &cell.entries {
        candidates.push(Candidate::new(site, entry).await);
    }
    for round in 0..effort.rounds {
        for candidate in &mut candidates {
            candidate.round(site, cell, round, effort).await;
        }
    }
    for round in effort.rounds..effort.most_rounds {
        if !goals::open(&summaries(&candidates, cell)) {
            break;
        }
        for candidate in candidates.iter_mut().filter(|candidate| candidate.concerns(cell)) {
            candidate.round(site, cell, round, effort).await;
        }
    }
    summaries(&candidates, cell)
}

fn summaries(candidates: &[Candidate], cell: &Cell) -> Vec<Summary> {
    candidates.iter().map(|candidate| candidate.summary(cell)).collect()
}

impl<'a> Candidate<'a> {
    async fn new(site: &Site, entry: &'a Entry) -> Candidate<'a> {
        let mut candidate = Candidate {
            entry,
            program: entry.peer.to_owned(),
            subject: None,
            runs: Vec::new(),
            left_out: None,
            failed: None,
        };
        if let Err(error) = candidate.start(site).await {
            candidate.fail("start", &error);
        }
        candidate
    }

    async fn start(&mut self, site: &Site) -> Result<()> {
        self.subject = None;
        match Subject::start(self.entry.peer, site, &self.entry.setup).await? {
            Err(reason) => self.left_out = Some(reason),
            Ok(subject) => {
                self.program.clone_from(&subject.program);
                if self.entry.touched {
                    run::touch(&subject, self.entry).await?;
                }
                self.subject = Some(subject);
            }
        }
        Ok(())
    }

    fn fail(&mut self, what: &str, error: &anyhow::Error) {
        let text = format!("{what}: {error:#}").replace('\n', " ");
        self.failed = Some(text);
        self.subject = None;
    }

    async fn round(&mut self, site: &Site, cell: &Cell, round: usize, effort: Effort) {
        if self.failed.is_some() || self.left_out.is_some() {
            return;
        }
        progress(&format!("{} {} round {}", cell.name, self.entry.name(), round + 1));
        match self.quiet_run(site, effort).await {
            Ok(run) => self.runs.push(run),
            Err(error) => self.fail(&format!("round {}", round + 1), &error),
        }
        progress("");
    }

    /// A run that nothing disturbed, or the last of the repeats.
    async fn quiet_run(&mut self, site: &Site, effort: Effort) -> Result<Run> {
        let mut run = self.run(site, effort).await?;
        for _ in 0..effort.repeats {
            if disturbed(&run.disturbance).is_some() {
                run = self.run(site, effort).await?;
            }
        }
        Ok(run)
    }

    async fn run(&mut self, site: &Site, effort: Effort) -> Result<Run> {
        if self.entry.fresh && !self.runs.is_empty() {
            self.start(site).await?;
        }
        let Some(subject) = &mut self.subject else { anyhow::bail!("it is not there") };
        let run = run::run(site, subject, self.entry, effort.seconds).await;
        subject.still_runs()?;
        run.with_context(|| subject.last_words())
    }

    /// Whether a goal of the cell is judged by it.
    fn concerns(&self, cell: &Cell) -> bool {
        goals::concern(&cell.name, &self.entry.name())
    }

    fn summary(&self, cell: &Cell) -> Summary {
        let summary = Summary::new(cell, self.entry, &self.program, &self.runs);
        Summary { left_out: self.left_out.clone(), failed: self.failed.clone(), ..summary }
    }
}

/// Shows on a terminal what is under way.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
