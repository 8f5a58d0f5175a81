//! A script through the pooler: all its clients, turn by turn, each compared with its plan while the
//! messages come. It stops at the first difference.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::direct::{CANCEL_EVERY, Expect, Plan, Run};
use super::line::{Closed, Line};
use super::script::{Script, Step};
use super::stage::Worker;
use super::words::{agree, is_lost, refuses_sequence, word};

/// What was wrong, and for whom.
#[derive(Clone, Debug)]
pub struct Difference {
    pub client: usize,
    pub what: String,
}

/// One client under way.
struct Player<'a> {
    number: usize,
    plan: &'a Plan,
    line: Option<Line>,
    next: usize,
    /// How much of what is expected has come.
    at: usize,
    closed: bool,
    /// ReadyForQuery came after the server was lost.
    ready: bool,
    last_cancel: Option<Instant>,
    /// Its cancel has met a statement of the pooler's own, which ends the session.
    cut: bool,
}

/// Whether a step is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    NotYet,
}

/// Plays all plans; gives back the lines that may be used again.
///
/// # Errors
/// The first [`Difference`].
pub async fn run(
    worker: &Worker,
    script: &Script,
    plans: &[Plan],
    lines: Vec<Line>,
    run: &Run,
) -> Result<Vec<Option<Line>>, Difference> {
    let players = plans.iter().zip(lines).enumerate();
    let players = players.map(|(number, (plan, line))| Player::new(number, plan, line)).collect();
    let mut play = Play { worker, players, run, bell: &worker.bell, patience: worker.patience };
    play.all(script).await?;
    let again = |player: Player<'_>| {
        let sound =
            !player.closed && !player.cut && !player.plan.expected.contains(&Expect::Anything);
        player.line.filter(|_| sound)
    };
    Ok(play.players.into_iter().map(again).collect())
}

struct Play<'a> {
    worker: &'a Worker,
    players: Vec<Player<'a>>,
    run: &'a Run,
    bell: &'a Notify,
    patience: Duration,
}

impl Play<'_> {
    async fn all(&mut self, script: &Script) -> Result<(), Difference> {
        let mut turns = script.turns.clone();
        for player in &self.players {
            turns.extend(std::iter::repeat_n(player.number, player.plan.steps.len()));
        }
        let mut moved = Instant::now();
        loop {
            if self.round(&mut turns, script.strict).await? {
                moved = Instant::now();
                continue;
            }
            if turns.is_empty() && self.players.iter().all(Player::is_over) {
                return Ok(());
            }
            if moved.elapsed() > self.patience {
                return Err(self.stuck());
            }
            let cancels = self.players.iter().any(Player::cancels);
            let limit = if cancels { CANCEL_EVERY } else { self.patience };
            let _ = tokio::time::timeout(limit, self.bell.notified()).await;
        }
    }

    /// Takes every turn that can be taken; answers whether anything moved.
    async fn round(&mut self, turns: &mut Vec<usize>, strict: bool) -> Result<bool, Difference> {
        let mut waits = vec![false; self.players.len()];
        let mut moved = false;
        for player in &mut self.players {
            moved |= player.pump(self.run)?;
        }
        let mut index = 0;
        while let Some(&client) = turns.get(index) {
            let player = &mut self.players[client];
            if player.next >= player.plan.steps.len() {
                turns.remove(index);
                continue;
            }
            if !waits[client] && player.step(self.worker, self.run).await? == Done::Yes {
                turns.remove(index);
                player.next += 1;
                moved = true;
                continue;
            }
            waits[client] = true;
            if strict || waits.iter().all(|waits| *waits) {
                break;
            }
            index += 1;
        }
        Ok(moved)
    }

    fn stuck(&self) -> Difference {
        let stuck = self.players.iter().find(|player| !player.is_over());
        let told = |player: &Player<'_>| {
            let due = player.plan.expected.get(player.at);
            format!("nothing came within {:?}, expected {due:?}", self.patience)
        };
        let client = stuck.map_or(0, |player| player.number);
        Difference { client, what: stuck.map_or_else(String::new, told) }
    }
}

