//! Which operator's template the pods are made from. What stands is kept, with the user's fields
//! laid over it, until the user wants what this operator has. It plans and never writes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;
use poolwright_crds::{PoolerCluster, Upgrade};
use poolwright_settings::language;
use serde::{Deserialize, Serialize};

use crate::{
    build::{Template, template},
    live::Live,
    names, pods,
    roll::Phase,
    validate::Validated,
};

/// The version of the operator that kept no record of what pods are made from.
const FIRST: &str = "0.1.0";

/// What an operator brings to the pods of a PoolerCluster: it stands on the StatefulSet, so that a
/// later operator, or an earlier one, makes the same template of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The operator's version.
    pub version: String,
    /// The image of pods whose PoolerCluster names none.
    pub image: String,
    /// The language of the settings that this image reads.
    #[serde(default = "language::oldest")]
    pub language: u32,
    /// The annotation by which the user last asked for an upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The pods without the user's part.
    pub template: PodSpec,
}

/// By image, the language that all pods of it have said to read.
pub type Languages = BTreeMap<String, u32>;

/// What the images of the pods that run read: as some say now, or have said when they answered.
pub fn languages(live: &Live, said: Languages) -> Languages {
    let noted = live.settings.as_ref().and_then(|it| it.annotations().get(names::IMAGE_LANGUAGES));
    let noted = noted.and_then(|text| serde_json::from_str(text).ok());
    let mut known: Languages = noted.unwrap_or_default();
    known.extend(said);
    known.retain(|image, _| live.pods.iter().any(|pod| pods::image(pod) == image));
    known
}

/// How the pods' template stands to this operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They are the same.
    Current,
    /// They differ, and nobody wants that changed; both as words.
    Available { now: String, then: String },
    /// The user wants this operator's; whether it is this one's turn has not been asked.
    Wanted,
    /// Another PoolerCluster is upgraded first.
    Waiting { behind: String },
    /// It is this one's turn, and the next reconcile begins.
    Turn,
    /// The pods are being replaced.
    Going,
}

/// The template that pods are made from now.
pub struct Chosen {
    pub template: Template,
    pub state: State,
}

impl Made {
    /// What this operator brings to the PoolerCluster of this name.
    pub fn own(cluster: &PoolerCluster, image: &str) -> Made {
        Made {
            version: env!("CARGO_PKG_VERSION").into(),
            image: image.into(),
            language: language::LANGUAGE,
            asked: cluster.annotations().get(names::UPGRADED_AT).cloned(),
            template: template::base(&cluster.name_any()),
        }
    }

    /// What the pods are made from that exist: as it was noted, or as the first version had it.
    pub fn kept(live: &Live, name: &str) -> Option<Made> {
        let set = live.stateful_set.as_ref()?;
        let noted = set.annotations().get(names::MADE_FROM);
        let noted = noted.and_then(|text| serde_json::from_str(text).ok());
        noted.or_else(|| {
            let template = set.spec.as_ref()?.template.spec.as_ref()?;
            Some(Made {
                version: FIRST.into(),
                image: template.containers.first()?.image.clone()?,
                language: language::OLDEST,
                asked: None,
                template: template::first(name),
            })
        })
    }

    /// The language that all pods read: those that exist, and those that come. What the pods of an
    /// image have said goes before what was noted of it.
    pub fn read_by_all(&self, checked: &Validated, live: &Live, said: &Languages) -> u32 {
        let noted = self.language(checked).unwrap_or(language::OLDEST);
        let coming = said.get(self.image(checked)).copied().unwrap_or(noted);
        let read = |pod: &Pod| said.get(pods::image(pod)).copied();
        let read = live.pods.iter().map(|pod| read(pod).unwrap_or_else(|| pods::language(pod)));
        read.fold(coming, u32::min).max(language::OLDEST)
    }

    /// The language of the settings that the pods read, as it was noted; nothing is noted of an image
    /// that the user named.
    pub fn language(&self, checked: &Validated) -> Option<u32> {
        checked.image.is_none().then_some(self.language)
    }

    fn words(&self, checked: &Validated) -> String {
        format!("{} with image {}", self.version, self.image(checked))
    }

    /// The image that the pods run.
    pub fn image<'a>(&'a self, checked: &'a Validated) -> &'a str {
        checked.image.as_deref().unwrap_or(&self.image)
    }
}

