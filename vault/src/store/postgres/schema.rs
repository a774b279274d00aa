//! The tables, and how an older database gets the newest of them.
//!
//! One table for each [`Table`], all alike: `key bytea PRIMARY KEY, value bytea`. Each then has its own size, statistics
//! and vacuum, so that the churn of answers and deadlines bloats nobody's palms. (One table partitioned by kind would need
//! one lock a partition for every statement.) On a distributed PostgreSQL the column to distribute by is `key`: it is in
//! every primary key and in every statement's condition, and its hash spreads one tenant's rows over every shard, which
//! the tenant's name, the key's leading part, would not. Ranges are read in order from all shards; `writer`, `writers`
//! and `schema` stay where the vault connects ([`spread`](super::spread)). Nothing here uses sequences, triggers,
//! notifications or foreign keys.

use tokio_postgres::{Client, Error};

use crate::store::Table;

/// What each version adds. A released one does not change any more.
const MIGRATIONS: [&str; 2] = [include_str!("migrations/1.sql"), include_str!("migrations/2.sql")];

/// Newest version known.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// A table by its number: those of [`Table`], then the blobs.
pub(super) const BLOBS: usize = Table::ALL.len();
/// How many there are.
pub(super) const TABLES: usize = BLOBS + 1;

/// A table's name in SQL.
pub(super) fn name(table: usize) -> String {
    match Table::ALL.get(table) {
        Some(table) => format!("volar.{}", format!("{table:?}").to_lowercase()),
        None => "volar.blobs".to_owned(),
    }
}

/// The database's version; 0 for one without any table of ours.
pub(super) async fn version(client: &Client) -> Result<u32, Error> {
    let row = client.query_one("SELECT to_regclass('volar.schema') IS NOT NULL", &[]).await?;
    if !row.get::<_, bool>(0) {
        return Ok(0);
    }
    let row = client.query_one("SELECT coalesce(max(version), 0) FROM volar.schema", &[]).await?;
    Ok(row.get::<_, i32>(0).unsigned_abs())
}

/// Brings a database from version `from` to the newest. The caller holds the lock.
pub(super) async fn migrate(client: &mut Client, from: u32) -> Result<(), Error> {
    for (number, sql) in (1_i32..).zip(MIGRATIONS).skip(from as usize) {
        let transaction = client.transaction().await?;
        if number == 1 {
            // An administrator may have made the schema, so that the vault needs no right to make any.
            let row = transaction.query_one("SELECT to_regnamespace('volar') IS NOT NULL", &[]).await?;
            if !row.get::<_, bool>(0) {
                transaction.batch_execute("CREATE SCHEMA volar").await?;
            }
            for table in 0..TABLES {
                transaction.batch_execute(&rows_table(&name(table))).await?;
            }
        }
        transaction.batch_execute(sql).await?;
        transaction.execute("INSERT INTO volar.schema (version) VALUES ($1)", &[&number]).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Sealed bytes look random: compressing them is wasted work, so large ones are kept as they are.
fn rows_table(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (key bytea PRIMARY KEY, value bytea NOT NULL);
         ALTER TABLE {name} ALTER COLUMN value SET STORAGE EXTERNAL;"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = (0..TABLES).map(name).collect();
        assert_eq!(names.len(), TABLES);
        assert!(names.contains("volar.idempotency") && names.contains("volar.blobs"));
    }
}
