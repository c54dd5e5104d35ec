//! The class `Crowd`: clients of a relay that load it, for measuring; and what it tells.

use bridge_relay_core::api::MediaKind;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};

use super::arguments::{self, ExtensionIds, Number, invalid};
use super::events::{DtlsReceived, PeerConnected};
use crate::crowd::client::{Account, Client};
use crate::crowd::counts;
use crate::crowd::driver::{Command, Crowd as Driver, News};
use crate::crowd::publisher::{AudioSpec, Publisher, PublisherSpec, VideoLayerSpec, VideoSpec};
use crate::crowd::reel::{Layer, Reel};
use crate::crowd::track::TrackSpec;

/// Members are numbered by their owner, from small numbers on.
const MAX_PEERS: u32 = 1 << 16;
const VIDEO_CLOCK_HZ: u32 = 90_000;
const AUDIO_CLOCK_HZ: u32 = 48_000;

#[pyclass(frozen, get_all, module = "bridge.media._native")]
pub struct FirstFrame {
    peer: u32,
    ssrc: u32,
    at_us: u64,
}

/// Declares the class of the counts, its fields those of `counts::Counts`.
macro_rules! counts_class {
    ($($field:ident: $type:ty),* $(,)?) => {
        #[pyclass(frozen, get_all, module = "bridge.media._native")]
        pub struct CrowdCounts {
            $($field: $type,)*
            lateness: Vec<u64>,
        }

        impl From<counts::Counts> for CrowdCounts {
            fn from(counts: counts::Counts) -> Self {
                Self { $($field: counts.$field,)* lateness: counts.lateness.buckets().to_vec() }
            }
        }
    };
}

counts_class! {
    members: u64,
    connected: u64,
    pictures: u64,
    flowing: u64,
    received: u64,
    received_bytes: u64,
    sounds: u64,
    sound_bytes: u64,
    recovered: u64,
    duplicates: u64,
    lost: u64,
    early: u64,
    strange: u64,
    checked: u64,
    wrong: u64,
    sent: u64,
    sent_bytes: u64,
    resent: u64,
    unsent: u64,
    lost_up: i64,
    nacks_sent: u64,
    keyframes_asked: u64,
    keyframe_requests: u64,
    keyframe_apart_us: u64,
    keyframes_sent: u64,
    thread_cpu_us: u64,
}

/// (rid, frames a second, frames as (is a keyframe, encoded picture))
type ReelLayer<'py> = (String, Number<u64>, Vec<(bool, Bound<'py, PyBytes>)>);
/// (mid, payload type, SSRC)
type AudioSending = (String, Number<u8>, Number<u32>);
/// (mid, payload type, RTX payload type, layers as (rid, SSRC, RTX SSRC))
type VideoSending = (String, Number<u8>, Number<u8>, Vec<(String, Number<u32>, Number<u32>)>);
/// (kind, codec, SSRC, RTX SSRC)
type TrackReceiving = (String, String, Number<u32>, Number<u32>);

#[pyclass(frozen, module = "bridge.media._native")]
pub struct Crowd {
    driver: Driver,
}

impl Crowd {
    fn send(&self, command: Command) -> PyResult<()> {
        self.driver
            .command(command)
            .map_err(|_| PyRuntimeError::new_err("the crowd does not keep up with commands"))
    }
}

#[pymethods]
impl Crowd {
    #[new]
    fn new(reel: Vec<ReelLayer<'_>>) -> PyResult<Self> {
        let mut layers = Vec::new();
        for (rid, rate, frames) in reel {
            let frames: Vec<(bool, &[u8])> =
                frames.iter().map(|(keyframe, bytes)| (*keyframe, bytes.as_bytes())).collect();
            let layer = Layer::new(rid, rate.0, &frames);
            layers.push(layer.map_err(|_| invalid("a layer is 1 to 120 frames a second, a keyframe first"))?);
        }
        let reel = Reel::new(layers).map_err(|_| invalid("a reel has at least one layer"))?;
        Ok(Self { driver: Driver::start(reel)? })
    }

