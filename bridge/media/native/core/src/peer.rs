//! One transport: its ICE, its keys, how it writes and reads headers, and what is known of its link.

use std::net::SocketAddr;

use crate::allowance::Allowance;
use crate::api::{ExtensionIds, IceCredentials, PayloadType, PeerId, SrtpProfile};
use crate::estimate::SendEstimate;
use crate::feedback::ArrivalLog;
use crate::ice::IceAgent;
use crate::loss::LossMeter;
use crate::routes::Routes;
use crate::rtx::RtxBudget;
use crate::srtp::{SrtpError, SrtpReceiver, SrtpSender};

/// SSRCs of removed subscriptions that are remembered, so that taking one again goes on counting.
const MAX_RETIRED: usize = 256;

/// Datagrams and moves that one peer may have told upwards: a handshake and its repetitions fit many times, and a flood
/// holds up nobody who reads the news.
const NEWS_BURST: u64 = 64;
const NEWS_EVERY_US: u64 = 20_000;

pub struct Peer {
    pub id: PeerId,
    pub ice: IceAgent,
    pub news: Allowance,
    pub sender: Option<SrtpSender>,
    pub receiver: Option<SrtpReceiver>,
    pub receiving: Receiving,
    pub sending: Sending,
    /// Indices of what it publishes and receives.
    pub tracks: Vec<usize>,
    pub subscriptions: Vec<usize>,
    pub routes: Routes,
    pub arrivals: ArrivalLog,
    /// SSRC of the newest packet with a transport-wide number: what feedback is said to be about.
    pub feedback_media: u32,
    pub estimate: SendEstimate,
    pub probe_limit_bps: u64,
    pub told_estimate_bps: u64,
    /// 0 until measured.
    pub rtt_us: u64,
    pub loss_out: LossMeter,
    pub loss_in: LossMeter,
    pub traffic: Traffic,
    pub rtx: RtxBudget,
    /// What it is told to send, where it asked for REMB.
    pub remb_bps: u64,
    /// RTCP that waits for the end of the turn.
    pub rtcp: Vec<u8>,
    retired: Vec<(u32, Used)>,
}

#[derive(Default)]
pub struct Receiving {
    pub extensions: ExtensionIds,
    pub payloads: Vec<PayloadType>,
}

#[derive(Clone, Copy, Default)]
pub struct Sending {
    pub extensions: ExtensionIds,
    pub transport_cc: bool,
    pub remb: bool,
}

/// Totals, and what they were at the last snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub packets_out: u64,
    pub dropped: u64,
    pub bytes_in_told: u64,
    pub bytes_out_told: u64,
}

/// Sequence numbers used by a media SSRC and its RTX SSRC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    pub media: u64,
    pub rtx: u64,
}

impl Peer {
    #[must_use]
    pub fn new(id: PeerId, ice: &IceCredentials, now_us: u64) -> Self {
        Self {
            id,
            ice: IceAgent::new(ice, now_us),
            news: Allowance::new(NEWS_BURST, NEWS_EVERY_US, now_us),
            sender: None,
            receiver: None,
            receiving: Receiving::default(),
            sending: Sending::default(),
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            routes: Routes::default(),
            arrivals: ArrivalLog::default(),
            feedback_media: 0,
            estimate: SendEstimate::default(),
            probe_limit_bps: 0,
            told_estimate_bps: 0,
            rtt_us: 0,
            loss_out: LossMeter::default(),
            loss_in: LossMeter::default(),
            traffic: Traffic::default(),
            rtx: RtxBudget::default(),
            remb_bps: 0,
            rtcp: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Where to send, if there is consent and keys.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.ice.selected().filter(|_| self.sender.is_some())
    }

    pub fn set_keys(&mut self, profile: SrtpProfile, local: &[u8], remote: &[u8]) -> Result<(), SrtpError> {
        let (sender, receiver) = (SrtpSender::new(profile, local)?, SrtpReceiver::new(profile, remote)?);
        self.sender = Some(sender);
        self.receiver = Some(receiver);
        // Under other keys all indices are new.
        self.retired.clear();
        Ok(())
    }

    pub fn retire(&mut self, ssrc: u32, used: Used) {
        if self.retired.len() == MAX_RETIRED {
            self.retired.remove(0);
        }
        self.retired.push((ssrc, used));
    }

    /// What an SSRC used already under these keys.
    #[must_use]
    pub fn used(&self, ssrc: u32) -> Used {
        let found = self.retired.iter().rev().find(|(retired, _)| *retired == ssrc);
        found.map(|(_, used)| *used).unwrap_or_default()
    }
}
