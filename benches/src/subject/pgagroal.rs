//! pgagroal: one process for each client, with the pipeline that it chooses itself, which keeps a
//! server connection for each client. Never with its transaction pipeline: that of 2.1 loses
//! clients that log in at the same time (each binds the same socket), so nothing came of it here.

use anyhow::{Result, bail};
use poolwright_tests::postgres::password_of;

use super::{Launch, Place};
use crate::peers::Program;
use crate::setup::Login;

pub fn start(place: &Place) -> Result<Launch> {
    let Some(program) = Program::find("POOLWRIGHT_PGAGROAL", "usr/bin/pgagroal") else {
        return Ok(Launch::LeftOut("not there: benches/peers.sh brings it".to_owned()));
    };
    if let Some(reason) = unable(place) {
        return Ok(Launch::LeftOut(reason.to_owned()));
    }
    let version = program.version().unwrap_or_default();
    place.write("pgagroal.conf", &settings(place))?;
    place.write("hba.conf", "host all all all trust\n")?;
    place.write("databases.conf", &databases(place))?;
    add_users(place, &program)?;
    let mut command = program.command();
    command.args(["-c", "pgagroal.conf", "-a", "hba.conf", "-l", "databases.conf"]);
    command.args(["-u", "users.conf"]);
    Ok(Launch::Start(format!("pgagroal {version} (sessions)"), vec![command]))
}

fn unable(place: &Place) -> Option<&'static str> {
    let setup = place.setup;
    match () {
        () if setup.login != Login::Whichever => Some("it loses clients that log in at once"),
        () if setup.tls => Some("its TLS towards clients answered no"),
        () if setup.crowded => Some("its transaction mode loses clients that log in at once"),
        () if setup.workers > 1 => Some("it has no workers to set"),
        () if setup.databases * setup.users > 64 => Some("it takes 64 users and databases"),
        () => None,
    }
}

fn settings(place: &Place) -> String {
    let (port, backend, folder) = (place.port, place.backend(), place.folder.display());
    let connections = place.setup.cap;
    format!(
        "[pgagroal]
host = 127.0.0.1
port = {port}
unix_socket_dir = {folder}
log_type = console
log_level = warn
pipeline = auto
max_connections = {connections}
allow_unknown_users = false
blocking_timeout = 0
ev_backend = epoll
validation = off
backlog = 1024
[primary]
host = 127.0.0.1
port = {backend}
primary = on
"
    )
}

fn databases(place: &Place) -> String {
    let pool = place.setup.pool;
    let users = place.users();
    let line = |database: String| -> String {
        users.iter().map(|user| format!("{database} {user} {pool}\n")).collect()
    };
    place.databases().into_iter().map(line).collect()
}

/// Its users' passwords lie encrypted under a key of its own, which its own program makes.
fn add_users(place: &Place, program: &Program) -> Result<()> {
    let admin = |arguments: &[&str]| -> Result<()> {
        let mut command = program.beside("pgagroal-admin").command();
        command.current_dir(&place.folder).env("HOME", &place.folder).args(arguments);
        let output = command.output()?;
        if !output.status.success() {
            bail!("pgagroal-admin: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    admin(&["-P", "a key for one run", "master-key"])?;
    for user in place.users() {
        let password = password_of(crate::site::USER);
        admin(&["-f", "users.conf", "-U", &user, "-P", &password, "user", "add"])?;
    }
    Ok(())
}
