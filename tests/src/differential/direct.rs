//! A script's client alone, on a server of its own: what it must see through the pooler, and which
//! units make sense. It reads all that is owed after each unit.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::line::Line;
use super::script::{Script, Step};
use super::words::word;
use crate::pg::{Flight, Message};

/// How long a server that nobody else uses may be silent.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many Closes in a row end a unit on the server of its own: more than any script has.
const FENCE: usize = 8;
/// From one cancel to the next.
pub const CANCEL_EVERY: Duration = Duration::from_millis(4);

/// What a client must see next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    Word(String),
    /// Anything up to an error, which is the next word: the unit is cancelled.
    Cancelled,
    /// Whatever comes: the server was lost, or the client is gone.
    Anything,
    /// Errors of the class 08, the session's last words.
    Violated,
    /// The end of the stream.
    End,
}

/// A step that makes sense, and how much of what is expected must have come before it is over.
#[derive(Clone, Debug)]
pub struct Planned {
    pub step: Step,
    pub position: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub expected: Vec<Expect>,
    pub steps: Vec<Planned>,
    /// Places of what is expected where the pooler may refuse to read a sequence, each with its
    /// ReadyForQuery as the last.
    pub refusable: Vec<Range<usize>>,
}

impl Plan {
    /// How much of what is expected has come once the message due at this place was refused.
    pub fn refused(&self, at: usize) -> Option<usize> {
        self.refusable.iter().find(|places| places.contains(&at)).map(|places| places.end - 1)
    }
}

/// Runs a client's units; texts carry the mark of the run.
///
/// # Errors
/// The server did not answer as the script relies on.
pub async fn run(script: &Script, client: usize, line: &mut Line, run: &Run) -> Result<Plan> {
    let mut direct = Direct { plan: Plan::default(), line, run, status: b'I', clean: true };
    for (index, unit) in script.kept(client) {
        let sound = direct.status != b'E' || !unit.needs_sound;
        let idle = direct.status == b'I' || !unit.needs_idle;
        if !sound || !idle || unit.needs_unnamed && !direct.clean {
            continue;
        }
        let start = direct.plan.expected.len();
        let goes_on = direct.unit(&unit.steps).await;
        let goes_on = goes_on.with_context(|| format!("client {client}, unit {index}, direct"))?;
        let failed = direct.plan.expected[start..].iter().any(is_error);
        direct.clean = !failed && (direct.clean || unit.sets_unnamed);
        if unit.reads_sequence {
            direct.plan.refusable.push(start..direct.plan.expected.len());
            direct.clean = false;
        }
        if !goes_on {
            break;
        }
    }
    Ok(direct.plan)
}

fn is_error(expect: &Expect) -> bool {
    matches!(expect, Expect::Word(word) if word.starts_with("E "))
}

/// The number of a run, which its marks carry.
#[derive(Clone, Debug)]
pub struct Run {
    lead: Vec<u8>,
}

impl Run {
    /// In letters: so many digits might be a time, which the pooler does not read again once TimeZone
    /// is another.
    pub fn new(number: u64) -> Run {
        let digits = format!("{:08}", number % 100_000_000);
        let letters: String = digits.bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
        Run { lead: format!("m{letters}.").into_bytes() }
    }

    /// What a script says, with the run's marks.
    pub fn marked(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, LEAD, &self.lead)
    }

    /// What a server says, with the script's marks. `Err`: the mark of somebody else is in it.
    pub fn unmarked(&self, message: Message, client: usize) -> Result<Message, String> {
        let body = replace(&message.body, &self.lead, LEAD);
        let own = super::script::mark(client).into_bytes();
        let foreign = marks(&body).find(|found| *found != &own[..]);
        match foreign {
            Some(foreign) if matches!(message.tag, b'D' | b'd' | b'V' | b'A') => {
                Err(format!("a row or notification with the mark {}", foreign.escape_ascii()))
            }
            _ => Ok(Message { tag: message.tag, body }),
        }
    }
}

/// The start of every mark in a script.
const LEAD: &[u8] = b"m00000000.";

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = all.get(at..).and_then(|rest| position(rest, from)) {
        at += found;
        all[at..at + to.len()].copy_from_slice(to);
        at += to.len();
    }
    all
}

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Everything that looks like a mark.
fn marks(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.windows(LEAD.len() + 1).filter(|window| {
        let within = |byte: &u8| matches!(byte, b'0' | b'a'..=b'j');
        window[0] == b'm' && window[1..9].iter().all(within) && window[9] == b'.'
    })
}

