//! Writing one packet for one subscriber: header, payload, encryption straight into the outbox. Says what became of
//! it; who gets what is decided elsewhere.

use std::net::SocketAddr;

use crate::api::Outbox;
use crate::munge::Munged;
use crate::peer::Peer;
use crate::ring::{PacketHead, Passed};
use crate::subscription::Subscription;
use crate::wire::rtp::{HeaderFields, HeaderTemplate, abs_send_time};

/// A compound stays within any path's MTU.
pub const COMPOUND_LEN: usize = 1_000;
const ORIGINAL_SEQUENCE_LEN: usize = 2;
/// What one byte of padding length can say (RFC 3550 section 5.1).
const PADDING_LEN: usize = 255;

/// What is the same for all packets of one turn.
#[derive(Clone, Copy)]
pub struct Turn {
    pub now_us: u64,
    abs_send_time: u32,
}

impl Turn {
    pub fn new(now_us: u64) -> Self {
        Self { now_us, abs_send_time: abs_send_time(now_us) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// With its length.
    Done(usize),
    /// The outbox is full.
    NoRoom,
    /// It cannot be sent at all: no keys, wrong codec, an index that was used.
    Failed,
}

/// A packet of the ring with the numbers it gets.
#[derive(Clone, Copy)]
pub struct Copy<'a> {
    pub head: &'a PacketHead,
    pub payload: &'a [u8],
    pub munged: Munged,
}

/// Which of the slot's two streams, and how its packets start.
struct Lane<'a> {
    template: &'a HeaderTemplate,
    stream: crate::srtp::StreamSlot,
    index: u64,
    sequence: u16,
}

/// Forwards a packet on the slot's media stream.
pub fn media<O: Outbox>(
    peer: &mut Peer,
    slot: &mut Subscription,
    to: SocketAddr,
    copy: Copy<'_>,
    turn: Turn,
    out: &mut O,
) -> Sent {
    if !slot.prepare(peer, copy.head.codec) {
        return Sent::Failed;
    }
    let (Some(outgoing), Some(index)) = (&slot.outgoing, slot.media_index(copy.munged.sequence)) else {
        return Sent::Failed;
    };
    let lane = Lane {
        template: &outgoing.media,
        stream: outgoing.slot,
        index,
        sequence: copy.munged.sequence as u16,
    };
    let sent = write(peer, &lane, to, &copy, None, turn, out);
    if let Sent::Done(len) = sent {
        slot.counters.packets += 1;
        slot.counters.payload_bytes += copy.payload.len() as u64;
        peer.rtx.sent(copy.payload.len());
        slot.counters.bytes += len as u64;
    }
    sent
}

/// Sends a packet again on the slot's RTX stream (RFC 4588 section 4).
pub fn again<O: Outbox>(
    peer: &mut Peer,
    slot: &mut Subscription,
    to: SocketAddr,
    copy: Copy<'_>,
    turn: Turn,
    out: &mut O,
) -> Sent {
    if !slot.prepare(peer, copy.head.codec) {
        return Sent::Failed;
    }
    let (sequence, index) = slot.next_rtx();
    let Some((template, stream)) = slot.outgoing.as_ref().and_then(|outgoing| outgoing.rtx.as_ref()) else {
        return Sent::Failed;
    };
    let lane = Lane { template, stream: *stream, index, sequence };
    let original = copy.munged.sequence as u16;
    let sent = write(peer, &lane, to, &copy, Some(original), turn, out);
    if let Sent::Done(len) = sent {
        slot.counters.retransmitted += 1;
        slot.counters.bytes += len as u64;
    }
    sent
}

