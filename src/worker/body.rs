//! Bodies, read in few pieces. Unless it is asked for more, the runtime hands over some 4 KB at a time, each through promises of its own: for a
//! page of members a fifth of what the whole page takes.

use js_sys::futures::JsFuture;
use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::ReadableStream;
use worker::{Response, ResponseBody};

use super::env::call;

/// Most bodies are shorter than this.
const FIRST: u32 = 16 * 1024;

/// As long as this is each further piece.
const FURTHER: u32 = 256 * 1024;

/// What is left to read behind a piece that came shorter than it was asked for: the end, or why there is none.
const END: u32 = 64;

/// Reads a body to its end, or `None` where it is longer than `limit`: of the rest nothing is read.
pub(super) async fn read(stream: &ReadableStream, limit: usize) -> worker::Result<Option<Vec<u8>>> {
    Ok(pieces(stream, limit).await?)
}

/// [`read`], of a response; one without a body is empty.
pub(super) async fn of(response: &Response, limit: usize) -> worker::Result<Option<Vec<u8>>> {
    match response.body() {
        ResponseBody::Stream(stream) => read(stream, limit).await,
        ResponseBody::Body(body) => Ok(Some(body.clone())),
        ResponseBody::Empty => Ok(Some(Vec::new())),
    }
}

/// What the runtime has beside the standard is called by its name: `readAtLeast` of a reader that is given the memory to read into
/// (`ReadableStreamBYOBReader`, <https://developers.cloudflare.com/workers/runtime-apis/streams/readablestreambyobreader/>).
async fn pieces(stream: &ReadableStream, limit: usize) -> Result<Option<Vec<u8>>, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"mode".into(), &"byob".into())?;
    let reader = call(stream, "getReader", &[options.into()])?;
    let mut size = FIRST;
    let mut body = Vec::new();
    loop {
        let promise = call(&reader, "readAtLeast", &[size.into(), Uint8Array::new_with_length(size).into()])?;
        let piece = JsFuture::from(promise.dyn_into::<Promise>()?).await?;
        // At the end there may be no bytes, or no view of any.
        let bytes = Reflect::get(&piece, &"value".into())?.dyn_into::<Uint8Array>().ok();
        let length = bytes.as_ref().map_or(0, |bytes| bytes.length() as usize);
        if body.len() + length > limit {
            return Ok(None);
        }
        let Some(bytes) = bytes.filter(|_| length > 0) else { return Ok(Some(body)) };
        body.append(&mut bytes.to_vec());
        size = if length < size as usize { END } else { FURTHER };
    }
}
