//! One tenant's rows: the only way to them.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use wire::TenantId;

use super::{dialect::Dialect, error::StoreError};

/// One tenant's rows, over a connection or in a transaction.
///
/// The tenant's id is the first value of each statement (`$1`), so a query without its tenant has no values to go with.
pub(crate) struct OfTenant<'c, C> {
    connection: &'c C,
    tenant_id: TenantId,
}

impl<'c, C: ConnectionTrait> OfTenant<'c, C> {
    /// This tenant's rows.
    pub(crate) const fn new(connection: &'c C, tenant_id: TenantId) -> Self {
        Self { connection, tenant_id }
    }

    /// The tenant.
    pub(crate) const fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// The database's way to say things.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect::of(self.connection.get_database_backend())
    }

    /// Every row that a query finds.
    pub(crate) async fn all<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, StoreError> {
        T::find_by_statement(self.statement(sql, values)).all(self.connection).await
    }

    /// The first row that a query finds.
    pub(crate) async fn one<T: FromQueryResult>(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, StoreError> {
        T::find_by_statement(self.statement(sql, values)).one(self.connection).await
    }

    /// Carries out a statement.
    pub(crate) async fn execute(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<(), StoreError> {
        self.connection.execute_raw(self.statement(sql, values)).await.map(drop)
    }

    fn statement(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        debug_assert!(sql.contains("tenant"), "a statement that does not look at its tenant: {sql}");
        let tenant_id = Value::from(self.tenant_id.to_string());
        let values = std::iter::once(tenant_id).chain(values);
        Statement::from_sql_and_values(self.connection.get_database_backend(), sql, values)
    }
}
