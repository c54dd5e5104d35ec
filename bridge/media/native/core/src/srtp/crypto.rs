//! Ciphers of one direction: AEAD by RFC 7714, AES-CM with HMAC-SHA1 by RFC 3711. Each call gets the packet index;
//! that no index is used twice is the callers' duty. Key schedules are made once.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::{constant_time, hmac};

use super::SrtpError;
use super::kdf::{Derivation, Label, apply_counter_mode, counter_mode};
use crate::api::SrtpProfile;

pub(super) const GCM_TAG_LEN: usize = 16;
/// HMAC-SHA1 cut to 80 bits.
pub(super) const SHA1_TAG_LEN: usize = 10;
/// The word with the encryption flag and the index that SRTCP adds.
pub(super) const RTCP_INDEX_LEN: usize = 4;
/// What of an RTCP packet stays readable: its first header and the sender's SSRC.
pub(super) const RTCP_CLEAR_LEN: usize = 8;
const ENCRYPTED_FLAG: u32 = 0x8000_0000;

const GCM_SALT_LEN: usize = 12;
const CM_SALT_LEN: usize = 14;
const CM_KEY_LEN: usize = 16;
const SHA1_KEY_LEN: usize = 20;

/// Ciphers for RTP and RTCP of one direction.
pub(super) enum Ciphers {
    Gcm {
        rtp: GcmCipher,
        rtcp: GcmCipher,
    },
    /// Boxed, as the key schedules in it are large.
    CounterMode(Box<CounterModeCiphers>),
}

pub(super) struct CounterModeCiphers {
    pub(super) rtp: CounterModeCipher,
    pub(super) rtcp: CounterModeCipher,
}

impl Ciphers {
    /// `master`: master key followed by master salt.
    pub(super) fn new(profile: SrtpProfile, master: &[u8]) -> Result<Self, SrtpError> {
        let (key_len, salt_len) = match profile {
            SrtpProfile::AeadAes128Gcm => (16, GCM_SALT_LEN),
            SrtpProfile::AeadAes256Gcm => (32, GCM_SALT_LEN),
            SrtpProfile::Aes128CmSha1_80 => (CM_KEY_LEN, CM_SALT_LEN),
        };
        if master.len() != key_len + salt_len {
            return Err(SrtpError::KeyLength);
        }
        let derivation = Derivation::new(&master[..key_len], &master[key_len..])?;
        let gcm = |encryption, salt| match profile {
            SrtpProfile::AeadAes256Gcm => {
                GcmCipher::new(&derivation.derive::<32>(encryption)?, derivation.derive(salt)?)
            }
            _ => GcmCipher::new(&derivation.derive::<16>(encryption)?, derivation.derive(salt)?),
        };
        if profile == SrtpProfile::Aes128CmSha1_80 {
            let rtp = [Label::RtpEncryption, Label::RtpAuthentication, Label::RtpSalt];
            let rtcp = [Label::RtcpEncryption, Label::RtcpAuthentication, Label::RtcpSalt];
            return Ok(Self::CounterMode(Box::new(CounterModeCiphers {
                rtp: CounterModeCipher::new(&derivation, rtp)?,
                rtcp: CounterModeCipher::new(&derivation, rtcp)?,
            })));
        }
        Ok(Self::Gcm {
            rtp: gcm(Label::RtpEncryption, Label::RtpSalt)?,
            rtcp: gcm(Label::RtcpEncryption, Label::RtcpSalt)?,
        })
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG_LEN,
            Self::CounterMode(_) => SHA1_TAG_LEN,
        }
    }
}

pub(super) struct GcmCipher {
    key: LessSafeKey,
    salt: [u8; GCM_SALT_LEN],
}

