//! The server's raw files, its write-ahead log included: nothing plain, and no wrapped key, which would be there for as
//! long as the log is kept, whatever is erased.

use volar_core::shard::Shard;
use volar_vault::erasure::Erase;
use volar_vault::store::PostgresConfig;

use super::server::Server;
use crate::scan::{plain_parts, search};
use crate::world::{Postgres, WorldOver, kiosk, matcher, members, operator, payment};

#[tokio::test]
async fn no_file_of_the_server_holds_anything_plain_or_a_wrapped_key() {
    let server = Server::start(&[]);
    let world = WorldOver::over(Postgres(PostgresConfig::at(server.database())));
    let vault = world.open();
    let request = world.request(true);
    let enrollment = vault.enroll(&kiosk(), &world.call(0), &request).expect("enrolled");
    vault.bind_payment(&kiosk(), &world.call(0), enrollment, &payment()).expect("bound");
    let key = vault.protection(&"acme".parse().expect("a slug"), &members()).expect("known").key;
    let mut plain = plain_parts(&request, &key);
    let keys = std::fs::read(world.path("keys")).expect("readable");
    let slot = keys[4096 + 20..4096 + 80].to_vec();
    assert!(slot.iter().any(|&byte| byte != 0), "no key was stored");
    plain.push(("wrapped key", slot));
    // Every page to its file; the log has been written already.
    server.sql("postgres", "CHECKPOINT");
    search(&server.data(), &plain);
    search(world.folder.path(), &plain[..plain.len() - 1]);

    vault.report_verdict(&matcher(), &world.call(0), &members(), 1, Shard::WHOLE, None).expect("taken");
    let subject = world.feed(&vault)[0].subject;
    vault.erase(&operator(), world.call(0), Erase::Subject(subject)).await.expect("erased");
    drop(vault);
    server.sql("postgres", "CHECKPOINT");
    search(&server.data(), &plain);
    search(world.folder.path(), &plain);
}

/// What is looked for would be found: the records are in those files, sealed.
#[test]
#[should_panic(expected = "holds a plain needle")]
fn what_the_database_holds_is_in_the_files_searched() {
    let server = Server::start(&[]);
    let world = WorldOver::over(Postgres(PostgresConfig::at(server.database())));
    let vault = world.open();
    world.enroll(&vault);
    let database = world.engine().0.url.rsplit('/').next().expect("a name").to_owned();
    let sealed = server.sql(&database, "SELECT encode(substr(value, 100, 24), 'hex') FROM volar.palms LIMIT 1");
    server.sql("postgres", "CHECKPOINT");
    search(&server.data(), &[("needle", hex::decode(sealed).expect("hex"))]);
}
