//! A client for bodies that are sent on as they arrive. The pool of [`super::pool`] takes bodies that are there as a whole, since it may have to
//! send them again. An upload is never sent again, and has a connection of its own.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::BoxError;

pub(super) type UploadClient = Client<HttpsConnector<HttpConnector>, ArrivingBody>;

/// A body as it arrives.
pub(super) type ArrivingBody = UnsyncBoxBody<Bytes, BoxError>;

pub(super) fn upload_client(connector: HttpsConnector<HttpConnector>) -> UploadClient {
    // A connection that was idle may be closed, and an upload cannot be sent again.
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}
