//! One watch, by metadata only: finds the kind, lists its objects page by page, and follows their
//! changes for as long as somebody counts them. It keeps nothing but the tally.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersion, PartialObjectMeta},
    discovery::{self, Scope, verbs},
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::time::Instant;

use super::{
    subject::{Place, Uncounted},
    tally::Tally,
};
use crate::{retry::jittered, rights::Rule};

/// Objects in one answer to a list.
const PAGE: u32 = 500;
/// Changes of counts are told at most this often, the first one at once.
const QUIET: Duration = Duration::from_secs(1);
/// Between two looks for a kind that is not there or may not be read; doubles from one to the
/// other.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_secs(30);

/// A tally that is kept up to date.
pub struct Watch {
    pub client: Client,
    pub place: Place,
    pub tally: Arc<Mutex<Tally>>,
}

impl Watch {
    /// Never ends; `tell` is called when a count may be another.
    pub async fn keep(self, tell: impl Fn()) {
        let mut wait = FIRST_LOOK;
        loop {
            let why = match self.find().await {
                Ok(kind) => {
                    let follow = self.follow(&kind, &tell).await;
                    wait = if self.counts() { FIRST_LOOK } else { wait };
                    follow
                }
                Err(why) => Some(why),
            };
            if why.is_some_and(|why| self.give_up(why)) {
                tell();
            }
            tokio::time::sleep(jittered(wait)).await;
            wait = LAST_LOOK.min(wait * 2);
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Tally) -> T) -> T {
        look(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn counts(&self) -> bool {
        self.with(|tally| tally.count(&kube::core::Selector::default()).is_ok())
    }

    /// A failure that may pass leaves the last count in force.
    fn give_up(&self, why: Uncounted) -> bool {
        if matches!(why, Uncounted::Failed(_)) && self.counts() {
            return false;
        }
        self.with(|tally| tally.give_up(why))
    }

    /// Asks the API server what it calls the kind.
    async fn find(&self) -> Result<ApiResource, Uncounted> {
        let Place { api_version, kind, namespace } = &self.place;
        let version: GroupVersion = api_version.parse().map_err(|_| Uncounted::NotServed)?;
        let found = discovery::pinned_kind(&self.client, &version.with_kind(kind)).await;
        let (resource, able) = found.map_err(|error| match error {
            kube::Error::Discovery(_) => Uncounted::NotServed,
            kube::Error::Api(status) if status.code == 404 => Uncounted::NotServed,
            error => Uncounted::Failed(error.to_string()),
        })?;
        let can = |verb| able.supports_operation(verb);
        match () {
            () if !can(verbs::LIST) || !can(verbs::WATCH) => Err(Uncounted::Unwatchable),
            () if able.scope == Scope::Cluster && namespace.is_some() => {
                Err(Uncounted::InNoNamespace)
            }
            () => Ok(resource),
        }
    }

    /// Until the kind is gone or may not be read.
    async fn follow(&self, kind: &ApiResource, tell: &impl Fn()) -> Option<Uncounted> {
        let client = self.client.clone();
        let objects: Api<PartialObjectMeta<DynamicObject>> = match &self.place.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, kind),
            None => Api::all_with(client, kind),
        };
        let pages = watcher::Config::default().page_size(PAGE);
        let mut events = pin!(watcher(objects, pages).default_backoff());
        let (mut changed, mut quiet) = (false, Instant::now());
        loop {
            tokio::select! {
                event = events.next() => match event? {
                    Ok(event) => changed |= self.with(|tally| tally.take(event)),
                    Err(error) => match ending(&error, kind) {
                        Some(why) => return why,
                        None => changed |= self.give_up(Uncounted::Failed(error.to_string())),
                    },
                },
                () = tokio::time::sleep_until(quiet), if changed => {
                    tell();
                    (changed, quiet) = (false, Instant::now() + QUIET);
                }
            }
        }
    }
}

/// Whether an error ends the watch, and what it means for the count; no answer to the latter if
/// the kind has to be looked for again.
fn ending(error: &watcher::Error, kind: &ApiResource) -> Option<Option<Uncounted>> {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    let code = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.code,
        _ => 0,
    };
    let rule = || Rule::new(&kind.group, &kind.plural, &[verbs::LIST, verbs::WATCH]);
    match code {
        403 => Some(Some(Uncounted::Denied(rule()))),
        404 => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{GroupVersionKind, Status};

    use super::*;

    #[test]
    fn a_refusal_ends_a_watch_with_the_rule_and_a_failure_does_not() {
        let gvk = GroupVersionKind::gvk("example.com", "v1", "Workspace");
        let kind = ApiResource::from_gvk_with_plural(&gvk, "workspaces");
        let failed = |code| {
            let status = Status::failure("no", "").with_code(code).boxed();
            watcher::Error::InitialListFailed(kube::Error::Api(status))
        };
        let Some(Some(Uncounted::Denied(rule))) = ending(&failed(403), &kind) else {
            panic!("a refusal is one");
        };
        let expect = "- {apiGroups: [example.com], resources: [workspaces], verbs: [list, watch]}";
        assert_eq!(rule.to_string(), expect);
        assert_eq!(ending(&failed(404), &kind), Some(None));
        assert_eq!(ending(&failed(500), &kind), None);
    }
}
