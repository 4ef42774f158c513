//! How a visitor and the tenant talk.

/// How a visitor and the tenant talk. The database and callers call it by [`Channel::as_str`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Text,
    Voice,
    Video,
}

impl Channel {
    /// The texts of all of them.
    pub(crate) const TEXTS: [&'static str; 3] = [Self::Text.as_str(), Self::Voice.as_str(), Self::Video.as_str()];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Voice => "voice",
            Self::Video => "video",
        }
    }

    /// Reads one of [`Channel::TEXTS`]; any other text is `text`.
    pub(crate) fn of(text: &str) -> Self {
        [Self::Voice, Self::Video].into_iter().find(|channel| channel.as_str() == text).unwrap_or(Self::Text)
    }
}
