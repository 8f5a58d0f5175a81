//! Asks the pods over the control channel what they hold, and tells them what they may. It plans
//! nothing.

use std::{collections::BTreeMap, io, time::Duration};

use hyper::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use poolwright_settings::control::{GRANTS, Grants, LOOK, REPORT, Report};

pub use crate::push::Channel;
use crate::{
    pods,
    push::{Question, Reply},
    upgrade::Languages,
};

/// How long a pod may take to report.
const PATIENCE: Duration = Duration::from_secs(2);
/// And to look at the server first, for which it may have to wait for a connection.
const LOOKING: Duration = Duration::from_secs(5);
/// Pods that are asked to look, one after the other, until one has seen the server.
const LOOKERS: usize = 2;

/// What a pod said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Report(Box<Report>),
    /// It is of a version that knows of no grants and holds what its file says.
    KnowsNone,
}

/// The languages that the pods of each image say they read: the least, where they differ.
pub fn languages(pods: &[Pod], said: &BTreeMap<String, Said>) -> Languages {
    let mut languages = Languages::new();
    for pod in pods {
        if let Some(Said::Report(report)) = pod.uid().and_then(|uid| said.get(&uid)) {
            let least = languages.entry(pods::image(pod).to_owned()).or_insert(report.language);
            *least = report.language.min(*least);
        }
    }
    languages
}

impl Channel {
    /// What the pods say, by uid, without those that do not answer. With `look` one of them looks at
    /// the server before the others are asked.
    pub async fn reports(&self, pods: &[Pod], look: bool) -> BTreeMap<String, Said> {
        let mut said = BTreeMap::new();
        let lookers = pods.iter().filter(|pod| look && pods::is_ready(pod)).take(LOOKERS);
        for pod in lookers {
            let reply = self.ask(pod, Question::get(LOOK, LOOKING)).await;
            said.extend(heard(pod, reply));
            if said.values().any(has_looked) {
                break;
            }
            // Its list of connections is older than what the next one sees.
            said.clear();
        }
        let has_said = |pod: &Pod| pod.uid().is_some_and(|uid| said.contains_key(&uid));
        let others = pods.iter().filter(|pod| may_answer(pod) && !has_said(pod));
        let asked: Vec<_> = others.map(|pod| (pod, Question::get(REPORT, PATIENCE))).collect();
        said.extend(self.hear_all(asked.into_iter()).await);
        if said.values().any(has_looked) {
            // What had kept the others from the server may be over.
            let is_cut_off = |pod: &&Pod| pod.uid().is_some_and(|uid| is_in_trouble(&said, &uid));
            let cut_off: Vec<_> = pods.iter().filter(is_cut_off).collect();
            let asked = cut_off.into_iter().map(|pod| (pod, Question::get(LOOK, LOOKING)));
            said.extend(self.hear_all(asked).await);
        }
        said
    }

    /// Tells each pod its grants; who has none to be told only reports.
    pub async fn grant(&self, news: &[(&Pod, Option<Grants>)]) -> BTreeMap<String, Said> {
        let asked = news.iter().filter(|(pod, _)| may_answer(pod)).map(|(pod, grants)| {
            let question = match grants {
                Some(grants) => Question::put(GRANTS, grants, PATIENCE),
                None => Question::get(REPORT, PATIENCE),
            };
            (*pod, question)
        });
        self.hear_all(asked).await
    }

    async fn hear_all<'p>(
        &self,
        asked: impl Iterator<Item = (&'p Pod, Question)>,
    ) -> BTreeMap<String, Said> {
        let replies = self.ask_all(asked).await;
        replies.into_iter().filter_map(|(pod, reply)| heard(pod, reply)).collect()
    }
}

/// What a pod said, by its uid; `None` where that is nothing.
fn heard(pod: &Pod, reply: io::Result<Reply>) -> Option<(String, Said)> {
    let said = reply.and_then(|reply| match reply.status {
        StatusCode::NOT_FOUND => Ok(Said::KnowsNone),
        _ => reply.read().map(|report| Said::Report(Box::new(report))),
    });
    match said {
        Ok(said) => Some((pod.uid()?, said)),
        Err(error) => {
            tracing::debug!(pod = pod.name_any(), %error, "a pod did not report");
            None
        }
    }
}

fn is_in_trouble(said: &BTreeMap<String, Said>, uid: &str) -> bool {
    let Some(Said::Report(report)) = said.get(uid) else { return false };
    report.servers.values().any(|server| server.trouble.is_some())
}

fn has_looked(said: &Said) -> bool {
    let Said::Report(report) = said else { return false };
    report.servers.values().any(|server| server.sight.is_some())
}

/// A pod that ends still holds connections, and still answers.
fn may_answer(pod: &Pod) -> bool {
    !pods::has_ended(pod) && pods::has_address(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_image_reads_what_the_least_of_its_pods_reads() {
        let pod = |uid: &str, image: &str| -> Pod {
            let container = json!({"name": "pooler", "image": image});
            let pod = json!({"metadata": {"uid": uid}, "spec": {"containers": [container]}});
            serde_json::from_value(pod).unwrap()
        };
        let says = |uid: &str, language| {
            let report = Report { language, ..Report::default() };
            (uid.to_owned(), Said::Report(Box::new(report)))
        };
        let pods = [pod("1", "a:1"), pod("2", "a:1"), pod("3", "a:1"), pod("4", "a:2")];
        let said = [says("1", 3), says("2", 2), ("4".to_owned(), Said::KnowsNone)].into();
        assert_eq!(languages(&pods, &said), [("a:1".to_owned(), 2)].into());
    }
}
