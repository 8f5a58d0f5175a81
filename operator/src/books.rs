//! The ledger of a PoolerCluster: what each of its pods may hold. It is read with everything else,
//! planned on with what the pods report, and stored before anything follows from it. The sums are
//! `poolwright_budget`'s.
//!
//! It belongs to no owner: connections may outlive a PoolerCluster, and the next one of that name
//! counts them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use poolwright_budget::{
    Entry, Ledger, Who,
    grants::{self, File, Report, Set, View},
};
use poolwright_crds::ServerStatus;
use poolwright_settings::{
    Problem,
    control::{self, Left, ServerReport, Sight},
};

use crate::{
    apply::{self, Writer},
    backends::{Asker, Backends, Shown},
    build::{metadata, settings::SERVER},
    departures::Departures,
    grants::{Channel, Said, languages},
    live::Live,
    names, pods,
    upgrade::{Languages, Made},
    validate::{Problems, Validated},
};

const KEY: &str = "ledger.yaml";

/// What the pods shall hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// All of them together.
    pub total: u32,
    /// One of them, at its start.
    pub floor: u32,
    /// Pods that shall run.
    pub replicas: u32,
}

/// How far the pods' shares are from what they shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Connections with which a pod begins.
    pub floor: u32,
    /// Connections that every pod may hold.
    pub per_pod: u32,
    /// Why fewer pods may run for now than shall.
    pub held_back: Option<String>,
    /// Why what an ended process held still counts.
    pub suspected: Option<String>,
    pub progress: Progress,
    /// How long that has not been settled.
    pub unsettled_for: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Settled,
    /// Something was written down that is to be acted on.
    Moved,
    /// Pods have yet to close connections beyond what they were granted.
    Awaited,
    /// Something takes its time: a pod's start, a volume, the proof that a process is gone.
    Lagging,
}

/// Whether pods reach the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// None has said, or tried.
    #[default]
    Unknown,
    Works,
    /// Why they do not; which, where others do.
    Fails(String),
}

/// The ledger, open for changes.
pub struct Books<'a> {
    live: &'a Live,
    wish: Wish,
    /// As it is stored.
    stored: Option<(ConfigMap, Ledger)>,
    said: BTreeMap<String, Said>,
    /// What the server shows, if it was looked at.
    sight: Option<Sight>,
    /// Pods that are missing and have ended.
    gone: BTreeSet<String>,
    /// Pods whose only process closed all its connections.
    closed: BTreeSet<String>,
    /// Ended processes that have left no connection.
    cleared: BTreeSet<Who>,
}