/// Chooses between what is kept and this operator's own. `begun`: the turn came before.
pub fn choose(checked: &Validated, kept: Option<Made>, own: Made, begun: bool) -> Chosen {
    let mine = template::template(checked, &own);
    let Some(kept) = kept else { return Chosen { template: mine, state: State::Current } };
    let theirs = template::template(checked, &kept);
    let asked = own.asked.is_some() && own.asked != kept.asked;
    let wanted = asked || checked.upgrade == Upgrade::Automatic;
    match () {
        () if mine.hash == theirs.hash => Chosen { template: mine, state: State::Current },
        () if !wanted => {
            let (now, then) = (kept.words(checked), own.words(checked));
            Chosen { template: theirs, state: State::Available { now, then } }
        }
        () if begun => Chosen { template: mine, state: State::Going },
        () => Chosen { template: theirs, state: State::Wanted },
    }
}

/// The state once the pods have been looked at: an upgrade goes on until all are replaced.
pub fn after(state: State, begun: bool, phase: &Phase) -> State {
    match state {
        State::Current if begun && *phase != Phase::Settled => State::Going,
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Container;
    use poolwright_crds::{Resources, SecretRef};

    use super::*;
    use crate::{build::settings, testing};

    /// As another operator would have noted it.
    fn kept() -> Made {
        let mut made = Made { version: "0.0.9".into(), image: "old:1".into(), ..testing::own() };
        made.template.enable_service_links = None;
        made
    }

    #[track_caller]
    fn check(checked: &Validated, own: Made, begun: bool, version: &str, state: &State) {
        let chosen = choose(checked, Some(kept()), own, begun);
        assert_eq!((chosen.template.made.version.as_str(), &chosen.state), (version, state));
    }

    fn asked(value: &str) -> Made {
        Made { asked: Some(value.into()), ..testing::own() }
    }

    const OURS: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn another_operator_changes_nothing_until_it_is_told_to() {
        let checked = testing::validated();
        let now = "0.0.9 with image old:1".to_owned();
        let then = format!("{OURS} with image poolwright:1");
        let available = State::Available { now, then };
        check(&checked, testing::own(), false, "0.0.9", &available);
        check(&checked, testing::own(), true, "0.0.9", &available);
        check(&checked, asked("now"), false, "0.0.9", &State::Wanted);
        check(&checked, asked("now"), true, OURS, &State::Going);
        let automatic = Validated { upgrade: Upgrade::Automatic, ..checked };
        check(&automatic, testing::own(), false, "0.0.9", &State::Wanted);
    }

    #[test]
    fn an_upgrade_that_was_asked_for_before_is_not_asked_for_again() {
        let kept = Made { asked: Some("then".into()), ..kept() };
        let choose = |own| choose(&testing::validated(), Some(kept.clone()), own, false).state;
        assert!(matches!(choose(asked("then")), State::Available { .. }));
        assert_eq!(choose(asked("now")), State::Wanted);
    }

    #[test]
    fn what_the_user_changes_rolls_on_the_template_that_stands() {
        let one = testing::validated();
        let mut two = one.clone();
        two.pods.resources = Some(Resources::default());
        two.pods.image_pull_secrets = vec![SecretRef { name: "registry".into() }];
        let [one, two] =
            [one, two].map(|it| choose(&it, Some(kept()), testing::own(), false).template);
        assert_ne!(one.hash, two.hash);
        let pod = two.spec.spec.unwrap();
        assert_eq!((pod.enable_service_links, pod.image_pull_secrets.is_some()), (None, true));
        assert_eq!(pod.containers[0].image.as_deref(), Some("old:1"));
    }

    #[test]
    fn an_image_of_the_users_own_is_no_upgrade() {
        let checked = Validated { image: Some("mine:1".into()), ..testing::validated() };
        let kept = Made { version: "0.0.9".into(), image: "old:1".into(), ..testing::own() };
        let chosen = choose(&checked, Some(kept), testing::own(), false);
        assert_eq!((chosen.template.made.version.as_str(), chosen.state), (OURS, State::Current));
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let text = serde_json::to_string(&kept()).unwrap();
        let mut live = testing::live(&[("workspaces-0", "h", true)]);
        let set = live.stateful_set.as_mut().unwrap();
        set.annotations_mut().insert(names::MADE_FROM.into(), text);
        assert_eq!(Made::kept(&live, "workspaces"), Some(kept()));
        assert_eq!(Made::kept(&Live::default(), "workspaces"), None);
    }

    /// Version 0.1.0 as of `tests/previous` noted nothing. If this fails because the template has
    /// changed, let [`Made::kept`] make the template as that version had it.
    #[test]
    fn pods_of_the_version_that_noted_nothing_stay_as_they_are() {
        let checked = testing::validated();
        let mut live = testing::live(&[("workspaces-0", "298e878050c3cb47", true)]);
        let pod = template::template(&checked, &testing::own()).spec.spec;
        live.stateful_set.as_mut().unwrap().spec.as_mut().unwrap().template.spec = pod;
        let own = Made { image: "another:2".into(), ..testing::own() };
        let chosen = choose(&checked, Made::kept(&live, "workspaces"), own, false);
        assert_eq!(chosen.template.hash, "298e878050c3cb47");
        assert!(matches!(chosen.state, State::Available { .. }));
    }

    #[test]
    fn settings_are_in_the_language_of_the_oldest_pod() {
        let mut live = testing::live(&[("a-0", "h", true), ("a-1", "h", true)]);
        let language = |pod: &mut Pod, number: &str| {
            pod.annotations_mut().insert(names::LANGUAGE.into(), number.into());
        };
        let made = Made { language: 3, ..testing::own() };
        let checked = testing::validated();
        let mut said = Languages::new();
        assert_eq!(made.read_by_all(&checked, &live, &said), 1);
        language(&mut live.pods[0], "3");
        language(&mut live.pods[1], "2");
        assert_eq!(made.read_by_all(&checked, &live, &said), 2);
        assert_eq!(made.read_by_all(&checked, &Live::default(), &said), 3);
        let named = Validated { image: Some("mine:1".into()), ..checked };
        assert_eq!(made.read_by_all(&named, &Live::default(), &said), language::OLDEST);

        // Its pods say what they read, and one that is silent is as they are.
        for pod in &mut live.pods {
            pod.annotations_mut().clear();
            pod.spec.get_or_insert_default().containers =
                vec![Container { image: named.image.clone(), ..Container::default() }];
        }
        assert_eq!(made.read_by_all(&named, &live, &said), language::OLDEST);
        said.insert("mine:1".into(), 2);
        assert_eq!(made.read_by_all(&named, &live, &said), 2);
        let next = Validated { image: Some("mine:2".into()), ..named };
        assert_eq!(made.read_by_all(&next, &live, &said), language::OLDEST);
    }

    #[test]
    fn what_an_image_reads_is_known_while_it_runs_though_its_pods_are_silent() {
        let mut live = testing::live(&[("a-0", "h", true), ("a-1", "h", true)]);
        for (pod, image) in live.pods.iter_mut().zip(["a:1", "a:2"]) {
            let container = Container { image: Some(image.into()), ..Container::default() };
            pod.spec.get_or_insert_default().containers = vec![container];
        }
        // As the next reconcile finds it, perhaps another operator's.
        let mut next = |pods: usize, said: &[(&str, u32)]| {
            live.pods.truncate(pods);
            let said = said.iter().map(|(image, number)| ((*image).to_owned(), *number)).collect();
            let known = languages(&live, said);
            let checked = testing::validated();
            live.settings = Some(settings::config_map(&checked, String::new(), 1, &known));
            known.into_values().collect::<Vec<_>>()
        };
        assert_eq!(next(2, &[("a:1", 2), ("a:2", 3)]), [2, 3]);
        assert_eq!(next(2, &[("a:1", 1)]), [1, 3]);
        assert_eq!(next(1, &[]), [1]);
        assert!(next(0, &[]).is_empty());
    }

    #[test]
    fn an_upgrade_goes_on_until_all_pods_are_replaced() {
        let rolling = Phase::Rolling { current: 1, of: 2 };
        assert_eq!(after(State::Current, true, &rolling), State::Going);
        assert_eq!(after(State::Current, true, &Phase::Settled), State::Current);
        assert_eq!(after(State::Current, false, &rolling), State::Current);
    }
}
