//! The schema, embedded and applied at start. A migration that has landed is never edited: add the next.

use sea_orm_migration::prelude::*;

mod columns;
mod m0001_initial;
mod m0002_replicas;
mod m0003_accounts;
mod m0004_visitors;
mod m0005_minted;
mod m0006_logs;
mod m0007_session_ends;
mod m0008_signing_keys;
mod m0009_audit_subject;
mod m0010_events;
mod m0011_memberships;
mod m0012_identities;
mod m0013_admin_keys;
mod m0014_previous_secret;

use m0001_initial::M0001Initial;
use m0002_replicas::M0002Replicas;
use m0003_accounts::M0003Accounts;
use m0004_visitors::M0004Visitors;
use m0005_minted::M0005Minted;
use m0006_logs::M0006Logs;
use m0007_session_ends::M0007SessionEnds;
use m0008_signing_keys::M0008SigningKeys;
use m0009_audit_subject::M0009AuditSubject;
use m0010_events::M0010Events;
use m0011_memberships::M0011Memberships;
use m0012_identities::M0012Identities;
use m0013_admin_keys::M0013AdminKeys;
use m0014_previous_secret::M0014PreviousSecret;

pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(M0001Initial),
            Box::new(M0002Replicas),
            Box::new(M0003Accounts),
            Box::new(M0004Visitors),
            Box::new(M0005Minted),
            Box::new(M0006Logs),
            Box::new(M0007SessionEnds),
            Box::new(M0008SigningKeys),
            Box::new(M0009AuditSubject),
            Box::new(M0010Events),
            Box::new(M0011Memberships),
            Box::new(M0012Identities),
            Box::new(M0013AdminKeys),
            Box::new(M0014PreviousSecret),
        ]
    }
}