impl<'a> Books<'a> {
    /// `ledger` is what [`read`] found.
    pub fn open(live: &'a Live, ledger: Option<Ledger>, wish: Wish) -> Books<'a> {
        Books {
            live,
            wish,
            stored: live.ledger.clone().zip(ledger),
            said: BTreeMap::new(),
            sight: None,
            gone: BTreeSet::new(),
            closed: BTreeSet::new(),
            cleared: BTreeSet::new(),
        }
    }

    /// As it is stored, or as if nothing were.
    pub fn ledger(&self) -> Ledger {
        self.stored.as_ref().map(|(_, ledger)| ledger.clone()).unwrap_or_default()
    }

    /// Has all pods report, and one of them look at the server where that is `wanted`, or somebody
    /// may have left connections there.
    pub async fn survey(
        &mut self,
        channel: &Channel,
        wanted: bool,
        asker: &Asker,
        (departures, backends): (&Departures, &Backends),
    ) {
        let (missing, ended) = (self.missing(), self.ended());
        let look = wanted || !missing.is_empty() || !ended.is_empty() || backends.is_asked(asker);
        self.said = channel.reports(&self.live.pods, look).await;
        let sights = self.said.values().filter_map(|said| Some(server(said)?.1));
        self.sight = sights.filter_map(|it| it.sight.clone()).next();
        let instance = self.sight.as_ref().map(|it| it.instance.as_str());
        backends.claim(asker, instance, self.claimed());

        let shown = self.shown();
        let missing: Vec<_> = missing.iter().map(String::as_str).collect();
        let is_quiet =
            !missing.is_empty() && shown.as_ref().is_some_and(|it| backends.is_quiet(asker, it));
        self.gone = departures.ended(&missing, is_quiet, Instant::now());
        let of_ended = |it: &Shown| backends.cleared(asker, &ended, it);
        self.cleared = shown.as_ref().map(of_ended).unwrap_or_default();
        let closed = self.live.pods.iter().filter(|pod| pods::has_closed_all(pod));
        self.closed = closed.filter_map(ResourceExt::uid).collect();
        self.closed.extend(departures.closed(&missing));
    }

    /// What the pods of each image say that they read.
    pub fn languages(&self) -> Languages {
        languages(&self.live.pods, &self.said)
    }

    /// The server, if a pod has just looked at it.
    pub fn server(&self) -> Option<ServerStatus> {
        let sight = self.sight.as_ref()?;
        Some(ServerStatus {
            endpoint: sight.endpoint.clone(),
            max_connections: sight.max_connections.into(),
            superuser_reserved_connections: sight.superuser_reserved_connections.into(),
            reserved_connections: sight.reserved_connections.into(),
            version: sight.version.into(),
            in_recovery: sight.in_recovery,
        })
    }

    /// Whether pods reach the server at this endpoint, each by its last try. `seen`: it was seen there
    /// before, and whoever does not try has nothing to say against that.
    pub fn reach(&self, endpoint: &str, seen: bool) -> Reach {
        let name = |uid: &String| {
            let pods = self.live.pods.iter();
            pods.filter(|pod| pod.uid().as_ref() == Some(uid)).map(ResourceExt::name_any).next()
        };
        let reports = self.said.iter().filter_map(|(uid, said)| Some((uid, server(said)?.1)));
        // Pods are named where others do better; else it is the same for all, in the same words
        // whoever has tried.
        let troubles: BTreeSet<_> = reports
            .filter_map(|(uid, it)| Some((name(uid)?, it.trouble.as_ref()?)))
            .map(|(pod, trouble)| match &self.sight {
                Some(_) => format!("{pod}: {trouble}"),
                None => trouble.clone(),
            })
            .collect();
        match () {
            () if !troubles.is_empty() => {
                Reach::Fails(troubles.into_iter().collect::<Vec<_>>().join("\n"))
            }
            () if seen || self.server().is_some_and(|it| it.is_at(endpoint)) => Reach::Works,
            () => Reach::Unknown,
        }
    }

    /// Tells the pods what was granted, as far as they do not know. What the server showed is
    /// forgotten: who has ended since may have left connections that it did not show.
    pub async fn grant(&mut self, channel: &Channel) {
        self.cleared.clear();
        let ledger = self.ledger();
        let news = |pod: &Pod| {
            let uid = pod.uid()?;
            let (process, _) = server(self.said.get(&uid)?)?;
            let (epoch, connections) = ledger.grant(&uid, &process.process)?;
            let servers = [(SERVER.to_owned(), connections)].into();
            let process = process.process.clone();
            Some(control::Grants { process, epoch, servers })
        };
        let news: Vec<_> = self.live.pods.iter().map(|pod| (pod, news(pod))).collect();
        for (uid, said) in channel.grant(&news).await {
            self.said.insert(uid, said);
        }
    }

    /// Plans with what was seen last, and stores that; whether anything changed.
    ///
    /// # Errors
    /// It could not be stored, perhaps since somebody else has stored another.
    pub async fn post(
        &mut self,
        writer: &Writer<'_>,
        checked: &Validated,
    ) -> Result<bool, apply::Error> {
        let next = self.next();
        let last = self.stored.as_ref();
        if last.is_some_and(|(_, ledger)| *ledger == next) {
            return Ok(false);
        }
        let stored = writer.store(object(checked, &next), last.map(|(object, _)| object)).await?;
        self.stored = Some((stored, next));
        Ok(true)
    }

    /// How far the pods are; `has_moved`: the last plan has changed something.
    pub fn shares(&self, has_moved: bool) -> Shares {
        let ledger = self.ledger();
        let Wish { floor, replicas, .. } = self.wish;
        let is_over = |it: &Entry| it.granted.is_some_and(|to| it.held > to.max(ledger.floor));
        let is_unsure = |it: &Entry| {
            let knows_grants = it.process.as_ref().is_none_or(|process| !process.is_empty());
            it.ended || (knows_grants && it.granted != Some(it.held))
        };
        let progress = match () {
            () if has_moved => Progress::Moved,
            () if ledger.entries.iter().any(|it| !it.ended && is_over(it)) => Progress::Awaited,
            () if ledger.entries.iter().any(is_unsure)
                || ledger.replicas != replicas
                || ledger.floor != floor
                || !self.missing().is_empty() =>
            {
                Progress::Lagging
            }
            () => Progress::Settled,
        };
        let held_back = (ledger.replicas < replicas).then(|| self.held_back(&ledger));
        let granted = ledger.entries.iter().filter(|it| !it.ended).filter_map(|it| it.granted);
        let per_pod = granted.min().unwrap_or(ledger.floor);
        let suspected = self.suspected();
        let unsettled_for = Duration::ZERO;
        Shares { floor: ledger.floor, per_pod, held_back, suspected, progress, unsettled_for }
    }

    /// Why the next pod may not start yet.
    fn held_back(&self, ledger: &Ledger) -> String {
        let (total, held) = (self.wish.total, ledger.held());
        let room = format!(
            "{} pods until there is room for the next one: of {total} connections {held} may be open",
            ledger.replicas
        );
        if self.live.pods.is_empty() && ledger.replicas == 0 {
            let object = self.stored.as_ref().map(|(object, _)| object.name_any());
            return format!(
                "{room} by pods that are gone, and none runs that could look; once the server shows \
                 no connections of theirs, delete ConfigMap {}",
                object.unwrap_or_default()
            );
        }
        let knows_none =
            |pod: &&Pod| pod.uid().is_some_and(|uid| self.said.get(&uid) == Some(&Said::KnowsNone));
        let old = self.live.pods.iter().filter(knows_none).map(ResourceExt::name_any);
        let old = old.collect::<Vec<_>>().join(", ");
        let set = self.live.stateful_set.as_ref().map(ResourceExt::name_any).unwrap_or_default();
        match Made::kept(self.live, &set).filter(|_| !old.is_empty()) {
            Some(Made { version, .. }) => format!(
                "{room}; pods of version {version} know no grants and give nothing back: {old}; an \
                 upgrade lets it go on, and UpToDate says how"
            ),
            None => room,
        }
    }

    fn next(&self) -> Ledger {
        let file = self.live.settings.as_ref().and_then(|settings| {
            Some(File { floor: floor(settings)?, fence: names::fence(settings) })
        });
        let before = file.map_or(self.wish.total, |file| file.floor);
        let pods: Vec<_> = self.live.pods.iter().filter_map(|pod| self.pod(pod, before)).collect();
        let view = View {
            total: self.wish.total,
            floor: self.wish.floor,
            replicas: self.wish.replicas,
            set: self.live.stateful_set.as_ref().map(|set| Set {
                replicas: replicas(set),
                fence: names::fence(set),
                caught_up: pods::has_caught_up(set),
            }),
            file,
            pods: &pods,
            gone: &self.gone,
            closed: &self.closed,
            cleared: &self.cleared,
        };
        grants::next(self.stored.as_ref().map(|(_, ledger)| ledger), &view)
    }

    /// A pod that knows of no grants holds what the file says.
    fn pod(&self, pod: &Pod, file: u32) -> Option<grants::Pod> {
        let (uid, ordinal) = (pod.uid()?, pods::ordinal(pod)?);
        let report = self.said.get(&uid).map(|said| match server(said) {
            Some((report, server)) => Report {
                process: report.process.clone(),
                epoch: report.epoch,
                cap: server.max,
                open: server.open,
                floor: server.floor,
                follows_none: server.left.as_ref().is_some_and(|left| *left == Left::default()),
            },
            None => Report {
                process: String::new(),
                epoch: 0,
                cap: file,
                open: 0,
                floor: file,
                follows_none: false,
            },
        });
        Some(grants::Pod { uid, ordinal, ended: pods::has_ended(pod), report })
    }

    /// Pods that the ledger has and the cluster does not.
    fn missing(&self) -> Vec<String> {
        let exists = |uid: &str| self.live.pods.iter().any(|pod| pod.uid().as_deref() == Some(uid));
        let entries = self.ledger().entries.into_iter().filter(|it| !it.ended);
        entries.map(|it| it.pod).filter(|uid| !exists(uid)).collect()
    }

    /// Processes that the ledger knows to have ended.
    fn ended(&self) -> Vec<Who> {
        self.ledger().entries.iter().filter(|it| it.ended).map(Entry::who).collect()
    }

    /// Connections that pods call their own.
    fn claimed(&self) -> BTreeSet<i32> {
        self.said.values().filter_map(server).flat_map(|it| it.1.backends.clone()).collect()
    }

    /// What the server shows, without the connections that pods call their own. Those of a pod that
    /// says nothing are nobody's.
    fn shown(&self) -> Option<Shown> {
        let sight = self.sight.as_ref()?;
        let seen: BTreeSet<i32> = sight.backends.iter().copied().collect();
        let unclaimed = seen.difference(&self.claimed()).copied().collect();
        Some(Shown { instance: sight.instance.clone(), unclaimed })
    }

    /// Said in the same words for as long as it lasts.
    fn suspected(&self) -> Option<String> {
        let ended = self.ended().len() + self.missing().len();
        let may_be = self.shown().is_some_and(|it| !it.unclaimed.is_empty());
        (ended > 0 && may_be).then(|| {
            format!(
                "the share of {ended} processes that are gone still counts: the server shows \
                 connections under tenants' names that no pod calls its own"
            )
        })
    }
}

/// The ledger, if there is one.
///
/// # Errors
/// What stands in its ConfigMap is none.
pub fn read(live: &Live) -> Result<Option<Ledger>, Problems> {
    live.ledger.as_ref().map(parse).transpose().map_err(Problems::of_spec)
}

/// The only server's part of what a pod said.
fn server(said: &Said) -> Option<(&control::Report, &ServerReport)> {
    let Said::Report(report) = said else { return None };
    Some((report, report.servers.get(SERVER)?))
}

fn replicas(set: &k8s_openapi::api::apps::v1::StatefulSet) -> u32 {
    let asked = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    u32::try_from(asked).unwrap_or(0)
}

fn floor(settings: &ConfigMap) -> Option<u32> {
    let text = settings.data.as_ref()?.get(crate::build::template::SETTINGS_FILE)?;
    poolwright_settings::server_caps(text).get(SERVER).copied()
}

fn parse(object: &ConfigMap) -> Result<Ledger, Problem> {
    let text = object.data.as_ref().and_then(|data| data.get(KEY)).map_or("", String::as_str);
    serde_yaml::from_str(text).map_err(|error| {
        Problem::new(
            format!("ConfigMap {}, key {KEY}", object.name_any()),
            format!("a text that is no ledger ({error})"),
            "what the operator wrote",
            "put it back, or delete the ConfigMap: then pods that do not answer count as if each \
             held all connections",
        )
    })
}

fn object(checked: &Validated, ledger: &Ledger) -> ConfigMap {
    let text = serde_yaml::to_string(ledger).unwrap_or_default();
    ConfigMap {
        metadata: metadata::unowned(checked, names::ledger(&checked.name)),
        data: Some([(KEY.to_owned(), text)].into()),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests;
