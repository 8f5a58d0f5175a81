//! Client messages, put one after the other into one buffer and sent in one write.
//! Never checks that they make sense: tests send nonsense on purpose.

/// The protocol version 3.0.
pub const VERSION_3_0: i32 = 196_608;
/// The protocol version 3.2.
pub const VERSION_3_2: i32 = 196_610;
const SSL_REQUEST: i32 = 80_877_103;
const CANCEL_REQUEST: i32 = 80_877_102;
const GSS_REQUEST: i32 = 80_877_104;

/// Several messages in a row, and how many ReadyForQuery they have to bring.
#[derive(Clone, Debug, Default)]
pub struct Flight {
    bytes: Vec<u8>,
    replies: usize,
}

impl Flight {
    pub fn new() -> Flight {
        Flight::default()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn replies(&self) -> usize {
        self.replies
    }

    /// Any message: a tag and a body.
    pub fn message(mut self, tag: u8, body: &[u8]) -> Flight {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&length(body.len() + 4));
        self.bytes.extend_from_slice(body);
        self
    }

    /// Bytes that need not be a message.
    pub fn raw(mut self, bytes: &[u8]) -> Flight {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn query(mut self, sql: &str) -> Flight {
        self.replies += 1;
        self.message(b'Q', &text(sql))
    }

    pub fn parse(self, name: &str, sql: &str) -> Flight {
        self.parse_typed(name, sql, &[])
    }

    pub fn parse_typed(self, name: &str, sql: &str, types: &[u32]) -> Flight {
        let mut body = [text(name), text(sql)].concat();
        body.extend_from_slice(&(types.len() as i16).to_be_bytes());
        for oid in types {
            body.extend_from_slice(&oid.to_be_bytes());
        }
        self.message(b'P', &body)
    }

    /// Bind with all parameters and results as text.
    pub fn bind(self, portal: &str, statement: &str, values: &[&str]) -> Flight {
        let mut body = [text(portal), text(statement)].concat();
        body.extend_from_slice(&0i16.to_be_bytes());
        body.extend_from_slice(&(values.len() as i16).to_be_bytes());
        for value in values {
            body.extend_from_slice(&length(value.len()));
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(&0i16.to_be_bytes());
        self.message(b'B', &body)
    }

    pub fn describe_statement(self, name: &str) -> Flight {
        self.message(b'D', &[b"S".to_vec(), text(name)].concat())
    }

    pub fn describe_portal(self, name: &str) -> Flight {
        self.message(b'D', &[b"P".to_vec(), text(name)].concat())
    }

    pub fn close_statement(self, name: &str) -> Flight {
        self.message(b'C', &[b"S".to_vec(), text(name)].concat())
    }

    pub fn close_portal(self, name: &str) -> Flight {
        self.message(b'C', &[b"P".to_vec(), text(name)].concat())
    }

    /// Execute; a limit of 0 rows means all.
    pub fn execute(self, portal: &str, limit: i32) -> Flight {
        self.message(b'E', &[text(portal), limit.to_be_bytes().to_vec()].concat())
    }

    /// Bind to the unnamed portal and Execute it.
    pub fn run(self, statement: &str, values: &[&str]) -> Flight {
        self.bind("", statement, values).execute("", 0)
    }

    /// Parse, Bind and Execute, all unnamed.
    pub fn unnamed(self, sql: &str, values: &[&str]) -> Flight {
        self.parse("", sql).run("", values)
    }

    /// FunctionCall with arguments and result as text.
    pub fn call(mut self, function: u32, values: &[&str]) -> Flight {
        self.replies += 1;
        let mut body = [&function.to_be_bytes()[..], &[0, 0]].concat();
        body.extend_from_slice(&(values.len() as i16).to_be_bytes());
        for value in values {
            body.extend_from_slice(&length(value.len()));
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(&[0, 0]);
        self.message(b'F', &body)
    }

    pub fn sync(mut self) -> Flight {
        self.replies += 1;
        self.message(b'S', b"")
    }

    pub fn flush(self) -> Flight {
        self.message(b'H', b"")
    }

    pub fn terminate(self) -> Flight {
        self.message(b'X', b"")
    }

    pub fn copy_data(self, data: &[u8]) -> Flight {
        self.message(b'd', data)
    }

    pub fn copy_done(self) -> Flight {
        self.message(b'c', b"")
    }

    pub fn copy_fail(self, reason: &str) -> Flight {
        self.message(b'f', &text(reason))
    }
}

/// A startup packet; `version` is [`VERSION_3_0`] unless a test is curious.
pub fn startup(version: i32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    packet(&body)
}

pub fn ssl_request() -> Vec<u8> {
    packet(&SSL_REQUEST.to_be_bytes())
}

pub fn gss_request() -> Vec<u8> {
    packet(&GSS_REQUEST.to_be_bytes())
}

pub fn cancel_request(process_id: i32, secret: &[u8]) -> Vec<u8> {
    packet(&[&CANCEL_REQUEST.to_be_bytes(), &process_id.to_be_bytes(), secret].concat())
}

/// A length and a body, as before the login is done.
pub fn packet(body: &[u8]) -> Vec<u8> {
    [&length(body.len() + 4)[..], body].concat()
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), b"\0"].concat()
}

fn length(bytes: usize) -> [u8; 4] {
    (bytes as i32).to_be_bytes()
}
