//! zstd with the runtime's own compressor, `node:zlib`: nothing is added to the Worker, and its state is outside the Worker's
//! memory. Where it is missing, frames are of raw blocks.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::futures::JsFuture;
use js_sys::{Function, JsString, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};

use super::env::call;
use crate::base::ports::{ZstdError, ZstdFrame};
use crate::base::zstd::RawFrame;

/// What is called with a piece of output, and with what went wrong.
type OnData = Closure<dyn FnMut(Uint8Array)>;
type OnError = Closure<dyn FnMut(JsValue)>;

/// `ZSTD_c_compressionLevel`, the parameter's number in libzstd, and the level: `baton-sdk` writes at the fastest one as well.
const LEVEL: (u32, u32) = (100, 1);

/// `ZSTD_e_flush`. The stream is not told to end its frame: workerd takes an end that does not fit the stream's buffer at once for
/// an error ("Unexpected end of file", seen with 1.20261117). A flush it repeats as often as it takes.
const FLUSH: u32 = 1;

/// What ends the frame then: an empty raw block that says it is the last (RFC 8878 section 3.1.1.2).
const LAST_BLOCK: [u8; 3] = [1, 0, 0];

/// A frame.
pub(super) enum Frame {
    Node(Node),
    Raw(RawFrame),
}

/// A frame that `node:zlib` writes.
pub(super) struct Node {
    stream: Object,
    ready: Rc<RefCell<Vec<u8>>>,
    failed: Rc<RefCell<Option<String>>>,
    /// What the stream calls; they live as long as it does.
    _listeners: (OnData, OnError),
}

/// Begins a frame.
pub(super) fn frame(content_size: u64) -> Frame {
    Node::new(content_size).map_or_else(|_| Frame::Raw(RawFrame::new(content_size)), Frame::Node)
}

impl ZstdFrame for Frame {
    async fn write(&mut self, content: &[u8]) -> Result<Vec<u8>, ZstdError> {
        match self {
            Self::Node(node) => node.write(content).await,
            Self::Raw(raw) => raw.write(content).await,
        }
    }

    async fn finish(&mut self) -> Result<Vec<u8>, ZstdError> {
        match self {
            Self::Node(node) => node.finish().await,
            Self::Raw(raw) => raw.finish().await,
        }
    }
}

impl Node {
    fn new(content_size: u64) -> Result<Self, JsValue> {
        let process = Reflect::get(&js_sys::global(), &"process".into())?;
        let zlib = call(&process, "getBuiltinModule", &["node:zlib".into()])?;
        let params = Object::new();
        Reflect::set(&params, &LEVEL.0.into(), &LEVEL.1.into())?;
        let options = Object::new();
        Reflect::set(&options, &"params".into(), &params)?;
        Reflect::set(&options, &"finishFlush".into(), &FLUSH.into())?;
        // Within 2^53: the file has less than 2^44 bytes.
        #[allow(clippy::cast_precision_loss, reason = "a size of some megabytes")]
        Reflect::set(&options, &"pledgedSrcSize".into(), &(content_size as f64).into())?;
        let stream: Object = call(&zlib, "createZstdCompress", &[options.into()])?.dyn_into()?;
        let ready: Rc<RefCell<Vec<u8>>> = Rc::default();
        let failed: Rc<RefCell<Option<String>>> = Rc::default();
        let (taken, told) = (Rc::clone(&ready), Rc::clone(&failed));
        let on_data = Closure::<dyn FnMut(Uint8Array)>::new(move |piece: Uint8Array| {
            taken.borrow_mut().extend_from_slice(&piece.to_vec());
        });
        let on_error = Closure::<dyn FnMut(JsValue)>::new(move |error: JsValue| {
            *told.borrow_mut() = Some(text(&error));
        });
        call(&stream, "on", &["data".into(), on_data.as_ref().clone()])?;
        call(&stream, "on", &["error".into(), on_error.as_ref().clone()])?;
        Ok(Self { stream, ready, failed, _listeners: (on_data, on_error) })
    }

    async fn write(&self, content: &[u8]) -> Result<Vec<u8>, ZstdError> {
        if !content.is_empty() {
            let content = Uint8Array::from(content);
            self.after(|done| call(&self.stream, "write", &[content.clone().into(), done.into()])).await?;
        }
        Ok(std::mem::take(&mut *self.ready.borrow_mut()))
    }

    async fn finish(&self) -> Result<Vec<u8>, ZstdError> {
        self.after(|done| {
            call(&self.stream, "on", &["end".into(), done.into()])?;
            // A stream that failed has no end.
            call(&self.stream, "on", &["error".into(), done.into()])?;
            call(&self.stream, "end", &[])
        })
        .await?;
        let mut rest = std::mem::take(&mut *self.ready.borrow_mut());
        rest.extend_from_slice(&LAST_BLOCK);
        Ok(rest)
    }

    /// Does something and waits until the stream has called back; with an error where it called back with one.
    async fn after(&self, act: impl Fn(&Function) -> Result<JsValue, JsValue>) -> Result<(), ZstdError> {
        let promise = Promise::new(&mut |done, refuse| {
            if let Err(error) = act(&done) {
                // Refusing a promise that is its own does not fail.
                let _ = refuse.call1(&JsValue::UNDEFINED, &error);
            }
        });
        let outcome = JsFuture::from(promise).await.map_err(|error| ZstdError(text(&error)))?;
        let failed = self.failed.borrow().clone();
        match failed {
            Some(error) => Err(ZstdError(error)),
            None if outcome.is_truthy() => Err(ZstdError(text(&outcome))),
            None => Ok(()),
        }
    }
}

fn text(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).unwrap_or_else(|_| error.clone());
    message.dyn_into::<JsString>().map_or_else(|_| "the compressor failed".to_owned(), String::from)
}
