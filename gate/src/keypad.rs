//! What a person types on the reader's screen, on its way from the page to the agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use volar_core::second_factor::Digits;

/// What somebody does at the keypad.
#[derive(Debug)]
pub enum Typed {
    /// Types their digits.
    Digits(Digits),
    /// Leaves it be.
    Cancelled,
}

/// Nobody is asked for digits now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gate asks for no digits now; show a palm first")]
pub struct NotAsked;

/// The keypad. It takes one answer each time that it is opened, and none otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keypad(Arc<Mutex<Option<oneshot::Sender<Typed>>>>);

impl Keypad {
    /// Opens it; whoever asked before hears that it is closed.
    pub(crate) fn open(&self) -> oneshot::Receiver<Typed> {
        let (sender, typed) = oneshot::channel();
        *self.asked() = Some(sender);
        typed
    }

    /// Closes it: whoever asked hears so.
    pub(crate) fn close(&self) {
        *self.asked() = None;
    }

    /// Hands on what was typed, and closes it.
    pub(crate) fn answer(&self, typed: Typed) -> Result<(), NotAsked> {
        let sender = self.asked().take().ok_or(NotAsked)?;
        sender.send(typed).map_err(|_| NotAsked)
    }

    fn asked(&self) -> MutexGuard<'_, Option<oneshot::Sender<Typed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_each_time_and_none_otherwise() {
        let keypad = Keypad::default();
        assert_eq!(keypad.answer(Typed::Cancelled), Err(NotAsked));
        let mut typed = keypad.open();
        assert_eq!(keypad.answer(Typed::Cancelled), Ok(()));
        assert!(matches!(typed.try_recv(), Ok(Typed::Cancelled)));
        assert_eq!(keypad.answer(Typed::Cancelled), Err(NotAsked));
        let mut closed = keypad.open();
        keypad.close();
        assert!(closed.try_recv().is_err());
        assert_eq!(keypad.answer(Typed::Cancelled), Err(NotAsked));
    }
}
