//! Many events at once: a matcher that starts reads a whole gallery. Every kind of row is read for all of them in one
//! request to the store; an event about somebody who changes meanwhile is read again by itself.

use volar_core::id::SubjectId;
use volar_core::template::Position;

use super::{FeedItem, News, Reader, verdict_wanted};
use crate::error::VaultError;
use crate::format::v1::{self, Change};
use crate::format::{v2, v3};
use crate::keys::Slot;
use crate::parameters::{FEED_READ, FEED_READ_PROBES};
use crate::rows;
use crate::store::Table;
use crate::vault::{Gallery, SubjectKey, Tenant, Vault, probes_name};

/// Rows that an enrollment is made of, in the order in which they are asked for.
const ENROLLED: [Table; 5] = [Table::Tombstones, Table::Subjects, Table::Placements, Table::Palms, Table::Palms];

/// What there is of one enrollment.
type Found = [Option<Vec<u8>>; ENROLLED.len()];

/// An enrollment whose palms are open.
struct Opened {
    key: SubjectKey,
    record: v3::Subject,
    palms: Vec<v1::Palm>,
    probes_wanted: bool,
    /// Whether the palms' references are another shard's.
    elsewhere: bool,
}

impl Vault {
    /// The events of these numbers, some at a time; fewer once `probes_max` of them have probes.
    pub(super) fn items(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        reader: Reader<'_>,
        numbers: std::ops::RangeInclusive<u64>,
        probes_max: usize,
    ) -> Result<Vec<FeedItem>, VaultError> {
        let (mut items, mut next, mut probes) = (Vec::new(), *numbers.start(), 0);
        while next <= *numbers.end() && probes < probes_max {
            let events = self.stored_events(tenant, gallery, next, *numbers.end())?;
            let read = self.news(tenant, gallery, reader, &events, probes_max - probes)?;
            next += read.len() as u64;
            let has_probes = |item: &&FeedItem| matches!(item.news, News::Enrolled { probes: Some(_), .. });
            probes += read.iter().filter(has_probes).count();
            items.extend(read);
        }
        Ok(items)
    }

    /// Up to [`FEED_READ`] events from number `from` on, none beyond `last`; at least one.
    fn stored_events(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        from: u64,
        last: u64,
    ) -> Result<Vec<(u64, v1::Event)>, VaultError> {
        let limit = usize::try_from(last - from + 1).unwrap_or(usize::MAX).min(FEED_READ);
        let prefix = rows::gallery(&tenant.id, &gallery.id);
        let first = rows::event(&tenant.id, &gallery.id, from);
        let found = self.store.scan(Table::Feed, &prefix, &first, limit)?;
        if found.len() < limit {
            return Err(VaultError::RecordMissing { kind: "feed event" });
        }
        let opened = found.iter().zip(from..).map(|((key, sealed), number)| {
            if *key != rows::event(&tenant.id, &gallery.id, number) {
                return Err(VaultError::RecordMissing { kind: "feed event" });
            }
            Ok((number, tenant.open(key, sealed)?))
        });
        opened.collect()
    }

    fn news(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        reader: Reader<'_>,
        events: &[(u64, v1::Event)],
        probes_max: usize,
    ) -> Result<Vec<FeedItem>, VaultError> {
        let mut places = Vec::with_capacity(events.len() * ENROLLED.len());
        for (number, event) in events {
            let row = rows::subject(&tenant.id, event.subject);
            if event.change == Change::Enrolled {
                places.extend(ENROLLED[..3].iter().map(|table| (*table, row.clone())));
                let palm = |position| rows::palm(&tenant.id, &gallery.id, *number, position);
                if !reader.shard.holds(event.subject) {
                    continue;
                }
                places.extend([Position::Left, Position::Right].map(|position| (Table::Palms, palm(position))));
            } else {
                places.push((Table::Tombstones, row));
            }
        }
        let mut found = self.store.read_many(&places)?.into_iter();
        let mut ask = || found.next().flatten();
        let opened: Vec<(u64, SubjectId, Result<Opened, Option<News>>)> = events
            .iter()
            .map(|(number, event)| {
                let told = match event.change {
                    Change::Enrolled => {
                        let here = reader.shard.holds(event.subject);
                        let found = std::array::from_fn(|row| if here || row < 3 { ask() } else { None });
                        self.opened(tenant, gallery, reader, event.subject, found).ok_or(None)
                    }
                    _ if ask().is_some() => Err(Some(News::Erased)),
                    Change::Activated => Err(Some(News::Activated)),
                    Change::Held => Err(Some(News::Held)),
                    Change::Erased => Err(Some(News::Erased)),
                };
                (*number, event.subject, told)
            })
            .collect();

        let wanting = opened.iter().filter(|(.., told)| told.as_ref().is_ok_and(|opened| opened.probes_wanted));
        let names: Vec<_> =
            wanting.take(probes_max.min(FEED_READ_PROBES)).map(|(_, subject, _)| probes_name(*subject)).collect();
        let mut probes = self.store.read_blobs(&names)?.into_iter();
        let mut items = Vec::with_capacity(opened.len());
        for (sequence, subject, told) in opened {
            let news = match told {
                Err(Some(news)) => news,
                // Erased, changing, or damaged: by itself it says which.
                Err(None) => self.item(tenant, gallery, reader, sequence)?.news,
                Ok(Opened { palms, probes_wanted: false, elsewhere, .. }) => {
                    News::Enrolled { palms, probes: None, elsewhere }
                }
                Ok(Opened { key, record, palms, elsewhere, .. }) => {
                    // Those beyond what is read at once come with the next events.
                    let Some(sealed) = probes.next() else { break };
                    let open = |sealed: Vec<u8>| self.probes_for(tenant, gallery, &key, &record, &sealed, reader);
                    let probes = sealed.map(open).transpose()?;
                    News::Enrolled { palms, probes, elsewhere }
                }
            };
            items.push(FeedItem { sequence, subject, news });
        }
        Ok(items)
    }

    /// An enrollment from its rows; `None` if anything about them is not as it should be.
    fn opened(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        reader: Reader<'_>,
        subject: SubjectId,
        found: Found,
    ) -> Option<Opened> {
        let [None, Some(record), Some(placement), left, right] = found else { return None };
        let row = rows::subject(&tenant.id, subject);
        let placement: v2::Placement = tenant.open(&row, &placement).ok()?;
        let wrapped = self.key_table.load(Slot(placement.slot), subject).ok()??;
        let key = SubjectKey::unwrap(tenant, subject, &wrapped)?;
        let record: v3::Subject = key.open(tenant, &row, &record).ok()?;
        let elsewhere = !reader.shard.holds(subject);
        let palms = record.positions.iter().map(|position| {
            if elsewhere {
                return Some(v1::Palm { position: *position, references: Vec::new() });
            }
            let sealed = match position {
                Position::Left => left.as_ref(),
                Position::Right => right.as_ref(),
            };
            gallery.palm(tenant, &key, *position, sealed?, reader.generation).ok()
        });
        let palms = palms.collect::<Option<Vec<v1::Palm>>>()?;
        let probes_wanted = verdict_wanted(self, &record, gallery, reader);
        Some(Opened { key, record, palms, probes_wanted, elsewhere })
    }
}
