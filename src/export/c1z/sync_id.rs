//! The id of a sync: a KSUID (<https://github.com/segmentio/ksuid>), 27 letters and digits that sort by time. Made of the
//! generation, and of the insights where there are any: a file that has others is another sync.

use super::super::file::FORMAT;
use super::super::insight::Insights;
use crate::base::hash::sha256;
use crate::snapshot::Manifest;

/// KSUIDs count seconds from 2014-05-13T16:53:20Z.
const EPOCH: i64 = 1_400_000_000;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of the sync that a generation is, with these insights, in the form that this version gives it.
pub(super) fn of(manifest: &Manifest, insights: &Insights) -> String {
    let tag = insights.tag().map(|tag| format!(" {tag}")).unwrap_or_default();
    let hash = sha256(format!("{} {} {FORMAT}{tag}", manifest.account_id, manifest.generation).as_bytes());
    let payload = hash.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let seconds = u32::try_from(manifest.started_at.secs() - EPOCH).unwrap_or_default();
    ksuid(seconds, payload)
}

/// 4 bytes of time and 16 of payload as one number to the base 62.
fn ksuid(seconds: u32, payload: u128) -> String {
    // 160 bits as five of 32, the highest first, divided by 62 again and again.
    let low = |number: u128| u64::try_from(number & 0xffff_ffff).unwrap_or_default();
    let mut limbs = [u64::from(seconds), low(payload >> 96), low(payload >> 64), low(payload >> 32), low(payload)];
    let mut digits = Vec::with_capacity(27);
    for _ in 0..27 {
        let mut rest = 0;
        for limb in &mut limbs {
            let number = rest << 32 | *limb;
            *limb = number / 62;
            rest = number % 62;
        }
        digits.push(usize::try_from(rest).ok().and_then(|rest| DIGITS.get(rest)).copied().unwrap_or(b'0'));
    }
    digits.into_iter().rev().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::ksuid;

    #[test]
    fn the_examples_of_the_format_come_out() {
        assert_eq!(ksuid(0, 0), "0".repeat(27));
        assert_eq!(ksuid(u32::MAX, u128::MAX), "aWgEPTl1tmebfsQzFP4bxwgy80V");
        // The example in the format's description.
        assert_eq!(ksuid(107_608_047, 0xb5a1_cd34_b5f9_9d11_54fb_6853_345c_9735), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    }
}
