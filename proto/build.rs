//! Compiles the .proto files with `protox`, so that nobody needs `protoc`.

use std::{error::Error, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "chatrelay/admin/v1/admin.proto",
    "chatrelay/directory/v1/directory.proto",
    "chatrelay/events/v1/events.proto",
    "chatrelay/identity/v1/identity.proto",
    "chatrelay/visitors/v1/visitors.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut methods = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| (file.package(), service.name(), method)));
        }
    }
    let mut calls = String::new();
    for (package, service, method) in &methods {
        // A stream is called through the generated client, and a message that several methods take names none of them.
        let is_stream = method.client_streaming() || method.server_streaming();
        let shares = methods.iter().filter(|(_, _, other)| other.input_type() == method.input_type()).count() > 1;
        if !is_stream && !shares {
            calls += &call(package, service, method.name(), method.input_type(), method.output_type());
        }
    }
    std::fs::write(out.join("calls.rs"), calls)?;
    tonic_prost_build::configure()
        // Key material must not reach a log through a derived Debug.
        .skip_debug([
            ".chatrelay.directory.v1.PreviousKey",
            ".chatrelay.directory.v1.TenantState",
            ".chatrelay.admin.v1.ProvisionTenantResponse",
            ".chatrelay.admin.v1.RotateTenantSecretResponse",
            ".chatrelay.identity.v1.IssueOperatorTokenResponse",
            ".chatrelay.identity.v1.MintVisitorTokenResponse",
            ".chatrelay.visitors.v1.Identity",
            ".chatrelay.visitors.v1.IdentifyVisitorRequest",
            ".chatrelay.visitors.v1.IdentifyVisitorResponse",
            ".chatrelay.visitors.v1.OpenSessionResponse",
            ".chatrelay.visitors.v1.RefreshTokenResponse",
        ])
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=chatrelay");
    Ok(())
}

/// The `impl` of `Call` (in `src/lib.rs`) for one method.
fn call(package: &str, service: &str, method: &str, input: &str, output: &str) -> String {
    let message = |name: &str| {
        let (package, name) = name.trim_start_matches('.').rsplit_once('.').expect("a package");
        format!("{}::{name}", module(package))
    };
    let (input, output, module) = (message(input), message(output), module(package));
    let (client, function) = (snake_case(service), snake_case(method));
    format!(
        r#"
impl Call for {input} {{
    type Answer = {output};
    const METHOD: &str = "{package}.{service}/{method}";

    async fn send(request: tonic::Request<Self>, to: Channel) -> Result<tonic::Response<{output}>, tonic::Status> {{
        {module}::{client}_client::{service}Client::new(to).{function}(request).await
    }}
}}
"#
    )
}

/// The module of `src/lib.rs` in which a package's code is.
fn module(package: &str) -> String {
    format!("crate{}", package.trim_start_matches("chatrelay").replace('.', "::"))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
