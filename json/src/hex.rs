//! Bytes as hexadecimal digits, which is what most texts of a snapshot are.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The 16 bytes that 32 lower-case digits stand for; anything else stands for none.
pub fn parse(digits: &[u8]) -> Option<[u8; 16]> {
    let (pairs, []) = digits.as_chunks() else { return None };
    let pairs: &[[u8; 2]; 16] = pairs.try_into().ok()?;
    let mut bytes = [0; 16];
    let mut all = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (nibble(*high), nibble(*low));
        *byte = high << 4 | low & 15;
        all |= high | low;
    }
    (all < 16).then_some(bytes)
}

/// What a digit stands for; 255 for what is none.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => u8::MAX,
    }
}

/// 16 bytes as digits.
pub fn digits(bytes: [u8; 16]) -> [u8; 32] {
    let mut text = [0; 32];
    let (pairs, _) = text.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 15].map(|nibble| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{digits, parse};

    #[test]
    fn digits_stand_for_bytes_and_nothing_else_does() {
        let text = "0123456789abcdef00ff10a98f7e6d5c";
        let bytes = parse(text.as_bytes()).unwrap();
        assert_eq!((bytes[0], bytes[7], bytes[9], &digits(bytes)[..]), (0x01, 0xef, 0xff, text.as_bytes()));
        for byte in 0..=u8::MAX {
            let id = [byte; 16];
            assert_eq!(parse(&digits(id)), Some(id));
            for place in [0, 13, 31] {
                let mut other = digits(id);
                other[place] = byte;
                assert_eq!(parse(&other).is_some(), matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{byte} at {place}");
            }
        }
        for odd in ["", "0", &text[1..], &format!("{text}0"), &format!("{text}00")] {
            assert_eq!(parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
