//! Outgoing requests: a timeout over the whole exchange, a cap on the body, and never a redirect.

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use web_sys::{RequestInit, RequestRedirect};
use worker::{AbortController, Delay, Fetch, Headers, Request, Response};

use super::body;
use super::env::chain;
use crate::base::ports::{HttpError, HttpRequest, HttpResponse, Method};

/// Aborts an exchange when it is dropped, and not only when its time is up: whoever gives up an operation drops the exchange, and
/// a connection that nobody waits for is one of six that are missing elsewhere. Of an exchange that ended well there is nothing left to abort.
struct Exchange(Option<AbortController>);

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

/// Sends a request; see [`Http`](crate::base::ports::Http).
pub(super) async fn send(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let controller = AbortController::default();
    let signal = controller.signal();
    let mut unfinished = Exchange(Some(controller));
    let exchange = pin!(async {
        let outgoing = outgoing(&request).map_err(|error| HttpError::Connection(chain(&error)))?;
        let response = Fetch::Request(outgoing).send_with_signal(&signal).await;
        read(response.map_err(|error| HttpError::Connection(chain(&error)))?, request.max_bytes).await
    });
    let timeout = Delay::from(Duration::from_millis(u64::from(request.timeout_millis)));
    match select(exchange, pin!(timeout)).await {
        Either::Left((outcome, _)) => {
            if outcome.is_ok() {
                unfinished.0 = None;
            }
            outcome
        }
        Either::Right(_) => Err(HttpError::Timeout(request.timeout_millis)),
    }
}

fn outgoing(request: &HttpRequest) -> Result<Request, worker::Error> {
    let headers = Headers::new();
    for (name, value) in &request.headers {
        headers.set(name, value)?;
    }
    if let Some(token) = &request.bearer {
        headers.set("Authorization", &format!("Bearer {}", token.expose()))?;
    }
    let init = RequestInit::new();
    init.set_method(match request.method {
        Method::Other => Method::Get.as_str(),
        method => method.as_str(),
    });
    init.set_headers(headers.0.as_ref());
    // A redirect is handed back as an answer with a 3xx status: the token must not follow it.
    init.set_redirect(RequestRedirect::Manual);
    if let Some(body) = &request.body {
        init.set_body(&js_sys::Uint8Array::from(body.as_slice()).into());
    }
    new_request(&request.url, &init)
}

/// Makes a request of the runtime's own options: those of the `worker` crate bring the code for image resizing along.
pub(super) fn new_request(url: &str, init: &RequestInit) -> Result<Request, worker::Error> {
    let request = web_sys::Request::new_with_str_and_init(url, init);
    // What the runtime says of it may have the whole URL in it.
    Ok(request
        .map_err(|_| worker::Error::RustError("the runtime does not take its URL or a header".to_owned()))?
        .into())
}

async fn read(response: Response, max_bytes: usize) -> Result<HttpResponse, HttpError> {
    let headers: Vec<(String, String)> =
        response.headers().entries().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, length)| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > max_bytes) {
        return Err(HttpError::TooLarge(max_bytes));
    }
    // A compressed body is longer than it says: only piece by piece is it certain not to fill the memory.
    let body = body::of(&response, max_bytes).await.map_err(|error| HttpError::Connection(chain(&error)))?;
    let body = body.ok_or(HttpError::TooLarge(max_bytes))?;
    Ok(HttpResponse { status: response.status_code(), headers, body })
}
