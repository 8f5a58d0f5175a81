//! Clients of the same user that use the same servers meanwhile, in ways that would show if
//! anything of theirs were left behind. Never holds a server for long.

use poolwright_tests::pg::{Client, Flight, Target};
use poolwright_tests::random::Random;
use poolwright_tests::site::Site;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Neighbours {
    leave: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Neighbours {
    pub fn move_in(site: &Site, count: u64) -> Neighbours {
        let (leave, left) = watch::channel(false);
        let live = |number| tokio::spawn(live(site.target("alice"), number, left.clone()));
        Neighbours { tasks: (0..count).map(live).collect(), leave }
    }

    /// Ends them; fails if one of them saw something wrong.
    pub async fn move_out(self) {
        let _ = self.leave.send(true);
        for task in self.tasks {
            task.await.expect("a neighbour met something wrong");
        }
    }
}

async fn live(target: Target, number: u64, left: watch::Receiver<bool>) {
    let mut random = Random::new(number);
    let mut client = target.connect().await.expect("a neighbour logs in");
    let own = format!("neighbour {number}");
    let statement = format!("SELECT $1::text, 'of {own}'");
    let named = Flight::new().parse("s1", &statement).sync();
    client.expect(named, &["Parsed", "Ready(I)"]).await;
    while !*left.borrow() {
        act(&mut client, &mut random, &own).await;
        tokio::task::yield_now().await;
    }
}

async fn act(client: &mut Client, random: &mut Random, own: &str) {
    let row = format!("Row({own}|of {own})");
    let one = format!("Row({own})");
    match random.below(6) {
        0 => assert_eq!(client.cell(&format!("SELECT '{own}'")).await, own),
        1 => {
            let flight = Flight::new().unnamed("SELECT $1::text", &[own]).sync();
            client.expect(flight, &["Parsed", "Bound", &one, "Done(SELECT 1)", "Ready(I)"]).await;
        }
        2 => {
            let flight = Flight::new().run("s1", &[own]).sync();
            client.expect(flight, &["Bound", &row, "Done(SELECT 1)", "Ready(I)"]).await;
        }
        3 => {
            let flight = Flight::new().unnamed("SELECT 1/$1::int", &["0"]).sync();
            client.expect(flight, &["Parsed", "Error(22012)", "Ready(I)"]).await;
        }
        4 => {
            client.run("BEGIN").await;
            assert_eq!(client.cell(&format!("SELECT '{own}'")).await, own);
            client.run("ROLLBACK").await;
        }
        _ => client.run(&format!("SET application_name = '{own}'")).await,
    }
}
