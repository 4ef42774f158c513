//! The rows of events on their way to tenants.
#![expect(unreachable_pub, reason = "the entity macros make everything public")]

/// A tenant's events on their way: one row for each tenant.
pub(super) mod outbox {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "outbox")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        /// The number of the newest event, and of the oldest that is kept.
        pub last_seq: i64,
        pub first_seq: i64,
        /// When the oldest event that is kept was published, later where that one is still pending. `NULL` where none is kept.
        pub prune_at: Option<i64>,
        /// Whether the tenant is suspended, or its endpoint stopped: then nothing is sent.
        pub is_held: bool,
        /// Whether everything that waits for another attempt is due at once.
        pub is_restarted: bool,
        /// The first failed attempt after the last one that did not fail.
        pub failing_since: Option<i64>,
        /// How many attempts have failed since then.
        pub failures: i32,
        /// When an event is due. `NULL` where none is pending.
        pub due_at: Option<i64>,
        /// The fencing token: results of an earlier claim are refused.
        pub claim: i64,
        pub claimed_until: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "event")]
    pub struct Model {
        /// Made when it came, in the order of time.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub seq: i64,
        pub event_id: String,
        pub event_type: String,
        /// The conversation in whose order it is delivered. `NULL` where it is outside any order.
        pub lane: Option<String>,
        pub occurred_at: i64,
        pub received_at: i64,
        pub body: String,
        pub traceparent: Option<String>,
        pub state: String,
        pub attempts: i32,
        /// `NULL` unless it is pending, and where it waits for an earlier event of its lane.
        pub due_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "super::outbox::Entity",
            from = "Column::TenantId",
            to = "super::outbox::Column::TenantId"
        )]
        Outbox,
    }

    impl Related<super::outbox::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Outbox.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

pub(super) mod event_attempt {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "event_attempt")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        #[sea_orm(primary_key, auto_increment = false)]
        pub number: i32,
        pub started_at: i64,
        pub latency_ms: i64,
        pub status: Option<i32>,
        pub reason: String,
        pub answer: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A message that counts towards the tenant's monthly quota.
pub(super) mod usage_record {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "usage_record")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: String,
        pub created_at: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
