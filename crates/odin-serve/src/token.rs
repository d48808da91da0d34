//! The bearer token that requests must carry.

use crate::error::{Error, ErrorKind};
use crate::refusal::{Reason, Refusal};
use odin_untrusted::file::read_regular;
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// A secret, compared in constant time and never shown.
pub(crate) struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A token is not longer.
const MAX_TOKEN: u64 = 4096;

impl Token {
    /// The content of a file, without the white space around it.
    ///
    /// # Errors
    /// When it cannot be read, or holds anything but one word of visible ASCII characters.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let error = |problem: &str| Error::new(ErrorKind::Token, problem).about(path.display());
        let bytes =
            read_regular(path, MAX_TOKEN).map_err(|e| error("cannot read the token").because(e))?;
        let token = bytes.trim_ascii();
        match !token.is_empty() && token.iter().all(u8::is_ascii_graphic) {
            true => Ok(Self(token.to_vec())),
            false => Err(error(
                "a token is one word of visible ASCII characters, such as `openssl rand -hex 32` gives",
            )),
        }
    }

    /// Refuses a request whose `Authorization` is another.
    pub(crate) fn check(&self, authorization: Option<&http::HeaderValue>) -> Result<(), Refusal> {
        let carried = authorization.and_then(|value| bearer(value.as_bytes()));
        let refused = |message: &'static str| Err(Refusal::new(Reason::Unauthorized, message));
        match carried {
            None => {
                refused("the request carries no token; send the header Authorization: Bearer TOKEN")
            }
            Some(carried) if bool::from(carried.ct_eq(&self.0)) => Ok(()),
            Some(_) => refused("the token is not the service's"),
        }
    }
}

/// The token in a header's value; the scheme may have letters of any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn tokens_are_compared_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
        for (value, allowed) in [
            ("Bearer s3cret", true),
            ("bearer  s3cret ", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret2", false),
            ("Basic s3cret", false),
            ("s3cret", false),
            ("Bearer ", false),
        ] {
            let value = HeaderValue::from_static(value);
            assert_eq!(token.check(Some(&value)).is_ok(), allowed, "{value:?}");
        }
        assert!(token.check(None).is_err());
        for wrong in ["", " \n", "two words", "caf\u{e9}"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Token::read(&path).is_err(), "{wrong:?}");
        }
    }
}
