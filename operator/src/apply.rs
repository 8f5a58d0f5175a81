//! Sixth step: makes the cluster hold what was built, by server-side apply, and replaces the
//! one pod that the plan names. It writes nothing that already is so, and decides nothing.

use std::fmt::Debug;

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    authority::Certificates, build::Objects, covers, election::Term, live::Live, metrics::Metrics,
    names, rights::Denied, roll::Doomed,
};

/// A version that no stored object has, since etcd counts its own beginning as 1. The API server
/// creates an object that is applied with it, and refuses to change one that is there.
const BEFORE_ANY: &str = "1";

/// What the operator writes: objects of a namespace.
pub trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
{
}

/// What the cluster answered.
pub struct Applied {
    /// The pod that was told to end, to come back from the new template.
    pub replaced: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{verb} {kind} {name}: {source}")]
pub struct Error {
    verb: &'static str,
    kind: String,
    name: String,
    source: Box<kube::Error>,
}

impl Error {
    /// Whether the object is no longer the one that was read: what to write has to be planned anew.
    pub fn is_outdated(&self) -> bool {
        matches!(&*self.source, kube::Error::Api(status) if status.code == 409)
    }

    /// Whether nothing more can be made, since the namespace is on its way out.
    pub fn is_of_an_ending_namespace(&self) -> bool {
        let kube::Error::Api(status) = &*self.source else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.into_iter().any(|it| it.reason == "NamespaceTerminating")
    }

    pub fn denied(&self) -> Option<Denied> {
        Denied::of(&self.source)
    }
}

/// Who writes, where, and how long it may.
pub struct Writer<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
    pub metrics: &'a Metrics,
    pub term: &'a Term,
}

/// Applies what pods mount: first of all, since it is what those that start begin with.
///
/// # Errors
/// What the API server refused or did not answer; what was applied before stays.
pub async fn volumes(
    writer: &Writer<'_>,
    certificates: &Certificates,
    objects: &Objects,
    live: &Live,
) -> Result<(), Error> {
    let Certificates { authority, control, operator: _, is_changing: _ } = certificates;
    if let Some(authority) = authority {
        writer.ensure(authority.clone(), live.authority.as_ref()).await?;
    }
    writer.ensure(control.clone(), live.control.as_ref()).await?;
    writer.ensure(objects.settings.clone(), live.settings.as_ref()).await?;
    writer.ensure(objects.credentials.clone(), live.credentials.as_ref()).await.map(drop)
}

/// Applies the other objects, then replaces a pod.
///
/// # Errors
/// What the API server refused or did not answer; what was applied before stays.
pub async fn apply(
    writer: &Writer<'_>,
    objects: Objects,
    live: &Live,
    delete: Option<&Doomed>,
) -> Result<Applied, Error> {
    let Objects {
        service_account,
        settings: _,
        credentials: _,
        client_service,
        headless_service,
        disruption_budget,
        network_policy,
        stateful_set,
        totals: _,
    } = objects;
    writer.ensure(service_account, live.service_account.as_ref()).await?;
    writer.ensure(headless_service, live.headless_service.as_ref()).await?;
    writer.ensure(client_service, live.client_service.as_ref()).await?;
    writer.settle(disruption_budget, live.disruption_budget.as_ref()).await?;
    writer.settle(network_policy, live.network_policy.as_ref()).await?;
    writer.ensure(stateful_set, live.stateful_set.as_ref()).await?;
    let replaced = writer.replace(delete).await?;
    Ok(Applied { replaced })
}

