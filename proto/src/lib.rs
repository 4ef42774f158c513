//! The internal gRPC boundary: generated code, by package and version, and nothing else.
//!
//! The `.proto` files beside this crate are the documentation. Messages that carry key material have
//! a `Debug` that shows none of it.

// Generated code is not held to the house's lints.
#![expect(clippy::allow_attributes, clippy::doc_markdown, reason = "generated code")]

use std::fmt;

use tonic::transport::Channel;

/// A request message that only one method takes: a client that sends it need not name the method. Generated from the descriptors, so
/// that a name that no service has does not compile.
pub trait Call: Clone + Send + 'static {
    /// What the method answers.
    type Answer: Send + 'static;

    /// The method's full name, `<package>.<service>/<method>`, as metrics and spans have it.
    const METHOD: &'static str;

    /// Makes the call.
    ///
    /// # Errors
    /// The service's status, or the transport's.
    fn send(
        request: tonic::Request<Self>,
        to: Channel,
    ) -> impl Future<Output = Result<tonic::Response<Self::Answer>, tonic::Status>> + Send;
}

include!(concat!(env!("OUT_DIR"), "/calls.rs"));

/// The tenant lifecycle for internal services.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("chatrelay.admin.v1");
    }
}

/// Tenant state for gateways.
pub mod directory {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("chatrelay.directory.v1");
    }
}

/// Events of chat backends, and their delivery.
pub mod events {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("chatrelay.events.v1");
    }
}

/// Operators and signed tokens.
pub mod identity {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("chatrelay.identity.v1");
    }
}

/// A widget's visitors.
pub mod visitors {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("chatrelay.visitors.v1");
    }
}

/// Every service's description, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! redacted_debug {
    ($($message:ty),+ $(,)?) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        })+
    };
}

redacted_debug!(
    directory::v1::PreviousKey,
    directory::v1::TenantState,
    admin::v1::ProvisionTenantResponse,
    admin::v1::RotateTenantSecretResponse,
    identity::v1::IssueOperatorTokenResponse,
    identity::v1::MintVisitorTokenResponse,
    visitors::v1::Identity,
    visitors::v1::IdentifyVisitorRequest,
    visitors::v1::IdentifyVisitorResponse,
    visitors::v1::OpenSessionResponse,
    visitors::v1::RefreshTokenResponse,
);
