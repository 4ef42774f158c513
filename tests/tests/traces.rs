//! Traces over several processes: what a call or a visitor's message causes belongs to one trace, and the last spans are exported.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use e2e::{
    process::PATIENCE,
    receiver::{Manner, Receiver},
    visitor::{PAGE, Visitor, begin_session},
    world::World,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A span that was exported. Its ids are in hexadecimal digits.
#[derive(Debug)]
struct Recorded {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("not poisoned").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// One that listens, and where.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let service = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(service.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, endpoint)
    }

    /// What was exported so far.
    fn spans(&self) -> Vec<Recorded> {
        let mut spans = Vec::new();
        for request in self.0.lock().expect("not poisoned").iter() {
            for resource in &request.resource_spans {
                let attributes = &resource.resource.as_ref().expect("a resource").attributes;
                let service = attributes.iter().find(|attribute| attribute.key == "service.name").expect("a name");
                let service = format!("{:?}", service.value);
                spans.extend(resource.scope_spans.iter().flat_map(|scope| &scope.spans).map(|span| Recorded {
                    service: service.clone(),
                    trace: hex::encode(&span.trace_id),
                    id: hex::encode(&span.span_id),
                    parent: hex::encode(&span.parent_span_id),
                    name: span.name.clone(),
                }));
            }
        }
        spans
    }

    /// The spans of a trace, once every process has exported one and `is_whole` says so.
    async fn whole_trace(
        &self,
        of: impl Fn(&[Recorded]) -> Option<String>,
        is_whole: impl Fn(&[Recorded]) -> bool,
    ) -> Vec<Recorded> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut spans = self.spans();
            if let Some(trace) = of(&spans) {
                spans.retain(|span| span.trace == trace);
                let has = |name: &str| spans.iter().any(|span| span.service.contains(name));
                if ["relay-gateway", "admin-service", "chat-backend"].into_iter().all(has) && is_whole(&spans) {
                    return spans;
                }
            }
            assert!(Instant::now() < deadline, "the trace does not come together: {spans:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_leave_before_the_process_does() {
    let (collector, endpoint) = Collector::start().await;
    let mut world = World::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Traced"})).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = tenant
        .request(&reqwest::Client::new(), Method::GET, &world.relay_url("fetch/tenant-info"), "")
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    drop(answer);
    world.gateway.terminate();
    assert!(world.gateway.wait().success());
    let recorded = hex::decode(trace_id).expect("digits");
    let exported = collector.0.lock().expect("not poisoned");
    let mut spans = exported
        .iter()
        .flat_map(|request| &request.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans);
    assert!(spans.any(|span| span.trace_id == recorded && span.name.contains("/api/v1/relay")), "{exported:?}");
    assert!(!world.gateway.log().contains("spans may be lost"), "{}", world.gateway.log());
}

#[tokio::test]
async fn one_trace_goes_through_gateway_admin_service_and_backend() {
    let (collector, endpoint) = Collector::start().await;
    let world = World::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let tenant = world.operator().provision(json!({"tenant_name": "Traced"})).await;
    let (trace_id, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let answer = tenant
        .request(
            &reqwest::Client::new(),
            Method::POST,
            &world.relay_url("create/conversation"),
            r#"{"visitor_user_id":"u"}"#,
        )
        .header("traceparent", format!("00-{trace_id}-{caller}-01"))
        .header("x-request-id", "traced-call")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);

    let spans = collector.whole_trace(|_| Some(trace_id.to_owned()), |spans| spans.len() >= 5).await;
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    for span in &spans {
        assert!(span.parent == caller || ids.contains(span.parent.as_str()), "{span:?} hangs loose: {spans:?}");
    }
    let entered: Vec<_> = spans.iter().filter(|span| span.parent == caller).collect();
    assert_eq!(
        (entered.len(), entered[0].service.contains("relay-gateway")),
        (1, true),
        "the caller's span has one child"
    );
    for process in [&world.gateway, &world.backend] {
        process
            .wait_for_line(|line| (line.contains("traced-call") && line.contains("answered")).then_some(()))
            .expect("a line");
        for line in process.log().lines().filter(|line| line.contains("traced-call")) {
            assert!(line.contains(trace_id), "both ids are in every line: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_a_visitors_message_to_the_delivery_of_its_event() {
    let (collector, endpoint) = Collector::start().await;
    let settings =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("ADMIN_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")];
    let world = World::start(&settings).await;
    let receiver = Receiver::start(|_| Manner::Takes(Duration::ZERO)).await;
    let fields =
        json!({"tenant_name": "Traced", "allowed_origins": [PAGE], "callback_url_base": receiver.base("callbacks")});
    let tenant = world.operator().provision(fields).await;
    let session = begin_session(world.relay, &tenant).await;
    let mut visitor = Visitor::connect(world.relay, session["visitor_token"].as_str().expect("a token")).await;
    visitor.ask("Where is my parcel?").await;

    // A collector learns a span when it has ended: the delivery's is the last one.
    let of_message = |spans: &[Recorded]| {
        let messages: Vec<_> = spans.iter().filter(|span| span.name == "visitor message").collect();
        messages.iter().find(|span| span.service.contains("relay-gateway")).map(|span| span.trace.clone())
    };
    let spans = collector.whole_trace(of_message, |spans| spans.iter().any(|span| span.name == "deliver")).await;
    let named = |service: &str, name: &str| {
        let found = spans.iter().find(|span| span.service.contains(service) && span.name == name);
        found.unwrap_or_else(|| panic!("{service} has no span {name}: {spans:?}"))
    };
    let (said, kept) = (named("relay-gateway", "visitor message"), named("chat-backend", "visitor message"));
    assert_eq!(said.parent, "", "a message begins its trace");
    assert_eq!((&kept.parent, &named("admin-service", "deliver").parent), (&said.id, &kept.id), "{spans:?}");
    let arrivals = receiver.arrivals();
    let message = arrivals.iter().find(|arrival| {
        serde_json::from_slice::<Value>(&arrival.body).expect("JSON")["event_type"] == "message_received"
    });
    let traceparent = message.expect("it was delivered").header("traceparent");
    assert!(traceparent.contains(&said.trace), "the receiver may go on with it: {traceparent}");
}
