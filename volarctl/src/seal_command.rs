//! `volarctl vault …`: opens and closes the vault to everybody else.

use std::io::{self, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde_json::json;
use volar_proto::v1::seal_service_client::SealServiceClient;
use volar_proto::v1::{GetSealRequest, GetSealResponse, SealRequest, UnsealRequest};
use zeroize::Zeroizing;

use crate::arguments::VaultCommand;
use crate::call::limited;
use crate::connection::Server;
use crate::convert::shown;
use crate::failure::Failure;
use crate::report::Report;
use crate::waiting::Waiting;

/// Longest passphrase or PIN, in bytes, as the vault takes it.
const SECRET_MAX: u64 = 1024;

pub(crate) async fn run(command: &VaultCommand, vault: &Server) -> Result<Report, Failure> {
    let mut client = SealServiceClient::new(vault.channel.clone());
    let failed = |status: tonic::Status| Failure::of(&status, vault, None);
    match command {
        VaultCommand::Status => {}
        VaultCommand::Seal => {
            let waiting = Waiting::for_what("the vault ends what is under way and forgets its keys");
            client.seal(limited(SealRequest {})).await.map_err(failed)?;
            drop(waiting);
        }
        VaultCommand::Unseal { secret_file } => {
            let before = client.get_seal(limited(GetSealRequest {})).await.map_err(failed)?.into_inner();
            if before.sealed {
                let secret = secret(secret_file.as_deref(), &before)?;
                let waiting = Waiting::for_what("the vault opens");
                client.unseal(limited(UnsealRequest { secret: secret.to_string() })).await.map_err(failed)?;
                drop(waiting);
            }
        }
    }
    let now = client.get_seal(limited(GetSealRequest {})).await.map_err(failed)?.into_inner();
    let text = if now.sealed { format!("sealed: {}", shown(&now.reason)) } else { "unsealed".to_owned() };
    Ok(Report::new(json!({ "sealed": now.sealed, "reason": now.reason }), text))
}

/// The passphrase or PIN, from a file or the terminal; empty where the vault has what it needs itself.
fn secret(file: Option<&Path>, seal: &GetSealResponse) -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = file {
        let text = read(path).map_err(|error| Failure::Secret { path: path.to_owned(), error })?;
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if !seal.secret_wanted {
        return Ok(Zeroizing::new(String::new()));
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Missing { option: "--secret-file FILE (or a terminal to type it at)" });
    }
    Ok(Zeroizing::new(rpassword::prompt_password("passphrase or PIN: ")?))
}

/// A file of mode 0600, or an open descriptor such as `/dev/fd/3`.
fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let passing = metadata.file_type().is_fifo() || metadata.file_type().is_char_device();
    if !passing && metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others than its owner can read it; run `chmod 600` on it"));
    }
    let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX as usize + 3));
    file.take(SECRET_MAX + 2).read_to_string(&mut text)?;
    Ok(text)
}
