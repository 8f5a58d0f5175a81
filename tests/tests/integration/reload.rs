//! A changed settings file: live where it can be, refused whole where it is wrong.

use poolwright_tests::pg::Fields;
use poolwright_tests::pooler::Settings;
use poolwright_tests::site::Site;

async fn reload(site: &Site, settings: &Settings) {
    site.pooler().write_settings(settings).unwrap();
    site.pooler().signal("HUP");
}

async fn generation_is(site: &Site, generation: f64) {
    site.metric_reaches("poolwright_settings_generation", "", |seen| seen == generation).await;
}

#[tokio::test]
async fn a_raised_size_serves_those_who_wait_and_a_lowered_one_closes_the_rest() {
    let site = Site::pooled(&[("pool.size", "1"), ("generation", "1")]).await;
    let mut holder = site.connect("alice").await;
    holder.run("BEGIN").await;
    let target = site.target("alice");
    let waiter = tokio::spawn(async move {
        let mut client = target.connect().await.unwrap();
        client.run("BEGIN").await;
        client
    });
    site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n >= 1.0).await;
    reload(&site, &site.settings.clone().with("pool.size", "2").with("generation", "2")).await;
    let mut waiter = waiter.await.unwrap();
    assert_eq!(site.server_connections().await, 2);
    reload(&site, &site.settings.clone().with("pool.size", "1").with("generation", "3")).await;
    generation_is(&site, 3.0).await;
    assert_eq!(site.server_connections().await, 2, "a busy connection was closed");
    waiter.run("COMMIT").await;
    holder.run("COMMIT").await;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, "1").await;
    assert_eq!(waiter.cell("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_file_change_alone_is_noticed() {
    let site = Site::pooled(&[("generation", "1")]).await;
    site.pooler().write_settings(&site.settings.clone().with("generation", "2")).unwrap();
    generation_is(&site, 2.0).await;
}

#[tokio::test]
async fn users_come_and_go_without_a_restart() {
    let site = Site::pooled(&[("generation", "1")]).await;
    site.postgres.add_user("late_comer", "").await.unwrap();
    assert!(site.target("late_comer").connect().await.is_err());
    let mut alice = site.connect("alice").await;
    reload(&site, &site.settings.clone().user("late_comer").with("generation", "2")).await;
    generation_is(&site, 2.0).await;
    assert_eq!(site.connect("late_comer").await.cell("SELECT current_user").await, "late_comer");
    assert_eq!(alice.cell("SELECT 'still here'").await, "still here");
    reload(&site, &site.settings.clone().with("generation", "3")).await;
    generation_is(&site, 3.0).await;
    let error = site.target("late_comer").connect().await.err().expect("no longer known");
    assert_eq!(error.downcast::<Fields>().unwrap().code, "28P01");
}

#[tokio::test]
async fn a_new_database_is_served_at_once() {
    let site = Site::pooled(&[("generation", "1")]).await;
    let other = Site::direct().await;
    let mut target = site.target("alice");
    target.database = other.database.clone();
    assert!(target.connect().await.is_err());
    let settings = site.settings.clone().database(&other.database).with("generation", "2");
    reload(&site, &settings).await;
    generation_is(&site, 2.0).await;
    let mut client = site.connect_to(target).await;
    assert_eq!(client.cell("SELECT current_database()").await, other.database);
}

#[tokio::test]
async fn a_broken_file_is_refused_whole_and_the_last_good_one_serves() {
    let mut site = Site::pooled(&[("pool.size", "1"), ("generation", "1")]).await;
    site.expect_complaint("reload");
    let broken = [
        site.settings.clone().with("pool.size", "0").yaml(),
        site.settings.clone().with("pool.size", "9").with("pool.noSuchSetting", "1").yaml(),
        site.settings.clone().with("pool.waitTimeout", "5").yaml(),
        "}{ no yaml".to_owned(),
        String::new(),
    ];
    for (count, text) in broken.iter().enumerate() {
        site.pooler().write_text(text).unwrap();
        site.pooler().signal("HUP");
        let count = (count + 1) as f64;
        site.metric_reaches("poolwright_settings_rejected_total", "", |n| n >= count).await;
        assert_eq!(site.pooler().metric("poolwright_settings_generation", "").await, 1.0);
        assert_eq!(site.connect("alice").await.cell("SELECT 1").await, "1");
        assert_eq!(site.pooler().get("/readyz").await.unwrap().0, 200);
    }
    reload(&site, &site.settings.clone().with("generation", "2")).await;
    generation_is(&site, 2.0).await;
}

#[tokio::test]
async fn a_lower_limit_of_a_server_is_reached_without_a_failed_request() {
    let changes = [("pool.size", "6"), ("servers.0.maxConnections", "6"), ("generation", "1")];
    let site = Site::pooled(&changes).await;
    let mut tasks = Vec::new();
    let stop = tokio::sync::watch::channel(false);
    for _ in 0..20 {
        let (target, stopped) = (site.target("alice"), stop.1.clone());
        tasks.push(tokio::spawn(async move {
            let mut client = target.connect().await.unwrap();
            while !*stopped.borrow() {
                client.run("SELECT pg_sleep(0.001)").await;
            }
        }));
    }
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'alice' AND datname = '{}'",
        site.database
    );
    site.eventually(&sql, "6").await;
    let lower = [("servers.0.maxConnections", "2"), ("generation", "2")];
    let lower = lower.iter().fold(site.settings.clone(), |s, (path, value)| s.with(path, value));
    reload(&site, &lower).await;
    site.eventually(&sql, "2").await;
    stop.0.send(true).unwrap();
    for task in tasks {
        task.await.expect("a client met something wrong");
    }
}

