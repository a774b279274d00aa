//! How a person links a way to pay. A payment service provider sits behind [`PaymentProvider`]: its own page or app
//! takes the card, this kiosk only ever sees tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use volar_core::id::EnrollmentId;
use volar_core::randomness::Randomness;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What a real provider's account with the shop fills, and [`TestProvider`] stands in for.
pub trait PaymentProvider: Send + Sync + 'static {
    /// The provider's name in payment references, such as `test`.
    fn name(&self) -> &'static str;

    /// Prepares a payment for one enrollment: what the page must show.
    fn begin(&self, enrollment: EnrollmentId) -> BoxFuture<'_, Result<Begun, PaymentError>>;

    /// Ends it with what the page sends: the form's values by name, or nothing after a [`Display::Link`] was followed.
    fn complete(&self, begun: &Begun, answers: Answers) -> BoxFuture<'_, Result<PaymentReference, PaymentError>>;
}

/// Opens the configured provider.
pub fn open(config: &PaymentConfig, randomness: Arc<dyn Randomness>) -> Arc<dyn PaymentProvider> {
    match config.provider {
        ProviderKind::Test => Arc::new(TestProvider::new(randomness)),
    }
}

/// `[payment]` in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentConfig {
    /// Which provider.
    pub provider: ProviderKind,
    /// Whether nobody is enrolled without a payment. Otherwise a person may enroll to enter only.
    pub required: bool,
}

/// A payment service provider that this kiosk can speak to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Hands out test tokens for any account name; moves no money.
    #[default]
    Test,
}

/// A payment that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The provider's own handle of it.
    pub handle: String,
    /// What the page shows.
    pub display: Display,
}

/// What the page shows for a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Display {
    /// Fields to fill in on this screen. Never for a card's number.
    Form {
        /// The fields, in order.
        fields: Vec<Field>,
    },
    /// An address that the person opens on their own telephone; the page shows it as text and, where the provider
    /// gives one, with its QR code.
    Link {
        /// The address.
        url: String,
        /// A path in an SVG of the given side, black on white.
        qr: Option<QrCode>,
    },
}

/// A QR code as the provider hands it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QrCode {
    /// Modules along a side, quiet zone included.
    pub side: u32,
    /// SVG path data of the dark modules.
    pub path: String,
}

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name in the answers.
    pub name: &'static str,
    /// Key of its label in the texts.
    pub label_key: &'static str,
    /// Key of a line of help in the texts.
    pub help_key: &'static str,
    /// Longest answer, in characters.
    pub length_max: usize,
}

/// The page's answers to a form, by field name. Zeroed on drop; prints nothing.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub struct Answers(BTreeMap<String, String>);

impl Answers {
    /// The answer to one field, without spaces around it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|answer| answer.trim())
    }
}

impl From<BTreeMap<String, String>> for Answers {
    fn from(answers: BTreeMap<String, String>) -> Self {
        Self(answers)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Answers(secret)")
    }
}

/// A provider's words for how this person pays. Zeroed on drop; prints nothing.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PaymentReference {
    /// Which provider.
    pub provider: String,
    /// The provider's customer id.
    pub customer: String,
    /// The provider's payment-method id.
    pub payment_method: String,
    /// What may be shown to the person.
    pub label: String,
}

impl fmt::Debug for PaymentReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PaymentReference(secret)")
    }
}

/// Why a payment cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaymentError {
    /// A card's number was typed.
    #[error("this looks like a card number: never type one here; type the account name")]
    CardNumber,
    /// No account name.
    #[error("the account name is missing")]
    AccountMissing,
    /// Characters or a length that no account name has.
    #[error("an account name has 1 to 40 of the characters a-z, 0-9, dot, hyphen and underscore")]
    AccountInvalid,
    /// The provider does not accept the payment method.
    #[error("the provider does not accept this way to pay; choose another")]
    Refused,
    /// The provider cannot be reached.
    #[error("the payment provider does not answer; try again in a moment")]
    Unreachable,
    /// The vault does not take the reference.
    #[error("the payment could not be stored; try again")]
    NotStored,
    /// The enrollment was erased meanwhile.
    #[error("the enrollment is gone; start again")]
    EnrollmentGone,
}

impl PaymentError {
    /// The reason that a program can act on.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CardNumber => "CARD_NUMBER_REFUSED",
            Self::AccountMissing => "ACCOUNT_MISSING",
            Self::AccountInvalid => "ACCOUNT_INVALID",
            Self::Refused => "PAYMENT_REFUSED",
            Self::Unreachable => "PROVIDER_UNREACHABLE",
            Self::NotStored => "PAYMENT_NOT_STORED",
            Self::EnrollmentGone => "ENROLLMENT_GONE",
        }
    }

    /// Key of what the screen says.
    pub fn message_key(&self) -> &'static str {
        match self {
            Self::CardNumber => "payment.error.card-number",
            Self::AccountMissing => "payment.error.account-missing",
            Self::AccountInvalid => "payment.error.account-invalid",
            Self::Refused => "payment.error.refused",
            Self::Unreachable => "payment.error.unreachable",
            Self::NotStored => "payment.error.not-stored",
            Self::EnrollmentGone => "payment.error.enrollment-gone",
        }
    }

    /// Whether the person can do something about it on the payment screen.
    pub fn may_retry(&self) -> bool {
        !matches!(self, Self::EnrollmentGone)
    }
}

