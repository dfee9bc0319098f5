//! The page in front of the Worker, as Cloudflare serves it: a file where there is one, and else the Worker.

use std::path::PathBuf;
use std::sync::Arc;

use sim::harness::World;
use sim::http::{Handler, Reply, ReplyFuture, Request};

/// The files of `build/page`, and the Worker behind them.
pub(crate) struct Front {
    pub(crate) world: Arc<World>,
    pub(crate) files: PathBuf,
}

impl Front {
    fn file(&self, path: &str) -> Option<Reply> {
        let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-');
        if name.contains("..") || !name.chars().all(plain) {
            return None;
        }
        let bytes = std::fs::read(self.files.join(name)).ok()?;
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            _ => return None,
        };
        Some(Reply::text(200, kind, bytes))
    }

    async fn answer(&self, request: Request) -> Reply {
        if request.method == "GET"
            && let Some(file) = self.file(&request.path)
        {
            return file;
        }
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        let own = |name: &str| !matches!(name, "connection" | "content-length" | "accept-encoding");
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = (!request.body.is_empty()).then(|| request.body.to_vec());
        match self.world.raw(&request.method, &format!("{}{query}", request.path), &headers, body).await {
            Ok(answer) => {
                let headers = answer.headers.into_iter();
                let headers = headers.filter(|(name, _)| own(name) && name != "transfer-encoding").collect();
                Reply::Response { status: answer.status, headers, body: answer.body }
            }
            Err(error) => Reply::text(502, "text/plain", error.to_string()),
        }
    }
}

impl Handler for Front {
    fn handle(self: Arc<Self>, request: Request) -> ReplyFuture {
        Box::pin(async move { self.answer(request).await })
    }
}
