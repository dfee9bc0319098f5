//! A zstd frame without a compressor: raw and RLE blocks (RFC 8878 section 3.1.1.2). What a decoder reads is the same; the
//! file is as large as its content, save for runs of one byte. Where the runtime has no compressor, this takes its place.

use crate::base::ports::{ZstdError, ZstdFrame};

/// A block has at most this many bytes of content (RFC 8878 section 3.1.1.2.4).
const BLOCK: usize = 128 * 1024;

/// `Magic_Number`, in little-endian.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// `Frame_Header_Descriptor`: `Frame_Content_Size` in 8 bytes, a window descriptor, no checksum, no dictionary.
const DESCRIPTOR: u8 = 0b1100_0000;

/// `Window_Descriptor`: 2^(10 + 7) bytes, one block.
const WINDOW: u8 = 7 << 3;

/// A frame of raw and RLE blocks. Holds back one block, since the last one is marked.
#[derive(Clone, Debug)]
pub struct RawFrame {
    content_size: u64,
    seen: u64,
    begun: bool,
    held: Vec<u8>,
}

impl RawFrame {
    /// A frame whose content will have this many bytes.
    pub const fn new(content_size: u64) -> Self {
        Self { content_size, seen: 0, begun: false, held: Vec::new() }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&[DESCRIPTOR, WINDOW]);
            out.extend_from_slice(&self.content_size.to_le_bytes());
        }
    }
}

impl ZstdFrame for RawFrame {
    async fn write(&mut self, content: &[u8]) -> Result<Vec<u8>, ZstdError> {
        let mut out = Vec::with_capacity(self.held.len() + content.len() + 64);
        self.header(&mut out);
        self.seen += content.len() as u64;
        self.held.extend_from_slice(content);
        let whole = self.held.len().saturating_sub(1) / BLOCK * BLOCK;
        let rest = self.held.split_off(whole);
        for piece in std::mem::replace(&mut self.held, rest).chunks(BLOCK) {
            block(&mut out, piece, false);
        }
        Ok(out)
    }

    async fn finish(&mut self) -> Result<Vec<u8>, ZstdError> {
        if self.seen != self.content_size {
            return Err(ZstdError(format!("{} bytes were announced, and {} came", self.content_size, self.seen)));
        }
        let mut out = Vec::with_capacity(self.held.len() + 64);
        self.header(&mut out);
        block(&mut out, &std::mem::take(&mut self.held), true);
        Ok(out)
    }
}

/// Writes a block: of one byte again and again as RLE, of anything else as it is.
fn block(out: &mut Vec<u8>, content: &[u8], last: bool) {
    let run = content.first().filter(|first| content.len() > 1 && content.iter().all(|byte| byte == *first));
    // Sizes are below 2^21: a block is cut at 2^17 bytes.
    let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let header = size << 3 | u32::from(run.is_some()) << 1 | u32::from(last);
    out.extend(header.to_le_bytes().into_iter().take(3));
    match run {
        Some(byte) => out.push(*byte),
        None => out.extend_from_slice(content),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, reason = "bytes that only have to differ")]

    use futures::executor::block_on;
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy as _, any, prop_oneof, proptest};

    use super::{BLOCK, RawFrame};
    use crate::base::ports::ZstdFrame as _;

    fn frame(pieces: &[Vec<u8>]) -> Vec<u8> {
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        block_on(async {
            let mut frame = RawFrame::new(size);
            let mut out = Vec::new();
            for piece in pieces {
                out.extend(frame.write(piece).await.unwrap());
            }
            out.extend(frame.finish().await.unwrap());
            out
        })
    }

    /// The reference implementation reads one frame with the right content and size, and nothing after it.
    fn check(pieces: &[Vec<u8>]) {
        let content = pieces.concat();
        let frame = frame(pieces);
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(content.len() as u64));
        assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&frame), Ok(frame.len()));
        // Compared before it is asserted: megabytes would be no message.
        let same = zstd::stream::decode_all(frame.as_slice()).unwrap() == content;
        assert!(same);
    }

    #[test]
    fn the_reference_reads_frames_of_every_size() {
        check(&[]);
        for size in [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5] {
            check(&[vec![7; size]]);
            check(&[(0..size).map(|n| (n % 251) as u8).collect()]);
        }
    }

    #[test]
    fn a_run_of_one_byte_is_one_byte() {
        assert!(frame(&[vec![0; 10 * BLOCK]]).len() < 100);
    }

    #[test]
    fn a_frame_of_another_length_than_announced_is_refused() {
        let mut frame = RawFrame::new(3);
        block_on(frame.write(b"four")).unwrap();
        assert!(block_on(frame.finish()).is_err());
    }

    proptest! {
        #[test]
        fn the_reference_reads_what_comes_in_any_pieces(
            pieces in vec(
                (prop_oneof![Just(0_usize), 0..300_usize, (BLOCK - 2)..(BLOCK + 3)], any::<u8>(), any::<bool>())
                    .prop_map(|(size, byte, same)| (0..size).map(|n| if same { byte } else { byte ^ (n as u8) }).collect()),
                0..6,
            )
        ) {
            check(&pieces);
        }
    }
}
