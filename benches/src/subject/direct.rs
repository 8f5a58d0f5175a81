//! No pooler: what the backend gives by itself.
//! Never has a cost of its own.

use anyhow::Result;

use super::{Launch, Place};

pub fn start(place: &Place) -> Result<Launch> {
    Ok(Launch::There(place.backend()))
}
