//! Odyssey, the multi-threaded one that Debian has.
//! Never with its DISCARD ALL after each transaction, which would not be what is compared.

use anyhow::Result;

use super::{Launch, Place};
use crate::peers::Program;
use crate::setup::Login;

pub fn start(place: &Place) -> Result<Launch> {
    let Some(program) = Program::find("POOLWRIGHT_ODYSSEY", "usr/bin/odyssey") else {
        return Ok(Launch::LeftOut("not there: benches/peers.sh brings it".to_owned()));
    };
    let version = program.version().unwrap_or_default();
    place.write("odyssey.conf", &settings(place))?;
    let mut command = program.command();
    command.arg("odyssey.conf");
    Ok(Launch::Start(format!("odyssey {version}"), vec![command]))
}

fn settings(place: &Place) -> String {
    let (port, backend, workers) = (place.port, place.backend(), place.setup.workers);
    let folder = place.folder.display();
    let tls = match place.setup.tls {
        false => "tls \"disable\"".to_owned(),
        true => {
            let certificates = &place.site.certificates;
            let certificate = certificates.certificate.display();
            let key = certificates.key.display();
            format!("tls \"require\"\n tls_cert_file \"{certificate}\"\n tls_key_file \"{key}\"")
        }
    };
    let databases: String = place.databases().iter().map(|name| database(place, name)).collect();
    format!(
        "daemonize no
log_to_stdout yes
log_format \"%l (%c) %m\\n\"
log_session no
log_query no
log_stats no
workers {workers}
locks_dir \"{folder}\"
enable_online_restart no
listen {{
 host \"127.0.0.1\"
 port {port}
 backlog 1024
 {tls}
}}
storage \"backend\" {{
 type \"remote\"
 host \"127.0.0.1:{backend}\"
 tls \"disable\"
}}
{databases}"
    )
}

fn database(place: &Place, name: &str) -> String {
    let rules: String = place.users().iter().map(|user| rule(place, user)).collect();
    format!("database \"{name}\" {{\n{rules}}}\n")
}

fn rule(place: &Place, user: &str) -> String {
    let pool = place.setup.pool;
    let login = match place.setup.login {
        Login::Scram => {
            let verifier = &place.site.verifier;
            format!("authentication \"scram-sha-256\"\n  password \"{verifier}\"")
        }
        _ => "authentication \"none\"".to_owned(),
    };
    format!(
        " user \"{user}\" {{
  {login}
  storage \"backend\"
  pool \"transaction\"
  pool_size {pool}
  pool_timeout 0
  pool_discard no
  pool_reserve_prepared_statement yes
 }}
"
    )
}
