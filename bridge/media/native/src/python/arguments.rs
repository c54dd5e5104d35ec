//! What Python passes down, checked: every value out of range is a ValueError before it becomes a command.

use std::net::IpAddr;

use bridge_relay_core::api;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;

/// RFC 8445 section 5.3 asks for at least 4 and 22 characters, RFC 8839 section 5.4 for at most 256.
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

/// What a one-byte header extension can carry (RFC 8285 section 4.2).
const EXTENSION_VALUE_BYTES: usize = 16;
const EXTENSION_IDS: std::ops::RangeInclusive<u8> = 0..=14;

const LAYERS: std::ops::RangeInclusive<usize> = 1..=8;
const PAYLOAD_TYPES: std::ops::RangeInclusive<usize> = 0..=128;
const CNAME_BYTES: std::ops::RangeInclusive<usize> = 1..=255;

/// Above any MTU that DTLS records are cut to, and what the relay itself reads at most.
const DTLS_BYTES: std::ops::RangeInclusive<usize> = 1..=2_048;

pub const KINDS: [(&str, api::MediaKind); 2] =
    [("audio", api::MediaKind::Audio), ("video", api::MediaKind::Video)];

pub const CODECS: [(&str, api::Codec); 5] = [
    ("opus", api::Codec::Opus),
    ("vp8", api::Codec::Vp8),
    ("vp9", api::Codec::Vp9),
    ("h264", api::Codec::H264),
    ("av1", api::Codec::Av1),
];

const UNKNOWN_CODEC: &str = "codec must be opus, vp8, vp9, h264 or av1";

pub const PROFILES: [(&str, api::SrtpProfile); 3] = [
    ("SRTP_AEAD_AES_128_GCM", api::SrtpProfile::AeadAes128Gcm),
    ("SRTP_AEAD_AES_256_GCM", api::SrtpProfile::AeadAes256Gcm),
    ("SRTP_AES128_CM_SHA1_80", api::SrtpProfile::Aes128CmSha1_80),
];

/// An unsigned integer whose misuse is a ValueError, where PyO3 alone would say OverflowError.
#[derive(Clone, Copy)]
pub struct Number<T>(pub T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Number<T>
where
    T: FromPyObject<'a, 'py>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.extract::<T>().map(Self).map_err(|error| {
            let error = error.into();
            if error.is_instance_of::<PyOverflowError>(object.py()) {
                invalid("number out of range")
            } else {
                error
            }
        })
    }
}

/// The same for arguments with a default, which PyO3 shows in the signature only if it is a plain number.
pub fn number<'py, T: for<'a> FromPyObject<'a, 'py>>(object: &Bound<'py, PyAny>) -> PyResult<T> {
    Ok(object.extract::<Number<T>>()?.0)
}

pub fn invalid(message: &'static str) -> PyErr {
    PyValueError::new_err(message)
}

fn require(condition: bool, message: &'static str) -> PyResult<()> {
    if condition { Ok(()) } else { Err(invalid(message)) }
}

/// "" is every address of the machine.
pub fn host(text: &str) -> PyResult<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| invalid("host must be empty or an IP address"))
}

pub fn ice(ufrag: String, pwd: String) -> PyResult<api::IceCredentials> {
    let is_ice_char = |char: char| char.is_ascii_alphanumeric() || char == '+' || char == '/';
    require(
        UFRAG_CHARS.contains(&ufrag.len()) && ufrag.chars().all(is_ice_char),
        "ufrag must be 4 to 256 ice-chars",
    )?;
    require(
        PWD_CHARS.contains(&pwd.len()) && pwd.chars().all(is_ice_char),
        "pwd must be 22 to 256 ice-chars",
    )?;
    Ok(api::IceCredentials { ufrag, pwd })
}

/// The value that a table gives to a name.
fn named<T: Copy, const N: usize>(table: &[(&str, T); N], name: &str, message: &'static str) -> PyResult<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| invalid(message))
}

pub fn kind(name: &str) -> PyResult<api::MediaKind> {
    named(&KINDS, name, "kind must be audio or video")
}

pub fn codec(name: &str) -> PyResult<api::Codec> {
    named(&CODECS, name, UNKNOWN_CODEC)
}

/// How Python calls a codec.
pub fn codec_name(codec: api::Codec) -> &'static str {
    CODECS.iter().find(|(_, known)| *known == codec).map_or("", |(name, _)| name)
}

/// The length of one side's key material: master key and master salt (RFC 3711 section 8.2, RFC 7714 section 12).
fn key_len(profile: api::SrtpProfile) -> usize {
    match profile {
        api::SrtpProfile::AeadAes128Gcm => 16 + 12,
        api::SrtpProfile::AeadAes256Gcm => 32 + 12,
        api::SrtpProfile::Aes128CmSha1_80 => 16 + 14,
    }
}

/// The profile, and what we and what the other side encrypts with.
pub fn keying(name: &str, local: &[u8], remote: &[u8]) -> PyResult<(api::SrtpProfile, Vec<u8>, Vec<u8>)> {
    let profile = named(&PROFILES, name, "unknown SRTP profile")?;
    let len = key_len(profile);
    require(local.len() == len && remote.len() == len, "key material has the wrong length for the profile")?;
    Ok((profile, local.to_vec(), remote.to_vec()))
}

pub fn keys(peer: u32, name: &str, local: &[u8], remote: &[u8]) -> PyResult<api::Command> {
    let (profile, local, remote) = keying(name, local, remote)?;
    Ok(api::Command::SetKeys { peer: api::PeerId(peer), profile, local, remote })
}

