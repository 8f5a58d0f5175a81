//! A cursor over one body. It never moves past the end: a field that is not all there is an error
//! that names it.

use std::ffi::CStr;

use crate::WireError;

pub(crate) struct Fields<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Fields { message, rest: body }
    }

    pub(crate) fn bytes(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(self.short(field))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(self.short(field))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, WireError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, WireError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// A string that ends with NUL, without it.
    pub(crate) fn cstr(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let text = CStr::from_bytes_until_nul(self.rest).map_err(|_| self.short(field))?;
        self.rest = &self.rest[text.count_bytes() + 1..];
        Ok(text.to_bytes())
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(WireError::Trailing { message: self.message, count }),
        }
    }

    pub(crate) fn value(&self, field: &'static str, expected: &'static str) -> WireError {
        WireError::Value { message: self.message, field, expected }
    }

    fn short(&self, field: &'static str) -> WireError {
        WireError::Short { message: self.message, field }
    }
}
