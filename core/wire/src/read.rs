//! Message bodies → fields that borrow from them. A reader takes the body without its header; it
//! never copies, never panics, and refuses bytes after the last field.

mod authentication;
mod fields;
mod session;

pub use authentication::{
    Authentication, SaslInitialResponse, authentication, password, sasl_initial_response,
    sasl_response,
};
pub(crate) use fields::Fields;
pub use session::{
    BindNames, Column, Execute, ParseMessage, ParseName, Report, Target, backend_key_data,
    bind_names, close, columns, command_complete, describe, execute, first_column,
    negotiate_protocol_version, parameter_status, parse, parse_name, query, ready_for_query,
    report,
};
