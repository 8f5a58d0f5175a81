//! Who of several operators acts: the one that holds the Lease. The others stand by, with their
//! process started and their image pulled. It knows nothing of what the holder does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::home::Home;

/// A leader that has not renewed the Lease for so long is replaced, in seconds.
const DURATION: u64 = 15;
const GRACE: u64 = 5;
/// The longest that a request for the Lease may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is stood for: a Lease.
#[derive(Clone, Debug)]
pub struct Office {
    pub namespace: String,
    pub lease: String,
    /// A holder that has not renewed the Lease for so long is replaced, in seconds.
    pub duration: u64,
    /// It renews it so long before, in seconds; clocks may be apart by as much.
    pub grace: u64,
}

impl Office {
    /// To lead the operator's pods of one install.
    pub fn leader(home: &Home) -> Office {
        let (namespace, lease) = (home.namespace.clone(), home.install.clone());
        Office { namespace, lease, duration: DURATION, grace: GRACE }
    }

    /// Between two looks of a holder at its Lease.
    fn look_every(&self) -> Duration {
        Duration::from_secs(self.duration) / 8
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("make a client for the Lease: {0}")]
    Client(#[from] kube::Error),
    #[error("Lease {lease}: {source}")]
    Lease { lease: String, source: LeaseManagerError },
    #[error("the election ended by itself")]
    Ended,
    #[error("Lease {lease}: {source}")]
    Read { lease: String, source: kube::Error },
    #[error("nobody leads: nobody has renewed Lease {0} within {DURATION} s")]
    Nobody(String),
}

/// How long this process may write: to the end of its Lease, as far as it has seen it renewed. A
/// process that slept through that end finds it here, before it asks anybody.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<AtomicI64>);

impl Term {
    fn set(&self, until: Option<Timestamp>) {
        self.0.store(until.map_or(0, Timestamp::as_millisecond), Ordering::Relaxed);
    }

    fn holds(&self) -> bool {
        Timestamp::now().as_millisecond() < self.0.load(Ordering::Relaxed)
    }

    /// To be asked right before each write.
    ///
    /// # Errors
    /// If the Lease has run out: another process may lead.
    pub fn check(&self) -> Result<(), kube::Error> {
        let ended = "not sent: this operator's Lease has run out, so that another may lead";
        if self.holds() { Ok(()) } else { Err(kube::Error::Service(ended.into())) }
    }
}

/// The Lease, seen by the candidate of this name.
struct Seen {
    office: Office,
    identity: String,
    leases: Api<Lease>,
    term: Term,
}

/// This process's part in the election.
pub struct Candidate {
    seen: Seen,
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Candidate {
    /// Stands for election as `identity`; `term` follows the Lease. The client does not repeat
    /// requests by itself: a Lease that is renewed late is worth nothing. Waits for an API server
    /// that does not answer.
    ///
    /// # Errors
    /// If the Lease may not be read or made.
    pub async fn stand(
        mut config: Config,
        office: Office,
        identity: &str,
        term: Term,
    ) -> Result<Candidate, Error> {
        config.default_retry = false;
        (config.connect_timeout, config.read_timeout) = (Some(PATIENCE), Some(PATIENCE));
        config.write_timeout = Some(PATIENCE);
        let client = Client::try_from(config)?;
        let Office { namespace, lease, duration, grace } = office.clone();
        let leases = Api::namespaced(client.clone(), &namespace);
        let build = || {
            LeaseManagerBuilder::new(client.clone(), &lease)
                .with_namespace(&namespace)
                .with_identity(identity)
                .with_duration(duration)
                .with_grace(grace)
                .build()
        };
        let manager = loop {
            match build().await {
                Err(error) if is_away(&error) => {
                    tracing::warn!(%error, "waiting for the API server")
                }
                built => break built.map_err(|source| Error::Lease { lease, source })?,
            }
            sleep(office.look_every()).await;
        };
        let (leads, task) = manager.watch().await;
        let seen = Seen { office, identity: identity.to_owned(), leases, term };
        Ok(Candidate { seen, leads, task })
    }

    /// Waits until this process leads.
    ///
    /// # Errors
    /// [`Error::Ended`]: it never will.
    pub async fn elected(&mut self) -> Result<(), Error> {
        loop {
            self.leads.wait_for(|leads| *leads).await.map(drop).map_err(|_| Error::Ended)?;
            if self.seen.holds().await {
                return Ok(());
            }
            sleep(self.seen.office.look_every()).await;
        }
    }

    /// Waits until it leads no longer: another does, or it could not renew the Lease in time, so
    /// that another may.
    pub async fn replaced(&mut self) {
        let Candidate { seen, leads, .. } = self;
        tokio::select! {
            _ = leads.wait_for(|leads| !*leads) => {}
            () = seen.expired() => {}
        }
    }

    /// Lets another lead at once.
    pub async fn resign(self) {
        drop(self.leads);
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "the Lease was not released: another leads in {DURATION} s");
        }
    }

