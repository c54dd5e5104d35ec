//! The class `Relay`: one native thread, and a command for each method.

use bridge_relay_core::api::{self, Command, PeerId, SubscriptionId, TrackId};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::arguments::{self, ExtensionIds, Layer, Number, PayloadType};
use super::events;
use crate::driver::Driver;

#[pyclass(frozen, module = "bridge.media._native")]
pub struct Relay {
    driver: Driver,
}

impl Relay {
    fn send(&self, command: Command) -> PyResult<()> {
        self.driver
            .command(command)
            .map_err(|_| PyRuntimeError::new_err("the relay does not keep up with commands"))
    }
}

#[pymethods]
impl Relay {
    #[new]
    #[pyo3(signature = (host = "", port = 0, *, send = "auto", event_capacity = 65536))]
    fn new(
        py: Python<'_>,
        host: &str,
        #[pyo3(from_py_with = arguments::number)] port: u16,
        send: &str,
        #[pyo3(from_py_with = arguments::number)] event_capacity: usize,
    ) -> PyResult<Self> {
        let host = arguments::host(host)?;
        let backend = send
            .parse()
            .map_err(|error: crate::send::UnknownBackend| PyValueError::new_err(error.to_string()))?;
        if event_capacity == 0 {
            return Err(arguments::invalid("event_capacity must be positive"));
        }
        let driver = py.detach(|| Driver::start(host, port, backend, event_capacity))?;
        Ok(Self { driver })
    }

    #[getter]
    fn port(&self) -> u16 {
        self.driver.port()
    }

    fn event_fd(&self) -> i32 {
        self.driver.event_fd()
    }

    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for news in self.driver.drain() {
            list.append(events::to_python(py, &news)?)?;
        }
        Ok(list)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.driver.close());
    }

    fn add_peer(&self, peer: Number<u32>, ufrag: String, pwd: String) -> PyResult<()> {
        self.send(Command::AddPeer { peer: PeerId(peer.0), ice: arguments::ice(ufrag, pwd)? })
    }

    fn restart_ice(&self, peer: Number<u32>, ufrag: String, pwd: String) -> PyResult<()> {
        self.send(Command::RestartIce { peer: PeerId(peer.0), ice: arguments::ice(ufrag, pwd)? })
    }

    fn remove_peer(&self, peer: Number<u32>) -> PyResult<()> {
        self.send(Command::RemovePeer { peer: PeerId(peer.0) })
    }

    fn set_keys(&self, peer: Number<u32>, profile: &str, local: &[u8], remote: &[u8]) -> PyResult<()> {
        self.send(arguments::keys(peer.0, profile, local, remote)?)
    }

    fn send_dtls(&self, peer: Number<u32>, datagram: &[u8]) -> PyResult<()> {
        self.send(Command::SendDtls { peer: PeerId(peer.0), datagram: arguments::dtls(datagram)? })
    }

    fn set_receiving(
        &self,
        peer: Number<u32>,
        extensions: &ExtensionIds,
        payloads: Vec<PyRef<'_, PayloadType>>,
    ) -> PyResult<()> {
        let payloads = arguments::payloads(&payloads)?;
        self.send(Command::SetReceiving { peer: PeerId(peer.0), extensions: extensions.0, payloads })
    }

    #[pyo3(signature = (peer, extensions, *, transport_cc, remb))]
    fn set_sending(
        &self,
        peer: Number<u32>,
        extensions: &ExtensionIds,
        transport_cc: bool,
        remb: bool,
    ) -> PyResult<()> {
        self.send(Command::SetSending { peer: PeerId(peer.0), extensions: extensions.0, transport_cc, remb })
    }

    #[pyo3(signature = (track, peer, kind, mid, layers, *, nack))]
    fn add_track(
        &self,
        track: Number<u32>,
        peer: Number<u32>,
        kind: &str,
        mid: String,
        layers: Vec<PyRef<'_, Layer>>,
        nack: bool,
    ) -> PyResult<()> {
        let spec = api::TrackSpec {
            kind: arguments::kind(kind)?,
            mid: arguments::mid(mid)?,
            layers: arguments::layers(&layers)?,
            nack,
        };
        self.send(Command::AddTrack { track: TrackId(track.0), peer: PeerId(peer.0), spec })
    }

    fn pause_track(&self, track: Number<u32>, paused: bool) -> PyResult<()> {
        self.send(Command::PauseTrack { track: TrackId(track.0), paused })
    }

    fn remove_track(&self, track: Number<u32>) -> PyResult<()> {
        self.send(Command::RemoveTrack { track: TrackId(track.0) })
    }

    #[allow(clippy::too_many_arguments)] // one flat call keeps the Python side plain
    fn add_subscription(
        &self,
        subscription: Number<u32>,
        peer: Number<u32>,
        kind: &str,
        mid: String,
        ssrc: Number<u32>,
        rtx_ssrc: Number<u32>,
        payloads: Vec<PyRef<'_, PayloadType>>,
        cname: String,
    ) -> PyResult<()> {
        let spec = api::SubscriptionSpec {
            kind: arguments::kind(kind)?,
            mid: arguments::mid(mid)?,
            ssrc: ssrc.0,
            rtx_ssrc: rtx_ssrc.0,
            payloads: arguments::payloads(&payloads)?,
            cname: arguments::cname(cname)?,
        };
        let subscription = SubscriptionId(subscription.0);
        self.send(Command::AddSubscription { subscription, peer: PeerId(peer.0), spec })
    }

    #[pyo3(signature = (subscription, track))]
    fn switch_subscription(&self, subscription: Number<u32>, track: Option<Number<u32>>) -> PyResult<()> {
        let track = track.map(|track| TrackId(track.0));
        self.send(Command::SwitchSubscription { subscription: SubscriptionId(subscription.0), track })
    }

    #[pyo3(signature = (subscription, layer))]
    fn set_layer(&self, subscription: Number<u32>, layer: Option<Number<u8>>) -> PyResult<()> {
        let layer = arguments::layer(layer)?;
        self.send(Command::SetLayer { subscription: SubscriptionId(subscription.0), layer })
    }

    fn remove_subscription(&self, subscription: Number<u32>) -> PyResult<()> {
        self.send(Command::RemoveSubscription { subscription: SubscriptionId(subscription.0) })
    }

    fn request_keyframe(&self, track: Number<u32>) -> PyResult<()> {
        self.send(Command::RequestKeyframe { track: TrackId(track.0) })
    }

    fn set_tap(&self, track: Number<u32>, on: bool) -> PyResult<()> {
        self.send(Command::SetTap { track: TrackId(track.0), on })
    }

    fn set_probe_limit(&self, peer: Number<u32>, bitrate_bps: Number<u64>) -> PyResult<()> {
        self.send(Command::SetProbeLimit { peer: PeerId(peer.0), bitrate_bps: bitrate_bps.0 })
    }
}