impl Writer<'_> {
    fn api<K: Object>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Applies the object unless it is so already. Returns it as it now is.
    async fn ensure<K: Object>(&self, desired: K, live: Option<&K>) -> Result<K, Error> {
        match live {
            Some(live) if covers::same(live, &desired) => Ok(live.clone()),
            live => self.store(desired, live).await,
        }
    }

    /// Applies the object over the version that was read, or where none was found, and nowhere else:
    /// a plan that was made from something else is no longer good.
    ///
    /// # Errors
    /// Another version is stored by now, or the API server refused or did not answer.
    pub async fn store<K: Object>(&self, mut desired: K, live: Option<&K>) -> Result<K, Error> {
        let none_found = || Some(BEFORE_ANY.to_owned());
        desired.meta_mut().resource_version =
            live.map_or_else(none_found, ResourceExt::resource_version);
        let name = desired.name_any();
        let parameters = PatchParams::apply(names::MANAGER).force();
        let mut applied = self.patch(&name, &parameters, &Patch::Apply(&desired)).await;
        if live.is_some() && applied.as_ref().is_err_and(is_invalid) {
            // Somebody changed the key of a list element, such as a Service's port: applying
            // would add ours beside theirs, merging puts our list in its place.
            let parameters = PatchParams { force: false, ..parameters };
            applied = self.patch(&name, &parameters, &Patch::Merge(&desired)).await;
        }
        applied.map_err(|source| failed::<K>("apply", &name, source))
    }

    async fn patch<K: Object>(
        &self,
        name: &str,
        parameters: &PatchParams,
        patch: &Patch<&K>,
    ) -> Result<K, kube::Error> {
        self.term.check()?;
        self.metrics.wrote();
        let done = self.api::<K>().patch(name, parameters, patch).await;
        let (kind, done_well) = (K::kind(&()), done.is_ok());
        tracing::info!(%kind, namespace = self.namespace, name, done_well, "wrote");
        done
    }

    /// Applies what is wanted, or deletes what is there and not wanted any more.
    async fn settle<K: Object>(&self, desired: Option<K>, live: Option<&K>) -> Result<(), Error> {
        match (desired, live) {
            (Some(desired), live) => self.ensure(desired, live).await.map(drop),
            (None, Some(live)) => self.delete::<K>(&live.name_any(), only(live)).await.map(drop),
            (None, None) => Ok(()),
        }
    }

    async fn replace(&self, delete: Option<&Doomed>) -> Result<Option<String>, Error> {
        let Some(Doomed { name, uid, resource_version }) = delete else { return Ok(None) };
        let same = Preconditions { uid: uid.clone(), resource_version: resource_version.clone() };
        let deleted = self.delete::<Pod>(name, same).await?;
        Ok(deleted.then(|| name.clone()))
    }

    /// Deletes the object if it is still the same; whether it did.
    async fn delete<K: Object>(&self, name: &str, same: Preconditions) -> Result<bool, Error> {
        self.term.check().map_err(|error| failed::<K>("delete", name, error))?;
        self.metrics.wrote();
        let parameters = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        let deleted = self.api::<K>().delete(name, &parameters).await;
        tracing::info!(kind = %K::kind(&()), namespace = self.namespace, name, "deleted");
        let deleted = unless_gone(deleted).map_err(|error| failed::<K>("delete", name, error))?;
        Ok(deleted.is_some())
    }
}

fn only<K: Resource>(object: &K) -> Preconditions {
    Preconditions { uid: object.uid(), resource_version: None }
}

fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422)
}

/// An object that is gone or another by now is no failure: the next reconcile looks again.
fn unless_gone<T>(result: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed<K: Resource<DynamicType = ()>>(
    verb: &'static str,
    name: &str,
    source: kube::Error,
) -> Error {
    Error { verb, kind: K::kind(&()).into_owned(), name: name.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(cause: &str) -> Error {
        let status = serde_json::json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no",
            "details": {"causes": [{"reason": cause, "message": "it ends"}]},
        });
        let status = serde_json::from_value(status).unwrap();
        failed::<Pod>("apply", "a", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn an_ending_namespace_is_told_from_a_missing_right() {
        assert!(refused("NamespaceTerminating").is_of_an_ending_namespace());
        assert!(!refused("Other").is_of_an_ending_namespace());
    }
}
