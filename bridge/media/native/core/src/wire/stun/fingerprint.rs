//! The checksum that tells STUN from what else arrives on the port (RFC 8489 section 14.7).

const XOR: u32 = 0x5354_554e;

/// The value of FINGERPRINT over what stands before it (RFC 8489 section 14.7).
pub(super) fn fingerprint(message: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in message {
        crc = CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8;
    }
    !crc ^ XOR
}

/// CRC-32 as in ITU V.42, reflected polynomial 0xedb88320.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};