/// Hands out tokens for any account name, so that everything around payment can be tried. Moves no money.
pub struct TestProvider {
    randomness: Arc<dyn Randomness>,
}

impl TestProvider {
    /// Longest account name in characters.
    const ACCOUNT_LENGTH_MAX: usize = 40;

    /// A provider whose tokens come from `randomness`.
    pub fn new(randomness: Arc<dyn Randomness>) -> Self {
        Self { randomness }
    }

    /// Letters only: a token must never look like a card's number.
    fn token(&self, prefix: &str) -> String {
        let bytes: [u8; 20] = self.randomness.bytes();
        let letters = bytes.iter().map(|byte| char::from(b'a' + byte % 26));
        std::iter::once(prefix.to_owned()).chain(letters.map(String::from)).collect()
    }

    fn reference(&self, answers: &Answers) -> Result<PaymentReference, PaymentError> {
        let account = answers.field("account").unwrap_or_default();
        if account.is_empty() {
            return Err(PaymentError::AccountMissing);
        }
        if looks_like_card_number(account) {
            return Err(PaymentError::CardNumber);
        }
        let account = account.to_lowercase();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if account.len() > Self::ACCOUNT_LENGTH_MAX || !account.chars().all(allowed) {
            return Err(PaymentError::AccountInvalid);
        }
        Ok(PaymentReference {
            provider: self.name().to_owned(),
            customer: format!("cus_test_{account}"),
            payment_method: self.token("pm_test_"),
            label: format!("Test account {account}"),
        })
    }
}

impl PaymentProvider for TestProvider {
    fn name(&self) -> &'static str {
        "test"
    }

    fn begin(&self, _: EnrollmentId) -> BoxFuture<'_, Result<Begun, PaymentError>> {
        let account = Field {
            name: "account",
            label_key: "payment.account",
            help_key: "payment.account.help",
            length_max: Self::ACCOUNT_LENGTH_MAX,
        };
        let begun = Begun { handle: self.token("seti_test_"), display: Display::Form { fields: vec![account] } };
        Box::pin(std::future::ready(Ok(begun)))
    }

    fn complete(&self, _: &Begun, answers: Answers) -> BoxFuture<'_, Result<PaymentReference, PaymentError>> {
        Box::pin(std::future::ready(self.reference(&answers)))
    }
}

/// Whether `text` holds a run of 12 to 19 digits, spaces and punctuation between them ignored, that passes the Luhn
/// check (ISO/IEC 7812-1, annex B).
pub fn looks_like_card_number(text: &str) -> bool {
    let digits: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let runs = digits.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| run.len() >= 12).any(|run| {
        let windows = (12..=19).flat_map(|length| run.as_bytes().windows(length));
        windows.into_iter().any(passes_luhn)
    })
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = u32::from(digit - b'0') << (place % 2);
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volar_core::randomness::SeededRandomness;

    fn provider() -> TestProvider {
        TestProvider::new(Arc::new(SeededRandomness::new(7)))
    }

    fn complete(account: &str) -> Result<PaymentReference, PaymentError> {
        let provider = provider();
        let enrollment = EnrollmentId::from_bytes([1; 16]);
        let begun = futures::executor::block_on(provider.begin(enrollment)).expect("the test provider is always there");
        let answers = BTreeMap::from([("account".to_owned(), account.to_owned())]);
        futures::executor::block_on(provider.complete(&begun, answers.into()))
    }

    #[test]
    fn an_account_becomes_a_customer() {
        let reference = complete(" Anna ").expect("an account name");
        assert_eq!((&*reference.provider, &*reference.customer), ("test", "cus_test_anna"));
        assert_eq!(reference.label, "Test account anna");
        let token = reference.payment_method.strip_prefix("pm_test_").expect("the prefix");
        assert!(token.len() == 20 && token.bytes().all(|byte| byte.is_ascii_lowercase()), "{token}");
    }

    #[test]
    fn two_payments_have_two_tokens() {
        let provider = provider();
        let answers = || Answers::from(BTreeMap::from([("account".to_owned(), "anna".to_owned())]));
        let first = provider.reference(&answers()).expect("an account name");
        let second = provider.reference(&answers()).expect("an account name");
        assert_ne!(first.payment_method, second.payment_method);
        assert_eq!(first.customer, second.customer);
    }

    #[test]
    fn card_numbers_are_refused() {
        // Test numbers that card schemes and providers publish.
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "6304000000000000",
            "anna 5555 5555 5555 4444",
            "5555555555554444 12/27",
            "5.5.5.5.5.5.5.5.5.5.5.5.4.4.4.4",
        ] {
            assert_eq!(complete(card).expect_err(card), PaymentError::CardNumber, "{card}");
        }
    }

    #[test]
    fn what_is_no_account_is_named() {
        assert_eq!(complete("   ").expect_err("empty"), PaymentError::AccountMissing);
        for bad in ["a b", "é", "x/y", &"a".repeat(41), "cus_test_é"] {
            assert_eq!(complete(bad).expect_err(bad), PaymentError::AccountInvalid, "{bad}");
        }
        for good in ["a", "anna.b-c_1", "12345678901", &"a".repeat(40)] {
            assert!(complete(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn secrets_print_nothing() {
        let reference = complete("anna").expect("an account name");
        assert_eq!(format!("{reference:?}"), "PaymentReference(secret)");
        let answers = Answers::from(BTreeMap::from([("account".to_owned(), "anna".to_owned())]));
        assert_eq!(format!("{answers:?}"), "Answers(secret)");
    }
}
