//! How long whoever gave a wrong password waits for the answer: longer each time, for each user and
//! address. It refuses nobody, and delays no password that is right.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::sleep;

/// After the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// It grows no more after so many: 6.4 s.
const DOUBLINGS: u32 = 6;
/// Without a failure for so long all is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// Users and addresses that are remembered; beyond it those go that failed least. One is about 40
/// bytes.
const REMEMBERED: usize = 20_000;

/// Who failed lately.
#[derive(Default)]
pub struct Penalties {
    /// Names may be long: only their hashes are kept.
    hasher: RandomState,
    failures: RefCell<HashMap<u64, Failures>>,
    /// Answers that are held back now, by address.
    held_back: RefCell<HashMap<u64, u32>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Penalties {
    /// A wrong password: returns when its sender has waited long enough.
    pub(super) async fn hold_back(&self, user: &str, address: IpAddr) {
        let delay = self.fail(user, address, Instant::now());
        let home = home(address);
        *self.held_back.borrow_mut().entry(home).or_default() += 1;
        sleep(delay).await;
        if let Entry::Occupied(mut count) = self.held_back.borrow_mut().entry(home) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many answers to this address are held back.
    pub(super) fn held_back(&self, address: IpAddr) -> u32 {
        self.held_back.borrow().get(&home(address)).copied().unwrap_or(0)
    }

    /// A wrong password; how long its sender is to wait.
    fn fail(&self, user: &str, address: IpAddr, now: Instant) -> Duration {
        let mut failures = self.failures.borrow_mut();
        let who = self.who(user, address);
        if failures.len() >= REMEMBERED && !failures.contains_key(&who) {
            make_room(&mut failures, now);
        }
        let entry = failures.entry(who).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(entry.last) > FORGET {
            entry.count = 0;
        }
        let delay = FIRST * 2_u32.pow(entry.count.min(DOUBLINGS));
        *entry = Failures { count: entry.count.saturating_add(1), last: now };
        delay
    }

    /// A right one.
    pub(super) fn forgive(&self, user: &str, address: IpAddr) {
        self.failures.borrow_mut().remove(&self.who(user, address));
    }

    fn who(&self, user: &str, address: IpAddr) -> u64 {
        self.hasher.hash_one((user, home(address)))
    }
}

/// Who has one IPv6 address mostly has its whole /64.
fn home(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address)),
        IpAddr::V6(address) => (u128::from(address) >> 64) as u64 | 1 << 63,
    }
}

fn make_room(failures: &mut HashMap<u64, Failures>, now: Instant) {
    failures.retain(|_, it| now.saturating_duration_since(it.last) <= FORGET);
    let mut least = 1;
    while failures.len() >= REMEMBERED {
        failures.retain(|_, it| it.count > least);
        least += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn each_failure_of_a_user_at_an_address_waits_longer_up_to_a_bound() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        let mut delays = Vec::new();
        for _ in 0..9 {
            delays.push(penalties.fail("ann", address(HOME[0]), now).as_millis());
        }
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400]);
        for (user, home) in [("ann", HOME[1]), ("bob", HOME[0])] {
            assert_eq!(penalties.fail(user, address(home), now), FIRST, "{user} {home}");
        }
        penalties.forgive("ann", address(HOME[0]));
        assert_eq!(penalties.fail("ann", address(HOME[0]), now), FIRST);
        assert_eq!(penalties.fail("ann", address(HOME[0]), now), 2 * FIRST);
        let later = now + FORGET + Duration::from_secs(1);
        assert_eq!(penalties.fail("ann", address(HOME[0]), later), FIRST);
    }

    #[tokio::test]
    async fn a_whole_ipv6_network_is_one_address() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        penalties.fail("ann", address("fd00::1"), now);
        assert_eq!(penalties.fail("ann", address("fd00::2"), now), 2 * FIRST);
        assert_eq!(penalties.fail("ann", address("fd00:0:0:1::1"), now), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_counts_until_it_is_told() {
        let penalties = Penalties::default();
        let told = async {
            let once = || penalties.hold_back("ann", address(HOME[0]));
            tokio::join!(once(), once(), once())
        };
        let seen = async {
            let mut seen = Vec::new();
            for passed in [0, 101, 100, 200] {
                sleep(Duration::from_millis(passed)).await;
                seen.push(penalties.held_back(address(HOME[0])));
            }
            (seen, penalties.held_back(address(HOME[1])))
        };
        let (_, seen) = tokio::join!(told, seen);
        assert_eq!(seen, (vec![3, 2, 1, 0], 0));
        assert!(penalties.held_back.borrow().is_empty());
    }

    #[tokio::test]
    async fn however_many_fail_memory_is_bounded_and_the_worst_are_kept() {
        let (penalties, now) = (Penalties::default(), Instant::now());
        for _ in 0..3 {
            penalties.fail("ann", address(HOME[0]), now);
        }
        for number in 0..3 * REMEMBERED {
            penalties.fail(&format!("user {number}"), address(HOME[0]), now);
        }
        assert!(penalties.failures.borrow().len() <= REMEMBERED);
        assert_eq!(penalties.fail("ann", address(HOME[0]), now), 8 * FIRST);
    }
}
