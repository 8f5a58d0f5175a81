//! Readers of the messages that a session exchanges once it is logged in. They never look at a
//! client's rows or parameter values: those are only counted and moved.

use super::Fields;
use crate::{CancelKey, TargetKind, TransactionStatus, WireError};

/// Parse: prepare a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMessage<'a> {
    /// Empty: the unnamed statement.
    pub name: &'a [u8],
    pub query: &'a [u8],
    /// Parameter types as sent: four bytes (OID, big-endian) each.
    pub types: &'a [u8],
}

/// The name that a Parse begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseName<'a> {
    pub name: &'a [u8],
    /// Bytes of the body that the name takes, its NUL included.
    pub consumed: usize,
}

/// The two names that a Bind begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    /// Bytes of the body that the names take, their NULs included.
    pub consumed: usize,
}

/// What a Describe or Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub kind: TargetKind,
    /// Empty: the unnamed one.
    pub name: &'a [u8],
}

/// Execute: run a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    pub portal: &'a [u8],
    /// Rows after which it suspends; 0 or less: no limit.
    pub max_rows: i32,
}

/// The fields of an ErrorResponse or NoticeResponse that matter here; empty where not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report<'a> {
    /// `V`, never translated (`S` where the server sent no `V`).
    pub severity: &'a [u8],
    /// `C`, five characters.
    pub sqlstate: &'a [u8],
    pub message: &'a [u8],
    pub detail: &'a [u8],
    pub hint: &'a [u8],
    /// The function of the server's source that raised it.
    pub routine: &'a [u8],
}

impl Report<'_> {
    /// Whether a prepared statement would give other columns than when it was prepared.
    pub fn is_changed_result(&self) -> bool {
        self.sqlstate == b"0A000"
            && (self.routine == b"RevalidateCachedQuery"
                || self.message == b"cached plan must not change result type")
    }
}

/// The text of a Query.
pub fn query(body: &[u8]) -> Result<&[u8], WireError> {
    let mut fields = Fields::new("Query", body);
    let text = fields.cstr("text")?;
    fields.end()?;
    Ok(text)
}

/// The first value of a DataRow; `None`: NULL.
pub fn first_column(body: &[u8]) -> Result<Option<&[u8]>, WireError> {
    let mut fields = Fields::new("DataRow", body);
    if fields.i16("number of columns")? < 1 {
        return Err(fields.value("number of columns", "at least 1"));
    }
    match usize::try_from(fields.i32("length of the value")?) {
        Ok(length) => fields.bytes("value", length).map(Some),
        Err(_) => Ok(None),
    }
}

/// What decides whether a column is the same: its name, type, and the type's length and modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column<'a> {
    pub name: &'a [u8],
    pub type_oid: i32,
    pub length: i16,
    pub modifier: i32,
}

/// The columns of a RowDescription.
pub fn columns(body: &[u8]) -> Result<Vec<Column<'_>>, WireError> {
    let mut fields = Fields::new("RowDescription", body);
    let count = count(&mut fields, "number of columns")?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let name = fields.cstr("column name")?;
        fields.i32("table")?;
        fields.i16("number in the table")?;
        let type_oid = fields.i32("type")?;
        let length = fields.i16("length of the type")?;
        let modifier = fields.i32("modifier of the type")?;
        fields.i16("format")?;
        columns.push(Column { name, type_oid, length, modifier });
    }
    fields.end()?;
    Ok(columns)
}

pub fn parse(body: &[u8]) -> Result<ParseMessage<'_>, WireError> {
    let mut fields = Fields::new("Parse", body);
    let name = fields.cstr("statement name")?;
    let query = fields.cstr("query")?;
    let count = count(&mut fields, "number of parameter types")?;
    let types = fields.bytes("parameter types", count * 4)?;
    fields.end()?;
    Ok(ParseMessage { name, query, types })
}

/// Reads the name from the start of a Parse of `length` bytes; `None` if `prefix` ends before it.
///
/// # Errors
/// The whole body is there and holds no complete name.
pub fn parse_name(prefix: &[u8], length: u32) -> Result<Option<ParseName<'_>>, WireError> {
    let (body, complete) = clip(prefix, length);
    let mut fields = Fields::new("Parse", body);
    or_more(complete, || {
        let name = fields.cstr("statement name")?;
        Ok(ParseName { name, consumed: body.len() - fields.remaining() })
    })
}

/// Reads the names from the start of a Bind of `length` bytes; `None` if `prefix` ends before them.
///
/// # Errors
/// The whole body is there and does not hold both names.
pub fn bind_names(prefix: &[u8], length: u32) -> Result<Option<BindNames<'_>>, WireError> {
    let (body, complete) = clip(prefix, length);
    let mut fields = Fields::new("Bind", body);
    or_more(complete, || {
        let portal = fields.cstr("portal name")?;
        let statement = fields.cstr("statement name")?;
        Ok(BindNames { portal, statement, consumed: body.len() - fields.remaining() })
    })
}

