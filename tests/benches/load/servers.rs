//! What stands around a gateway: an upstream that reads what it is sent and answers, a plain proxy to it, and a collector of
//! spans.

use std::{
    convert::Infallible,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, Uri, body::Incoming, header::CONTENT_TYPE, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// About what a chat backend answers.
const ANSWER: &[u8] = br#"{"data":{"message_id":"019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f","conversation_id":"c1","content":"It is a pleasure to hear from you. Somebody will look at it within the hour, and you will find the answer right here.","sender":"visitor","created_at":"2026-11-22T12:00:00.000Z"},"meta":{"request_id":"r"}}"#;

const COUNTED: &str = "/counted";

/// Reads every request whole, counts it, and answers.
pub(crate) fn upstream() {
    let counted = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    serve(move |request| {
        let counted = Arc::clone(&counted);
        async move {
            if request.uri().path() == COUNTED {
                let counts = format!("{} {}", counted.0.load(Ordering::Relaxed), counted.1.load(Ordering::Relaxed));
                return Response::new(Full::from(counts));
            }
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            counted.0.fetch_add(1, Ordering::Relaxed);
            counted.1.fetch_add(body.len() as u64, Ordering::Relaxed);
            let mut answer = Response::new(Full::from(ANSWER));
            answer.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
            answer
        }
    });
}

/// How many requests and bytes of bodies an upstream has read.
pub(crate) async fn counted(upstream: SocketAddr) -> (u64, u64) {
    let answer = reqwest::get(format!("http://{upstream}{COUNTED}")).await.expect("an answer");
    let text = answer.text().await.expect("text");
    let (requests, bytes) = text.split_once(' ').expect("two numbers");
    (requests.parse().expect("a number"), bytes.parse().expect("a number"))
}

/// Passes every request on whole, and its answer back: hyper's server and hyper-util's pooled client, on one thread.
pub(crate) fn plain_proxy(upstream: SocketAddr) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let runtime = runtime();
    let client: Client<_, Full<Bytes>> =
        runtime.block_on(async { Client::builder(TokioExecutor::new()).build(connector) });
    serve_on(&runtime, move |request: Request<Incoming>| {
        let client = client.clone();
        async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            head.uri = Uri::builder()
                .scheme("http")
                .authority(upstream.to_string())
                .path_and_query(path)
                .build()
                .expect("a URI");
            head.headers.remove(hyper::header::HOST);
            client.request(Request::from_parts(head, Full::new(body))).await.expect("the upstream answers")
        }
    });
}

/// Takes whatever spans are exported to it.
pub(crate) fn collector() {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        let service = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector));
        service.serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves");
    });
}

struct Collector;

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Where a server started as a process of its own says that it listens.
pub(crate) fn read_address(stdout: impl Read) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("it says where it listens");
    line.trim().parse().expect("an address")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn serve<B, F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    serve_on(&runtime(), answer);
}

fn serve_on<B, F>(runtime: &tokio::runtime::Runtime, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}
