//! The galleries that a device works with, as its configuration names them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::GalleryId;
use crate::template::GALLERIES_MAX;

/// One to [`GALLERIES_MAX`] galleries, each once, in the order in which they were named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<GalleryId>", into = "Vec<GalleryId>")]
pub struct Galleries(Vec<GalleryId>);

/// Why a list of galleries cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GalleriesError {
    /// None, or more than [`GALLERIES_MAX`].
    #[error("{found} galleries are named, must be 1 to {GALLERIES_MAX}, such as [\"members\"]")]
    Number {
        /// How many.
        found: usize,
    },
    /// One is named twice.
    #[error("gallery \"{0}\" is named twice")]
    Twice(GalleryId),
}

impl Galleries {
    /// The galleries.
    pub fn iter(&self) -> std::slice::Iter<'_, GalleryId> {
        self.0.iter()
    }
}

impl TryFrom<Vec<GalleryId>> for Galleries {
    type Error = GalleriesError;

    fn try_from(galleries: Vec<GalleryId>) -> Result<Self, GalleriesError> {
        let found = galleries.len();
        if !(1..=GALLERIES_MAX).contains(&found) {
            return Err(GalleriesError::Number { found });
        }
        match galleries.iter().enumerate().find(|(number, gallery)| galleries[..*number].contains(gallery)) {
            Some((_, twice)) => Err(GalleriesError::Twice(twice.clone())),
            None => Ok(Self(galleries)),
        }
    }
}

impl From<Galleries> for Vec<GalleryId> {
    fn from(galleries: Galleries) -> Self {
        galleries.0
    }
}

impl From<GalleryId> for Galleries {
    fn from(gallery: GalleryId) -> Self {
        Self(vec![gallery])
    }
}

impl fmt::Display for Galleries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, gallery) in self.0.iter().enumerate() {
            let before = if number == 0 { "" } else { ", " };
            write!(formatter, "{before}{gallery}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Result<Galleries, GalleriesError> {
        let ids: Vec<GalleryId> = names.iter().map(|name| name.parse().expect("a slug")).collect();
        ids.try_into()
    }

    #[test]
    fn one_to_three_galleries_each_once() {
        assert_eq!(named(&["members", "staff"]).expect("two").to_string(), "members, staff");
        assert_eq!(named(&[]), Err(GalleriesError::Number { found: 0 }));
        assert_eq!(named(&["a", "b", "c", "d"]), Err(GalleriesError::Number { found: 4 }));
        assert!(named(&["a", "b", "a"]).expect_err("twice").to_string().contains("\"a\" is named twice"));
    }
}
