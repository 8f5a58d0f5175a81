//! Changes of the files while a process runs; the tests look when the timer would.

use std::rc::Rc;
use std::sync::Arc;

use poolwright_settings::Fingerprint;
use poolwright_settings::control::{Push, Totals, Verdict};
use tokio::sync::watch;

use super::Reloader;
use crate::config::tests::{Folder, SETTINGS, USERS};
use crate::config::{Config, Pushed, load};
use crate::metrics::Metrics;

struct Running {
    folder: Folder,
    reloader: Reloader,
    config: watch::Receiver<Arc<Config>>,
    metrics: Rc<Metrics>,
}

fn start() -> Running {
    let folder = Folder::with_settings();
    let metrics = Rc::new(Metrics::default());
    let (result, seen) = load(&folder.settings(), &Pushed::default()).into_parts();
    let Ok(config) = result else { panic!("the files are right") };
    let (reloader, config) = Reloader::new(folder.settings(), config, seen, Rc::clone(&metrics));
    Running { folder, reloader, config, metrics }
}

impl Running {
    /// Whether the next look hands a new config on.
    async fn look_finds_new(&mut self) -> bool {
        self.reloader.look().await;
        let new = self.config.has_changed().expect("the reloader is there");
        self.config.mark_unchanged();
        new
    }

    fn rejected(&self) -> u64 {
        self.metrics.settings_rejected.get()
    }
}

#[tokio::test]
async fn nothing_is_handed_on_while_nothing_changes() {
    let mut running = start();
    assert!(!running.look_finds_new().await);
    running.folder.write("settings.yaml", SETTINGS);
    assert!(!running.look_finds_new().await);
    assert_eq!(running.rejected(), 0);
}

#[tokio::test]
async fn a_change_of_either_file_is_handed_on() {
    let mut running = start();
    running.folder.write("settings.yaml", format!("{SETTINGS}generation: 8\nmaxClients: 9\n"));
    assert!(running.look_finds_new().await);
    assert_eq!(running.config.borrow().max_clients, 9);
    assert_eq!(running.metrics.settings_generation.get(), Some(8));
    running.folder.write("credentials/users.yaml", USERS.replace("ws_001", "ws_002"));
    assert!(running.look_finds_new().await);
    assert!(running.config.borrow().users.contains_key("ws_002"));
}

#[tokio::test]
async fn the_last_good_config_stays_until_the_files_are_right_again() {
    let mut running = start();
    running.folder.write("settings.yaml", format!("{SETTINGS}maxClients: 0\n"));
    assert!(!running.look_finds_new().await);
    assert_eq!((running.rejected(), running.config.borrow().max_clients), (1, 10_000));
    assert!(!running.look_finds_new().await);
    assert_eq!(running.rejected(), 1);
    running.folder.write("settings.yaml", format!("{SETTINGS}maxClients: 7\n"));
    assert!(running.look_finds_new().await);
    assert_eq!((running.rejected(), running.config.borrow().max_clients), (1, 7));
}

#[tokio::test]
async fn two_volumes_that_change_at_different_times_meet_in_the_end() {
    let mut running = start();
    let moved = SETTINGS.replace("credentials/", "rotated/");
    running.folder.write("settings.yaml", moved);
    assert!(!running.look_finds_new().await);
    assert_eq!(running.rejected(), 1);
    running.folder.write("rotated/users.yaml", USERS.replace("hunter2", "hunter3"));
    assert!(running.look_finds_new().await);
    let config = running.config.borrow();
    let password = config.users["ws_001"].server_password.as_ref();
    assert_eq!(password.map(|secret| secret.expose()), Some("hunter3"));
}

#[tokio::test]
async fn the_swap_of_a_mounted_volume_is_noticed() {
    let mut running = start();
    running.folder.write("..2/settings.yaml", format!("{SETTINGS}maxClients: 2\n"));
    running.folder.write("..3/settings.yaml", format!("{SETTINGS}maxClients: 3\n"));
    running.folder.link("..2", "..data");
    running.folder.link("..data/settings.yaml", "settings.yaml");
    for (folder, max_clients) in [("..2", 2), ("..3", 3)] {
        running.folder.link(folder, "..data");
        assert!(running.look_finds_new().await);
        assert_eq!(running.config.borrow().max_clients, max_clients);
    }
}

