//! What comes up to Python: one class for each kind of news, its fields read-only attributes.

use bridge_relay_core::api::{self, Event};
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};

use super::arguments::codec_name;
use crate::driver::{DriverStats, News};

/// Declares the frozen classes of the events and registers them all.
macro_rules! event_classes {
    ($($name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            #[pyclass(frozen, get_all, module = "bridge.media._native")]
            pub(super) struct $name { $(pub(super) $field: $type),* }
        )*

        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$name>()?;)*
            Ok(())
        }
    };
}

event_classes! {
    DtlsReceived { peer: u32, datagram: Py<PyBytes> }
    PeerConnected { peer: u32 }
    PeerMoved { peer: u32 }
    PeerSilent { peer: u32 }
    TrackStarted { track: u32, layer: u8 }
    TrackStalled { track: u32, layer: u8 }
    LayerChanged { subscription: u32, layer: Option<u8> }
    AudioLevels { levels: Py<PyList> }
    Estimates { estimates: Py<PyList> }
    TapPacket {
        layer: u8,
        codec: &'static str,
        arrived_us: u64,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        keyframe_start: bool,
        payload: Py<PyBytes>,
    }
    TapPackets { track: u32, packets: Py<PyList> }
    PeerStats {
        peer: u32,
        rtt_us: u32,
        loss_out: f32,
        loss_in: f32,
        estimate_bps: u64,
        bitrate_in_bps: u64,
        bitrate_out_bps: u64,
        dropped: u64,
    }
    LayerStats {
        track: u32,
        layer: u8,
        codec: &'static str,
        bitrate_bps: u64,
        frames_per_second: f32,
        width: u16,
        height: u16,
        packets: u64,
        lost: u64,
        recovered: u64,
        jitter_us: u32,
        keyframes: u64,
    }
    SubscriptionStats {
        subscription: u32,
        layer: Option<u8>,
        bitrate_bps: u64,
        packets: u64,
        retransmitted: u64,
        nacked: u64,
        dropped: u64,
        keyframe_requests: u64,
    }
    RelayStats {
        packets_in: u64,
        bytes_in: u64,
        packets_out: u64,
        bytes_out: u64,
        unknown_sender: u64,
        malformed: u64,
        unauthenticated: u64,
        replayed: u64,
        dropped_out: u64,
        nacks_sent: u64,
        keyframe_requests_sent: u64,
        keyframe_requests_received: u64,
        transit: Py<PyList>,
        transit_sum_us: u64,
        thread_cpu_us: u64,
        events_dropped: u64,
        panics: u64,
    }
    Stats { peers: Py<PyList>, layers: Py<PyList>, subscriptions: Py<PyList>, relay: Py<RelayStats> }
}

/// The classes of whole events, in the order of the stub's `Event`.
pub fn kinds(py: Python<'_>) -> [Bound<'_, PyType>; 11] {
    [
        py.get_type::<DtlsReceived>(),
        py.get_type::<PeerConnected>(),
        py.get_type::<PeerMoved>(),
        py.get_type::<PeerSilent>(),
        py.get_type::<TrackStarted>(),
        py.get_type::<TrackStalled>(),
        py.get_type::<LayerChanged>(),
        py.get_type::<AudioLevels>(),
        py.get_type::<Estimates>(),
        py.get_type::<TapPackets>(),
        py.get_type::<Stats>(),
    ]
}

pub fn to_python(py: Python<'_>, news: &News) -> PyResult<Py<PyAny>> {
    match news {
        News::Event(event) => event_to_python(py, event),
        News::Stats(stats, driver) => object(py, stats_to_python(py, stats, *driver)?),
    }
}

fn event_to_python(py: Python<'_>, event: &Event) -> PyResult<Py<PyAny>> {
    match event {
        Event::DtlsReceived { peer, datagram } => {
            object(py, DtlsReceived { peer: peer.0, datagram: PyBytes::new(py, datagram).unbind() })
        }
        Event::PeerConnected { peer } => object(py, PeerConnected { peer: peer.0 }),
        Event::PeerMoved { peer } => object(py, PeerMoved { peer: peer.0 }),
        Event::PeerSilent { peer } => object(py, PeerSilent { peer: peer.0 }),
        Event::TrackStarted { track, layer } => object(py, TrackStarted { track: track.0, layer: *layer }),
        Event::TrackStalled { track, layer } => object(py, TrackStalled { track: track.0, layer: *layer }),
        Event::LayerChanged { subscription, layer } => {
            object(py, LayerChanged { subscription: subscription.0, layer: *layer })
        }
        Event::AudioLevels { levels } => {
            let levels = list(py, levels.iter().map(|(track, level)| (track.0, *level)))?;
            object(py, AudioLevels { levels })
        }
        Event::Estimates { estimates } => {
            let estimates = list(py, estimates.iter().map(|(peer, bitrate_bps)| (peer.0, *bitrate_bps)))?;
            object(py, Estimates { estimates })
        }
        Event::TapPackets { track, packets } => {
            let packets =
                list(py, packets.iter().map(|(packet, payload)| tap_to_python(py, packet, payload)))?;
            object(py, TapPackets { track: track.0, packets })
        }
        // The thread sends statistics up as `News::Stats`, with its own; should one come bare, those are unknown.
        Event::Stats(stats) => object(py, stats_to_python(py, stats, DriverStats::default())?),
    }
}

