//! What the parts of a call cost: verifying it, admitting it, matching an origin, reading a frame.
//!
//! `cargo bench --profile dist -p relay-gateway --bench parts`. The whole is `tests/benches/load`.

use std::{hint::black_box, num::NonZeroU32, time::Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use relay_gateway::{
    domain::{
        admission::SignedCall,
        frame::Frame,
        tenant::{Generation, TenantState},
    },
    limits::{Limits, LimitsConfig, MemoryConfig, Now, SignedUse, SocketBounds, Target, TenantRate, Use},
    signature_headers::{self, SIGNATURE, TENANT_ID, TIMESTAMP},
};
use serde_json::json;
use wire::{
    TenantId,
    origin::{Origin, OriginPattern, OriginPolicy},
    signature::{BodyDigest, TenantKey},
    time::{now_unix_ms, since_boot_ms},
};

fn tenant() -> TenantState {
    TenantState {
        id: TenantId::generate(),
        suspended: false,
        key: TenantKey::new(b"sk_a-secret-of-the-usual-length-00"),
        previous: None,
        rate_limit_per_min: NonZeroU32::MAX,
        file_upload_enabled: true,
        storage_gb_quota: 0,
        token_generation: 0,
        visitor_revocations: 0,
        sessions_ended: 0,
        operators_changed: 0,
        generation: Generation::next(),
    }
}

fn signed(tenant: &TenantState, timestamp: i64, body: &[u8]) -> HeaderMap {
    let timestamp = timestamp.to_string();
    let signature = tenant.key.sign(&timestamp, &BodyDigest::of(body)).to_hex();
    let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
    HeaderMap::from_iter([
        (TENANT_ID, value(&tenant.id.to_string())),
        (TIMESTAMP, value(&timestamp)),
        (SIGNATURE, value(&signature)),
    ])
}

/// Headers, window, digest and signature, as one call takes them.
fn verify(criterion: &mut Criterion) {
    let tenant = tenant();
    let mut group = criterion.benchmark_group("verify");
    for size in [200, 2048, 65536] {
        let body = vec![b'x'; size];
        let now = now_unix_ms();
        let headers = signed(&tenant, now, &body);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &body, |bencher, body| {
            bencher.iter(|| {
                let call = SignedCall::read(signature_headers::take(&mut headers.clone())).expect("well formed");
                call.check_window(now).expect("fresh");
                let digest = BodyDigest::of(body);
                call.verify(Some(&tenant), &digest, body.len(), since_boot_ms)
                    .map(|(tenant, _)| tenant.id)
                    .expect("signed")
            });
        });
    }
    group.finish();
}

fn limits() -> Limits {
    let many = NonZeroU32::MAX;
    let config = LimitsConfig {
        failures_per_min: many,
        sessions_per_min: many,
        operator_calls_per_min: many,
        frames_per_min: many,
        frame_bytes_per_min: many,
        connections_per_address: 1,
        sockets_per_address: 1,
        body_memory: MemoryConfig { total: 1, per_address: 1 },
    };
    Limits::new(&config, SocketBounds { all: 1, per_tenant: 1, per_session: 1, per_address: 1 }, Vec::new())
}

/// What a verified call may still be refused for: that it came before, and that its tenant has none left.
fn admit(criterion: &mut Criterion) {
    let tenant = tenant();
    let limits = limits();
    let mut number = 0_u64;
    criterion.bench_function("admit", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                tenant.key.sign("1", &BodyDigest::of(&number.to_be_bytes()))
            },
            |signature| {
                let now = Now { at: Instant::now(), unix_ms: now_unix_ms() };
                let used = Use::Write(Target::new("POST", b"/add/message=019e4ae71a2b7c3d8e4f5a6b7c8d9e0f"));
                let call = SignedUse { signature: &signature, timestamp_ms: now.unix_ms, used };
                let rate = TenantRate { id: tenant.id, per_min: tenant.rate_limit_per_min };
                let admitted = limits.admit_signed_call(call, rate, now).now_or_never().expect("nothing waits");
                admitted.expect("the first time, and within its rate").spend();
            },
            criterion::BatchSize::SmallInput,
        );
    });
}

fn match_origin(criterion: &mut Criterion) {
    let patterns: Vec<OriginPattern> = (0..99)
        .map(|number| format!("https://shop-{number}.example.com"))
        .chain(["https://*.example.org".to_owned()])
        .map(|text| text.parse().expect("a pattern"))
        .collect();
    let policy = OriginPolicy { origins: patterns, domains: Vec::new() };
    let last = "https://www.shop.example.org";
    criterion.bench_function("origin read and matched by the last of 100", |bencher| {
        bencher.iter(|| {
            let origin: Origin = black_box(last).parse().expect("an origin");
            assert!(policy.allows(&origin));
        });
    });
}

fn read_frame(criterion: &mut Criterion) {
    let frame = json!({
        "type": "message",
        "client_id": "019e4ae7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
        "content": "Hello, I should like to know where my parcel is.",
        "attachments": [],
    })
    .to_string();
    criterion.bench_function("frame", |bencher| {
        bencher.iter(|| Frame::read(black_box(&frame)).map_err(|refused| refused.why).expect("a frame").passed(None));
    });
}

criterion_group!(parts, verify, admit, match_origin, read_frame);
criterion_main!(parts);