pub fn describe(body: &[u8]) -> Result<Target<'_>, WireError> {
    target("Describe", body)
}

pub fn close(body: &[u8]) -> Result<Target<'_>, WireError> {
    target("Close", body)
}

pub fn execute(body: &[u8]) -> Result<Execute<'_>, WireError> {
    let mut fields = Fields::new("Execute", body);
    let portal = fields.cstr("portal name")?;
    let max_rows = fields.i32("row limit")?;
    fields.end()?;
    Ok(Execute { portal, max_rows })
}

/// The tag of a CommandComplete, for example `INSERT 0 1`.
pub fn command_complete(body: &[u8]) -> Result<&[u8], WireError> {
    let mut fields = Fields::new("CommandComplete", body);
    let tag = fields.cstr("tag")?;
    fields.end()?;
    Ok(tag)
}

/// Name and value of a ParameterStatus.
pub fn parameter_status(body: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut fields = Fields::new("ParameterStatus", body);
    let name = fields.cstr("name")?;
    let value = fields.cstr("value")?;
    fields.end()?;
    Ok((name, value))
}

pub fn ready_for_query(body: &[u8]) -> Result<TransactionStatus, WireError> {
    let mut fields = Fields::new("ReadyForQuery", body);
    let status = match fields.u8("status")? {
        b'I' => TransactionStatus::Idle,
        b'T' => TransactionStatus::Open,
        b'E' => TransactionStatus::Failed,
        _ => return Err(fields.value("status", "I, T or E")),
    };
    fields.end()?;
    Ok(status)
}

/// The key of a BackendKeyData. Secrets of up to 256 bytes are taken (protocol 3.2).
pub fn backend_key_data(body: &[u8]) -> Result<CancelKey<'_>, WireError> {
    let mut fields = Fields::new("BackendKeyData", body);
    let process_id = fields.i32("process id")?;
    if !(4..=256).contains(&fields.remaining()) {
        return Err(fields.value("secret", "4 to 256 bytes long"));
    }
    Ok(CancelKey { process_id, secret: fields.rest() })
}

/// The version that a server settles on, below the one that was asked for, and how many `_pq_.`
/// options it does not know.
pub fn negotiate_protocol_version(body: &[u8]) -> Result<(i32, usize), WireError> {
    let mut fields = Fields::new("NegotiateProtocolVersion", body);
    let version = fields.i32("version")?;
    let count = usize::try_from(fields.i32("number of options")?)
        .map_err(|_| fields.value("number of options", "0 or more"))?;
    for _ in 0..count {
        fields.cstr("option")?;
    }
    fields.end()?;
    Ok((version, count))
}

/// An ErrorResponse or NoticeResponse. Fields of other kinds are passed over.
pub fn report(body: &[u8]) -> Result<Report<'_>, WireError> {
    let mut fields = Fields::new("ErrorResponse", body);
    let mut report = Report::default();
    let mut translated: &[u8] = b"";
    loop {
        let kind = fields.u8("field type")?;
        if kind == 0 {
            break;
        }
        let text = fields.cstr("field")?;
        match kind {
            b'S' => translated = text,
            b'V' => report.severity = text,
            b'C' => report.sqlstate = text,
            b'M' => report.message = text,
            b'D' => report.detail = text,
            b'H' => report.hint = text,
            b'R' => report.routine = text,
            _ => {}
        }
    }
    fields.end()?;
    if report.severity.is_empty() {
        report.severity = translated;
    }
    Ok(report)
}

fn target<'a>(message: &'static str, body: &'a [u8]) -> Result<Target<'a>, WireError> {
    let mut fields = Fields::new(message, body);
    let kind = match fields.u8("kind")? {
        b'S' => TargetKind::Statement,
        b'P' => TargetKind::Portal,
        _ => return Err(fields.value("kind", "S or P")),
    };
    let name = fields.cstr("name")?;
    fields.end()?;
    Ok(Target { kind, name })
}

fn count(fields: &mut Fields<'_>, field: &'static str) -> Result<usize, WireError> {
    // Postgres reads it as unsigned: a statement may have 65,535 parameters.
    fields.i16(field).map(|count| usize::from(count.cast_unsigned()))
}

fn clip(prefix: &[u8], length: u32) -> (&[u8], bool) {
    let length = length as usize;
    (&prefix[..prefix.len().min(length)], prefix.len() >= length)
}

fn or_more<T>(
    complete: bool,
    read: impl FnOnce() -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(WireError::Short { .. }) if !complete => Ok(None),
        Err(error) => Err(error),
    }
}
