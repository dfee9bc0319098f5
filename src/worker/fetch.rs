//! Outgoing requests: a timeout over the whole exchange, a cap on the body, and never a redirect.

use web_sys::AbortController;

use super::io::{self, Cut, Outgoing};
use crate::base::ports::{HttpError, HttpRequest, HttpResponse, Method, Secret};

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
    let refused = || HttpError::Connection("the runtime does not take its URL or a header".to_owned());
    let token = request.bearer.as_ref().map(Secret::expose);
    let headers = lines(&request.headers, token).ok_or_else(refused)?;
    let controller = AbortController::new().map_err(|_| refused())?;
    let signal = controller.signal();
    let mut unfinished = Exchange(Some(controller));
    let outgoing = Outgoing {
        url: &request.url,
        method: match request.method {
            Method::Other => Method::Get.as_str(),
            method => method.as_str(),
        },
        headers: &headers,
        body: request.body.as_deref(),
        timeout_millis: request.timeout_millis,
        max_bytes: request.max_bytes,
    };
    match io::send(&signal, &outgoing).await {
        Ok(Ok((status, headers, body))) => {
            unfinished.0 = None;
            Ok(HttpResponse { status, headers: pairs(&headers), body })
        }
        Ok(Err(Cut::Late)) => Err(HttpError::Timeout(request.timeout_millis)),
        Ok(Err(Cut::TooLarge)) => Err(HttpError::TooLarge(request.max_bytes)),
        Err(error) => Err(HttpError::Connection(error)),
    }
}

/// Headers, names and values by turns, and a token with them; nothing where one has a line end in it, which would make two of it.
pub(super) fn lines(headers: &[(&str, String)], token: Option<&str>) -> Option<String> {
    let mut lines = String::new();
    let mut add = |name: &str, scheme: &str, value: &str| {
        lines.extend([name, "\n", scheme, value, "\n"]);
        (!value.contains(['\r', '\n'])).then_some(())
    };
    for (name, value) in headers {
        add(name, "", value)?;
    }
    if let Some(token) = token {
        add("Authorization", "Bearer ", token)?;
    }
    Some(lines)
}

/// The headers of which these are the lines.
pub(super) fn pairs(lines: &str) -> Vec<(String, String)> {
    let mut lines = lines.lines();
    std::iter::from_fn(|| Some((lines.next()?.to_ascii_lowercase(), lines.next()?.to_owned()))).collect()
}