    /// Takes part no longer, and leaves the Lease as it is.
    pub fn vanish(&self) {
        self.task.abort();
    }
}

/// The identity of who leads this install now.
///
/// # Errors
/// [`Error::Nobody`], or the Lease cannot be read.
pub async fn leader(client: Client, home: &Home) -> Result<String, Error> {
    let Office { namespace, lease: name, duration, grace: _ } = Office::leader(home);
    let leases: Api<Lease> = Api::namespaced(client, &namespace);
    let found = leases.get_opt(&name).await;
    let found = found.map_err(|source| Error::Read { lease: name.clone(), source })?;
    let duration = Duration::from_secs(duration);
    let holder = found.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
    let until = found.zip(holder.as_ref()).and_then(|(it, who)| held_until(&it, who, duration));
    match holder.filter(|_| until.is_some_and(|until| until > Timestamp::now())) {
        Some(holder) => Ok(holder),
        None => Err(Error::Nobody(name)),
    }
}

impl Seen {
    /// Whether the Lease is this candidate's, as far as it can be read.
    async fn holds(&self) -> bool {
        let Seen { office, identity, leases, term } = self;
        match leases.get_opt(&office.lease).await {
            Ok(lease) => {
                let duration = Duration::from_secs(office.duration);
                term.set(lease.and_then(|lease| held_until(&lease, identity, duration)));
            }
            Err(error) => tracing::warn!(%error, "the Lease cannot be read"),
        }
        term.holds()
    }

    /// Until it is not.
    async fn expired(&self) {
        while self.holds().await {
            sleep(self.office.look_every()).await;
        }
    }
}

/// Whether nobody answered, or only to say that they cannot.
fn is_away(error: &LeaseManagerError) -> bool {
    match error {
        LeaseManagerError::KubeError(kube::Error::Api(status)) => status.code >= 500,
        LeaseManagerError::KubeError(_) => true,
        _ => false,
    }
}

/// `None`: somebody else's, or nobody's.
fn held_until(lease: &Lease, identity: &str, duration: Duration) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let ours = spec.holder_identity.as_deref() == Some(identity);
    let renewed = spec.renew_time.as_ref().filter(|_| ours)?;
    renewed.0.checked_add(duration).ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime,
    };

    use super::*;
    use crate::testing;

    #[test]
    fn nothing_is_written_before_or_after_the_term() {
        let term = Term::default();
        assert!(term.check().is_err());
        term.set(Some(Timestamp::now() + Duration::from_secs(60)));
        assert!(term.check().is_ok());
        term.set(Some(Timestamp::now() - Duration::from_millis(1)));
        assert!(term.check().is_err());
        term.set(None);
        assert!(term.check().is_err());
    }

    #[test]
    fn a_lease_is_held_for_a_while_after_its_renewal_by_whom_it_names() {
        let lease = |holder: Option<&str>, renewed: bool| Lease {
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                renew_time: renewed.then(|| MicroTime(testing::now())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        let duration = Duration::from_secs(DURATION);
        let held_until = |lease: &Lease, identity| held_until(lease, identity, duration);
        let until = testing::now() + duration;
        assert_eq!(held_until(&lease(Some("me"), true), "me"), Some(until));
        assert_eq!(held_until(&lease(Some("you"), true), "me"), None);
        assert_eq!(held_until(&lease(Some("me"), false), "me"), None);
        assert_eq!(held_until(&lease(None, true), "me"), None);
    }
}
