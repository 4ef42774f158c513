//! Visitors' sockets, past their greetings.

use e2e::{signed::Tenant, visitor::Visitor};
use serde_json::{Value, json};

use super::{
    backend::BackendSocket,
    fixture::{Fixture, tenant},
    tokens::visitor_token,
};

pub(crate) async fn connect(fixture: &Fixture, tenant: &Tenant, claims: &Value) -> Visitor {
    Visitor::connect(fixture.relay, &visitor_token(tenant, claims)).await
}

/// A visitor's socket and the backend's end of it, both past their greetings.
pub(crate) async fn talk(fixture: &mut Fixture, tenant: &Tenant, claims: &Value) -> (Visitor, BackendSocket) {
    let mut visitor = connect(fixture, tenant, claims).await;
    let mut backend = fixture.sockets.recv().await.expect("the backend is connected");
    let hello = backend.hear().await.expect("hello");
    assert_eq!(hello["type"], "hello");
    backend.say(&json!({"type": "welcome", "conversation_id": "c1", "history": []})).await;
    assert_eq!(visitor.hear("welcome").await["conversation_id"], "c1");
    (visitor, backend)
}

/// Another tenant, with a widget key of its own.
pub(crate) fn another(fixture: &Fixture) -> Tenant {
    let other = tenant();
    fixture.admin.set(&other, |_| {});
    fixture.admin.widget_access(&other, |_| {});
    other
}