impl<'a> Player<'a> {
    fn new(number: usize, plan: &'a Plan, line: Line) -> Player<'a> {
        Player {
            number,
            plan,
            line: Some(line),
            next: 0,
            at: 0,
            closed: false,
            ready: false,
            last_cancel: None,
            cut: false,
        }
    }

    fn is_over(&self) -> bool {
        self.next >= self.plan.steps.len()
            && (self.line.is_none() || self.at >= self.plan.expected.len() || self.is_adrift())
    }

    /// Its server was lost: what comes is its own affair.
    fn is_adrift(&self) -> bool {
        let adrift = self.plan.expected.get(self.at) == Some(&Expect::Anything);
        (adrift || self.cut) && (self.closed || self.ready)
    }

    fn cancels(&self) -> bool {
        let step = self.plan.steps.get(self.next);
        step.is_some_and(|planned| matches!(planned.step, Step::Cancel(_)))
    }

    async fn step(&mut self, worker: &Worker, run: &Run) -> Result<Done, Difference> {
        let planned = &self.plan.steps[self.next];
        let reached = self.at >= planned.position || self.is_adrift();
        let Some(line) = self.line.as_mut() else { return Ok(Done::Yes) };
        match &planned.step {
            Step::Send(bytes) => {
                self.ready = false;
                line.send(&run.marked(bytes)).await;
                return Ok(Done::Yes);
            }
            Step::CancelOnce => {
                line.cancel().await;
                return Ok(Done::Yes);
            }
            Step::Vanish => {
                self.line = None;
                return Ok(Done::Yes);
            }
            Step::LoseServer => {
                worker.lose_server(&line.target.user).await;
                return Ok(Done::Yes);
            }
            Step::Fence { waits: false } | Step::Adrift => return Ok(Done::Yes),
            Step::Fence { waits: true } | Step::Until(_) | Step::Cancel(_) => {}
        }
        if reached {
            return Ok(Done::Yes);
        }
        let due = self.last_cancel.is_none_or(|last| last.elapsed() >= CANCEL_EVERY);
        if matches!(planned.step, Step::Cancel(_)) && due {
            line.cancel().await;
            self.last_cancel = Some(Instant::now());
        }
        Ok(Done::NotYet)
    }

    /// Takes in what has come; answers whether anything has.
    fn pump(&mut self, run: &Run) -> Result<bool, Difference> {
        let mut moved = false;
        while let Some(line) = self.line.as_mut().filter(|_| !self.closed) {
            match line.poll() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    self.ready |= message.tag == b'Z';
                    let message = run.unmarked(message, self.number);
                    let message = message.map_err(|what| self.difference(what))?;
                    if let Some(word) = word(&message) {
                        self.compare(&word)?;
                    }
                }
                Err(Closed) => {
                    self.closed = true;
                    self.compare_end()?;
                }
            }
            moved = true;
        }
        Ok(moved)
    }

    fn compare(&mut self, seen: &str) -> Result<(), Difference> {
        self.cut |= self.last_cancel.is_some() && seen.starts_with("E FATAL 57014");
        if self.cut {
            return Ok(());
        }
        if let Some(at) = self.plan.refused(self.at).filter(|_| refuses_sequence(seen)) {
            self.at = at;
            return Ok(());
        }
        let fails = seen.starts_with("E ") && self.expects(1, |word| agree(word, seen));
        if fails && self.expects(0, |word| word.starts_with("t ")) {
            self.at += 1;
        }
        match self.plan.expected.get(self.at) {
            Some(Expect::Word(expected)) if agree(expected, seen) => self.at += 1,
            Some(Expect::Cancelled) if seen.starts_with("E ") => {
                self.at += 1;
                return self.compare(seen);
            }
            Some(Expect::Cancelled | Expect::Anything) => {}
            Some(Expect::Violated) if is_violation(seen) => {}
            Some(Expect::Violated) => {
                return Err(self.difference(format!("came {seen}, not 08P01")));
            }
            Some(Expect::Word(expected)) => {
                return Err(self.difference(format!("expected {expected}\n  came     {seen}")));
            }
            Some(Expect::End) if is_lost(seen) && self.was_ended() => {}
            Some(Expect::End) => return Err(self.difference(format!("came {seen}, not the end"))),
            None => return Err(self.difference(format!("came {seen}, which nobody is owed"))),
        }
        Ok(())
    }

    /// Whether this is said of the word that is expected behind so many others.
    fn expects(&self, behind: usize, is: impl Fn(&str) -> bool) -> bool {
        let expected = self.plan.expected.get(self.at + behind);
        matches!(expected, Some(Expect::Word(word)) if is(word))
    }

    /// The server's last words have come.
    fn was_ended(&self) -> bool {
        let last = self.at.checked_sub(1).map(|last| &self.plan.expected[last]);
        matches!(last, Some(Expect::Word(word)) if word.starts_with("E FATAL "))
    }

    fn compare_end(&mut self) -> Result<(), Difference> {
        match self.plan.expected.get(self.at) {
            Some(Expect::End) => self.at += 1,
            Some(Expect::Violated) => self.at += 2,
            Some(Expect::Anything) => {}
            _ if self.cut => {}
            expected => {
                return Err(self.difference(format!("closed, and expected was {expected:?}")));
            }
        }
        Ok(())
    }

    fn difference(&self, what: impl Into<String>) -> Difference {
        let before = self.plan.expected[..self.at].iter().rev().take(4).rev();
        let before: Vec<String> = before.map(|expect| format!("{expect:?}")).collect();
        Difference {
            client: self.number,
            what: format!("{}\n  after {}", what.into(), before.join(", ")),
        }
    }
}

fn is_violation(word: &str) -> bool {
    ["E ERROR 08P01", "E FATAL 08P01", "E FATAL 08006"].iter().any(|lead| word.starts_with(lead))
}
