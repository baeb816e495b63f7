//! Bytes that are written as text: hexadecimal and base64.

use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use data_encoding::{DecodeKind, Encoding, HEXLOWER_PERMISSIVE};

/// Why a text does not stand for bytes. Places in it are bytes, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{} at byte {at} is no hexadecimal digit", quoted(*byte))]
    NoHexDigit { byte: u8, at: usize },
    #[error("an odd number of hexadecimal digits, {digits}: one is missing, or one is too many")]
    OddHex { digits: usize },
    #[error("{} at byte {at} is not of base64", quoted(*byte))]
    NoBase64Symbol { byte: u8, at: usize },
    #[error("{symbols} symbols of base64 are not whole bytes: something is missing at the end")]
    Base64Length { symbols: usize },
    #[error("{} at byte {at} holds bits of a byte that is not there: something is missing at the end", quoted(*byte))]
    Base64LastSymbol { byte: u8, at: usize },
    #[error("wrong padding of base64: `=` fills the end up to four symbols")]
    Base64Padding,
}

impl DecodeError {
    /// The byte that is wrong, from 1, if one is.
    pub(crate) const fn position(self) -> Option<usize> {
        match self {
            Self::NoHexDigit { at, .. }
            | Self::NoBase64Symbol { at, .. }
            | Self::Base64LastSymbol { at, .. } => Some(at),
            Self::OddHex { .. } | Self::Base64Length { .. } | Self::Base64Padding => None,
        }
    }
}

/// What may stand between two hexadecimal digits: what hex dumps and MAC addresses have there, and
/// the end of a line as Windows writes it.
const BETWEEN_DIGITS: &str = " \t\r:";

/// Digits of either case, with or without something between them.
static HEX: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = HEXLOWER_PERMISSIVE.specification();
    specification.ignore.push_str(BETWEEN_DIGITS);
    #[expect(clippy::expect_used, reason = "always the same; every test of this file has it made")]
    specification.encoding().expect("blanks and colons are no digits")
});

/// The usual alphabet (RFC 4648, 4). Many tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn decode_hex(text: &[u8]) -> Result<Bytes, DecodeError> {
    let decoded = HEX.decode(text).map_err(|error| match error.kind {
        DecodeKind::Symbol => {
            DecodeError::NoHexDigit { byte: text[error.position], at: error.position + 1 }
        }
        // Two digits are a byte without bits to spare, and hexadecimal has no padding.
        DecodeKind::Length | DecodeKind::Trailing | DecodeKind::Padding => {
            let is_digit = |byte: &&u8| !BETWEEN_DIGITS.as_bytes().contains(byte);
            DecodeError::OddHex { digits: text.iter().filter(is_digit).count() }
        }
    })?;
    Ok(decoded.into())
}

pub(crate) fn decode_base64(text: &[u8]) -> Result<Bytes, DecodeError> {
    use base64::DecodeError as Error;
    let decoded = BASE64.decode(text.trim_ascii_end()).map_err(|error| match error {
        Error::InvalidByte(at, byte) => DecodeError::NoBase64Symbol { byte, at: at + 1 },
        Error::InvalidLength(symbols) => DecodeError::Base64Length { symbols },
        Error::InvalidLastSymbol(at, byte) => DecodeError::Base64LastSymbol { byte, at: at + 1 },
        Error::InvalidPadding => DecodeError::Base64Padding,
    })?;
    Ok(decoded.into())
}

/// A byte as a message can show it.
fn quoted(byte: u8) -> String {
    format!("`{}`", byte.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hexadecimal_as_people_and_tools_write_it() {
        for text in ["00ffa5", "00FFa5", "00 ff a5", "00:ff:a5\r", " 0 0f\tfa5 "] {
            assert_eq!(decode_hex(text.as_bytes()).unwrap(), &b"\x00\xff\xa5"[..], "{text}");
        }
        assert_eq!(decode_hex(b"").unwrap(), "");
        assert_eq!(decode_hex(b"  ").unwrap(), "");
    }

    #[test]
    fn says_where_hexadecimal_is_wrong() {
        let error = |text: &str| decode_hex(text.as_bytes()).unwrap_err();
        assert_eq!(error("abc"), DecodeError::OddHex { digits: 3 });
        assert_eq!(error("ab c d e"), DecodeError::OddHex { digits: 5 });
        assert_eq!(error("a"), DecodeError::OddHex { digits: 1 });
        assert_eq!(error("0x00"), DecodeError::NoHexDigit { byte: b'x', at: 2 });
        assert_eq!(error("00 0g"), DecodeError::NoHexDigit { byte: b'g', at: 5 });
        assert_eq!(error("\u{e9}0"), DecodeError::NoHexDigit { byte: 0xc3, at: 1 });
    }

    #[test]
    fn reads_base64_with_and_without_padding() {
        for text in ["AP+l/w==", "AP+l/w", "AP+l/w==\r"] {
            assert_eq!(decode_base64(text.as_bytes()).unwrap(), &b"\x00\xff\xa5\xff"[..], "{text}");
        }
        assert_eq!(decode_base64(b"").unwrap(), "");
    }

    #[test]
    fn says_where_base64_is_wrong() {
        let error = |text: &str| decode_base64(text.as_bytes()).unwrap_err();
        assert_eq!(error("aGVs!G8="), DecodeError::NoBase64Symbol { byte: b'!', at: 5 });
        assert_eq!(error("aGVs bG8="), DecodeError::NoBase64Symbol { byte: b' ', at: 5 });
        assert_eq!(error("aGVsb"), DecodeError::Base64Length { symbols: 5 });
        assert_eq!(error("aGVsbG9="), DecodeError::Base64LastSymbol { byte: b'9', at: 7 });
        assert_eq!(error("aGVsbG8=="), DecodeError::NoBase64Symbol { byte: b'=', at: 8 });
    }
}
