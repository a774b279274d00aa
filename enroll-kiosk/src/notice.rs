//! The notice and the written release (BIPA s. 15(b), GDPR articles 9(2)(a) and 13), and the proof of which exact
//! text somebody agreed to.

use serde::{Deserialize, Serialize};
use volar_core::clock::Timestamp;

use crate::texts::Language;

/// `[notice]` in the configuration: what the notice says about who keeps palms, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeConfig {
    /// Version of the notice; change it whenever the text or a value below changes.
    pub policy_version: String,
    /// Who is responsible, as the person knows them.
    pub operator: String,
    /// Where questions and requests go: an address, a telephone number.
    pub contact: String,
    /// Palms are destroyed this many months after the last visit. BIPA allows at most 36.
    pub retention_months: u32,
}

/// The notice as one language shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Version of the notice.
    pub policy_version: String,
    /// The language it is in.
    pub language: Language,
    /// Its title.
    pub title: String,
    /// Its sections, in order.
    pub sections: Vec<Section>,
    /// The sentence that the person agrees to.
    pub release: String,
    /// SHA-256 of all of the above, in hexadecimal.
    pub text_sha256: String,
}

/// One section of a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Its text.
    pub text: String,
}

/// A written release as the vault records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Version of the notice that was shown.
    pub policy_version: String,
    /// Language that it was shown in.
    pub language: Language,
    /// SHA-256 of the exact text shown.
    pub text_sha256: [u8; 32],
    /// When it was given.
    pub given_at: Timestamp,
}

/// Sections of the notice, by the middle of their keys.
const SECTIONS: [&str; 6] = ["what", "why", "how-long", "who", "choice", "rights"];

impl Notice {
    /// The notice in `language` with the operator's values filled in.
    pub fn new(config: &NoticeConfig, language: Language) -> Self {
        let texts = language.texts();
        let text = |key: &str| {
            let text = texts.get(key).expect("a test holds that every key is in every language");
            text.replace("{operator}", &config.operator)
                .replace("{contact}", &config.contact)
                .replace("{months}", &config.retention_months.to_string())
        };
        let section = |name: &&str| Section {
            heading: text(&format!("notice.{name}.heading")),
            text: text(&format!("notice.{name}.text")),
        };
        let mut notice = Self {
            policy_version: config.policy_version.clone(),
            language,
            title: text("notice.title"),
            sections: SECTIONS.iter().map(section).collect(),
            release: text("notice.release"),
            text_sha256: String::new(),
        };
        let digest = notice.digest();
        notice.text_sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        notice
    }

    /// SHA-256 of the text as shown: policy version, language, title, each heading and text, and the release, one
    /// a line.
    pub fn digest(&self) -> [u8; 32] {
        let mut lines = vec![self.policy_version.as_str(), self.language.tag(), &self.title];
        lines.extend(self.sections.iter().flat_map(|section| [section.heading.as_str(), &section.text]));
        lines.push(&self.release);
        let digest = ring::digest::digest(&ring::digest::SHA256, lines.join("\n").as_bytes());
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// The release that somebody gives now by touching the screen.
    pub fn released(&self, now: Timestamp) -> Consent {
        Consent {
            policy_version: self.policy_version.clone(),
            language: self.language,
            text_sha256: self.digest(),
            given_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NoticeConfig {
        NoticeConfig {
            policy_version: "2026-11".to_owned(),
            operator: "Corner Shop".to_owned(),
            contact: "privacy@corner.example".to_owned(),
            retention_months: 12,
        }
    }

    #[test]
    fn every_value_is_filled_in_in_every_language() {
        for language in Language::ALL {
            let shown = format!("{:?}", Notice::new(&config(), language));
            for value in ["Corner Shop", "privacy@corner.example", "12"] {
                assert!(shown.contains(value), "{language} lacks {value}");
            }
            assert!(!shown.contains("{operator}") && !shown.contains("{contact}") && !shown.contains("{months}"));
        }
    }

    #[test]
    fn the_digest_follows_every_word() {
        let notice = Notice::new(&config(), Language::En);
        let mut digests = vec![notice.digest(), Notice::new(&config(), Language::De).digest()];
        for change in [
            |config: &mut NoticeConfig| config.policy_version.push('b'),
            |config: &mut NoticeConfig| config.operator.push('b'),
            |config: &mut NoticeConfig| config.contact.push('b'),
            |config: &mut NoticeConfig| config.retention_months += 1,
        ] {
            let mut changed = config();
            change(&mut changed);
            digests.push(Notice::new(&changed, Language::En).digest());
        }
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 6);
        assert_eq!(notice.text_sha256.len(), 64);
        assert_eq!(Notice::new(&config(), Language::En), notice);
    }
}
