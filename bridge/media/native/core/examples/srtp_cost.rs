//! What protecting and opening one packet costs: `cargo run --release --example srtp_cost`. One JSON line last.

use std::time::{Duration, Instant};

use bridge_relay_core::api::SrtpProfile;
use bridge_relay_core::srtp::{SrtpReceiver, SrtpSender};
use bridge_relay_core::wire::rtp::{HeaderFields, HeaderTemplate, RtpHeader};

const PAYLOAD_LEN: usize = 1_080;
/// Short enough to stay in cache, as a frame's packets do.
const BATCH: u64 = 256;
const ROUNDS: u64 = 400;
const SSRC: u32 = 7;

struct Cost {
    in_place_ns: f64,
    sealed_ns: f64,
    opened_ns: f64,
}

fn main() {
    let profiles = [
        ("SRTP_AEAD_AES_128_GCM", SrtpProfile::AeadAes128Gcm, 28),
        ("SRTP_AEAD_AES_256_GCM", SrtpProfile::AeadAes256Gcm, 44),
        ("SRTP_AES128_CM_SHA1_80", SrtpProfile::Aes128CmSha1_80, 30),
    ];
    let mut lines = Vec::new();
    for (name, profile, key_len) in profiles {
        let cost = measure(profile, &vec![9; key_len]).expect("valid keys and packets");
        println!(
            "{name}: in place {:.0} ns, from elsewhere {:.0} ns, opened {:.0} ns",
            cost.in_place_ns, cost.sealed_ns, cost.opened_ns
        );
        lines.push(format!(
            r#""{name}":{{"protectInPlaceNs":{:.0},"sealNs":{:.0},"openNs":{:.0}}}"#,
            cost.in_place_ns, cost.sealed_ns, cost.opened_ns
        ));
    }
    println!(r#"{{"packetBytes":{},{}}}"#, PAYLOAD_LEN + 32, lines.join(","));
}

/// Header, index check and encryption as the relay does them for each subscriber and packet; the least of all rounds,
/// since neighbours on the machine only ever add.
fn measure(profile: SrtpProfile, master: &[u8]) -> Result<Cost, Box<dyn std::error::Error>> {
    let error = |what| move |cause| format!("{what}: {cause:?}");
    let mut in_place = SrtpSender::new(profile, master).map_err(error("keys"))?;
    let mut apart = SrtpSender::new(profile, master).map_err(error("keys"))?;
    let mut receiver = SrtpReceiver::new(profile, master).map_err(error("keys"))?;
    let mut template = HeaderTemplate::new(SSRC, 96);
    template.push_abs_send_time(3).map_err(|_| "extension")?;
    template.push_transport_sequence(5).map_err(|_| "extension")?;
    template.push_extension(1, b"video0").map_err(|_| "extension")?;
    let header_len = template.written_len();
    let payload: Vec<u8> = (0..PAYLOAD_LEN).map(|at| at as u8).collect();
    let packet_len = header_len + PAYLOAD_LEN + in_place.rtp_overhead();
    let mut packets = vec![vec![0; packet_len]; BATCH as usize];
    let streams =
        [in_place.stream(SSRC).map_err(error("stream"))?, apart.stream(SSRC).map_err(error("stream"))?];
    let mut least = [Duration::MAX; 3];
    for round in 0..ROUNDS {
        let fields = |index: u64| HeaderFields { sequence: index as u16, ..HeaderFields::default() };
        let indices = round * BATCH..(round + 1) * BATCH;

        let start = Instant::now();
        for (packet, index) in packets.iter_mut().zip(indices.clone()) {
            template.write(packet, &fields(index)).map_err(|_| "header")?;
            packet[header_len..header_len + PAYLOAD_LEN].copy_from_slice(&payload);
            in_place.protect_rtp(streams[0], index, packet, header_len).map_err(error("protect"))?;
        }
        least[0] = least[0].min(start.elapsed());

        let start = Instant::now();
        for (packet, index) in packets.iter_mut().zip(indices) {
            template.write(packet, &fields(index)).map_err(|_| "header")?;
            apart.seal_rtp(streams[1], index, packet, header_len, &payload).map_err(error("seal"))?;
        }
        least[1] = least[1].min(start.elapsed());

        let start = Instant::now();
        for packet in &mut packets {
            let header = RtpHeader::parse(packet).map_err(|_| "header")?;
            receiver.unprotect_rtp(&header, packet).map_err(error("open"))?;
        }
        least[2] = least[2].min(start.elapsed());
    }
    let each_ns = |total: Duration| total.as_nanos() as f64 / BATCH as f64;
    Ok(Cost { in_place_ns: each_ns(least[0]), sealed_ns: each_ns(least[1]), opened_ns: each_ns(least[2]) })
}
