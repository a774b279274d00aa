//! What is kept for a time only: answers to calls, for repeats, which tickets were claimed, and which challenges were
//! answered. Each such row has a second one that says when it goes.
//!
//! An answer is kept for [`Settings::answer_lifetime`](crate::vault::Settings::answer_lifetime). A claim is kept that
//! long past the ticket's end and the clocks' tolerance: while a ticket opens its claim is known, even to a vault whose
//! clock was wrong by that much, and an answer never outlives the claim that it names. So are challenges.

use volar_core::clock::Timestamp;

use crate::error::VaultError;
use crate::parameters::{CLOCK_DIFFERENCE_MAX, SCAN_ROWS};
use crate::rows;
use crate::store::{Table, Transaction};
use crate::vault::Vault;

impl Vault {
    /// Has [`Vault::forget_old`] remove the row `key` of `table` from `at` on.
    pub(crate) fn forget_at(
        &self,
        transaction: &dyn Transaction,
        table: Table,
        key: &[u8],
        at: Timestamp,
    ) -> Result<(), VaultError> {
        Ok(transaction.put(Table::Expiries, &rows::expiry(at, table, key), &[])?)
    }

    /// Until when it must be known that what expires at `expires_at` was used.
    pub(crate) fn known_until(&self, expires_at: Timestamp) -> Timestamp {
        expires_at.after(CLOCK_DIFFERENCE_MAX).after(self.settings.answer_lifetime)
    }

    /// Removes every row whose time is over; returns how many.
    pub fn forget_old(&self) -> Result<usize, VaultError> {
        let now = self.clock.now();
        let mut forgotten = 0;
        loop {
            let rows = self.store.scan(Table::Expiries, &[], &[], SCAN_ROWS)?;
            let is_over = |key: &[u8]| rows::split_expiry(key).is_some_and(|(at, ..)| at <= now);
            let over: Vec<_> = rows.into_iter().map(|(key, _)| key).take_while(|key| is_over(key)).collect();
            if over.is_empty() {
                return Ok(forgotten);
            }
            self.store.write(|transaction| {
                for expiry in &over {
                    if let Some((_, table, key)) = rows::split_expiry(expiry) {
                        transaction.remove(table, key)?;
                    }
                    transaction.remove(Table::Expiries, expiry)?;
                }
                Ok(())
            })?;
            forgotten += over.len();
        }
    }
}
