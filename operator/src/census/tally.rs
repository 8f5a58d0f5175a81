//! Objects seen by one watch, kept as what their counting needs: a name, and the labels that
//! somebody selects by. It asks nobody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    core::{PartialObjectMeta, Selector, SelectorExt as _},
    runtime::watcher::Event,
};

use super::subject::{Count, Uncounted};

type Labels = BTreeMap<String, String>;

pub struct Tally {
    /// Labels that are kept.
    names: BTreeSet<String>,
    known: Result<Table, Uncounted>,
    /// What a list has brought so far; it takes the place of `known` when it is complete.
    listed: Table,
}

/// Objects by name, and how many there are of each set of labels. Sets are few, whatever the
/// number of objects.
#[derive(Default)]
struct Table {
    objects: HashMap<String, Arc<Labels>>,
    sets: HashMap<Arc<Labels>, u64>,
}

impl Tally {
    /// Nothing is known yet.
    pub fn new(names: BTreeSet<String>) -> Tally {
        Tally { names, known: Err(Uncounted::Pending), listed: Table::default() }
    }

    pub fn keeps(&self, names: &BTreeSet<String>) -> bool {
        self.names.is_superset(names)
    }

    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    pub fn count(&self, selector: &Selector) -> Count {
        let table = self.known.as_ref().map_err(Clone::clone)?;
        let sets = table.sets.iter().filter(|(labels, _)| selector.matches(labels));
        Ok(sets.map(|(_, count)| count).sum())
    }

    /// Whether a count may be another now.
    pub fn take<K>(&mut self, event: Event<PartialObjectMeta<K>>) -> bool {
        match event {
            Event::Init => {
                self.listed = Table::default();
                false
            }
            Event::InitApply(object) => {
                let (name, labels) = self.kept(object.metadata);
                self.listed.set(name, labels);
                false
            }
            Event::InitDone => {
                self.known = Ok(mem::take(&mut self.listed));
                true
            }
            Event::Apply(object) => {
                let (name, labels) = self.kept(object.metadata);
                self.known.as_mut().is_ok_and(|table| table.set(name, labels))
            }
            Event::Delete(object) => {
                let (name, _) = self.kept(object.metadata);
                self.known.as_mut().is_ok_and(|table| table.remove(&name))
            }
        }
    }

    /// The objects cannot be counted. Whether that is news.
    pub fn give_up(&mut self, why: Uncounted) -> bool {
        let news = self.known.as_ref().err() != Some(&why);
        self.known = Err(why);
        news
    }

    fn kept(&self, object: ObjectMeta) -> (String, Labels) {
        let ObjectMeta { name, namespace, labels, .. } = object;
        let name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
        let mut labels = labels.unwrap_or_default();
        labels.retain(|name, _| self.names.contains(name));
        (name, labels)
    }
}

impl Table {
    fn set(&mut self, name: String, labels: Labels) -> bool {
        if self.objects.get(&name).is_some_and(|before| **before == labels) {
            return false;
        }
        self.remove(&name);
        let labels = self.sets.get_key_value(&labels).map_or(Arc::new(labels), |it| it.0.clone());
        *self.sets.entry(Arc::clone(&labels)).or_default() += 1;
        self.objects.insert(name, labels);
        true
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(labels) = self.objects.remove(name) else { return false };
        let left = self.sets.get_mut(&labels).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left == 0 {
            self.sets.remove(&labels);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::core::{Expression, PartialObjectMetaExt as _};

    use super::*;

    type Seen = Event<PartialObjectMeta<Pod>>;

    fn object(name: &str, labels: &[(&str, &str)]) -> PartialObjectMeta<Pod> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = Some(labels.iter().map(pair).collect());
        ObjectMeta { name: Some(name.into()), labels, ..ObjectMeta::default() }
            .into_response_partial()
    }

    fn listed(objects: Vec<PartialObjectMeta<Pod>>) -> Tally {
        let mut tally = Tally::new(["cloud".to_owned(), "plan".to_owned()].into());
        let all = objects.into_iter().map(Event::InitApply);
        for event in [Event::Init].into_iter().chain(all).chain([Event::InitDone]) {
            tally.take(event);
        }
        tally
    }

    fn cloud(name: &str) -> Selector {
        Expression::Equal("cloud".into(), name.into()).into()
    }

    #[test]
    fn nothing_is_counted_before_everything_was_listed() {
        let mut tally = Tally::new(BTreeSet::new());
        tally.take(Seen::Init);
        tally.take(Event::InitApply(object("a", &[])));
        assert_eq!(tally.count(&Selector::default()), Err(Uncounted::Pending));
        assert!(tally.take(Seen::InitDone));
        assert_eq!(tally.count(&Selector::default()), Ok(1));
    }

    #[test]
    fn objects_count_by_their_labels_as_they_come_change_and_go() {
        let mut tally = listed(vec![
            object("a", &[("cloud", "01")]),
            object("b", &[("cloud", "01"), ("plan", "free")]),
            object("c", &[]),
        ]);
        let counts = |tally: &Tally| {
            let others = Expression::NotIn("plan".into(), ["free".to_owned()].into()).into();
            [cloud("01"), cloud("02"), others, Selector::default()]
                .map(|selector| tally.count(&selector).unwrap())
        };
        assert_eq!(counts(&tally), [2, 0, 2, 3]);
        assert!(tally.take(Event::Apply(object("c", &[("cloud", "02")]))));
        assert_eq!(counts(&tally), [2, 1, 2, 3]);
        assert!(tally.take(Event::Delete(object("b", &[("cloud", "01"), ("plan", "free")]))));
        assert_eq!(counts(&tally), [1, 1, 2, 2]);
        assert!(!tally.take(Event::Delete(object("b", &[]))));
        assert_eq!(tally.known.unwrap().sets.len(), 2);
    }

    #[test]
    fn a_change_of_what_nobody_selects_by_is_no_news() {
        let mut tally = listed(vec![object("a", &[("cloud", "01")])]);
        assert!(!tally.take(Event::Apply(object("a", &[("cloud", "01"), ("touched", "yes")]))));
    }

    #[test]
    fn a_new_list_replaces_the_old_one_when_it_is_complete() {
        let mut tally = listed(vec![object("a", &[("cloud", "01")])]);
        tally.take(Seen::Init);
        tally.take(Event::InitApply(object("b", &[("cloud", "01")])));
        tally.take(Event::InitApply(object("c", &[("cloud", "01")])));
        assert_eq!(tally.count(&cloud("01")), Ok(1));
        tally.take(Seen::InitDone);
        assert_eq!(tally.count(&cloud("01")), Ok(2));
    }

    #[test]
    fn what_cannot_be_counted_says_why_once() {
        let mut tally = listed(vec![object("a", &[])]);
        assert!(tally.give_up(Uncounted::NotServed));
        assert!(!tally.give_up(Uncounted::NotServed));
        assert_eq!(tally.count(&Selector::default()), Err(Uncounted::NotServed));
    }
}
