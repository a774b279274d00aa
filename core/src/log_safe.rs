//! What may be written to a log is a trait, checked when the project is compiled.

use std::fmt;

/// Marks types whose `Display` says nothing about a body, a payment or a key.
///
/// Log fields take `log_safe(&value)`: a template or a token does not implement this, so logging one does not
/// compile.
pub trait LogSafe: fmt::Display {}

/// Wraps a value for a log field; exists only for [`LogSafe`] values.
pub fn log_safe<T: LogSafe + ?Sized>(value: &T) -> impl fmt::Display + '_ {
    struct Wrapped<'a, T: ?Sized>(&'a T);
    impl<T: LogSafe + ?Sized> fmt::Display for Wrapped<'_, T> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            fmt::Display::fmt(self.0, formatter)
        }
    }
    Wrapped(value)
}

impl LogSafe for u32 {}
impl LogSafe for u64 {}
impl LogSafe for usize {}
