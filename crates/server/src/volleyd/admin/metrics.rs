//! The metrics, in OpenMetrics 1.0. They are read when they are asked for, all those of a listener
//! from one look at its books, so that the books balance in every scrape and nothing is counted
//! twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use volley_server::{
    AcceptError, Books, DatagramBooks, DatagramHandle, Dropped, End, Handle, OpenFailure, Refusal,
};

use super::Observed;
use super::process::Process;
use crate::logging;
use crate::probe::Target;
use crate::readiness::Stage;
use crate::served::Served;

/// Of what [`Metrics::encode`] gives.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the daemon.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(super) fn new(observed: Arc<Observed>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Daemon { observed, process: Process::new() }));
        Self { registry }
    }

    /// As they are now.
    ///
    /// # Errors
    ///
    /// What the encoder says; writing to a text does not fail.
    pub(super) fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Where the metrics come from.
#[derive(Debug)]
struct Daemon {
    observed: Arc<Observed>,
    process: Process,
}

impl Collector for Daemon {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let Served { streams, datagrams, targets } = &self.observed.served;
        let listeners: Vec<_> = streams.iter().map(Listener::look).collect();
        for metric in &METRICS_OF_LISTENERS {
            metric.encode(&listeners, &mut families)?;
        }
        encode_service_times(streams, &mut families)?;
        encode_certificates(targets, &mut families)?;
        if !datagrams.is_empty() {
            let listeners: Vec<_> = datagrams.iter().map(Listener::look_at_datagrams).collect();
            for metric in &METRICS_OF_DATAGRAMS {
                metric.encode(&listeners, &mut families)?;
            }
        }
        self.encode_limits(&mut families)?;
        self.encode_state(&mut families)?;
        self.process.encode(&mut families)
    }
}

impl Daemon {
    /// What all listeners share.
    fn encode_limits(&self, families: &mut Families<'_>) -> fmt::Result {
        let Observed { connections, buffers, .. } = &*self.observed;
        families.gauge(
            "volleyd_connections_limit",
            None,
            "How many connections may be open, over all listeners.",
            or_infinite(connections.max() as u64, usize::MAX as u64),
        )?;
        families.gauge(
            "volleyd_buffered",
            Some(&Unit::Bytes),
            "What is kept for connections: incomplete frames, and replies that wait for their \
             peers. In steps of 4 KiB per connection.",
            buffers.held(),
        )?;
        families.gauge(
            "volleyd_buffered_limit",
            Some(&Unit::Bytes),
            "How much may be kept for connections.",
            or_infinite(buffers.max(), u64::MAX),
        )
    }

    /// What the daemon itself is and does. A metric that belongs to no listener stands here.
    fn encode_state(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauge(
            "volleyd_ready",
            None,
            "Whether new connections should come: 0 before the listeners accept, and from the \
             beginning of a shutdown on.",
            u64::from(self.observed.readiness.stage() == Stage::Ready),
        )?;
        families.counters(
            "volleyd_reloads",
            "How often the configuration was read again: applied as a whole, or rejected as a \
             whole.",
            "outcome",
            self.observed.reloads.counts(),
        )?;
        families.counter(
            "volleyd_log_lines_dropped",
            None,
            "Lines of the log that were dropped because nobody took them.",
            logging::dropped_lines(),
        )?;
        families.info(
            "volleyd_build",
            "What is running.",
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
                ("os", std::env::consts::OS),
                ("arch", std::env::consts::ARCH),
            ],
        )
    }
}

/// A limit as a gauge: `none` stands for no limit.
fn or_infinite(max: u64, none: u64) -> f64 {
    if max == none { f64::INFINITY } else { max as f64 }
}

/// A listener at the instant of the scrape.
struct Listener<B> {
    endpoint: String,
    books: B,
}

impl Listener<Books> {
    fn look(handle: &Handle) -> Self {
        Self { endpoint: handle.endpoint().to_string(), books: handle.books() }
    }
}

impl Listener<DatagramBooks> {
    fn look_at_datagrams(handle: &DatagramHandle) -> Self {
        Self { endpoint: handle.endpoint().to_string(), books: handle.books() }
    }
}

impl<B> Listener<B> {
    fn label(&self) -> (&'static str, &str) {
        ("listener", &self.endpoint)
    }
}

/// A metric that each listener has, from its books.
struct Metric<B> {
    /// Without its unit, and without the `_total` of a counter, which both stand behind it.
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    value: Value<B>,
}

