//! Readers of the messages of a login. They never check a password: SCRAM does.

use super::Fields;
use crate::WireError;

/// One step of authentication, as the server asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    Ok,
    CleartextPassword,
    /// With this salt.
    Md5Password([u8; 4]),
    /// The mechanisms that the server offers, best first.
    Sasl(Vec<&'a [u8]>),
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// A method that is not spoken here, by its code (GSSAPI 7, SSPI 9, …).
    Other(i32),
}

/// The first message of a SASL exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    pub mechanism: &'a [u8],
    /// Absent where the client sends length −1.
    pub response: Option<&'a [u8]>,
}

pub fn authentication(body: &[u8]) -> Result<Authentication<'_>, WireError> {
    let mut fields = Fields::new("Authentication", body);
    let step = match fields.i32("code")? {
        0 => Authentication::Ok,
        3 => Authentication::CleartextPassword,
        5 => {
            let salt = fields.bytes("salt", 4)?;
            Authentication::Md5Password(*salt.first_chunk().unwrap_or(&[0; 4]))
        }
        10 => Authentication::Sasl(mechanisms(&mut fields)?),
        11 => return Ok(Authentication::SaslContinue(fields.rest())),
        12 => return Ok(Authentication::SaslFinal(fields.rest())),
        other => return Ok(Authentication::Other(other)),
    };
    fields.end()?;
    Ok(step)
}

pub fn sasl_initial_response(body: &[u8]) -> Result<SaslInitialResponse<'_>, WireError> {
    let mut fields = Fields::new("SASLInitialResponse", body);
    let mechanism = fields.cstr("mechanism")?;
    let response = match fields.i32("response length")? {
        -1 => None,
        length => {
            let length = usize::try_from(length)
                .map_err(|_| fields.value("response length", "-1, 0 or more"))?;
            Some(fields.bytes("response", length)?)
        }
    };
    fields.end()?;
    Ok(SaslInitialResponse { mechanism, response })
}

/// The text of a SASLResponse: the whole body.
pub fn sasl_response(body: &[u8]) -> &[u8] {
    body
}

/// The text of a PasswordMessage.
pub fn password(body: &[u8]) -> Result<&[u8], WireError> {
    let mut fields = Fields::new("PasswordMessage", body);
    let password = fields.cstr("password")?;
    fields.end()?;
    Ok(password)
}

fn mechanisms<'a>(fields: &mut Fields<'a>) -> Result<Vec<&'a [u8]>, WireError> {
    let mut names = Vec::new();
    loop {
        let name = fields.cstr("mechanism")?;
        if name.is_empty() {
            return Ok(names);
        }
        names.push(name);
    }
}
