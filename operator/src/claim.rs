//! Which of several installs serves a namespace: the one that holds the claim there, a Lease that
//! outlives a restart of its holder. It knows nothing of what is served.
//!
//! An install for one namespace claims that namespace. An install for all claims the cluster, and
//! leaves alone each namespace that another has claimed: who was put there was put there on purpose.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, Config};

use crate::{
    controller::Scope,
    election::{Candidate, Error, Office, Term},
    home::Home,
};

/// The claim of a namespace, in it.
pub const NAMESPACE_CLAIM: &str = "poolwright-claim";
/// The claim of the cluster, in a namespace that every cluster has.
const CLUSTER_CLAIM: &str = "poolwright-cluster-claim";
const EVERYWHERE: &str = "default";
/// A claim that was not renewed for so long is another's to take, in seconds: longer than an
/// operator needs to come back on another node.
const DURATION: u64 = 60;
const GRACE: u64 = 15;

/// What this install claims, and how it is known to others.
pub struct Claim {
    pub home: Home,
    /// Namespace and name of the install.
    pub install: String,
    /// Where the Lease is.
    namespace: String,
    lease: &'static str,
}

/// Holds the claim as long as it lives, and does not give it back: the same install comes again, or
/// it runs out.
pub struct Held(Candidate);

impl Claim {
    pub fn of(scope: &Scope, home: Home) -> Claim {
        let (namespace, lease) = match scope {
            Scope::All => (EVERYWHERE.to_owned(), CLUSTER_CLAIM),
            Scope::One(namespace) => (namespace.clone(), NAMESPACE_CLAIM),
        };
        let install = format!("{}/{}", home.namespace, home.install);
        Claim { home, install, namespace, lease }
    }

    /// Takes part in the claim, for this install; see [`Held::granted`].
    ///
    /// # Errors
    /// If the Lease cannot be read or made.
    pub async fn stake(&self, config: Config) -> Result<Held, Error> {
        let office = Office {
            namespace: self.namespace.clone(),
            lease: self.lease.to_owned(),
            duration: DURATION,
            grace: GRACE,
        };
        Candidate::stand(config, office, &self.install, Term::default()).await.map(Held)
    }

    /// What is claimed, in words.
    pub fn what(&self) -> String {
        format!("Lease {}/{}", self.namespace, self.lease)
    }

    /// Who else holds what this install claims.
    ///
    /// # Errors
    /// If the API server does not answer or refuses.
    pub async fn holder(&self, client: &Client) -> Result<Option<String>, kube::Error> {
        self.other(client, &self.namespace, self.lease).await
    }

    /// Who else serves this namespace although this install serves all.
    ///
    /// # Errors
    /// If the API server does not answer or refuses.
    pub async fn exempt(
        &self,
        client: &Client,
        namespace: &str,
    ) -> Result<Option<String>, kube::Error> {
        if self.lease == NAMESPACE_CLAIM {
            return Ok(None);
        }
        self.other(client, namespace, NAMESPACE_CLAIM).await
    }

    async fn other(
        &self,
        client: &Client,
        namespace: &str,
        lease: &str,
    ) -> Result<Option<String>, kube::Error> {
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = leases.get_opt(lease).await?;
        let holder = lease.and_then(|lease| holder(&lease, Timestamp::now()));
        Ok(holder.filter(|holder| *holder != self.install))
    }
}

impl Held {
    /// Waits until this install holds the claim.
    ///
    /// # Errors
    /// [`Error::Ended`]: it never will.
    pub async fn granted(&mut self) -> Result<(), Error> {
        self.0.elected().await
    }

    /// Waits until another may hold it.
    pub async fn lost(&mut self) {
        self.0.replaced().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.vanish();
    }
}

/// Who holds the Lease now.
fn holder(lease: &Lease, now: Timestamp) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let seconds = spec.lease_duration_seconds.and_then(|it| u64::try_from(it).ok())?;
    let until = spec.renew_time.as_ref()?.0.checked_add(Duration::from_secs(seconds)).ok()?;
    spec.holder_identity.clone().filter(|_| now < until)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime,
    };

    use super::*;
    use crate::testing;

    #[test]
    fn a_claim_runs_out_when_it_is_not_renewed() {
        let spec = LeaseSpec {
            holder_identity: Some("a/b".into()),
            renew_time: Some(MicroTime(testing::now())),
            lease_duration_seconds: Some(60),
            ..LeaseSpec::default()
        };
        let lease = Lease { spec: Some(spec), ..Lease::default() };
        let after = |seconds| testing::now() + Duration::from_secs(seconds);
        assert_eq!(holder(&lease, after(59)).as_deref(), Some("a/b"));
        assert_eq!(holder(&lease, after(60)), None);
        assert_eq!(holder(&Lease::default(), after(0)), None);
        let mut endless = lease;
        endless.spec.as_mut().unwrap().renew_time = Some(MicroTime(Timestamp::MAX));
        assert_eq!(holder(&endless, after(0)), None);
    }

    #[test]
    fn each_scope_has_its_claim() {
        let home =
            Home { namespace: "tools".into(), install: "poolwright".into(), ..Home::default() };
        let all = Claim::of(&Scope::All, home.clone());
        assert_eq!(all.what(), "Lease default/poolwright-cluster-claim");
        let one = Claim::of(&Scope::One("apps".into()), home);
        assert_eq!(one.what(), "Lease apps/poolwright-claim");
        assert_eq!(one.install, "tools/poolwright");
    }
}
