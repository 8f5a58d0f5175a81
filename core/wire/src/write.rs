//! Fields → bytes, appended to a buffer. Strings end at their own end: a NUL inside one is left out,
//! so that no text can forge a field. A writer never fails and never looks at what it is given.

mod authentication;
mod client;
mod frame;
mod server;
mod startup;

pub use authentication::{
    authentication_cleartext_password, authentication_md5_password, authentication_ok,
    authentication_sasl, authentication_sasl_continue, authentication_sasl_final, password,
    sasl_initial_response, sasl_response,
};
pub use client::{
    bind_head, bind_one, close, copy_fail, describe, execute, flush, parse, parse_head, query, run,
    sync, terminate,
};
pub use server::{
    ErrorFields, backend_key_data, bind_complete, close_complete, command_complete, error_response,
    negotiate_protocol_version, notice_response, parameter_status, parse_complete, ready_for_query,
};
pub use startup::{cancel_request, forwarded_cancel, gssenc_request, ssl_request, startup};
