//! zstd with the runtime's own compressor, `node:zlib`: nothing is added to the Worker, and its state is outside the Worker's
//! memory. Where it is missing, frames are of raw blocks.

use wasm_bindgen::JsValue;

use super::io;
use crate::base::ports::{ZstdError, ZstdFrame};
use crate::base::zstd::RawFrame;

/// What ends a frame that was flushed: an empty raw block that says it is the last (RFC 8878 section 3.1.1.2).
const LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// A frame.
pub(super) enum Frame {
    Node(JsValue),
    Raw(RawFrame),
}

/// Begins a frame.
pub(super) fn frame(content_size: u64) -> Frame {
    io::zstd_frame(content_size).map_or_else(|| Frame::Raw(RawFrame::new(content_size)), Frame::Node)
}

impl ZstdFrame for Frame {
    async fn write(&mut self, content: &[u8]) -> Result<Vec<u8>, ZstdError> {
        match self {
            Self::Node(_) if content.is_empty() => Ok(Vec::new()),
            Self::Node(frame) => piece(frame, content, false).await,
            Self::Raw(raw) => raw.write(content).await,
        }
    }

    async fn finish(&mut self) -> Result<Vec<u8>, ZstdError> {
        match self {
            Self::Node(frame) => {
                let mut rest = piece(frame, &[], true).await?;
                rest.extend_from_slice(&LAST_BLOCK);
                Ok(rest)
            }
            Self::Raw(raw) => raw.finish().await,
        }
    }
}

async fn piece(frame: &JsValue, content: &[u8], is_last: bool) -> Result<Vec<u8>, ZstdError> {
    io::zstd_piece(frame, content, is_last).await.map_err(ZstdError)
}
