//! Traces for OpenTelemetry: finished spans go to a collector as OTLP in JSON over HTTP.
//!
//! The exporter is our own because little is needed: spans that exist anyway, in batches, lost rather than waited for.
//! The trace of a request has the request's id, so that a log line, the header of an answer and a trace find each
//! other.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{layer::Context, registry::LookupSpan};
use weir_core::{Clock, Random};

use crate::config::ConfigError;

/// Spans that wait; further ones are lost, which traces can bear and requests cannot.
const WAITING: usize = 4096;
/// Spans of one delivery.
const BATCH: usize = 256;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// Longest delivery.
const PATIENCE: Duration = Duration::from_secs(5);
/// Log lines kept with one span.
const EVENTS: usize = 64;

/// Collects spans.
pub struct Spans {
    finished: mpsc::Sender<Value>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Delivers them.
pub struct Exporter {
    finished: mpsc::Receiver<Value>,
    client: reqwest::Client,
    url: reqwest::Url,
}

/// Both ends for a collector at this address; `/v1/traces` is added.
///
/// # Errors
/// When the address is none.
pub fn pair(endpoint: &str, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<(Spans, Exporter), ConfigError> {
    let refuse = |why: String| ConfigError(format!("otel.endpoint: {why}"));
    let url = reqwest::Url::parse(&format!("{}/v1/traces", endpoint.trim_end_matches('/')));
    let url = url.map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("must begin with http:// or https://".to_owned()));
    }
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| refuse(error.to_string()))?;
    let (sender, finished) = mpsc::channel(WAITING);
    Ok((Spans { finished: sender, clock, random }, Exporter { finished, client, url }))
}

impl Exporter {
    /// Delivers until `end` resolves, then what is left.
    pub async fn run(mut self, end: impl Future<Output = ()> + Send) {
        tokio::pin!(end);
        let (mut is_lost, mut is_over) = (false, false);
        while !is_over {
            let mut batch = Vec::new();
            let mut deadline = None;
            while batch.len() < BATCH && !is_over {
                let wait = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
                tokio::select! {
                    next = timeout_at(wait, self.finished.recv()) => match next {
                        Ok(Some(next)) => {
                            batch.push(next);
                            deadline.get_or_insert_with(|| Instant::now() + LINGER);
                        }
                        Ok(None) => is_over = true,
                        Err(_) => break,
                    },
                    () = &mut end => is_over = true,
                }
            }
            if is_over {
                self.finished.close();
                while let Ok(span) = self.finished.try_recv() {
                    batch.push(span);
                }
            }
            if !batch.is_empty() {
                self.deliver(batch, &mut is_lost).await;
            }
        }
    }

    /// Says once when the collector is away, and once when it is back.
    async fn deliver(&self, spans: Vec<Value>, is_lost: &mut bool) {
        let attribute = |key: &str, text: &str| json!({"key": key, "value": {"stringValue": text}});
        let resource = [attribute("service.name", "weir"), attribute("service.version", env!("CARGO_PKG_VERSION"))];
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": {"name": "weir"}, "spans": spans}],
        }]});
        let sent = self.client.post(self.url.clone()).json(&body).send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(_) if *is_lost => {
                *is_lost = false;
                tracing::info!("traces are delivered again");
            }
            Err(error) if !*is_lost => {
                *is_lost = true;
                // The address may hold a credential.
                tracing::warn!(error = %error.without_url(), "traces cannot be delivered and are lost");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// What is known of a span that has not ended.
struct Open {
    trace: String,
    id: String,
    parent: Option<String>,
    started: String,
    attributes: Fields,
    events: Vec<Value>,
}

impl Spans {
    fn now(&self) -> String {
        self.clock.now().timestamp_nanos_opt().unwrap_or_default().to_string()
    }

    fn hex(&self, bytes: &mut [u8]) -> String {
        self.random.fill(bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| (open.trace.clone(), open.id.clone()))
        });
        let (trace, parent) = match above {
            Some((trace, parent)) => (trace, Some(parent)),
            None => (fields.trace_id().unwrap_or_else(|| self.hex(&mut [0; 16])), None),
        };
        let id = self.hex(&mut [0; 8]);
        let open = Open { trace, id, parent, started: self.now(), attributes: fields, events: Vec::new() };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.attributes);
        }
    }

    fn on_event(&self, event: &Event<'_>, cx: Context<'_, S>) {
        let Some(span) = cx.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>().filter(|open| open.events.len() < EVENTS) else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        // The answer's status belongs to the whole request.
        if let Some(status) = fields.status {
            open.attributes.status = Some(status);
        }
        let name = fields.message.take().unwrap_or_else(|| event.metadata().name().to_owned());
        open.events.push(json!({"timeUnixNano": self.now(), "name": name, "attributes": fields.list}));
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        let Some(span) = cx.span(&id) else { return };
        let Some(mut open) = span.extensions_mut().remove::<Open>() else { return };
        let status = open.attributes.status;
        if let Some(status) = status {
            let value = json!({"intValue": status.to_string()});
            open.attributes.list.push(json!({"key": "http.response.status_code", "value": value}));
        }
        let is_failed = status.is_some_and(|status| status >= 500);
        let is_request = open.parent.is_none() && status.is_some();
        let finished = json!({
            "traceId": open.trace,
            "spanId": open.id,
            "parentSpanId": open.parent.unwrap_or_default(),
            "name": span.name(),
            // Server or internal.
            "kind": if is_request { 2 } else { 1 },
            "startTimeUnixNano": open.started,
            "endTimeUnixNano": self.now(),
            "attributes": open.attributes.list,
            "events": open.events,
            "status": if is_failed { json!({"code": 2}) } else { json!({}) },
        });
        // A full queue means that the collector does not keep up.
        let _ = self.finished.try_send(finished);
    }
}