/// What a metric shows of a listener's books.
enum Value<B> {
    Counter(fn(&B) -> u64),
    Gauge(fn(&B) -> u64),
    /// A counter for each value of a label. Those that are 0 are there too: what appears only when
    /// it first happens can't be seen to rise.
    Counters(&'static str, fn(&B) -> Vec<(&'static str, u64)>),
}

impl<B> Metric<B> {
    fn encode(&self, listeners: &[Listener<B>], families: &mut Families<'_>) -> fmt::Result {
        let kind = match self.value {
            Value::Gauge(_) => MetricType::Gauge,
            Value::Counter(_) | Value::Counters(..) => MetricType::Counter,
        };
        let Families(encoder) = families;
        let mut family =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for listener in listeners {
            let (labels, books) = ([listener.label()], &listener.books);
            match self.value {
                Value::Gauge(value) => {
                    family.encode_family(&labels)?.encode_gauge(&value(books))?;
                }
                Value::Counter(value) => family
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&value(books), None)?,
                Value::Counters(key, values) => {
                    for (label, value) in values(books) {
                        family
                            .encode_family(&[listener.label(), (key, label)])?
                            .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// In each scrape of each listener connections accepted = active + closed, and frames received =
/// answered + dropped + pending.
static METRICS_OF_LISTENERS: [Metric<Books>; 18] = [
    Metric {
        name: "volleyd_connections_accepted",
        unit: None,
        help: "Connections that were served.",
        value: Value::Counter(|books| books.accepted),
    },
    Metric {
        name: "volleyd_connections_active",
        unit: None,
        help: "Connections that are open.",
        value: Value::Gauge(|books| books.active),
    },
    Metric {
        name: "volleyd_connections_closed",
        unit: None,
        help: "Connections that are over, by how they ended.",
        value: Value::Counters("reason", |books| by_end(&books.ends)),
    },
    Metric {
        name: "volleyd_connections_refused",
        unit: None,
        help: "Connections that were turned away, by what there was no more of.",
        value: Value::Counters("reason", |books| {
            Refusal::ALL.map(|why| (why.label(), count(&books.refused, why))).into()
        }),
    },
    Metric {
        name: "volleyd_connections_opening",
        unit: None,
        help: "Connections that wait for their PROXY header or TLS handshake, and are not accepted \
               yet.",
        value: Value::Gauge(|books| books.opening),
    },
    Metric {
        name: "volleyd_connections_unopened",
        unit: None,
        help: "Connections that came to nothing before that, by why.",
        value: Value::Counters("reason", |books| {
            let failures = OpenFailure::ALL;
            failures.map(|why| (why.label(), count(&books.open_failures, why))).into()
        }),
    },
    Metric {
        name: "volleyd_handshake_waits",
        unit: None,
        help: "How often a PROXY header or a TLS handshake waited for its turn among those that \
               may be under way at once.",
        value: Value::Counter(|books| books.handshake_waits),
    },
    Metric {
        name: "volleyd_tls_handshakes",
        unit: None,
        help: "TLS handshakes that were completed, by whether an earlier session went on.",
        value: Value::Counters("session", |books| {
            vec![("new", books.handshakes - books.resumed), ("resumed", books.resumed)]
        }),
    },
    Metric {
        name: "volleyd_accept_errors",
        unit: None,
        help: "Errors of accept(2), by whose fault they were or what was lacking.",
        value: Value::Counters("kind", |books| {
            AcceptError::ALL.map(|kind| (kind.label(), count(&books.accept_errors, kind))).into()
        }),
    },
    Metric {
        name: "volleyd_accept_pauses",
        unit: None,
        help: "How often accepting waited, so as not to be faster than it may.",
        value: Value::Counter(|books| books.accept_pauses),
    },
    Metric {
        name: "volleyd_throttled",
        unit: None,
        help: "How often a connection waited, so as not to be faster than it may.",
        value: Value::Counter(|books| books.throttled),
    },
    Metric {
        name: "volleyd_frames_received",
        unit: None,
        help: "Data frames that arrived whole.",
        value: Value::Counter(|books| books.frames_received),
    },
    Metric {
        name: "volleyd_frames_answered",
        unit: None,
        help: "Data frames whose reply was handed to the kernel whole.",
        value: Value::Counter(|books| books.frames_answered),
    },
    Metric {
        name: "volleyd_frames_dropped",
        unit: None,
        help: "Data frames that arrived whole and whose reply could not be sent, by how their \
               connection ended.",
        value: Value::Counters("reason", |books| by_end(&books.dropped)),
    },
    Metric {
        name: "volleyd_frames_pending",
        unit: None,
        help: "Data frames whose reply waits until its peer takes more.",
        value: Value::Gauge(|books| books.frames_pending),
    },
    Metric {
        name: "volleyd_payload",
        unit: Some(Unit::Bytes),
        help: "Payload of the data frames that arrived whole.",
        value: Value::Counter(|books| books.payload_bytes),
    },
    Metric {
        name: "volleyd_received",
        unit: Some(Unit::Bytes),
        help: "Everything read from connections: heads, control frames and fragments count.",
        value: Value::Counter(|books| books.bytes_in),
    },
    Metric {
        name: "volleyd_sent",
        unit: Some(Unit::Bytes),
        help: "Everything handed to the kernel for connections.",
        value: Value::Counter(|books| books.bytes_out),
    },
];

/// Of listeners that receive datagrams. In each scrape of each of them datagrams received =
/// answered + dropped.
static METRICS_OF_DATAGRAMS: [Metric<DatagramBooks>; 7] = [
    Metric {
        name: "volleyd_datagrams_received",
        unit: None,
        help: "Datagrams that were received. The metrics of datagrams are there if a listener is \
               of UDP.",
        value: Value::Counter(|books| books.received),
    },
    Metric {
        name: "volleyd_datagrams_answered",
        unit: None,
        help: "Datagrams whose reply was handed to the kernel.",
        value: Value::Counter(|books| books.answered),
    },
    Metric {
        name: "volleyd_datagrams_dropped",
        unit: None,
        help: "Datagrams that were received and got no reply, by why.",
        value: Value::Counters("reason", |books| {
            Dropped::ALL.map(|why| (why.label(), count(&books.dropped, why))).into()
        }),
    },
    Metric {
        name: "volleyd_datagrams_overflowed",
        unit: None,
        help: "Datagrams that the kernel threw away because the queue of the socket was full; they \
               are not among those that were received.",
        value: Value::Counter(|books| books.overflowed),
    },
    Metric {
        name: "volleyd_datagram_receive_errors",
        unit: None,
        help: "How often receiving datagrams failed. None is lost by that.",
        value: Value::Counter(|books| books.receive_errors),
    },
    Metric {
        name: "volleyd_datagrams_received",
        unit: Some(Unit::Bytes),
        help: "Payload of the datagrams that were received.",
        value: Value::Counter(|books| books.bytes_in),
    },
    Metric {
        name: "volleyd_datagrams_sent",
        unit: Some(Unit::Bytes),
        help: "Payload of their replies.",
        value: Value::Counter(|books| books.bytes_out),
    },
];

fn by_end(counts: &BTreeMap<End, u64>) -> Vec<(&'static str, u64)> {
    End::all().map(|end| (end.label(), count(counts, end))).collect()
}

fn count<K: Ord>(counts: &BTreeMap<K, u64>, key: K) -> u64 {
    counts.get(&key).copied().unwrap_or(0)
}

fn encode_service_times(handles: &[Handle], families: &mut Families<'_>) -> fmt::Result {
    let Families(encoder) = families;
    let mut family = encoder.encode_descriptor(
        "volleyd_service",
        "How long frames are in the daemon: from the read that brings a batch of them in until the \
         kernel has its last reply. One batch in 16 is timed.",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for handle in handles {
        let (endpoint, times) = (handle.endpoint().to_string(), handle.service_times());
        let buckets: Vec<_> = times.buckets().collect();
        family.encode_family(&[("listener", &*endpoint)])?.encode_histogram::<NoLabelSet>(
            times.sum(),
            times.count(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

/// Those that new handshakes get; listeners without TLS have none.
fn encode_certificates(targets: &[Target], families: &mut Families<'_>) -> fmt::Result {
    let Families(encoder) = families;
    let mut family = encoder.encode_descriptor(
        "volleyd_tls_certificate_expiry",
        "When the certificate expires, since the Unix epoch.",
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    for Target { endpoint, tls, .. } in targets {
        let Some((live, _)) = tls else { continue };
        // One that has expired before the epoch is as good as one that did then.
        let expiry = live.config().not_after().duration_since(UNIX_EPOCH).unwrap_or_default();
        let endpoint = endpoint.to_string();
        family
            .encode_family(&[("listener", endpoint.as_str())])?
            .encode_gauge(&expiry.as_secs())?;
    }
    Ok(())
}

/// Writes metrics that the process has one of.
pub(super) struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    pub(super) fn gauge(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// Its name gets `_total` behind the unit.
    pub(super) fn counter(
        &mut self,
        name: &str,
        unit: Option<&Unit>,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Its name gets `_total`; one for each value of a label.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        key: &str,
        values: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (label, value) in values {
            family
                .encode_family(&[(key, label)])?
                .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// Its name gets `_info`; its value is 1.
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }
}
