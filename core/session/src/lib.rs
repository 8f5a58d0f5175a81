//! One client and one server connection: their rules, and the link between them.

pub mod lexer;
