//! Files are kept within the tenant's room, and read as what they are. PROTOCOL.md, section 5.12.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use chat_backend::{FilesUrl, config::FilesConfig};
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{SessionId, TenantId};

use crate::{
    named_files::ask,
    sockets::Relay,
    support::{Backend, TestDatabase},
};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n the rest of a picture";

pub(crate) struct Kept {
    pub(crate) backend: Backend,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) async fn start_in(place: &TestDatabase, folder: &tempfile::TempDir) -> Backend {
    let config = FilesConfig {
        url: FilesUrl::folder(folder.path()),
        base_url: "https://relay.example/".parse().expect("a URL"),
        s3_options: Vec::new(),
    };
    Backend::start_keeping_files(place, &config).await
}

impl Kept {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { backend: start_in(&TestDatabase::new(), &folder).await, folder }
    }

    /// How many files are on the disk.
    fn on_disk(&self) -> usize {
        let tenants = std::fs::read_dir(self.folder.path()).expect("a folder");
        tenants.map(|tenant| std::fs::read_dir(tenant.expect("an entry").path()).expect("a folder").count()).sum()
    }

    async fn send(&self, tenant: TenantId, actor: &str, query: &str, mime: &str, bytes: &[u8]) -> (u16, Value) {
        let path = format!("/upload/attachment?{query}");
        let call = self.backend.unsigned(tenant, actor, &path).header("content-type", mime).body(bytes.to_vec());
        let answer = call.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// The id of a file that was kept.
    pub(crate) async fn kept(&self, tenant: TenantId, actor: &str) -> (String, Value) {
        let (status, answer) = self.send(tenant, actor, "name=a.png", "image/png", PNG).await;
        assert_eq!(status, 201, "{answer}");
        let attachment = answer["data"].clone();
        let id = attachment["url"].as_str().expect("a URL").rsplit('/').nth(1).expect("an id").to_owned();
        (id, attachment)
    }

    pub(crate) async fn read(&self, tenant: TenantId, id: &str) -> (u16, String, Vec<u8>) {
        let answer = self.backend.raw(tenant, &format!("/fetch/attachment?id={id}")).await;
        let mime = answer.headers().get("content-type").map(|mime| mime.to_str().expect("text").to_owned());
        (answer.status().as_u16(), mime.unwrap_or_default(), answer.bytes().await.expect("bytes").to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_and_read_as_what_it_is() {
    let files = Kept::start().await;
    let (tenant, other) = (TenantId::generate(), TenantId::generate());
    for (name, mime, bytes, shown, kind) in [
        ("caf\u{e9} 1.png", "image/png", PNG, "image/png", "image"),
        ("b.png", "image/png", b"<script>alert(1)</script>".as_slice(), "application/octet-stream", "image"),
        ("c.pdf", "application/pdf", b"%PDF-1.7", "application/pdf", "file"),
    ] {
        let query = format!("name={}", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC));
        let (status, answer) = files.send(tenant, "visitor:vs_1", &query, mime, bytes).await;
        assert_eq!(status, 201, "{answer}");
        let kept = &answer["data"];
        let url = kept["url"].as_str().expect("a URL");
        assert!(url.starts_with(&format!("https://relay.example/api/v1/attachments/{tenant}/")), "{url}");
        assert_eq!(
            (&kept["type"], &kept["mime"], &kept["size"], &kept["name"]),
            (&json!(kind), &json!(mime), &json!(bytes.len()), &json!(name))
        );
        let id = url.rsplit('/').nth(1).expect("an id");
        assert_eq!(files.read(tenant, id).await, (200, shown.to_owned(), bytes.to_vec()));
        assert_eq!(files.read(other, id).await.0, 404, "another tenant's");
    }
    assert_eq!(files.on_disk(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_room_is_taken_before_the_bytes_and_given_back_with_them() {
    let files = Kept::start().await;
    let (tenant, other) = (TenantId::generate(), TenantId::generate());
    let query = "name=a.png&quota_bytes=100";
    let big = [7; 60];
    let (status, first) = files.send(tenant, "visitor:vs_1", query, "image/png", &big).await;
    assert_eq!(status, 201);
    let (status, refused) = files.send(tenant, "visitor:vs_1", query, "image/png", &big).await;
    assert_eq!((status, &refused["error_code"]), (403, &json!("storage_quota_exceeded")));
    assert_eq!(files.send(other, "visitor:vs_1", query, "image/png", &big).await.0, 201, "another tenant has its own");
    assert_eq!(files.send(tenant, "visitor:vs_1", "name=a&quota_bytes=10", "image/png", &[7; 11]).await.0, 403);
    // Twenty at once take no more than fits.
    let racing = (0..20).map(|_| files.send(tenant, "visitor:vs_1", query, "image/png", &[7; 10]));
    let statuses = futures_util::future::join_all(racing).await;
    assert_eq!(statuses.iter().filter(|(status, _)| *status == 201).count(), 4, "40 of 100 bytes were free");
    let id = first["data"]["url"].as_str().expect("a URL").rsplit('/').nth(1).expect("an id");
    let (status, deleted) =
        files.backend.call(tenant, Method::POST, "/delete/attachment", Some(json!({"id": id}))).await;
    assert_eq!((status, &deleted["data"]), (200, &json!({"id": id})));
    assert_eq!(files.read(tenant, id).await.0, 404);
    let (status, again) = files.backend.call(tenant, Method::POST, "/delete/attachment", Some(json!({"id": id}))).await;
    assert_eq!((status, &again["error_code"]), (404, &json!("not_found")));
    assert_eq!(files.send(tenant, "visitor:vs_1", query, "image/png", &big).await.0, 201, "its room is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_off_leaves_nothing_behind() {
    let files = Kept::start().await;
    let tenant = TenantId::generate();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = vec![Ok(vec![7; 50]), Err(std::io::Error::other("gone"))];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let call = files.backend.unsigned(tenant, "visitor:vs_1", "/upload/attachment?name=a&quota_bytes=100");
    let sent = call.header("content-type", "image/png").header("content-length", "80").body(body).send().await;
    assert!(sent.is_err(), "the caller was cut off");
    // What the cut-off file had taken is free again, soon.
    let begun = std::time::Instant::now();
    while files.send(tenant, "visitor:vs_1", "name=a&quota_bytes=100", "image/png", &[7; 100]).await.0 != 201 {
        assert!(begun.elapsed() < e2e::process::PATIENCE, "its room stays taken");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(files.on_disk(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_takes_no_room_for_long() {
    let (place, folder) = (TestDatabase::new(), tempfile::tempdir().expect("a folder"));
    let files = Kept { backend: start_in(&place, &folder).await, folder };
    let tenant = TenantId::generate();
    // Where the tenant's folder should be, there is a file.
    let in_the_way = files.folder.path().join(tenant.to_string());
    std::fs::write(&in_the_way, "x").expect("written");
    let query = "name=a&quota_bytes=100";
    let (status, refused) = files.send(tenant, "visitor:vs_1", query, "image/png", &[7; 100]).await;
    assert_eq!((status, &refused["error_code"]), (503, &json!("store_unavailable")));
    std::fs::remove_file(&in_the_way).expect("removed");
    // The sweeper comes every ten minutes, and when a backend starts.
    let _again = start_in(&place, &files.folder).await;
    let begun = std::time::Instant::now();
    while files.send(tenant, "visitor:vs_1", query, "image/png", &[7; 100]).await.0 != 201 {
        assert!(begun.elapsed() < e2e::process::PATIENCE, "its room stays taken");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_that_could_not_be_removed_goes_with_the_next_start() {
    let place = TestDatabase::new();
    let folder = tempfile::tempdir().expect("a folder");
    let files = Kept { backend: start_in(&place, &folder).await, folder };
    let tenant = TenantId::generate();
    let session = SessionId::generate();
    let (id, attachment) = files.kept(tenant, &format!("visitor:{session}")).await;
    let (mut relay, _) = Relay::welcomed(&files.backend, tenant, session).await;
    let frame = json!({"type": "message", "client_id": Uuid::new_v4(), "content": "x", "attachments": [attachment]});
    ask(&mut relay, &frame, "ack").await;
    // Its bytes cannot be removed: a folder stands in their place.
    let object = files.folder.path().join(tenant.to_string()).join(&id);
    std::fs::remove_file(&object).expect("removed");
    std::fs::create_dir_all(object.join("in the way")).expect("made");
    let (status, answer) =
        files.backend.call(tenant, Method::POST, "/delete/attachment", Some(json!({"id": id}))).await;
    assert_eq!((status, &answer["error_code"]), (503, &json!("store_unavailable")));
    assert_eq!(files.read(tenant, &id).await.0, 404, "nobody reads it any more");
    std::fs::remove_dir_all(&object).expect("removed");
    let again = start_in(&place, &files.folder).await;
    let begun = std::time::Instant::now();
    loop {
        let (status, _) = again.call(tenant, Method::POST, "/delete/attachment", Some(json!({"id": id}))).await;
        if status == 404 {
            break;
        }
        assert!(begun.elapsed() < e2e::process::PATIENCE, "the sweeper has not come");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_visitors_and_operators_send_files_and_only_here_is_a_body_unsigned() {
    let files = Kept::start().await;
    let tenant = TenantId::generate();
    assert_eq!(files.send(tenant, "tenant", "name=a", "image/png", PNG).await.0, 404);
    assert_eq!(files.send(tenant, "visitor:vs_1", "", "image/png", PNG).await.0, 422);
    for path in
        ["/add/message?conversation_id=c", "/delete/attachment", "/upload/attachment/", "/Upload/attachment?name=a"]
    {
        let answer = files.backend.unsigned(tenant, "visitor:vs_1", path).body("{}").send().await.expect("an answer");
        // No such path, or no such signature there.
        assert!([401, 404].contains(&answer.status().as_u16()), "{path}");
    }
    let plain = Backend::start().await;
    let call = plain.unsigned(tenant, "visitor:vs_1", "/upload/attachment?name=a").header("content-type", "image/png");
    let answer: Value = call.body(PNG).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["error_code"], "feature_disabled");
}

/// An S3-compatible store as far as a file of one part needs one: objects by path, for callers who sign.
async fn fake_s3() -> (String, Arc<Mutex<HashMap<String, Vec<u8>>>>) {
    let objects: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let kept = Arc::clone(&objects);
    let answer = move |method: Method, uri: http::Uri, headers: http::HeaderMap, body: axum::body::Bytes| {
        let kept = Arc::clone(&kept);
        async move {
            let signed = headers.get("authorization").and_then(|value| value.to_str().ok());
            assert!(signed.is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 Credential=an-id/")), "{signed:?}");
            let mut kept = kept.lock().expect("not poisoned");
            let path = uri.path().to_owned();
            let answer = http::Response::builder()
                .header("etag", "\"e\"")
                .header("last-modified", "Thu, 26 Nov 2026 10:00:00 GMT");
            let (status, body) = match method {
                Method::PUT => {
                    kept.insert(path, body.to_vec());
                    (200, Vec::new())
                }
                Method::POST if uri.query() == Some("delete") => {
                    let text = String::from_utf8_lossy(&body).into_owned();
                    let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
                    let mut deleted = String::new();
                    for key in keys {
                        kept.remove(&format!("{}/{key}", path.trim_end_matches('/')));
                        deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
                    }
                    (200, format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes())
                }
                _ => kept.get(&path).map_or((404, Vec::new()), |bytes| (200, bytes.clone())),
            };
            answer.status(status).body(axum::body::Body::from(body)).expect("an answer")
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (format!("http://{address}"), objects)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_in_an_s3_compatible_store_as_well() {
    let (endpoint, objects) = fake_s3().await;
    let options = [
        ("AWS_ACCESS_KEY_ID", "an-id"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT", &endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_PROFILE_OF_ANOTHER_PROGRAM", "x"),
    ];
    let config = FilesConfig {
        url: "s3://bucket/chat/files".parse().expect("a URL"),
        base_url: "https://relay.example/".parse().expect("a URL"),
        s3_options: options.map(|(name, value)| (name.to_owned(), value.to_owned().into())).to_vec(),
    };
    let backend = Backend::start_keeping_files(&TestDatabase::new(), &config).await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = Kept { backend, folder };
    let tenant = TenantId::generate();
    let (id, _) = files.kept(tenant, "visitor:vs_1").await;
    let path = format!("/bucket/chat/files/{tenant}/{id}");
    assert_eq!(objects.lock().expect("not poisoned").get(&path).map(Vec::as_slice), Some(PNG));
    assert_eq!(files.read(tenant, &id).await, (200, "image/png".to_owned(), PNG.to_vec()));
    let (status, _) = files.backend.call(tenant, Method::POST, "/delete/attachment", Some(json!({"id": id}))).await;
    assert_eq!((status, objects.lock().expect("not poisoned").len()), (200, 0));
}