fn push(generation: u64, max_clients: u32) -> Push {
    let settings = format!("{SETTINGS}generation: {generation}\nmaxClients: {max_clients}\n");
    let users = USERS.replace("hunter2", "pushed");
    let files = [("credentials/users.yaml".to_owned(), users)].into();
    Push { settings, files, totals: Totals::default() }
}

impl Running {
    fn in_force(&self) -> (Option<u64>, u32, String) {
        let config = self.config.borrow();
        let password = config.users["ws_001"].server_password.as_ref();
        let password = password.map(|secret| secret.expose().to_owned()).unwrap_or_default();
        (config.generation, config.max_clients, password)
    }
}

#[tokio::test]
async fn what_is_pushed_is_in_force_when_it_is_answered() {
    let mut running = start();
    let answer = running.reloader.take(push(5, 50)).await;
    assert_eq!((answer.verdict, answer.generation), (Verdict::Applied, Some(5)));
    assert_eq!(running.in_force(), (Some(5), 50, "pushed".to_owned()));
    assert_eq!(running.reloader.take(push(5, 50)).await.verdict, Verdict::Applied);
    assert!(!running.look_finds_new().await || running.in_force().1 == 50);
}

#[tokio::test]
async fn a_push_with_problems_changes_nothing_and_names_them() {
    let mut running = start();
    running.reloader.take(push(5, 50)).await;
    let answer = running.reloader.take(push(6, 0)).await;
    assert_eq!((answer.verdict, answer.generation), (Verdict::Rejected, Some(5)));
    assert!(answer.problems[0].contains("maxClients"), "{:?}", answer.problems);
    assert_eq!(running.in_force(), (Some(5), 50, "pushed".to_owned()));
    assert_eq!(running.rejected(), 1);
}

#[tokio::test]
async fn no_generation_before_a_pushed_one_comes_back_pushed_or_by_the_files() {
    let mut running = start();
    running.reloader.take(push(5, 50)).await;
    let answer = running.reloader.take(push(4, 40)).await;
    assert_eq!((answer.verdict, answer.generation), (Verdict::Outdated, Some(5)));
    for generation in [4, 5] {
        let late = format!("{SETTINGS}generation: {generation}\nmaxClients: 9\n");
        running.folder.write("settings.yaml", late);
        running.reloader.look().await;
        assert_eq!(running.in_force(), (Some(5), 50, "pushed".to_owned()));
    }
    running.folder.write("settings.yaml", format!("{SETTINGS}generation: 6\nmaxClients: 60\n"));
    running.reloader.look().await;
    assert_eq!(running.in_force(), (Some(6), 60, "hunter2".to_owned()));
}

#[tokio::test]
async fn an_answer_has_the_hash_of_what_is_in_force() {
    let mut running = start();
    let hash = |push: &Push| Some(Fingerprint::of(push));
    for applied in [push(5, 50), push(5, 51)] {
        assert_eq!(running.reloader.take(applied.clone()).await.hash, hash(&applied));
    }
    for refused in [push(6, 0), push(4, 40)] {
        assert_eq!(running.reloader.take(refused).await.hash, hash(&push(5, 51)));
    }
    running.folder.write("settings.yaml", format!("{SETTINGS}generation: 6\nmaxClients: 60\n"));
    running.reloader.look().await;
    let answer = running.reloader.take(push(5, 50)).await;
    assert_eq!((answer.generation, answer.hash), (Some(6), None));
}

#[tokio::test]
async fn two_volumes_of_one_generation_are_taken_over_when_both_have_come() {
    let mut running = start();
    running.reloader.take(push(5, 50)).await;
    running.folder.write("settings.yaml", format!("{SETTINGS}generation: 6\nmaxClients: 60\n"));
    running.folder.write("credentials/users.yaml", format!("{USERS}generation: 4\n"));
    running.reloader.look().await;
    assert_eq!(running.in_force(), (Some(5), 50, "pushed".to_owned()));
    running.folder.write("credentials/users.yaml", format!("{USERS}generation: 6\n"));
    running.reloader.look().await;
    assert_eq!(running.in_force(), (Some(6), 60, "hunter2".to_owned()));
}