struct Direct<'a> {
    plan: Plan,
    line: &'a mut Line,
    run: &'a Run,
    status: u8,
    clean: bool,
}

impl Direct<'_> {
    /// Whether the client goes on after it.
    async fn unit(&mut self, steps: &[Step]) -> Result<bool> {
        for step in steps {
            let goes_on = self.step(step).await?;
            let position = self.plan.expected.len();
            self.plan.steps.push(Planned { step: step.clone(), position });
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn step(&mut self, step: &Step) -> Result<bool> {
        if let Some(Expect::Anything) = self.plan.expected.last() {
            return Ok(true);
        }
        match step {
            Step::Send(bytes) => {
                self.line.send(&self.run.marked(bytes)).await;
                Ok(true)
            }
            Step::Until(tags) => self.until(tags).await,
            Step::Cancel(tags) => self.cancel(tags).await,
            Step::CancelOnce => {
                self.line.cancel().await;
                Ok(true)
            }
            Step::Fence { .. } => self.fence().await,
            Step::Vanish => {
                self.plan.expected.push(Expect::Anything);
                Ok(false)
            }
            Step::LoseServer | Step::Adrift => {
                self.plan.expected.push(Expect::Anything);
                Ok(true)
            }
        }
    }

    async fn until(&mut self, tags: &[u8]) -> Result<bool> {
        loop {
            match self.line.next(PATIENCE).await? {
                None => return Ok(self.end()),
                Some(message) => {
                    if self.note(message, tags)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    async fn cancel(&mut self, tags: &[u8]) -> Result<bool> {
        for _ in 0..5000 {
            match self.line.next(CANCEL_EVERY).await {
                Err(_) => self.line.cancel().await,
                Ok(None) => return Ok(self.end()),
                Ok(Some(message)) => {
                    if self.note(message, tags)? {
                        self.forget_before_error();
                        return Ok(true);
                    }
                }
            }
        }
        bail!("no cancel ends it")
    }

    /// Of what came since the last wait only the error counts, and what is behind it.
    fn forget_before_error(&mut self) {
        let start = self.plan.steps.last().map_or(0, |planned| planned.position);
        let error = self.plan.expected[start..].iter().position(is_error);
        if let Some(error) = error {
            self.plan.expected.splice(start..start + error, [Expect::Cancelled]);
        }
    }

    /// Messages whose answer shows that all before is answered; nothing of them is expected.
    async fn fence(&mut self) -> Result<bool> {
        let closes = |flight: Flight, _| flight.close_portal("fence");
        let fence = (0..FENCE).fold(Flight::new(), closes).sync();
        self.line.send(fence.bytes()).await;
        while !ends_with_fence(&self.plan.expected) {
            if !self.until(b"Z").await? {
                return Ok(false);
            }
        }
        let kept = self.plan.expected.len() - FENCE - 1;
        self.plan.expected.truncate(kept);
        Ok(true)
    }

    /// Whether it is one of the awaited.
    fn note(&mut self, message: Message, tags: &[u8]) -> Result<bool> {
        let tag = message.tag;
        if tag == b'Z' {
            self.status = message.body.first().copied().unwrap_or(b'?');
        }
        // On a server of its own nobody sees another's rows.
        let client = own_client(&message.body).unwrap_or(0);
        let message = self.run.unmarked(message, client).map_err(anyhow::Error::msg)?;
        self.plan.expected.extend(word(&message).map(Expect::Word));
        Ok(tags.contains(&tag))
    }

    fn end(&mut self) -> bool {
        let violation = |expect: &Expect| {
            let word = match expect {
                Expect::Word(word) => word,
                _ => return false,
            };
            ["E ERROR 08P01", "E FATAL 08P01"].iter().any(|lead| word.starts_with(lead))
        };
        let told = self.plan.expected.iter().rev().take_while(|expect| violation(expect)).count();
        if told > 0 {
            self.plan.expected.truncate(self.plan.expected.len() - told);
            self.plan.expected.push(Expect::Violated);
        }
        self.plan.expected.push(Expect::End);
        false
    }
}

fn ends_with_fence(expected: &[Expect]) -> bool {
    let Some(words) = expected.last_chunk::<{ FENCE + 1 }>() else { return false };
    let (ready, closed) = words.split_last().expect("a fence has words");
    let closed = closed.iter().all(|expect| *expect == Expect::Word("3 ".to_owned()));
    closed && matches!(ready, Expect::Word(word) if word.starts_with("Z "))
}

fn own_client(body: &[u8]) -> Option<usize> {
    let mark = marks(body).next()?;
    Some(usize::from(mark.last()?.wrapping_sub(b'0')))
}