fn write<O: Outbox>(
    peer: &mut Peer,
    lane: &Lane<'_>,
    to: SocketAddr,
    copy: &Copy<'_>,
    original: Option<u16>,
    turn: Turn,
    out: &mut O,
) -> Sent {
    let Some(sender) = &mut peer.sender else { return Sent::Failed };
    let ids = &peer.sending.extensions;
    let mut kept: [(u8, &[u8]); 3] = [(0, &[]); 3];
    let mut count = 0;
    if !copy.head.extensions.is_empty() {
        for (kind, value) in copy.head.extensions.iter() {
            let id = match kind {
                Passed::AudioLevel => ids.audio_level,
                Passed::VideoOrientation => ids.video_orientation,
                Passed::PlayoutDelay => ids.playout_delay,
                Passed::DependencyDescriptor => ids.dependency_descriptor,
            };
            if id != 0 && count < kept.len() {
                kept[count] = (id, value);
                count += 1;
            }
        }
    }
    let extra = &kept[..count];
    let prefix_len = if original.is_some() { ORIGINAL_SEQUENCE_LEN } else { 0 };
    let header_len = lane.template.written_len_with(extra);
    let len = header_len + prefix_len + copy.payload.len() + sender.rtp_overhead();
    let Some(packet) = out.slot(to, len) else { return Sent::NoRoom };
    let numbered = peer.sending.transport_cc && ids.transport_wide_cc != 0;
    let transport_sequence = if numbered { peer.estimate.sending(len, turn.now_us) } else { 0 };
    let fields = HeaderFields {
        marker: copy.head.marker,
        sequence: lane.sequence,
        timestamp: copy.munged.timestamp,
        abs_send_time: turn.abs_send_time,
        transport_sequence,
    };
    let written = lane.template.write_with(packet, &fields, extra).is_ok_and(|written| written == header_len);
    let sealed = written
        && if original.is_none() && copy.munged.picture.is_none() {
            sender.seal_rtp(lane.stream, lane.index, packet, header_len, copy.payload).is_ok()
        } else {
            fill_payload(&mut packet[header_len..], copy, original);
            sender.protect_rtp(lane.stream, lane.index, packet, header_len).is_ok()
        };
    if !sealed {
        out.cancel();
        if numbered {
            peer.estimate.not_sent();
        }
        return Sent::Failed;
    }
    peer.traffic.bytes_out += len as u64;
    peer.traffic.packets_out += 1;
    Sent::Done(len)
}

/// The payload where it must differ from the ring's. `space` has room for prefix and payload, and the tag behind.
fn fill_payload(space: &mut [u8], copy: &Copy<'_>, original: Option<u16>) {
    let mut space = space;
    if let Some(original) = original {
        let (prefix, rest) = space.split_at_mut(ORIGINAL_SEQUENCE_LEN);
        prefix.copy_from_slice(&original.to_be_bytes());
        space = rest;
    }
    let payload = &mut space[..copy.payload.len()];
    payload.copy_from_slice(copy.payload);
    if let (Some((picture_id, tl0)), Some(numbers)) = (copy.munged.picture, &copy.head.picture) {
        numbers.rewrite(payload, picture_id, tl0);
    }
}

/// One packet of nothing but padding on the RTX stream, to probe for bandwidth. Its length, or `None` if unsent.
pub fn padding<O: Outbox>(
    peer: &mut Peer,
    slot: &mut Subscription,
    to: SocketAddr,
    turn: Turn,
    out: &mut O,
) -> Option<usize> {
    let timestamp = slot.munger.last_timestamp();
    slot.outgoing.as_ref()?.rtx.as_ref()?;
    let (sequence, index) = slot.next_rtx();
    let (template, stream) = slot.outgoing.as_ref()?.rtx.as_ref()?;
    let sender = peer.sender.as_mut()?;
    let header_len = template.written_len();
    let len = header_len + PADDING_LEN + sender.rtp_overhead();
    let packet = out.slot(to, len)?;
    let transport_sequence = peer.estimate.sending(len, turn.now_us);
    let abs_send_time = turn.abs_send_time;
    let fields = HeaderFields { marker: false, sequence, timestamp, abs_send_time, transport_sequence };
    let written = template.write(packet, &fields).is_ok();
    packet[0] |= 0x20;
    packet[header_len..header_len + PADDING_LEN].fill(0);
    packet[header_len + PADDING_LEN - 1] = PADDING_LEN as u8;
    if !written || sender.protect_rtp(*stream, index, packet, header_len).is_err() {
        out.cancel();
        peer.estimate.not_sent();
        return None;
    }
    peer.traffic.bytes_out += len as u64;
    peer.traffic.packets_out += 1;
    slot.counters.bytes += len as u64;
    Some(len)
}

/// Encrypts and sends one compound.
pub fn rtcp<O: Outbox>(peer: &mut Peer, to: SocketAddr, compound: &[u8], out: &mut O) {
    let Some(sender) = &mut peer.sender else { return };
    let len = compound.len() + sender.rtcp_overhead();
    let Some(packet) = out.slot(to, len) else { return };
    if sender.protect_rtcp(compound, packet).is_err() {
        out.cancel();
        return;
    }
    peer.traffic.bytes_out += len as u64;
}

/// Sends what waits, once it is longer than `over`.
pub fn send_compound<O: Outbox>(peer: &mut Peer, over: usize, out: &mut O) {
    if peer.rtcp.len() <= over {
        return;
    }
    let compound = std::mem::take(&mut peer.rtcp);
    if let Some(to) = peer.destination() {
        rtcp(peer, to, &compound, out);
    }
    peer.rtcp = compound;
    peer.rtcp.clear();
}
