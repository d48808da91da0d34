//! Sequences of untrusted JSON that hold few elements, or are refused before they take memory.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// At most `MOST` elements.
#[derive(Debug)]
pub(crate) struct Few<T, const MOST: usize>(pub(crate) Vec<T>);

impl<T, const MOST: usize> Default for Few<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Elements<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            if elements.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            elements.push(element);
        }
        Ok(Few(elements))
    }
}

/// The elements of an array, or `None` of one that has more than `most`.
///
/// # Errors
/// When this is no array of such elements.
pub(crate) fn at_most<T: DeserializeOwned>(
    json: &str,
    most: usize,
) -> Result<Option<Vec<T>>, serde_json::Error> {
    let mut elements = Vec::new();
    let mut parser = serde_json::Deserializer::from_str(json);
    let read = parser.deserialize_seq(UpTo {
        elements: &mut elements,
        most,
    });
    match (read, elements.len() > most) {
        (_, true) => Ok(None),
        (Ok(()), false) => parser.end().map(|()| Some(elements)),
        (Err(error), false) => Err(error),
    }
}

struct UpTo<'a, T> {
    elements: &'a mut Vec<T>,
    most: usize,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for UpTo<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(element) = sequence.next_element()? {
            self.elements.push(element);
            if self.elements.len() > self.most {
                return Err(A::Error::custom("too many elements"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_read_and_many_refused() {
        let read = |text: &str| serde_json::from_str::<Few<u8, 2>>(text);
        assert_eq!(read("[1, 2]").unwrap().0, [1, 2]);
        let error = read("[1, 2, 3]").unwrap_err().to_string();
        assert!(error.contains("at most 2 elements"), "{error}");
    }

    #[test]
    fn more_than_the_limit_is_not_read() {
        let read = |text: &str| at_most::<String>(text, 2);
        assert_eq!(read(r#"["a", "b"]"#).unwrap().unwrap(), ["a", "b"]);
        assert_eq!(read(r#"["a", "b", "c", 7"#).unwrap(), None);
        for wrong in ["7", "[7]", r#"["a""#, "[] []"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