#[tokio::test]
async fn a_wrong_file_at_the_start_names_every_problem_and_the_process_ends() {
    let settings = Settings::new(5432, "app", &["alice"])
        .with("pool.size", "many")
        .with("pool.waitTimeout", "5")
        .with("databases.0.server", "elsewhere");
    let mut pooler = poolwright_tests::pooler::Pooler::launch(settings).unwrap();
    let status = pooler.wait(std::time::Duration::from_secs(20)).expect("it must end");
    assert!(!status.success());
    let log = pooler.log();
    assert!(log.contains("pool.size"), "{log}");
    assert!(log.contains("waitTimeout") && log.contains("server"), "{log}");
}

#[tokio::test]
async fn connections_that_are_open_run_what_the_settings_say_from_now_on() {
    let site = Site::pooled(&[("pool.size", "1"), ("generation", "1")]).await;
    let mut client = site.connect("alice").await;
    let pid = "SELECT pg_backend_pid()";
    let before = client.cell(pid).await;
    let changed = site.settings.clone().with("serverResetQuery", "SET work_mem = '6MB'");
    let changed = changed.with("databases.0.connectQuery", "SET temp_buffers = '7MB'");
    reload(&site, &changed.with("generation", "2")).await;
    generation_is(&site, 2.0).await;
    client.run("CREATE TEMP TABLE left_behind (a int)").await;
    client.terminate().await.unwrap();
    let mut next = site.connect("alice").await;
    assert_eq!(next.cell("SHOW work_mem").await, "6MB");
    assert_eq!(next.cell("SHOW temp_buffers").await, "7MB");
    assert_eq!(next.cell(pid).await, before);
}

#[tokio::test]
async fn a_server_has_no_more_connections_for_having_another_name() {
    let changes = [("pool.size", "2"), ("servers.0.maxConnections", "2"), ("generation", "1")];
    let site = Site::pooled(&changes).await;
    let (mut one, mut two) = (site.connect("alice").await, site.connect("alice").await);
    for client in [&mut one, &mut two] {
        client.run("BEGIN").await;
    }
    let renamed = site.settings.clone().with("servers.0.name", "other");
    reload(&site, &renamed.with("databases.0.server", "other").with("generation", "2")).await;
    generation_is(&site, 2.0).await;
    let target = site.target("alice");
    let waiter = tokio::spawn(async move { target.connect().await.unwrap() });
    site.metric_reaches("poolwright_client_connections", "state=\"waiting\"", |n| n >= 1.0).await;
    assert_eq!(site.server_connections().await, 2);
    one.run("COMMIT").await;
    assert_eq!(waiter.await.unwrap().cell("SELECT 'served'").await, "served");
    assert!(site.server_connections().await <= 2);
    two.run("COMMIT").await;
}
