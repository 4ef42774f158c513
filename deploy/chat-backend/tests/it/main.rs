//! The chat backend by itself, over HTTP and WebSocket.

mod admin;
mod bot;
mod choices;
mod files;
mod hand_over;
mod history;
mod identities;
mod inbox;
mod input;
mod mails;
mod named_files;
mod openapi;
mod operators;
mod outbox;
mod rating;
mod replicas;
mod smtp;
mod sockets;
mod support;
mod trust;
