//! Who did what: one row for every change, written in the change's own transaction.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;
use wire::{SessionId, TenantId};

/// The caller, as the edge authenticated it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `admin_key:<id>` for operators and internal services, `tenant` for a verified tenant behind the gateway,
    /// `account_key:<id>` for its developers, `visitor:<session>` for a visitor whose token the gateway has verified.
    pub actor: String,
    /// The request's id.
    pub request_id: String,
    /// The id of the caller's admin key with scopes; `None` for a root key and for other callers. The change is committed only if the key is
    /// still valid.
    pub admin_key: Option<Uuid>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A tenant was made.
    ProvisionTenant,
    /// Its settings were written.
    UpdateTenant,
    /// Its secret was replaced.
    RotateTenantSecret,
    RevokePreviousSecret,
    /// Its widget key was replaced.
    RotateWidgetKey,
    /// It was suspended.
    SuspendTenant,
    /// The suspension was lifted.
    ReactivateTenant,
    /// An operator was made, or refreshed without a change that gateways must hear of.
    ProvisionOperator,
    /// What gateways know of an operator was changed: its routing keys, name or picture, or it came back after a revocation.
    ChangeOperator,
    /// An operator's membership was revoked.
    RevokeOperator,
    /// An account key was made.
    CreateAccountKey,
    /// An account key was revoked.
    RevokeAccountKey,
    /// An admin key was made.
    CreateAdminKey,
    /// An admin key was revoked.
    RevokeAdminKey,
    /// A bot was made.
    CreateBot,
    /// A bot got another widget key.
    CreateWidgetKey,
    /// One of a bot's widget keys was revoked.
    RevokeWidgetKey,
    /// A visitor's minted tokens were ended.
    RevokeVisitor,
    /// A visitor's session was ended before its time.
    EndVisitorSession,
    /// A visitor's session was ended, and another begun for the visitor whom the tenant's backend vouched for.
    IdentifyVisitor,
    /// A widget's look or copy was written.
    CustomizeWidget,
    /// A key that signs tokens was made.
    RotateSigningKey,
    /// A key that signed tokens was retired.
    RetireSigningKey,
    /// The receiver of a tenant's events failed for days, or said that it is gone.
    EndpointStopped,
    /// The receiver of a tenant's events was started again.
    StartEndpoint,
}

impl Action {
    /// Its text, on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProvisionTenant => "provision_tenant",
            Self::UpdateTenant => "update_tenant",
            Self::RotateTenantSecret => "rotate_tenant_secret",
            Self::RevokePreviousSecret => "revoke_previous_secret",
            Self::RotateWidgetKey => "rotate_widget_key",
            Self::SuspendTenant => "suspend_tenant",
            Self::ReactivateTenant => "reactivate_tenant",
            Self::ProvisionOperator => "provision_operator",
            Self::ChangeOperator => "change_operator",
            Self::RevokeOperator => "revoke_operator",
            Self::CreateAccountKey => "create_account_key",
            Self::RevokeAccountKey => "revoke_account_key",
            Self::CreateAdminKey => "create_admin_key",
            Self::RevokeAdminKey => "revoke_admin_key",
            Self::CreateBot => "create_bot",
            Self::CreateWidgetKey => "create_widget_key",
            Self::RevokeWidgetKey => "revoke_widget_key",
            Self::RevokeVisitor => "revoke_visitor",
            Self::EndVisitorSession => "end_visitor_session",
            Self::IdentifyVisitor => "identify_visitor",
            Self::CustomizeWidget => "customize_widget",
            Self::RotateSigningKey => "rotate_signing_key",
            Self::RetireSigningKey => "retire_signing_key",
            Self::EndpointStopped => "endpoint_stopped",
            Self::StartEndpoint => "start_endpoint",
        }
    }

    /// Every action of which no gateway caches anything, by its text.
    pub const CONCERN_NO_GATEWAY: [&str; 6] = [
        Self::ProvisionOperator.as_str(),
        Self::CreateAccountKey.as_str(),
        Self::RevokeAccountKey.as_str(),
        Self::CreateAdminKey.as_str(),
        Self::RevokeAdminKey.as_str(),
        Self::CreateBot.as_str(),
    ];
}

/// What a change was made to. Written `bot:<id>`: a kind, a colon, and what names it among its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An account key.
    AccountKey(Uuid),
    /// An admin key.
    AdminKey(Uuid),
    /// A bot.
    Bot(Uuid),
    /// An operator.
    Operator(Uuid),
    /// A visitor's session.
    Session(SessionId),
    /// A key that signs tokens.
    SigningKey(Uuid),
    /// A visitor whom the tenant's backend knows, by the session that stands for the visitor. The tenant's own id of a visitor may be
    /// an e-mail address, and the audit log is never pruned.
    Visitor(SessionId),
    /// A widget key.
    WidgetKey(Uuid),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdminKey(id) => write!(f, "admin_key:{id}"),
            Self::AccountKey(id) => write!(f, "account_key:{id}"),
            Self::Bot(id) => write!(f, "bot:{id}"),
            Self::Operator(id) => write!(f, "operator:{id}"),
            Self::Session(id) => write!(f, "session:{id}"),
            Self::SigningKey(id) => write!(f, "signing_key:{id}"),
            Self::Visitor(id) => write!(f, "visitor:{id}"),
            Self::WidgetKey(id) => write!(f, "widget_key:{id}"),
        }
    }
}

/// A row to write. It names fields and never holds their values.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// The tenant; [`TenantId::DEPLOYMENT`] where the change concerns no tenant.
    pub tenant_id: TenantId,
    /// Who did it.
    pub caller: Caller,
    /// What they did.
    pub action: Action,
    /// What they did it to; `None` where that is the tenant itself.
    pub subject: Option<Subject>,
    /// The names of the fields that changed. A rotation of signing keys adds the keys that it retired, as `signing_key:<id>`.
    pub changed_fields: Vec<String>,
}

impl AuditEntry {
    /// An entry for a change. The store gives it its id and time once the change has its place among all others.
    pub fn new<F: Into<String>>(
        tenant_id: TenantId,
        caller: &Caller,
        action: Action,
        changed_fields: impl IntoIterator<Item = F>,
    ) -> Self {
        Self {
            tenant_id,
            caller: caller.clone(),
            action,
            subject: None,
            changed_fields: changed_fields.into_iter().map(Into::into).collect(),
        }
    }

    /// Says what the change was made to.
    #[must_use]
    pub fn about(self, subject: Subject) -> Self {
        Self { subject: Some(subject), ..self }
    }
}

/// A row as read back: its action may be one that a newer version wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedAudit {
    /// Its id.
    pub id: Uuid,
    /// The tenant; [`TenantId::DEPLOYMENT`] where the change concerns no tenant.
    pub tenant_id: TenantId,
    /// Who did it.
    pub actor: String,
    /// What they did.
    pub action: String,
    /// In which request.
    pub request_id: String,
    /// What they did it to, as [`Subject`] writes it. `None` where that is the tenant itself, and in rows from before there were
    /// subjects.
    pub subject: Option<String>,
    /// Which fields changed.
    pub changed_fields: Vec<String>,
    /// When.
    pub occurred_at: Timestamp,
}
