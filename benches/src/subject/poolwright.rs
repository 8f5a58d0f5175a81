//! Ours, as built or as `POOLWRIGHT_POOLER` names it.
//! Never with a setting that its users would not have.

use std::path::Path;

use anyhow::{Context, Result, bail};
use poolwright_tests::pooler::{Settings, binary};
use poolwright_tests::postgres::free_port;
use poolwright_tests::process;

use super::{Launch, Place};
use crate::setup::{Login, Tidying};

pub fn start(place: &Place) -> Result<Launch> {
    let program = binary()?;
    let mut settings = settings(place)?;
    let asked = place.setup;
    let workers = asked.workers.to_string();
    let mut additions = vec![("workers", workers.as_str())];
    if asked.workers > 1 && asked.databases == 1 {
        additions.push(("databases.0.workers", &workers));
    }
    if asked.login == Login::Trust {
        additions.push(("listen.auth", "trust"));
    }
    for (path, value) in additions {
        let more = settings.clone().with(path, value);
        match problems(place, &program, &more)? {
            None => settings = more,
            // Builds from before this setting have one worker.
            Some(_) if path == "workers" && asked.workers == 1 => {}
            Some(problems) => return Ok(Launch::LeftOut(format!("this build: {problems}"))),
        }
    }
    if let Some(problems) = problems(place, &program, &settings)? {
        bail!("{problems}");
    }
    let mut command = process::bound_to_us(&program, "KILL", None);
    command.arg("settings.yaml").env("NO_COLOR", "1").env("RUST_LOG", "warn");
    Ok(Launch::Start("poolwright".to_owned(), vec![command]))
}

fn settings(place: &Place) -> Result<Settings> {
    let setup = place.setup;
    let databases = place.databases();
    let mut settings = Settings::new(place.backend(), &databases[0], &[])
        .with("listen.port", &place.port.to_string())
        .with("admin.port", &free_port()?.to_string())
        .with("servers.0.tls.mode", "disable")
        .with("servers.0.maxConnections", &setup.cap.to_string())
        .with("pool.size", &setup.pool.to_string())
        .with("pool.idleTimeout", &format!("{}s", setup.idle_timeout))
        .with("maxClients", "50000")
        .with("usersFile", "users.yaml");
    for database in &databases[1..] {
        settings = settings.database(database);
    }
    settings = match setup.tidying {
        Tidying::Usual => settings,
        Tidying::Always => settings.with("pool.isolation", "strict"),
        Tidying::Never => settings.with("pool.pinning", "off"),
    };
    place.write("users.yaml", &users(place))?;
    if setup.tls {
        let certificates = &place.site.certificates;
        settings = settings
            .with("listen.tls.mode", "require")
            .with("listen.tls.certFile", &certificates.certificate.to_string_lossy())
            .with("listen.tls.keyFile", &certificates.key.to_string_lossy());
    }
    Ok(settings)
}

fn users(place: &Place) -> String {
    let verifier = &place.site.verifier;
    let line = |user: &String| format!("- {{name: {user}, scramVerifier: '{verifier}'}}\n");
    place.users().iter().map(line).fold("users:\n".to_owned(), |text, line| text + &line)
}

/// Writes the settings; what the pooler finds wrong with them.
fn problems(place: &Place, program: &Path, settings: &Settings) -> Result<Option<String>> {
    let file = place.write("settings.yaml", &settings.yaml())?;
    let mut command = std::process::Command::new(program);
    let output = command.arg(file).arg("--check").output().context("check the settings")?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Some(text.lines().skip(1).collect::<Vec<_>>().join("; ")))
}
