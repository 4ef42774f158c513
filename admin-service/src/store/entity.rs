//! The tables as rows. Times are Unix milliseconds; ids are UUIDs; lists and settings are JSON.
#![expect(unreachable_pub, reason = "the entity macros make everything public")]

pub(super) use super::event_entity::{event, event_attempt, outbox, usage_record};

pub(super) mod account_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "account_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub name: String,
        /// SHA-256 of its text.
        pub digest: Vec<u8>,
        pub hint: String,
        pub abilities: Json,
        pub created_at: i64,
        pub expires_at: Option<i64>,
        pub revoked_at: Option<i64>,
        pub last_used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod admin_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "admin_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        /// SHA-256 of its text.
        pub digest: Vec<u8>,
        pub hint: String,
        pub scopes: Json,
        pub created_at: i64,
        pub expires_at: Option<i64>,
        pub revoked_at: Option<i64>,
        pub last_used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod bot {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "bot")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub name: String,
        pub is_default: bool,
        pub created_at: i64,
        /// `NULL`: as every widget looks at first.
        pub look: Option<Json>,
        pub look_updated_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod audit_log {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_log")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub actor: String,
        pub action: String,
        pub request_id: String,
        pub changed_fields: Json,
        pub occurred_at: i64,
        /// The change's place among all others: what the log is sorted by, whatever the replicas' clocks say.
        pub revision: i64,
        /// The master key behind `mac`. Both are NULL in rows from before there was a chain.
        pub chain_key: Option<String>,
        pub mac: Option<Vec<u8>>,
        /// What was changed; NULL where `tenant_id` says it all, and in rows from before there were subjects.
        pub subject: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One row: what every change moves. Its lock is what puts revisions in commit order.
pub(super) mod directory {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "directory")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub revision: i64,
        /// Counted as it changes: counting a million rows for every page would not be flat.
        pub tenant_total: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod operator {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "operator")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub email: String,
        pub display_name: String,
        pub routing_keys: Json,
        pub avatar_url: Option<String>,
        pub created_at: i64,
        pub updated_at: i64,
        pub version: i64,
        /// `NULL` where the membership is active.
        pub revoked_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod replica {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "replica")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub incarnation: Uuid,
        pub renewal: i64,
        pub period_ms: i64,
        pub lease_ms: i64,
        pub done_revision: i64,
        /// 24 bytes a gateway: its id, and up to where it has acknowledged, big-endian.
        pub acknowledged: Vec<u8>,
        pub retired: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod signing_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub public: Vec<u8>,
        pub sealed_private: Vec<u8>,
        pub created_at: i64,
        pub signs_from: i64,
        pub retired_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod tenant {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenant")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub status: String,
        pub sealed_secret: Vec<u8>,
        pub widget_public_key: String,
        pub settings: Json,
        pub revision: i64,
        pub created_at: i64,
        pub updated_at: i64,
        pub secret_rotated_at: Option<i64>,
        pub widget_key_rotated_at: Option<i64>,
        pub token_generation: i64,
        pub visitor_revocations: i64,
        /// The revision at which a visitor's session was last ended.
        pub sessions_ended: i64,
        /// When its endpoint was stopped. `NULL` where it is not.
        pub endpoint_stopped_at: Option<i64>,
        /// The revision at which an operator's membership last changed.
        pub operators_changed: i64,
        /// The secret before the rotation of `previous_rotated_at`, sealed as it was in `sealed_secret`.
        pub previous_sealed_secret: Option<Vec<u8>>,
        /// `secret_rotated_at` of the rotation that left the previous secret. If `secret_rotated_at` is no longer equal to it, the previous
        /// secret is over: a version that knows no overlap has rotated since.
        pub previous_rotated_at: Option<i64>,
        pub previous_expires_at: Option<i64>,
        pub previous_last_used_at: Option<i64>,
        /// The gateway's name.
        pub previous_last_used_by: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod visitor_session {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "visitor_session")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub bot_id: Uuid,
        /// The key's text: one that is rotated has another.
        pub widget_key: String,
        pub origin: String,
        pub locale: String,
        pub mode: String,
        pub routing_key: Option<String>,
        pub metadata: Json,
        pub created_at: i64,
        pub expires_at: i64,
        /// The change that ended it before its time; `NULL` where none did.
        pub ended_revision: Option<i64>,
        /// Which of its tokens were used; `NULL` where only the first was.
        pub used_tokens: Option<Json>,
        /// The tenant's own id of the visitor; `NULL` where nobody told who the visitor is.
        pub visitor_user_id: Option<String>,
        pub visitor_name: Option<String>,
        pub visitor_email: Option<String>,
        /// Where there is a `visitor_user_id`: the session is over once the tenant has a later generation.
        pub tenant_generation: Option<i64>,
        /// The visitor's session from before it was known who the visitor is.
        pub continues: Option<Uuid>,
        /// The session that began when this one ended.
        pub succeeded_by: Option<Uuid>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod widget_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "widget_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub bot_id: Uuid,
        pub api_key: String,
        pub name: String,
        pub allowed_domains: Json,
        pub rate_limit_per_hour: i64,
        pub is_active: bool,
        pub created_at: i64,
        pub last_used_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Visitors whose minted tokens were ended.
pub(super) mod visitor_revocation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "visitor_revocation")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub visitor_user_id: String,
        /// The tenant's count of revocations since: tokens of an earlier generation are over.
        pub generation: i64,
        pub revoked_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Secrets of the deployment's own, made at its first start.
pub(super) mod secret {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub sealed: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Events that changed nothing, such as a token that was issued.
pub(super) mod access_log {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "access_log")]
    pub struct Model {
        /// From 1, without gaps.
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i64,
        pub kind: String,
        pub tenant_id: Option<Uuid>,
        pub actor: String,
        pub subject: String,
        pub address: String,
        pub request_id: String,
        pub count: i64,
        pub occurred_at: i64,
        pub chain_key: String,
        pub mac: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where each log's chain begins and ends.
pub(super) mod log_chain {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "log_chain")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub log: String,
        /// The newest chained row's number and MAC.
        pub number: i64,
        pub link: Vec<u8>,
        pub anchor_through: i64,
        pub anchor_link: Vec<u8>,
        pub anchor_key: String,
        pub anchor_mac: Vec<u8>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
