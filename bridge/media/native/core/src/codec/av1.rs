//! (being written)
use super::PayloadInfo;
#[must_use]
pub fn inspect(payload: &[u8]) -> PayloadInfo { todo!() }
