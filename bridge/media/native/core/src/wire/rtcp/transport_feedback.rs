//! Transport-wide feedback: which packets of one transport arrived, and when
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

use super::write::{finish, put_u16, put_u32, start_feedback};
use super::{FORMAT_TRANSPORT_FEEDBACK, TRANSPORT_SPECIFIC};
use crate::wire::{read_u16, read_u32};

/// Unit of the reference time, and of the deltas.
const REFERENCE_US: u64 = 64_000;
const TICK_US: u64 = 250;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

const VECTOR_BIT: u16 = 0x8000;
const TWO_BIT: u16 = 0x4000;
const ONE_BIT_SYMBOLS: usize = 14;
const TWO_BIT_SYMBOLS: usize = 7;
const MAX_RUN: usize = 0x1fff;
/// Keeps a written packet within a datagram: the rest is chunks, two bytes for at least seven statuses.
const MAX_DELTA_BYTES: usize = 800;

#[derive(Clone, Copy, Debug)]
pub struct TransportFeedback<'a> {
    pub sender: u32,
    pub media: u32,
    pub base_sequence: u16,
    pub status_count: u16,
    /// On the clock of who received the packets, a multiple of 64 ms; 24 bits signed, so it wraps.
    pub reference_time_us: i64,
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    /// Reads what follows the two SSRCs. `None` if chunks or deltas are missing or make no sense, so that the
    /// iteration over [`TransportFeedback::arrivals`] always gives `status_count` items.
    pub(super) fn read(sender: u32, media: u32, control: &'a [u8]) -> Option<Self> {
        let status_count = read_u16(control, 2)?;
        let time_and_count = read_u32(control, 4)?;
        let chunks = control.get(8..)?;
        let mut symbols = Symbols { chunks, left: status_count, chunk: 0, chunk_left: 0 };
        let mut deltas_len = 0;
        for _ in 0..status_count {
            deltas_len += match symbols.next()? {
                NOT_RECEIVED => 0,
                SMALL_DELTA => 1,
                LARGE_DELTA => 2,
                _ => return None,
            };
        }
        let deltas = symbols.chunks.get(..deltas_len)?;
        Some(Self {
            sender,
            media,
            base_sequence: read_u16(control, 0)?,
            status_count,
            reference_time_us: i64::from(time_and_count as i32 >> 8) * REFERENCE_US as i64,
            feedback_count: time_and_count as u8,
            chunks,
            deltas,
        })
    }

    /// Iterates `(transport sequence, arrival)`: the arrival in µs on the clock of `reference_time_us`, `None` for a
    /// packet that did not arrive.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            symbols: Symbols { chunks: self.chunks, left: self.status_count, chunk: 0, chunk_left: 0 },
            deltas: self.deltas,
            sequence: self.base_sequence,
            time_us: self.reference_time_us,
        }
    }
}

/// Iterates status symbols; afterwards `chunks` is what follows the chunks that were needed.
#[derive(Clone, Debug)]
struct Symbols<'a> {
    chunks: &'a [u8],
    /// Statuses not yet given.
    left: u16,
    chunk: u16,
    /// Symbols not yet given of `chunk`.
    chunk_left: u16,
}

impl Iterator for Symbols<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.left = self.left.checked_sub(1)?;
        while self.chunk_left == 0 {
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            self.chunks = rest;
            self.chunk = u16::from_be_bytes(*chunk);
            self.chunk_left = match self.chunk & (VECTOR_BIT | TWO_BIT) {
                VECTOR_BIT => ONE_BIT_SYMBOLS as u16,
                v if v & VECTOR_BIT != 0 => TWO_BIT_SYMBOLS as u16,
                _ => self.chunk & MAX_RUN as u16,
            };
        }
        self.chunk_left -= 1;
        Some(match self.chunk & (VECTOR_BIT | TWO_BIT) {
            VECTOR_BIT => (self.chunk >> self.chunk_left & 1) as u8,
            v if v & VECTOR_BIT != 0 => (self.chunk >> (self.chunk_left * 2) & 3) as u8,
            _ => (self.chunk >> 13 & 3) as u8,
        })
    }
}

