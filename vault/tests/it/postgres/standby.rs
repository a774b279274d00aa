//! A server that waits for a standby, as in a cluster under synchronous replication: nothing that only this server has is
//! acknowledged, however the wait ends.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use volar_service::system::SystemRandomness;
use volar_vault::store::{PostgresConfig, PostgresStore, Rows, Store, Table};

use super::server::Server;

/// Something surely does not happen any more after this long without happening.
const LONG: Duration = Duration::from_millis(1_500);
const SOON: Duration = Duration::from_secs(20);
/// The vault's session while its commit waits.
const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'volar-vault'";

#[test]
fn a_commit_that_stops_waiting_for_its_standby_is_not_acknowledged() {
    ends_early("pg_cancel_backend");
}

/// The server shows the batch as committed afterwards: it lies on its disk, and on no other.
#[test]
fn a_commit_whose_session_is_cut_while_it_waits_for_its_standby_is_not_acknowledged() {
    ends_early("pg_terminate_backend");
}

fn ends_early(function: &str) {
    let server = Server::start(&[]);
    let url = server.database();
    let store = PostgresStore::open(&PostgresConfig::at(url), &SystemRandomness).expect("opens");
    standby(&server, "'absent'");
    until_commits_wait(&server);
    std::thread::scope(|scope| {
        let ((sender, answered), store) = (mpsc::channel(), &store);
        scope.spawn(move || {
            let ended = store.transact(&mut |transaction| {
                transaction.put(Table::Feed, b"key", b"value")?;
                Ok(true)
            });
            sender.send(ended).expect("asked for");
        });
        wait_for(&server, &format!("SELECT count(*) = 1 {WAITING}"));
        server.sql("postgres", &format!("SELECT {function}(pid) {WAITING}"));
        assert!(answered.recv_timeout(LONG).is_err(), "acknowledged, and on no standby");
        assert!(store.read(Table::Feed, b"key").expect("readable").is_some(), "shown before it is safe");
        // The confirmation waits as the batch did.
        wait_for(&server, &format!("SELECT count(*) > 0 {WAITING}"));
        standby(&server, "''");
        answered.recv_timeout(SOON).expect("acknowledged once nothing is waited for").expect("written");
    });
}

/// Which standbys commits wait for.
fn standby(server: &Server, names: &str) {
    server.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = {names}"));
    server.sql("postgres", "SELECT pg_reload_conf()");
}

/// The server takes a change of its standbys up some time after it was told, and no view shows when.
fn until_commits_wait(server: &Server) {
    let end = Instant::now() + SOON;
    let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let mut waited = false;
    while !waited {
        assert!(Instant::now() < end, "no commit waits for a standby");
        std::thread::scope(|scope| {
            let commit = || server.sql("postgres", "DROP TABLE IF EXISTS probe; CREATE TABLE probe ()");
            let commit = scope.spawn(commit);
            while !commit.is_finished() {
                waited |= server.sql("postgres", &format!("SELECT count(pg_cancel_backend(pid)) > 0 {waiting}")) == "t";
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }
}

fn wait_for(server: &Server, question: &str) {
    let end = Instant::now() + SOON;
    while server.sql("postgres", question) != "t" {
        assert!(Instant::now() < end, "never: {question}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
