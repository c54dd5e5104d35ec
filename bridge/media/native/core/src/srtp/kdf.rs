//! Session keys from a master key and salt: RFC 3711 section 4.3 with a key derivation rate of zero, RFC 6188 for
//! 256-bit keys, RFC 7714 section 11 for the shorter salts of the AEAD profiles.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;

const BLOCK_LEN: usize = 16;
/// Length of the salt in the derivation function; AEAD salts are two bytes shorter and padded with zeros.
const SALT_LEN: usize = 14;
/// Where the label stands in the salt: in front of the 48-bit index, which is always zero here.
const LABEL_AT: usize = 7;

#[derive(Clone, Copy)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// Derives one session key after another.
pub(super) struct Derivation {
    master: EncryptingKey,
    salt: [u8; SALT_LEN],
}

impl Derivation {
    pub(super) fn new(master_key: &[u8], master_salt: &[u8]) -> Result<Self, SrtpError> {
        let mut salt = [0; SALT_LEN];
        salt.get_mut(..master_salt.len()).ok_or(SrtpError::KeyLength)?.copy_from_slice(master_salt);
        Ok(Self { master: counter_mode(master_key)?, salt })
    }

    pub(super) fn derive<const LEN: usize>(&self, label: Label) -> Result<[u8; LEN], SrtpError> {
        let mut counter = [0; BLOCK_LEN];
        counter[..SALT_LEN].copy_from_slice(&self.salt);
        counter[LABEL_AT] ^= label as u8;
        let mut key = [0; LEN];
        apply_counter_mode(&self.master, &counter, &mut key)?;
        Ok(key)
    }
}

/// AES in counter mode for a 128-bit or a 256-bit key.
pub(super) fn counter_mode(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(SrtpError::KeyLength),
    };
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| SrtpError::KeyLength)?;
    EncryptingKey::ctr(key).map_err(|_| SrtpError::KeyLength)
}

/// XORs the key stream that starts at `counter` onto `data`: encrypts and decrypts.
#[inline]
pub(super) fn apply_counter_mode(
    key: &EncryptingKey,
    counter: &[u8; BLOCK_LEN],
    data: &mut [u8],
) -> Result<(), SrtpError> {
    let context = EncryptionContext::Iv128(FixedLength::from(counter));
    key.less_safe_encrypt(data, context).map(|_| ()).map_err(|_| SrtpError::Malformed)
}
