//! Base64 (RFC 4648): with the URL's alphabet and without padding, as tokens, keys and cursors have it, and the standard one where a format
//! wants that. Time does not depend on what is read, since some of it is secret.

use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// In the URL's alphabet, without padding.
pub fn url(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

/// Reads what [`url`] writes and nothing else.
pub fn read_url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// In the standard alphabet, without padding.
pub fn standard(bytes: &[u8]) -> String {
    Base64Unpadded::encode_string(bytes)
}

/// In the standard alphabet, padded.
pub fn padded(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Reads either alphabet, padded or not: for what people paste, and for what C1 writes now one way and now the other.
pub fn read_any(text: &str) -> Option<Vec<u8>> {
    read_url(&text.trim_end_matches('=').replace('+', "-").replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::{padded, read_any, read_url, standard, url};

    /// Bytes whose text has both letters in which the alphabets differ, for each length of the last group.
    const BYTES: [u8; 5] = [0xfb, 0xff, 0xbf, 0xf8, 0x01];

    #[test]
    fn each_way_of_writing_is_read_back() {
        for length in 0..=BYTES.len() {
            let bytes = &BYTES[..length];
            assert_eq!(read_url(&url(bytes)).as_deref(), Some(bytes));
            for text in [url(bytes), standard(bytes), padded(bytes)] {
                assert_eq!(read_any(&text).as_deref(), Some(bytes), "{text}");
            }
        }
        assert_eq!(
            (url(BYTES), standard(&BYTES), padded(&BYTES)),
            ("-_-_-AE".into(), "+/+/+AE".into(), "+/+/+AE=".into())
        );
    }

    #[test]
    fn a_token_has_one_text_only() {
        // The standard alphabet, padding, what is beside the alphabet, bits that nothing stands for, and a letter too few.
        for text in ["+/+/+AE", "-_-_-AE=", "-_-_-A E", "-_-_-AF", "-_-_-", "é-_-"] {
            assert_eq!(read_url(text), None, "{text}");
        }
        assert_eq!(read_any("-_-_-AF"), None);
    }
}
