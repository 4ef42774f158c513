//! The golden frames: each is read into its type and written again without a difference.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{client::ClientFrame, hello::Hello, passed::PassedFrame, server::ServerFrame};

/// Reads and writes each frame of one kind; answers the types that were seen.
fn types_of<Frame: Serialize + DeserializeOwned>(kind: &str) -> BTreeSet<String> {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/vectors/frames.json")).expect("JSON");
    let frames = golden[kind].as_object().expect("an object of frames");
    let read_and_write = |(name, frame): (&String, &Value)| {
        let read: Frame =
            serde_json::from_value(frame.clone()).unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
        assert_eq!(json!(read), *frame, "{kind} {name}");
        frame["type"].as_str().expect("a type").to_owned()
    };
    frames.iter().map(read_and_write).collect()
}

#[test]
fn each_golden_frame_is_read_and_written_as_it_stands() {
    let set = |types: &[&str]| types.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(types_of::<Hello>("hello"), set(&["hello"]));
    assert_eq!(types_of::<ClientFrame>("client"), set(ClientFrame::TYPES));
    let server = set(&[
        "welcome",
        "ack",
        "message",
        "history",
        "typing",
        "status",
        "rating",
        "email",
        "config",
        "error",
        "feedback",
        "conversations",
    ]);
    assert_eq!(types_of::<ServerFrame>("server"), server);
}

#[test]
fn the_golden_frame_that_is_passed_on_is_written_as_it_stands() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/vectors/frames.json")).expect("JSON");
    let passed = &golden["passed"]["recorded_message"];
    let frame = serde_json::from_value(passed.clone()).expect("a client's frame and a trace");
    let written = PassedFrame { frame: &frame, traceparent: passed["traceparent"].as_str() }.to_json();
    assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), *passed);
}
