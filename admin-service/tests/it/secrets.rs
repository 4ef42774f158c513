//! No clear secret at rest: the database's files are searched for every secret there was.

use admin_service::store::{self, SigningKeyStore as _};
use serde_json::json;

use crate::support::{Service, database as database_config, master_keys, sqlite};

#[tokio::test]
async fn the_database_holds_no_clear_secret() {
    let service = Service::start(sqlite()).await;
    let operator = service.operator();
    let mut secrets = vec![e2e::world::ADMIN_KEY.to_owned(), e2e::world::GRPC_TOKEN.to_owned()];
    let mut tenants = Vec::new();
    for index in 0..5 {
        let tenant = operator.provision(json!({"tenant_name": format!("Sealed {index}")})).await;
        let (_, rotated) = operator.call("POST", &format!("/rotate/tenant-secret?tenant_id={}", tenant.id), None).await;
        secrets.push(rotated["data"]["tenant_secret"].as_str().expect("a secret").to_owned());
        secrets.push(tenant.secret);
        let path = format!("/create/account-key?tenant_id={}", tenant.id);
        let (_, made) = operator.call("POST", &path, Some(json!({"name": "Sealed", "abilities": ["*"]}))).await;
        secrets.push(made["data"]["account_key"].as_str().expect("a key").to_owned());
        tenants.push(tenant.id);
    }
    let searched = |directory: &std::path::Path| {
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(directory).expect("a directory") {
            bytes.extend(std::fs::read(entry.expect("an entry").path()).expect("a file"));
        }
        bytes
    };
    let contains = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    // While it runs (the write-ahead log) and after it has stopped (the file).
    let directory = service.database.directory.as_ref().expect("SQLite").path().to_owned();
    let running = searched(&directory);
    let database = service.stop().await;
    let store = store::connect(&database_config(&database.url), &master_keys()).await.expect("it opens");
    for key in store.signing_keys().await.expect("reads") {
        // Version, length of the key's id, `k1`, a nonce, 32 sealed bytes and their tag: not the seed, nor the seed and more.
        assert_eq!((key.sealed_private.len(), &key.sealed_private[..4]), (4 + 24 + 32 + 16, b"\x01\x02k1".as_slice()));
    }
    store.close().await.expect("it closes");
    let stopped = searched(&directory);
    drop(database);
    assert!(contains(&running, b"Sealed 0") && contains(&stopped, b"Sealed 0"), "the search finds what is there");
    for secret in secrets {
        // Without its prefix, and as bytes where it is base64url.
        let text = secret.trim_start_matches("sk_").trim_start_matches("ak_");
        assert!(
            !contains(&running, text.as_bytes()) && !contains(&stopped, text.as_bytes()),
            "a secret lies in the clear"
        );
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        if let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) {
            assert!(!contains(&running, &bytes) && !contains(&stopped, &bytes), "a secret's bytes lie in the clear");
        }
    }
}