pub fn dtls(datagram: &[u8]) -> PyResult<Vec<u8>> {
    require(DTLS_BYTES.contains(&datagram.len()), "a DTLS datagram has 1 to 2048 bytes")?;
    Ok(datagram.to_vec())
}

pub fn mid(text: String) -> PyResult<String> {
    require((1..=EXTENSION_VALUE_BYTES).contains(&text.len()), "mid must have 1 to 16 bytes")?;
    Ok(text)
}

pub fn cname(text: String) -> PyResult<String> {
    require(CNAME_BYTES.contains(&text.len()), "cname must have 1 to 255 bytes")?;
    Ok(text)
}

pub fn layer(layer: Option<Number<u8>>) -> PyResult<Option<api::LayerIndex>> {
    let layer = layer.map(|layer| layer.0);
    require(layer.is_none_or(|layer| usize::from(layer) < *LAYERS.end()), "layer must be 0 to 7")?;
    Ok(layer)
}

pub fn layers(layers: &[PyRef<'_, Layer>]) -> PyResult<Vec<api::LayerSpec>> {
    require(LAYERS.contains(&layers.len()), "a track has one to eight layers")?;
    Ok(layers.iter().map(|layer| layer.0.clone()).collect())
}

pub fn payloads(payloads: &[PyRef<'_, PayloadType>]) -> PyResult<Vec<api::PayloadType>> {
    require(PAYLOAD_TYPES.contains(&payloads.len()), "there are only 128 payload types")?;
    Ok(payloads.iter().map(|payload| payload.0).collect())
}

#[pyclass(frozen, module = "bridge.media._native")]
pub struct ExtensionIds(pub api::ExtensionIds);

#[pymethods]
impl ExtensionIds {
    #[new]
    #[pyo3(signature = (
        *, mid = 0, rid = 0, repaired_rid = 0, audio_level = 0, abs_send_time = 0, transport_wide_cc = 0,
        video_orientation = 0, playout_delay = 0, dependency_descriptor = 0
    ))]
    #[allow(clippy::too_many_arguments)] // keyword-only on the Python side
    fn new(
        #[pyo3(from_py_with = number)] mid: u8,
        #[pyo3(from_py_with = number)] rid: u8,
        #[pyo3(from_py_with = number)] repaired_rid: u8,
        #[pyo3(from_py_with = number)] audio_level: u8,
        #[pyo3(from_py_with = number)] abs_send_time: u8,
        #[pyo3(from_py_with = number)] transport_wide_cc: u8,
        #[pyo3(from_py_with = number)] video_orientation: u8,
        #[pyo3(from_py_with = number)] playout_delay: u8,
        #[pyo3(from_py_with = number)] dependency_descriptor: u8,
    ) -> PyResult<Self> {
        let ids = api::ExtensionIds {
            mid,
            rid,
            repaired_rid,
            audio_level,
            abs_send_time,
            transport_wide_cc,
            video_orientation,
            playout_delay,
            dependency_descriptor,
        };
        let mut all = [
            ids.mid,
            ids.rid,
            ids.repaired_rid,
            ids.audio_level,
            ids.abs_send_time,
            ids.transport_wide_cc,
            ids.video_orientation,
            ids.playout_delay,
            ids.dependency_descriptor,
        ];
        require(all.iter().all(|id| EXTENSION_IDS.contains(id)), "extension ids are 1 to 14, or 0 for none")?;
        all.sort_unstable();
        require(
            all.windows(2).all(|pair| pair[0] == 0 || pair[0] != pair[1]),
            "an extension id is used twice",
        )?;
        Ok(Self(ids))
    }
}

#[pyclass(frozen, module = "bridge.media._native")]
pub struct PayloadType(pub api::PayloadType);

#[pymethods]
impl PayloadType {
    #[new]
    #[pyo3(signature = (payload_type, codec, clock_rate_hz, rtx_payload_type = 0))]
    fn new(
        payload_type: Number<u8>,
        codec: &str,
        clock_rate_hz: Number<u32>,
        #[pyo3(from_py_with = number)] rtx_payload_type: u8,
    ) -> PyResult<Self> {
        let codec = self::codec(codec)?;
        require(payload_type.0 < 128 && rtx_payload_type < 128, "payload types are 0 to 127")?;
        require(clock_rate_hz.0 > 0, "clock rate must be positive")?;
        Ok(Self(api::PayloadType {
            payload_type: payload_type.0,
            codec,
            clock_rate_hz: clock_rate_hz.0,
            rtx_payload_type,
        }))
    }
}

#[pyclass(frozen, module = "bridge.media._native")]
pub struct Layer(pub api::LayerSpec);

#[pymethods]
impl Layer {
    #[new]
    #[pyo3(signature = (*, rid = None, ssrc = None, rtx_ssrc = None))]
    fn new(rid: Option<String>, ssrc: Option<Number<u32>>, rtx_ssrc: Option<Number<u32>>) -> PyResult<Self> {
        let fits = |rid: &String| (1..=EXTENSION_VALUE_BYTES).contains(&rid.len());
        require(rid.as_ref().is_none_or(fits), "rid must have 1 to 16 bytes")?;
        Ok(Self(api::LayerSpec { rid, ssrc: ssrc.map(|ssrc| ssrc.0), rtx_ssrc: rtx_ssrc.map(|ssrc| ssrc.0) }))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ExtensionIds>()?;
    module.add_class::<PayloadType>()?;
    module.add_class::<Layer>()
}
