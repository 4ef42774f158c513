//! A tenant's bots, for its developers.

use std::sync::Arc;

use uuid::Uuid;
use wire::fields::Fields;
use wire::{TenantId, time::now};

use crate::{
    account_keys::Principal,
    domain::{
        audit::{Action, AuditEntry, Subject},
        bot::{Bot, MOST_BOTS, NewBot},
    },
    errors::UseCaseError,
    store::BotStore,
};

#[derive(Clone)]
pub(crate) struct Bots {
    store: Arc<dyn BotStore>,
}

impl Bots {
    pub(crate) fn new(store: Arc<dyn BotStore>) -> Self {
        Self { store }
    }

    pub(crate) async fn list(&self, tenant_id: TenantId) -> Result<Vec<Bot>, UseCaseError> {
        Ok(self.store.bots(tenant_id).await?)
    }

    pub(crate) async fn create(&self, by: &Principal, fields: Fields) -> Result<Bot, UseCaseError> {
        let NewBot { name } = NewBot::read(fields).map_err(UseCaseError::invalid)?;
        let bot = Bot { id: Uuid::now_v7(), tenant_id: by.tenant_id, name, is_default: false, created_at: now() };
        let audit = AuditEntry::new(by.tenant_id, &by.caller, Action::CreateBot, ["name"]);
        self.store.create_bot(by.account_key, bot.clone(), MOST_BOTS, audit.about(Subject::Bot(bot.id))).await?;
        Ok(bot)
    }
}
