//! One outgoing RTP stream: its header, its numbers, and what its sender reports say.

use bridge_relay_core::api::ExtensionIds;
use bridge_relay_core::srtp::StreamSlot;
use bridge_relay_core::wire::rtcp::SenderInfo;
use bridge_relay_core::wire::rtp::{HeaderFields, HeaderTemplate, RtpError};

use super::client::Client;
use crate::send::SendQueue;

/// What is in one packet.
#[derive(Clone, Copy, Default)]
pub struct Content<'a> {
    pub marker: bool,
    pub timestamp: u32,
    /// Before the payload: descriptor, or original sequence number.
    pub head: &'a [u8],
    pub payload: &'a [u8],
    pub extensions: &'a [(u8, &'a [u8])],
}

pub struct Stream {
    pub ssrc: u32,
    /// Number of the next packet, never wrapping.
    pub index: u64,
    /// Has the other side told that it knows who this is (RFC 9335 and libwebrtc's practice: until the first report)?
    pub known: bool,
    slot: Option<StreamSlot>,
    named: HeaderTemplate,
    plain: HeaderTemplate,
    octets: u32,
    clock_rate_hz: u64,
}

/// Who a stream is: its mid, and the layer's name under `rid` or `repaired_rid`.
pub struct Identity<'a> {
    pub mid: &'a str,
    pub rid: Option<(u8, &'a str)>,
}

impl Stream {
    pub fn new(
        ssrc: u32,
        payload_type: u8,
        clock_rate_hz: u64,
        extensions: &ExtensionIds,
        identity: &Identity<'_>,
    ) -> Result<Self, RtpError> {
        let mut plain = HeaderTemplate::new(ssrc, payload_type);
        if extensions.abs_send_time != 0 {
            plain.push_abs_send_time(extensions.abs_send_time)?;
        }
        if extensions.transport_wide_cc != 0 {
            plain.push_transport_sequence(extensions.transport_wide_cc)?;
        }
        let mut named = plain.clone();
        if extensions.mid != 0 {
            named.push_extension(extensions.mid, identity.mid.as_bytes())?;
        }
        if let Some((id, rid)) = identity.rid.filter(|(id, _)| *id != 0) {
            named.push_extension(id, rid.as_bytes())?;
        }
        Ok(Self { ssrc, index: 0, known: false, slot: None, named, plain, octets: 0, clock_rate_hz })
    }

    /// Sends one packet. Whether it went into the queue.
    pub fn send(
        &mut self,
        client: &mut Client,
        queue: &mut SendQueue,
        content: &Content<'_>,
        abs_send_time: u32,
        transport_sequence: &mut u16,
    ) -> bool {
        let Some(overhead) = client.keys.as_ref().map(|keys| keys.sender.rtp_overhead()) else {
            return false;
        };
        let template = if self.known { &self.plain } else { &self.named };
        let header_len = template.written_len_with(content.extensions);
        let body_len = content.head.len() + content.payload.len();
        let Some((packet, sender)) = client.slot(queue, header_len + body_len + overhead) else {
            return false;
        };
        let fields = HeaderFields {
            marker: content.marker,
            sequence: self.index as u16,
            timestamp: content.timestamp,
            abs_send_time,
            transport_sequence: *transport_sequence,
        };
        let slot = match self.slot {
            Some(slot) => Ok(slot),
            None => sender.stream(self.ssrc),
        };
        let sealed = slot.is_ok_and(|slot| {
            self.slot = Some(slot);
            let written = template.write_with(packet, &fields, content.extensions);
            let (head, payload) = packet[header_len..header_len + body_len].split_at_mut(content.head.len());
            head.copy_from_slice(content.head);
            payload.copy_from_slice(content.payload);
            written.is_ok() && sender.protect_rtp(slot, self.index, packet, header_len).is_ok()
        });
        if !sealed {
            queue.cancel();
            return false;
        }
        self.index += 1;
        self.octets = self.octets.wrapping_add(body_len as u32);
        *transport_sequence = transport_sequence.wrapping_add(1);
        true
    }

    /// `since_us` after the time stamps' zero, `ntp` the same moment.
    #[must_use]
    pub fn report(&self, ntp: u64, since_us: u64) -> SenderInfo {
        SenderInfo {
            ntp,
            rtp_timestamp: self.timestamp(since_us),
            packets: self.index as u32,
            octets: self.octets,
        }
    }

    /// The time stamp of what happened `since_us` after the first packet.
    #[must_use]
    pub fn timestamp(&self, since_us: u64) -> u32 {
        (since_us * self.clock_rate_hz / 1_000_000) as u32
    }
}