impl GcmCipher {
    pub(super) fn new(key: &[u8], salt: [u8; GCM_SALT_LEN]) -> Result<Self, SrtpError> {
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::KeyLength)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// RFC 7714 section 8.1 and, as an RTCP index has at most 31 bits, section 9.1.
    #[inline]
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let plain = u128::from(ssrc) << 48 | u128::from(index);
        let mut nonce = self.salt;
        for (byte, other) in nonce.iter_mut().zip(&plain.to_be_bytes()[4..]) {
            *byte ^= other;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `data`, whose last bytes are room for the tag.
    #[inline]
    pub(super) fn seal(&self, ssrc: u32, index: u64, clear: &[u8], data: &mut [u8]) -> Result<(), SrtpError> {
        let (plain, tag) = split_tag(data, GCM_TAG_LEN)?;
        let nonce = self.nonce(ssrc, index);
        self.key
            .seal_in_place_scatter(nonce, Aad::from(clear), plain, &[], tag)
            .map_err(|_| SrtpError::Mismatch)
    }

    /// Encrypts `plain` into `data`, whose last bytes are room for the tag.
    #[inline]
    pub(super) fn seal_from(
        &self,
        ssrc: u32,
        index: u64,
        clear: &[u8],
        plain: &[u8],
        data: &mut [u8],
    ) -> Result<(), SrtpError> {
        let (cipher, tag) = split_tag(data, GCM_TAG_LEN)?;
        let nonce = self.nonce(ssrc, index);
        self.key
            .seal_out_of_place_scatter(nonce, Aad::from(clear), plain, cipher, &[], tag)
            .map_err(|_| SrtpError::Mismatch)
    }

    /// Decrypts `data`, which ends with its tag.
    #[inline]
    pub(super) fn open(&self, ssrc: u32, index: u64, clear: &[u8], data: &mut [u8]) -> Result<(), SrtpError> {
        let nonce = self.nonce(ssrc, index);
        self.key
            .open_in_place(nonce, Aad::from(clear), data)
            .map(|_| ())
            .map_err(|_| SrtpError::Unauthenticated)
    }
}

pub(super) struct CounterModeCipher {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; CM_SALT_LEN],
}

impl CounterModeCipher {
    fn new(
        derivation: &Derivation,
        [encryption, authentication, salt]: [Label; 3],
    ) -> Result<Self, SrtpError> {
        let key = derivation.derive::<CM_KEY_LEN>(encryption)?;
        Self::from_session_keys(&key, &derivation.derive(authentication)?, derivation.derive(salt)?)
    }

    pub(super) fn from_session_keys(
        key: &[u8],
        authentication: &[u8; SHA1_KEY_LEN],
        salt: [u8; CM_SALT_LEN],
    ) -> Result<Self, SrtpError> {
        let authentication = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication);
        Ok(Self { key: counter_mode(key)?, authentication, salt })
    }

    /// XORs the key stream of one packet onto `data` (RFC 3711 section 4.1.1).
    #[inline]
    pub(super) fn apply(&self, ssrc: u32, index: u64, data: &mut [u8]) -> Result<(), SrtpError> {
        let plain = u128::from(ssrc) << 64 | u128::from(index) << 16;
        let mut counter = plain.to_be_bytes();
        for (byte, salt) in counter.iter_mut().zip(&self.salt) {
            *byte ^= salt;
        }
        apply_counter_mode(&self.key, &counter, data)
    }

    /// The tag of `message` followed by `suffix` (the roll-over counter of RTP, nothing for RTCP).
    #[inline]
    pub(super) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; SHA1_TAG_LEN] {
        let mut context = hmac::Context::with_key(&self.authentication);
        context.update(message);
        context.update(suffix);
        let mut tag = [0; SHA1_TAG_LEN];
        tag.copy_from_slice(&context.sign().as_ref()[..SHA1_TAG_LEN]);
        tag
    }

    #[inline]
    pub(super) fn verify(&self, message: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        let expected = self.tag(message, suffix);
        constant_time::verify_slices_are_equal(&expected, tag).map_err(|_| SrtpError::Unauthenticated)
    }
}

/// The word that follows an SRTCP packet. All profiles of DTLS-SRTP encrypt, so the flag is always set.
pub(super) fn rtcp_index_word(index: u32) -> [u8; RTCP_INDEX_LEN] {
    (ENCRYPTED_FLAG | index).to_be_bytes()
}

/// The index in that word; `None` for a packet that claims not to be encrypted.
pub(super) fn read_rtcp_index(word: [u8; RTCP_INDEX_LEN]) -> Option<u32> {
    let word = u32::from_be_bytes(word);
    (word & ENCRYPTED_FLAG != 0).then_some(word & !ENCRYPTED_FLAG)
}

/// What RFC 7714 section 9.2 authenticates beside the encrypted part.
pub(super) fn rtcp_clear_part(
    packet: &[u8],
    word: [u8; RTCP_INDEX_LEN],
) -> Result<[u8; RTCP_CLEAR_LEN + RTCP_INDEX_LEN], SrtpError> {
    let clear = packet.first_chunk::<RTCP_CLEAR_LEN>().ok_or(SrtpError::Malformed)?;
    let mut part = [0; RTCP_CLEAR_LEN + RTCP_INDEX_LEN];
    part[..RTCP_CLEAR_LEN].copy_from_slice(clear);
    part[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    Ok(part)
}

#[inline]
pub(super) fn split_tag(data: &mut [u8], tag_len: usize) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    let at = data.len().checked_sub(tag_len).ok_or(SrtpError::Malformed)?;
    Ok(data.split_at_mut(at))
}
