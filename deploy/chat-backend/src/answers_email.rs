//! A visitor leaves an address for answers. PROTOCOL.md, section 8.4.

use lettre::Address;
use service::ApiError;
use url::Host;
use wire::TenantId;

use super::{
    records::{conversations, mails},
    replicas::ReplicaMessage,
    state::Backend,
    store::{OfTenant, unavailable},
};

/// Keeps the address in the place of an earlier one, and answers how it is kept.
///
/// # Errors
/// `validation_failed`, the store's.
pub(crate) async fn leave(
    backend: &Backend,
    tenant_id: TenantId,
    conversation_id: &str,
    email: &str,
) -> Result<String, ApiError> {
    let email = mailable(email)
        .ok_or_else(|| ApiError::field("email", "must be an e-mail address that mail can be sent to"))?;
    let transaction = backend.store.begin().await.map_err(unavailable)?;
    let rows = OfTenant::new(&transaction, tenant_id);
    let conversation = conversations::find_to_change(&rows, conversation_id).await?;
    if conversation.row.answers_email.as_deref() == Some(email.as_str()) {
        transaction.rollback().await.map_err(unavailable)?;
        return Ok(email);
    }
    mails::set_email(&rows, conversation_id, &email).await.map_err(unavailable)?;
    // An answer may have come before the address.
    backend.mails.note(&rows, conversation_id).await.map_err(unavailable)?;
    let conversation_id = conversation_id.to_owned();
    backend.commit(transaction, ReplicaMessage::Changed { tenant_id, conversation_id }).await?;
    Ok(email)
}

/// The address as mail servers take it, with an international domain in ASCII. `None` where no mail can be sent to it.
fn mailable(email: &str) -> Option<String> {
    let (local, domain) = email.rsplit_once('@')?;
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return None };
    let address = Address::new(local, domain).ok()?;
    address.to_string().is_ascii().then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_mail_can_be_sent_to_is_none() {
        for (given, expected) in [
            ("ada@example.com", Some("ada@example.com")),
            ("ada+chat@Example.COM", Some("ada+chat@example.com")),
            ("ada@bücher.example", Some("ada@xn--bcher-kva.example")),
            ("ädä@example.com", None),
            ("a..b@example.com", None),
            (".a@example.com", None),
            ("a@-x-.com", None),
            ("a@127.0.0.1", None),
            ("a@", None),
            ("a", None),
        ] {
            assert_eq!(mailable(given).as_deref(), expected, "{given}");
        }
    }
}
