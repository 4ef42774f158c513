//! The TypeScript of the frames: made from the types, committed, and compared here.

use std::{fmt::Write as _, path::Path};

use ts_rs::{Config, TS};

use super::{
    client::ClientFrame,
    limits,
    message::{Citation, Message},
    rating::Rating,
    server::{ConversationSummary, Operator, ServerFrame},
    texts::{ConversationStatus, Feedback, Role},
};
use crate::attachments::Attachment;

const COMMITTED: &str = "../../relay-gateway/web/protocol/frames.ts";

/// What clients must keep to.
macro_rules! limits {
    ($($name:ident),+ $(,)?) => { [$((stringify!($name), limits::$name)),+] };
}

/// Writes one type: a variant a line, a field a line, and each comment on a line of its own.
fn declare<T: TS>(page: &mut String) {
    let declaration = T::decl(&Config::default());
    let declaration = declaration
        .replace(" = { \"type\"", " =\n  | { \"type\"")
        .replace("} | {", "}\n  | {")
        .replace(" \n/**\n * ", "\n  /** ")
        .replace("\n */\n", " */\n  ")
        .replace(", }", ",\n}");
    let _ = write!(page, "\nexport {declaration}\n");
}

fn typescript() -> String {
    let mut page = "// Made from shared/wire/src/frames: edit that. `UPDATE_OPENAPI=1 cargo test -p wire typescript` writes this file.\n\n"
        .to_owned();
    for (name, limit) in limits![
        MESSAGE_CHARS,
        MESSAGE_ATTACHMENTS,
        MESSAGE_ID_CHARS,
        QUICK_REPLIES,
        QUICK_REPLY_CHARS,
        CLIENT_FRAME_BYTES,
        WELCOME_MESSAGES,
        ROUTING_KEY_CHARS,
        VISITOR_NAME_CHARS,
        RATING_COMMENT_CHARS,
        EMAIL_CHARS
    ] {
        let _ = writeln!(page, "export const {name} = {limit};");
    }
    let _ = writeln!(page, "export const HISTORY_MESSAGES = {};", limits::HISTORY_MESSAGES);
    let _ = writeln!(page, "export const RATING_SCORE = {};", limits::RATING_SCORE);
    declare::<Role>(&mut page);
    let _ = writeln!(page, "export const ROLES: readonly Role[] = {:?};", Role::TEXTS);
    declare::<ConversationStatus>(&mut page);
    let _ = writeln!(page, "export const STATUSES: readonly ConversationStatus[] = {:?};", ConversationStatus::TEXTS);
    declare::<Feedback>(&mut page);
    let _ = writeln!(page, "export const FEEDBACKS: readonly Feedback[] = {:?};", Feedback::TEXTS);
    declare::<Attachment>(&mut page);
    declare::<Citation>(&mut page);
    declare::<Message>(&mut page);
    declare::<Operator>(&mut page);
    declare::<Rating>(&mut page);
    declare::<ConversationSummary>(&mut page);
    declare::<ClientFrame>(&mut page);
    declare::<ServerFrame>(&mut page);
    page
}

#[test]
fn the_committed_typescript_is_made_from_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    let made = typescript();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &made).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{COMMITTED} has drifted: run `UPDATE_OPENAPI=1 cargo test -p wire typescript` and commit the difference"
    );
}
