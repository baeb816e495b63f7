//! What is asked for, and what is answered.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tracing::{debug, error};

use super::Observed;
use super::connections::{self, Listing};
use super::liveness::Liveness;
use super::metrics::{self, Metrics};
use crate::logging;
use crate::readiness::Stage;

type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// The longest filter that is read.
const LONGEST_FILTER: usize = 4096;

/// The paths, and what they are for.
const INDEX: &str = "\
/metrics      what the daemon does, in OpenMetrics
/livez        200 if a frame comes back through each listener within a second
/readyz       200 if new connections should come, 503 before the start and in a shutdown
/connections  the open connections in JSON, the 1000 oldest; ?limit=N for another number
/log          the filter of the log; PUT sets another one, such as debug or warn,volley_server=debug
";

/// Answers requests.
#[derive(Debug)]
pub(super) struct Routes {
    observed: Arc<Observed>,
    metrics: Metrics,
    liveness: Liveness,
}

impl Routes {
    pub(super) fn new(observed: Observed) -> Self {
        let observed = Arc::new(observed);
        Self {
            metrics: Metrics::new(Arc::clone(&observed)),
            liveness: Liveness::of(observed.served.probed()),
            observed,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.route(request).await;
        debug!(%method, path, status = answer.status().as_u16(), "admin request");
        answer
    }

    async fn route(&self, request: Request<Incoming>) -> Answer {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/log" if request.method() == Method::PUT => set_filter(request.into_body()).await,
            "/log" if !is_read => not_allowed("GET, HEAD, PUT"),
            "/" | "/metrics" | "/livez" | "/readyz" | "/connections" if !is_read => {
                not_allowed("GET, HEAD")
            }
            "/" => text(StatusCode::OK, INDEX),
            "/metrics" => self.metrics(),
            "/livez" => self.livez().await,
            "/readyz" => self.readyz(),
            "/connections" => self.connections(request.uri().query().unwrap_or_default()),
            "/log" => text(StatusCode::OK, format!("{}\n", logging::filter())),
            _ => text(StatusCode::NOT_FOUND, format!("no such path; there are\n{INDEX}")),
        }
    }

    fn metrics(&self) -> Answer {
        match self.metrics.encode() {
            Ok(page) => respond(StatusCode::OK, metrics::CONTENT_TYPE, page),
            Err(error) => defect("the metrics cannot be written", &error),
        }
    }

    /// In a shutdown the listeners are closed while the daemon does what it should: whoever
    /// restarts what is not alive would cut the drain off.
    async fn livez(&self) -> Answer {
        if self.observed.readiness.stage() == Stage::Draining {
            return text(StatusCode::OK, "ok\n");
        }
        match self.liveness.look().await {
            Ok(()) => text(StatusCode::OK, "ok\n"),
            Err(wrong) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")),
        }
    }

    fn readyz(&self) -> Answer {
        match self.observed.readiness.stage() {
            Stage::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            Stage::Ready => text(StatusCode::OK, "ready\n"),
            Stage::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    fn connections(&self, query: &str) -> Answer {
        let limit = match parse_limit(query) {
            Ok(limit) => limit,
            Err(wrong) => return text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
        };
        match serde_json::to_string(&Listing::of(&self.observed.served.streams, limit)) {
            Ok(json) => respond(StatusCode::OK, JSON, json + "\n"),
            Err(error) => defect("the connections cannot be written", &error),
        }
    }
}

/// From `limit=N`.
fn parse_limit(query: &str) -> Result<usize, String> {
    let mut limit = connections::DEFAULT_LIMIT;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != "limit" {
            return Err(format!("unknown parameter `{key}`: only limit is known"));
        }
        limit = value
            .parse()
            .ok()
            .filter(|&limit| limit <= connections::MOST)
            .ok_or_else(|| format!("limit must be a number up to {}", connections::MOST))?;
    }
    Ok(limit)
}

/// Reads a filter from `body` and puts it in force.
async fn set_filter(body: Incoming) -> Answer {
    if body.size_hint().lower() > LONGEST_FILTER as u64 {
        return too_long();
    }
    let body = match Limited::new(body, LONGEST_FILTER).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return too_long(),
        Err(error) => {
            return text(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}\n"));
        }
    };
    let Ok(filter) = std::str::from_utf8(&body).map(str::trim) else {
        return text(StatusCode::BAD_REQUEST, "the filter is no UTF-8\n");
    };
    if filter.is_empty() {
        return text(StatusCode::BAD_REQUEST, "the body must be a filter, such as debug\n");
    }
    match logging::set_filter(filter) {
        Ok(()) => text(StatusCode::OK, format!("{}\n", logging::filter())),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn too_long() -> Answer {
    text(StatusCode::PAYLOAD_TOO_LARGE, format!("a filter has at most {LONGEST_FILTER} bytes\n"))
}

fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn defect(what: &str, error: &dyn std::error::Error) -> Answer {
    error!(%error, "{what}");
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}\n"))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What was so a moment ago is of no use to anybody.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_from_the_query() {
        for (query, limit) in [
            ("", 1000),
            ("limit=0", 0),
            ("limit=7", 7),
            ("limit=%31%30", 10),
            ("limit=10000", 10_000),
        ] {
            assert_eq!(parse_limit(query), Ok(limit), "{query}");
        }
        let no_number = "limit must be a number up to 10000";
        for (query, wrong) in [
            ("limit", no_number),
            ("limit=", no_number),
            ("limit=-1", no_number),
            ("limit=10001", no_number),
            ("limit=99999999999999999999", no_number),
            ("limits=1", "unknown parameter `limits`: only limit is known"),
        ] {
            assert_eq!(parse_limit(query).unwrap_err(), wrong, "{query}");
        }
    }

    #[test]
    fn the_index_names_the_default_limit() {
        assert!(INDEX.contains(&format!("the {} oldest", connections::DEFAULT_LIMIT)));
    }
}
