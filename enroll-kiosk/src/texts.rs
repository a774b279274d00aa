//! What the screens say, one file a language, embedded in the binary.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A language of the screens, as its BCP 47 tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// French.
    Fr,
    /// German.
    De,
}

/// Not a language that the screens speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{tag}\" is no language of this kiosk; it speaks en, fr and de")]
pub struct UnknownLanguage {
    tag: String,
}

impl Language {
    /// Every language, in the order of the language switch.
    pub const ALL: [Self; 3] = [Self::En, Self::Fr, Self::De];

    /// Its BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
            Self::De => "de",
        }
    }

    /// The language's file: one JSON object of texts by key.
    pub fn file(self) -> &'static str {
        match self {
            Self::En => include_str!("../page/texts/en.json"),
            Self::Fr => include_str!("../page/texts/fr.json"),
            Self::De => include_str!("../page/texts/de.json"),
        }
    }

    /// The language's texts by key.
    pub fn texts(self) -> BTreeMap<String, String> {
        serde_json::from_str(self.file()).expect("the embedded texts are JSON objects of strings; a test reads each")
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.tag())
    }
}

impl volar_core::log_safe::LogSafe for Language {}

impl FromStr for Language {
    type Err = UnknownLanguage;
    fn from_str(tag: &str) -> Result<Self, UnknownLanguage> {
        let unknown = || UnknownLanguage { tag: tag.chars().take(20).collect() };
        Self::ALL.into_iter().find(|language| language.tag() == tag).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use volar_palm::guidance::Guidance;

    #[test]
    fn every_language_says_everything() {
        let english: BTreeSet<String> = Language::En.texts().into_keys().collect();
        for language in Language::ALL {
            let texts = language.texts();
            let keys: BTreeSet<String> = texts.keys().cloned().collect();
            assert_eq!(keys, english, "keys of {language} against those of en");
            for (key, text) in &texts {
                assert!(!text.trim().is_empty(), "{language}: {key} is empty");
                assert_eq!(placeholders(text), placeholders(&Language::En.texts()[key]), "{language}: {key}");
            }
        }
    }

    #[test]
    fn languages_differ() {
        // A key copied without being translated is the mistake that completeness does not see.
        let (english, french, german) = (Language::En.texts(), Language::Fr.texts(), Language::De.texts());
        let same =
            |other: &BTreeMap<String, String>| english.iter().filter(|(key, text)| other[*key] == **text).count();
        assert!(same(&french) * 20 < english.len(), "{} French texts are English", same(&french));
        assert!(same(&german) * 20 < english.len(), "{} German texts are English", same(&german));
    }

    #[test]
    fn every_guidance_has_words() {
        let texts = Language::En.texts();
        for guidance in Guidance::ALL {
            assert!(texts.contains_key(&format!("guidance.{guidance}")), "guidance.{guidance}");
        }
        for own in ["wrong-hand", "next-hand", "another-palm", "good", "working"] {
            assert!(texts.contains_key(&format!("guidance.{own}")), "guidance.{own}");
        }
    }

    #[test]
    fn tags_round_trip() {
        for language in Language::ALL {
            assert_eq!(language.tag().parse(), Ok(language));
        }
        assert!("xx".parse::<Language>().is_err());
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }
}
