//! Rows that only one client writes, so that a wrong row shows at once whose it is.
//! Never counts on order between clients; each mark is checked by the one who made it.

use anyhow::{Result, bail};

use crate::pg::{Client, Flight, Message, message};

/// How a client speaks, in pgbench's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Simple,
    Extended,
    Prepared,
}

impl Protocol {
    pub const ALL: [Protocol; 3] = [Protocol::Simple, Protocol::Extended, Protocol::Prepared];
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        match text {
            "simple" => Ok(Protocol::Simple),
            "extended" => Ok(Protocol::Extended),
            "prepared" => Ok(Protocol::Prepared),
            other => Err(format!("protocol {other:?}: expected simple, extended or prepared")),
        }
    }
}

/// What the table of marks is made with, for each role in its own schema or in `public`.
pub const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS marks (client text PRIMARY KEY, mark bigint NOT NULL)";

const WRITE: &str = "INSERT INTO marks VALUES ($1, $2::bigint) \
ON CONFLICT (client) DO UPDATE SET mark = excluded.mark";
const READ: &str = "SELECT client, mark, current_user FROM marks WHERE client = $1";

/// One client's marks.
pub struct Marks {
    pub name: String,
    pub user: String,
    protocol: Protocol,
    prepared: bool,
    mark: u64,
}

impl Marks {
    pub fn new(name: &str, user: &str, protocol: Protocol) -> Marks {
        let (name, user) = (name.to_owned(), user.to_owned());
        Marks { name, user, protocol, prepared: false, mark: 0 }
    }

    /// A new connection knows no prepared statements.
    pub fn reconnected(&mut self) {
        self.prepared = false;
    }

    /// What the next transaction sends: write the next mark, read it back. One flight, one
    /// transaction, so that it may be repeated if it was not answered at all.
    pub fn step_forward(&mut self) -> Flight {
        self.mark += 1;
        self.flight()
    }

    /// The last flight again, after a reconnect.
    pub fn again(&mut self) -> Flight {
        self.flight()
    }

    fn flight(&mut self) -> Flight {
        let mark = self.mark.to_string();
        match self.protocol {
            Protocol::Simple => Flight::new().query(&self.as_text(&mark)),
            Protocol::Extended => {
                let (write, read) = ([self.name.as_str(), &mark], [self.name.as_str()]);
                Flight::new().unnamed(WRITE, &write).unnamed(READ, &read).sync()
            }
            Protocol::Prepared => self.as_prepared(&mark),
        }
    }

    fn as_text(&self, mark: &str) -> String {
        let name = format!("'{}'", self.name);
        let write = WRITE.replace("$1", &name).replace("$2::bigint", mark);
        format!("{write}; {}", READ.replace("$1", &name))
    }

    /// All clients use the same two names, as drivers that count from 1 do.
    fn as_prepared(&mut self, mark: &str) -> Flight {
        let mut flight = Flight::new();
        if !self.prepared {
            flight = flight.parse("s1", WRITE).parse("s2", READ);
        }
        flight.run("s1", &[&self.name, mark]).run("s2", &[&self.name]).sync()
    }

    /// Checks that the row read back is this client's last mark and that it ran as its user.
    pub fn check(&mut self, messages: &[Message]) -> Result<()> {
        if let Some(error) = messages.iter().find(|message| message.tag == b'E') {
            bail!("{}: {}", self.name, error.fields());
        }
        self.prepared = self.protocol == Protocol::Prepared;
        let rows: Vec<_> = messages.iter().filter(|m| m.tag == b'D').map(Message::cells).collect();
        let own = [&self.name, &self.mark.to_string(), &self.user];
        let own: Vec<_> = own.into_iter().map(|cell| Some(cell.clone())).collect();
        if rows != [own] {
            let told = message::transcript(messages);
            bail!(
                "{}: a wrong mark: expected {} of {}, got {told:?}",
                self.name,
                self.mark,
                self.user
            );
        }
        Ok(())
    }

    /// One whole transaction on a connection that must not close.
    pub async fn step(&mut self, client: &mut Client) -> Result<()> {
        let flight = self.step_forward();
        let messages = client.exchange(&flight).await?;
        self.check(&messages)
    }
}
