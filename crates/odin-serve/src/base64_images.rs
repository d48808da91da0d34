//! Encoded images as Base64, as JSON has them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// With padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a text in Base64, which may have line breaks, and may be a `data:` URL.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let data = match text
        .strip_prefix("data:")
        .and_then(|url| url.split_once(";base64,"))
    {
        Some((_, data)) => data,
        None => text,
    };
    match data.bytes().any(|byte| byte.is_ascii_whitespace()) {
        false => BASE64.decode(data),
        true => {
            let plain = data.bytes().filter(|byte| !byte.is_ascii_whitespace());
            BASE64.decode(plain.collect::<Vec<u8>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_clients_write_it() {
        for text in [
            "eHl6eg==",
            "eHl6eg",
            "eHl6\r\neg==\n",
            "data:image/png;base64,eHl6eg==",
        ] {
            assert_eq!(decode(text).unwrap(), b"xyzz", "{text}");
        }
        for text in ["e", "eHl6eg=x", "%", "data:image/png,xyz"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