/// Fields as OTLP has them.
#[derive(Default)]
struct Fields {
    list: Vec<Value>,
    message: Option<String>,
    status: Option<u64>,
    request: Option<String>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.list.push(json!({"key": field.name(), "value": value}));
    }

    /// The request's id, when it is one that a trace can have.
    fn trace_id(&self) -> Option<String> {
        let is_id = |id: &&String| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.request.as_ref().filter(is_id).cloned()
    }

    fn put_text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = Some(text),
            name => {
                if name == "id" {
                    self.request = Some(text.clone());
                }
                self.put(field, json!({"stringValue": text}));
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!({"doubleValue": value}));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        // OTLP writes 64-bit numbers as text.
        self.put(field, json!({"intValue": value.to_string()}));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "status" {
            self.status = Some(value);
        }
        self.put(field, json!({"intValue": value.to_string()}));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!({"boolValue": value}));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tracing_subscriber::layer::SubscriberExt as _;
    use weir_core::{SystemClock, SystemRandom};

    use super::{Exporter, Spans, pair};

    fn ends(endpoint: &str) -> (Spans, Exporter) {
        pair(endpoint, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap()
    }

    /// The body of the one request that comes.
    async fn collect(listener: TcpListener) -> (String, Value) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).await.unwrap();
            bytes.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            if let Ok(body) = serde_json::from_str(body) {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                return (head.to_owned(), body);
            }
        }
    }

    #[tokio::test]
    async fn a_request_arrives_as_a_trace_with_its_id_its_lines_and_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (spans, exporter) = ends(&format!("http://{}/", listener.local_addr().unwrap()));
        let id = "0123456789abcdef0123456789abcdef";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
            let request = tracing::info_span!("request", id, method = "GET");
            let _entered = request.enter();
            tracing::info_span!("inner").in_scope(|| tracing::info!("inside"));
            tracing::info!(status = 503_u64, "answered");
        });
        let (delivered, ()) = tokio::join!(collect(listener), exporter.run(async {}));
        let (head, body) = delivered;
        assert!(head.starts_with("POST /v1/traces ") && head.contains("application/json"), "{head}");
        let spans = body.pointer("/resourceSpans/0/scopeSpans/0/spans").and_then(Value::as_array).unwrap();
        let [inner, request] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((&request["traceId"], &inner["traceId"]), (&id.into(), &id.into()));
        assert_eq!((&inner["parentSpanId"], &request["parentSpanId"]), (&request["spanId"], &"".into()));
        assert_eq!((&request["kind"], &request["status"]["code"]), (&2.into(), &2.into()));
        assert_eq!(request["events"][0]["name"], "answered");
        let attributes = request["attributes"].as_array().unwrap();
        let status = attributes.iter().find(|it| it["key"] == "http.response.status_code").unwrap();
        assert_eq!(status["value"]["intValue"], "503");
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_nothing_but_the_traces() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (spans, exporter) = ends(&format!("http://{address}"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
            (0..super::WAITING + 10).for_each(|_| drop(tracing::info_span!("request").entered()));
        });
        exporter.run(async {}).await;
    }

    #[test]
    fn an_address_that_is_none_is_refused_by_name() {
        for endpoint in ["collector:4318", "ftp://collector", ""] {
            let error = pair(endpoint, Arc::new(SystemClock), Arc::new(SystemRandom)).err().unwrap();
            assert!(error.0.starts_with("otel.endpoint: "), "{error}");
        }
    }
}
