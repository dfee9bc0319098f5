//! Identifiers as C1 writes them: KSUIDs, 27 digits in base 62 of a time and 128 random bits.

use sha2::{Digest as _, Sha256};

/// Where KSUIDs begin to count seconds: 2014-05-13T16:53:20Z.
const KSUID_EPOCH: i64 = 1_400_000_000;

/// When the tenant's directory was set up; the time within all derived ids.
const DIRECTORY_TIME: i64 = 1_787_300_000;

/// A new id with the present time in it.
pub fn fresh() -> String {
    ksuid(chrono::Utc::now().timestamp(), fastrand::u128(..))
}

/// The id of the thing that `label` names: the same every time.
pub fn derived(label: &str) -> String {
    let digest = Sha256::digest(label);
    let random = digest.iter().take(16).fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    ksuid(DIRECTORY_TIME, random)
}

fn ksuid(unix_seconds: i64, random: u128) -> String {
    let seconds = u32::try_from(unix_seconds - KSUID_EPOCH).unwrap_or_default();
    let mut number: Vec<u8> = seconds.to_be_bytes().into_iter().chain(random.to_be_bytes()).collect();
    let mut digits = [b'0'; 27];
    for digit in digits.iter_mut().rev() {
        *digit = base62(divide(&mut number, 62));
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Divides a big-endian number in place and gives the remainder.
fn divide(number: &mut [u8], by: u32) -> u32 {
    let mut remainder = 0_u32;
    for byte in number {
        let value = (remainder << 8) | u32::from(*byte);
        // Below 256, since the remainder is below the divisor.
        *byte = u8::try_from(value / by).unwrap_or(u8::MAX);
        remainder = value % by;
    }
    remainder
}

fn base62(digit: u32) -> u8 {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    usize::try_from(digit).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0')
}