/// See [`TransportFeedback::arrivals`].
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    symbols: Symbols<'a>,
    deltas: &'a [u8],
    sequence: u16,
    time_us: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        let symbol = self.symbols.next()?;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let ticks = match symbol {
            SMALL_DELTA => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                i64::from(*delta)
            }
            LARGE_DELTA => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                i64::from(i16::from_be_bytes(*delta))
            }
            _ => return Some((sequence, None)),
        };
        self.time_us += ticks * TICK_US as i64;
        Some((sequence, Some(self.time_us)))
    }
}

/// Whose packets a feedback packet is about; the arrivals come beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackFields {
    pub sender: u32,
    pub media: u32,
    pub feedback_count: u8,
    pub base_sequence: u16,
}

/// Writes one feedback packet about `arrivals_us[i]`, the arrival of `base_sequence + i`, `None` where it did not
/// arrive. Returns how many it covers: fewer than all when a delta does not fit or the packet is full; the caller
/// goes on with the rest in another packet. Writes nothing and returns 0 when no packet arrived.
pub fn write_transport_feedback(
    out: &mut Vec<u8>,
    fields: &FeedbackFields,
    arrivals_us: &[Option<u64>],
) -> usize {
    let Some(first_us) = arrivals_us.iter().flatten().next() else { return 0 };
    let reference = first_us / REFERENCE_US;
    let mut symbols = Vec::with_capacity(arrivals_us.len().min(MAX_RUN));
    let mut deltas = Vec::with_capacity(arrivals_us.len().min(MAX_DELTA_BYTES));
    // Counted in whole ticks since the clock's zero, so that rounding does not add up.
    let mut last_tick = (reference * REFERENCE_US / TICK_US) as i64;
    for arrival_us in arrivals_us.iter().take(MAX_RUN) {
        let Some(arrival_us) = arrival_us else {
            symbols.push(NOT_RECEIVED);
            continue;
        };
        let tick = (arrival_us / TICK_US) as i64;
        let Ok(delta) = i16::try_from(tick - last_tick) else { break };
        if deltas.len() + 2 > MAX_DELTA_BYTES {
            break;
        }
        if let Ok(small) = u8::try_from(delta) {
            symbols.push(SMALL_DELTA);
            deltas.push(small);
        } else {
            symbols.push(LARGE_DELTA);
            deltas.extend_from_slice(&delta.to_be_bytes());
        }
        last_tick = tick;
    }
    let at = start_feedback(out, TRANSPORT_SPECIFIC, FORMAT_TRANSPORT_FEEDBACK, fields.sender, fields.media);
    put_u16(out, fields.base_sequence);
    put_u16(out, symbols.len() as u16);
    put_u32(out, (reference as u32) << 8 | u32::from(fields.feedback_count));
    write_chunks(out, &symbols);
    out.extend_from_slice(&deltas);
    pad(out, at);
    finish(out, at);
    symbols.len()
}

/// A run where it is the shortest form, else a vector with as many symbols as its width allows.
fn write_chunks(out: &mut Vec<u8>, symbols: &[u8]) {
    let mut rest = symbols;
    while let [first, ..] = rest {
        let run = rest.iter().take_while(|symbol| *symbol == first).count();
        let head = rest.get(..ONE_BIT_SYMBOLS).unwrap_or(rest);
        let narrow = head.iter().all(|symbol| *symbol != LARGE_DELTA);
        let vector_len = if narrow { ONE_BIT_SYMBOLS } else { TWO_BIT_SYMBOLS };
        let taken = if run >= vector_len.min(rest.len()) {
            put_u16(out, u16::from(*first) << 13 | run as u16);
            run
        } else {
            let head = rest.get(..vector_len).unwrap_or(rest);
            let (form, bits) = if narrow { (VECTOR_BIT, 1) } else { (VECTOR_BIT | TWO_BIT, 2) };
            let mut chunk = head.iter().fold(0, |chunk, symbol| chunk << bits | u16::from(*symbol));
            chunk <<= bits * (vector_len - head.len());
            put_u16(out, form | chunk);
            head.len()
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
}

/// Pads the packet at `at` to a word; the last byte says by how much (RFC 3550 section 6.4.1).
fn pad(out: &mut Vec<u8>, at: usize) {
    let padding = (out.len() - at).next_multiple_of(4) - (out.len() - at);
    if padding > 0 {
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
        out[at] |= 0x20;
    }
}