    fn event_fd(&self) -> i32 {
        self.driver.event_fd()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for news in self.driver.drain() {
            match news {
                News::Connected { peer } => list.append(Py::new(py, PeerConnected { peer })?)?,
                News::DtlsReceived { peer, datagram } => {
                    let datagram = PyBytes::new(py, &datagram).unbind();
                    list.append(Py::new(py, DtlsReceived { peer, datagram })?)?;
                }
                News::FirstFrame { peer, ssrc, at_us } => {
                    list.append(Py::new(py, FirstFrame { peer, ssrc, at_us })?)?;
                }
                News::Counted(counts) => list.append(Py::new(py, CrowdCounts::from(*counts))?)?,
            }
        }
        Ok(list)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.driver.close());
    }

    #[pyo3(signature = (peer, host, port, ufrag, pwd, local_ufrag, local_pwd = ""))]
    #[allow(clippy::too_many_arguments)] // what ICE wants of both sides
    fn add(
        &self,
        peer: Number<u32>,
        host: &str,
        port: Number<u16>,
        ufrag: String,
        pwd: String,
        local_ufrag: String,
        local_pwd: &str,
    ) -> PyResult<()> {
        if peer.0 >= MAX_PEERS {
            return Err(invalid("members have small numbers"));
        }
        let host = arguments::host(host)?.ok_or_else(|| invalid("host must be an IP address"))?;
        let ice = arguments::ice(ufrag, pwd)?;
        let account = Account {
            relay: (host, port.0).into(),
            ufrag: ice.ufrag,
            pwd: ice.pwd,
            local_ufrag,
            tie_breaker: u64::from(peer.0) + 1,
        };
        let mut client = Box::new(Client::open(&account)?);
        if !local_pwd.is_empty() {
            client.answer_checks(local_pwd);
        }
        self.send(Command::Add { peer: peer.0, client })
    }

    fn remove(&self, peer: Number<u32>) -> PyResult<()> {
        self.send(Command::Remove { peer: peer.0 })
    }

    fn send_dtls(&self, peer: Number<u32>, datagram: &[u8]) -> PyResult<()> {
        self.send(Command::SendDtls { peer: peer.0, datagram: arguments::dtls(datagram)? })
    }

    fn set_keys(&self, peer: Number<u32>, profile: &str, local: &[u8], remote: &[u8]) -> PyResult<()> {
        let (profile, local, remote) = arguments::keying(profile, local, remote)?;
        self.send(Command::SetKeys { peer: peer.0, profile, local, remote })
    }

    #[pyo3(signature = (peer, extensions, *, audio = None, video = None))]
    fn publish(
        &self,
        peer: Number<u32>,
        extensions: &ExtensionIds,
        audio: Option<AudioSending>,
        video: Option<VideoSending>,
    ) -> PyResult<()> {
        let audio = match audio {
            Some((mid, payload_type, ssrc)) => {
                Some(AudioSpec { mid: arguments::mid(mid)?, payload_type: payload_type.0, ssrc: ssrc.0 })
            }
            None => None,
        };
        let video = match video {
            Some((mid, payload_type, rtx_payload_type, layers)) => Some(VideoSpec {
                mid: arguments::mid(mid)?,
                payload_type: payload_type.0,
                rtx_payload_type: rtx_payload_type.0,
                layers: layers
                    .into_iter()
                    .map(|(rid, ssrc, rtx_ssrc)| VideoLayerSpec { rid, ssrc: ssrc.0, rtx_ssrc: rtx_ssrc.0 })
                    .collect(),
            }),
            None => None,
        };
        let spec = PublisherSpec { extensions: extensions.0, audio, video };
        let publisher = Publisher::new(spec, self.driver.reel.clone())
            .map_err(|_| invalid("the reel has no such layer, or a header has no room"))?;
        self.send(Command::Publish { peer: peer.0, publisher: Box::new(publisher) })
    }

    fn set_layers(&self, peer: Number<u32>, rids: Vec<String>) -> PyResult<()> {
        self.send(Command::SetLayers { peer: peer.0, rids })
    }

    fn set_speaking(&self, peer: Number<u32>, speaking: bool) -> PyResult<()> {
        self.send(Command::SetSpeaking { peer: peer.0, speaking })
    }

    fn receive(
        &self,
        peer: Number<u32>,
        extensions: &ExtensionIds,
        tracks: Vec<TrackReceiving>,
    ) -> PyResult<()> {
        let mut specs = Vec::new();
        for (kind, codec, ssrc, rtx_ssrc) in tracks {
            let kind = arguments::kind(&kind)?;
            specs.push(TrackSpec {
                kind,
                codec: arguments::codec(&codec)?,
                clock_rate_hz: if kind == MediaKind::Audio { AUDIO_CLOCK_HZ } else { VIDEO_CLOCK_HZ },
                ssrc: ssrc.0,
                rtx_ssrc: rtx_ssrc.0,
            });
        }
        self.send(Command::Receive { peer: peer.0, extensions: extensions.0, tracks: specs, check: None })
    }

    fn count(&self) -> PyResult<()> {
        self.send(Command::Count)
    }
}

/// The classes of whole events, in the order of the stub's `CrowdEvent`.
pub fn kinds(py: Python<'_>) -> [Bound<'_, PyType>; 4] {
    [
        py.get_type::<PeerConnected>(),
        py.get_type::<DtlsReceived>(),
        py.get_type::<FirstFrame>(),
        py.get_type::<CrowdCounts>(),
    ]
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<FirstFrame>()?;
    module.add_class::<CrowdCounts>()?;
    module.add_class::<Crowd>()
}
