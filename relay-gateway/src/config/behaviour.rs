//! How a gateway behaves, wherever it and its neighbours are.

use service::config::{Read, Settings};

use super::{
    admin::AdminBounds, attachments::AttachmentConfig, backend::BackendBounds, limits, public::Public,
    signed::SignedConfig, sockets::SocketConfig,
};
use crate::limits::LimitsConfig;

/// Every setting except those in `Wiring`: addresses, names, threads, telemetry and secrets.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How long the admin service may take, and how much of its answers is cached.
    pub admin: AdminBounds,
    /// How long the chat backend may take.
    pub backend: BackendBounds,
    /// The public listener.
    pub public: Public,
    /// Bounds of visitors' sockets.
    pub sockets: SocketConfig,
    /// Which files visitors and operators may send.
    pub attachments: AttachmentConfig,
    /// How much of everything there may be.
    pub limits: LimitsConfig,
    /// The signed lane.
    pub signed: SignedConfig,
    /// Whether each request leaves a log line.
    pub access_log: bool,
}

impl Behaviour {
    /// Reads and checks it.
    ///
    /// # Errors
    /// Problems, already noted.
    pub fn read(settings: &mut Settings) -> Read<Self> {
        let admin = AdminBounds::read(settings);
        let backend = BackendBounds::read(settings);
        let public = Public::read(settings);
        let sockets = SocketConfig::read(settings);
        let attachments = AttachmentConfig::read(settings);
        let limits = limits::read(settings);
        let signed = SignedConfig::read(settings);
        let access_log = settings.required("access_log");
        let why = "sockets are closed within the time that the process has to stop";
        let fits = settings.check_at_most("socket_drain_ms", "drain_timeout_ms", why);
        let (public, sockets) = (public?, sockets?);
        fits?;
        let limits = limits?.complete(public.bounds.max_connections, sockets.limits.most);
        Ok(Self {
            admin: admin?,
            backend: backend?,
            public,
            sockets,
            attachments: attachments?,
            limits,
            signed: signed?,
            access_log: access_log?,
        })
    }
}