fn tap_to_python(py: Python<'_>, packet: &api::TapPacket, payload: &[u8]) -> TapPacket {
    TapPacket {
        layer: packet.layer,
        codec: codec_name(packet.codec),
        arrived_us: packet.arrived_us,
        sequence: packet.sequence,
        timestamp: packet.timestamp,
        marker: packet.marker,
        keyframe_start: packet.keyframe_start,
        payload: PyBytes::new(py, payload).unbind(),
    }
}

fn stats_to_python(py: Python<'_>, stats: &api::Stats, driver: DriverStats) -> PyResult<Stats> {
    Ok(Stats {
        peers: list(py, stats.peers.iter().map(peer_stats))?,
        layers: list(py, stats.layers.iter().map(layer_stats))?,
        subscriptions: list(py, stats.subscriptions.iter().map(subscription_stats))?,
        relay: Py::new(py, relay_stats(py, &stats.relay, driver)?)?,
    })
}

fn peer_stats(stats: &api::PeerStats) -> PeerStats {
    PeerStats {
        peer: stats.peer.0,
        rtt_us: stats.rtt_us,
        loss_out: stats.loss_out,
        loss_in: stats.loss_in,
        estimate_bps: stats.estimate_bps,
        bitrate_in_bps: stats.bitrate_in_bps,
        bitrate_out_bps: stats.bitrate_out_bps,
        dropped: stats.dropped,
    }
}

fn layer_stats(stats: &api::LayerStats) -> LayerStats {
    LayerStats {
        track: stats.track.0,
        layer: stats.layer,
        codec: codec_name(stats.codec),
        bitrate_bps: stats.bitrate_bps,
        frames_per_second: stats.frames_per_second,
        width: stats.width,
        height: stats.height,
        packets: stats.packets,
        lost: stats.lost,
        recovered: stats.recovered,
        jitter_us: stats.jitter_us,
        keyframes: stats.keyframes,
    }
}

fn subscription_stats(stats: &api::SubscriptionStats) -> SubscriptionStats {
    SubscriptionStats {
        subscription: stats.subscription.0,
        layer: stats.layer,
        bitrate_bps: stats.bitrate_bps,
        packets: stats.packets,
        retransmitted: stats.retransmitted,
        nacked: stats.nacked,
        dropped: stats.dropped,
        keyframe_requests: stats.keyframe_requests,
    }
}

fn relay_stats(py: Python<'_>, stats: &api::RelayStats, driver: DriverStats) -> PyResult<RelayStats> {
    Ok(RelayStats {
        packets_in: stats.packets_in,
        bytes_in: stats.bytes_in,
        packets_out: stats.packets_out,
        bytes_out: stats.bytes_out,
        unknown_sender: stats.unknown_sender,
        malformed: stats.malformed.saturating_add(driver.oversized),
        unauthenticated: stats.unauthenticated,
        replayed: stats.replayed,
        dropped_out: stats.dropped_out,
        nacks_sent: stats.nacks_sent,
        keyframe_requests_sent: stats.keyframe_requests_sent,
        keyframe_requests_received: stats.keyframe_requests_received,
        transit: list(py, stats.transit.iter().copied())?,
        transit_sum_us: stats.transit_sum_us,
        thread_cpu_us: driver.thread_cpu_us,
        events_dropped: driver.events_dropped,
        panics: driver.panics,
    })
}

fn object<T>(py: Python<'_>, value: T) -> PyResult<Py<PyAny>>
where
    T: PyClass + Into<PyClassInitializer<T>>,
{
    Ok(Py::new(py, value)?.into_any())
}

fn list<'py, T: IntoPyObject<'py>>(py: Python<'py>, items: impl Iterator<Item = T>) -> PyResult<Py<PyList>> {
    let list = PyList::empty(py);
    for item in items {
        list.append(item)?;
    }
    Ok(list.unbind())
}
