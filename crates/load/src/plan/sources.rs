//! The local addresses of a run's connections, as one line of text.

use std::collections::HashSet;
use std::fmt;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use volley_cli::Misread;

use crate::plan::notation::NotationError;

/// Addresses as `127.0.0.2,127.0.0.3-127.0.0.9,::1`: each once, ranges with both ends; from 1 to
/// [`Sources::MAX`] of them.
///
/// [`fmt::Display`] gives a text that parses back to the same addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Vec<IpAddr>);

impl Sources {
    /// The most addresses that one text can name: a mistyped range must not fill the memory.
    pub const MAX: usize = 65_536;

    /// The addresses in their order.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }
}

impl From<Sources> for Vec<IpAddr> {
    fn from(sources: Sources) -> Self {
        sources.0
    }
}

impl FromStr for Sources {
    type Err = NotationError;

    fn from_str(text: &str) -> Result<Self, NotationError> {
        read(text).map(Self).map_err(|misread| NotationError::new(text, misread))
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while !rest.is_empty() {
            let follows = |pair: &&[IpAddr]| next(pair[0]) == Some(pair[1]);
            let (run, behind) = rest.split_at(1 + rest.windows(2).take_while(follows).count());
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                _ => write!(f, "{comma}{}", run[0])?,
            }
            (rest, comma) = (behind, ",");
        }
        Ok(())
    }
}

fn read(text: &str) -> Result<Vec<IpAddr>, Misread<'_>> {
    let (mut addresses, mut seen) = (Vec::new(), HashSet::new());
    for part in text.split(',').map(str::trim) {
        let (first, last) = read_range(part)?;
        for address in iter::successors(Some(first), |&address| next(address)) {
            if addresses.len() == Sources::MAX {
                let why = format!("more than {} addresses in all", Sources::MAX);
                return Err(Misread::new(part, why));
            }
            if !seen.insert(address) {
                return Err(Misread::new(part, format!("{address} comes twice")));
            }
            addresses.push(address);
            if address == last {
                break;
            }
        }
    }
    Ok(addresses)
}

/// Both ends of `127.0.0.3-127.0.0.9`; a single address is both.
fn read_range(text: &str) -> Result<(IpAddr, IpAddr), Misread<'_>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (read_address(first.trim())?, read_address(last.trim())?);
    if first.is_ipv4() != last.is_ipv4() {
        return Err(Misread::new(text, "a range has two IPv4 addresses or two IPv6 addresses"));
    }
    if first > last {
        let why = format!("the range is reversed: write {last}-{first}");
        return Err(Misread::new(text, why));
    }
    Ok((first, last))
}

fn read_address(text: &str) -> Result<IpAddr, Misread<'_>> {
    const EXAMPLES: &str = "write for example 127.0.0.2, 127.0.0.2-127.0.0.9 or ::1";
    text.parse().map_err(|_| {
        let why = match text {
            "" => format!("an address is missing here: {EXAMPLES}"),
            _ => format!("`{text}` is no IP address: {EXAMPLES}"),
        };
        Misread::new(text, why)
    })
}

/// The address one higher; none above the highest.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits().checked_add(1)?).into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits().checked_add(1)?).into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_addresses_and_ranges_in_their_order() {
        let sources: Sources = "::1, 127.0.0.9 - 127.0.0.11,127.0.0.2".parse().unwrap();
        let expected = ["::1", "127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.2"];
        assert_eq!(sources.as_slice(), expected.map(|address| address.parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn a_range_has_both_ends_and_may_cross_a_byte() {
        let count = |text: &str| text.parse::<Sources>().map(|sources| sources.0.len());
        assert_eq!(count("10.0.0.250-10.0.1.5"), Ok(12));
        assert_eq!(count("10.0.0.0-10.0.255.255"), Ok(65_536));
        assert_eq!(count("::1-::1"), Ok(1));
        assert_eq!(count("255.255.255.254-255.255.255.255"), Ok(2));
        assert_eq!(count("fd00::fffe-fd00::1:1"), Ok(4));
    }

    #[test]
    fn writes_neighbours_as_a_range() {
        let cases = [
            ("127.0.0.2,127.0.0.3-127.0.0.9,::1", "127.0.0.2-127.0.0.9,::1"),
            ("127.0.0.3,127.0.0.2,127.0.0.4", "127.0.0.3,127.0.0.2,127.0.0.4"),
            ("255.255.255.255,::", "255.255.255.255,::"),
        ];
        for (text, written) in cases {
            assert_eq!(text.parse::<Sources>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn points_at_what_is_wrong() {
        let cases = [
            ("", "", "an address is missing here: write for example"),
            ("::1,", "", "an address is missing here: write for example"),
            ("::1-", "", "an address is missing here: write for example"),
            ("::1,localhost", "localhost", "`localhost` is no IP address: write for example"),
            ("127.0.0.2-9", "9", "`9` is no IP address: write for example"),
            (
                "127.0.0.9-127.0.0.2",
                "127.0.0.9-127.0.0.2",
                "the range is reversed: write 127.0.0.2-127.0.0.9",
            ),
            ("::1,127.0.0.2-::2", "127.0.0.2-::2", "a range has two IPv4 addresses or two"),
            ("127.0.0.5,127.0.0.2-127.0.0.9", "127.0.0.2-127.0.0.9", "127.0.0.5 comes twice"),
            ("::1,10.0.0.0-10.0.255.255", "10.0.0.0-10.0.255.255", "more than 65536 addresses"),
            ("::-ffff::", "::-ffff::", "more than 65536 addresses in all"),
        ];
        for (text, place, why) in cases {
            let error = text.parse::<Sources>().unwrap_err();
            assert_eq!(&error.text[error.span], place, "{text}");
            assert!(error.why.starts_with(why), "{text}: {}", error.why);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(
            // Few bits, so that there are neighbours.
            addresses in proptest::collection::hash_set((any::<bool>(), 0u8..20), 1..30),
        ) {
            let address = |(v4, low)| match v4 {
                true => IpAddr::from([127, 0, 0, low]),
                false => IpAddr::from([0, 0, 0, 0, 0, 0, 0, u16::from(low)]),
            };
            let sources = Sources(addresses.into_iter().map(address).collect());
            prop_assert_eq!(sources.to_string().parse(), Ok(sources));
        }

        #[test]
        fn every_text_is_read_or_refused(text in "\\PC*|[0-9a-f:., -]{0,40}") {
            if let Err(error) = text.parse::<Sources>() {
                prop_assert!(error.to_string().contains('^'));
            }
        }
    }
}
