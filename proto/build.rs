//! Compiles the .proto files with `protox`, so that nobody needs `protoc`.

use std::{error::Error, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "chatrelay/admin/v1/admin.proto",
    "chatrelay/directory/v1/directory.proto",
    "chatrelay/identity/v1/identity.proto",
    "chatrelay/visitors/v1/visitors.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Key material must not reach a log through a derived Debug.
        .skip_debug([
            ".chatrelay.directory.v1.TenantState",
            ".chatrelay.admin.v1.ProvisionTenantResponse",
            ".chatrelay.admin.v1.RotateTenantSecretResponse",
            ".chatrelay.identity.v1.IssueOperatorTokenResponse",
            ".chatrelay.identity.v1.MintVisitorTokenResponse",
            ".chatrelay.visitors.v1.OpenSessionResponse",
            ".chatrelay.visitors.v1.RefreshTokenResponse",
        ])
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=chatrelay");
    Ok(())
}
