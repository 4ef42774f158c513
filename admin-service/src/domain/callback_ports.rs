//! The ports that callbacks may have, as a setting writes them.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// Ports that callbacks may have. Written `80,443,1024-65535`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRanges(Vec<RangeInclusive<u16>>);

/// The text is no list of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be ports (1 to 65535) and ranges of ports, separated by commas, such as 80,443,1024-65535")]
pub(crate) struct InvalidPortRanges;

impl PortRanges {
    /// Whether a callback may have this port.
    #[must_use]
    pub(crate) fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl FromStr for PortRanges {
    type Err = InvalidPortRanges;

    fn from_str(text: &str) -> Result<Self, InvalidPortRanges> {
        let port = |text: &str| {
            let text = text.trim();
            // `parse` would take a plus sign.
            let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|port| is_decimal && *port != 0).ok_or(InvalidPortRanges)
        };
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = port(first)?..=port(last)?;
            if range.is_empty() { Err(InvalidPortRanges) } else { Ok(range) }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ports_and_ranges_is_read() {
        let ports: PortRanges = "80, 443,1024-65535".parse().expect("ports");
        for (port, contained) in
            [(0, false), (79, false), (80, true), (443, true), (1023, false), (1024, true), (65535, true)]
        {
            assert_eq!(ports.contains(port), contained, "{port}");
        }
        assert_eq!(ports.to_string(), "80,443,1024-65535");
    }

    #[test]
    fn what_is_no_list_of_ports_is_refused() {
        for wrong in
            ["", ",", "80,", "0", "0-80", "80-", "-80", "443-80", "65536", "+80", "-1", "http", "80;443", "1-2-3"]
        {
            assert_eq!(wrong.parse::<PortRanges>(), Err(InvalidPortRanges), "{wrong:?}");
        }
    }
}
