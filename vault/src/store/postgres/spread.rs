//! A database whose tables Citus spreads over several servers.
//!
//! Its commits have two phases. Between them, and after a crash of a server in between until somebody goes on, the
//! server that we speak to shows a batch as committed while others still show the rows from before it. So whoever begins
//! to write has what was prepared ended first, and a commit that was not ended everywhere, which the server warns of, is not
//! acknowledged before that. And reads are each of a moment of its own: no snapshot is of all servers, and vaults
//! that share the database could not tell what they read from what another writes.

use tokio_postgres::Client;

use super::failure::Trouble;

/// Bytes of every table of ours that is spread, on all servers.
pub(super) const SIZE: &str = "SELECT coalesce(sum(citus_total_relation_size(p.logicalrelid)), 0)::bigint \
                               FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid \
                               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'volar'";

/// Whether some of our tables are spread.
pub(super) async fn is_spread(client: &Client) -> Result<bool, Trouble> {
    let row = client.query_one("SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL", &[]).await?;
    if !row.get::<_, bool>(0) {
        return Ok(false);
    }
    let text = "SELECT EXISTS (SELECT FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid \
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'volar')";
    Ok(client.query_one(text, &[]).await?.get(0))
}

/// Checks that every server keeps what it commits, and ends what a crash left prepared. The caller holds the lock, so that
/// nothing of ours is under way, and looks whether the server has warned: of one that is away.
pub(super) async fn settle(client: &Client) -> Result<(), Trouble> {
    let text = "SELECT success, result FROM run_command_on_all_nodes($$SELECT current_setting('fsync') = 'on' \
                AND current_setting('full_page_writes') = 'on' \
                AND current_setting('synchronous_commit') IN ('on', 'remote_apply')$$)";
    for row in client.query(text, &[]).await? {
        match (row.get(0), row.get::<_, Option<&str>>(1)) {
            (true, Some("t")) => {}
            (true, _) => {
                let reason = "a server of its cluster could lose in a crash what was acknowledged; set fsync, \
                              full_page_writes and synchronous_commit on at each";
                return Err(Trouble::Lasting(reason.to_owned()));
            }
            (false, _) => return Err(Trouble::Passing("a server of its cluster is away".to_owned())),
        }
    }
    client.query_one("SELECT recover_prepared_transactions()", &[]).await?;
    Ok(())
}
