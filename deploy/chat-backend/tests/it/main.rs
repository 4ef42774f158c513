//! The chat backend by itself, over HTTP and WebSocket.

mod bot;
mod hand_over;
mod input;
mod openapi;
mod sockets;
mod support;
mod trust;
