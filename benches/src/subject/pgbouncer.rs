//! PgBouncer, the cheapest of the others; with several workers, as many processes on one port.
//! Never with limits that differ from ours in sum.

use std::process::Command;

use anyhow::Result;

use super::{Launch, Place};
use crate::peers::Program;
use crate::setup::{Login, Tidying};

pub fn start(place: &Place) -> Result<Launch> {
    let found = Program::find("POOLWRIGHT_PGBOUNCER", "usr/sbin/pgbouncer");
    let Some(program) = found else {
        return Ok(Launch::LeftOut("not there: benches/peers.sh brings it".to_owned()));
    };
    let version = program.version().unwrap_or_default();
    let knows_statements = new_enough(&version);
    if place.setup.prepared && !knows_statements {
        let reason = format!("{version} has no prepared statements in transaction mode");
        return Ok(Launch::LeftOut(reason));
    }
    place.write("users", &users(place))?;
    place.write("pgbouncer.ini", &ini(place, knows_statements))?;
    let processes = (0..place.setup.workers).map(|_| command(&program));
    Ok(Launch::Start(format!("pgbouncer {version}"), processes.collect()))
}

fn command(program: &Program) -> Command {
    let mut command = program.command();
    command.args(["-q", "pgbouncer.ini"]);
    command
}

/// Prepared statements came with 1.21.
fn new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 21)
}

fn users(place: &Place) -> String {
    let verifier = &place.site.verifier;
    place.users().iter().map(|user| format!("\"{user}\" \"{verifier}\"\n")).collect()
}

fn ini(place: &Place, knows_statements: bool) -> String {
    let setup = place.setup;
    let (backend, port) = (place.backend(), place.port);
    let database = |name: String| format!("{name} = host=127.0.0.1 port={backend}\n");
    let databases: String = place.databases().into_iter().map(database).collect();
    let login = if setup.login == Login::Scram { "scram-sha-256" } else { "trust" };
    let pool = setup.pool / setup.workers;
    let idle_timeout = setup.idle_timeout;
    let cap = setup.cap / setup.databases / setup.workers;
    let mut text = format!(
        "[databases]
{databases}[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
listen_backlog = 1024
unix_socket_dir =
auth_type = {login}
auth_file = users
pool_mode = transaction
default_pool_size = {pool}
max_db_connections = {cap}
max_client_conn = 50000
server_idle_timeout = {idle_timeout}
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
log_stats = 0
"
    );
    if knows_statements {
        text += "max_prepared_statements = 200\n";
    }
    if setup.parameters {
        text += "track_extra_parameters = IntervalStyle, search_path\n";
    }
    if setup.tidying == Tidying::Always {
        text += "server_reset_query_always = 1\n";
    }
    if setup.workers > 1 {
        text += "so_reuseport = 1\n";
    }
    if setup.tls {
        let certificates = &place.site.certificates;
        let certificate = certificates.certificate.display();
        let key = certificates.key.display();
        text += &format!("client_tls_sslmode = require\nclient_tls_cert_file = {certificate}\n");
        text += &format!("client_tls_key_file = {key}\n");
    }
    text
}
