//! What stands in a conversation, messages and notes together, in the order of ids. Each reading ends at the entry that was the newest when
//! it began: what is written between its two queries is in neither of them, and so in the next reading.

use std::cmp::Ordering;

use sea_orm::ConnectionTrait;

use super::{
    conversations,
    messages::{self, MessageRow},
    notes::{self, NoteRow},
};
use crate::store::{OfTenant, StoreError};

/// A message or a note.
pub(crate) enum EntryRow {
    Message(MessageRow),
    Note(NoteRow),
}

impl EntryRow {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Message(message) => &message.id,
            Self::Note(note) => &note.id,
        }
    }

    fn by_id(&self, other: &Self) -> Ordering {
        self.id().cmp(other.id())
    }
}

/// The newest entries before an id, newest first; the empty one stands after all.
pub(crate) async fn before(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    before: &str,
    limit: u64,
) -> Result<Vec<EntryRow>, StoreError> {
    let up_to = conversations::last_entry_id(rows, conversation_id).await?;
    let said = messages::before(rows, conversation_id, (before, Some(&up_to)), limit).await?;
    let noted = notes::before(rows, conversation_id, (before, &up_to), limit).await?;
    let mut entries = together(said, noted);
    entries.sort_by(|one, other| other.by_id(one));
    entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(entries)
}

/// The oldest entries after an id, oldest first.
pub(crate) async fn after(
    rows: &OfTenant<'_, impl ConnectionTrait>,
    conversation_id: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<EntryRow>, StoreError> {
    let up_to = conversations::last_entry_id(rows, conversation_id).await?;
    let said = messages::between(rows, conversation_id, after, Some(&up_to), limit).await?;
    let noted = notes::after(rows, conversation_id, (after, &up_to), limit).await?;
    let mut entries = together(said, noted);
    entries.sort_by(EntryRow::by_id);
    entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(entries)
}

fn together(said: Vec<MessageRow>, noted: Vec<NoteRow>) -> Vec<EntryRow> {
    said.into_iter().map(EntryRow::Message).chain(noted.into_iter().map(EntryRow::Note)).collect()
}
